//! The shape of the report as JSON.

use super::report_of;
use crate::tests::Fixture;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;
use serde_json::{Value, json};

fn with_a_region() -> Fixture {
    Fixture::new()
        .kernel_and_caches()
        .region(
            0,
            Some("ACPI.NFIT\n"),
            &[
                ("persistence_domain", "memory_controller\n"),
                ("mappings", "2\n"),
                ("mapping0", "nmem0,0,1073741824,0\n"),
                ("mapping1", "nmem1,0,1073741824,1\n"),
            ],
        )
        .file("sys/bus/nd/devices/nmem0/nfit/id", "8089-a2-1837-00000bb3\n")
        .file("sys/bus/nd/devices/nmem0/nfit/dirty_shutdown", "3\n")
        .file("sys/bus/nd/devices/nmem0/nfit/flags", "flush_fail smart_notify \n")
}

fn host() -> Value {
    serde_json::to_value(report_of(&with_a_region())).unwrap()
}

/// Adds every path of names; the items of a list share one.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                paths(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            for item in items {
                paths(item, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.trim_start_matches('.').to_string());
        }
    }
}

/// The names in each object, written by hand from the documentation of the module. A missing name would break a program
/// that reads the report.
const NAMES: &[(&str, &str)] = &[
    ("", "schema backings[] hypervisor"),
    ("kernel", "name release"),
    ("page_size", "bytes"),
    ("aliasing", "aliases source"),
    ("shmlba", "bytes"),
    (
        "regions.list[]",
        "name provider size available_size domain meaning is_claim read_only deep_flush numa_node bad_bytes bad_bytes_may_be_more",
    ),
    ("regions.list[].devices[]", "name id failures[] unsafe_shutdowns"),
    ("regions.list[].devices[].unsafe_shutdowns", "reason advice"),
    ("regions.list[].evidence[]", "asked answer"),
    ("survival[]", "backing event stage answer text source certainty"),
    ("survival[].answer.if", "code text"),
];

#[test]
fn the_names_of_a_host_report_are_those_documented() {
    let mut found = BTreeSet::new();
    let mut host = host();
    // `cachemaint` tests the names of a CPU's report.
    assert!(host.as_object_mut().unwrap().remove("cpu").unwrap()["architecture"].is_string());
    paths(&host, "", &mut found);
    let within = |(object, names): &(&str, &'static str)| {
        let object = object.to_string();
        let path = move |name| format!("{object}.{name}").trim_start_matches('.').to_string();
        names.split(' ').map(path).collect::<Vec<_>>()
    };
    let mut expected: BTreeSet<String> = NAMES.iter().flat_map(within).collect();
    for effect in ["whole_cache", "lines", "migration"] {
        for name in ["answer", "text", "source", "certainty"] {
            expected.insert(format!("effects.{effect}.{name}"));
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn the_values_are_the_machine_s() {
    let host = host();
    assert_eq!(host["schema"], 1);
    assert_eq!(host["regions"]["list"][0]["domain"], "memory_controller");
    assert_eq!(host["regions"]["list"][0]["is_claim"], true);
    assert_eq!(
        host["regions"]["list"][0]["devices"][0],
        json!({"name": "nmem0", "id": "8089-a2-1837-00000bb3", "unsafe_shutdowns": 3, "failures": ["flush_fail"]})
    );
    assert_eq!(host["backings"], json!(["storage", "ram", "pmem_adr", "file_system"]));
    let survival = host["survival"].as_array().unwrap();
    assert_eq!(survival.len(), 12 * 4 * 3, "backings, events, stages");
    let cell = |at: [&str; 3]| {
        let [backing, event, stage] = at.map(Value::from);
        let is = |cell: &&Value| {
            (&cell["backing"], &cell["event"], &cell["stage"]) == (&backing, &event, &stage)
        };
        survival.iter().find(is).unwrap()
    };
    assert_eq!(cell(["pmem_adr", "power_loss", "stored"])["answer"], "no");
    assert_eq!(cell(["pmem_adr", "warm_reboot", "stored"])["answer"], "not_promised");
    let deep = cell(["pmem_adr", "power_loss", "deep_persisted"]);
    assert_eq!((&deep["answer"], &deep["certainty"]), (&"yes".into(), &"read_in_source".into()));
    assert_eq!(
        cell(["storage", "power_loss", "persisted"])["answer"],
        json!({"if": {"code": "drive_flushes", "text": "the drive receives and honours flushes"}})
    );
}

#[test]
fn no_region_is_an_empty_list_with_what_it_means() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.inside("sys/bus/nd/devices")).unwrap();
    let report = report_of(&fixture);
    let regions = &serde_json::to_value(report).unwrap()["regions"];
    assert_eq!(regions["list"], json!([]));
    assert!(regions["reason"].as_str().unwrap().contains("power loss"));
    assert!(regions["advice"].is_string());
}

#[test]
fn unknown_values_have_reason_and_advice() {
    let report = report_of(&Fixture::new());
    let report = serde_json::to_value(report).unwrap();
    for name in ["kernel", "page_size", "shmlba", "regions"] {
        assert!(report[name]["reason"].is_string(), "{name}");
        assert!(report[name]["advice"].is_string(), "{name}");
    }
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
    for fixture in [with_a_region(), Fixture::new()] {
        let report = report_of(&fixture);
        assert_message_pack_equals_json(&report, "a host");
    }
}
