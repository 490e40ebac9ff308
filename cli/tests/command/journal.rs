//! `cachemaint journal`.

use crate::{Place, cachemaint, is_refused, json, stderr, stdout, unwrapped};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint_inspect::survival::{Event, Stage, Survival};
use cachemaint_journal::{Group, Options};
use cachemaint_sim::{Model, SimMedium, Simulation};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

/// The beginning of the log, the length of a mark, and the length of a record's header (crate `cachemaint-journal`, the format).
const LOG: u64 = 20_480;
/// The offset of the word that confirms.
const CONFIRMATION: u64 = 16_384;

const MARK: u64 = 16 + 48;

const HEADER: u64 = 16;

/// A place without a file yet.
fn empty() -> Place {
    Place::new("journal", "log")
}

/// A journal of these lines.
fn with(lines: &str) -> Place {
    let place = empty();
    place.run_with(&["append", "--create", "1M"], lines).success();
    place
}

/// A journal of [`many_lines`].
fn of_many_lines() -> Place {
    let place = Place::in_memory("journal", "log");
    place.run_with(&["append", "--create", "1M"], many_lines()).success();
    place
}

/// Returns enough lines for a damaged one at the beginning to be far older than any that may be torn.
fn many_lines() -> String {
    let lines: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    lines.concat()
}

#[test]
fn lines_come_back_in_order() {
    let place = with("one\n\nthree, without a newline at the end");
    assert_eq!(
        stdout(&place.run(&["read"]).success()),
        "one\n\nthree, without a newline at the end\n"
    );
    place.run(&["append", "--record", "four", "--record", "five\nsix"]).success();
    place.run_with(&["append", "--whole"], "seven\neight\n").success();
    let text = stdout(&place.run(&["read"]).success());
    assert!(text.ends_with("end\nfour\nfive\\nsix\nseven\\neight\\n\n"), "{text}");
    let many = of_many_lines();
    assert_eq!(stdout(&many.run(&["read"]).success()), many_lines());
}

/// A record of 3 bytes takes 16 of header and 8 of payload, and comes behind the mark of the segment. Trimming
/// opens the journal, which begins an epoch in the next segment. A file of 1 MiB has segments of 32 KiB.
#[test]
fn positions_are_printed_and_can_be_read_from_and_trimmed_to() {
    let place = empty();
    let create = ["append", "--create", "1M", "--positions"];
    let positions = stdout(&place.run_with(&create, "one\ntwo\nten\n").success());
    assert_eq!(positions, "64\n88\n112\n");
    assert_eq!(stdout(&place.run(&["read", "--from", "88"]).success()), "two\nten\n");
    let trimmed = stdout(&place.run(&["trim", "--to", "112"]).success());
    assert!(trimmed.starts_with("there are records from 112 to 32768; "), "{trimmed}");
    assert_eq!(stdout(&place.run(&["read"]).success()), "ten\n");

    for wrong in [["read", "--from", "100"], ["trim", "--to", "118"]] {
        let error = stderr(&place.run(&wrong).code(3));
        let expected = format!("no record begins or ends at position {}", wrong[2]);
        assert!(error.contains(&expected), "{error}");
        let source = "`journal read --json` lists the positions";
        assert_eq!(error.contains(source), wrong[0] == "trim", "{error}");
    }
    assert_eq!(stdout(&place.run(&["read"]).success()), "ten\n");
}

#[test]
fn the_guarantee_of_an_append_is_shown_if_it_is_weak() {
    let place = empty();
    let error = stderr(&place.run(&["append", "--create", "1M", "--record", "one"]).success());
    let guarantee = cachemaint_inspect::FileReport::at(&place.path).unwrap();
    let expected = format!("persistent, by the {}: {}", guarantee.granularity, guarantee.reason);
    let kept = guarantee.survives(Stage::Persisted, Event::PowerLoss).answer;
    let is_weak = !matches!(kept, Survival::Yes | Survival::If(_));
    assert_eq!(error.contains(&expected), is_weak, "{error}");
    let error = stderr(&place.run(&["append", "--record", "two", "--quiet"]).success());
    assert_eq!(error, "");
    // A quiet command prints what it is asked for, and no report.
    assert_eq!(stdout(&place.run(&["read", "-q"]).success()), "one\ntwo\n");
    assert_eq!(stdout(&place.run(&["verify", "-q"]).success()), "");
}

