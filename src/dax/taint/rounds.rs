//! Rounds of calls that many threads make at the same time, each of which returns when all calls of its round have.
//!
//! A call may report what happened to another one. So none may return before those beside it have recorded their failures.
//! If each waited for the calls that others had begun meanwhile, threads that call again and again would wait for two or
//! three calls each time. In rounds they wait for those that run beside them anyway, and sleep meanwhile.

#[cfg(cachemaint_loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(cachemaint_loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// The rounds of one file.
#[derive(Debug)]
pub(super) struct Rounds {
    state: Mutex<State>,
    next: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the round.
    number: u64,
    /// The calls of the round that have not ended. Without any, no round runs.
    running: usize,
    /// True if a call of the round has ended, so that no further one joins it.
    is_closed: bool,
    /// The calls of the next round.
    waiting: usize,
    /// The threads that wait for the next round, to begin or to return.
    asleep: usize,
}

/// A call in its round, until it is dropped.
#[derive(Debug)]
pub(super) struct Member<'r> {
    rounds: &'r Rounds,
    waits: bool,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { state: Mutex::new(State::default()), next: Condvar::new() }
    }
}

impl Rounds {
    /// Joins the round that runs, until one of its calls has ended; then waits for the next one.
    pub(super) fn join(&self) -> Member<'_> {
        let mut state = self.state();
        if state.is_closed {
            state.waiting += 1;
            self.wait_for_next(state);
        } else {
            state.running += 1;
        }
        Member { rounds: self, waits: false }
    }

    /// No code panics under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_next(&self, mut state: MutexGuard<'_, State>) {
        let number = state.number;
        state.asleep += 1;
        while state.number == number {
            state = self.next.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep -= 1;
    }

    /// Ends a call of the round. The last one begins the next round.
    fn end_one(&self, state: &mut State) {
        state.running -= 1;
        state.is_closed = true;
        if state.running > 0 {
            return;
        }
        state.number = state.number.wrapping_add(1);
        state.running = core::mem::take(&mut state.waiting);
        state.is_closed = false;
        if state.asleep > 0 {
            self.next.notify_all();
        }
    }
}

impl Member<'_> {
    /// Ends the call, and waits until all calls of its round have ended.
    pub(super) fn end_with_all(mut self) {
        self.waits = true;
    }
}

/// Ends the call, which has failed if it does not wait for the others.
impl Drop for Member<'_> {
    fn drop(&mut self) {
        let Self { rounds, waits } = self;
        let mut state = rounds.state();
        rounds.end_one(&mut state);
        if *waits && state.is_closed {
            rounds.wait_for_next(state);
        }
    }
}

#[cfg(all(test, not(cachemaint_loom)))]
mod tests {
    use super::Rounds;
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::SeqCst;
    use core::time::Duration;
    use std::panic::catch_unwind;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);

    fn wait_until(is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < LONG);
            thread::yield_now();
        }
    }

    /// Otherwise threads that call again and again wait for each other's calls all the time.
    #[test]
    fn a_call_does_not_wait_for_one_that_came_when_another_had_ended() {
        let rounds = &Rounds::default();
        let (has_returned, returned) = channel();
        let (may_end, end) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                let member = rounds.join();
                end.recv_timeout(LONG).unwrap();
                member.end_with_all();
                has_returned.send(()).unwrap();
            });
            wait_until(|| rounds.state().running == 1);
            scope.spawn(|| rounds.join().end_with_all());
            wait_until(|| rounds.state().is_closed);
            scope.spawn(move || {
                let member = rounds.join();
                returned.recv_timeout(LONG).unwrap();
                member.end_with_all();
            });
            wait_until(|| rounds.state().waiting == 1);
            may_end.send(()).unwrap();
        });
    }

    #[test]
    fn a_call_that_panics_holds_up_no_other() {
        let rounds = Rounds::default();
        let panicked = catch_unwind(|| {
            let _member = rounds.join();
            panic!("the medium is gone");
        });
        assert!(panicked.is_err());
        rounds.join().end_with_all();
        assert_eq!(rounds.state().running, 0);
    }

    /// The moments are numbered: that when a call began, when it ended, and when it returned.
    #[test]
    fn a_call_returns_when_all_have_ended_that_began_before_it_ended() {
        const THREADS: usize = 4;
        const CALLS: usize = if cfg!(miri) { 10 } else { 100 };

        let (rounds, now) = (Rounds::default(), AtomicU64::new(0));
        let moment = || now.fetch_add(1, SeqCst);
        let calls = || {
            let call = |_| {
                let member = rounds.join();
                let began = moment();
                thread::yield_now();
                let ended = moment();
                member.end_with_all();
                [began, ended, moment()]
            };
            (0..CALLS).map(call).collect::<alloc::vec::Vec<_>>()
        };
        let calls: alloc::vec::Vec<_> = thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| scope.spawn(calls));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for [_, ended, returned] in &calls {
            let began_before = calls.iter().filter(|[began, ..]| began < ended);
            assert!(began_before.into_iter().all(|[_, others_end, _]| others_end < returned));
        }
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::Rounds;
    use alloc::sync::Arc;
    use loom::sync::atomic::AtomicBool;
    use loom::sync::atomic::Ordering::SeqCst;

    /// One call of a thread, of which the others see that it has begun and that it has ended.
    #[derive(Default)]
    struct Seen {
        has_begun: AtomicBool,
        has_ended: AtomicBool,
    }

    fn call(rounds: &Rounds, own: &Seen, others: &[&Seen]) {
        let member = rounds.join();
        own.has_begun.store(true, SeqCst);
        let beside = others.iter().filter(|other| other.has_begun.load(SeqCst));
        let beside: alloc::vec::Vec<_> = beside.collect();
        own.has_ended.store(true, SeqCst);
        member.end_with_all();
        for other in beside {
            assert!(other.has_ended.load(SeqCst), "a call beside it may still fail");
        }
    }

    /// Each call returns, and not before one that ran beside it has ended.
    #[test]
    fn a_call_returns_when_those_beside_it_have_ended() {
        let mut model = loom::model::Builder::new();
        // All interleavings of three threads take more than ten minutes.
        model.preemption_bound = Some(3);
        model.check(|| {
            let rounds = Arc::new(Rounds::default());
            let seen = Arc::new([(); 3].map(|()| Seen::default()));
            let threads = [0, 1].map(|thread| {
                let (rounds, seen) = (Arc::clone(&rounds), Arc::clone(&seen));
                loom::thread::spawn(move || {
                    let others = [&seen[1 - thread], &seen[2]];
                    call(&rounds, &seen[thread], &others);
                })
            });
            call(&rounds, &seen[2], &[&seen[0], &seen[1]]);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            // None of a call that failed.
            drop(rounds.join());
            rounds.join().end_with_all();
        });
    }
}
