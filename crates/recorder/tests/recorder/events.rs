//! Names and fields of events, which the file contains.

use super::plain::{BASE, options, shown};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint_recorder::{ErrorKind, Found, Reader, Recorder, Value};
use cachemaint_test_support::plain::Plain;
use core::fmt::Write as _;

/// One shard of eight sub-buffers of 256 bytes.
const LEN: usize = BASE + 8 * 256;
/// The offset and the maximum length of the texts.
const TEXTS: usize = 16384;
const MOST: usize = 4096;

const EVENTS: &[(u16, &str)] =
    &[(1, "valve: id=u32 open=u8 pressure=f64 note=str"), (0xffff, "closed"), (7, "a: b=i16")];

/// Returns the payload of `valve`.
fn valve() -> Vec<u8> {
    let mut payload = vec![0x78, 0x56, 0x34, 0x12, 1];
    // 9.5 is 1.0011 in binary, times 2^3: IEEE 754 has the exponent 1023 + 3.
    payload.extend([0, 0, 0, 0, 0, 0, 0x23, 0x40]);
    payload.extend(b"stuck");
    payload
}

/// Returns the events as text, with the names and fields of a table, or with its id if an event has no name.
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

fn record<M: Medium>(recorder: &Recorder<'_, M>, id: u16, payload: &[u8]) {
    let outcome = recorder.claim().and_then(|writer| writer.record_at(0, id, payload));
    assert!(outcome.is_ok());
}

/// Returns a medium whose recording has a table, one event of each id, and one that is not in the table.
fn recorded() -> Plain {
    let medium = Plain::zeros(LEN);
    let recorder = options().events(EVENTS).create_new(&medium).unwrap().0;
    record(&recorder, 1, &valve());
    record(&recorder, 0xffff, b"xy");
    record(&recorder, 7, &[0xfe, 0xff]);
    record(&recorder, 2, b"zz");
    drop(recorder);
    medium
}

const TEXTS_OF_ALL: [&str; 4] = [
    "valve id=Unsigned(305419896) open=Unsigned(1) pressure=Double(9.5) note=Text([115, 116, 117, 99, 107]) + []",
    "closed + [120, 121]",
    "a b=Signed(-2) + []",
    "2",
];

#[test]
fn names_and_fields_are_in_the_file() {
    let image = recorded().bytes();
    assert_eq!(texts(&Reader::open(Bytes(&image[..])).unwrap()), TEXTS_OF_ALL);
}

/// Puts entries into the file as documented, with correct tags.
fn put_texts(image: &mut [u8], entries: &[u8], len: usize) {
    let identity: [u8; 16] = image[4096 + 24..][..16].try_into().unwrap();
    let key = |kind: u64, epoch: u64, place: u64| {
        h(kind, &[&identity[..], &epoch.to_le_bytes(), &place.to_le_bytes()].concat())
    };
    image[TEXTS..TEXTS + 4096].fill(0);
    image[TEXTS..][..entries.len()].copy_from_slice(entries);
    let tag = h(key(34, 0, 0), &image[TEXTS..][..len.min(4096)]);
    for slot in [4096, 12288] {
        image[slot + 64..][..8].copy_from_slice(&(len as u64).to_le_bytes());
        image[slot + 72..][..8].copy_from_slice(&tag.to_le_bytes());
        let root = h(key(1, 1, slot as u64), &image[slot..slot + 16]);
        let root = h(root, &image[slot + 24..slot + 120]);
        image[slot + 16..][..8].copy_from_slice(&root.to_le_bytes());
    }
}

/// XXH3 with a seed, by an implementation that the library does not use.
fn h(seed: u64, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

fn entry(id: u16, text: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &(text.len() as u16).to_le_bytes(), text].concat()
}

/// Returns the events read with these entries, and whether the texts are damaged.
fn texts_of(entries: &[u8], len: usize) -> (Vec<String>, bool) {
    let mut image = recorded().bytes();
    put_texts(&mut image, entries, len);
    let reader = Reader::open(Bytes(&image[..])).unwrap();
    (texts(&reader), reader.event_table().unwrap().is_damaged())
}

