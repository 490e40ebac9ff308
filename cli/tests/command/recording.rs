//! `cachemaint recording`.

use crate::{Place, cachemaint, is_refused, ran, stderr, stdout, unwrapped, utc};
use cachemaint::dax;
use cachemaint_recorder::{Clock, Identity, Options, Recorder, Writer};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

/// A place without a file yet.
fn empty() -> Place {
    Place::new("recording", "trace")
}

/// A recording of these lines.
fn with(lines: &str) -> Place {
    let place = empty();
    place.run_with(&["write", "--create", "64K"], lines).success();
    place
}

impl Place {
    /// The lines of `recording print --json`.
    fn events(&self) -> Vec<Value> {
        let text = stdout(&self.run(&["print", "--json"]));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events' ids and texts, in the order of time.
    fn texts(&self) -> Vec<(u64, String)> {
        let events = self.events().into_iter().filter(|event| event["id"].is_u64());
        // One with NUL has its digits instead.
        let text =
            |event: Value| event["text"].as_str().or(event["hex"].as_str()).unwrap().to_owned();
        events.map(|event| (event["id"].as_u64().unwrap(), text(event))).collect()
    }

    fn inspected(&self) -> Value {
        crate::json(&self.inspect(&["--json"]))
    }
}

#[test]
fn lines_become_events_with_the_time_at_which_they_came() {
    let place = empty();
    let mut last = utc("1 second ago");
    place.run_with(&["write", "--create", "1M"], "one\n\nthree \x1b[2J").success();
    let end = utc("1 second");
    let texts = place.texts();
    let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["one", "", "three \u{1b}[2J"]);
    for event in &place.events() {
        assert_eq!((&event["id"], &event["shard"]), (&json!(0), &json!(0)));
        let time = event["time"].as_str().unwrap();
        assert!(*last <= *time && *time <= *end, "{event}");
        time.clone_into(&mut last);
    }
    let text = stdout(&place.run(&["print"]).success());
    assert!(text.lines().nth(2).unwrap().ends_with(" three \\u{1b}[2J"), "{text:?}");
}

#[test]
fn recording_goes_on_where_it_has_ended_and_the_oldest_is_overwritten() {
    let place = with("first\n");
    place.run_with(&["write", "--durability", "10ms"], "second\n").success();
    assert_eq!(place.texts(), [(0, "first".to_owned()), (0, "second".to_owned())]);
    assert_eq!(place.inspected()["openings"], 2);

    let many: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    place.run_with(&["write", "--durability", "sub-buffer"], many.concat()).success();
    let texts = place.texts();
    let kept: Vec<String> = texts.iter().map(|(_, text)| format!("{text}\n")).collect();
    assert!(kept.len() > 100 && kept.len() < many.len(), "{}", kept.len());
    assert!(many.ends_with(&kept), "the last ones, and no gap: {kept:?}");
    let found = place.inspected();
    assert_eq!(found["shards"][0]["events"], kept.len());
}

/// A sub-buffer of 4096 bytes has a header of 64, and a record one of 24 (crate `cachemaint-recorder`, the format).
#[test]
fn a_line_that_is_too_long_is_split() {
    let most = 4096 - 64 - 24;
    let place = with(&format!("{}\n{}y\nnext\n", "x".repeat(most), "x".repeat(most)));
    let lengths: Vec<usize> = place.texts().iter().map(|(_, text)| text.len()).collect();
    assert_eq!(lengths, [most, most, 1, 4]);
}

/// Events recorded before a kill are there, with any durability. A signal ends the recording with everything written back.
#[cfg(unix)]
#[test]
fn recorded_events_survive_a_kill_and_a_signal_ends_the_recording() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::Write as _;
    use std::os::unix::process::ExitStatusExt as _;

    for signal in [Signal::KILL, Signal::TERM] {
        let place = empty();
        let mut record = cachemaint();
        record
            .args(["recording", "write", "--create", "1M"])
            .arg(&place.path)
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = record.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"ready\n").unwrap();
        // Until then there may be no recording to print.
        while place.texts().is_empty() {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
        assert_eq!(place.texts(), [(0, "ready".to_owned())]);
        assert_eq!(place.inspected()["shards"][0]["damaged"], 0);
    }
}

