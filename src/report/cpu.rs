//! The report on a CPU, a pure function of the words read from it.

use crate::aliasing::{self, Aliasing};
use crate::arch::{
    Architecture, Effect, Instruction, Missing, Point, Unsupported, WholeCacheOperation, native,
};
use crate::cache::{Builder, Cache, Choice};
use crate::cpu::{self, Confidential, Cpu, CpuIdentity, Hypervisor, Line, Midr};
use crate::statement::Statement;
use crate::virtualization::{self, Refused};

/// The cache maintenance that this CPU offers, and the choices made.
///
/// Made by [`host`](Self::host) or, in a kernel, [`for_cache`](Self::for_cache); all answers are determined then. It prints on one screen with `{}`.
///
/// ```
/// use cachemaint::{Point, report::CpuReport};
/// let report = CpuReport::host();
/// match report.writeback(Point::Persistence) {
///     Ok(choice) => println!("{} then {}", choice.instruction.name, choice.after),
///     Err(why) => println!("not here: {why}"),
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CpuReport {
    /// The architecture, as Rust names it in `target_arch`.
    pub architecture: &'static str,
    /// The name of the CPU, as far as the CPU reports one.
    pub identity: CpuIdentity,
    /// The cache lines, or the reason why no maintenance instruction is usable here.
    pub line: Result<Line, Unsupported>,
    /// True if the caller of [`for_cache`](Self::for_cache) accepts the point of coherency as the point of persistence.
    pub accepts_coherency_as_persistence: bool,
    /// The aliasing of the data cache, as far as the architecture decides it: the answer of Linux's
    /// `cpu_dcache_is_aliasing()`. If it depends on the CPU, the report on the host
    /// (`cachemaint-inspect`) asks the kernel.
    pub aliasing: Aliasing,
    /// The known facts about a hypervisor.
    pub hypervisor: Hypervisor,
    /// The kind of confidential guest, as far as the CPU reports it.
    pub confidential: Confidential,
    machine: &'static Architecture,
    pub(super) cpu: Cpu,
    conditions: Builder,
}

/// One instruction of the architecture, its fences, and its usability here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Availability {
    /// The instruction.
    pub instruction: Instruction,
    /// The status of the instruction.
    pub status: Status,
    /// The instruction and its fences, when it is used to write back.
    pub writeback: Choice,
    /// The instruction and its fences, when it is used to invalidate; `None` if it may keep the line.
    pub invalidate: Option<Choice>,
}

/// The status of an instruction: usable, missing or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The instruction is usable.
    Present,
    /// The CPU does not report it.
    Absent(Unsupported),
    /// The CPU reports it, but it must not be used.
    Refused(Unsupported),
}

/// Something to know about this CPU before relying on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Note {
    /// The fact.
    pub text: &'static str,
    /// The source of the claim.
    pub source: &'static str,
}

impl CpuReport {
    /// Returns the report on the CPU that this program runs on, with the choices that [`Cache::host`] makes.
    ///
    /// Reads CPUID on x86, and the auxiliary vector and two registers on arm64. In a virtual machine this causes about
    /// 270 exits, mostly to find every hypervisor that names itself: a millisecond in a KVM guest on an AMD EPYC
    /// (family 25, measured). Cannot fail: missing facts are in the report with their reason.
    #[must_use]
    pub fn host() -> Self {
        Self::of_host(Builder::new())
    }

    /// Returns the report on the CPU that this program runs on, with the choices of `cache`: an instruction given to
    /// the builder, and the points that it accepts.
    ///
    /// For a handle made by privileged code, the report has the abilities of privileged code. For a CPU that the caller
    /// [described](Cache::from_facts), the report has that description, with other known facts added.
    #[must_use]
    pub fn for_cache(cache: Cache) -> Self {
        let report = Self::of_host(cache.conditions());
        if report.cpu.facts() == Ok(cache.facts()) {
            return report;
        }
        Self::new(report.machine, report.cpu.described(cache.facts()), report.conditions)
    }

