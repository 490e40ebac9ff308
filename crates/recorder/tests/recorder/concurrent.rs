//! Reading in parallel with a writer, and changes of owners.

use super::hooked::{Access, Hooked};
use super::plain::{BASE, Recorded, Shown, options, shown};
use cachemaint::medium::{Medium as _, Readable};
use cachemaint_recorder::{
    Clock, Durability, ErrorKind, Found, Identity, Options, Reader, SkippedKind,
};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::plain::Plain;
use core::cell::RefCell;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU64};

pub(super) const LEN: usize = BASE + 2 * 4 * 256;

/// How often the whole recording is read while it is written, in a usual run.
const READINGS: u64 = 3000;

#[test]
#[cfg_attr(miri, ignore = "reads all again and again, which is slow where it is interpreted")]
fn a_reader_beside_a_writer_sees_only_what_was_recorded_in_order() {
    let medium = Plain::zeros(LEN);
    let recorder = options().shards(2).create_new(&medium).unwrap().0;
    let is_enough = AtomicBool::new(false);
    let record = || {
        let writer = recorder.claim().unwrap();
        for number in 0_u64.. {
            let payload = [number.to_le_bytes(); 5].concat();
            writer.record_at(number, number as u16, &payload).unwrap();
            if is_enough.load(Relaxed) {
                return number;
            }
        }
        unreachable!("the test ends before the numbers do");
    };
    std::thread::scope(|scope| {
        let written = scope.spawn(record);
        let readings = (0..cases(READINGS)).take_while(|_| !written.is_finished());
        let wrong = readings.map(|_| read_in_order(&recorder.reader())).find(Result::is_err);
        // The writer must be stopped in any case, or it would never end.
        is_enough.store(true, Relaxed);
        let last = written.join().unwrap();
        assert_eq!(wrong, None);
        assert_eq!(read_in_order(&recorder.reader()), Ok(Some(last)));
    });
}

/// Reads all events. Returns the number of the last one, or a description of the fault.
fn read_in_order(reader: &Reader<impl Readable>) -> Result<Option<u64>, String> {
    let Shown { events, skipped, .. } = shown(reader, 0);
    let is_whole = |event: &Recorded| {
        let number = event.timestamp;
        event.payload == [number.to_le_bytes(); 5].concat() && event.id == number as u16
    };
    let is_sorted = events.is_sorted_by_key(|event| event.timestamp);
    // Overwritten events are not reported as damaged.
    let is_undamaged = skipped.iter().all(|skipped| skipped.kind != SkippedKind::Damaged);
    if events.iter().all(is_whole) && is_sorted && is_undamaged {
        Ok(events.last().map(|event| event.timestamp))
    } else {
        Err(format!("{events:?} {skipped:?}"))
    }
}

#[test]
fn a_shard_goes_on_where_its_owner_has_stopped() {
    let medium = Plain::zeros(LEN);
    let recorder = options().shards(2).create_new(&medium).unwrap().0;
    let (first, second) = (recorder.claim().unwrap(), recorder.claim().unwrap());
    let none = recorder.claim().map(drop).unwrap_err();
    assert!(matches!(none.kind(), ErrorKind::AllShardsTaken { shards: 2, .. }));
    first.record_at(1, 1, b"one").unwrap();
    drop(first);
    let third = recorder.claim().unwrap();
    assert_eq!((third.shard(), second.shard()), (0, 1));
    std::thread::scope(|scope| scope.spawn(move || third.record_at(2, 2, b"two").unwrap()).join())
        .unwrap();
    let shown = shown(&recorder.reader(), 0);
    let places: Vec<_> = shown.events.iter().map(|event| event.at).collect();
    // In turn, in the first sub-buffer.
    assert_eq!(places, [BASE as u64 + 64, BASE as u64 + 64 + 32]);
}

