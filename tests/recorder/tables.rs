//! Tables of events with valid tags, as an attacker can make them.

use super::events::{HEAD, MOST, entry, table, texts_after, texts_of, valve};

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
        let (texts, read) = texts_of(&table(0, 1, &entries), HEAD + entries.len());
        assert_eq!((&*texts[2], read.is_damaged()), (expected, false), "{}", text.escape_ascii());
    }
}

/// A table with a valid tag that breaks a rule of `Options::events`. Its other names are left out as well.
#[test]
fn a_table_that_no_recorder_can_have_written_is_damaged() {
    let is_damaged = |entries: &[u8]| {
        let (texts, table) = texts_of(&table(0, 1, entries), HEAD + entries.len());
        let is_left_out = texts == ["1", "65279", "7", "2"];
        assert_eq!(table.is_damaged(), is_left_out, "{texts:?}");
        is_left_out
    };
    let good = entry(2, b"b");
    assert!(!is_damaged(&good));
    let longest = [&b"a: b=u8 c"[..], &[b'x'; 512 - 13], b"=str"].concat();
    assert_eq!(longest.len(), 512);
    assert!(!is_damaged(&entry(7, &longest)));
    let longer = [&longest[..9], b"x", &longest[9..]].concat();
    let fields = [b"a: b0=str".to_vec(), b" b=str".repeat(600)].concat();
    for text in [
        &b""[..],
        b": ",
        b"a: ",
        b"a b",
        b"a:",
        b"\xff",
        b"\x1b[2J",
        b"a\x7f",
        b"a: b\x01=u8",
        b"a: b",
        b"a:  =u8",
        b"a: =u8 c=u8",
        b"a: b==u8",
        b"a: b=",
        b"a: b=u\x01",
        b"a: b u8 c=u8",
        b"a: b=u8 b=u16",
        b"a: b=str c=str",
        b"a: b=str c=u128",
        &longer,
        &[b'x'; 513],
        &[b'x'; MOST - 9],
        &fields,
    ] {
        let entries = [&entry(7, text)[..], &good].concat();
        assert!(is_damaged(&entries), "{}", text.escape_ascii());
    }
    // An id twice, and one of the format.
    assert!(is_damaged(&[entry(7, b"first"), good.clone(), entry(7, b"second")].concat()));
    for id in [65280, u16::MAX] {
        assert!(is_damaged(&[entry(id, b"a"), good.clone()].concat()));
    }
    // A length beyond the end, and a part of a head.
    for end in [&b"\x07\0\xff\xffabc"[..], b"\x07\0\x01\0", b"\x07\0\x01", b"\x07"] {
        assert!(is_damaged(&[&good, end].concat()), "{end:?}");
    }
    assert!(is_damaged(b""));
}

/// The openings of each table are older than those of the table before. Those of the first one are not newer than the
/// descriptor's.
#[test]
fn tables_that_no_recorder_can_have_written_are_damaged() {
    let name = |tables: &[u8]| {
        let (texts, table) = texts_after(200, tables, 8 + tables.len());
        if table.is_damaged() { "damaged".to_owned() } else { texts[3].clone() }
    };
    let (a, b) = (entry(2, b"a"), entry(2, b"b"));
    assert_eq!(name(&table(1, 1, &b)), "b + [122, 122]");
    assert_eq!(name(&[table(2, 2, &a), table(1, 1, &b)].concat()), "b + [122, 122]");
    assert_eq!(name(&[table(1, 200, &a), table(0, 0, &b)].concat()), "a + [122, 122]");
    assert_eq!(name(&[table(2, 200, &a), table(0, 0, &b)].concat()), "2");
    for [first, second] in [
        [(0, 2), (1, 1)],
        [(2, 1), (0, 0)],
        [(3, 3), (2, 1)],
        [(2, 2), (1, 2)],
        [(1, 1), (2, 2)],
        [(1, 201), (0, 0)],
        [(1, u64::MAX), (0, 0)],
    ] {
        let tables = [table(first.0, first.1, &a), table(second.0, second.1, &b)].concat();
        assert_eq!(name(&tables), "damaged", "{first:?}, {second:?}");
    }
    for len in [6, 5 + 24 + 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let mut impossible = table(0, 0, &a);
        impossible[16..20].copy_from_slice(&len.to_le_bytes());
        assert_eq!(name(&[table(1, 1, &b), impossible.clone()].concat()), "damaged", "{len}");
        assert_eq!(name(&[impossible, table(1, 1, &b)].concat()), "damaged", "{len}");
    }
    for end in 0..table(1, 1, &b).len() {
        assert_eq!(name(&table(1, 1, &b)[..end]), "damaged", "{end}");
    }
    // As many as fit: without entries, and with one of the shortest.
    assert_eq!(name(&table(0, 9, &[]).repeat((4096 - 128 - 8) / 20)), "damaged");
    let most: u64 = (4096 - 128 - 8) / 25;
    let openings = (0..most).rev();
    let tables: Vec<_> = openings.flat_map(|opening| table(opening, opening, &a)).collect();
    assert_eq!(name(&tables), "a + [122, 122]");
}

/// As many as a page has space for, each with a text of one byte.
#[test]
fn each_of_the_most_entries_is_found() {
    let ids = (0..=(MOST / 5) as u16).rev().filter(|id| *id != 7);
    let entries: Vec<_> = ids.flat_map(|id| entry(id, &[b'!' + (id % 10) as u8])).collect();
    assert_eq!(entries.len(), MOST);
    let (texts, table) = texts_of(&table(1, 1, &entries), HEAD + MOST);
    assert!(!table.is_damaged());
    assert_eq!(texts[0], format!("\" + {:?}", valve()));
    assert_eq!(texts[1..], ["65279", "7", "# + [122, 122]"]);
}

/// Lengths of a table that no page has, with a descriptor whose tag is right.
#[test]
fn an_impossible_length_of_a_table_is_damage_of_the_table_alone() {
    for len in [1, 7, 8, HEAD - 1, HEAD, HEAD + MOST, HEAD + MOST + 1, 4096, u32::MAX as usize] {
        let (texts, table) = texts_of(&[], len);
        assert_eq!((texts.len(), table.is_damaged()), (4, true), "{len}");
    }
    assert!(!texts_of(&[], 0).1.is_damaged());
}
