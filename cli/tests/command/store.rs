//! `cachemaint store`.

use crate::{Place, cachemaint, is_refused, ran, stderr, stdout, unwrapped, utc};
use cachemaint::medium::Backing;
use cachemaint_boots::Stamp;
use cachemaint_inspect::survival::{Event, Stage};
use cachemaint_store::Options;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Bytes that are loaded in one go.
const PIECE: usize = 1 << 20;

/// A place without a file yet.
fn empty() -> Place {
    Place::new("store", "state")
}

/// A store of 1 MiB with a blob of each name, whose bytes are the name.
fn with(names: &[&str]) -> Place {
    let place = empty();
    drop(Options::new().create_new(place.created(1 << 20)).unwrap());
    for name in names {
        place.run_with(&["save", name], *name).success();
    }
    place
}

impl Place {
    fn created(&self, size: u64) -> cachemaint::dax::DaxFile {
        cachemaint::dax::Options::new()
            .allow_page_granularity()
            .create_new(&self.path, size)
            .unwrap()
    }

    fn load(&self, name: &str) -> Vec<u8> {
        self.run(&["load", name]).success().0.stdout.clone()
    }

    /// The blobs in the output of `list --json`.
    fn blobs(&self) -> Vec<Value> {
        self.json(&["list"])["blobs"].as_array().unwrap().clone()
    }

    fn names(&self) -> Vec<String> {
        let name = |blob: &Value| blob["name"].as_str().unwrap().to_owned();
        self.blobs().iter().map(name).collect()
    }

    /// The place in the file at which a blob begins.
    fn offset(&self, name: &str) -> usize {
        let blobs = self.blobs();
        let blob = blobs.iter().find(|blob| blob["name"] == name).unwrap();
        usize::try_from(blob["offset"].as_u64().unwrap()).unwrap()
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file with these bytes.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.beside(name), bytes).unwrap();
        text(&self.beside(name)).to_owned()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Seconds since 1970.
/// Bytes of all values, which differ from those of another seed everywhere.
fn many(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(7) >> 3).to_le_bytes()[0].wrapping_add(seed)).collect()
}

#[test]
fn a_blob_comes_back_byte_for_byte() {
    let place = empty();
    let (piped, from_file) = (many(5 * PIECE / 2, 0), many(2 * PIECE, 1));
    let saved = place.run_with(&["save", "piped", "--create", "8M"], piped.clone()).success();
    assert!(stdout(&saved).contains("piped, 2,621,440 bytes\n"), "{}", stdout(&saved));
    let input = place.file("input", &from_file);
    place.run(&["save", "from file", "--input", &input]).success();
    place.run(&["save", "empty"]).success();

    assert!(place.load("piped") == piped);
    assert!(place.load("from file") == from_file);
    assert!(place.load("empty").is_empty());
    let output = place.file("output", b"something of before, which is longer than the blob");
    let loaded = place.run(&["load", "empty", "--output", &output]).success();
    assert!(loaded.0.stdout.is_empty());
    assert!(fs::read(&output).unwrap().is_empty());
    place.run(&["load", "piped", "--output", &output]).success();
    assert!(fs::read(&output).unwrap() == piped);
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 3, "nothing beside them");
}

#[test]
fn attributes_of_a_saved_blob_are_listed() {
    let place = with(&["first"]);
    let begin = utc("now");
    let attributes = ["--blob-version", "7", "--metadata", "as of guest 3", "--align", "64K"];
    let saved = place.run_with(&[&["save", "ram"][..], &attributes].concat(), "guest").success();
    let blobs = place.blobs();
    let names: Vec<_> = blobs.iter().map(|blob| &blob["name"]).collect();
    assert_eq!(names, ["first", "ram"]);
    let ram = &blobs[1];
    assert_eq!((&ram["version"], &ram["bytes"]), (&json!(7), &json!(5)));
    assert_eq!(ram["metadata"], json!({"text": "as of guest 3"}));
    assert_eq!(ram["offset"].as_u64().unwrap() % 65_536, 0);
    let time = ram["time"].as_str().unwrap();
    let seconds = |time: &str| time[.."2001-09-09T01:46:40".len()].to_owned();
    assert!((seconds(&begin)..=seconds(&utc("now"))).contains(&seconds(time)), "{time}");
    let listing = place.json(&["list"]);
    assert_eq!(listing["commit"], ram["commit"], "it was the last commit");
    assert_eq!((&listing["size"], &listing["is_sealed"]), (&json!(1 << 20), &json!(false)));
    let [total, free] = ["total", "free"].map(|of| listing["capacity"][of].as_u64().unwrap());
    assert!(free < total && total < 1 << 20, "{free} of {total}");
    assert!(stdout(&saved).contains(&format!("commit      {}\n", ram["commit"])));

    let listed = stdout(&place.run(&["list"]).success());
    let line = format!("  {time}  ram\n");
    assert!(listed.contains(&line) && listed.contains("metadata: as of guest 3\n"), "{listed}");
    assert!(listed.contains("\nblobs       2\n"), "{listed}");
    for wrong in [["--align", "3"], ["--metadata", &"m".repeat(4097)]] {
        place.run(&["save", "ram", wrong[0], wrong[1]]).code(3);
    }
    assert_eq!(place.load("ram"), b"guest");
}

