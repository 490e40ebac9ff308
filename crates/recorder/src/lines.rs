//! Lines of text as events: what loggers write.

use super::recorder::Recorder;
use super::writer::Writer;
use cachemaint::medium::Medium;
use std::io;
use thread_local::ThreadLocal;

/// A destination of loggers: each call of [`write`](io::Write::write) is one event of the calling thread.
/// Needs the feature `lines`.
///
/// Each thread gets its own shard at its first line, and leaves it to a later thread when it ends. The file needs as many
/// shards as threads exist at the same time, also if few of them log: the crate `thread_local` numbers them all.
///
/// `tracing_subscriber::fmt` formats an event with its spans, its target and the name of its thread, and writes it by
/// one call:
///
/// ```
/// use cachemaint::dax;
/// use cachemaint_recorder::{Lines, Options};
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("last-events");
/// let file = dax::Options::new().allow_page_granularity().open_or_create(path, 1 << 20)?;
/// let (recorder, _) = Options::new().shards(8).open_or_create(file)?;
/// let recorder = Box::leak(Box::new(recorder));
/// tracing_subscriber::fmt()
///     .with_writer(Arc::new(Lines::new(recorder, 1)))
///     .without_time() // each event has the recorder's time
///     .with_ansi(false)
///     .with_thread_names(true)
///     .init();
/// let _span = tracing::info_span!("filling", tank = 3).entered();
/// tracing::warn!(pressure = 9.5, "too high");
/// # let reader = recorder.reader();
/// # let (mut events, mut buffer) = (reader.events(), vec![0; reader.largest_payload()]);
/// # let Some(cachemaint_recorder::Found::Event(event)) = events.read_next(&mut buffer)? else { panic!() };
/// # let line = core::str::from_utf8(event.payload)?;
/// # assert!(line.starts_with(" WARN main filling{tank=3}: "), "{line}");
/// # assert!(line.ends_with(": too high pressure=9.5"), "{line}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`Writer::record`], and [`AllShardsTaken`](super::ErrorKind::AllShardsTaken), as the inner error. A line that
/// is longer than an event is cut.
#[derive(Debug)]
pub struct Lines<M: Medium + 'static> {
    recorder: &'static Recorder<'static, M>,
    id: u16,
    writers: ThreadLocal<Writer<'static, M>>,
}

impl<M: Medium + 'static> Lines<M> {
    /// Records lines as events with this id.
    pub const fn new(recorder: &'static Recorder<'static, M>, id: u16) -> Self {
        Self { recorder, id, writers: ThreadLocal::new() }
    }
}

impl<M> io::Write for &Lines<M>
where
    M: Medium + Send,
    M::Error: Send + Sync,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let text = buf.strip_suffix(b"\n").unwrap_or(buf);
        // `writeln!` ends its line by a call of its own.
        if text.is_empty() {
            return Ok(buf.len());
        }
        let writer = self.writers.get_or_try(|| self.recorder.claim())?;
        let most = self.recorder.description.geometry().largest_payload();
        writer.record(self.id, &text[..text.len().min(most)])?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
