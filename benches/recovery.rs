//! Opening a journal after a crash: 10 million records of 64 B in DRAM, all of which are read. A test run (`--test`)
//! uses a hundredth of them.
//!
//! After criterion's figures it prints the bytes and records per second, with 95 % intervals.

use cachemaint::medium::Backing;
use cachemaint::medium::Memory;
use cachemaint_benches::contenders::print_heading;
use cachemaint_benches::measure::blocks::{Blocks, Loop, interleave};
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::lines::{PAGE, Region};
use cachemaint_benches::measure::statistics::Estimate;
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::payloads::Payloads;
use cachemaint_benches::{Outcome, is_small, run_with};
use cachemaint_journal::{Group, Journal, Recovered};
use core::cell::RefCell;
use core::error::Error;
use core::time::Duration;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::io::Write;
use std::process::ExitCode;

const RECORDS: usize = 10_000_000;
const PAYLOAD: usize = 64;
/// Bytes for records with headers of 16 bytes, and for the losses at the ends of segments.
const MEMORY: usize = 820 << 20;
/// The number of initial records that are appended together.
const GROUP: usize = 100;
/// The goal in bytes per nanosecond.
const GOAL: f64 = 2.0;

fn main() -> ExitCode {
    let region = Region::new(MEMORY / PAGE);
    run_with(
        Crashed::new(&region),
        |crashed, criterion| {
            crashed.measure(criterion);
            Ok(())
        },
        |crashed, out| crashed.print_rates(out),
    )
}

/// A journal that was not closed.
struct Crashed<'a> {
    clock: Clock,
    memory: Memory<'a>,
    records: usize,
}

impl<'a> Crashed<'a> {
    fn new(region: &'a Region) -> Result<Self, Box<dyn Error>> {
        let records = if is_small() { RECORDS / 100 } else { RECORDS };
        let (words, cache) = (region.words(), to_persistence()?);
        let memory = Memory::new(words, cache, Backing::Ram);
        let (journal, _) = Journal::create_new(memory).map_err(|failed| failed.error)?;
        let (payloads, mut group) = (Payloads::new(PAYLOAD), Group::new());
        for first in (0..records).step_by(GROUP) {
            (first..first + GROUP).for_each(|number| group.push(payloads.of(number)));
            journal.append_group(&mut group)?;
        }
        let memory = Memory::new(words, cache, Backing::Ram);
        Ok(Self { clock: Clock::new(), memory, records })
    }

    /// Opens the journal, and returns the nanoseconds and the bytes of the log.
    ///
    /// # Panics
    /// If not all is found.
    fn open(&self) -> (f64, u64) {
        let recovered = RefCell::new(None);
        let ns = self.clock.time(|| {
            let opened = Journal::open(&self.memory).map(|(_journal, opened)| opened.recovered);
            recovered.replace(Some(opened));
        });
        match recovered.into_inner() {
            Some(Ok(Recovered { head, end, records, torn, .. })) => {
                assert_eq!((records, torn), (self.records as u64, false), "what was recovered");
                (ns, end.0 - head.0)
            }
            other => {
                assert!(other.is_none(), "{other:?}");
                (ns, 0)
            }
        }
    }

    fn measure(&self, criterion: &mut Criterion) {
        let (_, bytes) = self.open();
        let mut group = criterion.benchmark_group("open a journal");
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(50));
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new("records", self.records), |bencher| {
            bencher.iter_custom(|iterations| {
                let ns: f64 = (0..iterations).map(|_| self.open().0).sum();
                Duration::from_secs_f64(ns * 1e-9)
            });
        });
        group.finish();
    }

    #[expect(clippy::cast_precision_loss, reason = "a journal has fewer bytes than 2^53")]
    fn print_rates(&self, out: &mut dyn Write) -> Outcome {
        let blocks = Blocks::FEWEST;
        let records = self.records;
        print_heading(
            out,
            &format!("open a journal of {records} records of {PAYLOAD} B in DRAM"),
            blocks,
        )?;
        let mut open: [Loop<'_, (f64, u64)>; 1] = [Box::new(|| self.open())];
        let samples = interleave(blocks, &mut open, &mut || {}).concat();
        let rates = |amount: &dyn Fn(u64) -> f64| {
            let rates: Vec<f64> = samples.iter().map(|(ns, bytes)| amount(*bytes) / ns).collect();
            Estimate::of(&rates)
        };
        let (bytes, records) = (rates(&|bytes| bytes as f64)?, rates(&|_| records as f64 * 1e3)?);
        let reached = if bytes.high >= GOAL { "reached" } else { "missed" };
        writeln!(out, "{bytes:.2} GB/s of the log, goal {GOAL:.2} {reached}")?;
        writeln!(out, "{records:.1} million records/s")?;
        Ok(())
    }
}
