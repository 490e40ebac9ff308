//! The long form of the report.

use crate::cache::plan::Policy;
use crate::cpu::recorded::all;
use crate::report::{
    Backing, Certainty, CpuReport, Event, Explanation, HostReport, Progress, survival_statement,
};
use crate::system::fixture::Fixture;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

fn host(name: &str, fixture: &Fixture) -> HostReport {
    let (_, architecture, cpu) = all().into_iter().find(|row| row.0.contains(name)).unwrap();
    HostReport::from_tree(CpuReport::new(architecture, cpu, Policy::ANY), &fixture.tree())
}

fn explain(report: &HostReport, topic: &str) -> Explanation {
    report.explain(topic).unwrap_or_else(|| panic!("no topic {topic}"))
}

fn words(explanation: &Explanation) -> String {
    let texts: Vec<&str> = explanation.entries.iter().map(|entry| entry.text.as_str()).collect();
    texts.join("\n")
}

fn pmem() -> Fixture {
    let claim = |claim| [("size", "137438953472\n"), ("persistence_domain", claim)];
    Fixture::new().kernel_and_caches().region(0, Some("ACPI.NFIT\n"), &claim("cpu_cache\n")).region(
        1,
        Some("CXL\n"),
        &claim("memory_controller\n"),
    )
}

/// What says something with certainty says by whom, and nothing runs out of the screen.
#[test]
fn each_topic_of_each_machine_has_its_sources_and_fits() {
    let fixture = pmem();
    for (name, architecture, cpu) in all() {
        let report =
            HostReport::from_tree(CpuReport::new(architecture, cpu, Policy::ANY), &fixture.tree());
        for topic in report.topics() {
            let explanation = explain(&report, &topic.name);
            assert_eq!(explanation.topic, topic);
            for entry in &explanation.entries {
                assert!(!entry.text.is_empty(), "{name}: {}", topic.name);
                assert_eq!(
                    entry.certainty.is_some(),
                    !entry.source.is_empty(),
                    "{name}: {entry:?}"
                );
            }
            let screen = explanation.to_string();
            assert!(screen.lines().count() > 3, "{screen}");
            for line in screen.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
        }
    }
}

#[test]
fn names_are_asked_for_as_people_write_them() {
    let report = host("Altra", &Fixture::new());
    for name in ["dc-cvap", "dc cvap", "DC CVAP", " dc_cvap "] {
        assert_eq!(explain(&report, name).topic.name, "dc-cvap");
    }
    assert!(report.explain("clwb").is_none(), "arm64 has no clwb");
    assert!(report.explain("").is_none());
}

#[test]
fn an_instruction_is_there_or_not_with_its_reason_here() {
    let absent = explain(&host("E5-2676 v3 (Haswell-EP), Xen guest", &Fixture::new()), "clwb");
    assert!(words(&absent).contains("absent: CPUID.7.0:EBX[24] is not shown"), "{absent}");
    assert!(words(&absent).contains("the CPU itself may have it"), "{absent}");
    assert!(words(&absent).contains("nothing here"), "{absent}");

    let present = explain(&host("EPYC 9655", &Fixture::new()), "clwb");
    assert!(words(&present).contains("present: "), "{present}");
    assert!(words(&present).contains("write-back to coherency, write-back to persistence"));

    // The entry whose vendor's orderings it has.
    let amd = explain(&host("FX-8350", &Fixture::new()), "clflush");
    assert!(words(&amd).contains("mfence, then clflush each line, then mfence"), "{amd}");
}

/// Not a sentence of it is written twice: answer, reason and source are the table's. What this machine
/// has comes first.
#[test]
fn survival_is_explained_by_the_table() {
    let report = host("Nehalem", &pmem());
    let explanation = explain(&report, "survival");
    for backing in Backing::ALL {
        for event in Event::ALL {
            for progress in Progress::ALL {
                let cell = survival_statement(backing, progress, event);
                let is_it = |entry: &&crate::report::Entry| {
                    entry.text.starts_with(backing.name())
                        && entry.text.contains(event.name())
                        && entry.text.contains(progress.name())
                        && entry.text.ends_with(cell.text)
                };
                let entry = explanation.entries.iter().find(is_it);
                let entry = entry.unwrap_or_else(|| panic!("{backing:?} {event:?} {progress:?}"));
                assert!(entry.text.contains(&cell.is.to_string()), "{}", entry.text);
                assert_eq!(entry.source, cell.source);
            }
        }
    }
    let place = |word: &str| words(&explanation).find(word).unwrap();
    assert!(place("pmem, eADR; process crash") < place("what other machines have"));
    assert!(place("what other machines have") < place("virtio-pmem; process crash"));
}

#[test]
fn what_a_guest_s_topics_say_is_this_guest_s() {
    let fixture = Fixture::new().file(".dockerenv", "");
    let report = host("9xx4 (family 25 model 17), KVM", &fixture);
    assert!(words(&explain(&report, "whole-cache")).contains("KVM ignores it"));
    assert!(words(&explain(&report, "container")).contains("in a container: docker"));
    let moved = explain(&report, "live-migration");
    assert!(words(&moved).contains("can move this guest"), "{moved}");
    assert_eq!(moved.entries[0].certainty, Some(Certainty::Documented));

    let tdx = host("TDX guest on Azure", &fixture);
    assert!(words(&explain(&tdx, "confidential")).contains("Intel TDX: leaf 21H says so"));
}

#[test]
fn domains_are_explained_with_their_regions() {
    let report = host("Nehalem", &pmem());
    assert!(words(&explain(&report, "eadr")).contains("firmware claims that stored data survive"));
    assert!(words(&explain(&report, "adr")).contains("no region has it"));
    let gpf = explain(&report, "gpf");
    assert!(words(&gpf).contains("CXL device (GPF not shown)"), "{gpf}");
    assert!(words(&explain(&report, "granularity")).contains("on the regions with eADR"));
}
