//! Names and fields of events, which are in the file.

use super::plain::{Plain, options, shown};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint::recorder::{ErrorKind, EventTable, Found, Options, Reader, Recorder, Value};
use core::fmt::Write as _;
use core::sync::atomic::Ordering::Relaxed;

/// One shard of eight sub-buffers of 256 bytes.
const LEN: usize = 3 * 4096 + 8 * 256;
/// The place of the second descriptor.
const PAGE: u64 = 4096;
/// The tables of the first page are after its descriptor.
const TABLE: usize = 128;
/// The bytes of the tables' tag, and of the head of the first table.
pub(super) const HEAD: usize = 8 + 20;
/// A page has 4096 bytes, of which the descriptor takes 128 and the head of a table 28.
pub(super) const MOST: usize = 4096 - 128 - 28;

const EVENTS: &[(u16, &str)] =
    &[(1, "valve: id=u32 open=u8 pressure=f64 note=str"), (0xfeff, "closed"), (7, "a: b=i16")];

/// The payload of `valve`.
pub(super) fn valve() -> Vec<u8> {
    let mut payload = vec![0x78, 0x56, 0x34, 0x12, 1];
    // 9.5 is 1.0011 in binary, times 2^3: IEEE 754 has the exponent 1023 + 3.
    payload.extend([0, 0, 0, 0, 0, 0, 0x23, 0x40]);
    payload.extend(b"stuck");
    payload
}

/// Returns the events as text, with the names and fields of a table; an event without a name has its id.
fn texts<S: Readable>(reader: &Reader<S>) -> Vec<String> {
    let table = reader.event_table().unwrap();
    let (mut events, mut buffer) = (reader.events(), vec![0; reader.largest_payload()]);
    let mut texts = Vec::new();
    while let Some(found) = events.read_next(&mut buffer).unwrap() {
        let Found::Event(event) = found else { continue };
        let mut text = String::new();
        match table.describe(&event) {
            Some((name, mut fields)) => {
                text.push_str(name);
                for (name, value) in fields.by_ref() {
                    write!(text, " {name}={value:?}").unwrap();
                }
                if let Some(field) = fields.unread() {
                    write!(text, " without {field}").unwrap();
                }
                write!(text, " + {:?}", fields.rest()).unwrap();
            }
            None => write!(text, "{}", event.id).unwrap(),
        }
        texts.push(text);
    }
    texts
}

fn record<M: Medium>(recorder: &Recorder<M>, id: u16, payload: &[u8]) {
    let outcome = recorder.claim().and_then(|writer| writer.record_at(0, id, payload));
    assert!(outcome.is_ok());
}

/// A medium whose recording has a table and one event of each id, and one that the table does not have.
fn recorded() -> Plain {
    let medium = Plain::new(LEN);
    let recorder = options().events(EVENTS).create_new(&medium).unwrap();
    record(&recorder, 1, &valve());
    record(&recorder, 0xfeff, b"xy");
    record(&recorder, 7, &[0xfe, 0xff]);
    record(&recorder, 2, b"zz");
    drop(recorder);
    medium
}

const TEXTS: [&str; 4] = [
    "valve id=Unsigned(305419896) open=Unsigned(1) pressure=Double(9.5) note=Text([115, 116, 117, 99, 107]) + []",
    "closed + [120, 121]",
    "a b=Signed(-2) + []",
    "2",
];

#[test]
fn names_and_fields_are_in_the_file() {
    let image = recorded().bytes();
    assert_eq!(texts(&Reader::open(Bytes(&image[..])).unwrap()), TEXTS);
}

