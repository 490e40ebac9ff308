//! Blobs from standard input and to standard output, if these are closed or cannot be used.

use crate::place::{Place, text};
use crate::printed::stderr;
use crate::redirected;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_file_is_saved_without_a_standard_input() {
    let place = Place::with(&[]);
    let input = place.file("input", b"registers");
    redirected::run(&place.process(&["save", "cpu", "--input", &input]), "<&-").success();
    assert_eq!(place.load("cpu"), b"registers");
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
