//! Drivers that wait forever.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use cachemaint::coherence::{self, Padded};
use cachemaint_device::{Machine, Seed, try_explore};

const IN_LOOP: &str = "CACHEMAINT_DEVICE_WAITS";

fn scenario(seed: Seed, wait: impl Fn(&Machine<'_>)) {
    let machine = Machine::new(64, seed);
    let buffer: &mut Padded<[u8; 64], 64> = machine.padded([0; 64]);
    coherence::release(&machine, buffer);
    wait(&machine);
}

/// The driver looks at a flag that no device sets.
fn spin() {
    let flag = AtomicBool::new(false);
    let _never = try_explore(0..1, |seed| {
        scenario(seed, |_machine| {
            while !flag.load(SeqCst) {
                std::hint::spin_loop();
            }
        });
    });
}

#[test]
fn a_wait_without_calls_of_the_machine_ends_the_process_with_the_reason() {
    if std::env::var_os(IN_LOOP).is_some() {
        return spin();
    }
    let name = "a_wait_without_calls_of_the_machine_ends_the_process_with_the_reason";
    let own = std::env::current_exe().unwrap();
    let ended = Command::new(own)
        .args(["--exact", name, "--nocapture"])
        .env(IN_LOOP, "1")
        .output()
        .unwrap();
    assert!(!ended.status.success());
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.contains("Time passes only in these calls"), "{text}");
}

#[test]
fn a_wait_with_calls_of_the_machine_fails() {
    let failure = try_explore(0..10, |seed| {
        scenario(seed, |machine| {
            loop {
                machine.step();
            }
        });
    });
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("the driver waits forever"), "{text}");
}