/// XXH3 with a seed, by another implementation than the library's.
fn h(seed: u64, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

/// Writes tables into the first page by the documentation, with correct tags.
fn put_tables(image: &mut [u8], tables: &[u8], len: usize) {
    let identity: [u8; 16] = image[32..48].try_into().unwrap();
    image[TABLE..4096].fill(0);
    image[TABLE + 8..][..tables.len()].copy_from_slice(tables);
    let end = TABLE.saturating_add(len).clamp(TABLE + 8, 4096);
    let tag = h(h(0, &identity), &image[TABLE + 8..end]);
    image[TABLE..][..8].copy_from_slice(&tag.to_le_bytes());
    image[68..72].copy_from_slice(&(len as u32).to_le_bytes());
    let tag = h(h(0, &image[..16]), &image[24..128]);
    image[16..24].copy_from_slice(&tag.to_le_bytes());
}

/// A table of these openings.
pub(super) fn table(since: u64, until: u64, entries: &[u8]) -> Vec<u8> {
    let len = (entries.len() as u32).to_le_bytes();
    [&since.to_le_bytes()[..], &until.to_le_bytes(), &len, entries].concat()
}

pub(super) fn entry(id: u16, text: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &(text.len() as u16).to_le_bytes(), text].concat()
}

#[test]
fn a_table_is_written_as_the_documentation_says() {
    let image = recorded().bytes();
    let entries: Vec<_> =
        EVENTS.iter().flat_map(|(id, text)| entry(*id, text.as_bytes())).collect();
    let mut expected = image.clone();
    put_tables(&mut expected, &table(1, 1, &entries), HEAD + entries.len());
    assert_eq!(image, expected);
}

/// The second opening has names of its own. One bit of its descriptor is hit, so that the first one counts.
#[test]
fn the_next_opening_after_damage_to_the_newest_descriptor_takes_no_events_of_another() {
    const NAMES: [&[(u16, &str)]; 3] = [&[(1, "boot")], &[(1, "valve")], &[(1, "heat")]];
    let medium = Plain::new(LEN);
    drop(recorder_with(NAMES[0], &medium));
    drop(recorder_with(NAMES[1], &medium));
    assert_eq!(texts(&Reader::open(&medium).unwrap()), ["boot + []", "valve + []"]);

    medium.store(PAGE + 24, medium.load(PAGE + 24, Relaxed) ^ 1 << 40, Relaxed);
    let reader = Reader::open(&medium).unwrap();
    assert!(reader.event_table().unwrap().is_damaged());
    assert_eq!(texts(&reader), ["boot + []", "1"]);

    let recorder = recorder_with(NAMES[2], &medium);
    assert_eq!(recorder.description().generation, 3);
    assert_eq!(texts(&recorder.reader()), ["boot + []", "1", "heat + []"]);
}

/// Opens or creates a recording with these names, and records the event 1.
fn recorder_with<'m>(
    names: &'static [(u16, &'static str)],
    medium: &'m Plain,
) -> Recorder<&'m Plain> {
    let recorder = options().events(names).open_or_create(medium).unwrap();
    record(&recorder, 1, b"");
    recorder
}

/// A crash in the middle of an opening leaves it torn. The next opening overwrites it.
#[test]
fn a_torn_descriptor_is_reported_until_the_next_opening() {
    let medium = recorded();
    drop(options().events(EVENTS).open(&medium).unwrap());
    let is_damaged = || Reader::open(&medium).unwrap().event_table().unwrap().is_damaged();
    assert!(!is_damaged());
    medium.write(64, &[0xee; 64]);
    assert!(is_damaged());
    drop(options().events(EVENTS).open(&medium).unwrap());
    assert!(!is_damaged());
}

/// The second opening of a recording without names is torn, before its first event and after that.
#[test]
fn a_torn_descriptor_damages_names_only_if_it_may_have_had_some() {
    let medium = Plain::new(LEN);
    drop(options().create_new(&medium).unwrap());
    let state = || {
        let reader = Reader::open(&medium).unwrap();
        (reader.is_descriptor_lost().unwrap(), reader.event_table().unwrap().is_damaged())
    };
    assert_eq!(state(), (false, false));
    let recorder = options().open(&medium).unwrap();
    medium.write(PAGE + 64, &[0xee; 64]);
    assert_eq!(state(), (true, false));
    record(&recorder, 1, b"");
    assert_eq!(state(), (true, true));
}

