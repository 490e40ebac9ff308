//! The page-granular layer on real files. On Linux it runs over the same files as on any Unix.

use super::mapping::Mapped;
use super::{Paged, conclude};
use crate::dax::mapping::Pages;
use crate::dax::options::probe_on;
use crate::dax::system::Mapper;
use crate::dax::{DaxFile, Error, ErrorKind, NotSupported, Options};
use crate::medium::Granularity;
use crate::survival::{Backing, Event, Stage, Survival};
use crate::system::calls::System;
use alloc::string::ToString;
use alloc::vec;
use core::sync::atomic::Ordering;
use memmap2::MmapRaw;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const LEN: u64 = 64 << 10;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    (directory, path)
}

fn options() -> Options {
    Options::new().allow_page_granularity()
}

fn create(path: &Path) -> Result<DaxFile, Error> {
    options().create_new_on::<Paged>(path, LEN)
}

fn open(path: &Path) -> Result<DaxFile, Error> {
    options().open_on::<Paged>(path)
}

#[test]
fn a_file_is_refused_unless_pages_are_allowed_and_nothing_is_left() {
    let (directory, path) = place();
    let error = Options::new().create_new_on::<Paged>(&path, LEN).unwrap_err();
    let ErrorKind::PageGranular(guarantee) = error.kind() else { panic!("{error}") };
    assert!(matches!(guarantee.granularity, Granularity::Page(_)));
    assert!(error.to_string().contains("or allow page granularity"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

    fs::write(&path, b"as it was").unwrap();
    let error = Options::new().open_on::<Paged>(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PageGranular(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"as it was");
}

#[test]
fn the_placement_of_the_bytes_is_unknown() {
    let (_directory, path) = place();
    let file = create(&path).unwrap();
    let why = Paged::placement(file.file(), file.guarantee(), &(0..LEN)).unwrap_err();
    assert!(why.to_string().contains("ask for it under Linux"), "{why}");
}

/// The guarantee has the system and its calls, as its manuals name them.
#[test]
fn the_guarantee_names_the_system_and_its_calls() {
    for (os, words) in [
        ("windows", ["Windows", "FlushViewOfFile", "FlushFileBuffers"]),
        ("macos", ["macOS", "msync", "F_FULLFSYNC"]),
        ("freebsd", ["FreeBSD", "msync", "fdatasync"]),
    ] {
        let guarantee = conclude(&System::named(os), 4096);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        assert_eq!(guarantee.backing, Backing::Unknown);
        for word in words {
            assert!(guarantee.reason.contains(word), "{os}: {}", guarantee.reason);
            let told = guarantee.evidence.iter().any(|evidence| evidence.answer.contains(word));
            assert!(told, "{os}: {:?}", guarantee.evidence);
        }
        assert!(guarantee.advice.unwrap().contains("Linux"));
        let after = |event| guarantee.survives(Stage::Persisted, event).is;
        assert_eq!(after(Event::ProcessCrash), Survival::Yes);
        assert_eq!(after(Event::PowerLoss), Survival::NotPromised);
    }
}

#[test]
fn persisted_bytes_are_in_the_file() {
    let (_directory, path) = place();
    let file = create(&path).unwrap();
    assert_eq!(file.len(), LEN);
    assert!(file.view().cache().is_none());
    file.write(33, b"odd");
    file.store(4096, 0x0807_0605_0403_0201, Ordering::Release);
    file.write(LEN - 5, b"at 5!");
    file.view()
        .batch(|batch| {
            batch.writeback(33..36);
            batch.writeback(4096..4104);
            batch.writeback(LEN - 5..LEN);
            batch.writeback(100..100);
        })
        .unwrap();
    drop(file);

    let mut expected = vec![0; 64 << 10];
    expected[33..36].copy_from_slice(b"odd");
    expected[4096..4104].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    expected[(64 << 10) - 5..].copy_from_slice(b"at 5!");
    assert!(fs::read(&path).unwrap() == expected, "exactly these bytes, and zeros");

    let file = open(&path).unwrap();
    assert_eq!(file.load(4096, Ordering::Acquire), 0x0807_0605_0403_0201);
    let mut read = [0; 5];
    file.read(LEN - 5, &mut read).unwrap();
    assert_eq!(&read, b"at 5!");
}

/// On Windows a view begins at a multiple of 64 KiB, which is more than a page.
#[test]
fn a_mapping_can_begin_at_any_page_and_end_within_one() {
    let (_directory, path) = place();
    let page = crate::dax::system::files::page_size();
    let offset = 3 * page as u64;
    drop(options().create_new_on::<Paged>(&path, offset + LEN).unwrap());
    let file = options().offset(offset).len(100).open_on::<Paged>(&path).unwrap();
    assert_eq!(file.len(), 100);
    file.write(90, b"the end is");
    file.persist(90..100).unwrap();
    drop(file);
    assert_eq!(&fs::read(&path).unwrap()[3 * page + 90..3 * page + 101], b"the end is\0");
}

#[test]
fn a_file_is_locked_while_it_is_open() {
    let (_directory, path) = place();
    let first = create(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
    // To look at it needs no lock.
    assert_eq!(&probe_on::<Paged>(&path, None).unwrap(), first.guarantee());
    drop(first);
    open(&path).unwrap();
}

#[test]
fn an_unusable_file_is_refused_with_its_reason() {
    let (directory, path) = place();
    let refused = |result: Result<DaxFile, Error>| result.unwrap_err().to_string();
    assert!(refused(open(&path)).contains("no such file"));
    assert!(refused(create(&path.join("in"))).contains("directory"));
    assert!(refused(open(directory.path())).contains("is a directory"));

    fs::write(&path, b"").unwrap();
    assert!(refused(open(&path)).contains("has no bytes to map"));
    fs::write(&path, [1; 100]).unwrap();
    assert!(refused(create(&path)).contains("exists already"));
    let longer = refused(options().len(4096).open_on::<Paged>(&path));
    assert!(longer.contains("has 100 bytes, and offset and length need 4096"), "{longer}");
    assert!(refused(options().offset(10).open_on::<Paged>(&path)).contains("offset 10 is not"));
    assert_eq!(fs::read(&path).unwrap(), [1; 100], "as it was");

    let other = directory.path().join("other");
    assert!(refused(options().create_new_on::<Paged>(&other, 0)).contains("a length of 0 bytes"));
    assert!(refused(options().create_new_on::<Paged>(&other, u64::MAX)).contains("largest file"));
    assert!(!other.exists());
}

#[test]
fn probing_a_directory_leaves_nothing_there() {
    let (directory, _) = place();
    let guarantee = probe_on::<Paged>(directory.path(), None).unwrap();
    assert!(matches!(guarantee.granularity, Granularity::Page(_)));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Stores of others are visible. None of these systems is known to persist them, so the view does not pretend to.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_view_reads_and_refuses_to_persist() {
    let (_directory, path) = place();
    let file = create(&path).unwrap();
    let view = options().view_on::<Paged>(&path).unwrap();
    file.write(33, b"stored");
    let mut bytes = [0; 6];
    view.read(33, &mut bytes).unwrap();
    assert_eq!(&bytes, b"stored");
    for result in [view.persist(33..39), view.batch(|batch| batch.writeback(0..8))] {
        let error = result.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NotSupported(NotSupported::ViewNotPersisted)),
            "{error}"
        );
    }
}

/// A load of 8 bytes from such memory may be a store to the CPU.
#[cfg(not(target_pointer_width = "64"))]
#[test]
fn a_32_bit_cpu_has_no_views() {
    let (_directory, path) = place();
    drop(create(&path).unwrap());
    let error = options().view_on::<Paged>(&path).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotSupported(NotSupported::NoReadOnlyWords)),
        "{error}"
    );
}

#[test]
fn a_system_that_cannot_populate_says_so() {
    let (directory, path) = place();
    let error = options().populate().create_new_on::<Paged>(&path, LEN).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotSupported(NotSupported::CannotPopulate)),
        "{error}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_file_grows_and_shrinks() {
    let (_directory, path) = place();
    let mut file = create(&path).unwrap();
    file.write(LEN - 3, b"end");
    file.grow_on::<Paged>(2 * LEN).unwrap();
    file.write(2 * LEN - 1, b"!");
    file.persist(0..2 * LEN).unwrap();
    drop(file);
    let mut expected = vec![0; 128 << 10];
    expected[(64 << 10) - 3..64 << 10].copy_from_slice(b"end");
    expected[(128 << 10) - 1] = b'!';
    assert!(fs::read(&path).unwrap() == expected);
    let mut file = open(&path).unwrap();
    file.shrink_on::<Paged>(LEN).unwrap();
    assert!(fs::read(&path).unwrap() == expected[..64 << 10]);
}

