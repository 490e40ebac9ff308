//! `cachemaint journal` as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "journal/behind.rs"]
mod behind;
mod printed;
#[cfg(unix)]
mod redirected;
mod refused;
#[cfg(target_os = "linux")]
#[path = "journal/reports.rs"]
mod reports;
#[cfg(unix)]
#[path = "../../tests/skip/mod.rs"]
mod skip;
#[cfg(unix)]
#[path = "journal/streams.rs"]
mod streams;
mod wrapped;

use assert_cmd::assert::Assert;
use assert_cmd::{Command, cargo};
use printed::{stderr, stdout};
use refused::is_refused;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use tempfile::TempDir;
use wrapped::unwrapped;

/// The beginning of the log, the length of a mark, and the length of a record's header (module `journal`, the format).
const LOG: u64 = 8192;
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
/// opens the journal, which begins an epoch with another mark, at 136.
#[test]
fn positions_are_printed_and_can_be_read_from_and_trimmed_to() {
    let place = Place::empty();
    let create = ["append", "--create", "1M", "--positions"];
    let positions = stdout(&place.run_with(&create, "one\ntwo\nten\n").success());
    assert_eq!(positions, "64\n88\n112\n");
    assert_eq!(stdout(&place.run(&["read", "--from", "88"]).success()), "two\nten\n");
    let trimmed = stdout(&place.run(&["trim", "--to", "112"]).success());
    assert!(trimmed.starts_with("there are records from 112 to 200; "), "{trimmed}");
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
    let create = ["append", "--create", "16K"];
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
    let create = ["append", "--create", "16K", "--segment", "128"];
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
fn a_damaged_journal_is_reported_read_salvaged_and_repaired() {
    let place = Place::with(&many_lines());
    let is_whole = place.json(&["verify"]);
    assert_eq!(is_whole["recovered"]["records"], 20_000);
    assert!(is_whole["recovered"]["damage"].is_null());
    // Records of `line 0` to `line 9` have 16 + 8 bytes; this is in the payload of the fifth.
    let position = MARK + 4 * (HEADER + 8);
    place.damage(LOG + position + HEADER + 2);

    let verified = place.json(&["verify"]);
    assert_eq!(verified["recovered"]["records"], 4);
    assert_eq!(verified["recovered"]["damage"]["at"], position);
    assert_eq!(verified["recovered"]["damage"]["fault"], "tag");
    let text = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    let where_it_is = format!("damaged at position {position}, offset {}", LOG + position);
    assert!(text.contains(&where_it_is), "{text}");
    let mut stat = Command::new(cargo::cargo_bin!("cachemaint"));
    let stat = unwrapped(&stdout(&stat.arg("stat").arg(&place.path).assert()));
    for text in [text, stat] {
        assert!(text.contains("unknown: only the records before the damage are counted"), "{text}");
    }

    let read = place.run(&["read"]).code(1);
    assert_eq!(stdout(&read), "line 0\nline 1\nline 2\nline 3\n");
    for refused in [read, place.run(&["append", "--record", "x"]).code(1)] {
        let error = stderr(&refused);
        assert!(error.contains(&format!("log: the journal is {where_it_is}")), "{error}");
        assert!(error.contains("salvage its whole records, then repair it"), "{error}");
    }

    let expected = many_lines().replace("line 4\n", "");
    let salvaged = place.run(&["salvage"]).code(1);
    assert_eq!(stdout(&salvaged), expected);
    let skipped = format!("skipped positions {position} to {}", position + HEADER + 8);
    assert!(stderr(&salvaged).contains(&skipped), "{}", stderr(&salvaged));

    let before = fs::read(&place.path).unwrap();
    let foretold = stdout(&place.run(&["repair"]).code(1));
    assert!(
        foretold.starts_with("nothing was written; `--yes` keeps 19,999 records"),
        "{foretold}"
    );
    assert!(
        foretold.contains(&format!("lost: what was at positions {position} to ")),
        "{foretold}"
    );
    assert_eq!(fs::read(&place.path).unwrap(), before);

    let repaired = stdout(&place.run(&["repair", "--yes"]).success());
    assert!(repaired.starts_with("repaired: 19,999 records are there"), "{repaired}");
    assert_eq!(stdout(&place.run(&["read"]).success()), expected);
    place.run(&["append", "--record", "and on"]).success();
    assert!(stdout(&place.run(&["read"]).success()).ends_with("line 19999\nand on\n"));
    place.run(&["verify"]).success();
}

#[test]
fn lost_superblocks_are_made_anew() {
    let place = Place::with("one\ntwo\n");
    place.damage(100);
    place.damage(4096 + 100);
    let preview = stdout(&place.run(&["repair"]).code(1));
    assert!(preview.starts_with("nothing was written; `--yes` keeps 2 records, up to 112\n"));
    assert!(preview.contains("trimmed records"), "{preview}");
    assert_eq!(place.json(&["repair"])["rebuilt"], true);
    place.run(&["read"]).code(1);
    place.run(&["repair", "--yes"]).success();
    assert_eq!(stdout(&place.run(&["read"]).success()), "one\ntwo\n");
}

/// The content of a file with a recording.
fn recording() -> Vec<u8> {
    let place = Place::empty();
    let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
    command.args(["record", "--create", "64K"]).arg(&place.path).assert().success();
    fs::read(&place.path).unwrap()
}

#[test]
fn an_invalid_journal_is_refused() {
    let commands: [&[&str]; 7] = [
        &["read"],
        &["verify"],
        &["salvage"],
        &["repair"],
        &["repair", "--yes"],
        &["append", "--record", "x"],
        &["trim", "--to", "0"],
    ];
    let whole = fs::read(Place::with("one\n").path).unwrap();
    let contents: [(Vec<u8>, &str); 6] = [
        (Vec::new(), "has no bytes to map"),
        (vec![0; 65_536], "the medium has no journal: it begins with zeros"),
        (vec![b'x'; 65_536], "this is not a journal: it begins with xxxxxxxx"),
        (b"short".to_vec(), "this is not a journal: it begins with short"),
        (recording(), "the medium has a recording instead of a journal; open it as that"),
        (whole[..100_000].to_vec(), "but only 100000 are there; bring the rest back"),
    ];
    for (content, expected) in contents {
        let place = Place::empty();
        is_refused(&place.path, &content, expected, &commands, |command| place.run(command));
    }
}

/// 100 records of 24 bytes after a mark of 64, in 15 segments of 64 KiB.
#[test]
fn a_cut_journal_is_salvaged_from_a_copy_that_zeros_fill_up() {
    let lines: String = (100..200).map(|number| number.to_string() + "\n").collect();
    let place = Place::with(&lines);
    let file = fs::File::options().write(true).open(&place.path).unwrap();
    file.set_len(LOG + MARK + 24 * 50 + 7).unwrap();
    let error = stderr(&place.run(&["salvage"]).code(1));
    assert!(error.contains("fill a copy up to 991232 bytes with zeros"), "{error}");
    file.set_len(LOG + 15 * 65_536).unwrap();
    assert_eq!(stdout(&place.run(&["salvage"]).code(1)), lines[..4 * 50]);
}

#[test]
fn a_journal_that_cannot_be_made_leaves_nothing_behind() {
    let place = Place::empty();
    let error = stderr(&place.run(&["append", "--create", "4K"]).code(1));
    assert!(error.contains("but the medium has 4096"), "{error}");
    place.run(&["append", "--create", "16K", "--segment", "1000"]).code(1);
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
        cachemaint::journal::Journal::open(options.open(&place.path).unwrap()).unwrap();
    journal.append(b"two").unwrap();
    for command in [&["append", "--record", "x"][..], &["trim", "--to", "0"], &["repair", "--yes"]]
    {
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
    // A new epoch, and its mark.
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
        assert_eq!(lines[1], serde_json::json!({"position": 152, "end": 176, "hex": "ff00"}));
        assert_eq!(lines.len(), 2);
    }
    let verified = place.json(&["verify"]);
    assert_eq!(verified["identity"].as_str().unwrap().len(), 32);
    assert_eq!(verified["recovered"]["bytes"], 5);
    assert_eq!(verified["recovered"]["torn"], false);
    let repaired = place.json(&["repair"]);
    assert_eq!(repaired["is_repaired"], false);
    assert!(repaired["was_whole"] == true && repaired["rebuilt"] == false);
    assert_eq!(repaired["lost"], serde_json::json!([]));
    let trimmed = place.json(&["trim", "--to", "152"]);
    assert_eq!(trimmed["head"], 152);
    assert_eq!(trimmed["end"], 240);
    assert!(trimmed["free"].is_u64());
}

#[test]
fn skipped_bytes_are_in_the_json_too() {
    let place = Place::with(&many_lines());
    place.damage(LOG + MARK + HEADER);
    let lines = stdout(&place.run(&["salvage", "--json"]).code(1));
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::json!({"skipped": {"start": MARK, "end": MARK + HEADER + 8}}));
    assert_eq!(place.json(&["repair"])["lost"], serde_json::json!([first["skipped"]]));
}

