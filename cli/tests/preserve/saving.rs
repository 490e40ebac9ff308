//! Blobs that are saved, loaded, replaced, renamed and deleted.

use crate::place::{PIECE, Place, many, now, text};
use crate::printed::{stderr, stdout};
use cachemaint_preserve::Options;
#[cfg(target_os = "linux")]
use cachemaint_test_support::skip::skip;
use serde_json::json;
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

#[test]
fn a_blob_comes_back_byte_for_byte() {
    let place = Place::empty();
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
    assert!(loaded.get_output().stdout.is_empty());
    assert!(fs::read(&output).unwrap().is_empty());
    place.run(&["load", "piped", "--output", &output]).success();
    assert!(fs::read(&output).unwrap() == piped);
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 3, "nothing beside them");
}

#[test]
fn attributes_of_a_saved_blob_are_listed() {
    let place = Place::with(&["first"]);
    let begin = now();
    let attributes = ["--version", "7", "--metadata", "as of guest 3", "--align", "64K"];
    let saved = place.run_with(&[&["save", "ram"][..], &attributes].concat(), "guest").success();
    let blobs = place.blobs();
    let names: Vec<_> = blobs.iter().map(|blob| &blob["name"]).collect();
    assert_eq!(names, ["first", "ram"]);
    let ram = &blobs[1];
    assert_eq!((&ram["version"], &ram["bytes"]), (&json!(7), &json!(5)));
    assert_eq!(ram["metadata"], json!({"text": "as of guest 3"}));
    assert_eq!(ram["offset"].as_u64().unwrap() % 65_536, 0);
    let time: jiff::Timestamp = ram["time"].as_str().unwrap().parse().unwrap();
    assert!((begin..=now()).contains(&time.as_second()), "{time}");
    let listing = place.json("list");
    assert_eq!(listing["generation"], ram["generation"], "it was the last commit");
    assert_eq!((&listing["size"], &listing["is_sealed"]), (&json!(1 << 20), &json!(false)));
    let [total, used, free] =
        ["total", "used", "free"].map(|of| listing["capacity"][of].as_u64().unwrap());
    assert!(used > 0 && used + free == total && total < 1 << 20, "{used} and {free} of {total}");
    assert!(stdout(&saved).contains(&format!("generation  {}\n", ram["generation"])));

    let listed = stdout(&place.run(&["list"]).success());
    let line = format!("  {time}  ram\n");
    assert!(listed.contains(&line) && listed.contains("metadata: as of guest 3\n"), "{listed}");
    assert!(listed.contains("\nblobs       2\n"), "{listed}");
    for wrong in [["--align", "3"], ["--version", "x"], ["--metadata", &"m".repeat(4097)]] {
        place.run(&["save", "ram", wrong[0], wrong[1]]).failure();
    }
    assert_eq!(place.load("ram"), b"guest");
}

#[test]
fn a_blob_is_replaced_as_a_whole_or_stays_as_it_was() {
    let place = Place::with(&["ram"]);
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
    let error = stderr(&place.run(&["save", "ram", "--input", "/no/such/file"]).code(1));
    assert!(error.contains("/no/such/file cannot be read"), "{error}");
    assert!(place.load("ram") == many(100_000, 0));
}

#[test]
fn several_blobs_are_deleted_together_or_none_is() {
    let place = Place::with(&["a", "b", "c"]);
    let error = stderr(&place.run(&["rm", "a", "missing", "b"]).code(1));
    let expected =
        format!("nothing was deleted: {}: missing: there is no blob or region", text(&place.path));
    assert!(error.contains(&expected), "{error}");
    assert_eq!(place.names(), ["a", "b", "c"]);
    let removed = stdout(&place.run(&["rm", "a", "c", "a"]).success());
    assert!(removed.starts_with("2 blobs were deleted, "), "{removed}");
    assert_eq!(place.names(), ["b"]);
    let error = stderr(&place.run(&["load", "a"]).code(1));
    assert!(error.contains("`preserve list` shows what is there"), "{error}");
    place.run(&["rm"]).code(2);
}

