//! `cachemaint bench`. Times are never asserted.

use crate::{cachemaint, json, ran, stderr};

#[test]
fn one_instruction_is_measured_in_each_size_and_the_verdict_names_it() {
    let host = cachemaint::Cache::host().unwrap();
    let name = host.writeback_choice().instruction.name;
    let run =
        ran(cachemaint().args(["bench", "--quick", "--json", "--writeback", name]), "").success();
    let document = json(&run);
    assert_eq!((&document["schema"], &document["medium"]), (&1.into(), &"DRAM".into()));
    assert_eq!(document["line_bytes"], host.line_size());
    let [cost] = &document["instructions"].as_array().unwrap()[..] else {
        panic!("one instruction")
    };
    assert_eq!(cost["instruction"], name);
    let sizes = |of: &serde_json::Value| {
        let rows = of.as_array().unwrap().iter().map(|row| row["bytes"].as_u64().unwrap());
        rows.collect::<Vec<_>>()
    };
    assert_eq!(sizes(&cost["ranges"]), [64, 4096, 1 << 20]);
    assert_eq!(sizes(&document["copies"]), [64, 4096, 1 << 20]);
    let is_time = |time: &serde_json::Value| time["median"].as_f64().is_some_and(|time| time > 0.0);
    assert!(is_time(&cost["load_ns"]) && is_time(&document["cached_load_ns"]), "{cost}");
    let [instruction, copy] = [0, 1].map(|line| document["verdict"][line].as_str().unwrap());
    assert!(instruction.starts_with(&format!("use {name}: ")) && copy.contains("copy"), "{copy}");
    let told = stderr(&run);
    assert!(
        told.starts_with("cachemaint: measures for about ") && told.lines().count() == 1,
        "{told}"
    );
}

#[test]
fn an_instruction_that_is_not_there_is_an_error() {
    let error = stderr(&ran(cachemaint().args(["bench", "--writeback", "clzap"]), "").code(3));
    assert!(error.starts_with("cachemaint: clzap: "), "{error}");
    for instruction in cachemaint::Cache::host().unwrap().available_writebacks() {
        assert!(error.contains(instruction.name), "{error}");
    }
}
