//! Write-backs of pages that several threads request at the same time, made by one of them.
//!
//! The kernel reports a failure to only one caller, and does not record some failures at all (a flush of the drive,
//! metadata). So calls never overlap. A thread that finds a call under way waits; then one of the waiting threads makes
//! the next call for all of them, over the hull of their ranges. All of them return when it has ended.

use core::ops::Range;
#[cfg(cachemaint_loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(cachemaint_loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// The rounds of one mapping.
#[derive(Debug)]
pub(super) struct Rounds {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// True while a thread makes the call of a round.
    is_led: bool,
    /// The number of the round that collects ranges.
    collecting: u64,
    /// The number of rounds that have ended.
    ended: u64,
    /// The hull of the ranges that are collected; `None` if there are none.
    hull: Option<Range<usize>>,
    /// The threads that sleep.
    asleep: usize,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { state: Mutex::new(State::default()), ended: Condvar::new() }
    }
}

impl Rounds {
    /// Returns once a range was part of a call that began after this function was called. `call` writes back the hull
    /// of several ranges, and keeps its failure where all callers look for it. It must not panic.
    pub(super) fn join(&self, range: Range<usize>, call: impl FnOnce(Range<usize>)) {
        let mut state = self.state();
        let round = state.collecting;
        let hull = match state.hull.take() {
            None => range,
            Some(hull) => hull.start.min(range.start)..hull.end.max(range.end),
        };
        state.hull = Some(hull.clone());
        while state.is_led {
            state.asleep += 1;
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
            if state.ended > round {
                return;
            }
        }
        let hull = state.hull.take().unwrap_or(hull);
        state.is_led = true;
        state.collecting += 1;
        drop(state);
        call(hull);
        let mut state = self.state();
        state.is_led = false;
        state.ended = round + 1;
        if state.asleep > 0 {
            self.ended.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(cachemaint_loom)))]
mod tests {
    use super::Rounds;
    use core::sync::atomic::AtomicUsize;
    use core::sync::atomic::Ordering::SeqCst;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn ranges_that_wait_are_written_by_one_call_over_their_hull() {
        let rounds = &Rounds::default();
        let calls = &AtomicUsize::new(0);
        let (begun, has_begun) = channel();
        let (may_end, end) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                rounds.join(0..1, |_| {
                    begun.send(()).unwrap();
                    end.recv().unwrap();
                });
            });
            has_begun.recv().unwrap();
            for range in [40..48, 8..16, 80..88] {
                scope.spawn(move || {
                    rounds.join(range, |hull| {
                        assert_eq!(hull, 8..88);
                        calls.fetch_add(1, SeqCst);
                    });
                });
            }
            while rounds.state().asleep < 3 {
                thread::yield_now();
            }
            may_end.send(()).unwrap();
        });
        assert_eq!(calls.load(SeqCst), 1);
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::Rounds;
    use alloc::sync::Arc;
    use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
    use loom::sync::atomic::{AtomicBool, AtomicU64};

    /// Stores a word and has it written back. The device keeps the words of the hull as they are at the call.
    fn store_and_write_back(
        rounds: &Rounds,
        stored: &[AtomicU64; 2],
        kept: &[AtomicU64; 2],
        at: usize,
        busy: &AtomicBool,
    ) {
        stored[at].store(1, Relaxed);
        rounds.join(at..at + 1, |hull| {
            assert!(!busy.swap(true, SeqCst), "two calls run at a time");
            for place in hull {
                kept[place].store(stored[place].load(Relaxed), Relaxed);
            }
            busy.store(false, SeqCst);
        });
        assert_eq!(kept[at].load(Relaxed), 1, "the range was not written back");
    }

    /// Each call returns, and its range was written back after it was made.
    #[test]
    fn a_call_returns_when_its_range_was_written_back() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let all = Arc::new((
                Rounds::default(),
                [AtomicU64::new(0), AtomicU64::new(0)],
                [AtomicU64::new(0), AtomicU64::new(0)],
                AtomicBool::new(false),
            ));
            let threads = [0, 1].map(|at| {
                let all = Arc::clone(&all);
                loom::thread::spawn(move || {
                    store_and_write_back(&all.0, &all.1, &all.2, at, &all.3);
                })
            });
            store_and_write_back(&all.0, &all.1, &all.2, 0, &all.3);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
