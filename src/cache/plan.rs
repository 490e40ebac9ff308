//! The choice for a machine, packed in one word.
//!
//! A [`Plan`] holds the facts it was chosen from as well, so that a handle can be aimed at another
//! point without asking the machine again.

use crate::arch::{
    Architecture, Effect, Facts, Instruction, LineSize, Missing, Point, Unsupported,
};

/// The caller's conditions on the choice, apart from the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The codes of the instructions that may write back.
    writeback: u8,
    /// True if the point of coherency is taken for the point of persistence.
    accept_coherency: bool,
    /// True if the caller vouched that privileged instructions may be executed here.
    privileged: bool,
}

impl Policy {
    /// Any instruction may serve, and every point has the architecture's meaning.
    pub(crate) const ANY: Self =
        Self { writeback: u8::MAX, accept_coherency: false, privileged: false };

    /// Permits only this instruction of the architecture to write back, with any ordering that this
    /// CPU gives it.
    pub(crate) fn only(self, architecture: &Architecture, instruction: Instruction) -> Self {
        let named = architecture.instructions.iter().filter(|known| known.name == instruction.name);
        let writeback = named.fold(0, |codes, instruction| codes | instruction.code);
        Self { writeback, ..self }
    }

    /// Returns the same policy with the point of coherency accepted as the point of persistence.
    pub(crate) const fn accepting_coherency(self) -> Self {
        Self { accept_coherency: true, ..self }
    }

    /// Returns the same policy for privileged code.
    #[cfg(feature = "privileged")]
    pub(crate) const fn privileged(self) -> Self {
        Self { privileged: true, ..self }
    }

    /// Returns true if the caller vouched that privileged instructions may be executed here.
    #[cfg(feature = "privileged")]
    pub(crate) const fn is_privileged(self) -> bool {
        self.privileged
    }

    /// Returns true if the point of coherency is taken for the point of persistence.
    pub(crate) const fn accepts_coherency(self) -> bool {
        self.accept_coherency
    }

    /// Returns the point that an instruction must reach at least to serve `point` on this machine. A weaker point is
    /// accepted only if no instruction of the machine reaches `point`.
    const fn aim(self, architecture: &Architecture, facts: Facts, point: Point) -> Point {
        match point {
            Point::Persistence
                if self.accept_coherency
                    && first_writeback(architecture, facts, point, u8::MAX).is_none() =>
            {
                Point::Coherency
            }
            point => point,
        }
    }
}

/// The choice. The layout, from the lowest bit:
///
/// | bits | what |
/// |---|---|
/// | 16 | the bits of an address within a line, never 0 |
/// | 8 | code of the write-back instruction: one bit, so that one test finds it |
/// | 8 | code of the invalidate instruction |
/// | 8 | codes of the instructions present |
/// | 8 | codes of the instructions that may write back |
/// | 3 | the point |
/// | 1 | coherency is accepted as persistence |
/// | 4 | base-2 logarithm of the write-back granule |
/// | 1 | made by privileged code |
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan(u64);

const WRITEBACK: u32 = 16;
const INVALIDATE: u32 = 24;
const PRESENT: u32 = 32;
const PERMITTED: u32 = 40;
const POINT: u32 = 48;
const ACCEPT_COHERENCY: u32 = 51;
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

impl Plan {
    /// Chooses for a machine: the first instruction of the architecture's list that is present, may
    /// serve, and reaches the point; and the first that invalidates.
    pub(crate) const fn choose(
        architecture: &Architecture,
        facts: Facts,
        point: Point,
        policy: Policy,
    ) -> Result<Self, Unsupported> {
        let Some(writeback) = writeback_for(architecture, facts, point, policy) else {
            let any = Policy { writeback: Policy::ANY.writeback, ..policy };
            return Err(if writeback_for(architecture, facts, point, any).is_some() {
                CHOICE_IN_THE_WAY
            } else if !architecture.instructions.is_empty() && facts.present() == 0 {
                NO_INSTRUCTION
            } else {
                architecture.unreachable[point as usize]
            });
        };
        let Some(invalidate) = first_invalidate(architecture, facts) else {
            return Err(NO_INVALIDATION);
        };
        let (line, granule) = facts.units();
        Ok(Self(
            line.within() as u64
                | (point as u64) << POINT
                | (policy.accept_coherency as u64) << ACCEPT_COHERENCY
                | (granule.logarithm() as u64) << GRANULE
                | (policy.privileged as u64) << PRIVILEGED
                | (writeback.code as u64) << WRITEBACK
                | (invalidate.code as u64) << INVALIDATE
                | (facts.present() as u64) << PRESENT
                | (policy.writeback as u64) << PERMITTED,
        ))
    }

    /// Returns the unit that one instruction works on.
    #[inline(always)]
    pub(crate) const fn line(self) -> LineSize {
        LineSize::from_within((self.0 & 0xffff) as u16)
    }

    /// Returns the largest unit that any cache writes back.
    pub(crate) const fn granule(self) -> LineSize {
        LineSize::from_logarithm((self.0 >> GRANULE & 0xf) as u32)
    }

