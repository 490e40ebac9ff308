//! The order and number of operations, on a recording instead of a CPU: for each architecture and
//! each choice, on any host. The expected fences are those of these sources: Intel SDM vol. 2A (CLFLUSH, CLFLUSHOPT,
//! CLWB), AMD APM vol. 3 (CLFLUSH), Arm ARM (DC, DSB), Linux `arch/arm64/mm/cache.S` and `flush.c`,
//! `arch/powerpc/include/asm/cacheflush.h` and `barrier.h`, FreeBSD `sys/amd64/amd64/pmap.c`, the RISC-V manual's
//! "Memory Ordering" of cache-block operations.

use super::plan::{Plan, Policy};
use super::run::{Execute, Operation, complete, complete_all, issue, issue_and_complete};
use super::{Batch, Cache};
use crate::arch::aarch64::{self, DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};
use crate::arch::powerpc::{self, DCBF, DCBF_PERSISTENT, DCBFPS, DCBST, DCBSTPS};
use crate::arch::riscv::{self, CBO_CLEAN, CBO_FLUSH};
use crate::arch::x86::{self, CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT, CLWB};
use crate::arch::{Architecture, Facts, Fence, Instruction, Missing, Point};
use crate::skip::skip;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Records the executed instructions.
struct Recording<'a> {
    architecture: &'static Architecture,
    log: &'a mut Vec<String>,
}

impl Execute for Recording<'_> {
    fn select(self, code: u8, then: impl FnOnce(Self, Instruction)) {
        let mut all = self.architecture.instructions.iter();
        let instruction = *all.find(|instruction| instruction.code == code).unwrap();
        then(self, instruction);
    }

    unsafe fn line(&mut self, instruction: Instruction, line: usize) {
        self.log.push(format!("{} {line:#x}", instruction.name));
    }

    fn fence(&mut self, fence: Fence) {
        if fence != Fence::NONE {
            self.log.push(self.architecture.fences[usize::from(fence.0)].into());
        }
    }

    #[cfg(feature = "privileged")]
    unsafe fn discard(&mut self, discard: crate::arch::Discard, line: usize) {
        self.log.push(format!("{} {line:#x}", discard.name));
    }
}

fn facts(line: usize, instructions: &[Instruction]) -> Facts {
    let facts = Facts::new(line).unwrap();
    instructions.iter().fold(facts, |facts, instruction| facts.with(*instruction))
}

fn plan(architecture: &'static Architecture, facts: Facts, point: Point) -> Plan {
    Plan::choose(architecture, facts, point, Policy::ANY).unwrap()
}

/// Returns the instructions and fences that a plain operation on a range executes.
fn record(
    architecture: &'static Architecture,
    plan: Plan,
    operation: Operation,
    start: usize,
    len: usize,
) -> Vec<String> {
    let mut log = Vec::new();
    let recording = Recording { architecture, log: &mut log };
    let start = core::ptr::without_provenance(start);
    // SAFETY: nothing is executed.
    unsafe { issue_and_complete(recording, plan, operation, start, len) };
    log
}

const X86: &Architecture = &x86::ARCHITECTURE;
const ARM: &Architecture = &aarch64::ARCHITECTURE;

const RISCV: &Architecture = &riscv::ARCHITECTURE;
const POWERPC: &Architecture = &powerpc::ARCHITECTURE;

const INTEL_CLWB: &[Instruction] = &[CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT, CLWB];
const INTEL_CLFLUSHOPT: &[Instruction] = &[CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT];
const INTEL_CLFLUSH: &[Instruction] = &[CLFLUSH, CLFLUSH_ORDERED];
const AMD_CLWB: &[Instruction] = &[CLFLUSH, CLFLUSHOPT, CLWB];
const AMD_CLFLUSHOPT: &[Instruction] = &[CLFLUSH, CLFLUSHOPT];
const AMD_CLFLUSH: &[Instruction] = &[CLFLUSH];

