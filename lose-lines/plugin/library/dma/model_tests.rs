use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Found, Handed, Kind, Maintenance, Model, Place};
use crate::dma::ram::tests::ram;

const RAM: u64 = 0x4000_0000;
const CLEAN: Maintenance = Maintenance { writes_back: true, drops: false };
const INVALIDATE: Maintenance = Maintenance { writes_back: false, drops: true };
const BOTH: Maintenance = Maintenance { writes_back: true, drops: true };

/// Places of the guest's code: who fetches, stores, maintains, rings and reads.
const FETCH: Place = 1;
const STORE: Place = 2;
const MAINTAIN: Place = 3;
const RING: Place = 4;
const READ: Place = 5;

struct Machine {
    model: Model,
    words: &'static [AtomicU64],
}

impl Machine {
    fn new() -> Self {
        let (ram, words) = ram(0x1000);
        Self { model: Model::new(ram, 64, 2, false), words }
    }

    fn load(&mut self, place: Place, at: u64) {
        self.model.load(0, place, RAM + at, 8);
    }

    fn store(&mut self, at: u64, value: u64) {
        self.device(at, value);
        self.model.store(0, STORE, RAM + at, 8);
    }

    /// A device writes.
    fn device(&self, at: u64, value: u64) {
        self.words[usize::try_from(at / 8).unwrap()].store(value, Relaxed);
    }

    fn maintain(&mut self, at: u64, what: Maintenance) {
        self.model.maintain(0, MAINTAIN, RAM + at, what);
        self.model.fence(0);
    }

    fn ring(&mut self, at: u64, len: u64, device_writes: bool) {
        self.model.doorbell(0);
        self.model.hand_over(RING, 1, Handed { at: RAM + at, len, device_writes });
    }

    fn wait(&mut self) {
        (0..20).for_each(|_access| self.load(FETCH, 0xf00));
    }

    #[track_caller]
    fn expect(&self, expected: &[(Kind, Place, Place, u64)]) {
        let mut found: Vec<_> =
            self.model.found().map(|(kind, at, by, found)| (kind, at, by, found.count)).collect();
        found.sort();
        assert_eq!(found, expected);
    }
}

/// A driver reads 128 bytes from a device into a buffer that it had used before.
fn receive(before: Option<Maintenance>, after: Option<Maintenance>) -> Machine {
    let mut machine = Machine::new();
    machine.load(FETCH, 0);
    machine.store(64, 1);
    if let Some(before) = before {
        machine.maintain(0, before);
        machine.maintain(64, before);
    }
    machine.ring(0, 128, true);
    machine.device(0, 7);
    machine.device(64, 8);
    machine.wait();
    if let Some(after) = after {
        machine.maintain(0, after);
        machine.maintain(64, after);
    }
    machine.load(READ, 0);
    machine.load(READ, 64);
    machine
}

#[test]
fn a_driver_that_maintains_before_and_after_is_right() {
    for what in [INVALIDATE, BOTH] {
        let machine = receive(Some(what), Some(INVALIDATE));
        machine.expect(&[]);
        assert_eq!((machine.model.counts.handed, machine.model.counts.refreshed), (2, 2));
    }
}

#[test]
fn a_missing_invalidation_after_the_transfer_is_found() {
    receive(Some(BOTH), None).expect(&[(Kind::SpeculativeRead, READ, MAINTAIN, 2)]);
    let machine = receive(Some(CLEAN), None);
    machine.expect(&[(Kind::StaleRead, READ, FETCH, 1), (Kind::StaleRead, READ, STORE, 1)]);
    let (.., found) = machine.model.found().find(|(_, _, by, _)| *by == FETCH).unwrap();
    assert_eq!(found, Found { count: 1, address: RAM, cached: 0, memory: 7, device: 1 });
}