/// A line that comes while everything is written back does not fail the command. SIGTERM is 15.
#[cfg(unix)]
#[test]
fn an_interrupt_in_the_middle_of_the_input_ends_recording_too() {
    use std::os::unix::process::ExitStatusExt as _;

    for _ in 0..8 {
        let place = empty();
        let mut child = cachemaint()
            .args(["recording", "write", "--create", "256K"])
            .arg(&place.path)
            .stdin(fs::File::open("/dev/zero").unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while place.texts().is_empty() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(15), "{error}");
    }
}

#[test]
fn damage_is_shown_and_the_rest_is_read() {
    let lines: Vec<String> = (0..10).map(|number| format!("line {number}\n")).collect();
    let place = with(&lines.concat());
    let mut bytes = fs::read(&place.path).unwrap();
    let at = bytes.windows(6).position(|window| window == b"line 4").unwrap();
    bytes[at] ^= 1;
    fs::write(&place.path, &bytes).unwrap();

    let dumped = stdout(&place.run(&["print"]).code(1));
    assert_eq!(dumped.lines().filter(|line| line.contains(" line ")).count(), 9);
    assert!(dumped.contains("[shard 0: up to 32 bytes at "), "{dumped}");
    let events = place.events();
    assert_eq!(events[4]["skipped"]["kind"], "damaged");
    assert_eq!(events[4]["skipped"]["at"], at - 24);
    assert_eq!(events[5]["text"], "line 5");
    let found = unwrapped(&stdout(&place.inspect(&[]).code(1)));
    assert!(found.contains("32 bytes damaged"), "{found}");
    assert_eq!(fs::read(&place.path).unwrap(), bytes, "only read");
}

/// Readers that take numbers as doubles would round them.
#[test]
fn numbers_beyond_2_to_the_53rd_are_text() {
    let place = empty();
    let file =
        dax::Options::new().allow_page_granularity().create_new(&place.path, 1 << 16).unwrap();
    let recorder = Options::new().events(&[(1, "request: id=u64")]).create_new(file).unwrap().0;
    let writer = recorder.claim().unwrap();
    for id in [u64::MAX, (1 << 53) + 1, 1 << 53] {
        writer.record(1, &id.to_le_bytes()).unwrap();
    }
    let ids: Vec<_> = place.events().iter().map(|event| event["fields"]["id"].clone()).collect();
    let expected = [
        json!("18446744073709551615"),
        json!("9007199254740993"),
        json!(9_007_199_254_740_992_u64),
    ];
    assert_eq!(ids, expected);
}

#[test]
fn unknown_and_truncated_files_are_refused() {
    for (content, expected) in [
        (vec![b'x'; 65_536], "begins with xxxxxxxx"),
        (vec![0; 65_536], "the medium begins with zeros"),
        (b"short".to_vec(), "begins with short"),
        (Vec::new(), "has no bytes to map"),
    ] {
        let place = empty();
        let run = |command: &[&str]| place.run(command);
        is_refused(&place.path, &content, (3, expected), &[&["print"], &["write"]], run);
    }
    let place = with("one\n");
    fs::write(&place.path, &fs::read(&place.path).unwrap()[..20_000]).unwrap();
    for run in [place.inspect(&[]), place.run(&["print"]), place.run(&["write"])] {
        let error = stderr(&run.code(1));
        assert!(error.contains("bytes, but only 20000 are there"), "{error}");
    }
}

#[test]
fn one_process_records_into_a_file_and_others_read_it() {
    let place = with("one\n");
    let options = dax::Options::new().allow_page_granularity();
    let file = options.open(&place.path).unwrap();
    let recorder = Recorder::open(file).unwrap().0;
    recorder.claim().unwrap().record(77, b"two").unwrap();
    let error = stderr(&place.run(&["write"]).code(3));
    assert!(error.contains("trace: is locked by another open file"), "{error}");
    assert_eq!(place.texts(), [(0, "one".to_owned()), (77, "two".to_owned())]);
}

