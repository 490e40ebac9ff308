//! Arbitrary bytes, and damaged files.

use super::claims::{
    BASE, Deed, HEADER, Lived, SIZE, all, anything_goes_on, anything_is_read_to_an_end,
    damage_costs_what_it_touches, live,
};
use super::plain::{Plain, options, shown};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint::recorder::{Identity, Mode, Options, Reader, Recorder, SkippedKind};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use proptest::prelude::*;

/// Two shards of three sub-buffers.
const LEN: usize = BASE + 2 * 3 * SIZE;

/// A recording of these payload lengths, by turns in both shards.
fn recording(lengths: &[usize]) -> Vec<u8> {
    let turns = lengths.iter().zip([0, 1].into_iter().cycle());
    let deeds = turns.map(|(len, shard)| Deed::Record { shard, len: *len as u16 });
    lived(Mode::Overwrite, &deeds.collect::<Vec<_>>()).0
}

fn lived(mode: Mode, deeds: &[Deed]) -> (Vec<u8>, Lived) {
    let medium = Plain::new(LEN);
    let lived = live(&medium, mode, deeds);
    (medium.bytes(), lived)
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        8 => (0..2_u8, 0..100_u16).prop_map(|(shard, len)| Deed::Record { shard, len }),
        1 => (0..2_u8).prop_map(Deed::Release),
        1 => Just(Deed::Reopen),
    ];
    proptest::collection::vec(deed, 0..40)
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Overwrite), Just(Mode::Refuse)]
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
        mode in modes(),
        deeds in deeds(),
    ) {
        let (mut image, lived) = lived(mode, &deeds);
        let end = (start + bytes.len()).min(LEN);
        image[start..end].copy_from_slice(&bytes[..end - start]);
        let shown = anything_is_read_to_an_end(Bytes(&image));
        prop_assert!(shown.iter().flatten().all(|event| lived.was_recorded(event)));
        let medium = Plain::new(LEN);
        medium.write(0, &image);
        anything_goes_on(&medium, options());
    }

    #[test]
    #[cfg_attr(miri, ignore = "many cases, each of which is searched byte by byte")]
    fn every_undamaged_event_is_found_after_damage(
        mode in modes(),
        deeds in deeds(),
        start in prop_oneof![4 => BASE..LEN, 1 => 0..BASE],
        len in 1..300_usize,
        mask in 1..=255_u8,
    ) {
        let (image, lived) = lived(mode, &deeds);
        let mut damaged = image.clone();
        damaged[start..(start + len).min(LEN)].iter_mut().for_each(|byte| *byte ^= mask);
        damage_costs_what_it_touches(&image, &damaged, &lived);
    }
}

#[test]
fn damage_between_events_is_reported_with_its_place() {
    let mut image = recording(&[8; 7]);
    // Four events in shard 0: at 64, 96, 128 and 160. The second and the third are hit.
    image[BASE + 120] ^= 1;
    image[BASE + 128] ^= 1;
    let reader = Reader::open(Bytes(&image[..])).unwrap();
    let shown = shown(&reader, 0);
    let ids: Vec<_> = shown.events.iter().map(|event| event.id).collect();
    assert_eq!(ids, [0, 6]);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.len), (BASE as u64 + 96, 64));
    assert_eq!((skipped.kind, skipped.sequence), (SkippedKind::Damaged, Some(0)));
}

#[test]
fn the_end_of_a_finished_sub_buffer_is_missed() {
    // Events of 96 bytes in shard 0: two in sub-buffer 0, one in the next.
    let mut image = recording(&[72; 5]);
    image[BASE + 160] ^= 1;
    let shown = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.len), (BASE as u64 + 160, 96));
    assert_eq!(skipped.kind, SkippedKind::Damaged);
}

