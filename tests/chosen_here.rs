//! The choice on the CPU that runs this test, and the execution of each of its instructions.
//!
//! On an emulated CPU the environment variable `CACHEMAINT_EXPECT` has the choice that its manual demands, such as
//! `writeback=dc cvac,persistence=dc cvap,deep=refused,line=64`. Without it the choice is only checked for
//! consistency. The report is written to the file that `CACHEMAINT_REPORT` names.

#![cfg(not(any(miri, cachemaint_loom)))]

use cachemaint::{Cache, Point};
use cachemaint_test_support::refused::host_or_refused;
use cachemaint_test_support::skip::skip;

fn chosen(point: Point) -> &'static str {
    match Cache::host().and_then(|cache| cache.to(point)) {
        Ok(cache) => cache.writeback_choice().instruction.name,
        Err(_) => "refused",
    }
}

#[test]
fn the_choice_is_what_the_cpus_manual_demands() {
    let line = Cache::host().map_or("refused".to_string(), |cache| cache.line_size().to_string());
    let found = format!(
        "writeback={},persistence={},deep={},line={line}",
        chosen(Point::Coherency),
        chosen(Point::Persistence),
        chosen(Point::DeepPersistence)
    );
    println!("{found}");
    let Ok(expected) = std::env::var("CACHEMAINT_EXPECT") else {
        skip("the_choice_is_what_the_cpus_manual_demands", "CACHEMAINT_EXPECT is not set");
        return;
    };
    assert_eq!(found, expected);
}

/// `cachemaint caps --json` prints this report under the same name.
#[cfg(all(feature = "std", feature = "serde"))]
#[test]
fn the_report_names_the_chosen_instructions() {
    let report = serde_json::json!({ "cpu": cachemaint::report::CpuReport::host() });
    for (point, name) in [
        (Point::Coherency, "coherency"),
        (Point::Persistence, "persistence"),
        (Point::DeepPersistence, "deep_persistence"),
    ] {
        let answer = &report["cpu"]["writeback"][name];
        assert_eq!(answer["instruction"].as_str().unwrap_or("refused"), chosen(point), "{answer}");
    }
    if let Some(path) = std::env::var_os("CACHEMAINT_REPORT") {
        std::fs::write(path, report.to_string()).unwrap();
    }
}

/// An instruction that the CPU does not have ends the process (SIGILL), so returning is the test.
/// A CPU without any of them must be refused.
#[test]
fn each_available_instruction_executes_at_each_point() {
    let Some(host) = host_or_refused() else { return };
    let mut executed = 0;
    for &point in Point::ALL {
        let Ok(aimed) = host.to(point) else { continue };
        for instruction in aimed.available_writebacks() {
            let cache = Cache::builder().writeback_with(instruction).point(point).build().unwrap();
            let mut bytes = vec![0x5a_u8; 3 * cache.line_size() + 1];
            bytes[7] = 1;
            cache.writeback(&bytes[7..]);
            cache.invalidate(&mut bytes[..]);
            assert_eq!((bytes[6], bytes[7], bytes[8]), (0x5a, 1, 0x5a));
            executed += 1;
            println!("{point}: {} executed", instruction.name);
        }
    }
    assert!(executed > 0);
}

/// A handle for an instruction that the machine lacks must be refused, never trap.
#[test]
fn an_absent_instruction_is_refused() {
    let facts = Cache::host().map(Cache::facts);
    for instruction in cachemaint::instruction::ALL {
        let by_name =
            |other: &&cachemaint::instruction::Instruction| other.name == instruction.name;
        let mut named = cachemaint::instruction::ALL.iter().filter(by_name);
        if !named.any(|instruction| facts.is_ok_and(|facts| facts.has(*instruction))) {
            let built = Cache::builder().writeback_with(*instruction).build();
            assert!(built.is_err(), "{} is absent", instruction.name);
        }
    }
}
