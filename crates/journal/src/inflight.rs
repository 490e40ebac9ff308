//! The records under way, in ordinary memory: their reservations, and the watermark of durable ones.
//!
//! A producer reserves by moving the tail. When its reservation is durable, it stores an entry in the slot of the
//! reservation's start. Any thread can move the watermark over entries without a gap. So there is no leader, and no
//! thread holds a lock. An entry of an earlier lap is before the watermark, so entries need not be cleared.

use super::geometry::{Geometry, HEADER, Placement};
#[cfg(feature = "std")]
use super::wait::Waiters;
use alloc::boxed::Box;
use cachemaint_format::sync::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
#[cfg(feature = "std")]
use core::time::Duration;

/// A value in lines of its own, also on machines that fetch two lines at once.
#[derive(Debug)]
#[repr(align(128))]
struct Alone<T>(T);

/// The reason why a reservation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No space until older records are trimmed.
    Full { needed: u64, free: u64 },
    /// No space in the window until records under way are durable.
    Busy,
    /// A failed journal.
    Failed,
}

/// A position that no reservation has.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct InFlight {
    geometry: Geometry,
    /// The end of the last reservation.
    tail: Alone<AtomicU64>,
    /// The watermark: the position before which everything is durable.
    durable: Alone<AtomicU64>,
    /// The oldest record. Its segment is not overwritten.
    head: Alone<AtomicU64>,
    /// The least start of a reservation that failed, or [`NEVER`].
    failed: AtomicU64,
    /// For each stretch of a header's size, the end of the durable reservation that begins there.
    done: Box<[AtomicU64]>,
    /// The threads that wait for the watermark, the head or a failure.
    #[cfg(feature = "std")]
    waiters: Waiters,
}

impl InFlight {
    pub(super) fn new(geometry: Geometry, head: u64, tail: u64) -> Self {
        // Reservations under way are within a window, and none is shorter than a header. So their starts are a header
        // apart at least, and a window less a header at most: each has a slot of its own. An entry that another one has
        // left there is before the watermark.
        let entries = (geometry.window / HEADER).next_power_of_two();
        Self {
            geometry,
            tail: Alone(AtomicU64::new(tail)),
            durable: Alone(AtomicU64::new(tail)),
            head: Alone(AtomicU64::new(head)),
            failed: AtomicU64::new(NEVER),
            done: (0..entries).map(|_| AtomicU64::new(0)).collect(),
            #[cfg(feature = "std")]
            waiters: Waiters::new(),
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.head.0.load(Acquire)
    }

    /// Releases the space before `head`. The caller has made the new head durable.
    pub(super) fn trim(&self, head: u64) {
        self.head.0.store(head, Release);
        self.announce();
    }

    pub(super) fn free(&self) -> u64 {
        self.geometry.limit(self.head()).saturating_sub(self.tail.0.load(Relaxed))
    }

    /// Returns the watermark as it was last moved. More may be durable already.
    #[inline]
    pub(super) fn durable(&self) -> u64 {
        self.durable.0.load(Acquire)
    }

    /// Returns true if a reservation has failed, so that there will be no further one.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Acquire) != NEVER
    }

    /// Returns true if the watermark will never reach `end`, since a reservation before it has failed.
    pub(super) fn never_reaches(&self, end: u64) -> bool {
        self.failed.load(Acquire) < end
    }

    /// Notes that the reservation at `start` has failed. The watermark never passes it.
    pub(super) fn fail(&self, start: u64) {
        self.failed.fetch_min(start, Release);
        self.announce();
    }

    /// Notes that the medium has failed apart from all reservations: there will be no further one.
    pub(super) fn fail_later(&self) {
        self.fail(NEVER - 1);
    }