/// Records of 3 bytes take 16 of header and 8 of payload, and a mark 64.
#[test]
fn a_journal_is_recognized_by_its_magic() {
    let place = empty();
    let append = ["--create", "64K", "--record", "one", "--record", "two"];
    ran(cachemaint().args(["journal", "append"]).arg(&place.path).args(append), "").success();
    let found = place.inspected();
    assert_eq!(found["kind"], "journal");
    assert_eq!(found["used"], 64 + 2 * 24);
    assert_eq!(found["recovered"]["records"], 2);
    // Of 44 KiB behind the roots and the confirmation, segments are as large as sixteen of them fit, powers of two.
    assert_eq!(found["capacity"], 22 * 2048);
    let text = stdout(&place.inspect(&[]).success());
    assert!(text.contains("\nused        112 of 45,056 bytes (0 %)\n"), "{text}");
    let error = stderr(&place.run(&["print"]).code(3));
    assert!(error.contains("trace: the medium holds a journal, not a recording"), "{error}");
}

/// A tick is a millisecond.
fn clock(wall: fn() -> u64) -> Clock {
    Clock::from_function(|| 5_000, 1_000, wall)
}

fn recording(wall: fn() -> u64) -> Place {
    let place = empty();
    let file =
        dax::Options::new().allow_page_granularity().create_new(&place.path, 1 << 16).unwrap();
    let options = Options::with_clock(Identity([7; 16]), clock(wall));
    let recorder = options.create_new(file).unwrap().0;
    recorder.claim().unwrap().record_at(7_500, 1, b"two and a half seconds later").unwrap();
    place
}

/// The moment is 10^9 seconds after the beginning of 1970 (`date -u -d @1000000000`).
#[test]
fn the_clock_of_a_recording_and_its_anchor_are_shown() {
    let place = recording(|| 1_000_000_000_000_000_050);
    let found = place.inspected();
    assert_eq!((&found["clock"], &found["ticks_per_second"]), (&json!("caller"), &json!(1000)));
    let anchor = json!({"ticks": 5000, "time": "2001-09-09T01:46:40.000000050Z"});
    assert_eq!(found["anchor"], anchor);
    let text = stdout(&place.inspect(&[]).success());
    for row in [
        "clock       caller, 1,000 ticks a second\n",
        "anchor      tick 5,000 at 2001-09-09T01:46:40.000000050Z\n",
    ] {
        assert!(text.contains(row), "{text}");
    }
    let event = &place.events()[0];
    assert_eq!(event["timestamp"], 7500);
    assert_eq!(event["time"], "2001-09-09T01:46:42.500000050Z");
}

#[test]
fn a_clock_without_wall_time_has_an_anchor_without_a_time() {
    let place = recording(|| 0);
    assert_eq!(place.inspected()["anchor"], json!({"ticks": 5000, "time": null}));
    let text = stdout(&place.inspect(&[]).success());
    assert!(text.contains("anchor      none: the clock had no wall time\n"), "{text}");
    assert_eq!(place.events()[0]["time"], json!(null));
}

/// The clock of the second opening is a second behind.
#[test]
fn the_opening_of_each_event_is_shown() {
    let place = recording(|| 1_000_000_000_000_000_000);
    let file = dax::Options::new().allow_page_granularity().open(&place.path).unwrap();
    let options = Options::with_clock(Identity([8; 16]), clock(|| 999_999_999_000_000_000));
    let recorder = options.open(file).unwrap().0;
    recorder.claim().unwrap().record_at(7_500, 1, b"again").unwrap();
    drop(recorder);
    let events = place.events();
    let openings: Vec<_> = events.iter().map(|event| (&event["opening"], &event["time"])).collect();
    let expected = [
        (&json!(1), &json!("2001-09-09T01:46:42.500000000Z")),
        (&json!(2), &json!("2001-09-09T01:46:41.500000000Z")),
    ];
    assert_eq!(openings, expected);
    let text = stdout(&place.run(&["print"]).success());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (3, "[opening 2]"), "{text}");
}

/// A recording with names of events, after its program has ended.
fn named() -> Place {
    const EVENTS: &[(u16, &str)] = &[
        (1, "valve: id=u32 open=u8 pressure=f64 note=str"),
        (2, "closed"),
        (3, "level: meters=f32 offset=i16"),
    ];
    let place = empty();
    let options = dax::Options::new().allow_page_granularity();
    let file = options.create_new(&place.path, 1 << 16).unwrap();
    let recorder = Options::new().events(EVENTS).create_new(file).unwrap().0;
    let writer = recorder.claim().unwrap();
    let valve = [&7_u32.to_le_bytes()[..], &[1], &9.5_f64.to_le_bytes(), b"stuck \x1b[2J"].concat();
    writer.record(1, &valve).unwrap();
    writer.record(2, b"by hand").unwrap();
    writer.record(3, &[&f32::NAN.to_le_bytes()[..], &[0xfe, 0xff, 0xab]].concat()).unwrap();
    writer.record(3, b"abc").unwrap();
    writer.record(3, &[&0.5_f32.to_le_bytes()[..], &[7]].concat()).unwrap();
    writer.record(4, b"unknown").unwrap();
    writer.record(1, &[&valve[..13], b"\xff"].concat()).unwrap();
    place
}