#[test]
fn a_finding_names_both_places() {
    type Run = fn(&mut Machine);
    let runs: [(Run, Kind, Place, Place); 6] = [
        // A device that rings no bell.
        (|machine| machine.maintain(0, BOTH), Kind::WrittenOver, MAINTAIN, STORE),
        (|machine| machine.maintain(0, INVALIDATE), Kind::DirtyUnderDevice, MAINTAIN, STORE),
        (|machine| machine.load(READ, 8), Kind::WrittenOver, READ, STORE),
        (|machine| machine.ring(0, 64, true), Kind::DirtyUnderDevice, RING, STORE),
        (|machine| machine.ring(0, 8, false), Kind::DirtyAtDoorbell, RING, STORE),
        (
            |machine| {
                machine.ring(16, 8, false);
                machine.store(16, 1);
                machine.device(8, 0);
                machine.maintain(0, INVALIDATE);
                machine.load(READ, 16);
            },
            Kind::BytesLost,
            READ,
            MAINTAIN,
        ),
    ];
    for (run, kind, at, by) in runs {
        let mut machine = Machine::new();
        machine.store(0, 1);
        machine.device(8, 7);
        run(&mut machine);
        machine.expect(&[(kind, at, by, 1)]);
        // What is reported has no consequences.
        machine.maintain(0, BOTH);
        machine.load(READ, 8);
        machine.expect(&[(kind, at, by, 1)]);
    }
}

#[test]
fn bytes_for_a_device_must_be_written_back_and_fenced() {
    let mut machine = Machine::new();
    machine.store(0, 1);
    machine.model.maintain(0, MAINTAIN, RAM, CLEAN);
    // The fence of another CPU completes nothing of this one.
    machine.model.fence(1);
    machine.ring(0, 8, false);
    machine.expect(&[(Kind::UnfencedAtDoorbell, RING, STORE, 1)]);

    // A thread that was moved to another CPU between its write-back and its fence.
    let mut machine = Machine::new();
    machine.store(0, 1);
    machine.model.maintain(0, MAINTAIN, RAM, CLEAN);
    machine.model.fence_of_cpus(0);
    machine.model.fence(1);
    machine.ring(0, 8, false);
    machine.expect(&[]);
}

#[test]
fn a_write_back_of_old_bytes_stays_until_a_device_writes_again() {
    let merged = || {
        let mut machine = Machine::new();
        machine.ring(8, 8, true);
        machine.load(FETCH, 0);
        machine.device(8, 7);
        machine.store(0, 1);
        machine.maintain(0, BOTH);
        machine
    };
    let mut machine = merged();
    machine.maintain(0, INVALIDATE);
    machine.load(READ, 0);
    machine.expect(&[]);
    machine.load(READ, 8);
    machine.load(READ, 8);
    machine.expect(&[(Kind::OldBytesMerged, READ, STORE, 1)]);
    // Other bytes, and the same after another doorbell.
    let mut machine = merged();
    machine.device(8, 9);
    machine.maintain(0, INVALIDATE);
    machine.load(READ, 8);
    machine.expect(&[]);
    let mut machine = merged();
    machine.ring(8, 8, true);
    machine.maintain(0, INVALIDATE);
    machine.load(READ, 8);
    machine.expect(&[]);
}

