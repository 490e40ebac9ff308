//! The parts of a store that depend on its medium.

use crate::medium::{Medium, Readable};
use crate::preserve::leases::Leases;
use core::fmt;
use core::ops::Range;

/// A function that returns the first part of a range on which a reader elsewhere holds a lease.
pub(super) type Leased<M> =
    fn(&M, Range<u64>) -> Result<Option<Range<u64>>, <M as Readable>::Error>;

/// The means of a store that depend on its medium.
pub(super) struct Ways<M: Medium> {
    /// Makes a range durable as far as the medium's own buffers, and out of the caches.
    pub(super) deep_persist: fn(&M, Range<u64>) -> Result<(), M::Error>,
    pub(super) leased: Leased<M>,
    /// The time, in seconds since 1970-01-01 UTC.
    pub(super) seconds: Option<fn() -> u64>,
}

impl<M: Medium> Ways<M> {
    /// The ways of any medium.
    pub(super) const ANY: Self =
        Self { deep_persist: M::deep_persist, leased: M::leased_range, seconds: None };
}

impl<M: Medium> Clone for Ways<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Medium> Copy for Ways<M> {}

impl<M: Medium> fmt::Debug for Ways<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").finish_non_exhaustive()
    }
}

/// Returns a function that finds the first part of a range that is leased by any process.
pub(super) fn leased<'l, M: Medium>(
    medium: &'l M,
    ways: &'l Ways<M>,
    leases: &'l Leases,
) -> impl Fn(&Range<u64>) -> Result<Option<Range<u64>>, M::Error> + 'l {
    |range| {
        let ours = leases.first_in(range);
        // A lease of another process counts where it begins before ours.
        let before = range.start..ours.as_ref().map_or(range.end, |lease| lease.start);
        Ok((ways.leased)(medium, before)?.or(ours))
    }
}

#[cfg(test)]
#[cfg(all(feature = "std", not(cachemaint_loom), not(miri)))]
mod tests {
    use super::{Leased, Ways};
    use crate::cache::Cache;
    use crate::medium::{Medium, Memory, Readable};
    use crate::preserve::{Options, Store};
    use crate::skip::skip;
    use crate::survival::Backing;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::ops::Range;
    use core::sync::atomic::AtomicU64;

    /// Bytes of each blob, which are whole units.
    const LEN: usize = 640;
    /// The places of the first blobs of a store with units of 64 bytes, in their order.
    const PLACES: [Range<u64>; 3] = [25_600..26_240, 26_240..26_880, 26_880..27_520];

    fn put<M: Medium>(store: &mut Store<M>, name: &str, byte: u8) {
        let mut transaction = store.begin().unwrap();
        transaction.put(name, &[byte; LEN]).unwrap();
        transaction.commit().unwrap();
    }

    fn part(range: &Range<u64>, lease: &Range<u64>) -> Option<Range<u64>> {
        let part = range.start.max(lease.start)..range.end.min(lease.end);
        (!part.is_empty()).then_some(part)
    }

    /// Replaces three blobs again and again while another process leases as `theirs` says, and this one the blob of
    /// the name `ours`. The blobs of the numbers `kept` must stay as they were.
    fn leased_blobs_are_kept(
        theirs: Leased<Memory<'static>>,
        ours: &str,
        kept: &[usize],
        test: &str,
    ) {
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => return skip(test, why),
        };
        let words = (0..1 << 13).map(AtomicU64::new).collect::<Vec<_>>().leak();
        let memory = || Memory::new(words, cache, Backing::Ram);
        let mut store = Options::with_entropy([1, 2]).unit(64).create_new(memory()).unwrap();
        ["a", "b", "c"].iter().zip(1..).for_each(|(name, byte)| put(&mut store, name, byte));
        drop(store);

        let ways = Ways { leased: theirs, ..Ways::ANY };
        let (mut store, _) =
            Store::take_up(Arc::new(memory()), None, ways, Readable::len(&memory())).unwrap();
        let reader = store.reader();
        let lease = reader.lease(ours).unwrap();
        for (name, byte) in ["a", "b", "c", "d"].into_iter().cycle().zip(4..40) {
            put(&mut store, name, byte);
            for number in kept {
                let mut bytes = vec![0; LEN];
                memory().read(PLACES[*number].start, &mut bytes);
                assert!(bytes == [*number as u8 + 1; LEN], "blob {number}, when {name} was put");
            }
        }
        drop(lease);
    }

    #[test]
    fn a_lease_of_another_process_before_one_of_this_process_is_honoured() {
        let test = "a_lease_of_another_process_before_one_of_this_process_is_honoured";
        leased_blobs_are_kept(|_, range| Ok(part(&range, &PLACES[0])), "b", &[0, 1], test);
    }

    #[test]
    fn a_lease_of_another_process_after_one_of_this_process_is_honoured() {
        let test = "a_lease_of_another_process_after_one_of_this_process_is_honoured";
        leased_blobs_are_kept(|_, range| Ok(part(&range, &PLACES[1])), "a", &[0, 1], test);
    }

    /// The first and the last blob are leased by the other process, and the one between them by this one.
    #[test]
    fn leases_of_another_process_around_one_of_this_process_are_honoured() {
        let test = "leases_of_another_process_around_one_of_this_process_are_honoured";
        let theirs = |_: &Memory<'static>, range: Range<u64>| {
            Ok(part(&range, &PLACES[0]).or_else(|| part(&range, &PLACES[2])))
        };
        leased_blobs_are_kept(theirs, "b", &[0, 1, 2], test);
    }

    /// Both processes lease the same blob, and theirs begins later.
    #[test]
    fn leases_of_both_processes_on_the_same_bytes_are_honoured() {
        let test = "leases_of_both_processes_on_the_same_bytes_are_honoured";
        let theirs = |_: &Memory<'static>, range: Range<u64>| Ok(part(&range, &(25_900..26_880)));
        leased_blobs_are_kept(theirs, "a", &[0, 1], test);
    }
}