/// Hits the magic of a page, or clears it, or the page was lost as a whole.
#[test]
fn a_descriptor_without_its_magic_is_reported() {
    let medium = recorded();
    let is_damaged =
        |image: &[u8]| Reader::open(Bytes(image)).unwrap().event_table().unwrap().is_damaged();
    // The second page is not in use yet.
    let once = medium.bytes();
    assert!(!is_damaged(&once));
    for openings in 2..4 {
        record(&options().events(EVENTS).open(&medium).unwrap(), 7, &[0; 2]);
        let image = medium.bytes();
        assert!(!is_damaged(&image));
        for page in [0, PAGE as usize] {
            let hit = |len, bytes: &[u8]| {
                let mut image = image.clone();
                image[page..][..len].copy_from_slice(&bytes[..len]);
                is_damaged(&image)
            };
            assert!(hit(8, b"CMtRace "), "{openings} openings, page {page}");
            assert!(hit(8, &[0; 8]), "{openings} openings, page {page}");
            assert!(hit(4096, &[0; 4096]), "{openings} openings, page {page}");
        }
    }
}

/// All bytes of both pages: of those of a table each is reported, and costs names alone.
#[test]
fn a_damaged_page_costs_no_event() {
    let medium = recorded();
    let once = medium.bytes();
    let len = HEAD + EVENTS.iter().map(|(_, text)| 4 + text.len()).sum::<usize>();
    let events = |image: &[u8]| shown(&Reader::open(Bytes(image)).unwrap(), 0);
    let expected = events(&once);
    for at in TABLE..4096 {
        let mut image = once.clone();
        image[at] ^= 0x10;
        assert_eq!(events(&image), expected, "byte {at}");
        let reader = Reader::open(Bytes(&image[..])).unwrap();
        let is_hit = at < TABLE + len;
        assert_eq!(reader.event_table().unwrap().is_damaged(), is_hit, "byte {at}");
        let texts = texts(&reader);
        assert_eq!(texts, if is_hit { ["1", "65279", "7", "2"] } else { TEXTS }, "byte {at}");
    }

    // Each page has the table now, and either suffices.
    drop(options().events(EVENTS).open(&medium).unwrap());
    let twice = medium.bytes();
    for at in 0..8192 {
        let mut image = twice.clone();
        image[at] ^= 1;
        assert_eq!(events(&image), expected, "byte {at}");
        let names = texts(&Reader::open(Bytes(&image[..])).unwrap());
        assert_eq!(names, TEXTS, "byte {at}");
    }
}

/// Returns the events as read with these tables. An opening with another table continues as if they were right.
pub(super) fn texts_of(tables: &[u8], len: usize) -> (Vec<String>, EventTable) {
    texts_after(1, tables, len)
}

/// The same after so many openings, the first of which has recorded the events. Both pages have the tables then.
pub(super) fn texts_after(openings: u64, tables: &[u8], len: usize) -> (Vec<String>, EventTable) {
    let mut image = recorded().bytes();
    image[24..32].copy_from_slice(&openings.to_le_bytes());
    put_tables(&mut image, tables, len);
    if openings > 1 {
        image.copy_within(..4096, 4096);
    }
    let medium = Plain::new(LEN);
    medium.write(0, &image);
    let recorder = options().events(EVENTS).open(&medium).unwrap();
    record(&recorder, 7, &[5, 0]);
    assert_eq!(texts(&recorder.reader()).last().unwrap(), "a b=Signed(5) + []");
    let reader = Reader::open(Bytes(&image[..])).unwrap();
    (texts(&reader), reader.event_table().unwrap())
}