#[test]
fn x86_writes_back_with_the_strongest_that_keeps_the_line_and_the_fences_of_the_vendor() {
    let rows: [(&[Instruction], &[&str]); 6] = [
        (INTEL_CLWB, &["clwb 0x1010", "clwb 0x1040", "sfence"]),
        (INTEL_CLFLUSHOPT, &["clflushopt 0x1010", "clflushopt 0x1040", "sfence"]),
        (INTEL_CLFLUSH, &["clflush 0x1010", "clflush 0x1040", "sfence"]),
        (AMD_CLWB, &["clwb 0x1010", "clwb 0x1040", "sfence"]),
        (AMD_CLFLUSHOPT, &["clflushopt 0x1010", "clflushopt 0x1040", "sfence"]),
        (AMD_CLFLUSH, &["mfence", "clflush 0x1010", "clflush 0x1040", "mfence"]),
    ];
    for (instructions, expected) in rows {
        for point in [Point::Coherency, Point::Persistence] {
            let plan = plan(X86, facts(64, instructions), point);
            assert_eq!(record(X86, plan, Operation::Writeback, 0x1010, 0x31), expected);
        }
    }
}

/// SFENCE does not order loads, so a load after the operation could be served by the old line; and
/// CLWB may keep the line.
#[test]
fn x86_invalidates_between_mfences_and_never_with_clwb() {
    let rows: [(&[Instruction], &str); 6] = [
        (INTEL_CLWB, "clflushopt 0x40"),
        (INTEL_CLFLUSHOPT, "clflushopt 0x40"),
        (INTEL_CLFLUSH, "clflush 0x40"),
        (AMD_CLWB, "clflushopt 0x40"),
        (AMD_CLFLUSHOPT, "clflushopt 0x40"),
        (AMD_CLFLUSH, "clflush 0x40"),
    ];
    for (instructions, expected) in rows {
        let plan = plan(X86, facts(64, instructions), Point::Coherency);
        let log = record(X86, plan, Operation::Invalidate, 0x40, 64);
        assert_eq!(log, ["mfence", expected, "mfence"]);
    }
}

#[test]
fn arm64_cleans_to_the_point_and_completes_with_dsb() {
    let all = facts(64, &[DC_CVAC, DC_CVAP, DC_CVADP, DC_CIVAC]);
    for (point, expected) in [
        (Point::Coherency, "dc cvac 0x7f"),
        (Point::Persistence, "dc cvap 0x7f"),
        (Point::DeepPersistence, "dc cvadp 0x7f"),
    ] {
        let log = record(ARM, plan(ARM, all, point), Operation::Writeback, 0x7f, 1);
        assert_eq!(log, [expected, "dsb sy"]);
        let log = record(ARM, plan(ARM, all, point), Operation::Invalidate, 0x7f, 1);
        assert_eq!(log, ["dmb osh", "dc civac 0x7f", "dsb sy"]);
    }
}

/// Cortex-A53 erratum 855873 and others: a clean must be a clean-and-invalidate.
#[test]
fn arm64_without_a_sound_clean_cleans_and_invalidates() {
    let plan = plan(ARM, facts(64, &[DC_CIVAC]), Point::Coherency);
    assert_eq!(record(ARM, plan, Operation::Writeback, 0, 1), ["dc civac 0x0", "dsb sy"]);
}

/// A block operation counts as a write in FENCE, and the load that signalled an observer's data counts as a read. So
/// only a fence of both orders that load before an invalidation.
#[test]
fn riscv_cleans_to_coherency_and_completes_with_a_full_fence() {
    let zicbom = facts(64, &[CBO_CLEAN, CBO_FLUSH]);
    let plan = plan(RISCV, zicbom, Point::Coherency);
    let log = record(RISCV, plan, Operation::Writeback, 0x7f, 2);
    assert_eq!(log, ["cbo.clean 0x7f", "cbo.clean 0x80", "fence iorw, iorw"]);
    let log = record(RISCV, plan, Operation::Invalidate, 0x7f, 1);
    assert_eq!(log, ["fence iorw, iorw", "cbo.flush 0x7f", "fence iorw, iorw"]);
}