    /// Returns the code of the instruction that writes back.
    #[inline(always)]
    pub(crate) const fn writeback(self) -> u8 {
        self.byte(WRITEBACK)
    }

    /// Returns the code of the instruction that invalidates.
    #[inline(always)]
    pub(crate) const fn invalidate(self) -> u8 {
        self.byte(INVALIDATE)
    }

    /// Returns the point that write-backs are aimed at.
    pub(crate) const fn point(self) -> Point {
        match self.0 >> POINT & 0x7 {
            0 => Point::Coherency,
            1 => Point::Persistence,
            _ => Point::DeepPersistence,
        }
    }

    /// Returns the facts of the machine.
    pub(crate) const fn facts(self) -> Facts {
        Facts::from_present(self.line(), self.byte(PRESENT)).padded_to(self.granule())
    }

    /// Returns the instructions of the machine that can write back to the point, the preferred one first. Each is
    /// shown once.
    pub(crate) fn available_writebacks(
        self,
        architecture: &Architecture,
    ) -> impl Iterator<Item = Instruction> {
        let facts = self.facts();
        let aim = self.policy().aim(architecture, facts, self.point());
        // One mnemonic can stand in the list twice in a row, with different fences.
        let mut last = "";
        architecture.instructions.iter().copied().filter(move |instruction| {
            let fits = facts.has(*instruction) && instruction.point >= aim;
            fits && core::mem::replace(&mut last, instruction.name) != instruction.name
        })
    }

    /// Returns the caller's conditions.
    pub(crate) const fn policy(self) -> Policy {
        Policy {
            writeback: self.byte(PERMITTED),
            accept_coherency: self.0 >> ACCEPT_COHERENCY & 1 != 0,
            privileged: self.0 >> PRIVILEGED & 1 != 0,
        }
    }

    #[inline(always)]
    const fn byte(self, shift: u32) -> u8 {
        (self.0 >> shift & 0xff) as u8
    }

    /// Returns the word, never 0.
    #[cfg(all(target_has_atomic = "64", any(test, not(cachemaint_loom))))]
    pub(crate) const fn to_word(self) -> u64 {
        self.0
    }

    /// Returns the plan whose [`to_word`](Self::to_word) was stored; `None` for 0.
    #[cfg(all(target_has_atomic = "64", any(test, not(cachemaint_loom))))]
    #[inline(always)]
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        if word == 0 { None } else { Some(Self(word)) }
    }
}

/// Returns the instruction that writes back.
const fn writeback_for(
    architecture: &Architecture,
    facts: Facts,
    point: Point,
    policy: Policy,
) -> Option<Instruction> {
    let aim = policy.aim(architecture, facts, point);
    first_writeback(architecture, facts, aim, policy.writeback)
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
    use super::{Plan, Policy};
    use crate::arch::aarch64::{ARCHITECTURE as ARM, DC_CIVAC, DC_CVAC, DC_CVAP};
    use crate::arch::{ALL, Effect, Facts, Instruction, Missing, Point};
    use alloc::vec::Vec;

    const ACCEPTING: Policy = Policy::ANY.accepting_coherency();
    const A53: Facts = Facts::new(64).unwrap().with(DC_CVAC).with(DC_CIVAC);
    const N1: Facts = A53.with(DC_CVAP);

    /// Accepting a weaker point must not weaken an instruction that the machine has.
    #[test]
    fn accepted_coherency_changes_nothing_where_persistence_can_be_reached() {
        let only = ACCEPTING.only(&ARM, DC_CVAC);
        let error = Plan::choose(&ARM, N1, Point::Persistence, only).err().unwrap();
        assert_eq!(error.missing, Missing::Choice);
        assert!(Plan::choose(&ARM, A53, Point::Persistence, only).is_ok());
        for (facts, names) in [(N1, &["dc cvap"][..]), (A53, &["dc cvac", "dc civac"])] {
            let plan = Plan::choose(&ARM, facts, Point::Persistence, ACCEPTING).unwrap();
            let available = plan.available_writebacks(&ARM).map(|instruction| instruction.name);
            assert_eq!(available.collect::<Vec<_>>(), names);
        }
    }

    /// An architecture's reasons are about kernels and user mode, but the facts can come from a kernel.
    #[test]
    fn facts_without_an_instruction_are_refused_for_that() {
        let with_instructions = ALL.iter().filter(|machine| !machine.instructions.is_empty());
        for architecture in with_instructions {
            for point in Point::ALL {
                let plan = Plan::choose(architecture, Facts::new(64).unwrap(), *point, Policy::ANY);
                let error = plan.err().unwrap();
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
                let plan = Plan::choose(architecture, facts, Point::Coherency, Policy::ANY);
                let error = plan.err().unwrap();
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
                let plans = Point::ALL.iter().flat_map(|&point| {
                    [Policy::ANY, ACCEPTING]
                        .map(|policy| Plan::choose(architecture, facts, point, policy))
                });
                for plan in plans.filter_map(Result::ok) {
                    let first = plan.available_writebacks(architecture).next().unwrap();
                    assert_eq!(first.code, plan.writeback(), "{} {present:#b}", architecture.name);
                }
            }
        }
    }
}
