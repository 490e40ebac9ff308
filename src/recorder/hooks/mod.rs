//! What stops recording and writes back when the program ends unexpectedly.

#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
#[expect(unsafe_code, reason = "handles signals, and calls the handlers that were there before")]
mod signals;

mod message;

use super::{Cursor, Error, Event, Recorder, Writer};
use crate::medium::Medium;
use alloc::boxed::Box;
use core::sync::atomic::Ordering;
use message::Message;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};
#[cfg(all(feature = "dax", target_os = "linux", not(loom)))]
use std::{io, sync::OnceLock};

impl<M: Medium, C: AsRef<[Cursor]> + Sync> Recorder<M, C> {
    /// Has every panic of the process stop this recorder, record its message, write everything back, and then do the
    /// same as before this call.
    ///
    /// A panic that is caught ends recording as well. Failures in the hook are not reported.
    ///
    /// The hook stays for the life of the process, so the recorder must be `'static`. [`Box::leak`] makes it so, and so does
    /// a [`std::sync::OnceLock`] in a `static`:
    ///
    /// ```
    /// use cachemaint::Cache;
    /// use cachemaint::medium::Memory;
    /// use cachemaint::recorder::{Options, Recorder};
    /// use cachemaint::survival::Backing;
    /// use std::sync::atomic::AtomicU64;
    ///
    /// static WORDS: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let memory = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
    /// // One shard for this thread, and one for the message of a panic.
    /// let recorder = Options::new().shards(2).open_or_create(memory)?;
    /// let recorder: &'static Recorder<_> = Box::leak(Box::new(recorder));
    /// recorder.stop_on_panic()?;
    /// recorder.claim()?.record(3, b"the valve is open")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # The message
    /// The last event has the id [`Event::PANIC`], and as its payload the text `FILE:LINE:COLUMN: MESSAGE`. The first 512
    /// bytes of it are kept, or as many as an event of this file can have. The message is that of the panic that has
    /// stopped the recorder. After a [`stop`](Recorder::stop) no message is recorded.
    ///
    /// This call reserves a shard for the message, for the life of the process. So create the recording with one shard more
    /// than the number of threads that record. In mode [`Refuse`](super::Mode::Refuse) the message is lost if that shard is
    /// full.
    ///
    /// The hook allocates nothing and takes no lock. A panic in the function of the recorder's
    /// [clock](super::Clock::from_function) ends the process at once if that function panics again.
    ///
    /// # Errors
    /// [`ErrorKind::AllShardsTaken`](super::ErrorKind::AllShardsTaken) if each shard has an owner. No hook is set then.
    pub fn stop_on_panic(&'static self) -> Result<(), Error<M::Error>> {
        let (shard, cursor) = self.claim_shard()?;
        hook_before_others(move |info| self.stop_with(info, shard, cursor));
        Ok(())
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
    /// [`FaultHandler`](crate::dax::FaultHandler) is to be installed afterwards: it hands on what it does not know,
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

    /// Stops recording, and records the message of a panic in a shard that is reserved for it.
    fn stop_with(&self, info: &PanicHookInfo<'_>, shard: u32, cursor: &Cursor) {
        // First, so that nothing comes after the message but events that other threads are in the middle of. And once,
        // so that the shard has one writer.
        if !self.is_stopped.swap(true, Ordering::SeqCst) {
            let writer = Writer::new(self, shard, cursor);
            let message = Message::of(info, self.description.geometry.largest_payload());
            // Without the message there is nothing to report its loss to.
            drop(writer.record_last(Event::PANIC, message.bytes()));
        }
        self.stop_and_write_back();
    }

    fn stop_and_write_back(&self) {
        self.stop();
        // There is nobody left to tell.
        drop(self.write_back_all());
    }
}

/// Has every panic of the process call `first`, and then the hook of before.
fn hook_before_others(first: impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static) {
    // A hook that another thread sets between these two calls would be lost.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        first(info);
        before(info);
    }));
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
