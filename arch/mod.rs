//! What each architecture's cache maintenance instructions are, what permits them, and which fence
//! completes them.
//!
//! A back end holds facts about its architecture and the instructions themselves, no policy: which
//! of the instructions serves an operation is chosen in `src/cache`. It names nothing outside this
//! folder but `core`, so that the folder can be compiled alone.
//!
//! Every back end is one folder with
//! - `mod.rs`: its documentation and [`ARCHITECTURE`](native::ARCHITECTURE), pure data that compiles
//!   on every host, so that its rules are tested on every host;
//! - `instruction`, on that architecture only: the names that users may give;
//! - `ops.rs`, on that architecture only: `select` finds the instruction of a code (so that what
//!   follows is compiled for each and branches once a call), `execute` executes it on one line,
//!   `fence` a fence.
//!
//! - `privileged.rs`, on that architecture only: what only privileged code may execute.
//!
//! Where user mode has no operation, `no_operation.rs` stands for `ops`; where privileged code has no
//! more than user mode, `no_privileged.rs` stands for `privileged`.
//! `device.rs` has what every architecture has: the barrier that orders memory for devices. `blocks.rs` has
//! the stores that fill blocks of memory; an architecture has its own in a file of that name, and
//! `word_blocks.rs` stands for it elsewhere.
//!
//! `README.md` beside this file has the table of architectures.

pub mod aliasing;
mod blocks;
pub mod device;
mod lines;

pub use aliasing::DataCache;
pub use blocks::{BLOCK, BlockStore, StoreKind};
pub use lines::{LineSize, Lines};

/// Makes each folder a module, and the one that the compiler's target belongs to `native`; its
/// instructions by name are `instruction`, and what executes them is `ops`.
///
/// A unit test compiles all of them, since their rules are data that holds on every host.
macro_rules! architectures {
    (
        with_operations: { $($with:ident: $with_target:meta,)* }
        without_operation: { $($without:ident: $without_target:meta,)* }
    ) => {
        architectures!(modules $($with: $with_target,)* $($without: $without_target,)*);
        $(
            #[cfg(all($with_target, not(any(loom, miri))))]
            pub use $with::{instruction, ops};
            #[cfg(all(feature = "privileged", $with_target, not(any(loom, miri))))]
            pub use $with::privileged;
        )*

        #[cfg(any(not(any($($with_target,)* loom, miri)), test))]
        mod refused;
        #[cfg(not(any($($with_target,)* loom, miri)))]
        mod no_operation;
        #[cfg(not(any($($with_target,)* loom, miri)))]
        pub use no_operation::{instruction, ops};
        #[cfg(all(feature = "privileged", not(any($($with_target,)* loom, miri))))]
        pub use no_privileged as privileged;
        #[cfg(any(not(any($($with_target,)* $($without_target,)* loom, miri)), test))]
        pub mod other;
        #[cfg(not(any($($with_target,)* $($without_target,)* loom, miri)))]
        pub use other as native;
    };
    (modules $($name:ident: $target:meta,)*) => {
        $(
            #[cfg(any(all($target, not(any(loom, miri))), test))]
            pub mod $name;
            #[cfg(all($target, not(any(loom, miri))))]
            pub use $name as native;
        )*

        /// Every architecture there is, and what stands for those that have no folder.
        #[cfg(test)]
        pub const ALL: &[&Architecture] =
            &[$(&$name::ARCHITECTURE,)* &modelled::ARCHITECTURE, &other::ARCHITECTURE];
    };
}

architectures! {
    with_operations: {
        aarch64: target_arch = "aarch64",
        powerpc: any(target_arch = "powerpc64", target_arch = "powerpc"),
        riscv: any(target_arch = "riscv64", target_arch = "riscv32"),
        x86: any(target_arch = "x86_64", target_arch = "x86"),
    }
    without_operation: {
        arm: target_arch = "arm",
        loongarch64: any(target_arch = "loongarch64", target_arch = "loongarch32"),
        s390x: target_arch = "s390x",
    }
}

/// What no privileged code has on an architecture.
#[cfg(feature = "privileged")]
#[cfg_attr(
    all(
        any(
            target_arch = "aarch64",
            target_arch = "riscv64",
            target_arch = "riscv32",
            target_arch = "x86_64",
            target_arch = "x86"
        ),
        not(any(loom, miri))
    ),
    expect(dead_code, reason = "these have some of it")
)]
#[expect(unsafe_code, reason = "the signatures are those of the back ends that have instructions")]
pub mod no_privileged;

/// Kernels of arm64 may forbid accesses that are not aligned; the compiler knows, the loops do not.
#[cfg(all(target_arch = "aarch64", not(any(target_os = "none", loom, miri))))]
pub use aarch64::blocks as block_ops;
#[cfg(any(
    not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(target_os = "none")))),
    loom,
    miri
))]
#[expect(unsafe_code, reason = "writes to addresses")]
pub mod word_blocks;
#[cfg(any(
    not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(target_os = "none")))),
    loom,
    miri
))]
pub use word_blocks as block_ops;
#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
pub use x86::blocks as block_ops;

