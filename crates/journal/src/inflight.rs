//! The records in progress, in ordinary memory: their reservations, and the watermark of durable ones.
//!
//! A producer reserves space by moving the tail. When its reservation is durable, it stores an entry in the slot of the
//! reservation's start. Any thread can move the watermark over contiguous entries, so there is no leader, and no thread
//! holds a lock. Entries of earlier laps lie before the watermark and need not be cleared.

use super::geometry::{Geometry, HEADER, Placement};
#[cfg(feature = "std")]
use super::waiters::Waiters;
use alloc::boxed::Box;
use cachemaint_format::sync::{self, AtomicU64};
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
#[cfg(feature = "std")]
use core::time::Duration;

/// A value in its own cache lines, even on machines that fetch two lines at once.
#[derive(Debug)]
#[repr(align(128))]
struct Alone<T>(T);

/// The reason why a reservation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No space until older records are trimmed.
    Full { needed: u64, free: u64 },
    /// No space in the window until records in progress are durable.
    Busy,
    /// The record would enter this segment, before which the caller looks for another writer.
    Segment(u64),
    /// The journal has failed.
    Failed,
}

/// The number of times that a thread polls before it sleeps.
const SPINS: u32 = if cfg!(cachemaint_loom) { 0 } else { 200 };

/// A position that no reservation has.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct InFlight {
    geometry: Geometry,
    /// The end of the last reservation.
    tail: Alone<AtomicU64>,
    /// The watermark: the position before which everything is durable.
    durable: Alone<AtomicU64>,
    /// The position of the oldest record. Its segment is not overwritten.
    head: Alone<AtomicU64>,
    /// The lowest start of a failed reservation, or [`NEVER`].
    failed: AtomicU64,
    /// For each `HEADER` bytes, the end of the durable reservation that begins there.
    done: Box<[AtomicU64]>,
    /// The threads that are waiting for the watermark, the head or a failure.
    #[cfg(feature = "std")]
    waiters: Waiters,
}

impl InFlight {
    pub(super) fn new(geometry: Geometry, head: u64, tail: u64) -> Self {
        // Reservations in progress lie within one window, and none is shorter than a header. Their starts are therefore
        // at least a header and at most a window less a header apart, so each has its own slot. Any other entry found
        // in that slot is before the watermark.
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
        self.head.0.swap(head, SeqCst);
        self.announce();
    }

    pub(super) fn free(&self) -> u64 {
        self.geometry.limit(self.head()).saturating_sub(self.tail.0.load(Relaxed))
    }

    /// Returns the watermark as last moved. More records may already be durable.
    #[inline]
    pub(super) fn durable(&self) -> u64 {
        self.durable.0.load(Acquire)
    }

