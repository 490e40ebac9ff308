//! `cachemaint bench` as a user runs it. Its measurements are tested in its unit tests, never asserted here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;

fn bench(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("cachemaint").unwrap().arg("bench").args(arguments).assert()
}

#[test]
fn an_instruction_that_is_not_there_is_an_error_that_names_those_that_are() {
    let assert = bench(&["--quick", "--writeback", "clzap"]).code(1);
    let output = assert.get_output();
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.starts_with("cachemaint: "), "{text}");
    assert!(text.contains("clzap"), "{text}");
    for instruction in cachemaint::Cache::host().unwrap().available_writebacks() {
        assert!(text.contains(instruction.name), "{text}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_core_that_is_not_there_is_an_error() {
    let assert = bench(&["--quick", "--cpu", "99999"]).code(1);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(text.contains("99999"), "{text}");
}

#[test]
fn one_instruction_is_measured_in_each_state_and_size() {
    let host = cachemaint::Cache::host().unwrap();
    let name = host.writeback_choice().instruction.name;
    let assert = bench(&["--quick", "--json", "--writeback", name]).success();
    let output = assert.get_output();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["medium"], "DRAM");
    assert_eq!(json["line_bytes"], host.line_size());
    let costs = json["writeback"].as_array().unwrap();
    assert_eq!(costs.len(), 3 * 3, "dirty, clean, not cached; 64 B, 4 KiB, 1 MiB");
    assert!(costs.iter().all(|cost| cost["instruction"] == name), "{costs:?}");
    assert!(output.stderr.is_empty(), "no progress where there is no terminal");
}

#[test]
fn copies_have_no_single_instruction_to_be_chosen() {
    bench(&["--copy", "--writeback", "clwb"]).code(2);
}
