//! The tag of a record, 64-bit XXH3 with a seed, compared with the CRC32C that it replaced: 16 B to 4 KiB, in the
//! nearest cache. A CRC is not suitable because it is linear: a payload that ends with its own CRC passes for any other
//! one.
//!
//! After criterion's figures the ratios are printed, from interleaved blocks, with their 95 % intervals.

use cachemaint_benches::contenders::{Case, Contender, run_cases};
use cachemaint_benches::measure::blocks::{Blocks, Loop};
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::payloads::Payloads;
use core::hint::black_box;
use std::process::ExitCode;
use twox_hash::XxHash3_64;

/// The number of tags in a block.
const TAGS: u16 = 512;
const SIZES: [usize; 5] = [16, 64, 256, 1 << 10, 4 << 10];

fn main() -> ExitCode {
    run_cases(
        Ok(Clock::new()),
        ("the tag of a record", "DRAM"),
        Blocks::at_least(101),
        |clock, then| SIZES.into_iter().try_for_each(|size| then(case(clock, size))),
    )
}

fn case(clock: &Clock, size: usize) -> Case<'_> {
    let contender = |name: &str, tag: fn(u64, &[u8]) -> u64| Contender {
        name: name.to_owned(),
        goal: None,
        block_ns: block(clock, size, tag),
    };
    Case {
        name: format!("the tag of {size} B"),
        operations: usize::from(TAGS),

        contenders: vec![
            contender("XXH3, 64 bits", XxHash3_64::oneshot_with_seed),
            // A CRC continues from a 32-bit value.
            contender("CRC32C", |seed, bytes| {
                crc32c::crc32c_append((seed & 0xffff_ffff) as u32, bytes).into()
            }),
        ],
    }
}

/// Returns the loop that computes tags of different payloads, each with a seed that depends on the tag before it.
fn block(clock: &Clock, size: usize, tag: fn(u64, &[u8]) -> u64) -> Loop<'_, f64> {
    let payloads = Payloads::new(size);
    Box::new(move || {
        let ns = clock.time(|| {
            let tags = (0..TAGS)
                .fold(1, |seed, number| tag(seed, black_box(payloads.of(usize::from(number)))));
            black_box(tags);
        });
        ns / f64::from(TAGS)
    })
}
