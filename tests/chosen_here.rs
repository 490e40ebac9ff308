//! What is chosen on the CPU that runs this, and that each instruction it has executes.
//!
//! On a CPU model of an emulator the environment variable `CACHEMAINT_EXPECT` says what the manual of
//! that CPU demands, such as `writeback=dc cvac,persistence=dc cvap,deep=refused,line=64`; each item
//! is checked. Without it the choice is checked for consistency alone.

#![cfg(not(any(miri, loom)))]

mod skip;

use cachemaint::{Cache, Point};
use skip::skip;
use std::collections::BTreeMap;

/// The items of an expectation, by name.
fn expectation() -> BTreeMap<String, String> {
    let text = std::env::var("CACHEMAINT_EXPECT").unwrap_or_default();
    text.split(',')
        .filter(|item| !item.is_empty())
        .map(|item| item.split_once('=').unwrap_or((item, "")))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn chosen(point: Point) -> String {
    match Cache::host().and_then(|cache| cache.to(point)) {
        Ok(cache) => cache.writeback_instruction().name.to_string(),
        Err(_) => "refused".to_string(),
    }
}

#[test]
fn the_choice_is_what_the_cpus_manual_demands() {
    let expected = expectation();
    for (name, value) in &expected {
        let found = match name.as_str() {
            "writeback" => chosen(Point::Coherency),
            "persistence" => chosen(Point::Persistence),
            "deep" => chosen(Point::DeepPersistence),
            "line" => Cache::host().unwrap().line_size().to_string(),
            other => panic!("CACHEMAINT_EXPECT has no item {other}"),
        };
        assert_eq!(&found, value, "{name}, of {expected:?}");
    }
    println!(
        "coherency {}, persistence {}, deep persistence {}",
        chosen(Point::Coherency),
        chosen(Point::Persistence),
        chosen(Point::DeepPersistence)
    );
}

/// An instruction that the CPU does not have ends the process (SIGILL), so returning is the test.
#[test]
fn each_available_instruction_executes_at_each_point() {
    let Ok(host) = Cache::host() else {
        skip("each_available_instruction_executes", Cache::host().unwrap_err());
        return;
    };
    let mut executed = 0;
    for point in Point::ALL {
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

/// A handle that is told to use what the machine lacks must be refused, never trap.
#[test]
fn what_is_absent_is_refused() {
    let Ok(host) = Cache::host() else { return };
    let facts = host.facts();
    for instruction in cachemaint::instruction::ALL {
        let by_name = |other: &&cachemaint::Instruction| other.name == instruction.name;
        let mut named = cachemaint::instruction::ALL.iter().filter(by_name);
        if !named.any(|instruction| facts.has(*instruction)) {
            let built = Cache::builder().writeback_with(*instruction).build();
            assert!(built.is_err(), "{} is absent", instruction.name);
        }
    }
}