#[cfg(any(loom, miri, test))]
pub mod modelled;
#[cfg(any(loom, miri))]
pub use modelled::{self as native, instruction, ops};
#[cfg(all(feature = "privileged", any(loom, miri)))]
pub use no_privileged as privileged;

/// How far a write-back is aimed. A farther point includes the nearer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Where all observers of memory agree: the point to reach for devices and other hosts.
    Coherency,
    /// What power loss keeps, if the platform has such a point.
    Persistence,
    /// What power loss keeps even if the energy store of the platform fails.
    DeepPersistence,
}

impl Point {
    /// All points, the nearest first.
    pub const ALL: [Self; 3] = [Self::Coherency, Self::Persistence, Self::DeepPersistence];

    /// The point's name in a sentence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coherency => "coherency",
            Self::Persistence => "persistence",
            Self::DeepPersistence => "deep persistence",
        }
    }
}

impl core::fmt::Display for Point {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// What an instruction does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Copies a dirty line to the point; the line may stay cached.
    Writeback,
    /// Copies a dirty line to the point and drops it.
    WritebackInvalidate,
}

/// A fence of the architecture, by its place in [`Architecture::fences`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub u8);

impl Fence {
    /// Nothing is executed. Every architecture has it at place 0.
    pub const NONE: Self = Self(0);

    /// The one that does what both do.
    pub(crate) const fn or_stronger(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }
}

/// The fences around one operation, all ranges of it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fences {
    /// Executed before the first line.
    pub before: Fence,
    /// Executed after the last line; the operation is complete when it is.
    pub after: Fence,
}

/// One maintenance instruction: what it does, what permits it, what completes it, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instruction {
    /// Its mnemonic in lower case, as an assembler takes it.
    pub name: &'static str,
    /// The one bit that stands for it: `1 <<` its place in [`Architecture::instructions`].
    pub(crate) code: u8,
    /// What it does to the line.
    pub effect: Effect,
    /// The farthest point it reaches.
    pub point: Point,
    /// The fences when it serves to write back.
    pub(crate) writeback: Fences,
    /// The fences when it serves to invalidate: the one before orders the loads that precede, the one
    /// after orders loads and stores.
    pub(crate) invalidate: Fences,
    /// The feature bit that says that the CPU has it.
    pub requires: &'static str,
    /// Where its effect and its ordering are specified.
    pub source: &'static str,
}

/// The instruction that drops a line and may lose what is dirty in it; for privileged code alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discard {
    /// Its mnemonic in lower case, as an assembler takes it.
    pub name: &'static str,
    /// The fences around all lines of one call.
    pub(crate) fences: Fences,
    /// What permits it.
    pub requires: &'static str,
    /// Where its effect and its ordering are specified.
    pub source: &'static str,
}

/// What works on the whole cache of the CPU that executes it; for privileged code alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WholeCacheOperation {
    /// The mnemonic, in lower case, of what writes all lines back and drops them.
    pub writeback_invalidate: &'static str,
    /// The mnemonic of what writes all lines back and may keep them, if the architecture has it; a
    /// CPU may not have it.
    pub writeback: Option<&'static str>,
    /// Whether all caches of the machine are reached if every CPU executes it.
    pub reaches_every_cache: bool,
    /// Where it is specified.
    pub source: &'static str,
}

/// One architecture as data.
#[derive(Debug)]
pub struct Architecture {
    /// The name that Rust gives it in `target_arch`.
    pub name: &'static str,
    /// Every instruction known, the preferred write-back first. At most 8: [`Facts`] has a bit for each.
    pub instructions: &'static [Instruction],
    /// The fences' names, from weak to strong: each orders and completes what those before it do. Place 0
    /// is [`Fence::NONE`].
    pub fences: &'static [&'static str],
    /// Orders what this thread has observed from others before its maintenance operations.
    pub observed: Fence,
    /// Why a point cannot be reached when no instruction that is present reaches it, in the order of
    /// [`Point::ALL`].
    pub unreachable: [Unsupported; 3],
    /// What the data cache does with one page under two virtual addresses.
    pub data_cache: DataCache,
    /// What privileged code can drop lines with that are not to be written back, or why there is no
    /// such thing.
    pub discard: Result<Discard, Unsupported>,
    /// What privileged code can do to the whole cache of a CPU.
    pub whole_cache: Option<WholeCacheOperation>,
    /// Why the whole cache cannot be written back or invalidated at once: at all if there is no
    /// [`whole_cache`](Self::whole_cache) or if it does not reach every cache, else in user mode.
    pub no_whole_cache: Unsupported,
}

/// What was found out about a CPU: its line size, the granule to pad to, and which instructions may be
/// executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    line: LineSize,
    granule: LineSize,
    present: u8,
}

impl Facts {
    /// A CPU with lines of this size, which are its write-back granule too, and no maintenance
    /// instruction yet.
    #[must_use]
    pub const fn new(line: LineSize) -> Self {
        Self { line, granule: line, present: 0 }
    }