#[test]
fn a_blob_gets_another_name_unless_that_is_taken() {
    let place = Place::with(&["a", "b"]);
    let error = stderr(&place.run(&["mv", "a", "b"]).code(1));
    assert!(
        error.contains("state: b: there is a blob or a region of this name already"),
        "{error}"
    );
    let error = stderr(&place.run(&["mv", "x", "y"]).code(1));
    assert!(error.contains("state: x: there is no blob or region of this name"), "{error}");
    let error = stderr(&place.run(&["mv", "a", &"n".repeat(256)]).code(1));
    assert!(error.contains("256 is not permitted: a name has 1 to 255 bytes"), "{error}");
    assert_eq!((place.load("a"), place.load("b")), (b"a".to_vec(), b"b".to_vec()));
    place.run(&["mv", "a", "c"]).success();
    assert_eq!(place.names(), ["b", "c"]);
    assert_eq!(place.load("c"), b"a");
}

#[test]
fn a_full_store_keeps_what_it_has_and_can_grow() {
    let place = Place::empty();
    let old = many(100_000, 0);
    place.run_with(&["save", "ram", "--create", "256K"], old.clone()).success();
    let new = many(300_000, 1);
    let input = place.file("input", &new);
    for full in [
        place.run_with(&["save", "ram"], new.clone()),
        place.run(&["save", "ram", "--input", &input]),
    ] {
        let error = stderr(&full.code(1));
        assert!(error.contains("state: ram: the store is full: "), "{error}");
        assert!(error.contains("`preserve rm`, `preserve save --grow SIZE`"), "{error}");
        assert!(place.load("ram") == old);
    }
    place.run(&["save", "ram", "--input", &input, "--grow", "1M"]).success();
    assert!(place.load("ram") == new);
    assert_eq!(place.json("list")["size"], 1 << 20);
    let error = stderr(&place.run(&["save", "ram", "--grow", "64K"]).code(1));
    assert!(error.contains("state: "), "{error}");
    assert!(place.load("ram") == new);
}

#[test]
fn a_store_that_cannot_be_made_leaves_nothing_behind() {
    let place = Place::empty();
    place.run_with(&["save", "cpu", "--create", "16K"], "x").code(1);
    let full = place.run_with(&["save", "cpu", "--create", "64K"], many(65_536, 0)).code(1);
    assert!(stderr(&full).contains("the store is full"), "{}", stderr(&full));
    place.run(&["save", "cpu", "--create", "1M", "--input", "/no/such/file"]).code(1);
    place.run(&["save", "cpu", "--create", "1M", "--grow", "2M"]).code(2);
    assert!(!place.path.exists());
    let place = Place::with(&["cpu"]);
    // An existing file keeps its size, and its store.
    place.run_with(&["save", "ram", "--create", "64K"], "ram").success();
    assert_eq!(place.names(), ["cpu", "ram"]);
}

/// A backup that is brought back while the command waits for its input.
#[cfg(unix)]
#[test]
fn a_save_that_fails_removes_its_own_new_file_alone() {
    let place = Place::empty();
    let backup = Place::with(&["cpu"]);
    let command = ["save", "ram", "--create", "256K"];
    let mut process = place.process(&command);
    let mut child = process.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    while !place.path.exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    fs::rename(&backup.path, &place.path).unwrap();
    // The command reads no more than fits.
    drop(child.stdin.take().unwrap().write_all(&many(512 << 10, 0)));
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(place.load("cpu"), b"cpu");
}

/// Each remains of a crash in `--create`: the new file, a part of the store without its magics, the empty store.
#[test]
fn a_creation_that_was_cut_off_is_completed_by_the_next_one() {
    let zeros = vec![0; 1 << 20];
    let empty = fs::read(Place::with(&[]).path).unwrap();
    let mut part = empty.clone();
    for magic in [4096, 12_288] {
        assert_eq!(part[magic..magic + 8], *b"cmpresrv");
        part[magic..magic + 8].fill(0);
    }
    for left in [zeros, part, empty] {
        let place = Place::empty();
        fs::write(&place.path, left).unwrap();
        place.run_with(&["save", "cpu", "--create", "1M"], "registers").success();
        assert_eq!(place.load("cpu"), b"registers");
        place.run(&["verify"]).success();
    }
}

