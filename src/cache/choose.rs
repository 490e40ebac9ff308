//! The choice for a machine, packed in the one word of a [`Cache`].
//!
//! The word holds the facts and conditions it was chosen from as well, so that a handle can be aimed at another point
//! without asking the machine again. The layout, from the lowest bit:
//!
//! | bits | what |
//! |---|---|
//! | 16 | the bits of an address within a line, never 0 |
//! | 8 | code of the write-back instruction: one bit, so that one test finds it |
//! | 8 | code of the invalidate instruction |
//! | 8 | codes of the instructions present |
//! | 8 | codes of the instructions that may write back |
//! | 3 | the point |
//! | 1 | coherency is accepted as persistence |
//! | 4 | base-2 logarithm of the write-back granule |
//! | 1 | made by privileged code |

use super::{Builder, Cache};
use crate::arch::{
    Architecture, Effect, Facts, Instruction, LineSize, Missing, Point, Unsupported,
};
use core::num::NonZeroU64;

pub(super) const WRITEBACK: u32 = 16;
const INVALIDATE: u32 = 24;
const PRESENT: u32 = 32;
const PERMITTED: u32 = 40;
const POINT: u32 = 48;
const ACCEPTS_COHERENCY: u32 = 51;
const GRANULE: u32 = 52;
const PRIVILEGED: u32 = 56;

const CHOICE_IN_THE_WAY: Unsupported = Unsupported::new(
    Missing::Choice,
    "this machine lacks the requested write-back instruction, or the instruction does not reach the point",
    "request another instruction, or none",
);

/// Only a [description](crate::Cache::from_facts) can lack all of them: a CPU that was asked and has none is refused
/// with its architecture's reason, which is about kernels.
const NO_INSTRUCTION: Unsupported = Unsupported::new(
    Missing::Instruction,
    "the facts name no instruction that writes back",
    "add those that the CPU has; if it has none, map the memory non-cacheable, or maintain it through the platform's \
     cache controller",
);

/// Only a [description](crate::Cache::from_facts) can lack it: every CPU that can be asked has it if it has a
/// write-back.
const NO_INVALIDATION: Unsupported = Unsupported::new(
    Missing::Instruction,
    "the facts name an instruction that writes back, but none that invalidates",
    "add the one that the CPU has: clflush, dc civac, cbo.flush or dcbf",
);

impl Cache {
    /// Chooses for a machine: the first instruction of the architecture's list that is present, may serve, and reaches
    /// the point; and the first that invalidates.
    pub(crate) const fn choose(
        architecture: &Architecture,
        facts: Facts,
        conditions: Builder,
    ) -> Result<Self, Unsupported> {
        let Some(writeback) = writeback_for(architecture, facts, conditions) else {
            let any = Builder { writeback: u8::MAX, ..conditions };
            return Err(if writeback_for(architecture, facts, any).is_some() {
                CHOICE_IN_THE_WAY
            } else if !architecture.instructions.is_empty() && facts.present() == 0 {
                NO_INSTRUCTION
            } else {
                architecture.unreachable[conditions.point as usize]
            });
        };
        let Some(invalidate) = first_invalidate(architecture, facts) else {
            return Err(NO_INVALIDATION);
        };
        let (line, granule) = facts.units();
        let word = line.within() as u64
            | (conditions.point as u64) << POINT
            | (conditions.accepts_coherency as u64) << ACCEPTS_COHERENCY
            | (granule.logarithm() as u64) << GRANULE
            | (conditions.is_privileged as u64) << PRIVILEGED
            | (writeback.code as u64) << WRITEBACK
            | (invalidate.code as u64) << INVALIDATE
            | (facts.present() as u64) << PRESENT
            | (conditions.writeback as u64) << PERMITTED;
        match NonZeroU64::new(word) {
            Some(word) => Ok(Self { word }),
            None => Err(NO_INSTRUCTION),
        }
    }

    /// Returns the bits of an address within a line.
    #[inline(always)]
    pub(super) const fn within(self) -> u16 {
        (self.word.get() & 0xffff) as u16
    }

    /// Returns the code of the instruction that writes back.
    #[inline(always)]
    pub(crate) const fn writeback_code(self) -> u8 {
        (self.word.get() >> WRITEBACK & 0xff) as u8
    }

    /// Returns the code of the instruction that invalidates.
    #[inline(always)]
    pub(crate) const fn invalidate_code(self) -> u8 {
        (self.word.get() >> INVALIDATE & 0xff) as u8
    }

    /// Returns the largest unit that any cache writes back.
    pub(super) const fn largest_unit(self) -> LineSize {
        LineSize::from_logarithm((self.word.get() >> GRANULE & 0xf) as u32)
    }

    /// Returns the facts that the choice was made from.
    #[must_use]
    pub const fn facts(self) -> Facts {
        let present = (self.word.get() >> PRESENT & 0xff) as u8;
        Facts::from_present(LineSize::from_within(self.within()), present)
            .padded_to(self.largest_unit())
    }

    /// Returns the caller's conditions on the choice.
    pub(crate) const fn conditions(self) -> Builder {
        Builder {
            point: match self.word.get() >> POINT & 0x7 {
                0 => Point::Coherency,
                1 => Point::Persistence,
                _ => Point::DeepPersistence,
            },
            writeback: (self.word.get() >> PERMITTED & 0xff) as u8,
            accepts_coherency: self.word.get() >> ACCEPTS_COHERENCY & 1 != 0,
            is_privileged: self.word.get() >> PRIVILEGED & 1 != 0,
        }
    }

