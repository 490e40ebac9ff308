//! Paths that were added to a guard and are not there any more.

use super::{check, guard, make};
use crate::own_mount::with_small_tmpfs;
use cachemaint::dax::ErrorKind;
use cachemaint::dax::guard::Guard;
use rustix::fs::{AtFlags, CWD, Mode, StatxAttributes, StatxFlags, statx};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes two passes without the path, and checks that only the first one reports it.
fn check_gone(guard: &mut Guard, path: &Path, files: u64, change: &str) {
    let pass = guard.pass();
    assert_eq!(pass.problems.len(), 1, "{change}: {:?}", pass.problems);
    let problem = &pass.problems[0];
    assert!(matches!(problem.kind(), ErrorKind::Gone), "{change}: {problem}");
    assert_eq!(problem.path(), path, "{change}");
    assert_eq!((pass.files, pass.outside, pass.gone), (files, 1, 1), "{change}");
    let pass = guard.pass();
    assert!(pass.problems.is_empty(), "{change}: {:?}", pass.problems);
    assert_eq!((pass.files, pass.outside, pass.gone), (files, 1, 1), "{change}");
}

fn check_back(guard: &mut Guard, files: u64, bytes: u64) {
    check(guard, files, bytes);
    let pass = guard.pass();
    assert_eq!((pass.outside, pass.gone), (0, 0));
}

#[test]
fn a_path_that_vanishes_is_reported_each_time_and_guarded_again_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let [parent, moved, kept] = ["parent", "moved", "kept"].map(|name| directory.path().join(name));
    let (tree, single) = (parent.join("tree"), parent.join("single"));
    fs::create_dir_all(&tree).unwrap();
    fs::create_dir(&kept).unwrap();
    make(&tree.join("file"), 100);
    make(&single, 1000);
    make(&kept.join("file"), 10);
    for path in [&tree, &single] {
        let (bytes, change) = if path == &tree { (110, "tree") } else { (1010, "single") };
        let mut guard = guard();
        guard.add(path).unwrap();
        guard.add(&kept).unwrap();
        check_back(&mut guard, 2, bytes);

        fs::rename(path, &moved).unwrap();
        check_gone(&mut guard, path, 1, change);
        symlink(&moved, path).unwrap();
        let pass = guard.pass();
        assert!(pass.problems.is_empty(), "reported before: {:?}", pass.problems);
        assert_eq!((pass.files, pass.outside, pass.gone), (1, 1, 1), "a link to a {change}");
        fs::remove_file(path).unwrap();
        fs::rename(&moved, path).unwrap();
        check_back(&mut guard, 2, bytes);

        // The next look finds a link, a pipe, and a parent that is a file.
        fs::rename(path, &moved).unwrap();
        symlink(&moved, path).unwrap();
        check_gone(&mut guard, path, 1, change);
        fs::remove_file(path).unwrap();
        fs::rename(&moved, path).unwrap();
        check_back(&mut guard, 2, bytes);

        fs::rename(path, &moved).unwrap();
        rustix::fs::mkfifoat(CWD, path, Mode::RUSR).unwrap();
        check_gone(&mut guard, path, 1, change);
        fs::remove_file(path).unwrap();
        fs::rename(&moved, path).unwrap();
        check_back(&mut guard, 2, bytes);

        fs::rename(&parent, &moved).unwrap();
        make(&parent, 100);
        check_gone(&mut guard, path, 1, change);
        fs::remove_file(&parent).unwrap();
        fs::rename(&moved, &parent).unwrap();
        check_back(&mut guard, 2, bytes);
        assert_eq!(guard.statistics().problems, 4, "{change}");
    }
}

#[test]
fn files_that_vanish_below_a_path_are_not_reported() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    make(&below.join("file"), 100);
    make(&directory.path().join("other"), 10);
    let mut guard = guard();
    guard.add(directory.path()).unwrap();
    check_back(&mut guard, 2, 110);
    fs::remove_dir_all(&below).unwrap();
    check_back(&mut guard, 1, 10);
}

/// The directory below the mount shows, with other files than the guarded ones.
#[test]
fn a_path_that_is_unmounted_is_gone_until_something_is_mounted_there() {
    let name = "a_path_that_is_unmounted_is_gone_until_something_is_mounted_there";
    with_small_tmpfs(name, |top| {
        let path = top.join("path");
        fs::create_dir(&path).unwrap();
        let mount = || {
            rustix::mount::mount("none", &path, "tmpfs", MountFlags::empty(), c"size=1m").unwrap();
            make(&path.join("mounted"), 100);
        };
        mount();
        let mut guard = guard();
        guard.add(&path).unwrap();
        check_back(&mut guard, 1, 100);
        let found = statx(CWD, &path, AtFlags::empty(), StatxFlags::empty()).unwrap();
        if !found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
            return crate::skip::skip(name, "statx does not show mounts before Linux 5.8");
        }
        rustix::mount::unmount(&path, UnmountFlags::DETACH).unwrap();
        check_gone(&mut guard, &path, 0, "unmounted");
        make(&path.join("underneath"), 10);
        let pass = guard.pass();
        assert_eq!((pass.files, pass.bytes, pass.gone), (1, 10, 1));
        mount();
        check_back(&mut guard, 1, 100);
    });
}
