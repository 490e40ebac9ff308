//! Files on file systems that a test mounts for itself, which needs root.

use super::{LEN, is_in_ram, refusal};
use crate::options;
use cachemaint::dax::{ErrorKind, Options, probe};
use cachemaint_test_support::own_mount::{overlay, with_mount, with_small_tmpfs};
use cachemaint_test_support::skip::skip;
use core::sync::atomic::Ordering;
use core::time::Duration;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

#[test]
fn ramfs_is_ram() {
    with_mount("ramfs_is_ram", "ramfs", c"", |directory| {
        let path = directory.join("file");
        let text = refusal(&path, Options::new().create_new(&path, LEN));
        assert!(text.contains("ramfs keeps files in RAM"), "{text}");
        let file = options().create_new(&path, LEN).unwrap();
        file.persist_copy(&[(0, b"here")]).unwrap();
        file.deep_persist(0..4).unwrap();
        assert!(is_in_ram(&file));
    });
}

/// A mapping of the lower layer's file stays on it after the copy up (`Documentation/filesystems/overlayfs.rst`,
/// "Non-standard behavior").
#[cfg(target_pointer_width = "64")]
#[test]
fn a_view_of_a_lower_layers_file_sees_later_stores_or_is_refused() {
    let name = "a_view_of_a_lower_layers_file_sees_later_stores_or_is_refused";
    with_small_tmpfs(name, |directory| {
        fs::create_dir(directory.join("layers")).unwrap();
        let Some((lower, merged)) = overlay(name, &directory.join("layers")) else { return };
        for file in ["viewed", "denied", "fixed"] {
            fs::write(lower.join(file), [0; 4096]).unwrap();
        }
        let path = merged.join("viewed");
        let text = refusal(&path, options().view_file(fs::File::open(&path).unwrap()));
        assert!(text.contains("opened for reading only on overlayfs"), "{text}");
        let view = options().view(&path).unwrap();
        let writer = options().open(&path).unwrap();
        writer.store(8, 42, Ordering::Release);
        assert_eq!(view.load(8, Ordering::Acquire), 42);
        let other =
            options().view_file(fs::File::options().read(true).write(true).open(&path).unwrap());
        let other = other.unwrap();
        assert_eq!(other.load(8, Ordering::Acquire), 42);
        // Without pages it is refused, and stays where it is.
        Options::new().view(merged.join("fixed")).unwrap_err();
        assert!(!directory.join("layers/upper/fixed").exists());

        let path = merged.join("denied");
        thread::scope(|scope| {
            scope.spawn(|| {
                let nobody = rustix::process::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                let text = refusal(&path, options().view(&path));
                assert!(text.contains("is on overlayfs"), "{text}");
                assert!(text.contains("let its owner grant"), "{text}");
            });
        });
        drop((view, writer, other));
        remount_read_only(&merged).unwrap();
        options().view(&path).unwrap();
    });
}

/// Offsets are multiples of a huge page there. Lengths are rounded up to one by the kernel, which neither leaves
/// nor takes away anything behind the mapping (mmap(2), munmap(2)). There msync does nothing
/// (`fs/hugetlbfs/inode.c`, `noop_fsync`), and takes any page.
#[test]
fn a_part_of_a_huge_page_is_mapped_and_unmapped_whole() {
    const HUGE: u64 = 2 << 20;
    let name = "a_part_of_a_huge_page_is_mapped_and_unmapped_whole";
    let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    let free = free.ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    if free < 3 {
        skip(name, "no huge pages of 2 MiB are free (/proc/sys/vm/nr_hugepages)");
        return;
    }
    with_mount(name, "hugetlbfs", c"pagesize=2M", |directory| {
        let path = directory.join("file");
        fs::File::create(&path).unwrap().set_len(3 * HUGE).unwrap();
        assert_eq!(probe(&path).unwrap().alignment, HUGE);
        let text = refusal(&path, options().offset(4096).open(&path));
        assert!(text.starts_with("offset 4096 is not a multiple of 2097152"), "{text}");
        for (offset, len) in [(0, 4096), (HUGE, HUGE + 1), (0, 3 * HUGE), (HUGE, 8192)] {
            let file = options().offset(offset).len(len).open(&path).unwrap();
            assert_eq!(file.as_ptr(0).addr() as u64 % HUGE, 0);
            file.write(len - 8, b"the end!");
            file.persist(len - 8..len).unwrap();
            assert!(is_in_ram(&file));
            let start = format!("{:x}-", file.as_ptr(0).addr());
            let is_mapped = || {
                let maps = fs::read_to_string("/proc/self/maps").unwrap();
                maps.lines().any(|line| line.starts_with(&start))
            };
            assert!(is_mapped());
            drop(file);
            assert!(!is_mapped(), "{len} bytes at {offset} stay mapped");
        }
    });
}

