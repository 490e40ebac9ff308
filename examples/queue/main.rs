//! A durable queue: two producers, and a consumer that trims the jobs that it has handled.
//!
//! An acknowledged job is handled at least once. It is handled again after a crash between handling and trimming.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example queue -- /mnt/pmem/jobs   # kill it, and run it again
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::{self, DaxFile};
use cachemaint_journal::{Error, Journal, Options};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

type Failure = Error<dax::Error>;

/// Appends 200 jobs, more than the journal has space for. Waits while the journal is full.
fn produce(queue: &Journal<DaxFile>, name: &str) -> Result<(), Failure> {
    for number in 0..200 {
        queue.append_within(format!("{name} {number}").as_bytes(), Duration::MAX)?;
    }
    Ok(())
}

/// Handles and trims each job in order, until waits are cancelled and no job is left.
fn consume(queue: &Journal<DaxFile>) -> Result<u64, Failure> {
    let (mut jobs, mut job, mut handled) = (queue.records()?, Vec::new(), 0);
    loop {
        while jobs.read_next(&mut job)?.is_some() {
            handled += 1; // a real program does the job here
        }
        let reached = jobs.reached();
        queue.trim(reached)?;
        if queue.wait_for_records(reached, Duration::MAX)? <= reached {
            return Ok(handled);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: queue FILE")?;
    let file = dax::Options::new().allow_page_granularity().open_or_create(path, 32 << 10)?;
    let (queue, found) = Options::new().segment(1024).open_or_create(file)?;
    let (handled, produced) = thread::scope(|scope| {
        let producers = scope.spawn(|| {
            let ended = thread::scope(|scope| {
                let started = ["a", "b"].map(|name| scope.spawn(|| produce(&queue, name)));
                started.map(ScopedJoinHandle::join)
            });
            queue.cancel_waits(); // the consumer handles the remaining jobs, and ends
            ended
        });
        let handled = consume(&queue);
        queue.cancel_waits(); // if it has failed, no producer waits for it
        (handled, producers.join())
    });
    let handled = handled?;
    for ended in produced.map_err(|_panic| "the thread of the producers has panicked")? {
        ended.map_err(|_panic| "a producer has panicked")??;
    }
    println!("{handled} jobs were handled, {} of them from before", found.recovered.records);
    Ok(())
}