/// The next opening has begun a sub-buffer behind it, whose header has the end that the opening has found.
#[test]
fn the_end_of_an_earlier_opening_is_missed() {
    let record = || Deed::Record { shard: 0, len: 8 };
    let deeds = [record(), record(), record(), Deed::Reopen, record()];
    let (image, _) = lived(Mode::Overwrite, &deeds);
    assert_eq!(all(&image)[0].skipped, []);
    // Events of 32 bytes.
    for (first_hit, lost) in [(64, 96), (96, 64), (128, 32)] {
        let mut damaged = image.clone();
        (first_hit..160).step_by(32).for_each(|record| damaged[BASE + record + 24] ^= 1);
        let [shown, _] = all(&damaged);
        assert_eq!(shown.events.last().unwrap().id, 3);
        let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
        assert_eq!((skipped.at, skipped.len), ((BASE + first_hit) as u64, lost));
        assert_eq!((skipped.kind, skipped.sequence), (SkippedKind::Damaged, Some(0)));
    }
}

/// A crash has cut off the last event before the next opening, which cannot take it for lost.
#[test]
fn a_torn_end_of_an_earlier_opening_is_not_damage() {
    let medium = of_one_opening(0..2);
    medium.write((BASE + 160) as u64, &[7; 8]);
    options().open(&medium).unwrap().claim().unwrap().record_at(2, 1, b"").unwrap();
    let shown = shown(&Reader::open(&medium).unwrap(), 0);
    let times: Vec<_> = shown.events.iter().map(|event| event.timestamp).collect();
    assert_eq!(times, [0, 2]);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.len), ((BASE + 160) as u64, 96));
    assert_eq!(skipped.kind, SkippedKind::Torn);
}

#[test]
fn stale_records_are_distinguished_from_a_torn_end() {
    // Shard 0 has eight events, the last two of them one each in sub-buffers 3 (slot 0) and before it.
    let image = recording(&[72; 13]);
    let stale = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0).skipped;
    let kinds: Vec<_> = stale.iter().map(|skipped| (skipped.at, skipped.kind)).collect();
    assert_eq!(kinds, [(BASE as u64 + 160, SkippedKind::Stale)]);

    // The first lap's last event is damaged: the end of the events is unknown.
    let mut image = recording(&[72; 3]);
    image[BASE + 161] ^= 1;
    let torn = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
    assert_eq!(torn.events.len(), 1);
    let kinds: Vec<_> = torn.skipped.iter().map(|skipped| (skipped.at, skipped.kind)).collect();
    assert_eq!(kinds, [(BASE as u64 + 160, SkippedKind::Torn)]);
}

#[test]
fn a_header_is_inferred_from_its_neighbours() {
    // Sub-buffers 0, 1 and 2 of shard 0 with two events each.
    let lengths = [72; 12];
    let events = |image: &[u8]| all(image).map(|shown| shown.events);
    let written = events(&recording(&lengths));
    for slot in 0..3 {
        let mut image = recording(&lengths);
        image[BASE + slot * 256..][..64].fill(0xee);
        assert_eq!(events(&image), written, "slot {slot}");
    }
    let mut image = recording(&lengths);
    (0..3).for_each(|slot| image[BASE + slot * 256] = 0xee);
    let nothing = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
    assert_eq!((nothing.events.len(), nothing.skipped.len()), (0, 3));
}

/// A hole of the file, or memory that was cleared.
#[test]
fn a_used_sub_buffer_that_reads_as_zeros_is_damaged() {
    // Sub-buffers 0 and 1 of shard 0 with two events each; 2 is not used yet.
    let lengths = [72; 8];
    let events = |image: &[u8]| shown(&Reader::open(Bytes(image)).unwrap(), 0);
    assert_eq!(events(&recording(&lengths)).skipped, []);
    let mut image = recording(&lengths);
    image[BASE..][..SIZE].fill(0);
    let shown = events(&image);
    assert_eq!(shown.events.len(), 2);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.len), (BASE as u64, SIZE as u64));
    assert_eq!(skipped.kind, SkippedKind::Damaged);
}

