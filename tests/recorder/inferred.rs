//! Events whose sub-buffer has lost its header, and whose opening may have no other header.

use super::plain::{Plain, SIZE, options};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint::recorder::{Clock, Found, Identity, Options, Reader, SkippedKind};
use core::ops::Range;

const BASE: u64 = 3 * 4096;
const HEADER: usize = 64;

/// Returns the place of a slot of the only shard.
const fn slot(slot: u64) -> u64 {
    BASE + slot * SIZE as u64
}

/// Opens a recording and records events with these ids, each of which takes a sub-buffer.
fn record_each(options: Options<'_>, medium: &Plain, ids: Range<u16>) {
    let recorder = options.open(medium).unwrap();
    let writer = recorder.claim().unwrap();
    ids.for_each(|id| writer.record_at(id.into(), id, &[7; SIZE / 2]).unwrap());
}

/// The id of an event, its opening, the sequence number and the wall clock.
type Event = (u16, u64, u64, Option<u64>);

/// Returns the events, and the places of damage.
fn found(medium: &Plain) -> (Vec<Event>, Vec<u64>) {
    let reader = Reader::open(medium).unwrap();
    let mut buffer = vec![0; reader.largest_payload()];
    let (mut events, mut found, mut damaged) = (reader.shard(0), Vec::new(), Vec::new());
    while let Some(next) = events.read_next(&mut buffer).unwrap() {
        match next {
            Found::Event(event) => {
                found.push((event.id, event.generation, event.sequence, event.wall));
            }
            Found::Skipped(skipped) if skipped.kind == SkippedKind::Damaged => {
                damaged.push(skipped.at);
            }
            _ => {}
        }
    }
    (found, damaged)
}

/// A shard of four sub-buffers. The first opening loses the header of sub-buffer 1. After `idle` openings without events
/// another one takes all other slots.
fn overwritten_around(idle: u64, options: impl Fn(u64) -> Options<'static>) -> Plain {
    let medium = Plain::new((slot(4)) as usize);
    drop(options(1).sub_buffers(4).create_new(&medium).unwrap());
    record_each(options(2), &medium, 0..2);
    medium.write(slot(1), &[0; HEADER]);
    let (events, damaged) = found(&medium);
    assert_eq!((events.len(), damaged.len()), (2, 0), "before the later opening");
    (0..idle).for_each(|idle| record_each(options(3 + idle), &medium, 0..0));
    record_each(options(3 + idle), &medium, 2..5);
    medium
}

/// No header has the opening of the event any more: it is one of the four before the newest one.
#[test]
fn a_lost_header_is_inferred_after_a_later_opening_has_overwritten_all_others() {
    for idle in 0..=3 {
        let medium = overwritten_around(idle, |_| options());
        let last = 3 + idle;
        let events =
            vec![(1, 2, 1, None), (2, last, 2, None), (3, last, 3, None), (4, last, 4, None)];
        assert_eq!(found(&medium), (events, vec![]), "{idle}");
    }
    let (events, damaged) = found(&overwritten_around(4, |_| options()));
    assert_eq!((events.len(), damaged), (3, vec![slot(1)]));
}

/// The next header to the right has the opening of the events. Too many openings came after it to try each.
#[test]
fn lost_headers_beside_one_another_are_inferred_by_the_next_one() {
    for idle in [0, 4, 9] {
        let medium = Plain::new(slot(8) as usize);
        drop(options().sub_buffers(8).create_new(&medium).unwrap());
        record_each(options(), &medium, 0..1);
        record_each(options(), &medium, 1..5);
        (0..idle).for_each(|_| record_each(options(), &medium, 0..0));
        record_each(options(), &medium, 5..6);
        for place in [1, 2, 3] {
            medium.write(slot(place), &[0; HEADER]);
        }
        let (events, damaged) = found(&medium);
        let openings: Vec<_> = events.iter().map(|(id, opening, ..)| (*id, *opening)).collect();
        assert_eq!(openings, [(0, 2), (1, 3), (2, 3), (3, 3), (4, 3), (5, 4 + idle)], "{idle}");
        assert_eq!(damaged, []);
    }
}

/// The descriptor of the opening has the pace of its clock. Without it the time of the events is not known.
#[test]
fn an_inferred_header_has_the_wall_clock_of_its_own_opening() {
    // A tick is a nanosecond, and timestamps are the ids.
    let options = |opening: u64| {
        let clock = Clock::from_function(|| 0, 1_000_000_000, opening * 1000);
        Options::with_clock(Identity([7; 16]), clock).sub_buffer_size(SIZE as u32)
    };
    for (idle, wall) in [(0, Some(2001)), (1, None)] {
        let (events, _) = found(&overwritten_around(idle, options));
        let walls: Vec<_> = events.iter().map(|(.., wall)| *wall).collect();
        let last = 1000 * (3 + idle);
        assert_eq!(walls, [wall, Some(last + 2), Some(last + 3), Some(last + 4)], "{idle}");
    }
}

