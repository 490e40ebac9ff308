//! The shape of a CPU's report as JSON.

use super::CpuReport;
use crate::arch::aarch64;
use crate::cache::Builder;
use crate::cpu::recorded::{all, arm64, arm64_cpu};
use alloc::vec::Vec;
use serde::Serialize;
use serde_json::{Value, json};

fn report(name: &str) -> CpuReport {
    let (_, architecture, cpu) = all().into_iter().find(|row| row.0.contains(name)).unwrap();
    CpuReport::new(architecture, cpu, Builder::new())
}

/// The names in each object, written by hand from the documentation of the module. A missing name would break a program
/// that reads the report.
#[test]
fn the_names_of_a_report_are_those_documented() {
    let report = serde_json::to_value(report("Xeon E5-2676 v3")).unwrap();
    let names = |path: &str| {
        let object = report.pointer(path).and_then(Value::as_object).unwrap();
        let mut names: Vec<_> = object.keys().map(alloc::string::String::as_str).collect();
        names.sort_unstable();
        names.join(" ")
    };
    for (path, expected) in [
        (
            "",
            "accepts_coherency_as_persistence aliasing architecture confidential hypervisor identity instructions \
             invalidate line notes schema whole_cache writeback",
        ),
        ("/identity", "brand family kind model stepping vendor"),
        ("/line", "available bytes granule_bytes source"),
        ("/instructions/0", "advice effect missing name point reason requires source status"),
        ("/writeback", "coherency deep_persistence persistence"),
        ("/writeback/coherency", "after available before effect instruction source"),
        ("/writeback/deep_persistence", "advice available missing reason"),
        ("/invalidate", "after available before effect instruction source"),
        ("/aliasing", "aliases source"),
        ("/hypervisor", "is_root kind signatures"),
        ("/confidential", "kind"),
        ("/whole_cache", "advice available missing reason"),
        ("/notes/0", "source text"),
    ] {
        assert_eq!(names(path), expected, "{path}");
    }
}

#[test]
fn the_values_are_the_machine_s() {
    let cpu = serde_json::to_value(report("Xeon E5-2676 v3")).unwrap();
    assert_eq!(cpu["hypervisor"]["signatures"], json!(["XenVMMXenVMM"]));
    assert_eq!(
        cpu["writeback"]["persistence"],
        json!({
            "available": true,
            "instruction": "clflush",
            "effect": "writeback_invalidate",
            "before": null,
            "after": "sfence",
            "source": "Intel SDM vol. 2A, CLFLUSH",
        })
    );
    assert_eq!(cpu["writeback"]["deep_persistence"]["missing"], "point");
    assert_eq!(cpu["instructions"][0]["status"], "absent");
}

#[test]
fn an_arm64_cpu_is_known_by_its_registers() {
    let report = serde_json::to_value(report("Cortex-A53 r0p2")).unwrap();
    assert_eq!(report["schema"], 1);
    assert_eq!(
        report["identity"],
        json!({
            "kind": "aarch64",
            "midr": 0x410f_d032,
            "implementer": 0x41,
            "implementer_name": "Arm",
            "part": 0xd03,
            "part_name": "Cortex-A53",
            "variant": 0,
            "revision": 2,
        })
    );
    assert_eq!(report["hypervisor"]["kind"], "unknown");
    assert_eq!(report["writeback"]["persistence"]["available"], false);
}

#[test]
fn a_refusal_has_its_number_and_its_advice() {
    let machine = arm64::Machine { ctr_el0: 0x800a_c004, ..arm64::MACHINES[0] };
    let report = CpuReport::new(&aarch64::ARCHITECTURE, arm64_cpu(&machine), Builder::new());
    let report = serde_json::to_value(report).unwrap();
    let line = &report["line"];
    assert_eq!(line["available"], false);
    assert_eq!(line["missing"], "line_size");
    assert_eq!(line["found_bytes"], 4096);
    assert!(!line["advice"].as_str().unwrap().is_empty());
    assert_eq!(report["instructions"][0]["status"], "refused");
}

/// `MessagePack` writes the announced number of fields, which JSON does not need.
fn assert_message_pack_equals_json(report: &impl Serialize, name: &str) {
    let bytes = rmp_serde::to_vec_named(report).unwrap();
    let mut rest = bytes.as_slice();
    let read: Value = rmp_serde::from_read(&mut rest).unwrap();
    assert_eq!(read, serde_json::to_value(report).unwrap(), "{name}");
    assert!(rest.is_empty(), "{name}: {} bytes too many", rest.len());
}

#[test]
fn reports_are_the_same_in_another_format() {
    for (name, architecture, cpu) in all() {
        assert_message_pack_equals_json(&CpuReport::new(architecture, cpu, Builder::new()), name);
    }
    let machine = arm64::Machine { ctr_el0: 0x800a_c004, ..arm64::MACHINES[0] };
    let refused = CpuReport::new(&aarch64::ARCHITECTURE, arm64_cpu(&machine), Builder::new());
    assert_message_pack_equals_json(&refused, "lines of 4096 bytes");
}
