//! The steps that need only the library.
//!
//! Only the CPU accesses these buffers, so an operation must leave every byte unchanged, also on lines that a range
//! shares with others.

use core::hint::black_box;

use cachemaint::cache::Missing;
use cachemaint::instruction::{Effect, Facts, Instruction};
use cachemaint::report::{CpuReport, Hypervisor, RefusedBy, Status};
use cachemaint::{Cache, Point};

use crate::{Outcome, Step};

/// The steps of every board, in this order.
pub const STEPS: [Step; 7] = [
    Step { name: "report", run: report },
    Step { name: "whole cache asked", run: whole_cache_asked },
    Step { name: "writeback", run: writeback },
    Step { name: "invalidate", run: invalidate },
    Step { name: "writeback_invalidate", run: writeback_invalidate },
    Step { name: "batch", run: batch },
    Step { name: "every instruction", run: every_instruction },
];

/// Space for 16 lines of the emulated CPUs with the largest lines, which have 256 bytes.
const SIZE: usize = 4096;

/// Memory with known content that shares no line with other memory: 2048 bytes is the largest possible unit (Arm ARM,
/// `CTR_EL0`.CWG).
#[derive(Clone, Debug)]
#[repr(align(2048))]
pub struct Buffer {
    bytes: [u8; SIZE],
    seed: u8,
}

impl Buffer {
    /// Returns freshly stored content, a different one for each `seed`.
    #[must_use]
    pub fn filled(seed: u8) -> Self {
        Self { bytes: core::array::from_fn(|place| Self::expected(seed, place)), seed }
    }

    const fn expected(seed: u8, place: usize) -> u8 {
        // The second byte differs from line to line.
        place.to_le_bytes()[0] ^ place.to_le_bytes()[1] ^ seed
    }

    /// Returns the content.
    pub const fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Asserts that the content is unchanged.
    ///
    /// # Panics
    /// If a byte differs. The message names the first one.
    pub fn assert_intact(&self, after: &str) {
        // The compiler knows the stored values, so it must be forced to read memory.
        for (place, byte) in black_box(&self.bytes).iter().enumerate() {
            let expected = Self::expected(self.seed, place);
            assert_eq!(*byte, expected, "byte {place} after {after}");
        }
    }
}

/// Returns positions and lengths that begin and end within lines and at their edges, and an empty range.
fn ranges(line: usize) -> [(usize, usize); 7] {
    [(0, 0), (0, 1), (line - 1, 2), (7, 3 * line + 1), (line, line), (1, SIZE - 2), (0, SIZE)]
}

/// Runs `operation` on each range after a store to the whole buffer.
fn on_ranges(name: &str, line: usize, operation: impl Fn(&mut [u8])) -> Outcome {
    for (seed, (start, len)) in (1..).zip(ranges(line)) {
        let mut buffer = Buffer::filled(seed);
        operation(&mut buffer.bytes()[start..start + len]);
        buffer.assert_intact(name);
    }
    Outcome::Passed
}

fn writeback(cache: Cache) -> Outcome {
    on_ranges("writeback", cache.line_size(), |range| cache.writeback(range))
}

fn invalidate(cache: Cache) -> Outcome {
    on_ranges("invalidate", cache.line_size(), |range| cache.invalidate(range))
}

fn writeback_invalidate(cache: Cache) -> Outcome {
    on_ranges("writeback_invalidate", cache.line_size(), |range| cache.writeback_invalidate(range))
}

/// Different operations, under one fence, apply to neighbours that share lines.
fn batch(cache: Cache) -> Outcome {
    let mut buffer = Buffer::filled(1);
    let (first, rest) = buffer.bytes().split_at_mut(cache.line_size() + 7);
    let (second, third) = rest.split_at_mut(2 * cache.line_size() + 1);
    cache.batch(|batch| {
        batch.writeback(first);
        batch.writeback_invalidate(second);
        batch.invalidate(third);
    });
    buffer.assert_intact("batch");
    Outcome::Passed
}

/// Every instruction that the CPU reports must execute: no kernel emulates a missing one here.
fn every_instruction(cache: Cache) -> Outcome {
    let aimed = Point::ALL.iter().copied().filter_map(|point| cache.to(point).ok());
    for cache in aimed {
        for instruction in cache.available_writebacks() {
            let only = with(cache, instruction);
            assert_eq!(only.writeback_choice().instruction.name, instruction.name, "the only one");
            on_ranges(instruction.name, only.line_size(), |range| only.writeback(range));
        }
    }
    Outcome::Passed
}

/// Returns a handle of the same CPU that writes back with `instruction`.
#[expect(unsafe_code, reason = "the library cannot know that these facts are its own")]
#[expect(clippy::expect_used, reason = "a failed expectation is the verdict on the step")]
fn with(cache: Cache, instruction: Instruction) -> Cache {
    let none = Facts::new(cache.line_size()).expect("the handle has this line size");
    let alone = none.with(instruction);
    let facts = match instruction.effect {
        Effect::WritebackInvalidate => alone,
        _ => alone.with(cache.invalidate_choice().instruction),
    };
    // SAFETY: the facts are fewer than those of a handle for this machine (1), with its line (2).
    let only = unsafe { Cache::from_facts(facts) };
    only.and_then(|only| only.to(cache.point())).expect("it reaches the point and invalidates")
}

/// The report names the instruction that the handle executes, at this privilege level too.
fn report(cache: Cache) -> Outcome {
    let report = CpuReport::for_cache(cache);
    for &point in Point::ALL {
        let executed = cache.to(point).map(|cache| cache.writeback_choice().instruction.name);
        let reported = report.writeback(point).map(|choice| choice.instruction.name);
        assert_eq!(reported, executed, "{point}");
    }
    let reported = report.invalidate().map(|choice| choice.instruction.name);
    assert_eq!(reported, Ok(cache.invalidate_choice().instruction.name));
    let is_forbidden =
        |status| matches!(status, Status::Refused(why) if why.missing != Missing::Erratum);
    for availability in report.instructions() {
        let (name, status) = (availability.instruction.name, availability.status);
        assert!(!is_forbidden(status), "{name} is {status:?}");
    }
    Outcome::Passed
}

/// All caches can be invalidated at once only in ring 0 without a hypervisor. A refusal names the privilege level or
/// hypervisor that prevents it.
fn whole_cache_asked(cache: Cache) -> Outcome {
    let report = CpuReport::for_cache(cache);
    let is_x86 = cfg!(any(target_arch = "x86_64", target_arch = "x86"));
    let is_privileged = cfg!(target_os = "none");
    let is_bare = report.hypervisor == Hypervisor::Absent;
    match report.can_invalidate_memory() {
        Ok(does) => assert!(is_x86 && is_privileged && is_bare, "{does:?}"),
        Err(refused) => {
            assert!(!refused.why.advice.is_empty(), "a refusal says what to do");
            let is_right = match refused.by {
                RefusedBy::Architecture => !is_x86,
                RefusedBy::UserMode => is_x86 && !is_privileged,
                RefusedBy::Hypervisor(_) | RefusedBy::ConfidentialGuest(_) => {
                    is_x86 && is_privileged && !is_bare
                }
                _ => false,
            };
            assert!(is_right, "{refused:?}");
        }
    }
    Outcome::Passed
}