#[test]
fn names_and_fields_of_events_are_shown() {
    let place = named();
    let dumped = stdout(&place.run(&["print"]).success());
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
        "1 valve id=7 open=1 pressure=9.5 note=\\xff",
    ];
    assert_eq!(texts, expected);
    let events = place.events();
    assert_eq!(events[0]["name"], "valve");
    let fields = json!({"id": 7, "open": 1, "pressure": 9.5, "note": "stuck \u{1b}[2J"});
    assert_eq!(events[0]["fields"], fields);
    assert_eq!((&events[1]["name"], &events[1]["fields"]), (&json!("closed"), &json!({})));
    assert_eq!((&events[1]["text"], events[1].get("rest")), (&json!("by hand"), None));
    assert_eq!(events[2]["fields"], json!({"meters": "NaN", "offset": -2}));
    // The fields say all of the payload, but for bytes that JSON cannot show.
    let payload = |event: &Value| [event.get("text").cloned(), event.get("hex").cloned()];
    assert_eq!((payload(&events[0]), payload(&events[2])), ([None, None], [None, None]));
    assert_eq!(events[2]["rest"], "ab");
    assert_eq!(events[2].get("unread"), None);
    assert_eq!((&events[3]["unread"], &events[3]["text"]), (&json!("meters=f32"), &json!("abc")));
    assert_eq!((&events[4]["unread"], &events[4]["rest"]), (&json!("offset=i16"), &json!("07")));
    assert_eq!((events[5].get("name"), events[5].get("fields")), (None, None));
    let hex = json!("07000000010000000000002340ff");
    assert_eq!((&events[6]["fields"]["note"], &events[6]["hex"]), (&json!("\u{fffd}"), &hex));
    place.inspect(&[]).success();
    assert_eq!(place.inspected()["names_damaged"], false);
}

#[test]
fn the_last_events_are_shown_if_they_are_asked_for() {
    let place = with("one\ntwo\nthree\n");
    let last = |arguments: &[&str]| stdout(&place.run(arguments).success());
    let two = last(&["print", "--last", "2"]);
    assert_eq!(
        two.lines().map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(),
        ["two", "three"]
    );
    let two = last(&["print", "-j", "-n", "2"]);
    let texts =
        two.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone());
    assert_eq!(texts.collect::<Vec<_>>(), [json!("two"), json!("three")]);
    assert_eq!(last(&["print", "-n", "0"]), "");
    assert_eq!(last(&["print", "-n", "9", "-j"]).lines().count(), 3);
}

/// Shard 0 has the events 0 to 3, and shard 1 the events 10 and 11, which come after the first two. The second opening has
/// the last two of each.
#[test]
fn events_of_a_shard_are_shown() {
    let place = empty();
    let options = dax::Options::new().allow_page_granularity();
    let record = |recorder: Recorder<'_, dax::DaxFile>, events: &[(usize, u16)]| {
        let writers = [recorder.claim().unwrap(), recorder.claim().unwrap()];
        for (shard, id) in events {
            writers[*shard].record(*id, b"").unwrap();
        }
    };
    let created = options.create_new(&place.path, 1 << 16).unwrap();
    record(Options::new().shards(2).create_new(created).unwrap().0, &[(0, 0), (0, 1), (1, 10)]);
    let opened = options.open(&place.path).unwrap();
    record(Recorder::open(opened).unwrap().0, &[(1, 11), (0, 2), (0, 3)]);
    let ids = |arguments: &[&str]| {
        let text = stdout(&place.run(&[&["print"], arguments].concat()).success());
        let id =
            |line: &str| line.split(' ').filter(|word| !word.is_empty()).nth(2).map(str::to_owned);
        let text: Vec<_> =
            text.lines().map(|line| id(line).unwrap_or_else(|| "-".to_owned())).collect();
        text.join(" ")
    };
    assert_eq!(ids(&[]), "0 1 10 - 11 2 3");
    assert_eq!(ids(&["--shard", "1"]), "10 - 11");
    assert_eq!(ids(&["--shard", "1", "--shard", "0", "-n", "2"]), "2 3");
    let error = stderr(&place.run(&["print", "--shard", "2"]).code(3));
    assert!(error.contains("has only the shards 0 to 1"), "{error}");
}

