//! Names and fields of events, which an opening with tables keeps.

use super::Place;
use crate::printed::{stderr, stdout};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// A recording with names of events, after its program has ended.
fn named() -> Place {
    const EVENTS: &[(u16, &str)] = &[
        (1, "valve: id=u32 open=u8 pressure=f64 note=str"),
        (2, "closed"),
        (3, "level: meters=f32 offset=i16"),
    ];
    let place = Place::empty();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let file = options.create_new(&place.path, 1 << 16).unwrap();
    let recorder = cachemaint_recorder::Options::new().events(EVENTS).create_new(file).unwrap().0;
    let writer = recorder.claim().unwrap();
    let valve = [&7_u32.to_le_bytes()[..], &[1], &9.5_f64.to_le_bytes(), b"stuck \x1b[2J"].concat();
    writer.record(1, &valve).unwrap();
    writer.record(2, b"by hand").unwrap();
    writer.record(3, &[&f32::NAN.to_le_bytes()[..], &[0xfe, 0xff, 0xab]].concat()).unwrap();
    writer.record(3, b"abc").unwrap();
    writer.record(3, &[&0.5_f32.to_le_bytes()[..], &[7]].concat()).unwrap();
    writer.record(4, b"unknown").unwrap();
    place
}

#[test]
fn names_and_fields_of_events_are_shown() {
    let place = named();
    let dumped = stdout(&place.run(&["dump"]).success());
    let texts: Vec<_> =
        dumped.lines().map(|line| line.split_once("Z  0     ").unwrap().1).collect();
    let expected = [
        "1 valve id=7 open=1 pressure=9.5 note=stuck \\u{1b}[2J",
        "2 closed by hand",
        "3 level meters=NaN offset=-2 +ab",
        // Too short for the first field.
        "3 level [meters=f32 does not fit the payload] abc",
        // Too short for the second one.
        "3 level meters=0.5 [offset=i16 does not fit the payload] +07",
        "4 unknown",
    ];
    assert_eq!(texts, expected);
    let events = place.events();
    assert_eq!(events[0]["name"], "valve");
    let fields = json!({"id": 7, "open": 1, "pressure": 9.5, "note": "stuck \u{1b}[2J"});
    assert_eq!(events[0]["fields"], fields);
    assert_eq!((&events[1]["name"], &events[1]["fields"]), (&json!("closed"), &json!({})));
    assert_eq!((&events[1]["text"], events[1].get("rest")), (&json!("by hand"), None));
    assert_eq!(events[2]["fields"], json!({"meters": "NaN", "offset": -2}));
    assert_eq!((&events[2]["rest"], &events[2]["hex"]), (&json!("ab"), &json!("0000c07ffeffab")));
    assert_eq!(events[2].get("unread"), None);
    assert_eq!((&events[3]["unread"], &events[3]["text"]), (&json!("meters=f32"), &json!("abc")));
    assert_eq!((&events[4]["unread"], &events[4]["rest"]), (&json!("offset=i16"), &json!("07")));
    assert_eq!((events[5].get("name"), events[5].get("fields")), (None, None));
    place.run(&["stat"]).success();
    assert_eq!(place.stat()["names_damaged"], false);
}

/// JSON has no such numbers.
#[test]
fn infinities_are_the_strings_that_the_text_has() {
    let place = Place::empty();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let file = options.create_new(&place.path, 1 << 16).unwrap();
    let options = cachemaint_recorder::Options::new().events(&[(1, "level: a=f32 b=f64 c=f64")]);
    let recorder = options.create_new(file).unwrap().0;
    let level = [
        &f32::INFINITY.to_le_bytes()[..],
        &f64::NEG_INFINITY.to_le_bytes(),
        &f64::NAN.to_le_bytes(),
    ];
    recorder.claim().unwrap().record(1, &level.concat()).unwrap();
    let fields = json!({"a": "inf", "b": "-inf", "c": "NaN"});
    assert_eq!(place.events()[0]["fields"], fields);
    let text = stdout(&place.run(&["dump"]).success());
    assert!(text.ends_with(" level a=inf b=-inf c=NaN\n"), "{text}");
}

/// Records a hundred of the shortest events. `None` if a name with this text is refused.
fn with_text(text: &str) -> Option<Place> {
    let place = Place::empty();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let file = options.create_new(&place.path, 1 << 16).unwrap();
    let names = [(1, text)];
    let options = cachemaint_recorder::Options::new().events(&names);
    let (recorder, _) = options.create_new(file).ok()?;
    let writer = recorder.claim().unwrap();
    (0..100).for_each(|_| writer.record(1, b"").unwrap());
    drop(writer);
    drop(recorder);
    Some(place)
}