/// An opening has recorded over the events of an earlier one that it did not find. A part of these is left behind its own,
/// and their opening is that of the left neighbour.
#[test]
fn records_of_the_newest_opening_in_a_slot_prove_its_header() {
    let medium = Plain::new(slot(4) as usize);
    drop(options().sub_buffers(4).create_new(&medium).unwrap());
    let record = |opening: &[(u16, usize)]| {
        let recorder = options().open(&medium).unwrap();
        let writer = recorder.claim().unwrap();
        for (id, len) in opening {
            writer.record_at(0, *id, &vec![7; *len]).unwrap();
        }
    };
    // The first of them takes sub-buffer 0, and the others take 96 bytes each of sub-buffer 1.
    record(&[(1, SIZE / 2), (2, 72), (3, 72)]);
    let third = slot(1) + 64 + 96;
    let mut left = [0; 96];
    let Ok(()) = medium.read(third, &mut left);
    medium.write(slot(1), &[0; SIZE]);
    record(&[(4, 72), (5, SIZE / 2)]);
    record(&[(6, 72)]);
    medium.write(third, &left);
    medium.write(slot(1), &[0; HEADER]);

    let (events, _) = found(&medium);
    let ids: Vec<_> =
        events.iter().map(|(id, opening, sequence, _)| (*id, *opening, *sequence)).collect();
    assert_eq!(ids, [(1, 2, 0), (4, 3, 1), (5, 3, 2), (6, 4, 3)]);
}

/// Returns the header in a slot.
fn header_of(medium: &Plain, place: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let Ok(()) = medium.read(slot(place), &mut header);
    header
}

/// A shard of four sub-buffers, after these events, and the header of sub-buffer 1 as the first lap left it.
fn two_laps(ids: Range<u16>) -> (Plain, [u8; HEADER]) {
    let medium = Plain::new(slot(4) as usize);
    drop(options().sub_buffers(4).create_new(&medium).unwrap());
    record_each(options(), &medium, 0..4);
    let old = header_of(&medium, 1);
    record_each(options(), &medium, ids);
    (medium, old)
}

#[test]
fn a_lost_header_is_inferred_beside_the_header_of_the_lap_before() {
    let (medium, old) = two_laps(4..8);
    for left in [old, [0; HEADER]] {
        medium.write(slot(1), &left);
        let (events, damaged) = found(&medium);
        assert_eq!(events, [4, 5, 6, 7].map(|id| (id, 3, id.into(), None)));
        assert_eq!(damaged, []);
    }
}

/// The older header promises events that have been overwritten.
#[test]
fn an_opening_goes_on_after_the_newest_sub_buffer_whose_header_is_an_older_one() {
    for (is_zero, damaged) in [(false, vec![slot(1) + HEADER as u64]), (true, vec![])] {
        let (medium, old) = two_laps(4..6);
        medium.write(slot(1), if is_zero { &[0; HEADER] } else { &old });
        let whole = [(2, 2, 2, None), (3, 2, 3, None), (4, 3, 4, None), (5, 3, 5, None)];
        assert_eq!(found(&medium), (whole.to_vec(), damaged), "{is_zero}");
        record_each(options(), &medium, 6..7);
        let [_, rest @ ..] = whole;
        let events = [&rest[..], &[(6, 4, 6, None)]].concat();
        assert_eq!(found(&medium), (events, vec![]), "{is_zero}");
    }
}

/// The crash has lost the headers of a whole lap. The newest sub-buffer is in the slot of the newest header.
#[test]
fn an_opening_goes_on_after_a_sub_buffer_in_the_slot_of_the_newest_header() {
    let ((before, _), (medium, _)) = (two_laps(4..5), two_laps(4..9));
    (0..4).for_each(|place| medium.write(slot(place), &header_of(&before, place)));
    record_each(options(), &medium, 9..10);
    let (events, _) = found(&medium);
    assert_eq!(events.last(), Some(&(9, 4, 9, None)));
}

/// The left neighbour has the header of the lap before as well, whose opening is an older one.
#[test]
fn lost_headers_beside_one_another_are_inferred_beside_older_headers() {
    let medium = Plain::new(slot(8) as usize);
    drop(options().sub_buffers(8).create_new(&medium).unwrap());
    record_each(options(), &medium, 0..8);
    let old = [1, 2].map(|place| (place, header_of(&medium, place)));
    record_each(options(), &medium, 8..11);
    (0..9).for_each(|_| record_each(options(), &medium, 0..0));
    record_each(options(), &medium, 11..13);
    for (place, header) in &old {
        medium.write(slot(*place), header);
    }
    let openings: Vec<_> =
        found(&medium).0.iter().map(|(id, opening, ..)| (*id, *opening)).skip(3).collect();
    assert_eq!(openings, [(8, 3), (9, 3), (10, 3), (11, 13), (12, 13)]);
}