/// The texts are at 16384 (crate `cachemaint-recorder`, the format).
#[test]
fn damaged_names_of_events_are_reported_once_and_all_events_are_shown() {
    let place = named();
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[16384 + 30] ^= 1;
    fs::write(&place.path, &bytes).unwrap();
    let print = place.run(&["print"]).code(1);
    let warning = stderr(&print);
    assert_eq!(warning.matches("the names of events are damaged").count(), 1, "{warning}");
    let dumped = stdout(&print);
    assert_eq!(dumped.lines().count(), 7, "{dumped}");
    assert!(dumped.contains(" 2 by hand\n"), "{dumped}");
    assert!(
        dumped
            .lines()
            .next()
            .unwrap()
            .ends_with(" 1 \\u{7}\\0\\0\\0\\u{1}\\0\\0\\0\\0\\0\\0#@stuck \\u{1b}[2J")
    );
    let text = stdout(&place.inspect(&[]).code(1));
    assert!(text.contains("damage      the names of events are damaged\n"), "{text}");
    assert_eq!(place.inspected()["names_damaged"], true);
}

#[test]
fn a_damaged_copy_of_the_root_is_reported_and_replaced_by_the_next_opening() {
    let place = named();
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[12288 + 100] ^= 1;
    fs::write(&place.path, &bytes).unwrap();
    let print = place.run(&["print"]).success();
    assert_eq!(stderr(&print), "");
    let text = stdout(&place.inspect(&[]).code(1));
    assert!(text.contains("damage      one of the two copies of the root is damaged\n"), "{text}");
    assert_eq!(place.inspected()["root_damaged"], true);
    place.run_with(&["write"], "two\n").success();
    assert_eq!(place.inspected()["root_damaged"], false);
    place.inspect(&[]).success();
}

/// Longer than the bytes that are verified at once, and in two shards far more than a pipe holds.
const PAYLOAD: usize = 1000;

const BYTES: u64 = 8 << 20;

/// Prints two full shards, the first of which has the older events, and overwrites one of them as a whole while the command
/// waits for its reader in the first shard. Returns standard output and standard error.
fn overtaken(format: &[&str]) -> (String, String) {
    let place = empty();
    let file = dax::Options::new().allow_page_granularity().create_new(&place.path, BYTES).unwrap();
    let recorder = Options::new().shards(2).create_new(file).unwrap().0;
    let mut writers = [(); 2].map(|()| recorder.claim().unwrap());
    writers.sort_by_key(Writer::shard);
    let record = |shard: u32| {
        for _ in 0..BYTES / PAYLOAD as u64 {
            writers[shard as usize].record(1, &[b'x'; PAYLOAD]).unwrap();
        }
    };
    record(0);
    record(1);
    let mut print = cachemaint()
        .args(["recording", "print"])
        .arg(&place.path)
        .args(format)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(print.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    record(0);
    output.read_to_string(&mut text).unwrap();
    let ended = print.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    (text, String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_print_that_a_writer_overtakes_counts_its_gaps_and_advises_a_copy() {
    let (text, error) = overtaken(&[]);
    let gaps = text.lines().filter(|line| line.ends_with(" are overwritten while they were read]"));
    let (gaps, places) = match gaps.count() {
        1 => (1, "place"),
        gaps => (gaps, "places"),
    };
    assert!(gaps > 0, "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let said =
        format!(" overwrote events while they were read, which is marked in {gaps} {places}; ");
    assert!(error.contains(&said), "{gaps}: {error}");
    assert!(error.ends_with("; copy the file, and print the copy\n"), "{error}");

    let (lines, error) = overtaken(&["--json"]);
    assert!(lines.contains("\"kind\":\"overwritten\""));
    assert!(error.ends_with("; copy the file, and print the copy\n"), "{error}");
}
