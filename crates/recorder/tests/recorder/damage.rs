//! Arbitrary bytes, and damaged files.

use super::claims::{
    BASE, Deed, Held, Lived, SIZE, anything_goes_on, anything_is_read_to_an_end,
    damage_costs_what_it_touches, live,
};
use super::plain::{Shown, options, shown};
use cachemaint::medium::{Bytes, Medium};
use cachemaint_recorder::{Reader, Recorder, Skipped, SkippedKind};
use cachemaint_test_support::plain::Plain;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use proptest::prelude::*;

/// Two shards of three sub-buffers.
const LEN: usize = BASE + 2 * 3 * SIZE;

/// Returns a recording with payloads of these lengths, alternating between both shards.
fn recording(lengths: &[usize]) -> Vec<u8> {
    let turns = lengths.iter().zip([0, 1].into_iter().cycle());
    let deeds = turns.map(|(len, shard)| Deed::Record { shard, len: *len as u16 });
    lived(&Held::Zeros, &deeds.collect::<Vec<_>>()).0
}

fn lived(held: &Held, deeds: &[Deed]) -> (Vec<u8>, Lived) {
    let medium = Plain::zeros(LEN);
    let lived = live(&medium, held, deeds);
    lived.is_shown(&medium.bytes());
    (medium.bytes(), lived)
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        8 => (0..2_u8, 0..100_u16).prop_map(|(shard, len)| Deed::Record { shard, len }),
        1 => Just(Deed::Reopen),
    ];
    proptest::collection::vec(deed, 0..40)
}

fn held() -> impl Strategy<Value = Held> {
    prop_oneof![
        Just(Held::Zeros),
        any::<u64>().prop_map(Held::Junk),
        deeds().prop_map(Held::Recording)
    ]
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
        held in held(),
        deeds in deeds(),
    ) {
        let (mut image, lived) = lived(&held, &deeds);
        let end = (start + bytes.len()).min(LEN);
        image[start..end].copy_from_slice(&bytes[..end - start]);
        let shown = anything_is_read_to_an_end(Bytes(&image));
        prop_assert!(shown.iter().flatten().all(|event| lived.was_recorded(event)));
        let medium = Plain::zeros(LEN);
        medium.write(0, &image);
        anything_goes_on(&medium, options());
    }

    #[test]
    #[cfg_attr(miri, ignore = "many cases, each of which is searched byte by byte")]
    fn every_undamaged_event_is_found_after_damage(
        held in held(),
        deeds in deeds(),
        start in prop_oneof![4 => BASE..LEN, 1 => 0..BASE],
        len in 1..300_usize,
        mask in 1..=255_u8,
    ) {
        let (image, lived) = lived(&held, &deeds);
        let mut damaged = image.clone();
        damaged[start..(start + len).min(LEN)].iter_mut().for_each(|byte| *byte ^= mask);
        damage_costs_what_it_touches(&image, &damaged, &lived);
    }
}