#[test]
fn a_blob_is_replaced_as_a_whole_or_stays_as_it_was() {
    let place = with(&["ram"]);
    let replaced = stdout(&place.run_with(&["save", "ram"], many(100_000, 0)).success());
    assert!(replaced.starts_with("replaced    ram, 100,000 bytes\n"), "{replaced}");
    assert_eq!(place.names(), ["ram"]);
    assert!(place.load("ram") == many(100_000, 0));

    // Killed while it waits for more.
    let mut child = place.process(&["save", "ram"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&many(2 * PIECE, 1)[..300_000]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.load("ram") == many(100_000, 0));
    let error = stderr(&place.run(&["save", "ram", "--input", "/no/such/file"]).code(3));
    assert!(error.contains("/no/such/file: no such file"), "{error}");
    assert!(place.load("ram") == many(100_000, 0));
}

#[test]
fn several_blobs_are_deleted_together_or_none_is() {
    let place = with(&["a", "b", "c"]);
    let error = stderr(&place.run(&["remove", "a", "missing", "b"]).code(3));
    let expected = format!(
        "nothing was deleted: {}: missing: no blob or region has this name",
        text(&place.path)
    );
    assert!(error.contains(&expected), "{error}");
    assert_eq!(place.names(), ["a", "b", "c"]);
    let removed = stdout(&place.run(&["remove", "a", "c", "a"]).success());
    assert!(removed.starts_with("2 blobs were deleted, "), "{removed}");
    assert_eq!(place.names(), ["b"]);
    let error = stderr(&place.run(&["load", "a"]).code(3));
    assert!(error.contains("`store list` shows the names"), "{error}");
    place.run(&["remove"]).code(2);
}

#[test]
fn a_full_store_keeps_what_it_has_and_can_grow() {
    let place = empty();
    let old = many(100_000, 0);
    place.run_with(&["save", "ram", "--create", "256K"], old.clone()).success();
    let new = many(300_000, 1);
    let input = place.file("input", &new);
    for full in [
        place.run_with(&["save", "ram"], new.clone()),
        place.run(&["save", "ram", "--input", &input]),
    ] {
        let error = stderr(&full.code(3));
        assert!(error.contains("state: ram: the store is full: "), "{error}");
        assert!(error.contains("`store remove`, `store save --grow SIZE`"), "{error}");
        assert!(place.load("ram") == old);
    }
    place.run(&["save", "ram", "--input", &input, "--grow", "1M"]).success();
    assert!(place.load("ram") == new);
    assert_eq!(place.json(&["list"])["size"], 1 << 20);
    let error = stderr(&place.run(&["save", "ram", "--grow", "64K"]).code(3));
    assert!(error.contains("state: "), "{error}");
    assert!(place.load("ram") == new);
}

/// As of a dump that went wrong. No more is read than shows that it cannot fit.
#[cfg(target_os = "linux")]
#[test]
fn an_endless_input_is_refused() {
    let place = with(&["cpu"]);
    let endless = || fs::File::open("/dev/zero").unwrap();
    for arguments in [
        &["save", "x"][..],
        &["save", "x", "--input", "/dev/zero"],
        &["save", "x", "--create", "1M"],
    ] {
        let output = place.process(arguments).stdin(endless()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.contains("state: x: the store is full: "), "{error}");
    }
    assert_eq!(place.names(), ["cpu"]);
}

#[test]
fn an_open_store_can_be_read_but_not_written_by_others() {
    let place = with(&["cpu"]);
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let (mut store, _) = Options::new().open(options.open(&place.path).unwrap()).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("ram", b"guest").unwrap();
    transaction.commit().unwrap();
    for command in [&["save", "x"][..], &["remove", "cpu"], &["seal"]] {
        let error = stderr(&place.run(command).code(3));
        assert!(error.contains("state: is locked by another open file"), "{error}");
    }
    assert_eq!(place.names(), ["cpu", "ram"]);
    assert_eq!(place.load("ram"), b"guest");
    place.run(&["verify"]).success();
}

/// The old blob is loaded by pieces, and the load waits after the first one until that is read here. Blobs of known
/// length take the first free space that is large enough, so the second of the next saves uses the old blob's space
/// again.
#[test]
fn a_blob_replaced_while_it_is_loaded_is_never_mixed() {
    let place = empty();
    let blob = |seed| many(4 * PIECE, seed);
    place.run_with(&["save", "ram", "--create", "16M"], blob(0)).success();
    let mut child = place
        .process(&["load", "ram"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    for seed in [1, 2] {
        place.run(&["save", "ram", "--input", &place.file("input", &blob(seed))]).success();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let loaded = [&first[..], &output.stdout].concat();
    assert!(loaded == blob(0)[..PIECE], "{} bytes", loaded.len());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("it was replaced or deleted during the command; load it again"),
        "{error}"
    );
    assert!(place.load("ram") == blob(2));
}

#[test]
fn a_damaged_byte_is_reported_until_its_blob_is_saved_anew() {
    let place = with(&["first"]);
    place.run(&["remove", "first"]).success();
    place.run_with(&["save", "cpu"], many(300, 3)).success();
    let big = many(3 * PIECE, 0);
    place.run_with(&["save", "ram", "--grow", "8M"], big.clone()).success();
    place.run(&["verify"]).success();
    let (cpu, ram) = (place.offset("cpu"), place.offset("ram"));
    place.damage(cpu);
    place.damage(ram + PIECE + 65_536);

    let verified = place.run(&["verify"]).code(1);
    let shown = unwrapped(&stdout(&verified));
    let expected = format!(
        "damage cpu: the blob from byte 0 on is damaged (300 bytes at offset {cpu}); save it again damage ram: \
         the blob from byte {} on is damaged (65536 bytes at offset {})",
        PIECE + 65_536,
        ram + PIECE + 65_536
    );
    assert!(shown.contains(&expected), "{shown}");
    let expected = json!([
        {"name": "cpu", "part": {"bytes": {"at": 0}}, "offset": cpu, "len": 300},
        {"name": "ram", "part": {"bytes": {"at": PIECE + 65_536}}, "offset": ram + PIECE + 65_536, "len": 65_536}
    ]);
    let found = place.json(&["verify"]);
    assert_eq!((&found["damaged"], &found["copies"]), (&expected, &json!([])));
    assert_eq!((&found["blobs"], &found["whole"]), (&json!(2), &json!(0)));

    let output = place.file("output", b"as it was");
    let refused = place.run(&["load", "cpu", "--output", &output]).code(1);
    assert!(stderr(&refused).contains("state: cpu: the blob from byte 0 on is damaged"));
    assert_eq!(fs::read(&output).unwrap(), b"as it was");
    let refused = place.run(&["load", "ram"]).code(1);
    assert!(refused.0.stdout == big[..PIECE]);
    let error = stderr(&refused);
    assert!(error.contains("only its first 1048576 bytes were written"), "{error}");

    place.run_with(&["save", "cpu"], "registers").success();
    assert_eq!(place.load("cpu"), b"registers");
    assert_eq!(place.json(&["verify"])["whole"], 1);
}

/// The copies of the roots are at 8192 and 12288.
#[test]
fn a_damaged_copy_is_reported_and_mended_by_the_next_write() {
    let place = with(&["cpu"]);
    place.damage(8192 + 20);
    place.damage(12_288 + 20);
    let shown = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    assert!(
        shown.contains("damage a copy of the root is damaged (4096 bytes at offset "),
        "{shown}"
    );
    assert_eq!(place.load("cpu"), b"cpu");
    let error = stderr(&place.run(&["save", "other"]).success());
    assert!(error.contains("; it was repaired from the other copy\n"), "{error}");
    place.run(&["verify"]).success();
}

const COMMANDS: [&[&str]; 7] = [
    &["save", "cpu"],
    &["save", "cpu", "--grow", "1M"],
    &["load", "cpu"],
    &["list"],
    &["verify"],
    &["remove", "cpu"],
    &["seal"],
];

#[test]
fn an_invalid_store_is_refused() {
    let whole = fs::read(with(&["cpu"]).path).unwrap();
    let contents: [(Vec<u8>, (i32, &str)); 5] = [
        (Vec::new(), (3, "has no bytes to map")),
        (vec![0; 65_536], (3, "there is no store: the medium begins with zeros")),
        (vec![b'x'; 65_536], (3, "this is not a store: it begins with xxxxxxxx")),
        (b"short".to_vec(), (3, "this is not a store: it begins with short")),
        (whole[..60_000].to_vec(), (1, "but only 60000 are there; restore the rest")),
    ];
    for (content, expected) in contents {
        let place = empty();
        is_refused(&place.path, &content, expected, &COMMANDS, |command| place.run(command));
    }
    let place = empty();
    for command in COMMANDS {
        let error = stderr(&place.run(command).code(3));
        assert!(error.contains("state: no such file"), "{command:?}: {error}");
    }
}

#[test]
fn a_backup_brings_all_blobs_back() {
    let place = with(&["cpu", "ram"]);
    place
        .run_with(&["save", "cpu", "--blob-version", "7", "--metadata", "old"], "before")
        .success();
    let copy = place.path.with_file_name("copy");
    let command = |paths: [&std::ffi::OsStr; 2], what: &str| {
        ran(cachemaint().args(["store", what]).args(paths), "")
    };
    let both = [place.path.as_os_str(), copy.as_os_str()];
    let told = stdout(&command(both, "backup").success());
    assert!(told.contains("2 blobs"), "{told}");
    command(both, "backup").code(3);
    place.run_with(&["save", "cpu"], "after").success();
    place.run_with(&["save", "new"], "after").success();
    place.run(&["remove", "ram"]).success();
    command([copy.as_os_str(), place.path.as_os_str()], "restore").success();
    assert_eq!((place.load("cpu"), place.load("ram")), (b"before".to_vec(), b"ram".to_vec()));
    let blobs = place.blobs();
    assert_eq!((blobs.len(), &blobs[0]["version"]), (2, &json!(7)));
    assert_eq!(blobs[0]["metadata"], json!({"text": "old"}));
}

/// A program's stamp of its last start, in a file in RAM before a reboot.
#[test]
fn the_event_since_a_stamp_is_listed() {
    let place = with(&["cpu"]);
    let before = Stamp { boot_id: [0xab; 16], backing: Backing::Ram, ..Stamp::UNKNOWN };
    let bytes = place.path.with_file_name("stamp");
    fs::write(&bytes, before.bytes()).unwrap();
    place.run(&["save", "started", "--input", bytes.to_str().unwrap()]).success();
    let listed = place.blobs();
    assert_eq!((&listed[0]["name"], listed[0].get("since")), (&json!("cpu"), None));
    let since = &listed[1]["since"];
    assert_eq!(since["evidence"][0], "the boot id differs from that of the stamp");
    assert_eq!(since["promise"]["answer"], "no");
    let shown = unwrapped(&stdout(&place.run(&["list"]).success()));
    assert!(
        shown.contains(", since started because the boot id differs from that of the stamp;"),
        "{shown}"
    );
    assert!(shown.contains("survives it no: the kernel that had the pages is gone"), "{shown}");
}

#[test]
fn sealing_lists_all_guarantees_and_a_change_breaks_the_seal() {
    let place = with(&["cpu"]);
    let sealed = unwrapped(&stdout(&place.run(&["seal"]).success()));
    let guarantee = cachemaint_inspect::FileReport::at(&place.path).unwrap();
    for &event in Event::ALL {
        let statement = guarantee.survives(Stage::DeepPersisted, event);
        let said = format!(
            "{}: {} because {} source {};",
            event, statement.answer, statement.text, statement.source
        );
        assert!(sealed.contains(&unwrapped(&said)), "{said}: {sealed}");
    }
    assert_eq!(place.json(&["list"])["is_sealed"], true);
    assert!(stdout(&place.run(&["list"]).success()).contains("\nsealed      yes\n"));
    assert_eq!(place.load("cpu"), b"cpu");
    place.run_with(&["save", "cpu"], "other").success();
    assert_eq!(place.json(&["list"])["is_sealed"], false);
}

#[test]
fn nothing_that_a_terminal_executes_is_printed() {
    let place = with(&[]);
    let (name, metadata) = ("\u{1b}[2Jcpu\u{9b}", "\u{1b}]0;title\u{7}");
    let mut shown = Vec::new();
    let mut run = |arguments: &[&str]| {
        let ran = place.run_with(arguments, many(300, 1));
        shown.push(stdout(&ran));
        shown.push(stderr(&ran));
        ran
    };
    run(&["save", name, "--metadata", metadata]).success();
    let listed = stdout(&run(&["list"]).success());
    assert!(listed.contains("  \\u{1b}[2Jcpu\\u{9b}\n"), "{listed:?}");
    assert!(listed.contains("metadata: \\u{1b}]0;title\\u{7}\n"), "{listed:?}");
    run(&["load", "\u{1b}[2Jno such\u{9b}"]).code(3);
    run(&["save", "other"]).success();
    place.damage(place.offset(name));
    let verified = stdout(&run(&["verify"]).code(1));
    assert!(verified.contains("\\u{1b}[2Jcpu\\u{9b}: the blob"), "{verified:?}");
    run(&["load", name]).code(1);
    run(&["remove", name, "\u{1b}"]).code(3);
    let is_plain = |text: &String| text.chars().all(|c| c == '\n' || !c.is_control());
    assert!(shown.iter().all(is_plain), "{shown:?}");
}

#[test]
fn a_store_is_recognized_by_its_magic() {
    let place = with(&["cpu"]);
    place.run_with(&["save", "ram"], many(300, 1)).success();
    let found: Value = crate::json(&place.inspect(&["--json"]).success());
    assert_eq!((&found["kind"], &found["schema"]), (&json!("store"), &json!(1)));
    assert_eq!(
        (&found["blobs"], &found["bytes"], &found["whole"]),
        (&json!(2), &json!(303), &json!(2))
    );
    assert_eq!(found["identity"], place.json(&["verify"])["identity"]);
    // One of the two roots is enough.
    place.damage(0);
    place.inspect(&["--json"]).success();
    place.damage(place.offset("ram"));
    let found: Value = crate::json(&place.inspect(&["--json"]).code(1));
    assert_eq!(found["damaged"][0]["name"], "ram");
    fs::write(&place.path, &fs::read(&place.path).unwrap()[..10_000]).unwrap();
    let error = stderr(&place.inspect(&["--json"]).code(1));
    assert!(error.contains("state: the store needs "), "{error}");
}

/// As programs create them. The command shows them, and refuses what it cannot verify.
#[test]
fn regions_are_shown_beside_blobs() {
    let place = empty();
    let (mut store, _) = Options::new().create_new(place.created(1 << 20)).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.create_region("ram", 8192).unwrap();
    transaction.commit().unwrap();
    drop(store.region("ram").unwrap());
    drop(store);
    let sealed = stdout(&place.run(&["seal"]).success());
    assert!(sealed.contains("ram: its bytes can date from different moments"), "{sealed}");
    place.run_with(&["save", "cpu"], "registers").success();
    let listed = stdout(&place.run(&["list"]).success());
    let words: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(words.contains(&vec!["blobs", "1"]), "{listed}");
    assert!(words.contains(&vec!["regions", "1"]), "{listed}");
    assert!(listed.contains("  ram (region, dirty)\n") && listed.contains("  cpu\n"), "{listed}");
    let contents: Vec<_> = place.blobs().iter().map(|blob| blob["content"].clone()).collect();
    assert_eq!(contents, [json!("blob"), json!("region")]);
    let verified = stdout(&place.run(&["verify"]).success());
    assert!(verified.contains("1, all intact, 9 bytes in total"), "{verified}");
    assert!(verified.contains("1; their bytes cannot be verified"), "{verified}");
    assert_eq!(place.json(&["verify"])["regions"], 1);

    let refused = stderr(&place.run(&["load", "ram"]).code(3));
    assert!(refused.contains("ram: it is a region"), "{refused}");
    let refused = stderr(&place.run_with(&["save", "ram"], "a blob").code(3));
    assert!(
        refused.contains("it is a region") && refused.contains("choose another name"),
        "{refused}"
    );
    let refused = stderr(&place.run(&["rm", "cpu", "ram"]).code(3));
    assert!(refused.contains("ram: it is a region of 8192 bytes"), "{refused}");
    place.run(&["remove", "ram", "--regions"]).success();
    assert_eq!(place.names(), ["cpu"]);
}

/// The signal comes while the blob is written. A run that has ended before is repeated.
#[cfg(unix)]
#[test]
fn an_interrupted_load_leaves_no_file() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::os::unix::process::ExitStatusExt as _;

    let place = empty();
    drop(Options::new().create_new(place.created(65 << 20)).unwrap());
    place.run_with(&["save", "blob"], vec![1; 64 << 20]).success();
    let directory = place.beside("out");
    fs::create_dir(&directory).unwrap();
    let output = directory.join("blob");
    let names = || fs::read_dir(&directory).unwrap().count();
    let interrupted = (0..20).any(|_| {
        let mut load = place.process(&["load", "blob", "--output", text(&output)]).spawn().unwrap();
        while names() == 0 {
            if load.try_wait().unwrap().is_some() {
                return false;
            }
        }
        kill_process(Pid::from_child(&load), Signal::TERM).unwrap();
        let ended = load.wait().unwrap();
        // The signal may have come when all was done.
        let is_done = fs::remove_file(&output).is_ok();
        assert_eq!(names(), 0, "{ended}");
        ended.signal() == Some(Signal::TERM.as_raw()) && !is_done
    });
    assert!(interrupted);
}

/// Files of `/proc` state a length of zero.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_states_no_length_is_saved_whole() {
    let place = with(&["cpu"]);
    place.run(&["save", "cpu", "--input", "/proc/version"]).success();
    let loaded = place.run(&["load", "cpu"]).success().0.stdout;
    assert_eq!(loaded, fs::read("/proc/version").unwrap());
}

/// A blob can be a secret.
#[test]
fn a_blob_replaces_a_regular_file_by_a_private_one() {
    let place = with(&["cpu"]);
    let output = place.file("output", b"something of before, which is longer than the blob");
    place.run(&["load", "cpu", "--output", &output]).success();
    assert_eq!(fs::read(&output).unwrap(), b"cpu");
    let error = stderr(&place.run(&["load", "cpu", "--output", text(&place.path)]).code(3));
    assert!(error.contains("is the store itself"), "{error}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
        // Another name of the store, and a link.
        let [other, link] = ["other", "link"].map(|name| place.beside(name));
        fs::hard_link(&place.path, &other).unwrap();
        symlink(&output, &link).unwrap();
        for (name, expected) in [(&other, "is the store itself"), (&link, "not a regular file")] {
            let error = stderr(&place.run(&["load", "cpu", "--output", text(name)]).code(3));
            assert!(error.contains(expected), "{error}");
        }
        assert!(link.is_symlink());
    }
    place.run(&["verify"]).success();
}

#[test]
fn a_store_is_created_in_a_missing_file_alone() {
    let place = empty();
    let error = stderr(&place.run(&["save", "cpu"]).code(3));
    assert!(error.contains("create it first (`--create SIZE`)"), "{error}");
    place.run_with(&["save", "cpu", "--create", "16K"], "x").code(3);
    place.run(&["save", "cpu", "--create", "1M", "--grow", "2M"]).code(2);
    assert!(!place.path.exists());
    // An existing file keeps its size, and its store.
    place.run_with(&["save", "cpu", "--create", "1M"], "cpu").success();
    place.run_with(&["save", "ram", "--create", "64K"], "ram").success();
    assert_eq!(place.names(), ["cpu", "ram"]);
    let zeros = vec![0; 65_536];
    let create: &[&[&str]] = &[&["save", "cpu", "--create", "64K"]];
    let expected = (3, "`--create SIZE` needs a new file: remove this one, or name another");
    is_refused(&place.path, &zeros, expected, create, |command| place.run(command));
}
