//! Bytes that are anything, and files that were damaged.

use super::plain::{Plain, Recorded, options, shown};
use cachemaint::medium::Bytes;
use cachemaint::recorder::{Reader, SkippedKind};
use proptest::prelude::*;

/// Two shards of three sub-buffers of 256 bytes.
const LEN: usize = 3 * 4096 + 2 * 3 * 256;
const BASE: usize = 3 * 4096;

/// A recording of these payload lengths, by turns in both shards.
fn recording(lengths: &[usize]) -> Vec<u8> {
    let medium = Plain::new(LEN);
    let recorder = options().shards(2).create(&medium).unwrap();
    let writers = [recorder.claim().unwrap(), recorder.claim().unwrap()];
    for (number, len) in lengths.iter().enumerate() {
        let payload = payload(number, *len);
        writers[number % 2].record_at(number as u64, number as u16, &payload).unwrap();
    }
    medium.bytes()
}

fn payload(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|place| (number * 31 + place) as u8 | 1).collect()
}

/// Whether an event was recorded. It can be one that the undamaged file shows no more: where the end of a
/// shard is lost, what it had overwritten may be all that proves itself.
fn was_recorded(event: &Recorded, lengths: &[usize]) -> bool {
    let number = usize::from(event.id);
    let is_whole = |len: &usize| event.payload == payload(number, *len);
    event.timestamp == number as u64 && lengths.get(number).is_some_and(is_whole)
}

fn all(bytes: &[u8]) -> [Vec<Recorded>; 2] {
    let reader = Reader::open(Bytes(bytes)).unwrap();
    [0, 1].map(|shard| shown(&reader, shard).events)
}

/// Whether the header of an event's sub-buffer has one of these bytes.
fn is_header_hit(event: &Recorded, damaged: &std::ops::Range<usize>) -> bool {
    let at = event.at as usize / 256 * 256;
    damaged.end > at && damaged.start < at + 64
}

/// Whether a record has none of these bytes.
fn is_undamaged(record: &Recorded, damaged: &std::ops::Range<usize>) -> bool {
    let at = record.at as usize;
    let end = at + 16 + record.payload.len().next_multiple_of(8);
    damaged.end <= at || damaged.start >= end
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    #[cfg_attr(miri, ignore = "many cases, each of which is searched byte by byte")]
    fn arbitrary_bytes_are_read_to_an_end(
        start in 0..LEN,
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        lengths in proptest::collection::vec(0..100_usize, 0..40),
    ) {
        let mut image = recording(&lengths);
        let end = (start + bytes.len()).min(LEN);
        image[start..end].copy_from_slice(&bytes[..end - start]);
        if let Ok(reader) = Reader::open(Bytes(&image[..])) {
            for shard in 0..reader.description().shards() {
                let found = shown(&reader, shard).events;
                prop_assert!(found.iter().all(|event| was_recorded(event, &lengths)));
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "many cases, each of which is searched byte by byte")]
    fn every_undamaged_event_is_found_behind_damage(
        lengths in proptest::collection::vec(0..100_usize, 1..40),
        start in BASE..LEN,
        len in 1..300_usize,
        mask in 1..=255_u8,
    ) {
        let mut image = recording(&lengths);
        let written = all(&image);
        let damaged = start..(start + len).min(LEN);
        image[damaged.clone()].iter_mut().for_each(|byte| *byte ^= mask);
        let found = all(&image);
        for (written, found) in written.iter().zip(&found) {
            prop_assert!(found.iter().all(|event| was_recorded(event, &lengths)));
            // With all headers of a shard gone nothing proves itself.
            let is_any_left = written.iter().any(|event| !is_header_hit(event, &damaged));
            let undamaged = |event: &&Recorded| is_any_left && is_undamaged(event, &damaged);
            for event in written.iter().filter(undamaged) {
                prop_assert!(found.contains(event), "{event:?}");
            }
        }
    }
}

#[test]
fn damage_between_events_is_told_with_its_place() {
    let mut image = recording(&[8; 7]);
    // Four events in shard 0: at 64, 88, 112 and 136. The second and the third are hit.
    image[BASE + 100] ^= 1;
    image[BASE + 112] ^= 1;
    let reader = Reader::open(Bytes(&image[..])).unwrap();
    let shown = shown(&reader, 0);
    let ids: Vec<_> = shown.events.iter().map(|event| event.id).collect();
    assert_eq!(ids, [0, 6]);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.len), (BASE as u64 + 88, 48));
    assert_eq!((skipped.kind, skipped.sequence), (SkippedKind::Damaged, Some(0)));
}

#[test]
fn the_end_of_a_finished_sub_buffer_is_missed() {
    // Events of 96 bytes in shard 0: two in sub-buffer 0, one in the next.
    let mut image = recording(&[80; 5]);
    image[BASE + 160] ^= 1;
    let shown = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.len), (BASE as u64 + 160, 96));
    assert_eq!(skipped.kind, SkippedKind::Damaged);
}

#[test]
fn what_an_earlier_lap_has_left_is_told_apart_from_a_torn_end() {
    // Shard 0 has eight events, the last two of them one each in sub-buffers 3 (slot 0) and before it.
    let image = recording(&[80; 13]);
    let stale = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0).skipped;
    let kinds: Vec<_> = stale.iter().map(|skipped| (skipped.at, skipped.kind)).collect();
    assert_eq!(kinds, [(BASE as u64 + 160, SkippedKind::Stale)]);

    // The first lap's last event is damaged: nothing tells where events would have ended.
    let mut image = recording(&[80; 3]);
    image[BASE + 161] ^= 1;
    let torn = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
    assert_eq!(torn.events.len(), 1);
    let kinds: Vec<_> = torn.skipped.iter().map(|skipped| (skipped.at, skipped.kind)).collect();
    assert_eq!(kinds, [(BASE as u64 + 160, SkippedKind::Torn)]);
}

#[test]
fn a_header_is_inferred_from_its_neighbours() {
    // Sub-buffers 0, 1 and 2 of shard 0 with two events each.
    let lengths = [80; 12];
    let written = all(&recording(&lengths));
    for slot in 0..3 {
        let mut image = recording(&lengths);
        image[BASE + slot * 256..][..64].fill(0xee);
        assert_eq!(all(&image), written, "slot {slot}");
    }
    let mut image = recording(&lengths);
    (0..3).for_each(|slot| image[BASE + slot * 256] = 0xee);
    let nothing = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
    assert_eq!((nothing.events.len(), nothing.skipped.len()), (0, 3));
}

/// Another file's records are in the medium.
#[test]
fn another_recording_in_the_same_medium_is_not_read() {
    let medium = Plain::new(LEN);
    let old = options().create(&medium).unwrap();
    let writer = old.claim().unwrap();
    (0..9).for_each(|number| writer.record_at(number, 1, &[1; 80]).unwrap());
    let new = cachemaint::recorder::Options::new([2; 16], super::plain::clock());
    let new = new.sub_buffer_size(256).create(&medium).unwrap();
    new.claim().unwrap().record_at(1, 2, b"").unwrap();
    let shown = shown(&new.reader(), 0);
    assert_eq!(shown.events.iter().map(|event| event.id).collect::<Vec<_>>(), [2]);
}