#[test]
fn a_full_journal_loses_nothing_and_says_what_to_do() {
    let place = empty();
    let create = ["append", "--create", "24K"];
    let error = stderr(&place.run_with(&create, many_lines()).code(3));
    assert!(error.contains("log: the journal is full: "), "{error}");
    assert!(error.contains("; trim it; "), "{error}");
    let text = stdout(&place.run(&["read"]).success());
    let count = text.lines().count();
    let expected = format!("; {count} records were appended, and record {} was not\n", count + 1);
    assert!(error.ends_with(&expected), "{error}");
    assert!(count > 0 && many_lines().starts_with(&text), "{text}");

    let refused = place.run_with(&["append", "--json"], many_lines()).code(3);
    let document: Value = serde_json::from_str(&stdout(&refused)).unwrap();
    let message = document["error"]["message"].as_str().unwrap();
    assert_eq!(stderr(&refused), format!("cachemaint: {message}\n"), "one object has all");
    assert_eq!(document["appended"], 0);

    let end = place.json(&["verify"])["recovered"]["end"].to_string();
    place.run(&["trim", "--to", &end]).success();
    place.run(&["append", "--record", "there is room again"]).success();
    assert_eq!(stdout(&place.run(&["read"]).success()), "there is room again\n");
}

/// Of a segment of 128 bytes the mark takes 64, and the record's header 16.
#[test]
fn a_line_that_does_not_fit_is_named_and_those_before_it_are_appended() {
    let place = empty();
    let create = ["append", "--create", "24K", "--segment", "128"];
    let error =
        stderr(&place.run_with(&create, format!("short\n{}\nnever\n", "x".repeat(500))).code(3));
    assert!(error.contains("log: a line has more than the 48 bytes that fit"), "{error}");
    assert!(error.ends_with("; 1 record was appended, and record 2 was not\n"), "{error}");
    assert_eq!(stdout(&place.run(&["read"]).success()), "short\n");
    let error = stderr(&place.run_with(&["append", "--whole"], "x".repeat(49)).code(3));
    assert!(error.contains("standard input has more than the 48 bytes"), "{error}");
    place.run_with(&["append", "--whole"], "x".repeat(48)).success();
}

/// One process appends, and others read meanwhile.
#[test]
fn an_open_journal_can_be_read_but_not_written_by_others() {
    let place = with("one\n");
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let (journal, _) =
        cachemaint_journal::Journal::open(options.open(&place.path).unwrap()).unwrap();
    journal.append(b"two").unwrap();
    for command in [&["append", "--record", "x"][..], &["trim", "--to", "0"]] {
        let error = stderr(&place.run(command).code(3));
        assert!(error.contains("log: is locked by another open file"), "{error}");
    }
    assert_eq!(stdout(&place.run(&["read"]).success()), "one\ntwo\n");
    assert_eq!(place.json(&["verify"])["recovered"]["records"], 2);
}

#[test]
fn a_follower_reads_records_appended_later() {
    let place = with("one\n");
    let mut follower = cachemaint()
        .args(["journal", "read", "--follow"])
        .arg(&place.path)
        .stdout(Stdio::piped())
        .spawn()
        .map(Endless)
        .unwrap();
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    place.run(&["append", "--record", "two"]).success();
    place.run(&["append", "--record", "three"]).success();
    assert_eq!(lines.next().unwrap().unwrap(), "two");
    assert_eq!(lines.next().unwrap().unwrap(), "three");
}

/// A process that does not end by itself.
struct Endless(Child);

