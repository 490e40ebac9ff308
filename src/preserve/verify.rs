//! Reading everything, to find what is damaged.
//!
//! # Work
//! Each byte of blobs is read once: of blobs that overlap, none is read. Each page of the table is looked at three times,
//! and its copy once. An entry takes less than 400 bytes of memory meanwhile, and has 56 bytes in the file at least.

use super::error::{Damage, Error, Part};
use super::format::{CHUNK, tags};
use super::headers;
use super::reader::{Blob, Info, Snapshot};
use super::walk::{Step, Walk};
use crate::format::progress::Progress;
use crate::medium::Readable;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What verifying has shown.
///
/// With feature `serde` it is an object with the names of its fields, where `damaged` is a list of objects: `name`, and
/// the names of [`Damage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verification {
    /// Blobs that are whole.
    pub whole: u64,
    /// Bytes of all, whole or not.
    pub bytes: u64,
    /// Blobs that are not, by name, with the first thing that is damaged.
    #[cfg_attr(feature = "serde", serde(serialize_with = "named"))]
    pub damaged: Vec<(Box<str>, Damage)>,
    /// Pages of the table that are damaged in both copies: the blobs that they named cannot be found.
    pub pages: Vec<Damage>,
    /// Copies of headers and of pages of the table, of which the other is whole, and the history.
    pub copies: Vec<Damage>,
}

impl Verification {
    /// Whether nothing is damaged, no copy either: of a header one copy may be behind after a crash, until the store
    /// is opened to be written. No blob is lost if [`damaged`](Self::damaged) and [`pages`](Self::pages) are empty.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.pages.is_empty() && self.copies.is_empty()
    }
}

/// Damaged blobs as data.
#[cfg(feature = "serde")]
fn named<S: serde::Serializer>(damaged: &[(Box<str>, Damage)], to: S) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Named<'d> {
        name: &'d str,
        part: Part,
        offset: u64,
        len: u64,
    }
    to.collect_seq(damaged.iter().map(|(name, damage)| {
        let Damage { part, offset, len } = *damage;
        Named { name, part, offset, len }
    }))
}

/// Reads and verifies all blobs of a commit.
pub(super) fn verify<R: Readable>(
    snapshot: &Snapshot<'_, R>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, Error<R::Error>> {
    let mut verification = Verification { copies: copies(snapshot)?, ..Verification::default() };
    let infos = infos(snapshot, &mut verification)?;
    // Blobs that cannot be, as they overlap, may be more than can be counted.
    let most = infos.iter().map(|info| info.len).fold(0, u64::saturating_add);
    let overlapping = overlapping(&infos);
    for (info, overlaps) in infos.iter().zip(overlapping) {
        let done = verification.bytes;
        let mut told = |bytes| progress(Progress { done: done.saturating_add(bytes), most });
        let shared = Damage { part: Part::Bytes { at: 0 }, offset: info.offset, len: info.len };
        let damage = missing(info, snapshot.medium().len()).or(overlaps.then_some(shared));
        let found = match damage {
            Some(damage) => Err(Error::Damaged(damage)),
            None => Blob::new(snapshot, info).and_then(|blob| blob.verify(&mut told)),
        };
        match found {
            Ok(()) => verification.whole += 1,
            Err(Error::Damaged(damage)) => {
                verification.damaged.push((info.name.as_str().into(), damage));
            }
            Err(error) => return Err(error),
        }
        verification.bytes = verification.bytes.saturating_add(info.len);
    }
    Ok(verification)
}

/// Returns all entries that can be found, and notes which pages and copies of pages are damaged.
fn infos<R: Readable>(
    snapshot: &Snapshot<'_, R>,
    verification: &mut Verification,
) -> Result<Vec<Info>, Error<R::Error>> {
    let mut infos = Vec::new();
    for step in Walk::new(snapshot) {
        match step {
            Ok(Step::Entry(info)) => infos.push(info),
            Ok(Step::Page(page)) => {
                let (part, len) = (Part::TableCopy, page.child.len);
                for offset in page.child.places {
                    if offset != page.at && !snapshot.is_page(page.level, &page.child, offset)? {
                        verification.copies.push(Damage { part, offset, len });
                    }
                }
            }
            Err(Error::Damaged(damage @ Damage { part: Part::Page, .. })) => {
                verification.pages.push(damage);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(infos)
}

/// Returns for each blob if it has bytes that another one has, too. No writer leaves that, and each could be read as often
/// as there are names.
fn overlapping(infos: &[Info]) -> Vec<bool> {
    let end = |place: usize| infos[place].offset.saturating_add(tags(infos[place].len).end);
    let mut order: Vec<usize> = (0..infos.len()).filter(|place| infos[*place].len > 0).collect();
    order.sort_unstable_by_key(|place| infos[*place].offset);
    let mut overlapping = alloc::vec![false; infos.len()];
    // That of those before which ends last.
    let mut last = None;
    for place in order {
        if let Some(before) = last.filter(|before| end(*before) > infos[place].offset) {
            (overlapping[before], overlapping[place]) = (true, true);
        }
        last = last.filter(|before| end(*before) > end(place)).or(Some(place));
    }
    overlapping
}

/// What a blob has not any more in a medium of so many bytes, from the first chunk on that is not there as a whole.
fn missing(info: &Info, size: u64) -> Option<Damage> {
    let (there, tags) = (size.saturating_sub(info.offset), tags(info.len));
    if there < info.len {
        let at = there - there % CHUNK;
        let part = Part::Bytes { at };
        return Some(Damage { part, offset: info.offset + at, len: info.len - at });
    }
    let damage =
        Damage { part: Part::Tags, offset: info.offset + tags.start, len: tags.end - tags.start };
    (there < tags.end).then_some(damage)
}

/// What is damaged beside blobs.
fn copies<R: Readable>(snapshot: &Snapshot<'_, R>) -> Result<Vec<Damage>, Error<R::Error>> {
    let mut copies: Vec<Damage> = headers::damaged(snapshot.medium(), &snapshot.header)?.collect();
    for offset in snapshot.header.roots {
        if !snapshot.is_whole(offset)? {
            let len = snapshot.header.len;
            copies.push(Damage { part: Part::TableCopy, offset, len });
        }
    }
    match snapshot.history() {
        Ok(_) => {}
        Err(Error::Damaged(damage)) => copies.push(damage),
        Err(error) => return Err(error),
    }
    Ok(copies)
}

impl<R: Readable> Snapshot<'_, R> {
    /// Reads everything, and tells what is damaged. `progress` is called now and then.
    ///
    /// # Errors
    /// [`Error::Replaced`], if there was another commit; if the medium fails. A blob that the medium ends before is
    /// damaged.
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verification, Error<R::Error>> {
        verify(self, progress)
    }
}