/// As in `cachemaint journal read FILE | head -1`.
#[test]
fn a_closed_output_pipe_ends_a_command_as_sigpipe_does() {
    let place = Place::with(&many_lines());
    let commands: [&[&str]; 4] =
        [&["read"], &["read", "--json"], &["salvage"], &["append", "--positions", "--record", "x"]];
    for command in commands {
        let mut child = Process::new(cargo::cargo_bin!("cachemaint"))
            .args(["journal", command[0]])
            .arg(&place.path)
            .args(&command[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!(status.code(), Some(141), "{command:?}: {error}");
        assert!(!error.contains("pipe"), "{command:?}: {error}");
    }
}

/// As in `cachemaint journal append FILE --positions | head -1`.
#[test]
fn all_records_are_appended_though_their_positions_have_no_reader() {
    let place = Place::with("first\n");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
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
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(141));
    place.run(&["read"]).success().stdout("first\na\nb\nc\n");
}

/// The superblocks, and a part of what a creation writes, are all that there is.
#[test]
fn a_file_too_small_for_a_journal_is_an_error() {
    let place = Place::empty();
    for _ in 0..2 {
        let error = place.run(&["append", "--create", "5000", "--record", "a"]).failure().code(1);
        let error = String::from_utf8_lossy(&error.get_output().stderr).into_owned();
        assert!(error.contains("8576"), "{error}");
    }
}

/// The records of the last page are gone, which a journal that was closed proves.
#[test]
fn salvage_fails_if_the_last_records_are_gone() {
    let place = Place::with(&many_lines());
    let len = fs::metadata(&place.path).unwrap().len();
    let file = fs::File::options().write(true).open(&place.path).unwrap();
    file.set_len(20_480).unwrap();
    file.set_len(len).unwrap();
    place.run(&["verify"]).failure().code(1);
    let salvaged = place.run(&["salvage"]).failure().code(1);
    assert!(!salvaged.get_output().stderr.is_empty());
}

/// A full disk is an error, unlike a reader that has read enough.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_fails() {
    let place = Place::with(&many_lines());
    for command in ["read", "salvage", "verify", "repair"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Process::new(cargo::cargo_bin!("cachemaint"))
            .args(["journal", command])
            .arg(&place.path)
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
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
        Err(why) => return skip::skip("a_user_without_write_permission_can_read", why),
    };
    assert_eq!(read.stdout, b"one\n", "{read:?}");
    for command in [&["append", "--record", "x"][..], &["repair", "--yes"], &["trim", "--to", "64"]]
    {
        let refused = run(command).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains("log: permission denied"), "{error}");
    }
}