/// Such an event has 24 bytes in the file. A line has its text of at most 512 bytes, and at most 184 other characters in
/// JSON.
#[test]
fn a_dump_has_at_most_30_times_the_bytes_of_its_events() {
    let named = |len| with_text(&"a".repeat(len));
    let declared = |len: usize| with_text(&format!("a: {}=u64", "b".repeat(len - 7)));
    let longest = [named(3936).or_else(|| named(512)), declared(3936).or_else(|| declared(512))];
    for place in longest.map(Option::unwrap) {
        for arguments in [&["dump"][..], &["dump", "--json"]] {
            let dumped = stdout(&place.run(arguments).success());
            assert_eq!(dumped.lines().count(), 100);
            assert!(dumped.len() > 100 * 500, "{} bytes without the names", dumped.len());
            assert!(dumped.len() <= 100 * 24 * 30, "{} bytes", dumped.len());
        }
    }
}

/// Returns the names of all objects in lines of JSON, without those of fields.
fn names_of(lines: &[Value]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in lines {
        let object = line.as_object().unwrap();
        names.extend(object.keys().cloned());
        let gaps = ["lost", "skipped"].into_iter().filter_map(|name| object.get(name));
        names.extend(gaps.flat_map(|gap| gap.as_object().unwrap().keys().cloned()));
    }
    names
}

/// Returns the names in the table of the help: those at the beginnings of its lines, between commas.
fn names_of_help(help: &str) -> BTreeSet<String> {
    let table = help.split_once("\nJSON:\n").unwrap().1;
    let rows = table.lines().filter_map(|line| line.strip_prefix("  "));
    let rows = rows.filter(|row| row.starts_with(|first: char| first.is_ascii_lowercase()));
    let names = rows.map(|row| row.split_once("  ").unwrap().0);
    names.flat_map(|names| names.split(", ").map(str::to_owned)).collect()
}

#[test]
fn the_help_of_dump_has_each_name_of_its_json() {
    let place = named();
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let file = options.open(&place.path).unwrap();
    let recorder = cachemaint_recorder::Recorder::open(file).unwrap().0;
    recorder.claim().unwrap().record(4, &[0; 1 << 13]).unwrap_err();
    drop(recorder);
    let mut bytes = fs::read(&place.path).unwrap();
    let at = bytes.windows(7).position(|window| window == b"by hand").unwrap();
    bytes[at] ^= 1;
    fs::write(&place.path, &bytes).unwrap();
    let text = stdout(&place.run(&["dump", "--json"]).code(1));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let help = stdout(&place.run(&["dump", "--help"]).success());
    assert_eq!(names_of_help(&help), names_of(&lines), "{help}{text}");
}

/// The texts are at 16384 (module `recorder`, the format).
#[test]
fn damaged_names_of_events_are_reported_once_and_all_events_are_shown() {
    let place = named();
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[16384 + 30] ^= 1;
    fs::write(&place.path, &bytes).unwrap();
    let dump = place.run(&["dump"]).code(1);
    let warning = stderr(&dump);
    assert_eq!(warning.matches("the names of events are damaged").count(), 1, "{warning}");
    let dumped = stdout(&dump);
    assert_eq!(dumped.lines().count(), 6, "{dumped}");
    assert!(dumped.contains(" 2 by hand\n"), "{dumped}");
    assert!(
        dumped
            .lines()
            .next()
            .unwrap()
            .ends_with(" 1 \\u{7}\\0\\0\\0\\u{1}\\0\\0\\0\\0\\0\\0#@stuck \\u{1b}[2J")
    );
    let text = stdout(&place.run(&["stat"]).code(1));
    assert!(text.contains("damage      the names of events are damaged\n"), "{text}");
    assert_eq!(place.stat()["names_damaged"], true);
}

#[test]
fn a_damaged_copy_of_the_root_is_reported_and_replaced_by_the_next_opening() {
    let place = named();
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[12288 + 100] ^= 1;
    fs::write(&place.path, &bytes).unwrap();
    let dump = place.run(&["dump"]).success();
    assert_eq!(stderr(&dump), "");
    let text = stdout(&place.run(&["stat"]).code(1));
    assert!(text.contains("damage      one of the two copies of the root is damaged\n"), "{text}");
    assert_eq!(place.stat()["root_damaged"], true);
    place.run_with(&["record"], "two\n").success();
    assert_eq!(place.stat()["root_damaged"], false);
    place.run(&["stat"]).success();
}
