//! Files of another user, in which root is to write.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod printed;

use assert_cmd::assert::Assert;
use assert_cmd::{Command, cargo};
use cachemaint_test_support::skip::skip;
use printed::{stderr, stdout};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt, chown};
use std::path::Path;

const OTHER: u32 = 1000;
const SIZE: usize = 1 << 20;

fn cachemaint(arguments: &[&str], path: &Path, rest: &[&str]) -> Assert {
    let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
    command.args(arguments).arg(path).args(rest).write_stdin("x").assert()
}

/// The commands that create a log in a file of zeros.
const CREATIONS: [(&[&str], &[&str]); 3] = [
    (&["journal", "append"], &["--create", "1M"]),
    (&["preserve", "save"], &["name", "--create", "1M"]),
    (&["record"], &[]),
];

/// Gives a file to another user, with rights for all. Returns false if this is not root, or the file system keeps the
/// owner.
fn is_given(path: &Path) -> bool {
    fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
    rustix::process::geteuid().is_root()
        && chown(path, Some(OTHER), None).is_ok()
        && fs::metadata(path).unwrap().uid() == OTHER
}

#[test]
fn no_log_is_created_in_a_file_of_another_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    for (command, rest) in CREATIONS {
        fs::write(&path, vec![0; SIZE]).unwrap();
        if !is_given(&path) {
            return skip(
                "no_log_is_created_in_a_file_of_another_user",
                "files cannot be given to another user",
            );
        }
        let refused = cachemaint(command, &path, rest).code(1);
        let error = stderr(&refused);
        assert!(stdout(&refused).is_empty(), "{command:?}");
        let expected = "belongs to another user (user id 1000)";
        assert!(error.contains(expected) && error.contains("remove it"), "{command:?}: {error}");
        assert!(fs::read(&path).unwrap() == vec![0; SIZE], "{command:?}");

        chown(&path, Some(0), None).unwrap();
        cachemaint(command, &path, rest).success();
        // A log that is there already is continued.
        assert!(is_given(&path));
        cachemaint(command, &path, rest).success();
        fs::remove_file(&path).unwrap();
    }
}

/// Its beginning can be placed too.
#[test]
fn a_creation_that_was_cut_off_is_not_completed_in_a_file_of_another_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, vec![0; SIZE]).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(b"\x04\0\0\0\x80", 4096 + 8)
        .unwrap();
    if !is_given(&path) {
        return skip(
            "a_creation_that_was_cut_off_is_not_completed_in_a_file_of_another_user",
            "files cannot be given to another user",
        );
    }
    let (command, rest) = CREATIONS[0];
    let before = fs::read(&path).unwrap();
    let error = stderr(&cachemaint(command, &path, rest).code(1));
    assert!(error.contains("belongs to another user (user id 1000)"), "{error}");
    assert!(fs::read(&path).unwrap() == before);
    chown(&path, Some(0), None).unwrap();
    cachemaint(command, &path, rest).success();
}

#[test]
fn a_blob_that_replaces_a_file_of_another_user_is_as_private_as_its_store() {
    const OTHERS: u32 = 1000;
    const OWN: u32 = 1234;
    let directory = tempfile::tempdir().unwrap();
    let [store, output] = ["store", "output"].map(|name| directory.path().join(name));
    cachemaint(&["preserve", "save"], &store, &["name", "--create", "1M"]).success();
    let set = |path: &Path, group, mode| {
        chown(path, None, Some(group)).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    // The modes of the store and of the output, the output's group, and the mode of the blob.
    for (stored, placed, group, expected) in [
        (0o600, 0o666, OTHERS, 0o600),
        (0o640, 0o666, OTHERS, 0o640),
        (0o660, 0o660, OTHERS, 0o600),
        (0o664, 0o640, OWN, 0o640),
    ] {
        fs::write(&output, "").unwrap();
        if !is_given(&output) {
            return skip(
                "a_blob_that_replaces_a_file_of_another_user_is_as_private_as_its_store",
                "files cannot be given to another user",
            );
        }
        set(&store, OWN, stored);
        set(&output, group, placed);
        let mut shell = Command::new("sh");
        shell.args(["-ec", "umask 0; \"$1\" preserve load \"$2\" name --output \"$3\"", "sh"]);
        shell.arg(cargo::cargo_bin!("cachemaint")).args([&store, &output]).assert().success();
        let found = fs::metadata(&output).unwrap();
        assert_eq!(found.mode() & 0o777, expected, "{stored:o}, {placed:o}");
        assert_eq!((found.uid(), found.gid()), (0, OWN), "{stored:o}, {placed:o}");
        assert_eq!(fs::read(&output).unwrap(), b"x");
        fs::remove_file(&output).unwrap();
    }
}
