//! The threads that have a call, for the signal handlers that interrupt them and make another one.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicU64, fence};
use core::time::Duration;
use std::thread;

/// The number of threads that can have a call at a time; another one waits.
pub(super) const MOST: usize = 64;

/// The number of places for threads that must not wait for one: as many as there can be.
const RESERVED: usize = MOST_CRASHING;

/// A bit of a taken place, whatever the numbers.
const IS_TAKEN: u32 = 1 << 31;

/// A bit of the place of a call that is made in a round, so that no thread waits for it here.
const IS_IN_ROUND: u32 = 1 << 30;

/// Calls of several threads, any of which may be the one that gets the error of the file.
#[derive(Debug)]
pub(super) struct Calls {
    /// The thread of each call, and the number of the call among all; 0 for a free place.
    pub(super) begun: [AtomicU64; MOST + RESERVED],
    next: AtomicU32,
}

impl Default for Calls {
    fn default() -> Self {
        let begun = [const { AtomicU64::new(0) }; MOST + RESERVED];
        Self { begun, next: AtomicU32::new(0) }
    }
}

/// A call, until it is dropped.
pub(super) struct Call<'c> {
    place: &'c AtomicU64,
    /// The word of the place afterwards.
    after: u64,
}

impl Call<'_> {
    /// Returns true if the call is to be made in a round.
    pub(super) fn is_in_round(&self) -> bool {
        !is_in_handler(self.place.load(Relaxed))
    }
}

impl Calls {
    /// Returns true if a thread has a call. If it is this one, a signal has interrupted the call.
    pub(super) fn has_one_of(&self, thread: u32) -> bool {
        self.place_of(thread).is_some()
    }

    fn place_of(&self, thread: u32) -> Option<&AtomicU64> {
        let is_own = |place: &&AtomicU64| place.load(Relaxed) >> 32 == u64::from(thread);
        self.begun.iter().find(is_own).filter(|_| thread != 0)
    }

    /// Begins a call. If a signal handler has interrupted one of this thread, or in a handler that stops recorders, it is not
    /// [in a round](Call::is_in_round), and others [wait](Self::wait_for_handlers) for it.
    pub(super) fn begin(&self) -> Call<'_> {
        let thread = this_thread();
        if let Some(place) = self.place_of(thread) {
            let after = place.load(Relaxed);
            place.store(after & !u64::from(IS_IN_ROUND), Relaxed);
            fence(SeqCst);
            return Call { place, after };
        }
        let (places, reserved) = self.begun.split_at(MOST);
        if is_crashing() {
            self.take(reserved, thread, 0)
        } else {
            self.take(places, thread, IS_IN_ROUND)
        }
    }

    /// Takes a free place.
    fn take<'c>(&self, places: &'c [AtomicU64], thread: u32, bits: u32) -> Call<'c> {
        let number = self.next.fetch_add(1, Relaxed) & (IS_IN_ROUND - 1);
        let call = u64::from(thread) << 32 | u64::from(number | IS_TAKEN | bits);
        let take = |place: &&AtomicU64| place.compare_exchange(0, call, Relaxed, Relaxed).is_ok();
        let mut turns = Turns::default();
        loop {
            if let Some(place) = places.iter().find(take) {
                // The system call comes after it, for a thread that has seen what the call did.
                fence(SeqCst);
                return Call { place, after: 0 };
            }
            turns.wait();
        }
    }

    /// Waits until all calls in handlers have ended that have begun by now.
    pub(super) fn wait_for_handlers(&self) {
        fence(SeqCst);
        self.wait_for(&self.words());
    }

    fn words(&self) -> [u64; MOST + RESERVED] {
        self.begun.each_ref().map(|place| place.load(Acquire))
    }

    /// Waits until calls in handlers have ended, and for none that takes the place of one: many threads would wait for one
    /// call after the other.
    fn wait_for(&self, begun: &[u64; MOST + RESERVED]) {
        for (place, call) in self.begun.iter().zip(begun).filter(|(_, call)| is_in_handler(**call))
        {
            let mut turns = Turns::default();
            while place.load(Acquire) == *call {
                turns.wait();
            }
        }
    }
}

