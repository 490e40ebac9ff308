//! The recorders that are stopped by a signal which ends the process.

#[expect(unsafe_code, reason = "handles signals, and calls the handlers that were there before")]
mod handler;

pub use handler::SignalSafe;

use crate::medium::Medium;
use crate::process::Process;
use crate::recorder::{Cursor, Recorder};
use crate::signals;
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use std::io;
use std::sync::OnceLock;

impl<M, C> Recorder<M, C>
where
    M: Medium + SignalSafe,
    C: AsRef<[Cursor]> + SignalSafe + Sync,
{
    /// Has SIGSEGV, SIGABRT, SIGBUS and SIGTERM stop this recorder, write its events back, and then act as they did
    /// before.
    ///
    /// The handler does not lock or allocate, even if a write-back fails. It does not report the failure: the events stay due,
    /// and the next [`write_back_all`](Recorder::write_back_all) returns it. The handler runs on at most 32 threads at a time,
    /// and further threads wait.
    ///
    /// It calls the former handler, with the kernel's information if that handler takes it. Without a former handler, the
    /// signal ends the process as before. An ignored signal stays ignored. If the former handler returns and the program
    /// continues, recording has ended nevertheless. In a forked child the handler only hands the signal on. If a recording
    /// cannot be accessed any more, since its file was cut, the process ends with SIGBUS.
    ///
    /// The handler runs on the thread's alternate stack, if it has one. Threads of the standard library have one. Other
    /// threads may need `sigaltstack(2)`: otherwise a stack that overflowed leaves no space for the handler. A signal that
    /// interrupts the write-back needs room for a second handler. The 8 KiB of the standard library can be too little: then
    /// SIGSEGV ends the process. Install a [`FaultHandler`](crate::dax::FaultHandler) after this call: it hands on the
    /// faults that it does not handle, but this handler does not check whether another handler would have handled the
    /// fault.
    ///
    /// A handler that the program sets over this one must call it. A later call of this function installs the handler again
    /// in place of the default, but not over another handler.
    ///
    /// # Errors
    /// Those of `sigaction(2)`; [`io::ErrorKind::QuotaExceeded`] if signals stop 16 recorders already.
    pub fn stop_on_signals(&'static self) -> io::Result<()> {
        let is_free = |place: &&OnceLock<Stopped>| place.set(Stopped::new(self)).is_ok();
        let is_listed = RECORDERS.iter().filter_map(OnceLock::get).any(|one| one.is_of(self));
        if !is_listed && RECORDERS.iter().find(is_free).is_none() {
            let why = "16 recorders are stopped by signals already";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        handler::install()
    }
}

/// A recorder of any kind.
trait Crash {
    fn crash(&self);
}

impl<M: Medium, C: AsRef<[Cursor]> + Sync> Crash for Recorder<M, C> {
    fn crash(&self) {
        self.stop();
        self.write_back_at_crash();
    }
}

/// A recorder that signals stop.
struct Stopped {
    recorder: &'static (dyn Crash + Sync),
    /// The process that records: its forked children have no mapping of the recording.
    owner: Process,
    /// The thread that writes the recording back, or 0.
    by: AtomicI32,
}

impl Stopped {
    fn new(recorder: &'static (dyn Crash + Sync)) -> Self {
        Self { recorder, owner: Process::this(), by: AtomicI32::new(0) }
    }

    /// Returns true if it is of this recorder, in this process.
    fn is_of(&self, recorder: &'static (dyn Crash + Sync)) -> bool {
        ptr::addr_eq(self.recorder, recorder) && self.owner == Process::this()
    }

    /// Stops recording, and writes back. A signal that interrupts that on the same thread may end the process. So its
    /// handler writes back as well, unless the signal is a fault of the write-back itself, which would fail again.
    fn crash(&self, thread: i32, is_fault: bool) {
        let is_nested = self.by.swap(thread, Ordering::Relaxed) == thread;
        if is_nested && is_fault {
            return;
        }
        self.recorder.crash();
        if !is_nested {
            self.by.store(0, Ordering::Relaxed);
        }
    }
}

/// The recorders that signals stop. Reading the list does not lock.
static RECORDERS: [OnceLock<Stopped>; 16] = [const { OnceLock::new() }; 16];

/// Stops all recorders of this process in the list, and writes back, for a signal that the interrupted code caused or that
/// was sent.
fn crash(is_fault: bool) {
    let (process, thread) = (Process::this(), signals::this_thread());
    for stopped in RECORDERS.iter().filter_map(OnceLock::get) {
        if stopped.owner == process {
            stopped.crash(thread, is_fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Crash, Stopped, handler};
    use crate::cache::Cache;
    use crate::medium::Memory;
    use crate::recorder::Options;
    use crate::survival::Backing;
    use alloc::boxed::Box;
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
    use libc::c_int;
    use std::sync::OnceLock;

    const THREAD: i32 = 7;

    /// A recorder whose first write-back is interrupted by a signal on the same thread.
    struct Interrupted {
        case: usize,
        begun: AtomicU32,
        finished: AtomicU32,
    }

    /// Signals with their codes. True if they are faults.
    const CASES: [(c_int, c_int, bool); 4] = [
        (libc::SIGTERM, libc::SI_USER, false),
        (libc::SIGABRT, libc::SI_USER, false),
        (libc::SIGABRT, libc::SI_TKILL, true),
        (libc::SIGBUS, libc::BUS_ADRERR, true),
    ];

    static STOPPED: [OnceLock<Stopped>; CASES.len()] = [const { OnceLock::new() }; CASES.len()];

    impl Crash for Interrupted {
        fn crash(&self) {
            let is_first = self.begun.fetch_add(1, Relaxed) == 0;
            if let Some(stopped) = STOPPED[self.case].get().filter(|_| is_first) {
                let (number, code, is_fault) = CASES[self.case];
                stopped.crash(THREAD, handler::is_fault(number, code));
                // The process would end here.
                assert_eq!(self.finished.load(Relaxed), u32::from(!is_fault));
            }
            self.finished.fetch_add(1, Relaxed);
        }
    }

    /// A file of this crate returns no error in the handler, also through a medium around it that hides the file.
    #[test]
    fn events_that_a_handler_has_written_back_stay_due() {
        static WORDS: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];

        let name = "events_that_a_handler_has_written_back_stay_due";
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => return crate::skip::skip(name, why),
        };
        let memory = Memory::new(&WORDS, cache, Backing::Ram);
        let recorder = Options::new().shards(1).create_new(memory).unwrap();
        recorder.claim().unwrap().record(1, b"the valve is open").unwrap();
        let is_due = || recorder.cursors.iter().any(|(_, cursor)| cursor.done() < cursor.head());
        recorder.crash();
        assert!(recorder.is_stopped() && is_due());
        recorder.write_back_all().unwrap();
        assert!(!is_due());
    }

    #[test]
    fn a_signal_that_interrupts_a_write_back_finishes_it_unless_it_is_its_fault() {
        for (case, (.., is_fault)) in CASES.into_iter().enumerate() {
            let (begun, finished) = (AtomicU32::new(0), AtomicU32::new(0));
            let recorder: &'static Interrupted =
                Box::leak(Box::new(Interrupted { case, begun, finished }));
            let stopped = STOPPED[case].get_or_init(|| Stopped::new(recorder));
            stopped.crash(THREAD, false);
            assert_eq!(recorder.begun.load(Relaxed), 1 + u32::from(!is_fault));
            // The thread is done, so that a later fault writes back.
            stopped.crash(THREAD, true);
            assert_eq!(recorder.finished.load(Relaxed), 2 + u32::from(!is_fault));
        }
    }
}