/// The slot of a sub-buffer still has that of the lap before, as a crash leaves it that loses all stores to it.
#[test]
fn a_lost_sub_buffer_is_missed_if_its_slot_has_that_of_the_lap_before() {
    // Three sub-buffers of two events. The second lap writes over the first one.
    let medium = Plain::new(BASE + 3 * SIZE);
    let recorder = options().create_new(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    let record = |times: Range<u64>| {
        times.for_each(|time| writer.record_at(time, 1, &[7; 72]).unwrap());
        medium.bytes()
    };
    let first_lap = record(0..6);
    let second_lap = record(6..12);
    let with_old = |slot: usize| {
        let mut image = second_lap.clone();
        let of_slot = BASE + slot * SIZE..BASE + (slot + 1) * SIZE;
        image[of_slot.clone()].copy_from_slice(&first_lap[of_slot]);
        let shown = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
        let times: Vec<_> = shown.events.iter().map(|event| event.timestamp).collect();
        let skipped =
            shown.skipped.into_iter().filter(|skipped| skipped.kind != SkippedKind::Stale);
        (times, skipped.map(|skipped| (skipped.at, skipped.len, skipped.kind)).collect::<Vec<_>>())
    };
    for (slot, times) in [(0, [0, 1, 8, 9, 10, 11]), (1, [2, 3, 6, 7, 10, 11])] {
        let missed = ((BASE + slot * SIZE) as u64, SIZE as u64, SkippedKind::Damaged);
        assert_eq!(with_old(slot), (times.to_vec(), vec![missed]), "slot {slot}");
    }
    // The newest events are lost, and none in the middle.
    assert_eq!(with_old(2), (vec![4, 5, 6, 7, 8, 9], vec![]));
}

/// Returns the image of a shard of so many sub-buffers, of two events each, after each lap.
fn after_each_lap(slots: u64, laps: u64) -> Vec<Vec<u8>> {
    let medium = Plain::new(BASE + slots as usize * SIZE);
    let recorder = options().create_new(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    let lap = |lap: u64| {
        let times = 2 * slots * lap..2 * slots * (lap + 1);
        times.for_each(|time| writer.record_at(time, 1, &[7; 72]).unwrap());
        medium.bytes()
    };
    (0..laps).map(lap).collect()
}

/// Returns the times of the events of an image in which each slot has the sub-buffer of a lap, and the sub-buffers that are
/// reported as damaged.
fn with_laps(images: &[Vec<u8>], laps: &[usize]) -> (Vec<u64>, Vec<u64>) {
    let mut image = images[0].clone();
    for (slot, lap) in laps.iter().enumerate() {
        let of_slot = BASE + slot * SIZE..BASE + (slot + 1) * SIZE;
        image[of_slot.clone()].copy_from_slice(&images[*lap][of_slot]);
    }
    let shown = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
    let damaged = shown.skipped.iter().filter(|skipped| skipped.kind == SkippedKind::Damaged);
    let slots = damaged.map(|skipped| (skipped.at - BASE as u64) / SIZE as u64).collect();
    (shown.events.iter().map(|event| event.timestamp).collect(), slots)
}

/// As a crash leaves them that loses all stores of the last laps to some slots.
#[test]
fn sub_buffers_of_different_laps_are_read_in_the_order_of_recording() {
    let images = after_each_lap(3, 3);
    for (laps, times) in [
        ([1, 0, 2], [2, 3, 6, 7, 16, 17]),
        ([0, 1, 2], [0, 1, 8, 9, 16, 17]),
        ([2, 0, 1], [2, 3, 10, 11, 12, 13]),
    ] {
        assert_eq!(with_laps(&images, &laps).0, times, "{laps:?}");
    }
}

/// Each slot has a lap of its own. A reader keeps eight laps before the last one apart.
#[test]
fn sub_buffers_of_too_many_laps_are_reported_as_damaged() {
    let laps: Vec<_> = (0..12).rev().collect();
    let (times, damaged) = with_laps(&after_each_lap(12, 12), &laps);
    // Slot 0 has sub-buffer 132, the newest one; slot 1 has 121, which begins the last lap; slot 2 has 110, and so on.
    let sequences = (0..10).map(|slot| 12 * (11 - slot) + slot).rev();
    assert_eq!(times, sequences.flat_map(|one| [2 * one, 2 * one + 1]).collect::<Vec<_>>());
    assert_eq!(damaged, (2..12).collect::<Vec<_>>());
}

/// Another file's records are in the medium.
#[test]
fn another_recording_in_the_same_medium_is_not_read() {
    let medium = Plain::new(LEN);
    let old = options().create_new(&medium).unwrap();
    let writer = old.claim().unwrap();
    (0..9).for_each(|number| writer.record_at(number, 1, &[1; 72]).unwrap());
    // Erased, as far as it can be refused.
    for at in [0, 4096] {
        medium.write(at, &[0; 8]);
    }
    let new = Options::with_clock(Identity([2; 16]), super::plain::clock());
    let new = new.sub_buffer_size(256).create_new(&medium).unwrap();
    new.claim().unwrap().record_at(1, 2, b"").unwrap();
    let shown = shown(&new.reader(), 0);
    assert_eq!(shown.events.iter().map(|event| event.id).collect::<Vec<_>>(), [2]);
}

/// Sub-buffer 1 is lost, and the header of sub-buffer 2. The writer had not begun another one.
#[test]
fn a_gap_after_the_newest_header_is_reported_with_its_place() {
    let medium = Plain::new(BASE + 8 * SIZE);
    let recorder = options().create_new(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    (0..6).for_each(|time| writer.record_at(time, 1, &[7; 72]).unwrap());
    medium.write((BASE + SIZE) as u64, &[0; SIZE + HEADER]);
    let shown = shown(&recorder.reader(), 0);
    let times: Vec<_> = shown.events.iter().map(|event| event.timestamp).collect();
    assert_eq!(times, [0, 1, 4, 5]);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.len), ((BASE + SIZE) as u64, SIZE as u64));
    assert_eq!((skipped.kind, skipped.sequence), (SkippedKind::Damaged, Some(1)));
}

/// Sub-buffers 7 and 8 of eight a lap are lost, and the header of sub-buffer 9.
#[test]
fn a_gap_over_the_end_of_a_shard_is_reported_in_two_pieces() {
    let medium = Plain::new(BASE + 8 * SIZE);
    let recorder = options().create_new(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    (0..20).for_each(|time| writer.record_at(time, 1, &[7; 72]).unwrap());
    let [last, first] = [7, 0].map(|slot| (BASE + slot * SIZE) as u64);
    medium.write(last, &[0; SIZE]);
    medium.write(first, &[0; SIZE + HEADER]);
    let shown = shown(&recorder.reader(), 0);
    let times: Vec<_> = shown.events.iter().map(|event| event.timestamp).collect();
    assert_eq!(times, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 18, 19]);
    // Those after the newest header.
    let missed = shown.skipped.iter().filter(|skipped| skipped.sequence > Some(6));
    let places = missed.map(|skipped| (skipped.sequence, skipped.at, skipped.len));
    let pieces = [(Some(7), last, SIZE as u64), (Some(8), first, SIZE as u64)];
    assert_eq!(places.collect::<Vec<_>>(), pieces);
}

/// Of both newest sub-buffers the headers are lost, or the older one is lost as a whole.
#[test]
fn an_opening_goes_on_after_each_sub_buffer_that_a_reader_finds() {
    for (mode, lost, events) in [
        (Mode::Overwrite, HEADER, 6),
        (Mode::Refuse, HEADER, 6),
        (Mode::Overwrite, SIZE, 4),
        (Mode::Refuse, SIZE, 4),
    ] {
        let medium = Plain::new(BASE + 8 * SIZE);
        let recorder = options().mode(mode).create_new(&medium).unwrap();
        let writer = recorder.claim().unwrap();
        (0..6).for_each(|time| writer.record_at(time, 1, &[7; 72]).unwrap());
        drop(writer);
        drop(recorder);
        for (slot, lost) in [(1, lost), (2, HEADER)] {
            medium.write((BASE + slot * SIZE) as u64, &vec![0; lost]);
        }
        let before = shown(&Reader::open(&medium).unwrap(), 0);
        assert_eq!(before.events.len(), events);

        let used = || medium.bytes()[BASE..BASE + 3 * SIZE].to_vec();
        let bytes = used();
        let recorder = options().open(&medium).unwrap();
        assert_eq!(shown(&recorder.reader(), 0), before);
        recorder.claim().unwrap().record_at(6, 2, b"").unwrap();
        assert!(used() == bytes, "{mode:?}, {lost}");
        let mut after = shown(&recorder.reader(), 0).events;
        let last = after.pop().unwrap();
        assert_eq!((last.id, last.sequence), (2, 3));
        // The newest header is of another opening now.
        assert_eq!(after, before.events, "{mode:?}, {lost}");
    }
}

/// A crash has lost a header but for its other words, and the next one the header that was stored over it but for its first
/// words. So both together are the older one, whose event was lost and comes back after a newer one.
#[test]
fn a_header_that_two_crashes_have_put_together_does_not_follow_a_newer_opening() {
    let medium = Plain::new(BASE + 8 * SIZE);
    let record = |recorder: &Recorder<&Plain>, id: u16| {
        recorder.claim().unwrap().record_at(id.into(), id, b"").unwrap();
    };
    record(&options().create_new(&medium).unwrap(), 1);
    record(&options().open(&medium).unwrap(), 2);
    let first_word = medium.load((BASE + SIZE) as u64, Relaxed);
    medium.write(BASE as u64, &[0; SIZE]);
    medium.store((BASE + SIZE) as u64, 0, Relaxed);
    record(&options().open(&medium).unwrap(), 3);
    medium.store((BASE + SIZE) as u64, first_word, Relaxed);

    let ids = || -> Vec<_> {
        let shown = shown(&Reader::open(&medium).unwrap(), 0);
        assert!(shown.skipped.iter().all(|skipped| skipped.kind != SkippedKind::Damaged));
        shown.events.iter().map(|event| (event.id, event.sequence)).collect()
    };
    assert_eq!(ids(), [(3, 0)]);
    record(&options().open(&medium).unwrap(), 4);
    assert_eq!(ids(), [(3, 0), (4, 1)]);
}

/// The same, with newer sub-buffers of the newer opening behind it.
#[test]
fn a_header_of_an_earlier_opening_is_not_read_between_newer_ones() {
    let medium = Plain::new(BASE + 8 * SIZE);
    let third = || (BASE + 2 * SIZE) as u64;
    let record_each = |recorder: &Recorder<&Plain>, ids: Range<u16>| {
        let writer = recorder.claim().unwrap();
        // Each takes a sub-buffer.
        ids.for_each(|id| writer.record_at(id.into(), id, &[7; SIZE / 2]).unwrap());
    };
    record_each(&options().create_new(&medium).unwrap(), 0..1);
    record_each(&options().open(&medium).unwrap(), 1..3);
    let mut older = [0; SIZE];
    let Ok(()) = medium.read(third(), &mut older);
    medium.write(BASE as u64, &[0; 3 * SIZE]);
    record_each(&options().open(&medium).unwrap(), 3..4);
    record_each(&options().open(&medium).unwrap(), 4..7);
    medium.write(third(), &older);

    let shown = shown(&Reader::open(&medium).unwrap(), 0);
    let ids: Vec<_> = shown.events.iter().map(|event| (event.id, event.sequence)).collect();
    assert_eq!(ids, [(3, 0), (4, 1), (6, 3)]);
    let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
    assert_eq!((skipped.at, skipped.kind), (third(), SkippedKind::Damaged));
}

/// A shard of eight sub-buffers, with events of 96 bytes at these times.
fn of_one_opening(times: Range<u64>) -> Plain {
    let medium = Plain::new(BASE + 8 * SIZE);
    let recorder = options().create_new(&medium).unwrap();
    let writer = recorder.claim().unwrap();
    times.for_each(|time| writer.record_at(time, 1, &[7; 72]).unwrap());
    drop(writer);
    drop(recorder);
    medium
}

/// No event is lost, unless records are behind it.
#[test]
fn a_header_that_is_being_written_is_torn() {
    let next = (BASE + SIZE) as u64;
    let header = *b"CMsb\0\0\0\0\x01\0\0\0\0\0\x01\0";
    for (record, kind) in [([0; 8], SkippedKind::Torn), ([7; 8], SkippedKind::Damaged)] {
        let medium = of_one_opening(0..2);
        medium.write(next, &header);
        medium.write(next + 128, &record);
        let shown = shown(&Reader::open(&medium).unwrap(), 0);
        assert_eq!(shown.events.len(), 2);
        let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
        assert_eq!((skipped.at, skipped.len, skipped.kind), (next, SIZE as u64, kind));
    }
}
