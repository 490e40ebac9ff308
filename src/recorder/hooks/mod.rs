//! What stops recording and writes back when the program ends unexpectedly.

#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
#[expect(unsafe_code, reason = "handles signals, and calls the handlers that were there before")]
mod signals;

use super::{Cursor, Recorder};
use crate::medium::Medium;
use alloc::boxed::Box;
use std::panic;
#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
use std::{io, sync::OnceLock};

impl<M: Medium, C: AsRef<[Cursor]> + Sync> Recorder<M, C> {
    /// Has every panic of the process stop this recorder and write back what it has, and then do what it did
    /// before.
    ///
    /// It is so for a panic that is caught too: recording has ended then.
    ///
    /// A failure of the write-back is told to nobody.
    pub fn stop_on_panic(&'static self) {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            self.stop_and_write_back();
            before(info);
        }));
    }

    /// Has SIGSEGV, SIGABRT, SIGBUS and SIGTERM stop this recorder and write back what it has, and then do what
    /// they did before.
    ///
    /// The handler allocates nothing and takes no lock ([`write_back_all`](Recorder::write_back_all) says for
    /// which media), and calls the handler that was there before, with what the kernel told if that one takes
    /// it. Where there was none, the signal ends the process as it would have. A signal that is ignored stays
    /// so. If the former handler returns and the program goes on, recording has ended all the same.
    ///
    /// It runs on the thread's alternate stack, if it has one: threads of the standard library have, others
    /// may need `sigaltstack(2)`, or a stack that overflowed leaves no room for it. A
    /// [`FaultGuard`](crate::dax::FaultGuard) is to be installed afterwards: it hands on what it does not know,
    /// this does not ask whether another one would have.
    ///
    /// # Errors
    /// Those of `sigaction(2)`; [`io::ErrorKind::QuotaExceeded`], if 16 recorders have it already.
    #[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
    pub fn stop_on_signals(&'static self) -> io::Result<()> {
        let is_free = |place: &&OnceLock<_>| {
            let recorder: &'static (dyn Crash + Sync) = self;
            place.set(recorder).is_ok()
        };
        if RECORDERS.iter().find(is_free).is_none() {
            let why = "16 recorders are stopped by signals already";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        signals::install()
    }

    fn stop_and_write_back(&self) {
        self.stop();
        // There is nobody left to tell.
        drop(self.write_back_all());
    }
}

/// A recorder of any kind.
#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
trait Crash {
    fn crash(&self);
}

#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
impl<M: Medium, C: AsRef<[Cursor]> + Sync> Crash for Recorder<M, C> {
    fn crash(&self) {
        self.stop_and_write_back();
    }
}

/// Those that signals stop. Reading it takes no lock.
#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
static RECORDERS: [OnceLock<&'static (dyn Crash + Sync)>; 16] = [const { OnceLock::new() }; 16];

/// Stops them all, and writes back.
#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
fn crash() {
    for recorder in RECORDERS.iter().filter_map(OnceLock::get) {
        recorder.crash();
    }
}