/// Syncing the file is a step of its own, whose failure counts: a pipe cannot be synced (POSIX, fsync:
/// EINVAL).
#[cfg(unix)]
#[test]
fn a_sync_that_fails_is_an_error() {
    use std::os::fd::OwnedFd;

    let file = tempfile::tempfile().unwrap();
    file.set_len(LEN).unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let mapped =
        Mapped { pages: MmapRaw::map_raw(&file).unwrap(), file: OwnedFd::from(reader).into() };
    let error = mapped.writeback(0..8).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    let whole = Mapped { pages: MmapRaw::map_raw(&file).unwrap(), file };
    whole.writeback(0..8).unwrap();
}

/// Systems other than Linux do not run these tests.
#[cfg(unix)]
#[test]
fn msync_gets_the_flags_with_which_each_system_reports_failures() {
    use super::mapping::flags;
    use rustix::mm::MsyncFlags;

    for os in ["freebsd", "netbsd", "macos", "ios", "linux"] {
        assert_eq!(flags(os), MsyncFlags::SYNC, "{os}");
    }
    assert_eq!(flags("openbsd"), MsyncFlags::SYNC | MsyncFlags::INVALIDATE);
}

/// The page at address 0, which is not mapped, stands for pages that cannot be written. The file itself could be synced.
#[test]
fn pages_that_cannot_be_written_are_an_error() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(LEN).unwrap();
    let mapped = Mapped { pages: MmapRaw::map_raw(&file).unwrap(), file };
    let len = 64 << 10;
    mapped.writeback(len - 8..len).unwrap();
    let unmapped = 0_usize.wrapping_sub(mapped.pages.as_mut_ptr().addr());
    mapped.writeback(unmapped..unmapped + 8).unwrap_err();
}

/// The names of files on Unix, and who may use them.
#[cfg(unix)]
mod unix {
    use super::{create, open, place};
    use crate::dax::ErrorKind;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_new_file_is_private() {
        let (_directory, path) = place();
        drop(create(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let (directory, path) = place();
        fs::write(&path, b"secret").unwrap();
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        let error = open(&link).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::SymbolicLink), "{error}");
        let error = create(&link).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Exists), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }

    /// The kernel makes no files in this directory, also not for root, so the test means the same for every user.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_that_takes_no_files_is_named() {
        let directory = std::path::Path::new("/sys/kernel");
        let path = &directory.join("cachemaint-test");
        if !directory.is_dir() {
            crate::skip::skip("a_directory_that_takes_no_files_is_named", "there is no /sys");
            return;
        }
        let error = create(path).unwrap_err();
        let refused =
            matches!(error.kind(), ErrorKind::NoPermission | ErrorKind::ReadOnlyFileSystem);
        assert!(refused, "{error}");
        assert_eq!(error.path(), path);
    }
}