    /// Returns true if a reservation has failed. There will be no further one.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Acquire) != NEVER
    }

    /// Returns true if the watermark will never reach `end`, because an earlier reservation failed.
    pub(super) fn never_reaches(&self, end: u64) -> bool {
        self.failed.load(Acquire) < end
    }

    /// Records that the reservation at `start` has failed. The watermark never passes it.
    pub(super) fn fail(&self, start: u64) {
        self.failed.fetch_min(start, SeqCst);
        self.announce();
    }

    /// Records that the medium failed outside any reservation. There will be no further one.
    pub(super) fn fail_later(&self) {
        self.fail(self.tail.0.load(SeqCst));
    }

    /// Wakes the waiting threads after a change that was made by a sequentially consistent read-modify-write.
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "no thread waits"))]
    #[inline]
    pub(super) fn announce(&self) {
        #[cfg(feature = "std")]
        self.waiters.wake();
    }

    /// Waits for an [announcement](Self::announce) while `goes_on` returns true, for at most `timeout`.
    #[cfg(feature = "std")]
    pub(super) fn wait(&self, timeout: Duration, mut goes_on: impl FnMut() -> bool) {
        self.waiters.sleep(timeout, |is_cancelled| !is_cancelled && goes_on());
    }

    /// Waits for other threads while `goes_on` returns true: first by polling for a moment, then asleep until an
    /// [announcement](Self::announce).
    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "no thread sleeps"))]
    pub(super) fn wait_for_others(&self, mut goes_on: impl FnMut() -> bool) {
        for _ in 0..SPINS {
            if !goes_on() {
                return;
            }
            sync::spin_loop();
        }
        #[cfg(feature = "std")]
        if sync::may_sleep() {
            let mut is_over = false;
            self.waiters.sleep(Duration::MAX, |_| {
                is_over = !goes_on();
                !is_over
            });
            if is_over {
                return;
            }
        }
        while goes_on() {
            sync::spin_loop();
        }
    }

    /// Ends all current and future waits.
    #[cfg(feature = "std")]
    pub(super) fn cancel_waits(&self) {
        self.waiters.cancel();
    }

    /// Reserves `size` bytes for one or more records. They may enter the segment that begins at `looked`.
    // Inline, since a result in memory stalls what depends on it.
    #[inline(always)]
    pub(super) fn reserve(&self, size: u64, looked: u64) -> Result<Placement, Refused> {
        let mut tail = self.tail.0.load(Relaxed);
        loop {
            if self.failed.load(Acquire) != NEVER {
                return Err(Refused::Failed);
            }
            let mut durable = self.durable.0.load(Acquire);
            let Placement { end, mark, .. } = self.geometry.placement(tail, size, durable);
            let limit = self.geometry.limit(self.head.0.load(Acquire));
            if end > limit {
                return Err(Refused::Full { needed: end - tail, free: limit.saturating_sub(tail) });
            }
            let window = self.geometry.window;
            if end > durable + window {
                // The record states the distance to this watermark, which must be within the window.
                durable = self.advance();
                if end > durable + window {
                    return Err(Refused::Busy);
                }
            }
            if let Some(segment) = mark.filter(|segment| *segment != looked) {
                return Err(Refused::Segment(segment));
            }
            match self.tail.0.compare_exchange_weak(tail, end, Relaxed, Relaxed) {
                Ok(_) => return Ok(self.geometry.placement(tail, size, durable)),
                Err(now) => tail = now,
            }
        }
    }

    /// Waits until the window has space for records of `size` bytes, or the journal has failed.
    #[cold]
    pub(super) fn wait_for_window(&self, size: u64) {
        self.wait_for_others(|| {
            self.next_end(size) > self.advance() + self.geometry.window && !self.has_failed()
        });
    }

    /// Returns true if records of `size` bytes can be reserved without trimming older ones.
    #[cfg(feature = "std")]
    pub(super) fn has_room(&self, size: u64) -> bool {
        self.next_end(size) <= self.geometry.limit(self.head())
    }

    /// Returns the end of the next reservation.
    fn next_end(&self, size: u64) -> u64 {
        self.geometry.placement(self.tail.0.load(Relaxed), size, 0).end
    }

    /// Records that a reservation is durable, and returns the watermark. Moves the watermark over the reservation, or
    /// leaves an entry for whoever next calls [`advance`](Self::advance).
    #[inline]
    pub(super) fn done(&self, placement: &Placement) -> u64 {
        let Placement { start, end, .. } = *placement;
        // Usually no earlier record is in progress.
        if self.durable.0.compare_exchange(start, end, SeqCst, Relaxed).is_err() {
            self.done[(start / HEADER) as usize & (self.done.len() - 1)].swap(end, SeqCst);
        }
        #[cfg(feature = "std")]
        self.waiters.wake();
        self.advance()
    }

    /// Waits until the watermark reaches `end`, and returns it. The result is lower if it never will.
    #[cold]
    pub(super) fn reach(&self, end: u64) -> u64 {
        let mut durable = 0;
        self.wait_for_others(|| {
            let is_hopeless = self.never_reaches(end);
            durable = self.advance();
            durable < end && !is_hopeless
        });
        durable
    }

    /// Returns true if no reservation follows the one that ends at `end`.
    #[inline]
    pub(super) fn is_last(&self, end: u64) -> bool {
        self.tail.0.load(Relaxed) == end
    }

    /// Moves the watermark over all contiguous durable reservations, and returns it. Waiting threads do this
    /// themselves, so the move need not be announced.
    #[inline]
    pub(super) fn advance(&self) -> u64 {
        let mut durable = self.durable.0.load(Acquire);
        loop {
            let end = self.done[(durable / HEADER) as usize & (self.done.len() - 1)].load(Acquire);
            if end <= durable {
                return durable;
            }
            match self.durable.0.compare_exchange_weak(durable, end, SeqCst, Acquire) {
                Ok(_) => durable = end,
                Err(now) => durable = now,
            }
        }
    }
}

#[cfg(test)]
mod tests_support {
    use super::{InFlight, Refused};
    use crate::geometry::Placement;

