//! Directories that cannot be looked at: mounts that do not answer, and paths that are too long.

use super::{guard, make};
use crate::own_mount::with_small_tmpfs;
use cachemaint::dax;
use core::time::Duration;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read as _, Write};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;

/// Far longer than a pass, on any machine. One that waits for a mount waits for ever.
const PATIENCE: Duration = Duration::from_secs(600);

/// Its server may be gone, or be a program of another user that never answers, and a call would wait for it.
#[test]
fn mounts_below_that_do_not_answer_are_reported_and_hold_up_no_pass() {
    let name = "mounts_below_that_do_not_answer_are_reported_and_hold_up_no_pass";
    with_small_tmpfs(name, |top| {
        let [directory, file, same] = ["directory", "file", "same"].map(|part| top.join(part));
        fs::create_dir(&directory).unwrap();
        fs::create_dir(&same).unwrap();
        make(&file, 100);
        make(&top.join("guarded"), 100);
        rustix::mount::mount_bind(&directory, &same).unwrap();
        let unanswered = [(&directory, "40000"), (&file, "100000")]
            .map(|(path, kind)| mount_unanswered(path, kind));
        let unanswered = unanswered.into_iter().collect::<Result<Vec<_>, _>>();
        let unanswered = match unanswered {
            Ok(unanswered) => unanswered,
            Err(error) => return crate::skip::skip(name, format_args!("no FUSE here: {error}")),
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut guard = guard();
                guard.add(top).unwrap();
                sender.send(guard.pass()).unwrap();
            });
            let pass = receiver.recv_timeout(PATIENCE);
            // Ends the file systems, so that a call that waits for them fails.
            drop(unanswered);
            let pass = pass.unwrap();
            let paths: BTreeSet<_> = pass.problems.iter().map(dax::Error::path).collect();
            assert_eq!(paths, [&*directory, &file, &same].into());
            assert_eq!((pass.files, pass.outside), (1, 3), "{:?}", pass.problems);
        });
    });
}

/// The program that is to mount there can wait for a server that is gone.
#[test]
fn an_automount_that_is_under_way_is_reported_and_holds_up_no_pass() {
    let name = "an_automount_that_is_under_way_is_reported_and_holds_up_no_pass";
    with_small_tmpfs(name, |top| {
        let automount = top.join("automount");
        fs::create_dir(&automount).unwrap();
        make(&top.join("guarded"), 100);
        let mut requests = match automount_unanswered(&automount) {
            Ok(requests) => requests,
            Err(error) => return crate::skip::skip(name, format_args!("no autofs here: {error}")),
        };
        let mut waits = Command::new("ls").arg(&automount).spawn().unwrap();
        requests.read_exact(&mut [0]).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let top = top.to_path_buf();
        // Not joined: it would wait for the mount, and with it the end of the test.
        std::thread::spawn(move || {
            let mut guard = guard();
            guard.add(&top).unwrap();
            sender.send(guard.pass()).unwrap();
        });
        let pass = receiver.recv_timeout(PATIENCE);
        waits.kill().unwrap();
        waits.wait().unwrap();
        let pass = pass.unwrap();
        let paths: Vec<_> = pass.problems.iter().map(dax::Error::path).collect();
        assert_eq!(paths, [automount]);
        assert_eq!((pass.files, pass.outside), (1, 1), "{:?}", pass.problems);
    });
}

/// Makes a directory an automount whose requests are written to the returned pipe, and not answered.
fn automount_unanswered(path: &Path) -> Result<std::io::PipeReader, std::io::Error> {
    let (requests, kernel) = std::io::pipe()?;
    let number = kernel.as_raw_fd();
    // The processes of the group `pgrp` are those that mount, and have none mounted.
    let options = format!("fd={number},pgrp=1,minproto=5,maxproto=5,direct");
    let options = CString::new(options).unwrap();
    rustix::mount::mount("none", path, "autofs", MountFlags::empty(), &*options)?;
    Ok(requests)
}

/// Mounts a FUSE file system whose server never reads a request.
fn mount_unanswered(path: &Path, kind: &str) -> Result<File, std::io::Error> {
    let server = File::options().read(true).write(true).open("/dev/fuse")?;
    let number = server.as_raw_fd();
    let options = format!("fd={number},rootmode={kind},user_id=0,group_id=0,allow_other");
    let options = CString::new(options).unwrap();
    rustix::mount::mount("none", path, "fuse", MountFlags::empty(), &*options)?;
    Ok(server)
}

/// The name of each directory of [`Nested`].
const LEVEL: &str = "one-directory-of-many";

/// Directories below each other. Those with a longer path than a call takes are reached one by one.
struct Nested<'t> {
    top: &'t Path,
}

impl<'t> Nested<'t> {
    /// Creates so many levels below `top`, and a file in the last one.
    fn new(top: &'t Path, levels: u32) -> Self {
        let nested = Self { top };
        let mut last = rustix::fs::open(top, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..levels {
            rustix::fs::mkdirat(&last, LEVEL, Mode::RWXU).unwrap();
            last = rustix::fs::openat(&last, LEVEL, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = rustix::fs::openat(&last, "file", flags, Mode::RWXU).unwrap();
        File::from(file).write_all(&[1; 100]).unwrap();
        nested
    }
}

impl Drop for Nested<'_> {
    /// Moves each directory up before the one above it is removed: `remove_dir_all` holds a descriptor for each level.
    fn drop(&mut self) {
        let [first, next] = [LEVEL, "next"].map(|name| self.top.join(name));
        while fs::rename(first.join(LEVEL), &next).is_ok() {
            fs::remove_dir_all(&first).unwrap();
            fs::rename(&next, &first).unwrap();
        }
    }
}

/// A program can nest directories without an end, and each reading walks to each of them through every level. 300 levels
/// have paths of 6,600 bytes.
#[test]
fn a_directory_with_a_path_of_path_max_is_outside_and_files_beside_it_are_guarded() {
    const PATH_MAX: usize = 4096;
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let top = directory.path();
    make(&top.join("beside"), 1000);
    let nested = Nested::new(top, 300);
    // The last directory that a path can name: each level has a name and a slash.
    let levels = (PATH_MAX - 1 - top.as_os_str().len()) / (LEVEL.len() + 1);
    let reached = top.join(vec![LEVEL; levels].join("/"));
    let parent = rustix::fs::open(&reached, OFlags::DIRECTORY, Mode::empty()).unwrap();
    let flags = OFlags::CREATE | OFlags::WRONLY;
    File::from(rustix::fs::openat(&parent, "reached", flags, Mode::RWXU).unwrap())
        .write_all(&[1; 10])
        .unwrap();

    let mut guard = guard();
    guard.add(top).unwrap();
    let pass = guard.pass();
    assert_eq!((pass.files, pass.bytes, pass.outside), (2, 1010, 1), "{:?}", pass.problems);
    let [problem] = &pass.problems[..] else { panic!("{:?}", pass.problems) };
    assert_eq!(problem.path(), reached.join(LEVEL));
    assert_eq!(problem.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()));
    make(&top.join("new"), 500);
    let pass = guard.pass();
    assert_eq!((pass.files, pass.bytes, pass.outside), (3, 1510, 1));
    assert!(pass.problems.is_empty(), "reported before: {:?}", pass.problems);

    // The last level is moved up, and nothing is left out any more.
    drop(nested);
    let pass = guard.pass();
    assert_eq!(
        (pass.files, pass.bytes, pass.outside),
        (3, 1600, 0),
        "the file of the last level too"
    );
}