/// The opening has a single sub-buffer, as in a loop of crashes. It is the next one after that of the newest header, or one of
/// the last two. Openings without events come before and after it.
#[test]
fn an_opening_that_has_lost_its_only_header_is_read_and_gone_on_after() {
    for ((before, after), is_zero) in
        [((0, 0), false), ((0, 0), true), ((0, 2), true), ((3, 0), true), ((3, 1), false)]
    {
        let (medium, old) = two_laps(4..5);
        (0..before).for_each(|_| record_each(options(), &medium, 0..0));
        record_each(options(), &medium, 5..6);
        medium.write(slot(1), if is_zero { &[0; HEADER] } else { &old });
        let last = |medium: &Plain| found(medium).0.last().copied();
        let event = (5, 4 + before, 5, None);
        assert_eq!(last(&medium), Some(event));
        (0..after).for_each(|_| record_each(options(), &medium, 0..0));
        assert_eq!(last(&medium), Some(event));
        record_each(options(), &medium, 6..7);
        assert_eq!(last(&medium), Some((6, 5 + before + after, 6, None)));
        let is_kept = found(&medium).0.contains(&event);
        assert!(is_kept, "{before} before, {after} after");
    }
}

/// Returns the bytes of a slot.
fn bytes_of(medium: &Plain, place: u64) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let Ok(()) = medium.read(slot(place), &mut bytes);
    bytes
}

/// The crash has lost the last lap of some slots, and the header of the lap before in the first one. A slot behind it has a
/// header of that lap. Headers of the last lap follow it, and one can be between them.
#[test]
fn a_header_of_the_lap_before_is_inferred_by_the_next_one_of_that_lap() {
    let openings_of = |lost: [u64; 2]| {
        let medium = Plain::new(slot(8) as usize);
        drop(options().sub_buffers(8).create_new(&medium).unwrap());
        for ids in [0..1, 1..4, 4..8] {
            record_each(options(), &medium, ids);
        }
        (0..9).for_each(|_| record_each(options(), &medium, 0..0));
        let old = lost.map(|place| (place, bytes_of(&medium, place)));
        record_each(options(), &medium, 8..16);
        for (place, bytes) in &old {
            medium.write(slot(*place), bytes);
        }
        medium.write(slot(1), &[0; HEADER]);
        let (events, _) = found(&medium);
        events.iter().map(|(id, opening, ..)| (*id, *opening)).collect::<Vec<_>>()
    };
    let last = |ids: [u16; 6]| ids.map(|id| (id, 14));
    let expected = [&[(1, 3), (2, 3)], &last([8, 11, 12, 13, 14, 15])[..]].concat();
    assert_eq!(openings_of([1, 2]), expected);
    let expected = [&[(1, 3), (3, 3)], &last([8, 10, 12, 13, 14, 15])[..]].concat();
    assert_eq!(openings_of([1, 3]), expected);
}

/// The three slots to the right of the lost header have the headers of the lap before, and its opening cannot be theirs.
#[test]
fn the_opening_of_an_older_header_to_the_right_takes_no_candidate_s_place() {
    let medium = Plain::new(slot(8) as usize);
    drop(options().sub_buffers(8).create_new(&medium).unwrap());
    record_each(options(), &medium, 0..8);
    let old = [2, 3, 4].map(|place| (place, header_of(&medium, place)));
    for ids in [8..9, 9..10, 0..0, 0..0, 10..14] {
        record_each(options(), &medium, ids);
    }
    medium.write(slot(1), &[0; HEADER]);
    for (place, header) in &old {
        medium.write(slot(*place), header);
    }
    let (events, _) = found(&medium);
    let openings: Vec<_> = events.iter().map(|(id, opening, ..)| (*id, *opening)).collect();
    let last = [10, 11, 12, 13].map(|id| (id, 7));
    assert_eq!(openings, [&[(6, 2), (7, 2), (8, 3), (9, 4)], &last[..]].concat());
}

/// Four headers in a row are lost. The first one has none beside it within three slots, so the pace of its opening is not
/// known. The others have the one behind them.
#[test]
fn lost_headers_take_the_wall_clock_of_the_header_behind_them() {
    let options = |opening: u64| {
        let clock = Clock::from_function(|| 0, 1_000_000_000, opening * 1000);
        Options::with_clock(Identity([7; 16]), clock).sub_buffer_size(SIZE as u32)
    };
    let medium = Plain::new(slot(8) as usize);
    drop(options(1).sub_buffers(8).create_new(&medium).unwrap());
    for (opening, ids) in [(2, 0..1), (3, 1..6), (4, 0..0), (5, 6..7)] {
        record_each(options(opening), &medium, ids);
    }
    (1..=4).for_each(|place| medium.write(slot(place), &[0; HEADER]));
    let walls: Vec<_> = found(&medium).0.iter().map(|(.., wall)| *wall).collect();
    let known = [3002, 3003, 3004, 3005, 5006].map(Some);
    assert_eq!(walls, [&[Some(2000), None], &known[..]].concat());
}