/// Shard 0 has four events, at 64, 96, 128 and 160; or two of 96 bytes in sub-buffer 0, and one in the next.
#[test]
fn damage_between_events_and_at_the_end_of_a_finished_sub_buffer_is_reported() {
    for (lengths, hit, ids, gap) in [
        (&[8; 7][..], &[120, 128][..], &[0, 6][..], (96, 64)),
        (&[72; 5], &[160], &[0, 4], (160, 96)),
    ] {
        let mut image = recording(lengths);
        for at in hit {
            image[BASE + at] ^= 1;
        }
        let shown = shown(&Reader::open(Bytes(&image[..])).unwrap(), 0);
        assert_eq!(shown.events.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
        let [skipped] = shown.skipped[..] else { panic!("{:?}", shown.skipped) };
        assert_eq!((skipped.at - BASE as u64, skipped.len), gap);
        assert_eq!((skipped.kind, skipped.sequence), (SkippedKind::Damaged, Some(0)));
    }
}

/// A crash cut off the last event before the next opening, which cannot know that it is lost. The free end of the
/// newest sub-buffer is not a gap either.
#[test]
fn a_torn_end_is_not_damage() {
    let medium = of_one_opening(0..2);
    medium.write((BASE + 160) as u64, &[7; 8]);
    let times = |expected: &[u64]| {
        let shown = shown(&Reader::open(&medium).unwrap(), 0);
        let times: Vec<_> = shown.events.iter().map(|event| event.timestamp).collect();
        assert_eq!((&*times, shown.skipped), (expected, vec![]));
    };
    times(&[0]);
    options().open(&medium).unwrap().0.claim().unwrap().record_at(2, 1, b"").unwrap();
    times(&[0, 2]);
}

/// The sub-buffer, the position, the length and the kind of a gap.
type Gap = (Option<u64>, u64, u64, SkippedKind);

/// Returns the times of the events, and the gaps.
fn found(medium: &Plain) -> (Vec<u64>, Vec<Gap>) {
    let Shown { events, skipped } = shown(&Reader::open(medium).unwrap(), 0);
    let gap = |skipped: &Skipped| (skipped.sequence, skipped.at, skipped.len, skipped.kind);
    (events.iter().map(|event| event.timestamp).collect(), skipped.iter().map(gap).collect())
}

/// Eight sub-buffers with two events each, of two laps: 5 to 12.
#[test]
fn sub_buffers_that_lose_their_headers_are_lost_and_reported() {
    let slot = |number: usize| (BASE + number * SIZE) as u64;
    let size = SIZE as u64;
    let damaged = |sequence, at, len| (Some(sequence), at, len, SkippedKind::Damaged);
    for (hit, missed) in [
        (&[6_u64][..], &[damaged(6, slot(6), size)][..]),
        // Adjacent ones, and across the end of the shard.
        (&[9, 10], &[damaged(9, slot(1), 2 * size)]),
        (&[7, 8], &[damaged(7, slot(7), size), damaged(8, slot(0), size)]),
        (&[6, 9], &[damaged(6, slot(6), size), damaged(9, slot(1), size)]),
        // The oldest one: a writer may have begun the next one there.
        (&[5], &[(Some(5), slot(5), size, SkippedKind::Torn)]),
    ] {
        let medium = of_one_opening(0..26);
        for sequence in hit {
            medium.store(slot((sequence % 8) as usize) + 16, 7 << 32, Relaxed);
        }
        let is_left = |time: &u64| !hit.contains(&(time / 2));
        let times: Vec<_> = (10..26).filter(is_left).collect();
        assert_eq!(found(&medium), (times, missed.to_vec()), "{hit:?}");
    }
}

/// In the first lap, only the last header is torn, or several of the last ones, or all.
#[test]
fn the_last_sub_buffers_of_the_first_lap_are_reported_without_their_headers() {
    let slot = |number: u64| BASE as u64 + number * SIZE as u64;
    for (sub_buffers, first, kind) in [
        (1, 0, SkippedKind::Torn),
        (3, 0, SkippedKind::Damaged),
        (3, 1, SkippedKind::Damaged),
        (3, 2, SkippedKind::Torn),
        (8, 7, SkippedKind::Torn),
    ] {
        let medium = of_one_opening(0..2 * sub_buffers);
        (first..sub_buffers).for_each(|number| medium.store(slot(number) + 16, 7 << 32, Relaxed));
        let gap = (None, slot(first), slot(sub_buffers) - slot(first), kind);
        assert_eq!(found(&medium), ((0..2 * first).collect(), vec![gap]));
    }
}

/// The slot of a sub-buffer still has that of the previous lap, as after a crash that loses all stores to it.
#[test]
fn a_lost_sub_buffer_is_missed_if_its_slot_has_that_of_the_lap_before() {
    let [first_lap, second_lap] = [0..16, 0..32].map(|times| of_one_opening(times).bytes());
    for (slot, times, missed) in [
        (1, [16..18, 20..32], Some(SkippedKind::Damaged)),
        (0, [0..0, 18..32], Some(SkippedKind::Torn)),
        // The newest events are lost, but none between others.
        (7, [14..30, 0..0], None),
    ] {
        let mut image = second_lap.clone();
        let of_slot = BASE + slot * SIZE..BASE + (slot + 1) * SIZE;
        image[of_slot.clone()].copy_from_slice(&first_lap[of_slot.clone()]);
        let medium = Plain::zeros(image.len());
        medium.write(0, &image);
        let gap = |kind| (Some(8 + slot as u64), of_slot.start as u64, SIZE as u64, kind);
        let times: Vec<_> = times.into_iter().flatten().collect();
        assert_eq!(found(&medium), (times, missed.map(gap).into_iter().collect()), "slot {slot}");
    }
}

/// A crash loses the first word of a header, and the next crash loses all but the first word of the header that was
/// stored over it. Together they are the older header, whose lost event would be back after a newer one.
#[test]
fn a_header_that_two_crashes_have_put_together_does_not_follow_a_newer_opening() {
    let medium = Plain::zeros(BASE + 8 * SIZE);
    let record = |recorder: &Recorder<'_, &Plain>, id: u16| {
        recorder.claim().unwrap().record_at(id.into(), id, b"").unwrap();
    };
    record(&options().create_new(&medium).unwrap().0, 1);
    record(&options().open(&medium).unwrap().0, 2);
    let first_word = medium.load((BASE + SIZE) as u64, Relaxed);
    medium.write(BASE as u64, &[0; SIZE]);
    medium.store((BASE + SIZE) as u64, 0, Relaxed);
    record(&options().open(&medium).unwrap().0, 3);
    medium.store((BASE + SIZE) as u64, first_word, Relaxed);

    let ids = || -> Vec<_> {
        let shown = shown(&Reader::open(&medium).unwrap(), 0);
        assert_eq!(shown.skipped, []);
        shown.events.iter().map(|event| (event.id, event.sequence)).collect()
    };
    assert_eq!(ids(), [(3, 0)]);
    record(&options().open(&medium).unwrap().0, 4);
    assert_eq!(ids(), [(3, 0), (4, 1)]);
}

/// Returns a shard of eight sub-buffers, with events of 96 bytes at these times.
fn of_one_opening(times: Range<u64>) -> Plain {
    let medium = Plain::zeros(BASE + 8 * SIZE);
    let recorder = options().create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    times.for_each(|time| writer.record_at(time, 1, &[7; 72]).unwrap());
    drop(writer);
    drop(recorder);
    medium
}
