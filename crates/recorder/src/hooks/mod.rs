//! The panic hook that stops recording and writes everything back.

mod message;

use super::cursor::Cursor;
use super::error::Error;
use super::found::Event;
use super::recorder::Recorder;
use super::writer::Writer;
use alloc::boxed::Box;
use cachemaint::family::Process;
use cachemaint::medium::Medium;
use core::sync::atomic::Ordering;
use message::Message;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

impl<M: Medium> Recorder<'static, M> {
    /// Sets a panic hook that stops this recorder, records the panic message, writes everything back, and then calls
    /// the previously set hook.
    ///
    /// This includes panics that are caught or end only their thread. Other threads' events are then refused with
    /// [`ErrorKind::Stopped`](super::ErrorKind::Stopped), which must not make them panic too.
    ///
    /// The hook stays for the life of the process, so the recorder must be `'static`:
    ///
    /// ```
    /// use cachemaint::Cache;
    /// use cachemaint::medium::Memory;
    /// use cachemaint_recorder::{Options, Recorder};
    /// use cachemaint::medium::Backing;
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
    /// // A refused event is counted, or another thread has panicked; neither should end this thread.
    /// drop(writer.record(3, b"the valve is open"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The last event has the id [`Event::PANIC`] and the text `FILE:LINE:COLUMN: MESSAGE`, truncated to 512 bytes or
    /// the longest payload of this file. One shard is reserved for it as long as the process runs: create the recording
    /// with one shard more than threads record.
    ///
    /// # Limits
    /// - No message is recorded after a [`stop`](Recorder::stop), or if the shard is full in mode
    ///   [`Refuse`](super::Mode::Refuse). If two threads panic at once, it may not be the last event.
    /// - The hook takes no lock. It allocates only if a write-back fails, and does not report the failure.
    /// - In a forked child, the hook only calls the previous one.
    /// - A panic in the [clock](super::Clock::from_function) ends the process at once if the clock panics again in the
    ///   hook.
    ///
    /// # Errors
    /// [`ErrorKind::AllShardsTaken`](super::ErrorKind::AllShardsTaken) if each shard has an owner. The hook is then not
    /// set.
    pub fn stop_on_panic(&'static self) -> Result<(), Error<M::Error>> {
        let (shard, cursor) = self.claim_shard()?;
        let owner = Process::this();
        hook_before_others(move |info| {
            if owner.is_this() {
                self.stop_with(info, shard, cursor);
            }
        });
        Ok(())
    }

    /// Stops recording, and records the message of a panic in the reserved shard.
    fn stop_with(&self, info: &PanicHookInfo<'_>, shard: u32, cursor: &Cursor) {
        // The stop comes first: only events that other threads have already begun can follow the message. The message
        // is recorded once, so the shard has one writer.
        if !self.is_stopped.swap(true, Ordering::SeqCst) {
            let writer = Writer::new(self, shard, cursor);
            let message = Message::of(info, self.description.geometry().largest_payload());
            // Losing the message cannot be reported.
            drop(writer.record_last(Event::PANIC, message.bytes()));
        }
        self.stop();
        // The process is ending, so an error cannot be reported.
        drop(self.write_back_all());
    }
}

/// Makes every panic of the process call `first`, and then the previous hook.
fn hook_before_others(first: impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static) {
    // A hook set by another thread between these two calls would be lost.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        first(info);
        before(info);
    }));
}
