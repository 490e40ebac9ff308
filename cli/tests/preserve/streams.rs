//! Blobs from standard input and to standard output, if these are closed or cannot be used.

use crate::limited::limited;
use crate::place::{PIECE, Place, many, text};
use crate::printed::stderr;
use crate::redirected;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_missing_standard_input_does_not_replace_a_blob() {
    let place = Place::with(&["cpu"]);
    for redirection in redirected::NO_INPUT {
        let refused = redirected::run(&place.process(&["save", "cpu"]), redirection).code(1);
        let error = stderr(&refused);
        assert!(error.contains("standard input cannot be read: it is "), "{redirection}: {error}");
        assert_eq!(place.load("cpu"), b"cpu", "{redirection}");
        let new = Place::empty();
        redirected::run(&new.process(&["save", "cpu", "--create", "1M"]), redirection).code(1);
        assert!(!new.path.exists(), "{redirection}");
    }
}

#[test]
fn an_empty_standard_input_is_an_empty_blob() {
    let place = Place::with(&["cpu"]);
    redirected::run(&place.process(&["save", "cpu"]), "</dev/null").success();
    assert_eq!(place.load("cpu"), b"");
}

#[test]
fn a_file_is_saved_without_a_standard_input() {
    let place = Place::with(&[]);
    let input = place.file("input", b"registers");
    redirected::run(&place.process(&["save", "cpu", "--input", &input]), "<&-").success();
    assert_eq!(place.load("cpu"), b"registers");
}

#[test]
fn a_missing_standard_output_fails_a_load() {
    let place = Place::with(&["cpu"]);
    let load = place.process(&["load", "cpu"]);
    for redirection in [">&-", "1</dev/null", "1<>/dev/null"] {
        let error = stderr(&redirected::run(&load, redirection).code(1));
        assert!(
            error.contains("standard output cannot be written: it is "),
            "{redirection}: {error}"
        );
    }
    redirected::run(&load, ">/dev/null").success();
    let output = place.beside("output");
    let into_file = place.process(&["load", "cpu", "--output", text(&output)]);
    redirected::run(&into_file, ">&-").success();
    assert_eq!(fs::read(output).unwrap(), b"cpu");
}

/// As `--output /dev/stdout >>FILE`. The name is another one, since a faulty command can replace it.
#[test]
fn standard_output_by_a_name_is_written_where_it_stands() {
    let place = Place::with(&["cpu"]);
    let file = place.file("output", b"before ");
    let name = place.beside("stdout");
    symlink("/dev/stdout", &name).unwrap();
    let load = place.process(&["load", "cpu", "--output", text(&name)]);
    redirected::run(&load, &format!(">>{file}")).success();
    assert!(name.is_symlink());
    assert_eq!(fs::read(&file).unwrap(), b"before cpu");
}

/// A new file in the place of an open one would take the bytes that are in it.
#[cfg(target_os = "linux")]
#[test]
fn an_open_file_is_not_replaced() {
    let place = Place::with(&["cpu"]);
    let file = place.file("log", b"before");
    let link = place.beside("link");
    symlink("/dev/fd/3", &link).unwrap();
    for name in ["/dev/fd/3", "/proc/self/fd/3", text(&link)] {
        let load = place.process(&["load", "cpu", "--output", name]);
        let error = stderr(&redirected::run(&load, &format!("3>>{file}")).code(1));
        assert!(error.contains("cannot be written: it leads to an open file; "), "{name}: {error}");
        assert_eq!(fs::read(&file).unwrap(), b"before", "{name}");
    }
    assert!(link.is_symlink());
}

#[test]
fn a_load_beyond_the_limit_of_a_file_leaves_no_file() {
    let place = Place::empty();
    place.run_with(&["save", "ram", "--create", "4M"], many(PIECE, 0)).success();
    let directory = place.beside("out");
    fs::create_dir(&directory).unwrap();
    let output = directory.join("blob");
    let load = limited(&place.process(&["load", "ram", "--output", text(&output)]));
    let error = stderr(&redirected::run(&load, "").code(1));
    assert!(error.contains("the blob cannot be written: File too large"), "{error}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}