/// Names and types as they were when an event was recorded.
#[test]
fn each_opening_has_a_table_of_its_own() {
    const OLD: &[(u16, &str)] = &[(1, "old: a=u8")];
    const NEW: &[(u16, &str)] = &[(1, "new: a=u16")];
    let medium = Plain::new(LEN);
    let open = |options: Options| {
        record(&options.open_or_create(&medium).unwrap(), 1, &[5, 0]);
        texts(&Reader::open(&medium).unwrap())
    };
    let (old, new) = ("old a=Unsigned(5) + [0]", "new a=Unsigned(5) + []");
    assert_eq!(open(options().events(OLD)), [old]);
    assert_eq!(open(options().events(OLD)), [old, old]);
    assert_eq!(open(options().events(NEW)), [old, old, new]);
    assert_eq!(open(options().events(NEW)), [old, old, new, new]);
    // Openings without one keep those of the file, and have none.
    assert_eq!(open(options()), [old, old, new, new, "1"]);
    assert_eq!(open(options()), [old, old, new, new, "1", "1"]);
    assert_eq!(open(options().events(NEW)), [old, old, new, new, "1", "1", new]);
    assert_eq!(open(options().events(OLD)), [old, old, new, new, "1", "1", new, old]);
    assert_eq!(Reader::open(&medium).unwrap().description().generation, 8);
}

/// The page with the older tables is overwritten by the next opening.
#[test]
fn the_names_of_older_events_outlive_damage_of_the_newest_tables() {
    const OLD: &[(u16, &str)] = &[(1, "old")];
    const NEW: &[(u16, &str)] = &[(1, "new")];
    let medium = Plain::new(LEN);
    let open = |events| record(&options().events(events).open_or_create(&medium).unwrap(), 1, &[]);
    open(OLD);
    open(NEW);
    let head = 4096 + TABLE + 8;
    medium.write(head as u64, &[0xff; 8]);
    assert_eq!(texts(&Reader::open(&medium).unwrap()), ["old + []", "1"]);
    for expected in [&["old + []", "1", "new + []"][..], &["old + []", "1", "new + []", "new + []"]]
    {
        open(NEW);
        let reader = Reader::open(&medium).unwrap();
        assert_eq!(texts(&reader), expected);
    }
    assert!(!Reader::open(&medium).unwrap().event_table().unwrap().is_damaged());
}

/// Tables of 1300 bytes, of which a page holds three. Each has three entries.
#[test]
fn the_oldest_tables_give_way_to_new_ones() {
    let medium = Plain::new(LEN);
    let mut names = Vec::new();
    for letter in ["a", "b", "c", "d", "e", "e"] {
        let name = |len| -> &'static str { Box::leak(letter.repeat(len).into_boxed_str()) };
        let rest = 1300 - 20 - 3 * 4 - 2 * 512;
        let events: &'static [_] =
            Box::leak(Box::new([(1, name(512)), (2, name(512)), (3, name(rest))]));
        record(&options().events(events).open_or_create(&medium).unwrap(), 1, &[]);
        names = texts(&Reader::open(&medium).unwrap());
    }
    let initials: Vec<_> = names.iter().map(|name| &name[..1]).collect();
    assert_eq!(initials, ["1", "1", "c", "d", "e", "e"]);
}

#[test]
fn a_table_without_space_in_the_file_is_refused() {
    // Nine entries with 4 bytes each beside their texts.
    let table = |len: usize| -> &'static [(u16, &'static str)] {
        let text = |len: usize| -> &'static str { Box::leak("x".repeat(len).into_boxed_str()) };
        let long = (2..9).map(|id| (id, text(512)));
        let last = (9, text(len - 9 * 4 - 1 - 7 * 512));
        Box::leak([(1, "y")].into_iter().chain(long).chain([last]).collect())
    };
    let (longest, too_long) = (table(MOST), table(MOST + 1));
    let medium = Plain::new(LEN);
    let refused = options().events(too_long).create_new(&medium).map(drop).unwrap_err();
    let ErrorKind::EventsTooLong { len, most, .. } = *refused.error.kind() else {
        panic!("{refused}")
    };
    assert_eq!((len, most), (MOST + 1, MOST));
    assert!(medium.bytes().iter().all(|byte| *byte == 0), "the medium is as before");
    let recorder = options().events(longest).create_new(&medium).unwrap();
    record(&recorder, 1, &[]);
    assert_eq!(texts(&recorder.reader()), ["y + []"]);
    drop(recorder);
    let before = medium.bytes();
    let refused = options().events(too_long).open(&medium).map(drop).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::EventsTooLong { .. }), "{refused}");
    assert_eq!(medium.bytes(), before);
}