    /// Wakes the waiting threads after a store.
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "no thread waits"))]
    pub(super) fn announce(&self) {
        #[cfg(feature = "std")]
        self.waiters.fence_and_wake();
    }

    /// Wakes the waiting threads after a move of the watermark.
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "no thread waits"))]
    #[inline]
    fn announce_watermark(&self) {
        #[cfg(feature = "std")]
        self.waiters.wake();
    }

    /// Waits for an [announcement](Self::announce) while `goes_on` returns true, at most for `timeout`.
    #[cfg(feature = "std")]
    pub(super) fn wait(&self, timeout: Duration, goes_on: impl FnMut() -> bool) {
        self.waiters.wait(timeout, goes_on);
    }

    /// Ends all waits, now and from now on.
    #[cfg(feature = "std")]
    pub(super) fn cancel_waits(&self) {
        self.waiters.cancel();
    }

    /// Reserves `size` bytes for a record, or for several.
    #[inline]
    pub(super) fn reserve(&self, size: u64) -> Result<Placement, Refused> {
        let mut tail = self.tail.0.load(Relaxed);
        loop {
            let placement = self.geometry.placement(tail, size);
            self.check(&placement)?;
            let moved = self.tail.0.compare_exchange_weak(tail, placement.end, Relaxed, Relaxed);
            match moved {
                Ok(_) => return Ok(placement),
                Err(now) => tail = now,
            }
        }
    }

    /// Returns true if records of `size` bytes can be reserved before older ones are trimmed.
    #[cfg(feature = "std")]
    pub(super) fn has_room(&self, size: u64) -> bool {
        let placement = self.geometry.placement(self.tail.0.load(Relaxed), size);
        placement.end <= self.geometry.limit(self.head())
    }

    #[inline]
    fn check(&self, placement: &Placement) -> Result<(), Refused> {
        if self.has_failed() {
            return Err(Refused::Failed);
        }
        let limit = self.geometry.limit(self.head());
        let Placement { start, end, .. } = *placement;
        if end > limit {
            return Err(Refused::Full { needed: end - start, free: limit.saturating_sub(start) });
        }
        let window = self.geometry.window;
        if placement.end > self.durable.0.load(Acquire) + window
            && placement.end > self.advance() + window
        {
            return Err(Refused::Busy);
        }
        Ok(())
    }

    #[inline]
    fn entry(&self, start: u64) -> &AtomicU64 {
        // The mask keeps it in range.
        &self.done[(start / HEADER) as usize & (self.done.len() - 1)]
    }

    /// Notes that a reservation is durable. Moves the watermark over it, or leaves an entry over which the next thread
    /// moves the watermark. Returns true if the watermark has moved. If not, the caller advances it again, or
    /// [announces](Self::announce) the entry.
    #[inline]
    pub(super) fn done(&self, placement: &Placement) -> bool {
        let Placement { start, end, .. } = *placement;
        // Mostly no earlier record is under way.
        let moves = self.durable.0.compare_exchange(start, end, SeqCst, Relaxed).is_ok();
        if moves {
            self.announce_watermark();
        } else {
            self.entry(start).store(end, Release);
        }
        moves
    }

    /// Moves the watermark over all durable reservations without a gap, and returns it.
    #[inline]
    pub(super) fn advance(&self) -> u64 {
        let (durable, has_moved) = self.moved();
        if has_moved {
            self.announce_watermark();
        }
        durable
    }

    /// Does the same as [`advance`](Self::advance) for a thread that [waits](Self::wait).
    #[cfg(feature = "std")]
    pub(super) fn watermark(&self) -> u64 {
        let (durable, has_moved) = self.moved();
        if has_moved {
            self.waiters.wake_others();
        }
        durable
    }

    /// Moves the watermark over all durable reservations without a gap. Returns it, and true if it has moved.
    #[inline]
    fn moved(&self) -> (u64, bool) {
        let mut durable = self.durable.0.load(Acquire);
        let mut has_moved = false;
        loop {
            let end = self.entry(durable).load(Acquire);
            if end <= durable {
                return (durable, has_moved);
            }
            match self.durable.0.compare_exchange_weak(durable, end, SeqCst, Acquire) {
                Ok(_) => (durable, has_moved) = (end, true),
                Err(now) => durable = now,
            }
        }
    }
}

#[cfg(all(test, not(cachemaint_loom)))]
mod tests {
    use super::{InFlight, Refused};
    use crate::geometry::{Geometry, Placement};
    use alloc::vec::Vec;

    const GEOMETRY: Geometry = Geometry { segment: 128, capacity: 1024, alignment: 8, window: 512 };

    /// Reserves as many records of these sizes as the window admits.
    fn filled(in_flight: &InFlight, sizes: &[u64]) -> Vec<Placement> {
        let mut refused = None;
        let reserve = |size: &u64| in_flight.reserve(*size).map_err(|why| refused = Some(why)).ok();
        let placements = sizes.iter().cycle().map_while(reserve).collect();
        assert!(matches!(refused, Some(Refused::Busy)), "{refused:?}");
        placements
    }

    /// A slot of eight bytes for each 16 bytes of the window, and as many slots as a power of two.
    #[test]
    fn a_window_takes_half_its_size_in_memory_rounded_up_to_a_power_of_two() {
        for (window, bytes) in [(512, 256), (640, 512)] {
            let in_flight = InFlight::new(Geometry { window, ..GEOMETRY }, 0, 64);
            assert_eq!(size_of_val(&*in_flight.done), bytes);
        }
    }

