//! Runs threads of a workload, one at a time.
//!
//! Each is a thread of the operating system. They pass a baton, and only its owner runs. It may be handed on before
//! each operation on the medium. Its next owner is a choice, so all orders are tried in turn, up to a number of
//! *preemptions*: hand-overs that the thread did not request. Mistakes that need more than two are rare (Musuvathi,
//! Qadeer, *Iterative Context Bounding*, PLDI 2007).

use super::allowance::{Allowance, spin};
use crate::crash::choices::Choices;
use crate::failure::shown;
use crate::failure::violation::{quietly, raise};
use crate::machine::Place;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::panic::Location;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

std::thread_local! {
    static THREAD: Cell<Option<Id>> = const { Cell::new(None) };
    static TURNS: RefCell<Option<Arc<Turns>>> = const { RefCell::new(None) };
}

#[derive(Clone, Copy, Debug)]
struct Id {
    /// The thread's place among those of its call.
    place: usize,
    /// Its number among all threads of the workload.
    number: usize,
}

/// Returns the number of this thread, from 1; 0 is the code outside of such threads.
#[inline]
pub(crate) fn thread() -> usize {
    THREAD.get().map_or(0, |thread| thread.number)
}

/// A living thread, identified by the address of one of its variables. This is cheaper than its id, which each
/// operation would need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Here(usize);

#[inline]
pub(super) fn here() -> Here {
    Here(THREAD.with(|thread| core::ptr::from_ref(thread).addr()))
}

pub(super) fn is_one() -> bool {
    THREAD.get().is_some()
}

fn place() -> Option<usize> {
    THREAD.get().map(|thread| thread.place)
}

/// Returns the baton of this thread's workload. In other threads no variable with a destructor is touched, since that
/// may allocate, and the access may come from a signal handler.
fn turns() -> Option<Arc<Turns>> {
    THREAD.get().and_then(|_| TURNS.with_borrow(Clone::clone))
}

/// An access to shared memory, ordinary memory or a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A load: a waiting thread need not look again.
    Looks,
    Changes,
}

/// Lets another thread of the workload continue before an access to ordinary memory.
#[track_caller]
pub(crate) fn turn(access: Access) {
    if let Some(turns) = turns() {
        turns.before(access);
    } else {
        #[cfg(cachemaint_pausing)]
        pauses::perhaps();
    }
}

/// Pauses of threads outside a simulation, as if the system had let others run. Only in a build of this workspace's tests.
#[cfg(cachemaint_pausing)]
mod pauses {
    use core::cell::Cell;
    use core::sync::atomic::{AtomicU64, Ordering};
    use core::time::Duration;

    /// 2^64 divided by the golden ratio.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    static SEED: AtomicU64 = AtomicU64::new(GOLDEN);
    std::thread_local! { static STATE: Cell<u64> = const { Cell::new(0) }; }

    /// Sleeps at every eighth call or so, for up to a millisecond. Threads have different numbers, by the order of their
    /// first calls.
    pub(super) fn perhaps() {
        let mut x = STATE.get();
        if x == 0 {
            x = SEED.fetch_add(GOLDEN, Ordering::Relaxed) | 1;
        }
        // Xorshift (Marsaglia, 2003).
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        STATE.set(x);
        if x >> 61 == 0 {
            std::thread::sleep(Duration::from_micros(x & 1023));
        }
    }
}

/// Returns true on a thread of a workload.
pub(crate) fn is_simulated() -> bool {
    turns().is_some()
}

/// Makes this thread wait and another one continue. Outside the threads of a workload, waits as in other programs.
#[track_caller]
pub(crate) fn pause() {
    if let Some(turns) = turns() {
        turns.pause();
    } else {
        spin();
        core::hint::spin_loop();
    }
}