#[test]
fn an_event_whose_text_makes_no_sense_is_refused() {
    let medium = Plain::new(LEN);
    let long = &*Box::leak("x".repeat(513).into_boxed_str());
    for (events, expected) in [
        (&[(65280, "a")][..], "ids from 65280 on"),
        (&[(1, "a"), (2, "b"), (1, "c")], "the same id"),
        (&[(1, "")], "name"),
        (&[(1, "a b")], "name"),
        (&[(1, "a:")], "name"),
        (&[(1, "a\u{1b}[2J")], "name"),
        (&[(1, "valv\u{e9}")], "name"),
        (&[(1, "a: ")], "no fields"),
        (&[(1, "a: b")], "NAME=TYPE"),
        (&[(1, "a: =u8")], "NAME=TYPE"),
        (&[(1, "a: b=u8  c=u8")], "NAME=TYPE"),
        (&[(1, "a: b=u8 ")], "NAME=TYPE"),
        (&[(1, "a: b=u128")], "a type is not"),
        (&[(1, "a: b=U8")], "a type is not"),
        (&[(1, "a: b=str c=u8")], "the type str"),
        (&[(1, "a: b=u8 b=u16")], "the same name"),
        (&[(1, long)], "longer than 512 bytes"),
    ] {
        let refused = options().events(events).create_new(&medium).map(drop).unwrap_err();
        let ErrorKind::BadEvent { id, what, .. } = *refused.error.kind() else {
            panic!("{refused}")
        };
        assert_eq!(id, events[0].0);
        assert!(what.contains(expected), "{what}");
    }
    assert!(medium.bytes().iter().all(|byte| *byte == 0), "the medium is as before");
}

/// Every type is read as the documentation of `Options::events` defines its bytes.
#[test]
fn every_type_is_read_little_endian() {
    const ALL: &[(u16, &str)] =
        &[(3, "m::all: a=u8 b=u16 c=u32 d=u64 e=i8 f=i16 g=i32 h=i64 i=f32 j=f64 k=str")];
    let medium = Plain::new(LEN);
    let recorder = options().events(ALL).create_new(&medium).unwrap();
    let payload = [
        &[0xff, 0x02, 0x01, 0x04, 0x03, 0x02, 0x01][..],
        &[8, 7, 6, 5, 4, 3, 2, 1],
        &[0x80, 0xfe, 0xff, 0xfd, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0, 0, 0, 0, 0x80],
        // 1.5 and -2.
        &[0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0],
        b"text",
    ]
    .concat();
    record(&recorder, 3, &payload);
    let reader = recorder.reader();
    let table = reader.event_table().unwrap();
    let (mut events, mut buffer) = (reader.events(), vec![0; reader.largest_payload()]);
    let Some(Found::Event(event)) = events.read_next(&mut buffer).unwrap() else {
        panic!("no event")
    };
    let (name, fields) = table.describe(&event).unwrap();
    assert_eq!(name, "m::all");
    let values: Vec<_> = fields.map(|(_, value)| value).collect();
    let expected = [
        Value::Unsigned(255),
        Value::Unsigned(0x0102),
        Value::Unsigned(0x0102_0304),
        Value::Unsigned(0x0102_0304_0506_0708),
        Value::Signed(-128),
        Value::Signed(-2),
        Value::Signed(-3),
        Value::Signed(i64::MIN),
        Value::Single(1.5),
        Value::Double(-2.0),
        Value::Text(b"text"),
    ];
    assert_eq!(values, expected);
}
