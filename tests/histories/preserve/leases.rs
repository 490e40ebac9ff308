//! Leases of readers, and the bytes that must stay under them.

use super::{Do, ELSEWHERE, Shape};
use cachemaint::medium::Readable;
use cachemaint::preserve::{Lease, Reader};
use cachemaint::sim::{Life, Violation};
use core::convert::Infallible;
use core::ops::Range;
use std::rc::Rc;

/// The first part of a range that a reader in another process holds a lease on.
pub(super) fn leased_elsewhere(range: &Range<u64>) -> Option<Range<u64>> {
    let part = |lease: &Range<u64>| lease.start.max(range.start)..lease.end.min(range.end);
    let parts = ELSEWHERE.with_borrow(|leases| leases.iter().map(part).collect::<Vec<_>>());
    parts.into_iter().filter(|part| !part.is_empty()).min_by_key(|part| part.start)
}

/// The store's reader, and the leases that it holds.
pub(super) struct Leases<'r, R: Readable> {
    pub(super) reader: &'r Reader<R>,
    pub(super) held: Vec<Held<'r, R>>,
}

/// A lease, and the bytes that it keeps.
type Held<'r, R> = (Lease<'r, R>, Rc<[u8]>);

impl<R: Readable<Error = Infallible>> Leases<'_, R> {
    /// Takes or ends a lease. Returns false if the operation is another one.
    pub(super) fn operate(
        &mut self,
        life: &Life<'_, Shape>,
        operation: Do,
    ) -> Result<bool, Violation> {
        let model = life.model();
        match operation {
            Do::Lease(name) => {
                let lease = self.reader.lease(name)?;
                self.held.push((lease, Rc::clone(&model.blobs[name])));
                life.note(|model| model.leases += 1);
            }
            Do::Release => {
                drop(self.held.remove(0));
                life.note(|model| model.leases -= 1);
            }
            Do::LeaseElsewhere(name) => {
                let range = self.reader.stat(name)?.map(|info| info.range()).unwrap_or_default();
                let kept = (range, Rc::clone(&model.blobs[name]));
                life.note(|model| model.elsewhere.push(kept));
            }
            Do::ReleaseElsewhere => life.note(|model| drop(model.elsewhere.remove(0))),
            _ => return Ok(false),
        }
        let elsewhere = life.model().elsewhere;
        ELSEWHERE.set(elsewhere.into_iter().map(|(range, _)| range).collect());
        Ok(true)
    }

    /// Nothing was written over what a lease is on.
    pub(super) fn are_kept(&self, life: &Life<'_, Shape>) -> Result<(), Violation> {
        let own = self.held.iter().map(|(lease, bytes)| (lease.info().range(), Rc::clone(bytes)));
        for (range, kept) in own.chain(life.model().elsewhere) {
            let mut found = vec![0; kept.len()];
            Readable::read(life.medium, range.start, &mut found)?;
            Violation::unless(found == *kept, || format!("{range:?} has changed under a lease"))?;
        }
        Ok(())
    }
}