#[test]
fn a_full_file_system_is_left_as_it_was() {
    with_small_tmpfs("a_full_file_system_is_left_as_it_was", |directory| {
        let path = directory.join("large");
        let text = refusal(&path, options().create_new(&path, 2 << 20));
        assert!(text.starts_with("no space for 2097152 bytes"), "{text}");
        assert!(!path.exists(), "nothing is left behind");
        options().create_new(&path, LEN).unwrap();
    });
}

/// The kernel has written the pages for another open file. It reports the failure to the first call for this one.
#[test]
fn a_failed_write_back_is_reported_to_each_thread_whose_page_is_lost() {
    const ROUNDS: usize = 50;
    const THREADS: u8 = 8;

    let name = "a_failed_write_back_is_reported_to_each_thread_whose_page_is_lost";
    with_mount(name, "tmpfs", c"size=8m", |directory| {
        let mounted = directory.join("mounted");
        let Some(_unmounts) =
            mount_image(name, directory, &mounted, (64 << 20, ["-O", "^has_journal"]))
        else {
            return;
        };
        let page = rustix::param::page_size() as u64;
        let paths: Vec<_> = (0..ROUNDS).map(|round| mounted.join(round.to_string())).collect();
        for path in &paths {
            let file = fs::File::create(path).unwrap();
            file.set_len((1 + u64::from(THREADS)) * page).unwrap();
            file.sync_all().unwrap();
        }
        // The device below has no space for a block that it was not given yet.
        let mut fills = fs::File::create(directory.join("fills")).unwrap();
        while fills.write_all(&[1; 4096]).is_ok() {}
        for path in &paths {
            let file = options().open(path).unwrap();
            let stored: Vec<_> = (1..=THREADS).map(|thread| u64::from(thread) * page).collect();
            for at in &stored {
                file.store(*at, 1, Ordering::Relaxed);
            }
            fs::File::open(path).unwrap().sync_data().unwrap_err();
            let begin = Barrier::new(stored.len());
            thread::scope(|scope| {
                for at in stored {
                    let (file, begin) = (&file, &begin);
                    scope.spawn(move || {
                        begin.wait();
                        let error = file.persist(at..at + 8).unwrap_err();
                        assert!(matches!(error.kind(), ErrorKind::Writeback { .. }), "{error}");
                    });
                }
            });
            let later = file.check().unwrap_err();
            assert!(matches!(later.kind(), ErrorKind::Writeback { .. }), "{later}");
        }
    });
}

/// Mounts a new ext4, whose sparse image is in a directory; `None` if that is not possible here.
fn mount_image<'p>(
    name: &str,
    directory: &Path,
    mounted: &'p Path,
    (size, features): (u64, [&str; 2]),
) -> Option<Mounted<'p>> {
    let image = directory.join("image");
    fs::File::create(&image).unwrap().set_len(size).unwrap();
    fs::create_dir(mounted).unwrap();
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-F"]).args(features).arg(&image);
    let mut mount = Command::new("mount");
    mount.args(["-o", "loop"]).arg(&image).arg(mounted);
    for command in [&mut make, &mut mount] {
        if !command.output().is_ok_and(|output| output.status.success()) {
            skip(name, format_args!("no file system can be made and mounted: {command:?}"));
            return None;
        }
    }
    Some(Mounted(mounted))
}

/// A file system that is unmounted at the end. The end of the mount namespace does not do it: the image and the directory
/// that it is mounted on are in one tmpfs. So the image's loop device and the mount keep each other.
struct Mounted<'p>(&'p Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// A process that a thread of another test forks meanwhile has the file open for writing, too, until it executes its
/// program. Till then the file system is busy.
fn remount_read_only(directory: &Path) -> rustix::io::Result<()> {
    let begun = Instant::now();
    loop {
        match rustix::mount::mount_remount(directory, MountFlags::RDONLY, c"") {
            Err(Errno::BUSY) if begun.elapsed() < Duration::from_secs(60) => {
                thread::yield_now();
            }
            remounted => return remounted,
        }
    }
}

#[test]
fn a_read_only_file_system_is_named_and_its_files_are_viewed() {
    let name = "a_read_only_file_system_is_named_and_its_files_are_viewed";
    with_small_tmpfs(name, |directory| {
        let path = directory.join("file");
        options().create_new(&path, LEN).unwrap().write(0, b"readable");
        let before = fs::read(&path).unwrap();
        remount_read_only(directory).unwrap();
        let text = refusal(&path, options().open(&path));
        assert!(text.starts_with("its file system is mounted read-only"), "{text}");
        let other = directory.join("other");
        let text = refusal(&other, Options::new().create_new(&other, LEN));
        assert!(text.starts_with("its file system is mounted read-only"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), before);
        if cfg!(target_pointer_width = "64") {
            let view = options().view(&path).unwrap();
            let mut bytes = [0; 8];
            view.read(0, &mut bytes).unwrap();
            view.persist(0..8).unwrap();
            assert_eq!(&bytes, b"readable");
        }
    });
}
