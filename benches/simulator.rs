//! The speed of exploring crashes: a log of 64-byte records, appended one at a time, under each model.
//!
//! The throughput is measured in recoveries: one recovery stands for all states that it cannot distinguish.

#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]

use cachemaint::medium::{Medium, Readable};
use cachemaint_benches::run;
use cachemaint_sim::{Exploration, Model, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering;
use criterion::{Criterion, Throughput};
use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;

/// Bytes of a record: a cache line.
const RECORD: usize = 64;

/// A record with its number and a checksum.
fn record(number: u64) -> [u8; RECORD] {
    let mut bytes = [0x5a; RECORD];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let (content, checksum) = bytes.split_at_mut(RECORD - 4);
    checksum.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    bytes
}

fn place(number: u64) -> u64 {
    number * RECORD as u64
}

/// Returns the number of intact records at the beginning of the log.
fn recover(medium: &SimMedium, records: u64) -> u64 {
    let mut bytes = [0; RECORD];
    for number in 0..records {
        medium.read(place(number), &mut bytes).unwrap();
        if bytes != record(number) {
            return number;
        }
    }
    records
}

fn explore_log(model: Model, records: u64) -> Exploration {
    Simulation::new(model, place(records)).zeros().explore(
        |medium, acknowledged| {
            for number in 0..records {
                // A copy in the simulated medium cannot fail.
                medium.persist_copy(&[(place(number), &record(number))]).unwrap();
                acknowledged.add(number);
            }
        },
        |medium, acknowledged| {
            let found = recover(medium, records);
            let expected = acknowledged.len() as u64;
            if found >= expected {
                Ok(())
            } else {
                Err(Violation::lost(format!("{found} of {expected}")))
            }
        },
    )
}

/// Explores two tables and a header that says which one is valid: bytes that recovery does not read are not decided.
fn explore_tables(model: Model) -> Exploration {
    Simulation::new(model, 3 * TABLE as u64).zeros().explore(
        |medium, acknowledged| {
            for generation in 1..=4_u8 {
                let table = place_of_table(generation.into());
                medium.persist_copy(&[(table, &[generation; TABLE])]).unwrap();
                medium.store(0, generation.into(), Ordering::Release);
                medium.persist(0..8).unwrap();
                acknowledged.add(u64::from(generation));
            }
        },
        |medium, acknowledged| {
            let generation = medium.load(0, Ordering::Acquire);
            let mut table = [0; TABLE];
            medium.read(place_of_table(generation), &mut table).unwrap();
            let is_whole = table.iter().all(|byte| u64::from(*byte) == generation);
            Violation::unless(is_whole, || format!("generation {generation} is mixed"))?;
            let expected = acknowledged.last().copied().unwrap_or(0);
            if generation >= expected {
                Ok(())
            } else {
                Err(Violation::lost(format!("{expected}")))
            }
        },
    )
}

/// Bytes of a table: 8 lines.
const TABLE: usize = 512;

/// Returns the offset of a table. Two tables after the header take turns.
const fn place_of_table(generation: u64) -> u64 {
    (1 + generation % 2) * TABLE as u64
}

/// Measures an exploration under each model, and prints what it covers.
fn measure(criterion: &mut Criterion, name: &str, explore: impl Fn(Model) -> Exploration) {
    let mut group = criterion.benchmark_group(name);
    for model in [Model::X86, Model::ARM64, Model::NEUTRAL] {
        let outcome = explore(model);
        outcome.assert_safe();
        assert!(outcome.is_exhaustive(), "{outcome}");
        // Nothing is left to do if standard output is closed.
        drop(writeln!(io::stdout(), "{name}: {outcome}"));
        group.throughput(Throughput::Elements(outcome.recoveries));
        group.bench_function(model.to_string(), |bencher| {
            bencher.iter(|| black_box(explore(model)));
        });
    }
}

fn main() -> ExitCode {
    run(
        |criterion| {
            measure(criterion, "log of 5 appends", |model| explore_log(model, 5));
            measure(criterion, "log of 20 appends", |model| explore_log(model, 20));
            measure(criterion, "tables behind a header", explore_tables);
            Ok(())
        },
        |_| Ok(()),
    )
}
