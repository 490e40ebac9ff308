//! Blocks that the medium has lost. Each costs the events in it, or all events of a header in it, and the gap is
//! reported.

use super::plain::{BASE, Recorded, SIZE, options, shown};
use cachemaint::medium::{Bytes, Granularity};
use cachemaint_recorder::{Reader, Recorder, Skipped, SkippedKind};
use cachemaint_test_support::bad_blocks::{BadBlocks, Mapped, PAGE};
use cachemaint_test_support::plain::Plain;
use core::ops::Range;

const SUB_BUFFERS: u64 = 4;
const EVENTS: &[(u16, &str)] = &[(1, "opened")];

/// Returns the bytes of a shard with two openings: `first` events in the first one, and five in the second one. A
/// sub-buffer has three events of 64 bytes, and the last one has free space after its event.
fn recording(first: u64) -> Vec<u8> {
    let medium = Plain::zeros(BASE + SUB_BUFFERS as usize * SIZE);
    let record = |recorder: Recorder<'_, &Plain>, times: Range<u64>| {
        let writer = recorder.claim().unwrap();
        times.for_each(|time| writer.record_at(time, 1, &[7; 40]).unwrap());
    };
    record(options().events(EVENTS).create_new(&medium).unwrap().0, 0..first);
    record(options().open(&medium).unwrap().0, first..first + 5);
    medium.bytes()
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Returns the bytes that an event needs: its own, and the header of its sub-buffer.
fn needs(event: &Recorded) -> [Range<u64>; 2] {
    let (base, size) = (BASE as u64, SIZE as u64);
    let header = base + (event.at - base) / size * size;
    [event.at..event.at + 64, header..header + 64]
}

#[test]
fn a_bad_block_costs_the_events_in_it_and_they_are_reported() {
    // In the first lap and in the second one.
    for first in [4, 11] {
        let bytes = recording(first);
        let all = shown(&Reader::open(BadBlocks::new(&bytes, [])).unwrap(), 0);
        assert_eq!(all.skipped, []);
        for at in (BASE as u64..bytes.len() as u64).step_by(8) {
            let bad = at..at + 8;
            let reader = Reader::open(BadBlocks::new(&bytes, [bad.clone()])).unwrap();
            let found = shown(&reader, 0);
            for event in &all.events {
                let is_hit = needs(event).iter().any(|needed| overlap(needed, &bad));
                assert_eq!(found.events.contains(event), !is_hit, "{event:?}, {bad:?} is bad");
                let is_gap = |gap: &Skipped| {
                    gap.kind == SkippedKind::Damaged
                        && (gap.at..gap.at + gap.len).contains(&event.at)
                };
                let is_reported = found.skipped.iter().any(is_gap);
                assert_eq!(is_reported, is_hit, "{event:?} of {found:?}, {bad:?} is bad");
            }
            assert!(found.events.iter().all(|event| all.events.contains(event)));
        }
    }
}

#[test]
fn bad_blocks_before_the_sub_buffers_cost_no_event() {
    let bytes = recording(11);
    let all = shown(&Reader::open(BadBlocks::new(&bytes, [])).unwrap(), 0);
    // Both copies of the other generation, one copy of each generation, and the texts.
    for (bad, is_root_damaged, has_names) in [
        (&[4096, 12288][..], false, true),
        (&[0, 4096], true, true),
        (&[8192, 12288], true, true),
        (&[16384], false, false),
    ] {
        let bad = bad.iter().map(|at| *at..at + 4096);
        let reader = Reader::open(BadBlocks::new(&bytes, bad)).unwrap();
        assert_eq!(reader.is_root_damaged(), is_root_damaged);
        assert_eq!(reader.event_table().unwrap().is_damaged(), !has_names);
        assert_eq!(shown(&reader, 0), all);
    }
}

#[test]
fn a_recorder_opens_beside_a_bad_page_of_a_mapping_and_continues() {
    let options = || options().events(EVENTS).sub_buffer_size(PAGE as u32);
    let medium = Plain::zeros(BASE + SUB_BUFFERS as usize * PAGE as usize);
    let (recorder, _) = options().create_new(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    (0..100).for_each(|time| writer.record_at(time, 1, &[7; 40]).unwrap());
    let bytes = medium.bytes();
    let expected: Vec<_> = (0..110).collect();
    for granularity in [Granularity::Line(64), Granularity::Page(4096)] {
        // Each slot of the root, the texts, and the first header of two.
        for bad in (0..=BASE as u64).step_by(PAGE as usize) {
            let medium = Mapped::new(bytes.clone(), granularity, &[bad]);
            let (recorder, _) = options().open(&medium).unwrap();
            let writer = recorder.claim().unwrap();
            (100..110).for_each(|time| writer.record_at(time, 1, &[7; 40]).unwrap());
            let bytes = medium.bytes();
            let found = shown(&Reader::open(Bytes(&bytes)).unwrap(), 0);
            assert!(found.events.iter().map(|event| event.timestamp).eq(expected.iter().copied()));
        }
    }
}