impl Drop for Endless {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn nothing_that_a_terminal_executes_is_printed_unless_asked_for() {
    let record: &[u8] = b"\x1b[2J\xff \xc2\x9b";
    let place = empty();
    place.run_with(&["append", "--create", "1M", "--whole"], record).success();
    let shown = "\\u{1b}[2J\\xff \\u{9b}\n";
    assert_eq!(stdout(&place.run(&["read"]).success()), shown);
    assert_eq!(stdout(&place.run(&["salvage"]).success()), shown);
    let raw = [record, b"\n"].concat();
    assert_eq!(place.run(&["read", "--raw"]).success().0.stdout, raw);
    assert_eq!(place.run(&["salvage", "--raw"]).success().0.stdout, raw);
    place.run(&["read", "--raw", "--json"]).code(2);
}

#[test]
fn every_command_has_its_json() {
    let place = empty();
    let created = place.json(&["append", "--create", "1M", "--positions", "--record", "one"]);
    assert_eq!(created["schema"], 1);
    assert_eq!(created["created"], true);
    assert_eq!(created["appended"], 1);
    assert_eq!(created["positions"], serde_json::json!([64]));
    assert_eq!(created["end"], 88);
    assert!(created["guarantee"]["reason"].is_string());
    // A new epoch, in the next segment of 32 KiB.
    let appended = place.run_with(&["append", "--whole", "--json"], b"\xff\x00").success();
    assert!(stderr(&appended).is_empty(), "what it is worth is in the document");
    let appended: Value = serde_json::from_str(&stdout(&appended)).unwrap();
    assert_eq!(appended["created"], false);
    assert!(appended["positions"].is_null());

    for command in ["read", "salvage"] {
        let lines = stdout(&place.run(&[command, "--json"]).success());
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], serde_json::json!({"position": 64, "end": 88, "text": "one"}));
        assert_eq!(lines[1], serde_json::json!({"position": 32832, "end": 32856, "hex": "ff00"}));
        assert_eq!(lines.len(), 2);
    }
    let verified = place.json(&["verify"]);
    assert_eq!(verified["identity"].as_str().unwrap().len(), 32);
    assert_eq!(verified["recovered"]["bytes"], 5);
    assert_eq!(verified["recovered"]["torn"], false);
    let trimmed = place.json(&["trim", "--to", "32832"]);
    assert_eq!(trimmed["head"], 32_832);
    assert_eq!(trimmed["end"], 65_536);
    assert!(trimmed["free"].is_u64());
}

/// Records of 16 bytes of header and 8 of payload, behind a mark of 64, in a segment of 128.
#[test]
fn the_json_of_a_failed_append_has_the_acknowledged_records() {
    let long = "x".repeat(500);
    let place = empty();
    let create = ["append", "--create", "24K", "--segment", "128", "--json", "--positions"];
    let rows = [
        (&create[..], format!("a\nb\n{long}\nnever\n")),
        (&["append", "--json", "--positions", "--record", "c", "--record", &long], String::new()),
    ];
    let mut positions = Vec::new();
    for (command, input) in rows {
        let failed = place.run_with(command, input).code(3);
        assert!(stderr(&failed).contains("was not\n"), "{}", stderr(&failed));
        let document: Value = serde_json::from_str(&stdout(&failed)).unwrap();
        let found = document["positions"].as_array().unwrap();
        assert_eq!(document["appended"], found.len());
        positions.extend(found.iter().map(|position| position.as_u64().unwrap()));
        assert_eq!(document["end"], positions.last().unwrap() + HEADER + 8);
    }
    let lines = stdout(&place.run(&["read", "--json"]).success());
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let read: Vec<u64> = records.map(|record| record["position"].as_u64().unwrap()).collect();
    assert_eq!((read.len(), read), (3, positions));
}

