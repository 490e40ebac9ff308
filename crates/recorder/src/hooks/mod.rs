//! The hook that stops recording and writes back when the program panics.

mod message;

use super::{Cursor, Error, Event, Recorder, Writer};
use alloc::boxed::Box;
use cachemaint::family::Process;
use cachemaint::medium::Medium;
use core::sync::atomic::Ordering;
use message::Message;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

impl<M: Medium> Recorder<'static, M> {
    /// Has every panic of the process stop this recorder, record its message, write everything back, and then call the
    /// panic hook that was set before.
    ///
    /// A panic that is caught ends recording as well, and so does one that ends only its thread. The other threads go on:
    /// their events are refused with [`ErrorKind::Stopped`](super::ErrorKind::Stopped), which must not make them panic too.
    ///
    /// The hook stays for the life of the process, so the recorder must be `'static`. [`Box::leak`] or a
    /// [`std::sync::OnceLock`] in a `static` achieves that:
    ///
    /// ```
    /// use cachemaint::Cache;
    /// use cachemaint::medium::Memory;
    /// use cachemaint_recorder::{Options, Recorder};
    /// use cachemaint::survival::Backing;
    /// use std::sync::atomic::AtomicU64;
    ///
    /// # static WORDS: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let memory = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
    /// // One shard for this thread, and one for the message of a panic.
    /// let (recorder, _opened) = Options::new().shards(2).open_or_create(memory)?;
    /// let recorder: &'static Recorder<_> = Box::leak(Box::new(recorder));
    /// recorder.stop_on_panic()?;
    /// let writer = recorder.claim()?;
    /// // A refused event is counted, or another thread has panicked: neither is a reason to end this one.
    /// drop(writer.record(3, b"the valve is open"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # The message
    /// The last event has the id [`Event::PANIC`], unless two threads panic at once and the hook before this one ends the
    /// process. Its payload is the text `FILE:LINE:COLUMN: MESSAGE`, of which the first 512 bytes are kept, or as many as an
    /// event of this file can have. The message is that of the panic that has stopped the recorder. After a
    /// [`stop`](Recorder::stop) no message is recorded.
    ///
    /// This call reserves a shard for the message, for the life of the process. So create the recording with one shard more
    /// than the number of threads that record. In mode [`Refuse`](super::Mode::Refuse) the message is lost if that shard is
    /// full.
    ///
    /// The hook takes no lock, and allocates only if a write-back fails, which is not reported. In a forked child it only
    /// calls the panic hook that was set before: a child records in a recording of its own. A panic in the function of the recorder's
    /// [clock](super::Clock::from_function) ends the process at once if that function panics again.
    ///
    /// # Errors
    /// [`ErrorKind::AllShardsTaken`](super::ErrorKind::AllShardsTaken) if each shard has an owner. No hook is set then.
    pub fn stop_on_panic(&'static self) -> Result<(), Error<M::Error>> {
        let (shard, cursor) = self.claim_shard()?;
        let owner = Process::this();
        hook_before_others(move |info| {
            if Process::this() == owner {
                self.stop_with(info, shard, cursor);
            }
        });
        Ok(())
    }

    /// Stops recording, and records the message of a panic in a shard that is reserved for it.
    fn stop_with(&self, info: &PanicHookInfo<'_>, shard: u32, cursor: &Cursor) {
        // The stop comes first: only events that other threads have already begun come after the message. The message
        // is recorded once, so that the shard has one writer.
        if !self.is_stopped.swap(true, Ordering::SeqCst) {
            let writer = Writer::new(self, shard, cursor);
            let message = Message::of(info, self.description.geometry().largest_payload());
            // The loss of the message cannot be reported.
            drop(writer.record_last(Event::PANIC, message.bytes()));
        }
        self.stop();
        // The process is ending: an error cannot be reported.
        drop(self.write_back_all());
    }
}

/// Has every panic of the process call `first`, and then the former hook.
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