    #[cfg_attr(
        feature = "privileged",
        expect(unsafe_code, reason = "registers that only privileged code may read")
    )]
    fn of_host(conditions: Builder) -> Self {
        #[cfg(feature = "privileged")]
        if conditions.is_privileged() {
            // SAFETY: (1) the maker of a handle with these conditions vouched for it.
            let cpu = unsafe { cpu::here_privileged() };
            return Self::new(&native::ARCHITECTURE, cpu, conditions);
        }
        Self::new(&native::ARCHITECTURE, cpu::here(), conditions)
    }

    /// Returns the report on any machine of any architecture.
    pub(crate) fn new(machine: &'static Architecture, cpu: Cpu, conditions: Builder) -> Self {
        Self {
            architecture: machine.name,
            identity: cpu.identity,
            line: cpu.line,
            accepts_coherency_as_persistence: conditions.accepts_coherency(),
            aliasing: aliasing::by_architecture(&machine.data_cache),
            hypervisor: cpu.hypervisor,
            confidential: cpu.confidential,
            machine,
            cpu,
            conditions,
        }
    }

    /// Returns every instruction known for the architecture, each mnemonic once, the preferred write-back first.
    pub fn instructions(&self) -> impl Iterator<Item = Availability> + '_ {
        let all = self.machine.instructions;
        let is_first = move |place: usize, name| all.iter().take(place).all(|i| i.name != name);
        all.iter()
            .enumerate()
            .filter(move |(place, instruction)| is_first(*place, instruction.name))
            .map(|(_, instruction)| self.availability(*instruction))
    }

    /// Returns the availability. A mnemonic can have several entries with the orderings of different vendors: that of
    /// this CPU counts.
    fn availability(&self, instruction: Instruction) -> Availability {
        let mut same_name =
            self.machine.instructions.iter().filter(|other| other.name == instruction.name);
        let Some(shown) = same_name.find(|other| self.cpu.present & other.code != 0) else {
            return self.with_fences(instruction, Status::Absent(self.why_absent()));
        };
        let forbidden = self.cpu.erratum.filter(|erratum| erratum.forbids & shown.code != 0);
        let status = match (self.cpu.line, forbidden) {
            (Err(refusal), _) => Status::Refused(refusal),
            (Ok(_), Some(erratum)) => Status::Refused(erratum.why),
            (Ok(_), None) => Status::Present,
        };
        self.with_fences(*shown, status)
    }

    fn with_fences(&self, instruction: Instruction, status: Status) -> Availability {
        let writeback = Choice::of(self.machine, instruction, instruction.writeback);
        let drops = instruction.effect == Effect::WritebackInvalidate;
        let invalidate =
            drops.then(|| Choice::of(self.machine, instruction, self.machine.invalidate));
        Availability { instruction, status, writeback, invalidate }
    }

    fn why_absent(&self) -> Unsupported {
        let (reason, advice) = match self.cpu.hypervisor {
            _ if self.cpu.is_described => (
                "the caller's description of the CPU lacks it",
                "add it to the facts if the CPU has it, or ask the host",
            ),
            Hypervisor::Unknown if self.cpu.privileged => (
                "its ID registers do not report it: the CPU lacks it, or a hypervisor hides it",
                "see the choice for each point",
            ),
            Hypervisor::Present { .. } => (
                "the hypervisor does not show it; the CPU itself may have it",
                "ask for a virtual CPU that passes it on, if the choice for each point does not suffice",
            ),
            Hypervisor::Translated => {
                ("the translator does not show it", "run a program compiled for the machine's CPU")
            }
            Hypervisor::Absent => ("this CPU does not have it", "see the choice for each point"),
            Hypervisor::Unknown => (
                "the kernel does not report it: not every CPU of the machine has it, or a hypervisor \
                 hides it",
                "see the choice for each point",
            ),
        };
        Unsupported::new(Missing::Instruction, reason, advice)
    }

    /// Returns the instruction and fences that write back to `point`.
    ///
    /// # Errors
    /// Returns the reason why nothing here reaches `point`.
    pub fn writeback(&self, point: Point) -> Result<Choice, Unsupported> {
        let cache = Cache::choose(self.machine, self.cpu.facts()?, self.conditions.point(point))?;
        let instruction = self.instruction(cache.writeback_code());
        Ok(Choice::of(self.machine, instruction, instruction.writeback))
    }

    /// Returns the instruction and fences that invalidate. Dirty lines are written back too, over the stores of a
    /// device, since no supported system lets user mode discard them. A kernel gets the same choice.
    ///
    /// # Errors
    /// Returns the reason why nothing here invalidates.
    pub fn invalidate(&self) -> Result<Choice, Unsupported> {
        let cache = Cache::choose(self.machine, self.cpu.facts()?, Builder::new())?;
        let instruction = self.instruction(cache.invalidate_code());
        Ok(Choice::of(self.machine, instruction, self.machine.invalidate))
    }

    /// Returns the instruction for a code. The position of the code's one bit is its index.
    fn instruction(&self, code: u8) -> Instruction {
        self.machine.instructions[code.trailing_zeros() as usize]
    }

    /// Returns the aliasing on a machine whose `/proc/cpuinfo` gives this answer, or none and this advice. What the
    /// architecture decides stands.
    #[doc(hidden)]
    #[must_use]
    pub const fn aliasing_on(&self, found: Result<bool, Option<&'static str>>) -> Aliasing {
        const SOURCE: &str = "/proc/cpuinfo";
        match (self.aliasing, found) {
            (Aliasing::Unknown { .. }, Ok(true)) => Aliasing::Yes { source: SOURCE },
            (Aliasing::Unknown { .. }, Ok(false)) => Aliasing::No { source: SOURCE },
            (Aliasing::Unknown { reason, .. }, Err(Some(advice))) => {
                Aliasing::Unknown { reason, advice }
            }
            (decided, _) => decided,
        }
    }

    /// Returns the distance in bytes at which two mappings of one page agree, with pages of this size.
    ///
    /// # Errors
    /// The reason why it is not known.
    #[doc(hidden)]
    pub fn shmlba(&self, page: u64) -> Result<u64, &'static str> {
        self.machine.data_cache.distance.bytes(page)
    }

    /// Returns the operation that invalidates all caches at once, for memory with content that changed behind the
    /// caches. It must be executed on **every** CPU (`cachemaint::whole_cache` does so, with feature `privileged`).
    ///
    /// The call is allowed anywhere. On x86 the ring is read from CS; elsewhere the answer does not depend on the
    /// privilege. The rule is that of Linux: yes on x86 without a hypervisor, no everywhere else
    /// (`cpu_cache_has_invalidate_memregion` in `arch/x86/mm/pat/set_memory.c`). A hypervisor that hides itself is not
    /// detected (QEMU: `-cpu …,-hypervisor`).
    ///
    /// # Errors
    /// The reason why it is not possible.
    #[doc(alias("wbinvd", "cpu_cache_has_invalidate_memregion"))]
    pub fn can_invalidate_memory(&self) -> Result<WholeCacheOperation, Refused> {
        virtualization::can_invalidate_memory(self.machine, &self.cpu)
    }

    /// Returns further facts to know before relying on this CPU.
    pub fn notes(&self) -> impl Iterator<Item = Note> + use<> {
        let notes = [
            self.accepted_coherency(),
            self.trapped_clean(),
            self.rewritten_lines(),
            self.unknown_persistence(),
            self.weak_clflush(),
            self.weak_sync(),
            self.streaming_stores_evict()
                .map(|Statement { text, source, .. }| Note { text, source }),
        ];
        notes.into_iter().flatten()
    }

    fn accepted_coherency(&self) -> Option<Note> {
        self.accepts_coherency_as_persistence.then_some(Note {
            text: "the caller accepts coherency as persistence, and vouches that memory itself is persistent",
            source: "Builder::accept_coherency_as_persistence",
        })
    }

    fn trapped_clean(&self) -> Option<Note> {
        let CpuIdentity::Aarch64 { midr: Some(midr) } = self.cpu.identity else { return None };
        (Midr(midr).is_early_cortex_a53() && !self.cpu.privileged).then_some(Note {
            text: "Cortex-A53 before r0p3: Linux traps every line operation (slow)",
            source: "errata 826319, 827319, 824069, 819472; Linux ARM64_WORKAROUND_CLEAN_CACHE",
        })
    }

    fn rewritten_lines(&self) -> Option<Note> {
        let CpuIdentity::Aarch64 { midr: Some(midr) } = self.cpu.identity else { return None };
        Midr(midr).is_cortex_a510().then_some(Note {
            text: "Cortex-A510: unmodified lines may be written back, over what a device that does not \
                   see the caches stored meanwhile; only memory that is not cacheable avoids it",
            source: "erratum 2454944; Android common kernel arch/arm64/Kconfig, ARM64_ERRATUM_2454944",
        })
    }

    fn unknown_persistence(&self) -> Option<Note> {
        let aims_there = |choice: Choice| choice.instruction.point >= Point::Persistence;
        let CpuIdentity::Aarch64 { .. } = self.cpu.identity else { return None };
        self.writeback(Point::Persistence).is_ok_and(aims_there).then_some(Note {
            text: "a point of persistence of the memory cannot be detected; without one, dc cvap and dc cvadp only \
                   reach coherency",
            source: "Arm ARM (DDI 0487), DC CVAP and DC CVADP",
        })
    }

    /// Returns a note about CLFLUSH, which needs MFENCE on these CPUs. Xen treats that as a bug
    /// (`X86_BUG_CLFLUSH_MFENCE`); AMD's manual has always said it.
    fn weak_clflush(&self) -> Option<Note> {
        let CpuIdentity::X86 { .. } = self.cpu.identity else { return None };
        let choice = self.writeback(Point::Coherency).ok()?;
        choice.before.is_some().then_some(Note {
            text: "only mfence orders clflush on this CPU. Bind the thread to a CPU, and a guest's virtual CPUs: a \
                   migration need not execute mfence",
            source: "AMD APM vol. 3, CLFLUSH; Xen XSA-402",
        })
    }

    /// Returns a note about POWER10, where `sync` does not complete the write-back to persistence.
    fn weak_sync(&self) -> Option<Note> {
        let choice = self.writeback(Point::Persistence).ok()?;
        (choice.after == "phwsync").then_some(Note {
            text: "only phwsync completes dcbstps. Bind the thread to a CPU, and a guest's virtual CPUs: a migration \
                   executes only sync",
            source: "Power ISA 3.1 Book II, sync; Linux arch/powerpc/include/asm/spinlock.h, smp_mb__after_spinlock",
        })
    }

    /// Returns true if a streaming store leaves no dirty line in the cache, so that a fence completes it. If false,
    /// write back after streaming stores. `None` if nothing is known about this architecture.
    #[must_use]
    pub fn streaming_stores_evict(&self) -> Option<Statement<bool>> {
        let CpuIdentity::X86 { vendor, family, model, .. } = self.cpu.identity else { return None };
        if self.cpu.hypervisor == Hypervisor::Translated {
            return Some(Statement::assumed(
                false,
                "the program is translated for another CPU, to whose stores no x86 manual applies: write back after \
                 streaming stores",
                "none found in the documentation of the translators",
            ));
        }
        if self.cpu.hypervisor != Hypervisor::Absent
            && self.cpu.hypervisor.known_signature().is_none()
        {
            return Some(Statement::assumed(
                false,
                "the hypervisor is unknown and can be an emulator, to whose stores no x86 manual applies: write back \
                 after streaming stores",
                "none found for this signature",
            ));
        }
        Some(match (vendor.as_str(), family, model) {
            ("GenuineIntel", ..) if !self.cpu.is_intel => Statement::assumed(
                false,
                "the vendor's name is Intel's, but the features are AMD's, whose manual promises no eviction: write \
                 back after streaming stores",
                "AMD APM vol. 3, CPUID Fn8000_0001_ECX: SVM, SSE4A, TopologyExtensions",
            ),
            // Pentium M updates a line in L1 in place.
            ("GenuineIntel", 6, 9 | 13) => Statement::documented(
                false,
                "streaming stores stay in L1 if the line is there: write back after them",
                "Intel 248966, \"Streaming Non-temporal Stores\" (Pentium M)",
            ),
            ("GenuineIntel", ..) => Statement::documented(
                true,
                "streaming stores evict the line (Intel SDM); sfence completes them",
                "Intel SDM vol. 1, 10.4.6.2",
            ),
            ("AuthenticAMD", 26, _) => Statement::measured(
                false,
                "streaming stores to lines in L1 stayed there on this family (measured): write back \
                 after them",
                "measured by timing on an AMD Zen 5 (family 26) KVM guest",
            ),
            ("AuthenticAMD", 25, _) => Statement::measured(
                false,
                "streaming stores evicted lines from L1 on one CPU of this family (measured), but no \
                 manual promises it: write back after them",
                "measured by timing on an AMD EPYC (family 25, model 17) KVM guest",
            ),
            _ => Statement::assumed(
                false,
                "no manual promises that streaming stores leave the cache here: write back after them",
                "none found in the vendor's manuals",
            ),
        })
    }
}
