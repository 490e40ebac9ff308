//! A durable queue: two producers, and a consumer that trims what it has handled.
//!
//! An acknowledged job is handled at least once: again, if a crash comes between handling and trimming.
//!
//! ```sh
//! cargo run --example queue --features journal -- /mnt/pmem/jobs   # kill it, and run it again
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::{self, DaxFile};
use cachemaint::journal::{Error, ErrorKind, Journal, Options, Position};
use std::thread;
use std::time::Duration;

type Failure = Error<dax::Error>;

/// Appends 200 jobs, of which the journal has room for some. It waits while the journal is full.
fn produce(queue: &Journal<DaxFile>, name: &str) -> Result<(), Failure> {
    for job in (0..200).rev().map(|number| format!("{name} {number} left")) {
        while let Err(error) = queue.append(job.as_bytes()) {
            match error.kind() {
                ErrorKind::Full { .. } => queue.wait_for_room(job.len() as u64, Duration::MAX)?,
                _ => return Err(error),
            };
        }
    }
    Ok(())
}

/// Handles each job in order, and trims it, up to the last ones of two producers that began at a position.
fn consume(queue: &Journal<DaxFile>, began: Position) -> Result<u64, Failure> {
    let (mut next, mut handled, mut ended) = (queue.head(), 0, 0);
    while ended < 2 {
        queue.wait_for_records(next, Duration::MAX)?;
        let reader = queue.reader()?;
        let mut jobs = reader.records_from(next)?;
        for job in &mut jobs {
            let job = job?;
            handled += 1; // here it would be done
            ended += u32::from(job.position >= began && job.payload.ends_with(b" 0 left"));
        }
        next = jobs.reached();
        queue.trim(next)?;
    }
    Ok(handled)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: queue FILE")?;
    let file = dax::Options::new().allow_page_granularity().open_or_create(path, 16 << 10)?;
    let (queue, found) = Options::new().segment(1024).open_or_create(file)?;
    let handled = thread::scope(|scope| {
        scope.spawn(|| produce(&queue, "a"));
        scope.spawn(|| produce(&queue, "b"));
        consume(&queue, found.end)
    })?;
    println!("{handled} jobs were handled, {} of them from before", found.records);
    Ok(())
}