/// Lets waiting threads look again, after a change of ordinary memory.
pub(crate) fn wake() {
    if let Some(turns) = turns() {
        turns.state().wake();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Running,
    /// The thread waits for the action of another one.
    Waiting,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
    handed_on: Condvar,
}

#[derive(Debug)]
struct State {
    choices: Choices,
    /// The number of events at each choice, and now.
    events: Vec<u32>,
    now: u32,
    preemptions: u32,
    /// The number of accesses to ordinary memory that may still be made.
    left: Allowance,
    threads: Vec<Doing>,
    /// The place where each thread has last waited.
    waits: Vec<Option<Place>>,
    /// The number of threads that have begun, in all calls.
    begun: usize,
    has_baton: usize,
    /// True if the turn was just handed on: its owner makes an operation before it is handed on again.
    is_fresh: bool,
    /// The number of consecutive waits without an operation by any thread.
    idle: usize,
    /// True if a thread has panicked, or if all wait in vain: then all threads end, one at a time.
    is_over: bool,
    /// The thread that panicked first, unless it has handled that.
    failed: Option<usize>,
}

/// The reason for the end of a thread that did not fail itself.
const FOLLOWED: &str = "another thread of the workload has failed";
/// The reason if all wait, which may also follow from the failure of another thread.
const STANDSTILL: &str = "every thread that has not ended is waiting";
/// The number of times that all threads may check whether they can continue before this counts as a standstill.
const PATIENCE: usize = 100;

impl Turns {
    pub(crate) const fn new(choices: Choices, preemptions: u32, accesses: u64) -> Self {
        let state = State {
            choices,
            events: Vec::new(),
            now: 0,
            preemptions,
            left: Allowance::new(accesses),
            threads: Vec::new(),
            waits: Vec::new(),
            begun: 0,
            has_baton: 0,
            is_fresh: false,
            idle: 0,
            is_over: false,
            failed: None,
        };
        Self { state: Mutex::new(state), handed_on: Condvar::new() }
    }

    /// Numbers threads from this number on.
    #[cfg(feature = "histories")]
    pub(crate) fn beginning_with(self, thread: usize) -> Self {
        self.state().begun = thread.saturating_sub(1);
        self
    }

    /// Chooses whether a store of another thread comes late, which counts as a preemption.
    pub(crate) fn is_late(&self) -> bool {
        let mut state = self.state();
        if place().is_none() || state.preemptions == 0 {
            return false;
        }
        let is_late = state.choose(2) == 1;
        state.preemptions -= u32::from(is_late);
        is_late
    }

    /// Returns the choices that were made, and the number of events that had happened at each.
    pub(crate) fn into_choices(self) -> (Choices, Vec<u32>) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.choices, state.events)
    }

    /// Lets another thread continue before an operation, when `events` events have happened.
    pub(crate) fn turn(&self, access: Access, events: u32) {
        let Some(thread) = place() else { return };
        let mut state = self.state();
        state.now = events;
        if access == Access::Changes {
            state.wake();
        }
        self.offer(state, thread);
    }

    /// Lets another thread continue before an access to ordinary memory. The destructors of a failing thread are not
    /// interrupted.
    #[track_caller]
    fn before(&self, access: Access) {
        let Some(thread) = place() else { return };
        let mut state = self.state();
        let is_within = state.left.spend();
        state.is_over |= !is_within;
        assert!(
            is_within,
            "more accesses to shared memory than the simulation allows operations: does this end? Let a loop that \
             waits for another thread call `spin_loop`"
        );
        if std::thread::panicking() {
            return;
        }
        if access == Access::Changes {
            // An attempt to take a lock is a change too, and the lock's owner may be the failed thread.
            let idle = if state.failed.is_some() { state.idle } else { 0 };
            state.wake();
            state.idle = idle;
        }
        self.offer(state, thread);
    }

    /// Lets another thread continue, if that is chosen.
    fn offer(&self, mut state: MutexGuard<'_, State>, thread: usize) {
        if core::mem::take(&mut state.is_fresh) {
            return;
        }
        if let Some(other) = state.preempted(thread) {
            self.hand_on(state, thread, other);
            self.state().is_fresh = false;
        }
    }

    /// Chooses whether another thread continues in the middle of an operation, and which one.
    pub(crate) fn torn(&self) -> Option<usize> {
        let thread = place()?;
        self.state().preempted(thread)
    }

    /// Lets another thread continue in the middle of an operation.
    pub(crate) fn tear(&self, other: usize) {
        let Some(thread) = place() else { return };
        self.hand_on(self.state(), thread, other);
        let mut state = self.state();
        state.is_fresh = false;
        state.wake();
    }

    /// Makes this thread wait and another one continue.
    #[track_caller]
    #[expect(clippy::print_stderr, reason = "the last words of a process that aborts")]
    pub(crate) fn pause(&self) {
        let Some(thread) = place() else { return };
        let mut state = self.state();
        state.threads[thread] = Doing::Waiting;
        state.waits[thread] = Some(Location::caller());
        state.idle += 1;
        if state.idle > PATIENCE * state.threads.len() {
            // The others end first, and their destructors free what this thread's destructors wait for.
            state.idle = 0;
            let was_over = core::mem::replace(&mut state.is_over, true);
            if was_over || !std::thread::panicking() {
                let text = state.standstill();
                drop(state);
                if std::thread::panicking() {
                    // A second panic aborts the process without its message.
                    std::eprintln!("{text}");
                }
                raise(text);
            }
        }
        if let Some(next) = state.next(thread) {
            self.hand_on(state, thread, next);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the baton on and waits until it comes back.
    fn hand_on(&self, mut state: MutexGuard<'_, State>, thread: usize, next: usize) {
        state.note_panic(thread);
        state.hand_to(next);
        self.handed_on.notify_all();
        self.wait(state, thread);
    }

    fn wait(&self, mut state: MutexGuard<'_, State>, thread: usize) {
        while state.has_baton != thread {
            state = self.handed_on.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.threads[thread] = Doing::Running;
        let is_over = state.is_over;
        drop(state);
        // A second panic, in a destructor, would abort the process.
        assert!(!is_over || std::thread::panicking(), "{FOLLOWED}");
    }
}

impl State {
    fn hand_to(&mut self, thread: usize) {
        self.has_baton = thread;
        self.is_fresh = true;
    }

    /// Records whether the previous owner of the baton is the first to panic, or has handled its panic.
    fn note_panic(&mut self, thread: usize) {
        if self.failed.is_none_or(|failed| failed == thread) {
            self.failed = std::thread::panicking().then_some(thread);
        }
    }

    fn others(&self, thread: usize) -> Vec<usize> {
        let is_one = |other: &usize| *other != thread && self.threads[*other] == Doing::Running;
        (0..self.threads.len()).filter(is_one).collect()
    }

    /// Chooses whether another thread continues in place of this one, and which one.
    fn preempted(&mut self, thread: usize) -> Option<usize> {
        let others = self.others(thread);
        if self.preemptions == 0 || others.is_empty() {
            return None;
        }
        let other = self.choose_by(others.len() + 1, Choices::choose_rarely).checked_sub(1)?;
        self.preemptions -= 1;
        Some(others[other])
    }

    /// Returns the message if all threads wait: the place of each.
    fn standstill(&self) -> String {
        let first = self.begun + 1 - self.threads.len();
        let threads = (first..).zip(self.threads.iter().zip(&self.waits));
        let waiting = threads.filter(|(_, (doing, _))| **doing == Doing::Waiting);
        let place = |(number, (_, place)): (usize, (_, &Option<Place>))| {
            Some(format!("thread {number} at {}", shown((*place)?)))
        };
        let places: Vec<_> = waiting.filter_map(place).collect();
        format!("{STANDSTILL}: {}", places.join(", "))
    }

    /// Records that something has changed: waiting threads look again.
    fn wake(&mut self) {
        self.idle = 0;
        for thread in self.threads.iter_mut().filter(|thread| **thread == Doing::Waiting) {
            *thread = Doing::Running;
        }
    }

    /// Returns the thread that continues in place of this one: a running one, or else the next waiting one, which looks
    /// again.
    fn next(&mut self, thread: usize) -> Option<usize> {
        match self.others(thread).as_slice() {
            [] => {
                let threads = self.threads.len();
                let after = (1..threads).map(|step| (thread + step) % threads);
                let mut waiting = after.filter(|other| self.threads[*other] == Doing::Waiting);
                waiting.next()
            }
            [only] => Some(*only),
            several => Some(several[self.choose(several.len())]),
        }
    }

    fn choose(&mut self, of: usize) -> usize {
        self.choose_by(of, Choices::choose)
    }

    fn choose_by(&mut self, of: usize, choose: impl Fn(&mut Choices, u32) -> u32) -> usize {
        let now = self.now;
        self.events.resize(self.choices.depth() + 1, now);
        choose(&mut self.choices, of as u32) as usize
    }
}

/// A thread's turn. Dropping it ends the turn, at a return or a panic.
struct Turn<'a> {
    turns: &'a Turns,
    thread: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.threads[self.thread] = Doing::Ended;
        state.is_over |= std::thread::panicking();
        state.note_panic(self.thread);
        state.wake();
        if let Some(next) = state.next(self.thread) {
            state.hand_to(next);
        }
        self.turns.handed_on.notify_all();
    }
}