/// Linux: `clean_dcache_range` is `dcbst` and `sync`, `flush_dcache_range` `sync`, `dcbf`, `sync`;
/// `pmem_wmb` behind `dcbstps` is `phwsync`.
#[test]
fn powerpc_has_a_fence_for_each_kind_of_storage() {
    let power10 = facts(128, &[DCBST, DCBF, DCBSTPS, DCBFPS]);
    let power9 = facts(128, &[DCBF, DCBF_PERSISTENT]);
    for (facts, point, expected) in [
        (power10, Point::Coherency, ["dcbst 0x7f", "sync"]),
        (power10, Point::Persistence, ["dcbstps 0x7f", "phwsync"]),
        (power9, Point::Coherency, ["dcbf 0x7f", "sync"]),
        (power9, Point::Persistence, ["dcbf 0x7f", "sync"]),
    ] {
        let plan = plan(POWERPC, facts, point);
        assert_eq!(record(POWERPC, plan, Operation::Writeback, 0x7f, 1), expected);
        let log = record(POWERPC, plan, Operation::Invalidate, 0x7f, 1);
        assert_eq!(log, ["sync", "dcbf 0x7f", "sync"]);
    }
}

#[test]
fn every_line_of_a_range_gets_one_instruction_at_any_line_size() {
    for line in [32, 64, 128, 256] {
        let plan = plan(ARM, facts(line, &[DC_CVAC, DC_CIVAC]), Point::Coherency);
        let log = record(ARM, plan, Operation::Writeback, 0x10000 + line - 1, 2 * line + 2);
        let lines = log.len() - 1;
        assert_eq!(lines, 4, "a byte, two whole lines, a byte, in lines of {line}");
    }
}

/// A dirty byte of a neighbour must never be lost: lines at the ends that hold other bytes too are
/// written back (Linux `dcache_inval_poc`, `v7_dma_inv_range`).
#[cfg(feature = "privileged")]
#[test]
fn a_discard_writes_back_the_lines_that_it_shares() {
    use super::run::discard;
    use crate::arch::riscv::{self, CBO_CLEAN, CBO_FLUSH, CBO_INVAL};

    let record = |architecture, facts, instruction, start, len| -> Vec<String> {
        let mut log = Vec::new();
        let recording = Recording { architecture, log: &mut log };
        let plan = plan(architecture, facts, Point::Coherency);
        let start = core::ptr::without_provenance(start);
        // SAFETY: nothing is executed.
        unsafe { discard(recording, plan, instruction, start, len) };
        log
    };
    let ranges: [(usize, usize, &[&str]); 7] = [
        // Whole lines alone.
        (0x1000, 128, &["dc ivac 0x1000", "dc ivac 0x1040"]),
        // An end, a start, both within one line.
        (0x1000, 65, &["dc ivac 0x1000", "dc civac 0x1040"]),
        (0x1001, 127, &["dc civac 0x1001", "dc ivac 0x1040"]),
        (0x1001, 62, &["dc civac 0x1001"]),
        (0x1000, 63, &["dc civac 0x1000"]),
        (0x103f, 66, &["dc civac 0x103f", "dc ivac 0x1040", "dc civac 0x1080"]),
        // Up to the last byte of the address space.
        (usize::MAX - 64, 65, &["dc civac 0xffffffffffffffbf", "dc ivac 0xffffffffffffffc0"]),
    ];
    let arm64 = aarch64::ARCHITECTURE.discard.unwrap();
    for (start, len, lines) in ranges {
        if usize::BITS < 64 && start > 0xffff {
            continue;
        }
        let log = record(ARM, facts(64, &[DC_CVAC, DC_CIVAC]), arm64, start, len);
        let expected: Vec<&str> = [&["dmb osh"], lines, &["dsb sy"]].concat();
        assert_eq!(log, expected, "{start:#x}, {len} bytes");
    }
    assert!(record(ARM, facts(64, &[DC_CIVAC]), arm64, 0x1000, 0).is_empty());

    // A cache that writes back 128 bytes would take the neighbour of a line along.
    let wide = facts(64, &[DC_CVAC, DC_CIVAC]).with_granule(128).unwrap();
    let log = record(ARM, wide, arm64, 0x1040, 192);
    let lines = ["dc civac 0x1040", "dc ivac 0x1080", "dc ivac 0x10c0"];
    assert_eq!(log, [&["dmb osh"][..], &lines, &["dsb sy"]].concat());

    let zicbom = facts(64, &[CBO_CLEAN, CBO_FLUSH]);
    // From within a block to the end of the next.
    let log = record(&riscv::ARCHITECTURE, zicbom, CBO_INVAL, 0x2010, 0x70);
    let fence = "fence iorw, iorw";
    assert_eq!(log, [fence, "cbo.flush 0x2010", "cbo.inval 0x2040", fence]);
}

