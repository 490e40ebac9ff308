//! Files that the caller has opened: memfds, files of a file system, and descriptors that do not permit a mapping.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::options;
use cachemaint::dax::{DaxFile, DaxView, Error, ErrorKind, Lock, Options};
use cachemaint::medium::Granularity;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const LEN: u64 = 64 << 10;

fn memfd(len: u64) -> File {
    let file = File::from(memfd_create(c"state", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(len).unwrap();
    file
}

fn descriptor(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn bytes_at(file: &File, at: u64) -> [u8; 4] {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes
}

/// The mode in the error of a descriptor that does not permit the mapping.
fn mode<T: core::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error}");
    let text = error.to_string();
    let (_, mode) = text.split_once("descriptor was opened ").unwrap();
    mode.split(';').next().unwrap().to_string()
}

#[test]
fn a_memfd_is_ram_that_is_named_as_the_kernel_names_it() {
    let memfd = memfd(LEN);
    let file = options().open_file(memfd.try_clone().unwrap()).unwrap();
    assert_eq!(file.path(), Path::new("/memfd:state (deleted)"));
    assert_eq!(file.len(), LEN);
    assert!(file.guarantee().reason.contains("keeps files in RAM"));
    assert!(matches!(file.granularity(), Granularity::Page(_)));
    file.write(LEN - 4, b"last");
    file.persist(LEN - 4..LEN).unwrap();
    assert_eq!(&bytes_at(&memfd, LEN - 4), b"last");

    let error = Options::new().open_file(memfd).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PageGranular(_)), "{error}");
    assert!(error.to_string().starts_with("/memfd:state (deleted): "), "{error}");
}

#[test]
fn a_seal_that_forbids_what_is_asked_is_named() {
    let sealed = |seal| {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create(c"state", flags).unwrap());
        file.set_len(LEN).unwrap();
        fcntl_add_seals(&file, seal).unwrap();
        file
    };
    let refused = |error: Error| {
        assert!(matches!(error.kind(), ErrorKind::PermissionDenied), "{error}");
        let text = error.to_string();
        assert!(text.contains("the seals of a memfd"), "{text}");
    };
    refused(options().open_file(sealed(SealFlags::WRITE)).unwrap_err());
    let mut file = options().open_file(sealed(SealFlags::GROW | SealFlags::SHRINK)).unwrap();
    refused(file.grow(2 * LEN).unwrap_err());
    refused(file.shrink(LEN / 2).unwrap_err());
    file.write(0, b"here");
    file.persist(0..4).unwrap();
}

/// A position belongs to the open file, which another process can use at the same time.
#[test]
fn growth_leaves_the_position_that_duplicates_share() {
    let mut memfd = memfd(LEN);
    memfd.write_all_at(&[7; 16], 0).unwrap();
    memfd.seek(SeekFrom::Start(3)).unwrap();
    let mut file = options().open_file(memfd.try_clone().unwrap()).unwrap();
    file.grow(2 * LEN).unwrap();
    assert_eq!(memfd.stream_position().unwrap(), 3);
    assert_eq!(memfd.metadata().unwrap().len(), 2 * LEN);
    assert_eq!(bytes_at(&memfd, 0), [7; 4]);
    file.write(2 * LEN - 4, b"last");
    assert_eq!(&bytes_at(&memfd, 2 * LEN - 4), b"last");
}

#[test]
fn a_descriptor_gets_the_guarantee_and_the_lock_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let by_path = options().create_new(&path, LEN).unwrap();
    let guarantee = by_path.guarantee().clone();
    let refused = options().open_file(descriptor(&path, OFlags::RDWR)).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Locked), "{refused}");
    drop(by_path);

    let file = options().open_file(descriptor(&path, OFlags::RDWR)).unwrap();
    assert_eq!(file.guarantee(), &guarantee);
    assert_eq!((file.path(), file.view().lock()), (path.as_path(), Lock::Exclusive));
    let refused = options().open(&path).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Locked), "{refused}");
    drop(file);
    options().open(&path).unwrap();
}

/// flock(2): the lock belongs to the open file, and a duplicate is not another one.
#[test]
fn a_duplicate_shares_the_lock_unless_it_takes_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let opened = descriptor(&path, OFlags::RDWR);
    let duplicate = || opened.try_clone().unwrap();
    let _file = options().open_file(duplicate()).unwrap();
    drop(options().lock(Lock::Off).open_file(duplicate()).unwrap());
    let refused = options().open(&path).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Locked), "it is still locked: {refused}");
    drop(options().open_file(duplicate()).unwrap());
    options().open(&path).unwrap();
}

#[test]
fn a_descriptor_for_reading_is_viewed_and_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, b"some bytes").unwrap();
    let reading = || descriptor(&path, OFlags::RDONLY);
    assert_eq!(mode(options().open_file(reading())), "for reading only");
    let text = options().open_file(reading()).unwrap_err().to_string();
    assert!(text.contains("opened for reading only; open it for reading and writing"), "{text}");
    match options().view_file(reading()) {
        Ok(view) => {
            let mut bytes = [0; 5];
            view.read(5, &mut bytes).unwrap();
            assert_eq!(&bytes, b"bytes");
            view.persist(0..10).unwrap();
        }
        Err(error) => {
            let text = error.to_string();
            assert!(cfg!(target_pointer_width = "32") && text.contains("32-bit"), "{text}");
        }
    }
}

#[test]
fn a_descriptor_that_cannot_be_mapped_is_refused_with_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, b"some bytes").unwrap();
    let open = |flags| -> Result<DaxFile, Error> { options().open_file(descriptor(&path, flags)) };
    assert_eq!(mode(open(OFlags::PATH)), "with O_PATH");
    assert_eq!(mode(open(OFlags::WRONLY)), "for writing only");
    assert_eq!(mode(open(OFlags::RDWR | OFlags::APPEND)), "with O_APPEND");
    if cfg!(target_pointer_width = "64") {
        let view =
            |flags| -> Result<DaxView, Error> { options().view_file(descriptor(&path, flags)) };
        assert_eq!(mode(view(OFlags::PATH)), "with O_PATH");
        assert_eq!(mode(view(OFlags::WRONLY)), "for writing only");
        view(OFlags::RDONLY | OFlags::APPEND).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), b"some bytes");
}

#[test]
fn a_descriptor_of_no_regular_file_or_an_empty_one_is_refused() {
    let error = options().open_file(memfd(0)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Shorter { size: 0, .. }), "{error}");
    assert!(error.to_string().contains("give it a length,"), "{error}");
    let shorter = options().len(LEN + 1).open_file(memfd(LEN)).unwrap_err();
    let expected = (LEN, LEN + 1);
    assert!(
        matches!(shorter.kind(), ErrorKind::Shorter { size, needed, .. } if (*size, *needed) == expected),
        "{shorter}"
    );
    let device = descriptor(Path::new("/dev/null"), OFlags::RDWR);
    let error = options().open_file(device).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotAFile), "{error}");
    assert_eq!(error.path(), Path::new("/dev/null"));
}
