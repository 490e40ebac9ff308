//! The instruction and the fences of each operation, for each architecture and each choice, on any host. `tests/asm` shows
//! that these are what is executed. The expected fences are those of these sources: Intel SDM vol. 2A (CLFLUSH, CLFLUSHOPT,
//! CLWB), AMD APM vol. 3 (CLFLUSH), Arm ARM (DC, DSB), Linux `arch/arm64/mm/cache.S` and `flush.c`,
//! `arch/powerpc/include/asm/cacheflush.h` and `barrier.h`, FreeBSD `sys/amd64/amd64/pmap.c`, the RISC-V manual's
//! "Memory Ordering" of cache-block operations.

#[cfg(all(target_has_atomic = "64", not(cachemaint_loom)))]
use super::OnceCache;
use super::{Batch, Builder, Cache, Choice};
use crate::arch::aarch64::{self, DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};
use crate::arch::powerpc::{self, DCBF, DCBF_PERSISTENT, DCBFPS, DCBST, DCBSTPS};
use crate::arch::riscv::{self, CBO_CLEAN, CBO_FLUSH};
use crate::arch::x86::{self, CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT, CLWB};
use crate::arch::{Architecture, Facts, Instruction, Missing, Point, Unsupported};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Returns the handle of this machine, or asserts the refusal of its CPU.
pub(crate) fn host_or_refused() -> Option<Cache> {
    let host = Cache::host().ok();
    assert_eq!(cachemaint_test_support::refused::host_or_refused().is_some(), host.is_some());
    host
}

fn facts(line: usize, instructions: &[Instruction]) -> Facts {
    let facts = Facts::new(line).unwrap();
    instructions.iter().fold(facts, |facts, instruction| facts.with(*instruction))
}

fn chosen(architecture: &Architecture, facts: Facts, point: Point) -> Cache {
    Cache::choose(architecture, facts, Builder::new().point(point)).unwrap()
}

fn named(architecture: &Architecture, code: u8) -> Instruction {
    *architecture.instructions.iter().find(|instruction| instruction.code == code).unwrap()
}

/// Returns the choice to write back, in words.
fn writeback(architecture: &Architecture, cache: Cache) -> String {
    let instruction = named(architecture, cache.writeback_code());
    Choice::of(architecture, instruction, instruction.writeback).to_string()
}

/// Returns the choice to invalidate, in words.
fn invalidate(architecture: &Architecture, cache: Cache) -> String {
    let instruction = named(architecture, cache.invalidate_code());
    Choice::of(architecture, instruction, architecture.invalidate).to_string()
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
    let rows: [(&[Instruction], &str); 6] = [
        (INTEL_CLWB, "clwb each line, then sfence"),
        (INTEL_CLFLUSHOPT, "clflushopt each line, then sfence"),
        (INTEL_CLFLUSH, "clflush each line, then sfence"),
        (AMD_CLWB, "clwb each line, then sfence"),
        (AMD_CLFLUSHOPT, "clflushopt each line, then sfence"),
        (AMD_CLFLUSH, "mfence, then clflush each line, then mfence"),
    ];
    for (instructions, expected) in rows {
        for point in [Point::Coherency, Point::Persistence] {
            assert_eq!(writeback(X86, chosen(X86, facts(64, instructions), point)), expected);
        }
    }
}

/// SFENCE does not order loads, so a load after the operation could be served by the old line; and
/// CLWB may keep the line.
#[test]
fn x86_invalidates_between_mfences_and_never_with_clwb() {
    for (instructions, by) in [
        (INTEL_CLWB, "clflushopt"),
        (INTEL_CLFLUSHOPT, "clflushopt"),
        (INTEL_CLFLUSH, "clflush"),
        (AMD_CLWB, "clflushopt"),
        (AMD_CLFLUSHOPT, "clflushopt"),
        (AMD_CLFLUSH, "clflush"),
    ] {
        let choice = invalidate(X86, chosen(X86, facts(64, instructions), Point::Coherency));
        assert_eq!(choice, alloc::format!("mfence, then {by} each line, then mfence"));
    }
}

#[test]
fn arm64_cleans_to_the_point_and_completes_with_dsb() {
    let all = facts(64, &[DC_CVAC, DC_CVAP, DC_CVADP, DC_CIVAC]);
    for (point, by) in [
        (Point::Coherency, "dc cvac"),
        (Point::Persistence, "dc cvap"),
        (Point::DeepPersistence, "dc cvadp"),
    ] {
        let cache = chosen(ARM, all, point);
        assert_eq!(writeback(ARM, cache), alloc::format!("{by} each line, then dsb sy"));
        assert_eq!(invalidate(ARM, cache), "dmb osh, then dc civac each line, then dsb sy");
    }
}