#[test]
fn a_damaged_journal_is_reported_read_and_salvaged() {
    let place = of_many_lines();
    let is_whole = place.json(&["verify"]);
    assert_eq!(is_whole["recovered"]["records"], 20_000);
    assert!(is_whole["recovered"]["damage"].is_null());
    // Records of `line 0` to `line 9` have 16 + 8 bytes; this is in the payload of the fifth.
    let position = MARK + 4 * (HEADER + 8);
    place.damage(usize::try_from(LOG + position + HEADER + 2).unwrap());

    let verified = place.json(&["verify"]);
    assert_eq!(verified["recovered"]["records"], 4);
    assert_eq!(verified["recovered"]["damage"]["at"], position);
    assert_eq!(verified["recovered"]["damage"]["fault"], "tag");
    let text = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    let where_it_is = format!("damaged at position {position}, offset {}", LOG + position);
    assert!(text.contains(&where_it_is), "{text}");
    for text in [text, unwrapped(&stdout(&place.inspect(&[]).code(1)))] {
        assert!(text.contains("unknown: only the records before the damage are counted"), "{text}");
    }

    let gate = place.inspect(&["--quiet", "--survives", "process-crash"]).code(1);
    assert!(stderr(&gate).contains("log: the journal is damaged; `cachemaint journal verify`"));

    let read = place.run(&["read"]).code(1);
    assert_eq!(stdout(&read), "line 0\nline 1\nline 2\nline 3\n");
    for refused in [read, place.run(&["append", "--record", "x"]).code(1)] {
        let error = stderr(&refused);
        assert!(error.contains(&format!("log: the journal is {where_it_is}")), "{error}");
        assert!(
            error
                .contains("copy its intact records to a new journal with `journal salvage --into`"),
            "{error}"
        );
    }

    let expected = many_lines().replace("line 4\n", "");
    let salvaged = place.run(&["salvage"]).code(1);
    assert_eq!(stdout(&salvaged), expected);
    let skipped = format!(
        "ranges without a valid record: 1, the first from position {position} to {}",
        position + HEADER + 8
    );
    assert!(stderr(&salvaged).contains(&skipped), "{}", stderr(&salvaged));

    let before = fs::read(&place.path).unwrap();
    // Another range, of the seventh record: --json lists both.
    place.damage(usize::try_from(LOG + position + 2 * 24 + HEADER + 2).unwrap());
    let salvaged = place.run(&["salvage", "--json"]).code(1);
    let printed = stdout(&salvaged);
    let lines = printed.lines().filter(|line| line.contains("skipped"));
    let listed: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let skipped = |at: u64| serde_json::json!({"skipped": {"start": at, "end": at + HEADER + 8}});
    assert_eq!(listed, [skipped(position), skipped(position + 2 * 24)]);
    assert!(
        stderr(&salvaged).contains("log: ranges without a valid record: 2"),
        "{}",
        stderr(&salvaged)
    );
    fs::write(&place.path, &before).unwrap();

    let new = Place::in_memory("journal", "log");
    let into = ["salvage", "--into", new.path.to_str().unwrap()];
    let made = place.run(&into).code(1);
    let expected_text = format!("records in {}: 19999\n", new.path.display());
    assert_eq!(stdout(&made), expected_text);
    assert!(fs::read(&place.path).unwrap() == before, "the damaged journal is not written to");
    assert_eq!(stdout(&new.run(&["read"]).success()), expected);
    new.run(&["append", "--record", "and on"]).success();
    assert!(stdout(&new.run(&["read"]).success()).ends_with("line 19999\nand on\n"));
    new.run(&["verify"]).success();
    let kept = fs::read(&new.path).unwrap();
    let error = stderr(&place.run(&into).code(3));
    assert!(error.contains("exists"), "{error}");
    assert!(fs::read(&new.path).unwrap() == kept);
}

/// Records of a journal of small segments, of which one fills a segment, are as many as before in one of the same sizes.
#[test]
fn a_full_journal_is_salvaged_into_one_of_its_sizes() {
    let place = empty();
    let create = ["append", "--create", "32K", "--segment", "128"];
    place.run_with(&create, format!("{}\nshort\n", "x".repeat(48)).repeat(200)).code(3);
    let records = stdout(&place.run(&["read"]).success());
    let new = empty();
    place.run(&["salvage", "--into", new.path.to_str().unwrap()]).success();
    assert_eq!(stdout(&new.run(&["read"]).success()), records);
}

#[test]
fn an_invalid_journal_is_refused() {
    let commands: [&[&str]; 5] = [
        &["read"],
        &["verify"],
        &["salvage"],
        &["append", "--record", "x"],
        &["trim", "--to", "0"],
    ];
    let whole = fs::read(with("one\n").path).unwrap();
    let contents: [(Vec<u8>, (i32, &str)); 5] = [
        (Vec::new(), (3, "has no bytes to map")),
        (vec![0; 65_536], (3, "there is no journal: the medium begins with zeros")),
        (vec![b'x'; 65_536], (3, "this is not a journal: it begins with xxxxxxxx")),
        (b"short".to_vec(), (3, "this is not a journal: it begins with short")),
        (whole[..100_000].to_vec(), (1, "but only 100000 are there; restore the rest")),
    ];
    for (content, expected) in contents {
        let place = empty();
        is_refused(&place.path, &content, expected, &commands, |command| place.run(command));
    }
}

