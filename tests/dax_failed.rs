//! Files by pages whose device or length fails, and what their write-backs write. On file systems of the test's own, which
//! need root and loop devices.

#![cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(miri),
    not(cachemaint_loom)
))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use cachemaint::dax::{DaxFile, ErrorKind, Options};
use cachemaint::medium::Granularity;
use cachemaint_test_support::skip::skip;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const MIB: u64 = 1 << 20;

fn options() -> Options {
    Options::new().allow_page_granularity()
}

/// A loop device, until it is dropped.
struct Loop(PathBuf);

impl Drop for Loop {
    fn drop(&mut self) {
        drop(Command::new("losetup").arg("--detach").arg(&self.0).status());
    }
}

impl Loop {
    /// Returns a loop device with a fresh file system, or the reason why there is none.
    fn new(image: &Path, kind: &str) -> Result<Self, String> {
        File::create(image).unwrap().set_len(512 * MIB).unwrap();
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(image))?;
        let found = run(Command::new("losetup").args(["--find", "--show"]).arg(image))?;
        Ok(Self(found.trim().into()))
    }

    /// Returns the number of blocks of 4 KiB that were written so far (`Documentation/block/stat.rst`).
    fn written(&self) -> u64 {
        let name = self.0.file_name().unwrap();
        let stat = fs::read_to_string(Path::new("/sys/block").join(name).join("stat")).unwrap();
        stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() / 8
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `test` with a directory on a fresh file system of each kind, and its device.
fn with_loops(name: &str, test: impl Fn(&Path, &Loop) + Sync) {
    for kind in ["ext4", "xfs"] {
        let directory = tempfile::tempdir().unwrap();
        match Loop::new(&directory.path().join("image"), kind) {
            Err(why) => {
                skip(name, format_args!("no file system can be made and mounted: {kind}: {why}"));
            }
            Ok(device) => {
                cachemaint_test_support::own_mount::with_device(
                    name,
                    &device.0,
                    kind,
                    c"",
                    |mounted| {
                        test(mounted, &device);
                    },
                );
            }
        }
    }
}

/// A store behind the end, in the page that has it, raises no signal, and the system clears its bytes.
#[test]
fn a_cut_file_fails_by_pages_without_a_handler_from_two_threads_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = &options().create_new(directory.path().join("file"), MIB).unwrap();
    if !matches!(file.granularity(), Granularity::Page(_)) {
        let name = "a_cut_file_fails_by_pages_without_a_handler_from_two_threads_at_once";
        return skip(name, "this file is persisted by cache lines");
    }
    let set_len = |len| {
        File::options().write(true).open(file.path()).unwrap().set_len(len).unwrap();
    };
    set_len(MIB - 8);
    let both = thread::scope(|scope| {
        [0, MIB - 64]
            .map(|at| scope.spawn(move || file.persist(at..at + 64)))
            .map(|thread| thread.join().unwrap())
    });
    set_len(MIB);
    let later = [file.check(), file.persist(0..8), file.read(0, &mut [0; 8])];
    for failed in both.into_iter().chain(later) {
        let error = failed.unwrap_err();
        let expected = (MIB - 8, MIB);
        assert!(
            matches!(error.kind(), ErrorKind::Shorter { size, needed, .. } if (*size, *needed) == expected),
            "{error}"
        );
    }
}

/// Persists 64 bytes in each of some pages of 2 MiB, and returns the number of persists that have written more than 4 blocks.
/// They are where a readahead that began with the file has grown.
fn large_persists(file: &DaxFile, device: &Loop) -> usize {
    let page = rustix::param::page_size() as u64;
    // What was written before is not counted.
    rustix::fs::sync();
    let is_large = |number: &u64| {
        let (at, before) = (16 * MIB + number * 7 * page, device.written());
        file.write(at, &[7; 64]);
        file.persist(at..at + 64).unwrap();
        device.written() - before > 4
    };
    (0..64).filter(is_large).count()
}

/// Has another open file read a file in order, as a program that copies it does. The readahead grows.
fn read_in_order(path: &Path) {
    let mut file = File::open(path).unwrap();
    while file.read(&mut [0; 4096]).unwrap() > 0 {}
}

/// The page cache has large folios on these file systems, of which a store dirties each as a whole.
#[test]
fn a_persist_of_64_bytes_writes_at_most_4_blocks() {
    const LEN: u64 = 32 * MIB;
    let name = "a_persist_of_64_bytes_writes_at_most_4_blocks";
    if rustix::param::page_size() != 4096 {
        return skip(name, "pages are larger than blocks here");
    }
    with_loops(name, |directory, device| {
        let path = directory.join("file");
        let mut file = options().create_new(&path, LEN).unwrap();
        assert_eq!(large_persists(&file, device), 0, "new");
        file.grow(2 * LEN).unwrap();
        assert_eq!(large_persists(&file, device), 0, "grown");
        drop(file);
        assert_eq!(large_persists(&options().open(&path).unwrap(), device), 0, "existing");
        drop_cache(&path);
        let file = options().open(&path).unwrap();
        file.read(0, &mut vec![0; 64 << 20]).unwrap();
        assert_eq!(large_persists(&file, device), 0, "read after the cache was dropped");
        drop(file);
        drop_cache(&path);
        let view = options().view(&path).unwrap();
        view.read(0, &mut vec![0; 64 << 20]).unwrap();
        let file = options().open(&path).unwrap();
        assert_eq!(large_persists(&file, device), 0, "viewed");
        drop((view, file));

        let copy = directory.join("copy");
        fs::copy(&path, &copy).unwrap();
        read_in_order(&copy);
        let file = options().drop_cached_pages().open(&copy).unwrap();
        assert_eq!(large_persists(&file, device), 0, "copied and read by other programs");
    });
}

/// Has the pages of a file leave the cache, as they do when memory is short.
fn drop_cache(path: &Path) {
    let advice = rustix::fs::Advice::DontNeed;
    rustix::fs::fadvise(File::open(path).unwrap(), 0, None, advice).unwrap();
}