/// No x86 instruction discards, and a substitute would write dirty lines over the observer's stores.
#[cfg(all(feature = "privileged", target_arch = "x86_64"))]
#[test]
fn a_discard_is_refused_where_there_is_none() {
    let Ok(host) = Cache::host() else { return };
    let mut bytes = [7_u8; 256];
    // SAFETY: it is refused before anything is executed.
    let refused = unsafe { host.discard_range(bytes.as_mut_ptr(), bytes.len()) };
    assert_eq!(refused.map_err(|why| why.missing), Err(Missing::Operation));
    assert_eq!(bytes, [7; 256]);
}

#[test]
fn an_empty_range_executes_nothing() {
    for instructions in [INTEL_CLWB, AMD_CLFLUSH] {
        let plan = plan(X86, facts(64, instructions), Point::Persistence);
        for operation in [Operation::Writeback, Operation::Invalidate] {
            assert!(record(X86, plan, operation, 0x1000, 0).is_empty());
        }
    }
}

/// Issued separately, the fence before belongs to each range: stores between two ranges must be
/// ordered before the second. The fence after is executed once.
#[test]
fn issue_and_complete_apart_make_the_same_sequence() {
    let plan = plan(X86, facts(64, AMD_CLFLUSH), Point::Persistence);
    let mut log = Vec::new();
    for start in [0x100, 0x200] {
        let recording = Recording { architecture: X86, log: &mut log };
        let start = core::ptr::without_provenance(start);
        // SAFETY: nothing is executed.
        unsafe { issue(recording, plan, Operation::Writeback, start, 8) };
    }
    complete(Recording { architecture: X86, log: &mut log }, plan, Operation::Writeback);
    assert_eq!(log, ["mfence", "clflush 0x100", "mfence", "clflush 0x200", "mfence"]);
}

/// One fence for write-backs and invalidations that were issued together. MFENCE completes all that SFENCE completes
/// (Intel SDM vol. 2A, CLWB); `sync` does not complete `dcbstps`, `phwsync` completes both.
#[test]
fn one_fence_completes_all_that_was_issued() {
    let power10: &[Instruction] = &[DCBST, DCBF, DCBSTPS, DCBFPS];
    let rows: [(&Architecture, &[Instruction], Point, &str); 8] = [
        (X86, INTEL_CLWB, Point::Persistence, "mfence"),
        (X86, INTEL_CLFLUSH, Point::Coherency, "mfence"),
        (X86, AMD_CLFLUSH, Point::Coherency, "mfence"),
        (ARM, &[DC_CVAC, DC_CVAP, DC_CIVAC], Point::Coherency, "dsb sy"),
        (ARM, &[DC_CVAC, DC_CVAP, DC_CIVAC], Point::Persistence, "dsb sy"),
        (RISCV, &[CBO_CLEAN, CBO_FLUSH], Point::Coherency, "fence iorw, iorw"),
        (POWERPC, power10, Point::Coherency, "sync"),
        (POWERPC, power10, Point::Persistence, "phwsync"),
    ];
    for (architecture, instructions, point, expected) in rows {
        let plan = plan(architecture, facts(128, instructions), point);
        let mut log = Vec::new();
        complete_all(Recording { architecture, log: &mut log }, plan);
        assert_eq!(log, [expected], "{} to the point of {point}", architecture.name);
    }
}