    /// Reserves space for a writer that has looked for another one.
    pub(super) fn reserve(in_flight: &InFlight, size: u64) -> Result<Placement, Refused> {
        match in_flight.reserve(size, u64::MAX) {
            Err(Refused::Segment(segment)) => in_flight.reserve(size, segment),
            reserved => reserved,
        }
    }
}

#[cfg(all(test, not(cachemaint_loom)))]
mod tests {
    use super::tests_support::reserve;
    use super::{InFlight, Refused};
    use crate::geometry::{Geometry, Placement};
    use alloc::vec::Vec;
    use core::sync::atomic::Ordering::SeqCst;

    /// Reserves as many records of these sizes as the window admits.
    fn filled(in_flight: &InFlight, sizes: &[u64]) -> Vec<Placement> {
        let mut refused = None;
        let reserved =
            |size: &u64| reserve(in_flight, *size).map_err(|why| refused = Some(why)).ok();
        let placements = sizes.iter().cycle().map_while(reserved).collect();
        assert!(matches!(refused, Some(Refused::Busy)), "{refused:?}");
        placements
    }

    /// The watermark as last moved is a whole window behind, and the record enters no segment. By hand, with marks of 64
    /// bytes, segments of 128 and a window of 256: records take 64 to 128, 192 to 256 and 320 to 384.
    #[test]
    fn a_record_in_a_full_window_states_a_distance_within_the_window() {
        let in_flight = InFlight::new(Geometry::new(128, 1024, 8).unwrap(), 0, 64);
        in_flight.done(&reserve(&in_flight, 32).unwrap());
        let [second, .., fifth] = [(); 4].map(|()| reserve(&in_flight, 32).unwrap());
        assert_eq!(reserve(&in_flight, 32), Err(Refused::Busy));
        // Another thread has left the entry of the second record, and has yet to move the watermark over it.
        in_flight.done[96 / 16].store(second.end, SeqCst);
        let sixth = reserve(&in_flight, 32).unwrap();
        assert_eq!((second.record, fifth.record, sixth.record), (96, 320, 352));
        assert_eq!(sixth.durable, 128);
    }

    /// Records of 16 bytes can begin at any word: after one of 24 bytes, each begins in the middle of a slot.
    #[test]
    fn records_of_a_full_window_have_slots_of_their_own() {
        let sizes = [&[16][..], &[24, 16, 16, 16], &[16, 16, 16, 24], &[40, 16]];
        // The window is a quarter of the segments. 24 slots are rounded up to 32.
        for (segments, sizes) in
            [16, 12].into_iter().flat_map(|some| sizes.map(|sizes| (some, sizes)))
        {
            let geometry = Geometry::new(128, segments * 128, 8).unwrap();
            let in_flight = InFlight::new(geometry, 0, 64);
            for _ in 0..100 {
                in_flight.trim(in_flight.durable());
                let under_way = filled(&in_flight, sizes);
                assert!(under_way.len() > 5, "{under_way:?}");
                // The first record becomes durable last.
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
    use super::tests_support::reserve;
    use super::{InFlight, Refused};
    use crate::geometry::Geometry;
    use core::sync::atomic::Ordering::Relaxed;
    use core::time::Duration;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;

    const GEOMETRY: Geometry = Geometry::new(128, 1024, 8).unwrap();

    /// The records of two threads do not overlap. Whichever thread moves the watermark, it passes the later record only
    /// once the earlier one is durable, and it ends after both.
    #[test]
    fn an_acknowledged_record_has_only_durable_ones_before_it() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let is_durable = Arc::new(AtomicBool::new(false));
            let other = {
                let (in_flight, is_durable) = (Arc::clone(&in_flight), Arc::clone(&is_durable));
                loom::thread::spawn(move || {
                    let theirs = reserve(&in_flight, 24).unwrap();
                    is_durable.store(true, Relaxed);
                    in_flight.done(&theirs);
                    theirs
                })
            };
            let mine = reserve(&in_flight, 24).unwrap();
            in_flight.done(&mine);
            if mine.start > 64 && in_flight.advance() >= mine.end {
                assert!(is_durable.load(Relaxed), "acknowledged over a hole");
            }
            let theirs = other.join().unwrap();
            assert!(mine.end <= theirs.start || theirs.end <= mine.start, "{mine:?} {theirs:?}");
            assert_eq!(in_flight.advance(), 64 + 2 * 24);
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
            match reserve(&in_flight, 24) {
                Ok(_) => assert!(is_durable.load(Relaxed), "space reused before it was given up"),
                Err(refused) => assert!(matches!(refused, Refused::Full { .. })),
            }
            trimmer.join().unwrap();
        });
    }