#[test]
fn a_loop_that_polls_is_no_mistake() {
    let mut machine = Machine::new();
    machine.ring(0, 8, true);
    machine.maintain(0, INVALIDATE);
    machine.device(0, 7);
    machine.load(READ, 0);
    machine.expect(&[(Kind::PollRace, READ, MAINTAIN, 1)]);
    // After an interrupt too, once the loop has been around.
    let mut machine = Machine::new();
    machine.ring(0, 8, true);
    machine.maintain(0, INVALIDATE);
    machine.load(READ, 0);
    machine.maintain(0, INVALIDATE);
    machine.device(0, 7);
    machine.wait();
    machine.load(READ, 0);
    machine.expect(&[(Kind::PollRace, READ, MAINTAIN, 1)]);
    // Between two loads of one round; a later load is stale.
    for (waits, kind, by) in [(false, Kind::PollRace, MAINTAIN), (true, Kind::StaleRead, FETCH)] {
        let mut machine = Machine::new();
        machine.ring(0, 16, true);
        machine.maintain(0, INVALIDATE);
        machine.load(FETCH, 0);
        machine.device(8, 7);
        if waits {
            machine.wait();
        }
        machine.load(READ, 8);
        machine.expect(&[(kind, READ, by, 1)]);
    }
    // A doorbell after the invalidation: the device had not begun.
    let mut machine = Machine::new();
    machine.maintain(0, INVALIDATE);
    machine.ring(0, 8, true);
    machine.device(0, 7);
    machine.load(READ, 0);
    machine.expect(&[(Kind::SpeculativeRead, READ, MAINTAIN, 1)]);
}

#[test]
fn a_line_that_another_cpu_fetched_is_stale_too() {
    let mut machine = Machine::new();
    machine.wait();
    machine.load(FETCH, 0);
    machine.device(0, 7);
    machine.model.load(1, READ, RAM, 8);
    machine.expect(&[(Kind::StaleRead, READ, FETCH, 1)]);
}

#[test]
fn what_passes_by_the_cache_is_no_device() {
    let mut machine = Machine::new();
    machine.load(FETCH, 0);
    machine.device(0, 7);
    machine.model.store_around(RAM, 8);
    machine.load(READ, 0);
    machine.expect(&[]);
}

#[test]
fn page_walks_may_set_the_access_flag() {
    let mut machine = Machine::new();
    machine.store(0, 0x4000_0703);
    machine.device(0, 0x4000_0703 | 1 << 7);
    machine.model.set_by_walks = 1 << 7;
    machine.load(READ, 0);
    machine.expect(&[]);
    // A device's byte that is no descriptor.
    machine.load(FETCH, 64);
    machine.device(64, 1 << 7);
    machine.load(READ, 64);
    machine.expect(&[(Kind::StaleRead, READ, FETCH, 1)]);
    machine.model.set_by_walks = 0;
    machine.device(0, 0x4000_0703);
    machine.load(READ, 0);
    machine.expect(&[(Kind::StaleRead, READ, FETCH, 1), (Kind::WrittenOver, READ, STORE, 1)]);
}

#[test]
fn maintenance_by_set_and_way_is_of_all_lines() {
    let mut machine = Machine::new();
    machine.load(FETCH, 0);
    machine.store(64, 1);
    machine.device(0, 7);
    machine.model.maintain_all(0, MAINTAIN, BOTH);
    machine.model.fence(0);
    machine.load(READ, 0);
    machine.ring(64, 8, false);
    machine.expect(&[]);
}

#[test]
fn a_device_may_write_bytes_again_that_were_overwritten() {
    let mut machine = Machine::new();
    // A device's bytes that nobody reads, under a whole line of others; the device writes these others again.
    machine.device(0, 7);
    (0..8).rev().for_each(|word| machine.store(8 * word, 0));
    machine.maintain(0, BOTH);
    machine.maintain(0, INVALIDATE);
    // The line is used for more bytes, and the device writes the others once more.
    (0..8).for_each(|word| machine.store(8 * word, 5));
    machine.maintain(0, BOTH);
    (0..8).for_each(|word| machine.device(8 * word, 0));
    machine.wait();
    machine.maintain(0, INVALIDATE);
    machine.load(READ, 0);
    machine.expect(&[]);
    // The device writes the same after a doorbell of which its buffers are not known.
    let mut machine = Machine::new();
    machine.device(8, 7);
    machine.store(0, 1);
    machine.maintain(0, BOTH);
    machine.model.doorbell(0);
    machine.device(8, 7);
    machine.wait();
    machine.maintain(0, INVALIDATE);
    machine.load(READ, 8);
    machine.expect(&[]);
}