#[test]
fn a_point_that_nothing_reaches_is_refused_with_the_reason() {
    let choose = |architecture, facts, point| {
        Plan::choose(architecture, facts, point, Policy::ANY).map(Plan::point)
    };
    let a53 = facts(64, &[DC_CVAC, DC_CIVAC]);
    let error = choose(ARM, a53, Point::Persistence).unwrap_err();
    assert_eq!(error.missing, Missing::Point);
    assert!(error.reason.contains("FEAT_DPB"), "{error}");
    let n1 = facts(64, &[DC_CVAC, DC_CVAP, DC_CIVAC]);
    assert_eq!(choose(ARM, n1, Point::Persistence), Ok(Point::Persistence));
    let error = choose(ARM, n1, Point::DeepPersistence).unwrap_err();
    assert!(error.reason.contains("FEAT_DPB2"), "{error}");
    let error = choose(X86, facts(64, INTEL_CLWB), Point::DeepPersistence).unwrap_err();
    assert!(error.advice.contains("fsync"), "{error}");
    let error = choose(X86, facts(64, &[]), Point::Coherency).unwrap_err();
    assert_eq!(error.missing, Missing::Instruction);
}

#[test]
fn coherency_stands_for_persistence_only_where_it_was_accepted() {
    let accepting = Policy::ANY.accepting_coherency();
    let a53 = facts(64, &[DC_CVAC, DC_CIVAC]);
    let plan = Plan::choose(ARM, a53, Point::Persistence, accepting).unwrap();
    assert_eq!(plan.point(), Point::Persistence);
    assert_eq!(record(ARM, plan, Operation::Writeback, 0, 1), ["dc cvac 0x0", "dsb sy"]);
    assert!(plan.policy().accepts_coherency());
    // A point that can be reached is not replaced by another.
    let n1 = facts(64, &[DC_CVAC, DC_CVAP, DC_CIVAC]);
    let plan = Plan::choose(ARM, n1, Point::Persistence, accepting).unwrap();
    assert_eq!(record(ARM, plan, Operation::Writeback, 0, 1), ["dc cvap 0x0", "dsb sy"]);
    assert!(Plan::choose(ARM, a53, Point::DeepPersistence, accepting).is_err());
}

#[test]
fn an_override_chooses_only_what_is_there_and_reaches_the_point() {
    let only = |architecture, name| Policy::ANY.only_named(architecture, name).unwrap();
    let zen4 = facts(64, AMD_CLWB);
    let forced = Plan::choose(X86, zen4, Point::Persistence, only(X86, "clflush")).unwrap();
    let log = record(X86, forced, Operation::Writeback, 0, 1);
    assert_eq!(log, ["mfence", "clflush 0x0", "mfence"]);
    // The override is for write-back alone.
    let log = record(X86, forced, Operation::Invalidate, 0, 1);
    assert_eq!(log, ["mfence", "clflushopt 0x0", "mfence"]);
    // On Intel the same name means the ordered one.
    let forced = Plan::choose(X86, facts(64, INTEL_CLWB), Point::Persistence, only(X86, "clflush"));
    let log = record(X86, forced.unwrap(), Operation::Writeback, 0, 1);
    assert_eq!(log, ["clflush 0x0", "sfence"]);

    let zen1 = facts(64, AMD_CLFLUSHOPT);
    let error = Plan::choose(X86, zen1, Point::Persistence, only(X86, "clwb")).err().unwrap();
    assert_eq!(error.missing, Missing::Choice);
    let n1 = facts(64, &[DC_CVAC, DC_CVAP, DC_CIVAC]);
    let error = Plan::choose(ARM, n1, Point::Persistence, only(ARM, "dc cvac")).err().unwrap();
    assert_eq!(error.missing, Missing::Choice);
    assert_eq!(Policy::ANY.only_named(X86, "dc cvac"), None);
}