/// Cortex-A53 erratum 855873 and others: a clean must be a clean-and-invalidate.
#[test]
fn arm64_without_a_sound_clean_cleans_and_invalidates() {
    let cache = chosen(ARM, facts(64, &[DC_CIVAC]), Point::Coherency);
    assert_eq!(writeback(ARM, cache), "dc civac each line, then dsb sy");
}

/// A block operation counts as a write in FENCE, and the load that signalled an observer's data counts as a read. So
/// only a fence of both orders that load before an invalidation.
#[test]
fn riscv_cleans_to_coherency_and_completes_with_a_full_fence() {
    let cache = chosen(RISCV, facts(64, &[CBO_CLEAN, CBO_FLUSH]), Point::Coherency);
    assert_eq!(writeback(RISCV, cache), "cbo.clean each line, then fence iorw, iorw");
    let expected = "fence iorw, iorw, then cbo.flush each line, then fence iorw, iorw";
    assert_eq!(invalidate(RISCV, cache), expected);
}

/// Linux: `clean_dcache_range` is `dcbst` and `sync`, `flush_dcache_range` `sync`, `dcbf`, `sync`;
/// `pmem_wmb` behind `dcbstps` is `phwsync`.
#[test]
fn powerpc_has_a_fence_for_each_kind_of_storage() {
    let power10 = facts(128, &[DCBST, DCBF, DCBSTPS, DCBFPS]);
    let power9 = facts(128, &[DCBF, DCBF_PERSISTENT]);
    for (facts, point, expected) in [
        (power10, Point::Coherency, "dcbst each line, then sync"),
        (power10, Point::Persistence, "dcbstps each line, then phwsync"),
        (power9, Point::Coherency, "dcbf each line, then sync"),
        (power9, Point::Persistence, "dcbf each line, then sync"),
    ] {
        let cache = chosen(POWERPC, facts, point);
        assert_eq!(writeback(POWERPC, cache), expected);
        assert_eq!(invalidate(POWERPC, cache), "sync, then dcbf each line, then sync");
    }
}

/// One fence for write-backs and invalidations that were issued together. MFENCE completes all that SFENCE completes
/// (Intel SDM vol. 2A, CLWB); `sync` does not complete `dcbstps`, `phwsync` completes both.
#[test]
fn one_fence_completes_all_that_was_issued() {
    let power10: &[Instruction] = &[DCBST, DCBF, DCBSTPS, DCBFPS];
    let rows: [(&Architecture, &[Instruction], Point, &str); 6] = [
        (X86, INTEL_CLWB, Point::Persistence, "mfence"),
        (X86, AMD_CLFLUSH, Point::Coherency, "mfence"),
        (ARM, &[DC_CVAC, DC_CVAP, DC_CIVAC], Point::Persistence, "dsb sy"),
        (RISCV, &[CBO_CLEAN, CBO_FLUSH], Point::Coherency, "fence iorw, iorw"),
        (POWERPC, power10, Point::Coherency, "sync"),
        (POWERPC, power10, Point::Persistence, "phwsync"),
    ];
    for (architecture, instructions, point, expected) in rows {
        let cache = chosen(architecture, facts(128, instructions), point);
        let all = architecture.completion_of_all(named(architecture, cache.writeback_code()));
        let name = architecture.fences[usize::from(all.after.0)];
        assert_eq!(name, expected, "{} to the point of {point}", architecture.name);
    }
}

