//! Loads, stores, write-backs and fences of a simulated medium.

use super::SimMedium;
use super::schedule::Access;
use super::words::middle;
use crate::crash::damage::BadBlock;
use crate::machine::Place;
use crate::machine::model::WORD;
use crate::machine::state::Store;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::Ordering;

impl Readable for SimMedium {
    type Error = BadBlock;

    fn len(&self) -> u64 {
        self.bytes
    }

    #[track_caller]
    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, BadBlock> {
        self.loaded(at, order, Location::caller())
    }

    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), BadBlock> {
        self.check_bounds(at, into.len() as u64);
        let place = Location::caller();
        let bytes = at..at + into.len() as u64;
        let (first, rest) = into.split_at_mut(middle(at, into.len()));
        let mut state = self.access(Access::Looks, &bytes);
        state.image.bad(&bytes).map_or(Ok(()), Err)?;
        state.read(at, first, place);
        if !rest.is_empty() {
            drop(state);
            self.tear(self.torn());
            state = self.state();
            state.read(at + first.len() as u64, rest, place);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), BadBlock> {
        Ok(())
    }
}

impl SimMedium {
    #[track_caller]
    fn loaded(&self, at: u64, order: Ordering, place: Place) -> Result<u64, BadBlock> {
        self.check_word(at);
        assert!(
            matches!(order, Ordering::Relaxed | Ordering::Acquire | Ordering::SeqCst),
            "no order of a load"
        );
        let order = self.watch.load(order, place);
        let mut state = self.access(Access::Looks, &(at..at + WORD));
        state.image.bad(&(at..at + WORD)).map_or(Ok(()), Err)?;
        Ok(state.load(at, u64::MAX, order, place))
    }

    /// Copies bytes in, as one event. If another thread continues in the middle, these are two events.
    #[track_caller]
    fn copy(&self, at: u64, from: &[u8], store: Store, place: Place) {
        let mut state = self.access(Access::Changes, &(at..at + from.len() as u64));
        let (first, rest) = from.split_at(middle(at, from.len()));
        let torn = if rest.is_empty() { None } else { self.torn() };
        if torn.is_none() {
            return state.copy(at, from, store, place);
        }
        state.copy(at, first, store, place);
        drop(state);
        self.tear(torn);
        self.state().copy(at + first.len() as u64, rest, store, place);
    }

    /// Copies parts and issues their write-back. If `in_order`, later stores of the thread are ordered after them.
    #[track_caller]
    fn copy_parts(&self, parts: &[(u64, &[u8])], in_order: bool) {
        let place = Location::caller();
        let parts = parts.iter().filter(|(_, bytes)| !bytes.is_empty());
        let store = if in_order { Store::Scattered } else { Store::Unordered };
        for (at, bytes) in parts.clone() {
            self.check_bounds(*at, bytes.len() as u64);
            self.copy(*at, bytes, store, place);
        }
        if in_order {
            self.state().copy_returns();
        }
        if self.model.writes_back() {
            for (at, bytes) in parts {
                self.write_back(*at..at + bytes.len() as u64, place);
            }
        }
    }

    /// Writes back the lines of a range, even if the granularity is a byte.
    #[track_caller]
    fn write_back(&self, range: Range<u64>, place: Place) {
        self.check_range(&range);
        if let Some(range) = self.watch.writeback(range, &self.model, place) {
            self.begin(Access::Changes).write_back(range, place);
        }
    }
}

impl Medium for SimMedium {
    /// Loads as from memory: a load from a bad block panics.
    #[track_caller]
    #[expect(clippy::panic, reason = "a processor stops the process")]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        match self.loaded(at, order, Location::caller()) {
            Ok(word) => word,
            Err(bad) => {
                panic!("a load ends the process: {bad}. Let recovery call `try_load` or `read`")
            }
        }
    }

    fn granularity(&self) -> Granularity {
        self.model.granularity
    }

    fn atomic_unit(&self) -> usize {
        WORD as usize
    }

    #[track_caller]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.check_word(at);
        assert!(
            matches!(order, Ordering::Relaxed | Ordering::Release | Ordering::SeqCst),
            "no order of a store"
        );
        let place = Location::caller();
        let releases = self.watch.store(order, place) != Ordering::Relaxed;
        let stored: (&[_], _) = (&[(at, word)], at..at + WORD);
        let mut state = self.access(Access::Changes, &stored.1);
        state.store(stored, Store::Ordinary { releases }, place);
    }

    #[track_caller]
    fn write(&self, at: u64, from: &[u8]) {
        self.check_bounds(at, from.len() as u64);
        self.copy(at, from, Store::Copy, Location::caller());
    }

    #[track_caller]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), BadBlock> {
        if self.model.writes_back() {
            self.write_back(range, Location::caller());
        } else {
            self.check_range(&range);
        }
        Ok(())
    }

    #[track_caller]
    fn fence(&self) -> Result<(), BadBlock> {
        let place = Location::caller();
        if self.watch.fences(place) {
            self.begin(Access::Changes).fence(place);
        }
        Ok(())
    }

    #[track_caller]
    fn order_observed(&self) {
        let place = Location::caller();
        if self.watch.fences(place) {
            self.begin(Access::Changes).order_observed(place);
        }
    }

    #[track_caller]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), BadBlock> {
        self.copy_parts(parts, true);
        Ok(())
    }

    #[expect(unsafe_code, reason = "its duty is about other media")]
    #[track_caller]
    unsafe fn copy_unordered(&self, parts: &[(u64, &[u8])]) -> Result<(), BadBlock> {
        self.copy_parts(parts, false);
        Ok(())
    }

    #[track_caller]
    fn deep_persist(&self, range: Range<u64>) -> Result<(), BadBlock> {
        self.write_back(range, Location::caller());
        self.fence()
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