#[test]
fn a_forbidden_instruction_leaves_the_next_one() {
    let zen4 = facts(64, AMD_CLWB);
    let chosen = |names: &[&str]| {
        let without = |policy: Policy, name: &&str| policy.without_named(X86, name).unwrap();
        let plan =
            Plan::choose(X86, zen4, Point::Persistence, names.iter().fold(Policy::ANY, without));
        plan.map(|plan| record(X86, plan, Operation::Writeback, 0, 1).join(", "))
    };
    assert_eq!(chosen(&["clwb"]).unwrap(), "clflushopt 0x0, sfence");
    assert_eq!(chosen(&["clflushopt"]).unwrap(), "clwb 0x0, sfence");
    assert_eq!(chosen(&["clwb", "clflushopt"]).unwrap(), "mfence, clflush 0x0, mfence");
    let all = chosen(&["clwb", "clflushopt", "clflush"]);
    assert_eq!(all.unwrap_err().missing, Missing::Choice);
    assert_eq!(Policy::ANY.without_named(X86, "dc cvac"), None);
}

/// A handle is aimed again without asking the machine: nothing of the choice may get lost.
#[test]
fn a_plan_keeps_what_it_was_made_from() {
    let policy = Policy::ANY.only_named(ARM, "dc cvap").unwrap().accepting_coherency();
    #[cfg(feature = "privileged")]
    let policy = policy.privileged();
    let facts = facts(256, &[DC_CVAC, DC_CVAP, DC_CIVAC]);
    let facts = facts.with_granule(2048).unwrap();
    let plan = Plan::choose(ARM, facts, Point::Persistence, policy).unwrap();
    assert_eq!(plan.facts(), facts);
    assert_eq!(plan.policy(), policy);
    assert_eq!((plan.line().bytes(), plan.granule().bytes()), (256, 2048));
    #[cfg(target_has_atomic = "64")]
    assert_eq!(Plan::from_word(plan.to_word()).map(Plan::to_word), Some(plan.to_word()));
    #[cfg(target_has_atomic = "64")]
    assert_eq!(Plan::from_word(0).map(Plan::to_word), None);
}

/// Data that is padded to too little shares a unit with other data.
#[test]
fn a_plan_keeps_every_granule_there_can_be() {
    for line in [16, 64, 2048] {
        assert_eq!(facts(line, &[CLFLUSH]).granule(), line);
        for granule in [16, 32, 64, 128, 256, 512, 1024, 2048] {
            let facts = facts(line, &[CLFLUSH]).with_granule(granule).unwrap();
            let plan = plan(X86, facts, Point::Persistence);
            assert_eq!(plan.granule().bytes(), granule.max(line));
            assert_eq!(plan.line().bytes(), line);
        }
    }
}

/// The data do not change under any operation.
#[test]
fn operations_of_the_host_change_no_value() {
    let host = match Cache::host() {
        Ok(host) => host,
        Err(why) => return skip("operations_of_the_host_change_no_value", why),
    };
    for instruction in host.available_writebacks() {
        let cache = Cache::builder().writeback_with(instruction).build().unwrap();
        let mut bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let before = bytes.clone();
        cache.writeback(&bytes[..]);
        cache.writeback_invalidate(&bytes[3..777]);
        cache.invalidate(&mut bytes[1..999]);
        cache.writeback::<[u8]>(&[]);
        cache.batch(|batch: &Batch<'_>| {
            batch.writeback(&before[..]);
            batch.writeback_invalidate(&before[..1]);
        });
        cache.order_observed();
        assert_eq!(bytes, before, "{}", instruction.name);
        assert_eq!(cache.writeback_choice().instruction.name, instruction.name);
    }
}

#[test]
fn a_batch_completes_when_its_closure_unwinds() {
    let host = match Cache::host() {
        Ok(host) => host,
        Err(why) => return skip("a_batch_completes_when_its_closure_unwinds", why),
    };
    let value = 7_u64;
    let unwound = std::panic::catch_unwind(|| {
        host.batch(|batch| {
            batch.writeback(&value);
            panic!("in the closure");
        })
    });
    assert!(unwound.is_err());
    let result = host.batch(|batch| {
        batch.writeback(&value);
        42
    });
    assert_eq!(result, 42);
}

#[test]
fn all_calls_give_the_same_handle() {
    assert_eq!(Cache::host(), Cache::host());
}

#[test]
fn a_handle_is_one_word() {
    assert_eq!(size_of::<Cache>(), size_of::<u64>());
}