    /// Records of 16 bytes begin at any word: after one of 24 bytes each begins in the middle of a slot.
    #[test]
    fn records_of_a_full_window_have_slots_of_their_own() {
        for sizes in [&[16][..], &[24, 16, 16, 16], &[16, 16, 16, 24], &[40, 16]] {
            let in_flight = InFlight::new(GEOMETRY, 0, 64);
            for _ in 0..100 {
                in_flight.trim(in_flight.durable());
                let under_way = filled(&in_flight, sizes);
                assert!(under_way.len() > 5, "{under_way:?}");
                // The first one is the last to be durable.
                for placement in under_way.iter().rev() {
                    assert_eq!(in_flight.advance(), under_way[0].start);
                    in_flight.done(placement);
                }
                assert_eq!(in_flight.advance(), under_way[under_way.len() - 1].end);
            }
        }
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::{InFlight, Refused};
    use crate::geometry::Geometry;
    use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
    use core::time::Duration;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;

    const GEOMETRY: Geometry = Geometry { segment: 128, capacity: 1024, alignment: 8, window: 256 };

    /// The watermark passes a record only if all earlier ones are durable, by whichever thread it is moved. It passes
    /// all of them in the end, although a thread may miss the entry that another one has just stored.
    #[test]
    fn an_acknowledged_record_has_only_durable_ones_before_it() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let first = in_flight.reserve(24).unwrap();
            let second = in_flight.reserve(24).unwrap();
            let is_first_durable = Arc::new(AtomicBool::new(false));
            let producer = {
                let (in_flight, is_durable) =
                    (Arc::clone(&in_flight), Arc::clone(&is_first_durable));
                loom::thread::spawn(move || {
                    is_durable.store(true, Relaxed);
                    in_flight.done(&first);
                    in_flight.advance();
                })
            };
            in_flight.done(&second);
            if in_flight.advance() >= second.end {
                assert!(is_first_durable.load(Relaxed), "acknowledged over a hole");
            }
            producer.join().unwrap();
            // A waiting thread advances the watermark again.
            assert_eq!(in_flight.advance(), second.end);
        });
    }

    /// Two producers never reserve the same space.
    #[test]
    fn no_two_producers_get_the_same_room() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let other = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.reserve(40).unwrap())
            };
            let mine = in_flight.reserve(40).unwrap();
            let theirs = other.join().unwrap();
            assert!(mine.end <= theirs.start || theirs.end <= mine.start, "{mine:?} {theirs:?}");
        });
    }

    /// A producer that sees trimmed space also sees everything before the trim: the durable new head.
    #[test]
    fn space_is_reused_only_after_a_durable_trim() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 1024 - 16));
            let is_durable = Arc::new(AtomicBool::new(false));
            let trimmer = {
                let (in_flight, is_durable) = (Arc::clone(&in_flight), Arc::clone(&is_durable));
                loom::thread::spawn(move || {
                    is_durable.store(true, Relaxed);
                    in_flight.trim(512);
                })
            };
            match in_flight.reserve(24) {
                Ok(_) => assert!(is_durable.load(Relaxed), "room before it was given up"),
                Err(refused) => assert!(matches!(refused, Refused::Full { .. })),
            }
            trimmer.join().unwrap();
        });
    }

    /// Two records become durable in any order, the later one by a thread that does not check again.
    #[test]
    fn a_thread_that_waits_is_woken_by_the_last_record() {
        // All interleavings of three threads would take many minutes.
        let mut few = loom::model::Builder::new();
        few.preemption_bound = Some(3);
        few.check(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let first = in_flight.reserve(24).unwrap();
            let second = in_flight.reserve(24).unwrap();
            let producer = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.done(&first))
            };
            let submitter = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || {
                    if !in_flight.done(&second) {
                        in_flight.announce();
                    }
                })
            };
            in_flight.wait(Duration::MAX, || in_flight.watermark() < second.end);
            producer.join().unwrap();
            submitter.join().unwrap();
        });
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_a_cancellation() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let canceller = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.cancel_waits())
            };
            in_flight.wait(Duration::MAX, || true);
            canceller.join().unwrap();
        });
    }

    /// A thread that sees the failure of the journal also sees its reason. No record after the failed one is acknowledged.
    #[test]
    fn a_failure_is_seen_by_who_waits() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let first = in_flight.reserve(24).unwrap();
            let second = in_flight.reserve(24).unwrap();
            let reason = Arc::new(AtomicBool::new(false));
            let failing = {
                let (in_flight, reason) = (Arc::clone(&in_flight), Arc::clone(&reason));
                loom::thread::spawn(move || {
                    reason.store(true, Release);
                    in_flight.fail(first.start);
                })
            };
            in_flight.done(&second);
            assert!(in_flight.advance() <= first.start);
            if in_flight.never_reaches(second.end) {
                assert!(reason.load(Acquire));
            }
            failing.join().unwrap();
            assert!(matches!(in_flight.reserve(24), Err(Refused::Failed)));
        });
    }

    /// The record after a failed one never is acknowledged, and those before it are.
    #[test]
    fn records_before_a_failed_one_are_acknowledged() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let [first, second, third] = [(); 3].map(|()| in_flight.reserve(16).unwrap());
            let failing = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.fail(third.start))
            };
            in_flight.done(&second);
            assert!(!in_flight.never_reaches(second.end));
            in_flight.done(&first);
            assert_eq!(in_flight.advance(), second.end);
            failing.join().unwrap();
            assert!(in_flight.never_reaches(third.end) && !in_flight.never_reaches(second.end));
        });
    }

    /// The write-back of the last reservation fails, and the first one is dropped then.
    #[test]
    fn a_thread_that_waits_before_a_failed_record_is_woken_by_an_earlier_failure() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let [first, second, third] = [(); 3].map(|()| in_flight.reserve(16).unwrap());
            in_flight.fail(third.start);
            let dropping = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.fail(first.start))
            };
            in_flight.done(&second);
            in_flight.wait(Duration::MAX, || !in_flight.never_reaches(second.end));
            dropping.join().unwrap();
            assert!(in_flight.never_reaches(first.end));
        });
    }
}