#[test]
fn a_file_without_a_store_is_created_in_only_if_it_has_the_size_that_was_asked_for() {
    let place = Place::empty();
    fs::write(&place.path, vec![0; 1 << 17]).unwrap();
    let error = stderr(&place.run(&["save", "cpu", "--create", "1M"]).code(1));
    assert!(error.contains("create the store with `--create 131072`, or remove"), "{error}");
    assert_eq!(fs::read(&place.path).unwrap(), vec![0; 1 << 17]);
    place.run_with(&["save", "cpu", "--create", "131072"], "registers").success();
    assert_eq!(place.load("cpu"), b"registers");

    let foreign = vec![b'x'; 1 << 20];
    fs::write(&place.path, &foreign).unwrap();
    let error = stderr(&place.run(&["save", "cpu", "--create", "1M"]).code(1));
    assert!(error.contains("this is not a store: it begins with xxxxxxxx"), "{error}");
    assert_eq!(fs::read(&place.path).unwrap(), foreign);
}

#[test]
fn saving_into_a_missing_store_names_the_option_that_creates_it() {
    let place = Place::empty();
    let error = stderr(&place.run(&["save", "cpu"]).code(1));
    assert!(error.contains("create it first (`--create SIZE`)"), "{error}");
    fs::write(&place.path, vec![0; 1 << 17]).unwrap();
    let error = stderr(&place.run(&["save", "cpu"]).code(1));
    assert!(
        error.contains(
            "begins with zeros; restore it if there was one, or create one (`--create SIZE`)"
        ),
        "{error}"
    );
    // The other commands have no such option.
    let error = stderr(&place.run(&["list"]).code(1));
    assert!(
        error.ends_with("begins with zeros; restore it if there was one, or create one\n"),
        "{error}"
    );
}

#[test]
fn an_open_store_can_be_read_but_not_written_by_others() {
    let place = Place::with(&["cpu"]);
    let options = cachemaint::dax::Options::new().allow_page_granularity();
    let (mut store, _) = Options::new().open(options.open(&place.path).unwrap()).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("ram", b"guest").unwrap();
    transaction.commit().unwrap();
    for command in [&["save", "x"][..], &["rm", "cpu"], &["mv", "cpu", "x"], &["seal"]] {
        let error = stderr(&place.run(command).code(1));
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
    let place = Place::empty();
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
    assert_eq!(output.status.code(), Some(1));
    let loaded = [&first[..], &output.stdout].concat();
    assert!(loaded == blob(0)[..PIECE], "{} bytes", loaded.len());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("it was replaced or deleted meanwhile; load it again"), "{error}");
    assert!(place.load("ram") == blob(2));
}

/// Not every file that begins with zeros is unused: the image of a disk does, for example.
#[test]
fn data_behind_zeros_are_not_saved_over() {
    for at in [446, 4095, 5000, 30_000] {
        let place = Place::empty();
        let mut content = vec![0; 65_536];
        content[at] = 1;
        fs::write(&place.path, &content).unwrap();
        let error = stderr(&place.run_with(&["save", "ram", "--create", "64K"], "x").code(1));
        assert!(error.contains("the file has other data than a store"), "{at}: {error}");
        assert!(fs::read(&place.path).unwrap() == content, "{at}");
    }
}

/// Files of sysfs state a length of a page, whatever they contain.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_shorter_than_its_stated_length_is_saved() {
    const FILE: &str = "/sys/devices/system/cpu/possible";
    let Ok(content) = fs::read(FILE) else {
        return skip("a_file_that_is_shorter_than_its_stated_length_is_saved", FILE);
    };
    let place = Place::with(&[]);
    place.run(&["save", "cpus", "--input", FILE]).success();
    assert_eq!(place.load("cpus"), content);
}
