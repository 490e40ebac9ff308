//! `cachemaint journal` as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "journal/after_gap.rs"]
mod after_gap;
#[path = "journal/damage.rs"]
mod damage;
mod printed;
mod refused;
#[cfg(target_os = "linux")]
#[path = "journal/reports.rs"]
mod reports;
mod unread;
mod wrapped;

use assert_cmd::assert::Assert;
use assert_cmd::{Command, cargo};
use printed::{stderr, stdout};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use tempfile::TempDir;

/// The beginning of the log, the length of a mark, and the length of a record's header (module `journal`, the format).
const LOG: u64 = 16_384;
const MARK: u64 = 16 + 48;
const HEADER: u64 = 16;

/// A directory with a journal in it.
struct Place {
    path: PathBuf,
    _directory: TempDir,
}

impl Place {
    /// A place without a file yet.
    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("log"), _directory: directory }
    }

    /// A journal of these lines.
    fn with(lines: &str) -> Self {
        let place = Self::empty();
        place.run_with(&["append", "--create", "1M"], lines).success();
        place
    }

    /// `cachemaint journal COMMAND FILE …`
    fn run(&self, arguments: &[&str]) -> Assert {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Assert {
        let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
        command.arg("journal").arg(arguments[0]).arg(&self.path).args(&arguments[1..]);
        command.write_stdin(input).assert()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_slice(&self.run(&arguments).get_output().stdout).unwrap()
    }

    /// Changes a bit of the byte at an offset.
    fn damage(&self, at: u64) {
        let mut bytes = fs::read(&self.path).unwrap();
        bytes[usize::try_from(at).unwrap()] ^= 1;
        fs::write(&self.path, bytes).unwrap();
    }
}

/// Returns enough lines for a damaged one at the beginning to be far older than any that may be torn.
fn many_lines() -> String {
    let lines: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    lines.concat()
}

#[test]
fn lines_come_back_in_order() {
    let place = Place::with("one\n\nthree, without a newline at the end");
    assert_eq!(
        stdout(&place.run(&["read"]).success()),
        "one\n\nthree, without a newline at the end\n"
    );
    place.run(&["append", "--record", "four", "--record", "five\nsix"]).success();
    place.run_with(&["append", "--whole"], "seven\neight\n").success();
    let text = stdout(&place.run(&["read"]).success());
    assert!(text.ends_with("end\nfour\nfive\\nsix\nseven\\neight\\n\n"), "{text}");
    let many = Place::with(&many_lines());
    assert_eq!(stdout(&many.run(&["read"]).success()), many_lines());
}