/// Runs the threads until all have ended. Returns their numbers.
#[expect(clippy::panic, reason = "a mistake in the workload")]
#[track_caller]
pub(crate) fn run(turns: Option<&Arc<Turns>>, bodies: &[&(dyn Fn() + Sync)]) -> Range<usize> {
    let (Some(turns), None) = (turns, THREAD.get()) else {
        panic!("only the workload of a simulation may run threads, and not on one of them");
    };
    let mut state = turns.state();
    state.threads = vec![Doing::Running; bodies.len()];
    state.waits = vec![None; bodies.len()];
    let numbers = state.begun + 1..state.begun + 1 + bodies.len();
    state.begun += bodies.len();
    let first = if bodies.len() < 2 { 0 } else { state.choose(bodies.len()) };
    state.hand_to(first);
    drop(state);
    let failed: Vec<_> = std::thread::scope(|scope| {
        let ids = numbers.clone().enumerate().map(|(place, number)| Id { place, number });
        let start = |(id, body)| scope.spawn(move || run_one(turns, id, body));
        let threads: Vec<_> = ids.zip(bodies.iter().copied()).map(start).collect();
        let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        let texts = ended.map(|text| text.unwrap_or_else(|_| Some(FOLLOWED.into())));
        texts.enumerate().filter_map(|(place, text)| Some((place, text?))).collect()
    });
    // The others may have failed because of the first one.
    let first = turns.state().failed;
    let follows = |(place, text): &&(usize, String)| {
        (Some(*place) != first, text.contains(FOLLOWED), text.contains(STANDSTILL))
    };
    if let Some((_, text)) = failed.iter().min_by_key(follows) {
        raise(text.clone());
    }
    numbers
}

fn run_one(turns: &Arc<Turns>, id: Id, body: &(dyn Fn() + Sync)) -> Option<String> {
    let Id { place: thread, number } = id;
    THREAD.set(Some(id));
    TURNS.set(Some(Arc::clone(turns)));
    let run = || {
        let _turn = Turn { turns, thread };
        turns.wait(turns.state(), thread);
        body();
    };
    let outcome = quietly(run);
    TURNS.set(None);
    // A standstill concerns all threads.
    let named = |text: String| {
        if text.starts_with(STANDSTILL) { text } else { format!("thread {number}: {text}") }
    };
    outcome.err().map(|violation| named(violation.text))
}