    /// The same CPU, whose caches write back units of this size (arm64: `CTR_EL0.CWG`): what to pad and
    /// align data to that must share nothing with other data. A unit smaller than the line is taken for
    /// the line.
    #[must_use]
    pub const fn with_granule(self, granule: LineSize) -> Self {
        let granule = if granule.bytes() < self.line.bytes() { self.line } else { granule };
        Self { granule, ..self }
    }

    /// The same CPU, which also has `instruction`.
    #[must_use]
    pub const fn with(self, instruction: Instruction) -> Self {
        Self { present: self.present | instruction.code, ..self }
    }

    /// The same CPU, which has `instruction` if `present`.
    #[must_use]
    pub const fn with_if(self, present: bool, instruction: Instruction) -> Self {
        if present { self.with(instruction) } else { self }
    }

    /// Whether the CPU has `instruction`.
    #[must_use]
    pub const fn has(self, instruction: Instruction) -> bool {
        self.present & instruction.code != 0
    }

    /// The unit that one instruction works on.
    #[must_use]
    pub const fn line(self) -> LineSize {
        self.line
    }

    /// The largest unit that any cache writes back. Not smaller than the line.
    #[must_use]
    pub const fn granule(self) -> LineSize {
        self.granule
    }

    /// One bit for each instruction that is present, by its code.
    pub(crate) const fn present(self) -> u8 {
        self.present
    }

    /// The facts whose [`present`](Self::present) was kept.
    pub(crate) const fn from_present(line: LineSize, present: u8) -> Self {
        Self { line, granule: line, present }
    }
}

/// What kind of thing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// The architecture has no such operation at this privilege level.
    Operation,
    /// The CPU, or what the hypervisor shows of it, lacks the instruction.
    Instruction,
    /// The CPU has the instruction, and an erratum of it says to use another one.
    Erratum,
    /// No instruction that is present reaches the point.
    Point,
    /// What the CPU reports as its line size cannot be one. In bytes.
    LineSize(u32),
    /// There is no operating system, or none this crate knows, to ask what is permitted.
    Permission,
    /// The instruction asked for is not one of this architecture, or not on this machine.
    Choice,
}

/// An operation that this machine does not offer: what is missing, why, and what to do about it.
///
/// `{:?}` prints what `{}` does, so that a `main` which returns it tells the user what to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsupported {
    /// What kind of thing is missing.
    pub missing: Missing,
    /// Why it is missing.
    pub reason: &'static str,
    /// What the caller can do.
    pub advice: &'static str,
}

impl Unsupported {
    /// States what is missing, why, and what to do.
    #[must_use]
    pub(crate) const fn new(missing: Missing, reason: &'static str, advice: &'static str) -> Self {
        Self { missing, reason, advice }
    }
}

impl core::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason)?;
        if let Missing::LineSize(bytes) = self.missing {
            write!(f, " (found {bytes} bytes)")?;
        }
        write!(f, "; {}", self.advice)
    }
}

impl core::fmt::Debug for Unsupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Unsupported {}

#[cfg(test)]
mod tests {
    use super::{ALL, Fence, Missing};

    /// `Facts` and the packed choice address instructions and fences by place.
    #[test]
    fn places_are_codes() {
        for architecture in ALL {
            assert!(architecture.instructions.len() <= 8, "{}", architecture.name);
            assert!(architecture.fences.len() <= 16, "{}", architecture.name);
            for (place, instruction) in architecture.instructions.iter().enumerate() {
                assert_eq!(instruction.code, 1 << place, "{}", instruction.name);
            }
        }
    }

    /// An instruction whose completion nothing waits for would make every guarantee void.
    #[test]
    fn every_instruction_is_completed_by_a_fence() {
        for architecture in ALL {
            for instruction in architecture.instructions {
                for fences in [instruction.writeback, instruction.invalidate] {
                    assert_ne!(fences.after, Fence::NONE, "{}", instruction.name);
                    assert!(usize::from(fences.before.0) < architecture.fences.len());
                    assert!(usize::from(fences.after.0) < architecture.fences.len());
                }
            }
        }
    }

    /// The edges of what is discarded are invalidated otherwise, and the fences of one call serve both.
    #[test]
    fn a_discard_is_fenced_as_an_invalidation_is() {
        let mut discarding = 0;
        for architecture in ALL {
            let Ok(discard) = architecture.discard else { continue };
            for instruction in architecture.instructions {
                assert_eq!(discard.fences, instruction.invalidate, "{}", discard.name);
            }
            discarding += 1;
        }
        // arm64 and RISC-V.
        assert_eq!(discarding, 2);
    }

    /// Who asks for what an architecture does not have must learn why.
    #[test]
    fn what_privileged_code_lacks_is_refused_with_a_reason() {
        for architecture in ALL {
            for why in architecture.discard.err().into_iter().chain([architecture.no_whole_cache]) {
                assert!(!why.reason.is_empty() && !why.advice.is_empty(), "{}", architecture.name);
            }
        }
    }

    /// Who finds no operation must learn why and what to do instead, at each point.
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
        // arm, loongarch64, s390x, and the one for all without a folder.
        assert_eq!(refusing, 4);
    }
}
