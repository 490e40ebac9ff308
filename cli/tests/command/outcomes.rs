//! The table of what each command ends with, written by running it.

use crate::{cachemaint, ran, schema, skip};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A command, in a directory with a journal `log`, a store `state`, a recording `trace`, and damaged copies of them; its
/// outcome in words, and its exit code.
const OUTCOMES: &[(&str, &str, i32)] = &[
    ("caps -j", "done", 0),
    ("caps --explain nonsense -j", "no such topic", 2),
    ("inspect log -j", "done", 0),
    ("inspect log -j --survives process-crash", "the demand is met", 0),
    ("inspect memory -j --survives power-loss", "the demand is not met", 1),
    ("inspect damaged-log -j", "the contents are damaged", 1),
    ("inspect missing -j", "no such file", 3),
    ("journal append log -j --record x", "acknowledged", 0),
    ("journal append small -j", "full after some records", 3),
    ("journal append damaged-log -j --record x", "damaged", 1),
    ("journal append missing -j --record x", "no such file", 3),
    ("journal read log -j", "done", 0),
    ("journal read damaged-log -j", "damaged: the records before the damage are printed", 1),
    ("journal verify log -j", "intact", 0),
    ("journal verify damaged-log -j", "damaged", 1),
    ("journal verify state -j", "no journal", 3),
    ("journal salvage log -j", "intact", 0),
    ("journal salvage damaged-log -j", "the intact records are printed", 1),
    ("journal salvage small -j --into salvaged", "the records are in a new journal", 0),
    ("journal trim log -j --to 64", "done", 0),
    ("journal trim log -j --to 65", "no record begins or ends there", 3),
    ("store save state new -j", "committed", 0),
    ("store save state new -j --input missing", "no such input", 3),
    ("store load state blob", "done", 0),
    ("store load state blob -j --output loaded", "done", 0),
    ("store load damaged-state blob", "damaged", 1),
    ("store load damaged-state blob -j --output loaded", "damaged", 1),
    ("store load state none", "no such blob", 3),
    ("store list state -j", "done", 0),
    ("store verify state -j", "intact", 0),
    ("store verify damaged-state -j", "damaged", 1),
    ("store verify log -j", "no store", 3),
    ("store backup state copy -j", "done", 0),
    ("store backup state copy -j", "the file exists already", 3),
    ("store backup damaged-state other -j", "damaged", 1),
    ("store restore copy state -j", "committed", 0),
    ("store remove state new -j", "committed", 0),
    ("store remove state new -j", "no such blob", 3),
    ("store seal state -j", "committed", 0),
    ("recording write trace -j", "done", 0),
    ("recording write log -j", "no recording", 3),
    ("recording print trace -j", "done", 0),
    ("recording print damaged-trace -j", "damaged: the intact events are printed", 1),
    ("recording print log -j", "no recording", 3),
    ("guard --once --page-cache log -j", "written back", 0),
    ("guard --once --page-cache memory -j", "written back to memory that no reboot keeps", 1),
    ("guard --once log -j", "files of the page cache are refused", 3),
    ("canary show . -j", "no canary", 3),
    ("canary plant . -j", "planted", 0),
    ("canary plant . -j", "there is one already", 3),
    ("canary show . -j", "intact", 0),
    ("demo . -j", "every acknowledged record is there", 0),
    ("demo missing -j", "no such directory", 3),
    ("bench -j --writeback none", "no such instruction", 3),
    ("inspect -j", "no path", 2),
];

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/outcomes.md");

const HEAD: &str = "\
# Outcomes of each command

Tests run every command of this table. The last column names a definition in `schema.json`; `error` is the object of a
command that could not be done.

| command | outcome | exit code | JSON |
|---|---|---|---|
";

fn run(directory: &Path, command: &[&str], input: &str) -> (i32, String) {
    let mut process = cachemaint();
    let run = ran(process.current_dir(directory).args(command), input);
    let form = schema::check(&process, &run.0.stdout);
    (run.0.status.code().unwrap(), form.unwrap_or_else(|| "-".to_owned()))
}

fn damage(directory: &Path, name: &str, at: usize) {
    let mut bytes = fs::read(directory.join(name)).unwrap();
    bytes[at] ^= 1;
    fs::write(directory.join(format!("damaged-{name}")), bytes).unwrap();
}

/// `cargo xtask bless` rewrites the table.
#[test]
fn each_outcome_has_its_exit_code_and_its_json() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = directory.path();
    if cachemaint_inspect::FileReport::at(place).unwrap().backing
        == cachemaint::medium::Backing::Unknown
    {
        let name = "each_outcome_has_its_exit_code_and_its_json";
        return skip(name, "the file system of the build is unknown, so a guard fails on it");
    }
    let lines = "line of some text\n".repeat(20_000);
    run(place, &["journal", "append", "log", "--create", "1M"], &lines);
    run(place, &["journal", "append", "small", "--create", "24K", "--record", "x"], "");
    run(place, &["store", "save", "state", "blob", "--create", "4M"], &lines);
    run(place, &["recording", "write", "trace", "--create", "1M"], &lines);
    let blob = fs::read(place.join("state")).unwrap();
    let blob = blob.windows(4).position(|bytes| bytes == b"line").unwrap();
    damage(place, "log", 24_096);
    damage(place, "state", blob);
    damage(place, "trace", 100_000);
    let memory = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    fs::write(memory.path(), "memory").unwrap();
    let memory = memory.path().to_str().unwrap();

    let mut table = HEAD.to_owned();
    for (command, outcome, expected) in OUTCOMES {
        let words: Vec<&str> =
            command.split(' ').map(|word| if word == "memory" { memory } else { word }).collect();
        let (code, form) = run(place, &words, &lines);
        assert_eq!(code, *expected, "{command}");
        let command = command.replace(" -j", " --json");
        writeln!(table, "| `{command}` | {outcome} | {code} | {form} |").unwrap();
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(TABLE, &table).unwrap();
    }
    assert_eq!(fs::read_to_string(TABLE).unwrap(), table, "review, then `cargo xtask bless`");
}