/// The last events of a thread that has ended remain while other shards are free.
#[test]
fn shards_without_owners_are_claimed_in_turn() {
    let recorder = options().shards(4).create_new(Plain::zeros(BASE + 4 * 2 * 256)).unwrap().0;
    let [first, owned] = [recorder.claim().unwrap(), recorder.claim().unwrap()];
    drop(first);
    let claimed = [(); 6].map(|()| recorder.claim().unwrap().shard());
    assert_eq!((claimed, owned.shard()), ([2, 3, 0, 2, 3, 0], 1));
}

#[test]
fn nothing_is_recorded_after_a_stop() {
    let medium = Plain::zeros(LEN);
    let recorder = options().durability(Durability::EachAppend).create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    writer.record_at(1, 1, b"").unwrap();
    recorder.stop();
    assert!(recorder.is_stopped());
    assert_eq!(*writer.record_at(2, 2, b"").unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(shown(&recorder.reader(), 0).events.len(), 1);
}

#[test]
fn payloads_of_every_length_are_read_as_they_were_written() {
    let medium = Plain::zeros(BASE + 64 * 256);
    let recorder = options().create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    let payload: Vec<u8> = (1..=168).collect();
    for len in (0..=24).chain([47, 48, 49, 167, 168]) {
        writer.record_at(1, len as u16, &payload[..len]).unwrap();
    }
    let too_long = writer.record_at(1, 0, &[0; 169]).unwrap_err();
    assert!(matches!(too_long.kind(), ErrorKind::TooLong { len: 169, most: 168, .. }));
    let shown = shown(&recorder.reader(), 0);
    assert_eq!(shown.events.len(), 30);
    for event in &shown.events {
        assert_eq!(event.payload, payload[..usize::from(event.id)]);
    }
    assert_eq!(shown.skipped, []);
}

/// The newest sub-buffer has one event. Then it gets two more, and another one begins the next sub-buffer, in the first
/// lap and in the second.
#[test]
fn events_that_follow_in_the_newest_sub_buffer_are_read_and_those_of_later_ones_are_not() {
    for first in [1, 13] {
        let medium = Plain::zeros(BASE + 4 * 256);
        let recorder = options().create_new(&medium).unwrap().0;
        let writer = recorder.claim().unwrap();
        let record = |times: Range<u64>| {
            times.for_each(|time| writer.record_at(time, 1, &[7; 40]).unwrap());
        };
        record(0..first);
        let reader = recorder.reader();
        let (mut events, mut buffer) = (reader.shard(0), vec![0; reader.largest_payload()]);
        let mut next = || match events.read_next(&mut buffer).unwrap() {
            Some(Found::Event(event)) => Some(event.timestamp),
            None => None,
            other => panic!("{other:?}"),
        };
        // The sub-buffer of event 12 has overwritten the oldest one.
        let before = if first == 1 { 0..1 } else { 3..13 };
        assert!(before.clone().eq(before.map(|_| next().unwrap())));
        record(first..first + 5);
        let expected = [Some(first), Some(first + 1), None];
        assert_eq!([next(), next(), next()], expected);
    }
}

/// Returns two events with the ids 3 and 4, and the offset of the word after the tag of the first one.
fn two_events() -> (Plain, u64) {
    let medium = Plain::zeros(LEN);
    let recorder = options().create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    writer.record_at(1, 3, b"three").unwrap();
    writer.record_at(2, 4, b"four").unwrap();
    let at = shown(&recorder.reader(), 0).events[0].at + 8;
    drop(writer);
    drop(recorder);
    (medium, at)
}

/// The reader loads a word with another id and length before it reads the bytes of the tag.
#[test]
fn an_event_has_the_id_and_the_length_that_its_tag_proves() {
    let (medium, place) = two_events();
    let other = medium.load(place, Relaxed) >> 32 << 32 | 8 << 16 | 9;
    let hook = |_: &Plain, at: u64, access: Access| {
        (at == place && matches!(access, Access::Load(Relaxed))).then_some(other)
    };
    let found = shown(&Reader::open(Hooked { medium, hook }).unwrap(), 0).events;
    let ids: Vec<_> = found.iter().map(|event| (event.id, event.payload.len())).collect();
    assert_eq!(ids, [(4, 4)]);
}

/// The first event is damaged at every odd read, and whole at every even one.
#[test]
fn a_medium_that_changes_back_and_forth_is_read_to_an_end() {
    let (medium, place) = two_events();
    let looks = AtomicU64::new(0);
    let hook = |_: &Plain, at: u64, access: Access| {
        let is_look = at == place && matches!(access, Access::Load(Relaxed));
        (is_look && looks.fetch_add(1, Relaxed).is_multiple_of(2)).then_some(0)
    };
    let found = shown(&Reader::open(Hooked { medium, hook }).unwrap(), 0);
    assert!(found.events.len() + found.skipped.len() <= 3, "{found:?}");
}

#[test]
fn a_writer_records_on_after_a_panic_in_its_clock() {
    static PANICS: AtomicBool = AtomicBool::new(false);
    fn now() -> u64 {
        assert!(!PANICS.swap(false, Relaxed), "as the test asks");
        7
    }
    let medium = Plain::zeros(LEN);
    let clock = Clock::from_function(now, 1, || 0);
    let options = Options::with_clock(Identity([9; 16]), clock).sub_buffer_size(256);
    let recorder = options.create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    PANICS.store(true, Relaxed);
    let record = std::panic::AssertUnwindSafe(|| drop(writer.record(1, b"never")));
    assert!(std::panic::catch_unwind(record).is_err());
    writer.record(2, b"then").unwrap();
    assert_eq!(shown(&recorder.reader(), 0).events[0].id, 2);
}

/// The length field has 16 bits, but a sub-buffer of 128 KiB has space for more.
#[test]
fn a_payload_that_is_too_long_is_refused_wherever_it_would_fit() {
    let medium = Plain::zeros(BASE + 2 * (128 << 10));
    let recorder = options().sub_buffer_size(128 << 10).create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    let payload = vec![0x5a; 70_000];
    for len in [65_536, 70_000] {
        writer.record_at(1, 1, b"before").unwrap();
        let too_long = writer.record_at(2, 2, &payload[..len]).unwrap_err();
        assert!(matches!(too_long.kind(), ErrorKind::TooLong { most: 65_535, .. }), "{too_long}");
    }
    writer.record_at(3, 3, &payload[..65_535]).unwrap();
    let shown = shown(&recorder.reader(), 0);
    assert_eq!(shown.events.iter().map(|event| event.id).collect::<Vec<_>>(), [1, 1, 3]);
    assert_eq!(shown.events[2].payload, payload[..65_535]);
    assert_eq!(shown.skipped, []);
}

/// The medium runs a handler in the middle of an event, as a signal would.
#[test]
fn an_event_within_an_event_is_refused_and_harms_nothing() {
    std::thread_local! {
        static HANDLER: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }
    let hook = |_: &Plain, _: u64, access: Access| {
        if matches!(access, Access::Store(_))
            && let Some(handler) = HANDLER.take()
        {
            handler();
        }
        None
    };
    let medium = Hooked { medium: Plain::zeros(LEN), hook };
    let recorder = &*Box::leak(Box::new(options().create_new(medium).unwrap().0));
    let writer = &*Box::leak(Box::new(recorder.claim().unwrap()));
    writer.record_at(1, 1, b"before").unwrap();
    HANDLER.set(Some(Box::new(|| {
        let nested = writer.record_at(2, 2, b"nested").unwrap_err();
        assert_eq!(*nested.kind(), ErrorKind::Nested);
    })));
    writer.record_at(3, 3, b"around").unwrap();
    writer.record_at(4, 4, b"after").unwrap();
    let events = shown(&recorder.reader(), 0);
    assert_eq!(events.events.iter().map(|event| event.id).collect::<Vec<_>>(), [1, 3, 4]);
}