    /// Records before the failed one are acknowledged, and a thread that sees the failure sees its reason.
    #[test]
    fn a_failure_is_seen_with_its_reason() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let [first, second] = [(); 2].map(|()| reserve(&in_flight, 16).unwrap());
            let has_reason = Arc::new(AtomicBool::new(false));
            let failing = {
                let (in_flight, has_reason) = (Arc::clone(&in_flight), Arc::clone(&has_reason));
                loom::thread::spawn(move || {
                    has_reason.store(true, Relaxed);
                    in_flight.fail(second.start);
                })
            };
            in_flight.done(&first);
            assert_eq!(in_flight.advance(), first.end);
            assert!(!in_flight.never_reaches(first.end));
            if in_flight.never_reaches(second.end) {
                assert!(has_reason.load(Relaxed));
            }
            failing.join().unwrap();
            assert!(matches!(reserve(&in_flight, 16), Err(Refused::Failed)));
        });
    }

    /// Two records become durable in either order, by threads that do not check again.
    #[test]
    fn a_thread_that_waits_is_woken_by_the_last_record() {
        // All interleavings of three threads would take many minutes.
        let mut few = loom::model::Builder::new();
        few.preemption_bound = Some(3);
        few.check(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let records = [(); 2].map(|()| reserve(&in_flight, 24).unwrap());
            let producers = records.map(|record| {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.done(&record))
            });
            in_flight.wait(Duration::MAX, || in_flight.advance() < records[1].end);
            producers.into_iter().for_each(|producer| _ = producer.join().unwrap());
        });
    }

    /// A thread with a durable record sleeps until the record before it is durable.
    #[test]
    fn a_thread_that_waits_for_an_earlier_record_is_woken() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let [first, second] = [(); 2].map(|()| reserve(&in_flight, 24).unwrap());
            let earlier = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.done(&first))
            };
            in_flight.done(&second);
            assert_eq!(in_flight.reach(second.end), second.end);
            earlier.join().unwrap();
        });
    }

    /// Another thread moves the watermark over two records while a third one finds the window full.
    #[test]
    fn a_record_is_within_a_window_of_the_watermark_that_it_states() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let [first, second] = [(); 2].map(|()| reserve(&in_flight, 64).unwrap());
            in_flight.done(&second);
            let earlier = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.done(&first))
            };
            if let Ok(next) = reserve(&in_flight, 64) {
                assert!(next.end <= next.durable + GEOMETRY.window, "{next:?}");
            }
            earlier.join().unwrap();
        });
    }

    /// A thread waits for the window, which another thread's record fills.
    #[test]
    fn a_thread_that_waits_for_the_window_is_woken() {
        loom::model(|| {
            let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, 64));
            let [first, _] = [(); 2].map(|()| reserve(&in_flight, 64).unwrap());
            assert_eq!(reserve(&in_flight, 64), Err(Refused::Busy));
            let earlier = {
                let in_flight = Arc::clone(&in_flight);
                loom::thread::spawn(move || in_flight.done(&first))
            };
            in_flight.wait_for_window(64);
            assert!(reserve(&in_flight, 64).is_ok());
            earlier.join().unwrap();
        });
    }

    /// By hand, with marks of 64 bytes: 24 bytes do not fit before the limit of 1024, nor before 1152 after a record of
    /// 64 bytes there.
    #[test]
    fn a_thread_that_waits_is_woken_by_a_cancellation_a_failure_and_a_trim() {
        const TAIL: u64 = 1024 - 16;
        let changes: [(fn(&InFlight), fn(&InFlight) -> bool); 3] = [
            (InFlight::cancel_waits, |_| false),
            (|in_flight| in_flight.fail(TAIL), |in_flight| in_flight.never_reaches(TAIL + 24)),
            (
                |in_flight| {
                    in_flight.trim(128);
                    reserve(in_flight, 64).unwrap();
                    in_flight.trim(512);
                },
                |in_flight| in_flight.has_room(24),
            ),
        ];
        for (change, is_met) in changes {
            loom::model(move || {
                let in_flight = Arc::new(InFlight::new(GEOMETRY, 0, TAIL));
                let changing = {
                    let in_flight = Arc::clone(&in_flight);
                    loom::thread::spawn(move || change(&in_flight))
                };
                in_flight.wait(Duration::MAX, || !is_met(&in_flight));
                changing.join().unwrap();
            });
        }
    }
}