/// A record of 3 bytes takes 16 of header and 8 of payload, and comes behind the mark of the segment. Trimming
/// opens the journal, which begins an epoch in the next segment. A file of 1 MiB has segments of 32 KiB.
#[test]
fn positions_are_printed_and_can_be_read_from_and_trimmed_to() {
    let place = Place::empty();
    let create = ["append", "--create", "1M", "--positions"];
    let positions = stdout(&place.run_with(&create, "one\ntwo\nten\n").success());
    assert_eq!(positions, "64\n88\n112\n");
    assert_eq!(stdout(&place.run(&["read", "--from", "88"]).success()), "two\nten\n");
    let trimmed = stdout(&place.run(&["trim", "--to", "112"]).success());
    assert!(trimmed.starts_with("there are records from 112 to 32768; "), "{trimmed}");
    assert_eq!(stdout(&place.run(&["read"]).success()), "ten\n");

    for wrong in [["read", "--from", "100"], ["trim", "--to", "118"]] {
        let error = stderr(&place.run(&wrong).code(1));
        let expected = format!("no record begins or ends at position {}", wrong[2]);
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(stdout(&place.run(&["read"]).success()), "ten\n");
}

#[test]
fn the_guarantee_of_an_append_is_on_standard_error() {
    let place = Place::empty();
    let error = stderr(&place.run(&["append", "--create", "1M", "--record", "one"]).success());
    let guarantee = cachemaint::dax::probe(&place.path).unwrap();
    let expected = format!("persistent by the {}: {}", guarantee.granularity, guarantee.reason);
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_full_journal_loses_nothing_and_says_what_to_do() {
    let place = Place::empty();
    let create = ["append", "--create", "24K"];
    let error = stderr(&place.run_with(&create, many_lines()).code(1));
    assert!(error.contains("log: the journal is full: "), "{error}");
    assert!(error.contains("; trim it; "), "{error}");
    let text = stdout(&place.run(&["read"]).success());
    let count = text.lines().count();
    let expected = format!("; {count} records were appended, and record {} was not\n", count + 1);
    assert!(error.ends_with(&expected), "{error}");
    assert!(count > 0 && many_lines().starts_with(&text), "{text}");

    let end = place.json(&["verify"])["recovered"]["end"].to_string();
    place.run(&["trim", "--to", &end]).success();
    place.run(&["append", "--record", "there is room again"]).success();
    assert_eq!(stdout(&place.run(&["read"]).success()), "there is room again\n");
}

/// Of a segment of 128 bytes the mark takes 64, and the record's header 16.
#[test]
fn a_line_that_does_not_fit_is_named_and_those_before_it_are_appended() {
    let place = Place::empty();
    let create = ["append", "--create", "24K", "--segment", "128"];
    let error =
        stderr(&place.run_with(&create, format!("short\n{}\nnever\n", "x".repeat(500))).code(1));
    assert!(error.contains("log: a line has more than the 48 bytes that fit"), "{error}");
    assert!(error.ends_with("; 1 record was appended, and record 2 was not\n"), "{error}");
    assert_eq!(stdout(&place.run(&["read"]).success()), "short\n");
    let error = stderr(&place.run_with(&["append", "--whole"], "x".repeat(49)).code(1));
    assert!(error.contains("standard input has more than the 48 bytes"), "{error}");
    place.run_with(&["append", "--whole"], "x".repeat(48)).success();
}

#[test]
fn a_journal_that_cannot_be_made_leaves_nothing_behind() {
    let place = Place::empty();
    let error = stderr(&place.run(&["append", "--create", "4K"]).code(1));
    assert!(error.contains("4096 bytes are too few for this journal"), "{error}");
    place.run(&["append", "--create", "24K", "--segment", "1000"]).code(1);
    place.run(&["append", "--create", "many"]).code(2);
    assert!(!place.path.exists());
    let error = stderr(&place.run(&["append"]).code(1));
    assert!(
        error.contains(
            "no such file or directory; check the path, or create it first (`--create SIZE`)"
        ),
        "{error}"
    );
}

/// A crash between the creation of the file and that of the journal leaves a file of zeros.
#[test]
fn append_creates_what_is_missing() {
    let place = Place::empty();
    fs::write(&place.path, vec![0; 65_536]).unwrap();
    let create = |record| ["append", "--create", "1M", "--record", record];
    for (record, created) in [("one", true), ("two", false)] {
        assert_eq!(place.json(&create(record))["created"], created);
    }
    assert_eq!(stdout(&place.run(&["read"]).success()), "one\ntwo\n");

    fs::remove_file(&place.path).unwrap();
    for (record, created) in [("one", true), ("two", false)] {
        assert_eq!(place.json(&create(record))["created"], created);
    }
    assert_eq!(stdout(&place.run(&["read"]).success()), "one\ntwo\n");

    fs::write(&place.path, vec![b'x'; 65_536]).unwrap();
    let error = stderr(&place.run(&create("three")).code(1));
    assert!(error.contains("this is not a journal: it begins with xxxxxxxx"), "{error}");
    assert_eq!(fs::read(&place.path).unwrap(), vec![b'x'; 65_536]);
}

/// Not every file that begins with zeros is unused: the image of a disk does, for example.
#[test]
fn data_behind_zeros_are_not_created_over() {
    for at in [446, 4095, 5000, 65_535] {
        let place = Place::empty();
        let mut content = vec![0; 65_536];
        content[at] = 1;
        fs::write(&place.path, &content).unwrap();
        let command = ["append", "--create", "64K", "--record", "one"];
        let error = stderr(&place.run(&command).code(1));
        assert!(error.contains("the file has other data than a journal"), "{at}: {error}");
        assert!(fs::read(&place.path).unwrap() == content, "{at}");
    }
}

/// One process appends, and others read meanwhile.
#[test]
fn an_open_journal_can_be_read_but_not_written_by_others() {
    let place = Place::with("one\n");
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let (journal, _) =
        cachemaint_journal::Journal::open(options.open(&place.path).unwrap()).unwrap();
    journal.append(b"two").unwrap();
    for command in [&["append", "--record", "x"][..], &["trim", "--to", "0"]] {
        let error = stderr(&place.run(command).code(1));
        assert!(error.contains("log: is locked by another open file"), "{error}");
    }
    assert_eq!(stdout(&place.run(&["read"]).success()), "one\ntwo\n");
    assert_eq!(place.json(&["verify"])["recovered"]["records"], 2);
}

#[test]
fn a_follower_reads_records_appended_later() {
    let place = Place::with("one\n");
    let mut follower = Process::new(cargo::cargo_bin!("cachemaint"))
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
    let place = Place::empty();
    place.run_with(&["append", "--create", "1M", "--whole"], record).success();
    let shown = "\\u{1b}[2J\\xff \\u{9b}\n";
    assert_eq!(stdout(&place.run(&["read"]).success()), shown);
    assert_eq!(stdout(&place.run(&["salvage"]).success()), shown);
    let raw = [record, b"\n"].concat();
    assert_eq!(place.run(&["read", "--raw"]).success().get_output().stdout, raw);
    assert_eq!(place.run(&["salvage", "--raw"]).success().get_output().stdout, raw);
    place.run(&["read", "--raw", "--json"]).code(2);
}

#[test]
fn every_command_has_its_json() {
    let place = Place::empty();
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
    let place = Place::empty();
    let create = ["append", "--create", "24K", "--segment", "128", "--json", "--positions"];
    let rows = [
        (&create[..], format!("a\nb\n{long}\nnever\n")),
        (&["append", "--json", "--positions", "--record", "c", "--record", &long], String::new()),
    ];
    let mut positions = Vec::new();
    for (command, input) in rows {
        let failed = place.run_with(command, input).code(1);
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

/// As in `cachemaint journal append FILE --positions | head -1`.
#[test]
fn all_records_are_appended_though_their_positions_have_no_reader() {
    let place = Place::with("first\n");
    let status = Process::new(cargo::cargo_bin!("cachemaint"))
        .args([
            "journal",
            "append",
            "--positions",
            "--record",
            "a",
            "--record",
            "b",
            "--record",
            "c",
        ])
        .arg(&place.path)
        .stdout(unread::pipe().unwrap())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(141));
    place.run(&["read"]).success().stdout("first\na\nb\nc\n");
}

#[test]
fn a_file_too_small_for_a_journal_is_an_error() {
    let place = Place::empty();
    for _ in 0..2 {
        let error = place.run(&["append", "--create", "5000", "--record", "a"]).failure().code(1);
        let error = String::from_utf8_lossy(&error.get_output().stderr).into_owned();
        assert!(error.contains("16768"), "{error}");
    }
}

/// Root may write it all the same: then another user tries.
#[cfg(unix)]
#[test]
fn a_user_without_write_permission_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;

    const NOBODY: u32 = 65_534;
    let place = Place::with("one\n");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&place.path, 0o444);
    set(place.path.parent().unwrap(), 0o755);
    let run = |command: &[&str]| {
        let mut process = Process::new(cargo::cargo_bin!("cachemaint"));
        process.args(["journal", command[0]]).arg(&place.path).args(&command[1..]);
        if rustix::process::geteuid().is_root() {
            process.uid(NOBODY);
        }
        process.output()
    };
    let read = match run(&["read"]) {
        Ok(read) => read,
        Err(why) => {
            return cachemaint_test_support::skip::skip(
                "a_user_without_write_permission_can_read",
                why,
            );
        }
    };
    assert_eq!(read.stdout, b"one\n", "{read:?}");
    for command in [&["append", "--record", "x"][..], &["trim", "--to", "64"]] {
        let refused = run(command).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains("log: permission denied"), "{error}");
    }
}
