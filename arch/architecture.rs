//! One architecture as data, and the list of all.

use super::{
    DataCache, Fence, Fences, Instruction, Unsupported, WholeCacheOperation, modelled, other,
};

/// The outcome of an access that raises SIGBUS under Linux, after the handler has mapped other memory there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sigbus {
    /// No program was run in which the access went on afterwards.
    Untried,
    /// The access goes on: in emulation, except on x86 and arm64.
    Handled,
    /// The access goes on, and `BUS_OBJERR` is a memory error of it.
    HandledWithObjerr,
}

/// One architecture as data.
#[derive(Debug)]
pub struct Architecture {
    /// The name that Rust gives it in `target_arch`.
    pub name: &'static str,
    /// Every instruction known, the preferred write-back first. At most 8: [`Facts`] has a bit for each.
    pub instructions: &'static [Instruction],
    /// The fences' names, from weak to strong: each does everything that those before it do. Place 0 is
    /// [`Fence::NONE`].
    pub fences: &'static [&'static str],
    /// Orders the loads of this thread, and thereby the stores of others that it has observed, before all its later
    /// maintenance operations.
    pub observed: Fence,
    /// The fences of an invalidation: the one before is [`observed`](Self::observed); the one after
    /// completes the operations, and orders loads and stores.
    pub invalidate: Fences,
    /// The reasons why a point cannot be reached if no present instruction reaches it, in the order of [`Point::ALL`].
    pub unreachable: [Unsupported; 3],
    /// The behaviour of the data cache with one page under two virtual addresses.
    pub data_cache: DataCache,
    /// The operation on the whole cache of a CPU, for privileged code.
    pub whole_cache: Option<WholeCacheOperation>,
    /// The reason why the whole cache cannot be written back or invalidated at once: for all code if there is no
    /// [`whole_cache`](Self::whole_cache), otherwise for user mode.
    pub no_whole_cache: Unsupported,
    /// The handling of SIGBUS under Linux.
    pub sigbus: Sigbus,
}

macro_rules! data_of {
    ($($folder:ident)+) => {
        &[$(&super::$folder::ARCHITECTURE,)+ &modelled::ARCHITECTURE, &other::ARCHITECTURE]
    };
}
/// Every architecture that has a folder, the modelled one, and the one for all others.
pub const ALL: &[&Architecture] = with_folders!(data_of);

/// [`Facts`](super::Facts) and the packed choice address instructions and fences by place. Every build checks
/// every architecture.
const _: () = {
    let mut rest = ALL;
    while let [architecture, tail @ ..] = rest {
        architecture.assert_places_are_codes();
        rest = tail;
    }
};

impl Architecture {
    /// Returns the fence that completes both write-backs by this instruction and invalidations.
    pub(crate) const fn completion_of_all(&self, writeback: Instruction) -> Fences {
        let after = writeback.writeback.after.or_stronger(self.invalidate.after);
        Fences { before: Fence::NONE, after }
    }

    const fn assert_places_are_codes(&self) {
        assert!(self.instructions.len() <= 8, "`Facts` has 8 bits");
        assert!(self.fences.len() <= 16, "a fence has 4 bits");
        assert!(self.invalidate.before.0 == self.observed.0, "one fence orders the loads before");
        let mut place = 0;
        while place < self.instructions.len() {
            assert!(self.instructions[place].code == 1 << place, "a code is a place");
            place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fence, Missing};
    use super::ALL;

    /// If nothing waited for an instruction to complete, every guarantee would be void.
    #[test]
    fn every_instruction_is_completed_by_a_fence() {
        for architecture in ALL {
            for instruction in architecture.instructions {
                for fences in [instruction.writeback, architecture.invalidate] {
                    assert_ne!(fences.after, Fence::NONE, "{}", instruction.name);
                    assert!(usize::from(fences.before.0) < architecture.fences.len());
                    assert!(usize::from(fences.after.0) < architecture.fences.len());
                }
            }
        }
    }

    /// A refusal states its reason to callers of an operation that an architecture lacks.
    #[test]
    fn each_refusal_has_a_reason_and_advice() {
        for architecture in ALL {
            let why = architecture.no_whole_cache;
            assert!(!why.reason.is_empty() && !why.advice.is_empty(), "{}", architecture.name);
        }
    }

    /// A refusal states the reason and a way out at each point that has no operation.
    #[test]
    fn an_architecture_without_instructions_refuses_every_point_with_a_reason() {
        let mut refusing = 0;
        for architecture in ALL.iter().filter(|architecture| architecture.instructions.is_empty()) {
            for why in architecture.unreachable {
                assert_eq!(why.missing, Missing::Operation, "{}", architecture.name);
                assert!(!why.reason.is_empty() && !why.advice.is_empty(), "{}", architecture.name);
            }
            refusing += 1;
        }
        // arm, loongarch64, s390x, and the one for all architectures without a folder.
        assert_eq!(refusing, 4);
    }
}