#[test]
fn a_point_that_nothing_reaches_is_refused_with_the_reason() {
    let choose = |architecture, facts, point| -> Result<Point, Unsupported> {
        Cache::choose(architecture, facts, Builder::new().point(point)).map(Cache::point)
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
    let accepting = Builder::new().accept_coherency_as_persistence();
    let a53 = facts(64, &[DC_CVAC, DC_CIVAC]);
    let cache = Cache::choose(ARM, a53, accepting.point(Point::Persistence)).unwrap();
    assert_eq!(cache.point(), Point::Persistence);
    assert_eq!(writeback(ARM, cache), "dc cvac each line, then dsb sy");
    assert!(cache.conditions().accepts_coherency());
    // A point that can be reached is not replaced by another.
    let n1 = facts(64, &[DC_CVAC, DC_CVAP, DC_CIVAC]);
    let cache = Cache::choose(ARM, n1, accepting.point(Point::Persistence)).unwrap();
    assert_eq!(writeback(ARM, cache), "dc cvap each line, then dsb sy");
    assert!(Cache::choose(ARM, a53, accepting.point(Point::DeepPersistence)).is_err());
}

#[test]
fn an_override_chooses_only_what_is_there_and_reaches_the_point() {
    let only = |architecture, instruction| Builder::new().only(architecture, instruction);
    let choose = |architecture, instructions, instruction| {
        let facts = facts(64, instructions);
        Cache::choose(
            architecture,
            facts,
            only(architecture, instruction).point(Point::Persistence),
        )
    };
    let forced = choose(X86, AMD_CLWB, CLFLUSH).unwrap();
    assert_eq!(writeback(X86, forced), "mfence, then clflush each line, then mfence");
    // The override affects only write-backs.
    assert_eq!(invalidate(X86, forced), "mfence, then clflushopt each line, then mfence");
    // On Intel the same name means the ordered one.
    let forced = choose(X86, INTEL_CLWB, CLFLUSH).unwrap();
    assert_eq!(writeback(X86, forced), "clflush each line, then sfence");

    let refused = |architecture, instructions, instruction| {
        choose(architecture, instructions, instruction).err().unwrap().missing
    };
    assert_eq!(refused(X86, AMD_CLFLUSHOPT, CLWB), Missing::Choice);
    assert_eq!(refused(ARM, &[DC_CVAC, DC_CVAP, DC_CIVAC], DC_CVAC), Missing::Choice);
    assert_eq!(refused(X86, INTEL_CLWB, DC_CVADP), Missing::Choice, "of another architecture");
}

/// A handle is aimed again without asking the machine: nothing of the choice may get lost.
#[test]
fn a_choice_keeps_what_it_was_made_from() {
    let conditions = Builder::new().only(ARM, DC_CVAP).accept_coherency_as_persistence();
    #[cfg(feature = "privileged")]
    let conditions = conditions.privileged();
    let facts = facts(256, &[DC_CVAC, DC_CVAP, DC_CIVAC]);
    let facts = facts.with_granule(2048).unwrap();
    let cache = Cache::choose(ARM, facts, conditions.point(Point::Persistence)).unwrap();
    assert_eq!(cache.facts(), facts);
    assert_eq!(cache.conditions(), conditions.point(Point::Persistence));
    assert_eq!((cache.line_size(), cache.granule()), (256, 2048));
}

/// Data that is padded to too little shares a unit with other data.
#[test]
fn a_choice_keeps_every_granule_there_can_be() {
    for line in [16, 64, 2048] {
        assert_eq!(facts(line, &[CLFLUSH]).granule(), line);
        for granule in [16, 32, 64, 128, 256, 512, 1024, 2048] {
            let facts = facts(line, &[CLFLUSH]).with_granule(granule).unwrap();
            let cache = chosen(X86, facts, Point::Persistence);
            assert_eq!(cache.granule(), granule.max(line));
            assert_eq!(cache.line_size(), line);
        }
    }
}

/// The data do not change under any operation.
#[test]
fn operations_of_the_host_change_no_value() {
    let Some(host) = host_or_refused() else { return };
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
    let Some(host) = host_or_refused() else { return };
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

/// Its constructor runs in a static, and a later cache does not replace the first.
#[cfg(all(target_has_atomic = "64", not(cachemaint_loom)))]
#[test]
fn a_static_cell_keeps_the_first_cache() {
    static CELL: OnceCache = OnceCache::new();
    let of = |lines| chosen(X86, facts(lines, &[CLFLUSH]), Point::Coherency);
    assert_eq!(CELL.get(), None);
    assert_eq!(CELL.set(of(64)), Ok(()));
    assert_eq!(CELL.set(of(128)), Err(of(64)));
    assert_eq!(CELL.get().map(Cache::line_size), Some(64));
}

#[test]
fn a_handle_is_one_word() {
    assert_eq!(size_of::<Cache>(), size_of::<u64>());
}

#[cfg(feature = "std")]
#[test]
fn a_refusal_passes_through_io_errors_with_its_message() {
    let error =
        std::io::Error::from(Unsupported::new(Missing::Point, "nothing reaches it", "retry"));
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "nothing reaches it; retry");
    assert!(error.get_ref().unwrap().is::<Unsupported>());
}
