//! Calls that the system refuses for a reason that its error number alone does not tell.

use super::{LEN, refusal};
use crate::options;
use cachemaint::dax::{ErrorKind, probe};
use cachemaint_test_support::own_mount::{with_mount, with_small_tmpfs};
use cachemaint_test_support::skip::skip;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_file_system_without_free_inodes_is_named_although_it_has_space() {
    let name = "a_file_system_without_free_inodes_is_named_although_it_has_space";
    with_mount(name, "tmpfs", c"size=8m,nr_inodes=4", |directory| {
        let mut number = 0;
        while fs::File::create(directory.join(number.to_string())).is_ok() {
            number += 1;
        }
        let path = directory.join("new");
        let error = options().create_new(&path, LEN).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
        assert!(refusal(&path, Err::<(), _>(error)).contains("no free inode"));
        let text = refusal(directory, probe(directory));
        assert!(text.contains("df -i"), "{text}");
    });
}

fn chattr(change: &str, path: &Path) -> bool {
    let done = Command::new("chattr").arg(change).arg(path).output();
    done.is_ok_and(|output| output.status.success())
}

/// The owner cannot grant it, and root is refused as well.
#[test]
fn an_attribute_that_forbids_writing_is_named() {
    let name = "an_attribute_that_forbids_writing_is_named";
    with_small_tmpfs(name, |directory| {
        let path = directory.join("file");
        drop(options().create_new(&path, LEN).unwrap());
        for (letter, place, expected) in [
            ("i", &*path, "it is immutable"),
            ("a", &*path, "it can only be appended to"),
            ("i", directory, "its directory is immutable"),
        ] {
            if !chattr(&format!("+{letter}"), place) {
                return skip(name, "no attribute can be set here (chattr)");
            }
            let other = directory.join("other");
            let refused = if place == directory {
                refusal(&other, options().create_new(&other, LEN))
            } else {
                refusal(&path, options().open(&path))
            };
            assert!(chattr(&format!("-{letter}"), place));
            assert!(refused.starts_with(expected), "{refused}");
            assert!(refused.contains(&format!("chattr -{letter}")), "{refused}");
            assert!(!refused.contains("owner"), "{refused}");
        }
    });
}
