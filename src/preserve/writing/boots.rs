//! Reboots: a store is sealed before a planned reboot, and each opening records its boot.

use super::store::Store;
use super::tree::Changes;
use crate::format::tag;
use crate::medium::Medium;
use crate::preserve::error::{Damage, Error, ErrorKind};
use crate::preserve::format::history::{BOOT, BOOTS};
use crate::preserve::format::table::Preamble;
use crate::preserve::format::{history, key};
use crate::preserve::headers;
use crate::preserve::snapshot::{CommitIn, boot};
use crate::preserve::stamp::{Boot, Origin, Stamp};
use alloc::vec::Vec;
use core::error::Error as Failure;

impl<M: Medium> Store<M> {
    /// Makes everything durable once more, as deep as the medium allows, and records that in the header. If nothing is
    /// changed afterwards, the next opening need not verify all blobs, unless an earlier opening found damage, and none
    /// since has found all blobs whole.
    ///
    /// Blobs, regions, pages of the table, the history and the headers are written back by lines. This also holds where the
    /// caches are in the persistence domain, because a reset need not flush them. On a DAX file the write-back reaches
    /// the medium's own buffers ([`DaxFile::deep_persist`](crate::dax::DaxFile::deep_persist)). Returns the number of
    /// the commit.
    ///
    /// Regions that this store has handed out are not [dirty](crate::preserve::Info::is_dirty) afterwards. Those that
    /// an earlier process left dirty are written back, too, and stay dirty.
    ///
    /// # Errors
    /// [`ErrorKind::RegionInUse`], as long as there is a [`Region`](crate::preserve::Region): its bytes can change. If
    /// the medium fails. No blob is lost by that. The next opening may or may not find the store sealed; if it does,
    /// all bytes in use were written back. If the next call returns
    /// [`ErrorKind::Failed`](crate::preserve::ErrorKind::Failed), the store must be opened again.
    ///
    /// # Cost
    /// A write-back of all lines of the store that are in use, and a commit; another commit for each region that was
    /// handed out.
    pub fn seal(&mut self) -> Result<u64, Error<M::Error>> {
        let taken = self.taken_regions()?;
        // Other threads may have stored to regions.
        self.medium.order_observed();
        let number = self.preamble.history;
        let history = history(number)..history(number) + self.preamble.history_len;
        for range in self.used().into_iter().chain([history]) {
            self.medium.deep_persist(range).map_err(Error::medium)?;
        }
        for name in taken {
            let mut transaction = self.begin()?;
            transaction.note_use(name.as_str(), false)?;
            transaction.commit_seal(true)?;
        }
        self.taken.clear();
        self.begin()?.commit_seal(true)
    }

    /// Records that the store was opened, and the circumstances of the opening, as the last boot of a history has them.
    pub(super) fn begin_boot(
        &mut self,
        stamp: Stamp,
        boots: Vec<Boot>,
    ) -> Result<(), Error<M::Error>> {
        // A store that cannot be committed to is not written.
        self.header.next_generation().ok_or(Error(ErrorKind::WornOut))?;
        // The process that wrote the header may have been killed before the header was durable. Space that is free by
        // this header may still be needed by the one before.
        headers::store(&*self.medium, &self.header).map_err(Error::medium)?;
        self.medium.fence();
        // Nor may it, or a page of its table, have been as deep as the seal that it removes, which would come back.
        let removes_seal = !self.header.is_sealed
            && headers::is_sealed_before(&*self.medium, &self.header).map_err(Error::medium)?;
        if removes_seal {
            drop(self.deep_persist_table());
        }
        headers::clear_next(&*self.medium, &self.header).map_err(Error::medium)?;
        let bytes: Vec<u8> = boots.iter().flat_map(Boot::bytes).collect();
        let mut written = Vec::new();
        for (at, bytes) in core::mem::take(&mut self.mends) {
            self.medium.copy_unfenced(&[(at, &bytes)]).map_err(Error::medium)?;
            written.push(at..at + bytes.len() as u64);
        }
        let number = self.preamble.history.wrapping_add(1);
        let preamble = Preamble {
            history: number,
            history_tag: tag::of(key::history(self.preamble.identity, number), &bytes),
            history_len: bytes.len() as u64,
            stamp,
            ..self.preamble
        };
        let plan = self.tree.plan(&Changes::new(), self.unit()).ok_or(Error(ErrorKind::TooMany))?;
        self.medium.copy_unfenced(&[(history(number), &bytes)]).map_err(Error::medium)?;
        written.push(history(number)..history(number) + bytes.len() as u64);
        // Not every process is permitted to flush the medium's own buffers. Without that permission the seal is
        // removed.
        let is_sealed = self.header.is_sealed && self.deep_persist_each(&written).is_ok();
        self.publish(plan, &preamble, is_sealed)?;
        self.settle();
        if is_sealed {
            self.deep_persist_header().map_err(Error::medium)?;
        }
        self.uses = Uses { opened: self.header.generation, boots };
        Ok(())
    }
}

/// Returns the history of a commit. A damaged or unreadable one is lost.
pub(super) fn boots<E: Failure>(
    within: CommitIn<'_, E>,
    mended: &mut Vec<Damage>,
) -> Result<Vec<Boot>, Error<E>> {
    let Ok(place) = within.history() else {
        mended.push(within.commit.lost_history());
        return Ok(Vec::new());
    };
    place.step_by(BOOT).map(|at| boot(within.medium, at)).collect()
}

/// Returns a history with an opening added.
pub(super) fn with_opening(mut boots: Vec<Boot>, now: Boot) -> Vec<Boot> {
    match boots.last_mut() {
        Some(last) if last.stamp.is_same_boot(&now.stamp) == Some(true) => {
            let opened = last.opened.saturating_add(1);
            *last = Boot { opened, must_verify: now.must_verify, stamp: now.stamp, ..*last };
        }
        _ => boots.push(now),
    }
    boots.drain(..boots.len().saturating_sub(BOOTS));
    boots
}

/// The boots in which regions can have been used.
#[derive(Debug)]
pub(super) struct Uses {
    /// The number of the commit that opened or created the store.
    pub(super) opened: u64,
    /// The history.
    pub(super) boots: Vec<Boot>,
}

impl Uses {
    /// Returns the worst event since the commit of a number, at which a region was handed out or created.
    pub(super) fn since(&self, generation: u64) -> Origin {
        if generation >= self.opened {
            return Origin::SameProcess;
        }
        // The commit was made in a boot of the history, unless that has lost its first boots.
        if self.boots.first().is_none_or(|first| generation < first.generation) {
            return Origin::Unknown;
        }
        let later = self.boots.iter().filter(|boot| boot.generation > generation);
        later.map(|boot| boot.origin).fold(Origin::SameBoot, Origin::worse)
    }
}