/// The records of the last page are gone, which a journal that was closed proves.
#[test]
fn salvage_fails_if_the_last_records_are_gone() {
    let place = of_many_lines();
    let len = fs::metadata(&place.path).unwrap().len();
    let file = fs::File::options().write(true).open(&place.path).unwrap();
    file.set_len(28_672).unwrap();
    file.set_len(len).unwrap();
    place.run(&["verify"]).code(1);
    let salvaged = place.run(&["salvage"]).code(1);
    assert!(!salvaged.0.stderr.is_empty());
}

/// 16 segments of 256 bytes.
fn medium() -> SimMedium {
    Simulation::new(Model::CACHES_KEPT, LOG + 16 * 256).medium()
}

fn options(opening: u64) -> Options {
    Options::with_entropy([7, opening]).segment(256)
}

/// An acknowledged record of 16 + 8 bytes behind the mark of 64 bytes, and a group of four such records, the first of
/// which is torn: from 88 to 112.
fn torn() -> Place {
    torn_group(&["torn", "kept", "two", "three"])
}

/// An acknowledged record of 16 + 8 bytes behind the mark of 64 bytes, and a group of records, the first of which is torn. The
/// power failed before the word that confirms was written back.
fn torn_group(records: &[&str]) -> Place {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    let mut group = Group::new();
    for record in records {
        group.push(record.as_bytes());
    }
    journal.append_group(&mut group).unwrap();
    medium.write(LOG + 88 + 16, &[0; 8]);
    medium.write(CONFIRMATION, &[0; 8]);
    let mut bytes = vec![0; usize::try_from(medium.len()).unwrap()];
    medium.read(0, &mut bytes).unwrap();
    let place = empty();
    fs::write(&place.path, bytes).unwrap();
    place
}

#[test]
fn whole_records_after_a_torn_end_are_reported_until_they_are_discarded() {
    let place = torn();
    let verified = place.json(&["verify"])["recovered"].clone();
    assert_eq!(
        (&verified["records"], &verified["end"]),
        (&serde_json::json!(1), &serde_json::json!(88))
    );
    assert_eq!(
        (&verified["torn"], &verified["after_gap"]),
        (&serde_json::json!(true), &serde_json::json!(3))
    );
    assert!(verified["damage"].is_null());
    let text = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    assert!(text.contains("3 intact records follow the torn end at 88: "), "{text}");
    let found = json(&place.inspect(&["--json"]).success());
    assert_eq!((&found["kind"], &found["recovered"]), (&"journal".into(), &verified));
    let told = stderr(&place.run(&["append", "--record", "next"]).success());
    assert!(told.contains("3 intact records follow the torn end at 88"), "{told}");
    assert!(told.contains("discarded"), "{told}");
}

#[test]
fn a_torn_end_is_told_to_readers_and_writers() {
    let place = torn_group(&["torn"]);
    let told = "the end at 88 is torn";
    let verified = place.run(&["verify"]).success();
    assert!(unwrapped(&stdout(&verified)).contains(told), "{}", stdout(&verified));
    assert_eq!(place.json(&["verify"])["recovered"]["torn"], true);
    for arguments in [&["read"][..], &["append", "--record", "next"]] {
        let told_to = place.run(arguments).success();
        assert!(stderr(&told_to).contains(told), "{}", stderr(&told_to));
    }
    assert!(!stderr(&place.run(&["read"]).success()).contains(told));
}

#[test]
fn a_lost_copy_of_the_root_is_reported_until_the_next_opening() {
    let place = with("one\ntwo\n");
    place.run(&["verify"]).success();
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[64] ^= 0xff;
    fs::write(&place.path, bytes).unwrap();
    let lost = "a copy of the root is torn, damaged or being written now";
    let verified = place.run(&["verify"]).code(1);
    assert!(unwrapped(&stdout(&verified)).contains(lost), "{}", stdout(&verified));
    assert!(!stdout(&verified).contains("none"), "{}", stdout(&verified));
    let inspected = unwrapped(&stdout(&place.inspect(&[]).code(1)));
    assert!(inspected.contains(lost), "{inspected}");
    let appended = place.run(&["append", "--record", "three"]).success();
    assert!(stderr(&appended).contains(lost), "{}", stderr(&appended));
    place.run(&["verify"]).success();
}