const fn is_in_handler(call: u64) -> bool {
    call != 0 && call & IS_IN_ROUND as u64 == 0
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.place.store(self.after, Release);
    }
}

/// Waiting for another thread's system call without a lock, so that it can be done in a signal handler.
#[derive(Default)]
struct Turns(u32);

impl Turns {
    fn wait(&mut self) {
        const AT_ONCE: u32 = 20;
        const LATER: Duration = Duration::from_micros(50);

        if self.0 < AT_ONCE {
            self.0 += 1;
            thread::yield_now();
        } else {
            thread::sleep(LATER);
        }
    }
}

/// Returns the number of this thread, which is not 0.
#[cfg(target_os = "linux")]
pub(super) fn this_thread() -> u32 {
    crate::signals::this_thread().unsigned_abs()
}

/// Returns 0: on other systems no signal handler of this crate makes the call.
#[cfg(not(target_os = "linux"))]
pub(super) const fn this_thread() -> u32 {
    0
}

#[cfg(target_os = "linux")]
pub(super) use crate::signals::is_crashing;

#[cfg(target_os = "linux")]
use crate::signals::MOST_CRASHING;

#[cfg(not(target_os = "linux"))]
const MOST_CRASHING: usize = 0;

#[cfg(not(target_os = "linux"))]
pub(super) const fn is_crashing() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::{Calls, MOST, Relaxed};
    use std::sync::mpsc::channel;
    use std::thread;

    /// The second call of another handler has the place of its first one, and never ends.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_call_is_not_waited_for_that_begins_in_the_place_of_one() {
        let (ended, end) = channel();
        thread::spawn(move || {
            let calls = Calls::default();
            let mut words = calls.words();
            crate::signals::crashing(|| {
                let first = calls.begin();
                words = calls.words();
                drop(first);
                let second = calls.begin();
                calls.wait_for(&words);
                drop(second);
            });
            assert_eq!(words.iter().filter(|call| **call != 0).count(), 1);
            ended.send(()).unwrap();
        });
        end.recv_timeout(core::time::Duration::from_secs(60)).unwrap();
    }

    /// The thread of the call may wait for its round meanwhile, in which no call of the handler is.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_call_is_waited_for_while_a_handler_has_interrupted_it_with_another_one() {
        let calls = Calls::default();
        let is_waited_for = |calls: &Calls| {
            let words = calls.words();
            let handled = words.iter().filter(|call| super::is_in_handler(**call)).count();
            handled == 1
        };
        let call = calls.begin();
        assert!(!is_waited_for(&calls));
        let handled = calls.begin();
        assert!(is_waited_for(&calls) && !handled.is_in_round());
        let nested = calls.begin();
        assert!(is_waited_for(&calls) && !nested.is_in_round());
        drop(nested);
        assert!(is_waited_for(&calls));
        drop(handled);
        assert!(!is_waited_for(&calls));
        assert!(!calls.begin().is_in_round());
        drop(call);
        assert!(calls.begin().is_in_round());
    }

    /// One more thread than places. It begins when another one's call has ended.
    #[test]
    fn a_call_without_a_place_waits_for_one() {
        let calls = &Calls::default();
        calls.begun.iter().for_each(|place| place.store(1, Relaxed));
        thread::scope(|scope| {
            let (begun, has_begun) = channel();
            scope.spawn(move || {
                let _call = calls.begin();
                begun.send(()).unwrap();
            });
            assert!(has_begun.try_recv().is_err());
            calls.begun[MOST / 2].store(0, Relaxed);
            assert_eq!(has_begun.recv(), Ok(()));
        });
    }
}