    /// Returns the instructions of a machine of the architecture that can write back to the point, the preferred one
    /// first. Each is shown once.
    pub(super) fn available(
        self,
        architecture: &Architecture,
    ) -> impl Iterator<Item = Instruction> {
        let facts = self.facts();
        let aim = aim(architecture, facts, self.conditions());
        // One mnemonic can stand in the list twice in a row, with different fences.
        let mut last = "";
        architecture.instructions.iter().copied().filter(move |instruction| {
            let fits = facts.has(*instruction) && instruction.point >= aim;
            fits && core::mem::replace(&mut last, instruction.name) != instruction.name
        })
    }
}

/// Returns the point that an instruction must reach at least on this machine. A weaker point is accepted only if no
/// instruction of the machine reaches the one asked for.
const fn aim(architecture: &Architecture, facts: Facts, conditions: Builder) -> Point {
    match conditions.point {
        Point::Persistence
            if conditions.accepts_coherency
                && first_writeback(architecture, facts, Point::Persistence, u8::MAX).is_none() =>
        {
            Point::Coherency
        }
        point => point,
    }
}

/// Returns the instruction that writes back.
const fn writeback_for(
    architecture: &Architecture,
    facts: Facts,
    conditions: Builder,
) -> Option<Instruction> {
    let aim = aim(architecture, facts, conditions);
    first_writeback(architecture, facts, aim, conditions.writeback)
}

const fn first_writeback(
    architecture: &Architecture,
    facts: Facts,
    aim: Point,
    permitted: u8,
) -> Option<Instruction> {
    let mut rest = architecture.instructions;
    while let [instruction, tail @ ..] = rest {
        let reaches = instruction.point as u8 >= aim as u8;
        if reaches && facts.has(*instruction) && permitted & instruction.code != 0 {
            return Some(*instruction);
        }
        rest = tail;
    }
    None
}

const fn first_invalidate(architecture: &Architecture, facts: Facts) -> Option<Instruction> {
    let mut rest = architecture.instructions;
    while let [instruction, tail @ ..] = rest {
        if matches!(instruction.effect, Effect::WritebackInvalidate) && facts.has(*instruction) {
            return Some(*instruction);
        }
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Builder, Cache};
    use crate::arch::aarch64::{ARCHITECTURE as ARM, DC_CIVAC, DC_CVAC, DC_CVAP};
    use crate::arch::{ALL, Effect, Facts, Instruction, Missing, Point};
    use alloc::vec::Vec;

    const ACCEPTING: Builder = Builder::new().accept_coherency_as_persistence();
    const A53: Facts = Facts::new(64).unwrap().with(DC_CVAC).with(DC_CIVAC);
    const N1: Facts = A53.with(DC_CVAP);

    /// Accepting a weaker point must not weaken an instruction that the machine has.
    #[test]
    fn accepted_coherency_changes_nothing_where_persistence_can_be_reached() {
        let only = ACCEPTING.only(&ARM, DC_CVAC);
        let error = Cache::choose(&ARM, N1, only.point(Point::Persistence)).err().unwrap();
        assert_eq!(error.missing, Missing::Choice);
        assert!(Cache::choose(&ARM, A53, only.point(Point::Persistence)).is_ok());
        for (facts, names) in [(N1, &["dc cvap"][..]), (A53, &["dc cvac", "dc civac"])] {
            let cache = Cache::choose(&ARM, facts, ACCEPTING.point(Point::Persistence)).unwrap();
            let available = cache.available(&ARM).map(|instruction| instruction.name);
            assert_eq!(available.collect::<Vec<_>>(), names);
        }
    }

    /// An architecture's reasons are about kernels and user mode, but the facts can come from a kernel.
    #[test]
    fn facts_without_an_instruction_are_refused_for_that() {
        let with_instructions = ALL.iter().filter(|machine| !machine.instructions.is_empty());
        for architecture in with_instructions {
            for point in Point::ALL {
                let cache = Cache::choose(
                    architecture,
                    Facts::new(64).unwrap(),
                    Builder::new().point(*point),
                );
                let error = cache.err().unwrap();
                assert_eq!(error.missing, Missing::Instruction, "{}", architecture.name);
                assert!(error.reason.contains("facts"), "{}: {error}", architecture.name);
            }
        }
    }

    /// Only described facts can lack it: no CPU that was asked does.
    #[test]
    fn facts_that_only_write_back_are_refused_for_the_missing_invalidation() {
        let keeps = |instruction: &&Instruction| instruction.effect == Effect::Writeback;
        let mut refused = Vec::new();
        for architecture in ALL {
            for instruction in architecture.instructions.iter().filter(keeps) {
                let facts = Facts::new(64).unwrap().with(*instruction);
                let cache =
                    Cache::choose(architecture, facts, Builder::new().point(Point::Coherency));
                let error = cache.err().unwrap();
                assert_eq!(error.missing, Missing::Instruction, "{}: {error}", instruction.name);
                assert!(error.reason.contains("invalidates"), "{}: {error}", instruction.name);
                refused.push(instruction.name);
            }
        }
        assert!(["clwb", "dc cvac", "cbo.clean", "dcbst"].iter().all(|one| refused.contains(one)));
    }

    #[test]
    fn the_first_available_instruction_is_the_chosen_one() {
        let line = Facts::new(64).unwrap().units().0;
        for architecture in ALL {
            for present in 0..1_u8 << architecture.instructions.len() {
                let facts = Facts::from_present(line, present);
                let choices = Point::ALL.iter().flat_map(|&point| {
                    [Builder::new(), ACCEPTING].map(|conditions| {
                        Cache::choose(architecture, facts, conditions.point(point))
                    })
                });
                for cache in choices.filter_map(Result::ok) {
                    let first = cache.available(architecture).next().unwrap();
                    assert_eq!(
                        first.code,
                        cache.writeback_code(),
                        "{} {present:#b}",
                        architecture.name
                    );
                }
            }
        }
    }
}
