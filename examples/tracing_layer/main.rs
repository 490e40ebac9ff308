//! Events of `tracing` in a flight recorder: a layer through which each thread records into its own shard. The program
//! prints the two events that it reads back.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example tracing_layer
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::Cache;
use cachemaint::medium::Backing;
use cachemaint::medium::Memory;
use cachemaint_recorder::{Found, Options, Recorder, Writer};
use core::fmt::{Debug, Write as _};
use std::cell::OnceCell;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Stands for a `DaxFile`, or for RAM that the next kernel finds.
static WORDS: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];
thread_local! {
    /// This thread's shard, claimed at its first event.
    static WRITER: OnceCell<Writer<'static, Memory<'static>>> = const { OnceCell::new() };
}
/// The number of events that were too long, or whose threads found no free shard or had returned theirs while ending.
static REFUSED: AtomicU64 = AtomicU64::new(0);
struct Flight(&'static Recorder<'static, Memory<'static>>);
impl<S: Subscriber> Layer<S> for Flight {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        let recorded = WRITER.try_with(|writer| {
            // A shard may have become free since the last event.
            let claim = || self.0.claim().ok().map(|claimed| writer.get_or_init(|| claimed));
            let Some(writer) = writer.get().or_else(claim) else {
                REFUSED.fetch_add(1, Ordering::Relaxed);
                return;
            };
            if writer.record(1, text.0.as_bytes()).is_err() {
                REFUSED.fetch_add(1, Ordering::Relaxed);
            }
        });
        if recorded.is_err() {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
struct Text(String);
impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap_or_default();
    }
}
fn main() -> Result<(), Box<dyn Error>> {
    let memory = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
    let (recorder, _opened) = Options::new().shards(2).open_or_create(memory)?;
    let recorder = Box::leak(Box::new(recorder));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Flight(recorder)))?;
    tracing::info!(valve = 3, "opened");
    let other = std::thread::spawn(|| tracing::warn!(pressure = 9.5, "too high"));
    other.join().map_err(|_panic| "the thread has panicked")?;
    let reader = recorder.reader();
    let (mut events, mut buffer) = (reader.events(), vec![0; reader.largest_payload()]);
    for text in ["INFO message=opened valve=3", "WARN message=too high pressure=9.5"] {
        let Some(Found::Event(event)) = events.read_next(&mut buffer)? else {
            return Err("an event is missing".into());
        };
        assert_eq!(event.payload, text.as_bytes());
        println!("{text}");
    }
    assert_eq!(REFUSED.load(Ordering::Relaxed), 0);
    Ok(())
}
#[test]
fn events_of_two_threads_are_found_in_the_order_of_time() -> Result<(), Box<dyn Error>> {
    if cachemaint_test_support::refused::host_or_refused().is_none() {
        return Ok(());
    }
    main()?;
    // Its destructor runs after that of the writer, which was first used later.
    thread_local!(static LAST: Last = const { Last });
    let ending = std::thread::spawn(|| {
        LAST.with(|_| tracing::info!("started"));
    });
    assert!(ending.join().is_ok());
    assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
    Ok(())
}
/// A thread's value whose destructor emits an event.
#[cfg(test)]
struct Last;
#[cfg(test)]
impl Drop for Last {
    fn drop(&mut self) {
        tracing::info!("ended");
    }
}
