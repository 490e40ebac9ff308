//! Write-backs of pages that several threads request at the same time, made by one of them.
//!
//! The kernel reports a failure to only one caller, and does not record some failures at all (a flush of the drive,
//! metadata). So calls never overlap. A thread that finds a call under way waits; then one of the waiting threads makes
//! the next call for all of them whose ranges are near each other, from the first byte to the last. A range that is far
//! away has a call of its own, so that no caller waits for the dirty pages in between.

use core::ops::Range;
#[cfg(cachemaint_loom)]
use loom::sync::{Condvar, Mutex};
use std::sync::PoisonError;
#[cfg(not(cachemaint_loom))]
use std::sync::{Condvar, Mutex};

/// The largest number of bytes between two ranges that one call writes back.
const NEAR: usize = 64 << 10;

/// The rounds of one mapping, whose calls fail by `E`.
#[derive(Debug)]
pub(super) struct Rounds<E> {
    state: Mutex<State<E>>,
    ended: Condvar,
}

#[derive(Debug)]
struct State<E> {
    /// True while a thread makes a call.
    is_led: bool,
    /// The number of the round that collects ranges.
    collecting: u64,
    /// The number of rounds that have ended.
    ended: u64,
    /// The range from the first byte to the last of those that are collected; `None` if there are none.
    joined: Option<Range<usize>>,
    /// The first round that failed.
    failed: Option<(u64, E)>,
    /// The threads that sleep.
    asleep: usize,
}

impl<E> State<E> {
    /// Adds a range to those that are collected, if it is near them, and returns the number of their round.
    fn collect(&mut self, range: &Range<usize>) -> Option<u64> {
        let joined = match &self.joined {
            None => range.clone(),
            Some(all) if range.start > all.end + NEAR || all.start > range.end + NEAR => {
                return None;
            }
            Some(all) => all.start.min(range.start)..all.end.max(range.end),
        };
        self.joined = Some(joined);
        Some(self.collecting)
    }
}

impl<E> Default for Rounds<E> {
    fn default() -> Self {
        let state =
            State { is_led: false, collecting: 0, ended: 0, joined: None, failed: None, asleep: 0 };
        Self { state: Mutex::new(state), ended: Condvar::new() }
    }
}

impl<E: Copy> Rounds<E> {
    /// Returns once a range was part of a call that began after this function was called. `call` writes back a range
    /// that has the ranges of several callers, each of which gets its failure. It must not panic.
    pub(super) fn join(
        &self,
        range: Range<usize>,
        call: impl FnOnce(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let round = state.collect(&range);
        while state.is_led {
            state.asleep += 1;
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
            if let Some(round) = round
                && state.ended > round
            {
                let failed = state.failed.filter(|(first, _)| *first == round);
                return failed.map_or(Ok(()), |(_, failure)| Err(failure));
            }
        }
        state.is_led = true;
        let range = match round {
            Some(_) => state.joined.take().unwrap_or(range),
            None => range,
        };
        state.collecting += u64::from(round.is_some());
        drop(state);
        let result = call(range);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_led = false;
        if let Some(round) = round {
            state.ended = round + 1;
            if let (Err(failure), None) = (result, state.failed) {
                state.failed = Some((round, failure));
            }
        }
        if state.asleep > 0 {
            self.ended.notify_all();
        }
        result
    }
}

#[cfg(test)]
#[cfg(not(cachemaint_loom))]
mod tests {
    use super::Rounds;
    use alloc::vec::Vec;
    use core::ops::Range;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::thread;

    /// Runs `join` for each range while a call is under way, and returns the ranges of their calls.
    fn called_for<const N: usize>(
        ranges: [Range<usize>; N],
        result: Result<(), i32>,
    ) -> Vec<Range<usize>> {
        let rounds = &Rounds::default();
        let calls = &Mutex::new(Vec::new());
        let (begun, has_begun) = channel();
        let (may_end, end) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                rounds.join(0..1, |_| {
                    begun.send(()).unwrap();
                    end.recv().unwrap();
                    Ok(())
                })
            });
            has_begun.recv().unwrap();
            for range in ranges {
                scope.spawn(move || {
                    let joined = rounds.join(range, |all| {
                        calls.lock().unwrap().push(all);
                        result
                    });
                    assert_eq!(joined, result);
                });
            }
            while rounds.state.lock().unwrap().asleep < N {
                thread::yield_now();
            }
            may_end.send(()).unwrap();
        });
        let mut calls = calls.lock().unwrap().clone();
        calls.sort_by_key(|range| range.start);
        calls
    }

    #[test]
    fn near_ranges_that_wait_are_written_by_one_call_whose_failure_all_get() {
        for result in [Ok(()), Err(5)] {
            let calls = called_for([40..48, 8..16, 80..88], result);
            assert!(calls.iter().eq([&(8..88)]), "{calls:?}");
        }
    }

    /// The caller of one end of a file does not wait for what others have stored in between.
    #[test]
    fn a_range_far_away_has_a_call_of_its_own() {
        let end = 1 << 30..(1 << 30) + 8;
        assert_eq!(called_for([0..8, end.clone()], Ok(())), [0..8, end]);
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::Rounds;
    use alloc::sync::Arc;
    use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
    use loom::sync::atomic::{AtomicBool, AtomicU64};

    /// Stores a word and has it written back. The device keeps the words of the range as they are at the call.
    fn store_and_write_back(
        rounds: &Rounds<()>,
        stored: &[AtomicU64; 2],
        kept: &[AtomicU64; 2],
        at: usize,
        busy: &AtomicBool,
    ) {
        stored[at].store(1, Relaxed);
        let written = rounds.join(at..at + 1, |range| {
            assert!(!busy.swap(true, SeqCst), "two calls run at a time");
            for place in range {
                kept[place].store(stored[place].load(Relaxed), Relaxed);
            }
            busy.store(false, SeqCst);
            Ok(())
        });
        written.unwrap();
        assert_eq!(kept[at].load(Relaxed), 1, "the range was not written back");
    }

    /// Each call returns, and its range was written back after it was made.
    #[test]
    fn a_call_returns_when_its_range_was_written_back() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let all = Arc::new((
                Rounds::<()>::default(),
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
