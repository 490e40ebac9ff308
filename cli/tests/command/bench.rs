//! `cachemaint bench`. Times are never asserted.

use crate::{cachemaint, json, ran, stderr};

#[test]
fn one_instruction_is_measured_in_each_state_and_size() {
    let host = cachemaint::Cache::host().unwrap();
    let name = host.writeback_choice().instruction.name;
    let run = ran(cachemaint().args(["bench", "--quick", "--json", "--writeback", name]), "");
    let run = run.code(0);
    let document = json(&run);
    assert_eq!((&document["schema"], &document["medium"]), (&1.into(), &"DRAM".into()));
    assert_eq!(document["line_bytes"], host.line_size());
    let costs = document["writeback"].as_array().unwrap();
    assert_eq!(costs.len(), 3 * 3, "dirty, clean, not cached; 64 B, 4 KiB, 1 MiB");
    assert!(costs.iter().all(|cost| cost["instruction"] == name), "{costs:?}");
    let [load] = &document["loads"]["after"].as_array().unwrap()[..] else {
        panic!("one instruction")
    };
    assert_eq!(load["instruction"], name);
    let is_time = |time: &serde_json::Value| time["median"].as_f64().is_some_and(|time| time > 0.0);
    assert!(is_time(&load["load_ns"]) && is_time(&document["loads"]["cached_ns"]), "{load}");
    // The bar needs a terminal.
    let told = str::from_utf8(&run.0.stderr).unwrap();
    assert!(
        told.starts_with("cachemaint: measures for about ") && told.lines().count() == 1,
        "{told}"
    );
}

#[test]
fn an_instruction_or_a_core_that_is_not_there_is_an_error() {
    let error = stderr(&ran(cachemaint().args(["bench", "--writeback", "clzap"]), "").code(3));
    assert!(error.starts_with("cachemaint: clzap: "), "{error}");
    for instruction in cachemaint::Cache::host().unwrap().available_writebacks() {
        assert!(error.contains(instruction.name), "{error}");
    }
    let error = stderr(&ran(cachemaint().args(["bench", "--cpu", "99999"]), "").code(3));
    assert!(error.contains("99999"), "{error}");
}