/// Changes all bytes of the page: each used byte is reported, and costs only names.
#[test]
fn damaged_texts_cost_no_event() {
    let medium = recorded();
    let once = medium.bytes();
    let len = EVENTS.iter().map(|(_, text)| 4 + text.len()).sum::<usize>();
    let events = |image: &[u8]| shown(&Reader::open(Bytes(image)).unwrap(), 0);
    let expected = events(&once);
    for at in TEXTS..TEXTS + 4096 {
        let mut image = once.clone();
        image[at] ^= 0x10;
        assert_eq!(events(&image), expected, "byte {at}");
        let reader = Reader::open(Bytes(&image[..])).unwrap();
        let is_hit = at < TEXTS + len;
        assert_eq!(reader.event_table().unwrap().is_damaged(), is_hit, "byte {at}");
        let texts = texts(&reader);
        assert_eq!(
            texts,
            if is_hit { ["1", "65535", "7", "2"] } else { TEXTS_OF_ALL },
            "byte {at}"
        );
    }
}

/// A later opening has the texts of the creation, or none.
#[test]
fn an_opening_with_other_texts_is_refused_and_leaves_the_recording_as_it_is() {
    let with = recorded();
    let without = Plain::zeros(LEN);
    drop(options().create_new(&without).unwrap());
    let reversed = [EVENTS[2], EVENTS[1], EVENTS[0]];
    let one_more = [EVENTS[0], EVENTS[1], EVENTS[2], (9, "d")];
    for (medium, events) in
        [(&with, &reversed[..]), (&with, &one_more), (&with, &EVENTS[..2]), (&without, EVENTS)]
    {
        let before = medium.bytes();
        let refused = options().events(events).open(medium).map(drop).unwrap_err();
        assert_eq!(*refused.error.kind(), ErrorKind::OtherEvents);
        assert!(medium.bytes() == before);
    }
    for events in [EVENTS, &[]] {
        record(&options().events(events).open(&with).unwrap().0, 7, &[5, 0]);
    }
    let texts = texts(&Reader::open(&with).unwrap());
    assert_eq!(texts[..4], TEXTS_OF_ALL);
    assert_eq!(texts[4..], ["a b=Signed(5) + []"; 2]);
}

/// The payload of event 7 has two bytes. A later version may know more types.
#[test]
fn fields_are_read_as_far_as_the_payload_and_their_types_allow() {
    for (text, expected) in [
        (&b"a: b=u32"[..], "a without b=u32 + [254, 255]"),
        (b"a: b=u8 c=u16 d=u8", "a b=Unsigned(254) without c=u16 + [255]"),
        (b"a: b=u8 c=u128 d=u8", "a b=Unsigned(254) without c=u128 + [255]"),
        (b"a: b=i16 c=str", "a b=Signed(-2) c=Text([]) + []"),
    ] {
        let entries = entry(7, text);
        let (texts, is_damaged) = texts_of(&entries, entries.len());
        assert_eq!((&*texts[2], is_damaged), (expected, false), "{}", text.escape_ascii());
    }
}

/// Texts that violate a rule of `Options::events`, and a part of the message.
const WRONG: &[(&str, &str)] = &[
    ("", "name"),
    (": ", "name"),
    ("a b", "name"),
    ("a:", "name"),
    ("a\u{1b}[2J", "name"),
    ("a\u{7f}", "name"),
    ("valv\u{e9}", "name"),
    ("a: ", "no fields"),
    ("a: b", "NAME=TYPE"),
    ("a: =u8", "NAME=TYPE"),
    ("a: b\u{1}=u8", "NAME=TYPE"),
    ("a: b=u8  c=u8", "NAME=TYPE"),
    ("a: b=u8 ", "NAME=TYPE"),
    ("a: b u8 c=u8", "NAME=TYPE"),
    ("a: b=", "a type is not"),
    ("a: b==u8", "a type is not"),
    ("a: b=u\u{1}", "a type is not"),
    ("a: b=str c=u8", "the type str"),
    ("a: b=u8 b=u16", "the same name"),
];

