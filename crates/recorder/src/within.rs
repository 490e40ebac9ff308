//! A thread that writes events back at intervals.

use super::recorder::Recorder;
use alloc::string::String;
use alloc::sync::Arc;
use cachemaint::family::Process;
use cachemaint::family::clock;
use cachemaint::medium::Medium;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::time::Duration;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// A thread that calls [`write_back_all`](Recorder::write_back_all) at intervals, so that a crash loses at most the
/// events of the last interval.
///
/// An event is persistent after at most the interval, the duration of the write-back, and the scheduling delay.
/// [`longest`](Self::longest) returns the longest such time measured. It does not include suspends where [`Instant`]
/// does not.
///
/// Dropping it writes back once more and ends the thread. [`finish`](Self::finish) does the same and returns the first
/// write-back failure. In a forked child, which does not have the thread, both do nothing.
#[derive(Debug)]
#[must_use = "dropping it ends the thread; a crash then loses all later events"]
pub struct Within<E> {
    shared: Arc<Shared<E>>,
    thread: Option<JoinHandle<()>>,
    /// The process that has the thread.
    process: Process,
}

#[derive(Debug)]
struct Shared<E> {
    state: Mutex<State<E>>,
    ended: Condvar,
}

#[derive(Debug)]
struct State<E> {
    is_ended: bool,
    /// The start of the last successful write-back: later events may not be persistent.
    since: Instant,
    longest: Duration,
    /// The first failure of a write-back.
    error: Option<E>,
}

impl<E> Shared<E> {
    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Send + 'static> Within<E> {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system cannot start another thread.
    pub fn start<M, R>(recorder: R, interval: Duration) -> io::Result<Self>
    where
        M: Medium<Error = E> + 'static,
        R: Deref<Target = Recorder<'static, M>> + Send + 'static,
    {
        let since = clock::now().ok_or(io::ErrorKind::Unsupported)?;
        let state = State { is_ended: false, since, longest: Duration::ZERO, error: None };
        let shared = Arc::new(Shared { state: Mutex::new(state), ended: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let work = move || while of_thread.write_back(&*recorder, interval) {};
        let thread = thread::Builder::new().name(String::from("recorder")).spawn(work)?;
        Ok(Self { shared, thread: Some(thread), process: Process::this() })
    }

    /// Returns the longest time so far until an event was persistent. It counts events that are not yet written back as
    /// if their write-back ended now.
    #[must_use]
    pub fn longest(&self) -> Duration {
        if !self.has_thread() {
            return Duration::MAX;
        }
        let state = self.shared.state();
        state.longest.max(state.since.elapsed())
    }

    /// Writes back once more and ends the thread. Returns the longest time until an event was persistent.
    ///
    /// # Errors
    /// The first write-back failure, even if a later write-back succeeded.
    pub fn finish(mut self) -> Result<Duration, E> {
        if !self.has_thread() {
            return Ok(Duration::MAX);
        }
        self.end();
        let mut state = self.shared.state();
        state.error.take().map_or(Ok(state.longest), Err)
    }
}

impl<E> Within<E> {
    /// Returns false in a forked child. The thread may have held the lock at the fork, so nothing in the child may take
    /// it.
    fn has_thread(&self) -> bool {
        self.process.is_this()
    }

    fn end(&mut self) {
        self.shared.state().is_ended = true;
        self.shared.ended.notify_all();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<E> Drop for Within<E> {
    fn drop(&mut self) {
        if !self.has_thread() {
            // Dropping it would detach a thread that does not exist.
            let _gone = ManuallyDrop::new(self.thread.take());
        } else if self.thread.is_some() {
            self.end();
        }
    }
}

impl<E> Shared<E> {
    /// Waits for the interval or the end, and writes back. Returns false at the end.
    fn write_back<M>(&self, recorder: &Recorder<'_, M>, interval: Duration) -> bool
    where
        M: Medium<Error = E>,
    {
        let wait = |state: &mut State<E>| !state.is_ended;
        let waited = self.ended.wait_timeout_while(self.state(), interval, wait);
        let is_last = waited.unwrap_or_else(PoisonError::into_inner).0.is_ended;
        let begin = Instant::now();
        let outcome = recorder.write_back_all();
        let mut state = self.state();
        match outcome {
            Ok(()) => {
                state.longest = state.longest.max(state.since.elapsed());
                state.since = begin;
            }
            // The events are still not persistent, so `since` stays.
            Err(error) => {
                state.error.get_or_insert(error);
            }
        }
        !is_last
    }
}
