//! The report on the machine of the test, and on a handle.

use crate::arch::Point;
use crate::cache::tests::host_or_refused;
use crate::report::CpuReport;

#[test]
fn the_report_on_this_machine_is_what_its_cache_does() {
    let report = CpuReport::host();
    match crate::Cache::host() {
        Ok(cache) => {
            let choice = report.writeback(Point::Coherency).unwrap();
            assert_eq!(choice, cache.writeback_choice());
            assert_eq!(report.invalidate(), Ok(cache.invalidate_choice()));
            assert_eq!(report.line.unwrap().size, cache.line_size());
        }
        Err(why) => assert_eq!(report.writeback(Point::Coherency), Err(why)),
    }
}

#[test]
fn the_report_on_a_cache_has_the_instruction_that_was_asked_for() {
    let Some(host) = host_or_refused() else { return };
    let slowest = host.invalidate_choice().instruction;
    let cache = crate::Cache::builder().writeback_with(slowest).build().unwrap();
    let choice = CpuReport::for_cache(cache).writeback(Point::Coherency).unwrap();
    assert_eq!(choice.instruction.name, slowest.name);
}

/// A kernel on RISC-V has no other method than to describe the CPU: the described instructions are
/// executed.
#[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
#[expect(unsafe_code, reason = "a description is the caller's word")]
#[test]
fn the_report_on_a_described_cpu_has_what_was_described() {
    use super::status;
    use crate::report::Status;
    use crate::{
        Cache,
        instruction::{CLFLUSH, Facts},
    };
    let facts = Facts::new(32).unwrap().with(CLFLUSH);
    // SAFETY: every x86_64 CPU has CLFLUSH, and none has lines of fewer than 32 bytes.
    let report = CpuReport::for_cache(unsafe { Cache::from_facts(facts) }.unwrap());
    let choice = report.writeback(Point::Persistence).unwrap();
    assert_eq!((choice.instruction, choice.after), (CLFLUSH, "mfence"));
    let line = report.line.unwrap();
    assert_eq!((line.size, line.source), (32, "the caller's description"));
    let Status::Absent(why) = status(&report, "clwb") else { panic!("it was not described") };
    assert!(why.reason.contains("description"), "{}", why.reason);
    // The identity of the CPU is still found out.
    assert_eq!(report.identity, CpuReport::host().identity);
}

/// On x86 privileged code finds the same as user mode, and its report says the same of lines.
#[cfg(all(feature = "privileged", target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
#[expect(unsafe_code, reason = "the level is the caller's word")]
#[test]
fn a_handle_of_privileged_code_is_built_with_the_same_overrides() {
    let Some(host) = host_or_refused() else { return };
    let slowest = host.invalidate_choice().instruction;
    let builder = crate::Cache::builder()
        .writeback_with(slowest)
        .point(Point::Persistence)
        .accept_coherency_as_persistence();
    // SAFETY: (1) is about arm64; (2) it is used on this machine.
    let cache = unsafe { builder.build_privileged() }.unwrap();
    assert_eq!(cache.writeback_choice().instruction.name, slowest.name);
    let report = CpuReport::for_cache(cache);
    assert_eq!(report.writeback(Point::Persistence).unwrap().instruction.name, slowest.name);
    assert!(report.accepts_coherency_as_persistence);
    // The code still runs in user mode, even after the caller's claim.
    assert_eq!(report.can_invalidate_memory().unwrap_err().by, crate::report::RefusedBy::UserMode);
}