/// Texts with a valid tag. If one of them is wrong, all are left out.
#[test]
fn texts_that_no_recorder_can_have_written_are_damaged() {
    let is_damaged = |entries: &[u8]| {
        let (texts, is_damaged) = texts_of(entries, entries.len());
        assert_eq!(is_damaged, texts == ["1", "65535", "7", "2"], "{texts:?}");
        is_damaged
    };
    let good = entry(2, b"b");
    assert!(!is_damaged(&good));
    let longest = [&b"a: b=u8 c"[..], &[b'x'; 512 - 13], b"=str"].concat();
    assert!(!is_damaged(&entry(7, &longest)));
    let longer = [&b"a"[..], &longest].concat();
    let texts = WRONG.iter().map(|(text, _)| text.as_bytes());
    for text in texts.chain([&b"\xff"[..], &longer, &[b'x'; MOST - 9]]) {
        let entries = [&entry(7, text)[..], &good].concat();
        assert!(is_damaged(&entries), "{}", text.escape_ascii());
    }
    // The same id twice.
    assert!(is_damaged(&[entry(7, b"first"), good.clone(), entry(7, b"second")].concat()));
    // A length past the end, and an incomplete entry.
    for end in [&b"\x07\0\xff\xffabc"[..], b"\x07\0\x01\0", b"\x07\0\x01", b"\x07"] {
        assert!(is_damaged(&[&good, end].concat()), "{end:?}");
    }
    for len in [4097, u32::MAX as usize] {
        assert_eq!(texts_of(&good, len).0, ["1", "65535", "7", "2"], "{len}");
    }
}

/// As many entries as fit on the page, each with a text of one byte.
#[test]
fn each_of_the_most_entries_is_found() {
    let ids = (0..=(MOST / 5) as u16).rev().filter(|id| *id != 7);
    let entries: Vec<_> = ids.flat_map(|id| entry(id, &[b'!' + (id % 10) as u8])).collect();
    let (texts, is_damaged) = texts_of(&entries, entries.len());
    assert!(!is_damaged && MOST - entries.len() < 5);
    assert_eq!(texts[0], format!("\" + {:?}", valve()));
    assert_eq!(texts[1..], ["65535", "7", "# + [122, 122]"]);
}

#[test]
fn a_table_without_space_in_the_file_is_refused() {
    // Nine entries with 4 bytes each in addition to their texts.
    let table = |len: usize| -> &'static [(u16, &'static str)] {
        let text = |len: usize| -> &'static str { Box::leak("x".repeat(len).into_boxed_str()) };
        let long = (2..9).map(|id| (id, text(512)));
        let last = (9, text(len - 9 * 4 - 1 - 7 * 512));
        Box::leak([(1, "y")].into_iter().chain(long).chain([last]).collect())
    };
    let (longest, too_long) = (table(MOST), table(MOST + 1));
    let medium = Plain::zeros(LEN);
    let refused = options().events(too_long).create_new(&medium).map(drop).unwrap_err();
    let ErrorKind::EventsTooLong { len, most, .. } = *refused.error.kind() else {
        panic!("{refused}")
    };
    assert_eq!((len, most), (MOST + 1, MOST));
    assert!(medium.bytes().iter().all(|byte| *byte == 0), "the medium is as before");
    let recorder = options().events(longest).create_new(&medium).unwrap().0;
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
    let medium = Plain::zeros(LEN);
    let long = "x".repeat(513);
    let refuse = |events: &[(u16, &str)], expected: &str| {
        let refused = options().events(events).create_new(&medium).map(drop).unwrap_err();
        let ErrorKind::BadEvent { id, what, .. } = *refused.error.kind() else {
            panic!("{refused}")
        };
        assert_eq!(id, events[0].0);
        assert!(what.contains(expected), "{what}");
    };
    refuse(&[(1, "a"), (2, "b"), (1, "c")], "the same id");
    refuse(&[(1, &long)], "longer than 512 bytes");
    for (text, expected) in WRONG.iter().chain(&[("a: b=u128", "a type"), ("a: b=U8", "a type")]) {
        refuse(&[(1, text)], expected);
    }
    assert!(medium.bytes().iter().all(|byte| *byte == 0), "the medium is as before");
}

/// Each type is read as documented at `Options::events`.
#[test]
fn every_type_is_read_little_endian() {
    const ALL: &[(u16, &str)] =
        &[(3, "m::all: a=u8 b=u16 c=u32 d=u64 e=i8 f=i16 g=i32 h=i64 i=f32 j=f64 k=str")];
    let medium = Plain::zeros(LEN);
    let recorder = options().events(ALL).create_new(&medium).unwrap().0;
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
