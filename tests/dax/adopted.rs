//! Mappings that a program has made itself: used, persisted and left to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "adopts mappings")]

use crate::options;
use cachemaint::dax::{
    DaxFile, Error, ErrorKind, FaultHandler, InvalidInput, NotSupported, Options,
};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const LEN: u64 = 128 << 10;
/// A multiple of every page.
const HALF: u64 = 64 << 10;

fn place() -> (TempDir, PathBuf, File) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let file = File::options().read(true).write(true).open(&path).unwrap();
    (directory, path, file)
}

fn bytes(mapping: &MmapRaw) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(NonNull::new(mapping.as_mut_ptr()).unwrap(), mapping.len())
}

fn word(mapping: &MmapRaw, at: usize) -> &AtomicU64 {
    // SAFETY: the word is in the mapping, which outlives the reference, and aligned; all accesses to it are atomic.
    unsafe { AtomicU64::from_ptr(mapping.as_mut_ptr().wrapping_add(at).cast()) }
}

/// The options say where in `file` the mapping begins. Each test keeps the mapping until the file is dropped, and
/// accesses it by atomic words meanwhile.
fn adopt(options: &Options, file: &File, mapping: &MmapRaw) -> Result<DaxFile, Error> {
    let file = file.try_clone().unwrap();
    // SAFETY: (1) memmap2 maps files shared, for reading and writing; (2, 3) as said above; (4) no test forks.
    unsafe { options.adopt(file, bytes(mapping)) }
}

fn assert_adopted<T: core::fmt::Debug>(result: Result<T, Error>, path: &Path) {
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotSupported(NotSupported::Adopted)), "{error}");
    assert_eq!(error.path(), path);
    assert!(error.to_string().contains("adopt it again"), "{error}");
}

#[test]
fn an_adopted_mapping_is_persisted_and_outlives_the_file() {
    let (_directory, path, file) = place();
    let mapping = MmapRaw::map_raw(&file).unwrap();
    let adopted = adopt(&options(), &file, &mapping).unwrap();
    assert_eq!((adopted.len(), adopted.as_ptr(0)), (LEN, mapping.as_mut_ptr()));
    assert_eq!(adopted.path(), path);
    word(&mapping, 4096).store(7_u64.to_le(), Ordering::Relaxed);
    assert_eq!(adopted.load(4096, Ordering::Relaxed), 7);
    adopted.write(LEN - 3, b"end");
    adopted.persist(0..LEN).unwrap();
    adopted.deep_persist(LEN - 3..LEN).unwrap();
    let stored = fs::read(&path).unwrap();
    assert_eq!((stored[4096], &stored[(128 << 10) - 3..]), (7, &b"end"[..]));

    let refused = options().open(&path).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Locked), "{refused}");
    drop(adopted);
    assert_eq!(u64::from_le(word(&mapping, 4096).load(Ordering::Relaxed)), 7);
    options().open(&path).unwrap();
}

/// The file's own medium decides, not the program that has mapped it.
#[test]
fn an_adopted_mapping_gets_the_guarantee_of_its_file_and_no_more() {
    let (_directory, path, file) = place();
    let expected = options().open(&path).unwrap().guarantee().clone();
    let mapping = MmapRaw::map_raw(&file).unwrap();
    let adopted = adopt(&options(), &file, &mapping).unwrap();
    // On a file system with DAX this mapping lacks MAP_SYNC.
    assert!(adopted.view().cache().is_none());
    assert_eq!(adopted.guarantee().file_system, expected.file_system);
    assert_eq!(adopted.guarantee().alignment, expected.alignment);
    drop(adopted);
    let refused = adopt(&Options::new(), &file, &mapping).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::PageGranular(_)), "{refused}");
    options().open(&path).unwrap();
}

#[test]
fn a_part_of_a_file_is_adopted_at_its_offset() {
    let (_directory, path, file) = place();
    let mapping = MmapOptions::new().offset(HALF).len(100).map_raw(&file).unwrap();
    let adopted = adopt(&options().offset(HALF).len(1), &file, &mapping).unwrap();
    assert_eq!((adopted.view().offset(), adopted.len()), (HALF, 100));
    adopted.write(90, b"0123456789");
    adopted.persist(90..100).unwrap();
    assert_eq!(&fs::read(&path).unwrap()[(64 << 10) + 89..][..12], b"\x000123456789\0");
    drop(adopted);
    let longer = adopt(&options().offset(LEN), &file, &mapping).unwrap_err();
    assert!(matches!(longer.kind(), ErrorKind::Shorter { size: LEN, .. }), "{longer}");
}

/// A store through any of these would not reach the file, or another place of it.
#[test]
fn a_mapping_of_other_bytes_is_refused() {
    let (_directory, path, file) = place();
    // SAFETY: the mapping is private, and only this test accesses the file.
    let mut private = unsafe { MmapOptions::new().len(4096).map_copy(&file) }.unwrap();
    let mut anonymous = MmapOptions::new().len(64 << 10).map_anon().unwrap();
    let shared = MmapOptions::new().offset(HALF).len(4096).map_raw(&file).unwrap();
    for (bytes, says) in [
        (NonNull::from(&mut private[..]), "MAP_SHARED"),
        (NonNull::from(&mut anonymous[..]), "MAP_SHARED"),
        (bytes(&shared), "Options::offset"),
    ] {
        // SAFETY: (1) is what is tested: the call refuses the mapping; (2, 3, 4) no test forks, and nothing accesses it.
        let refused = unsafe { options().adopt(file.try_clone().unwrap(), bytes) }.unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::InvalidInput(InvalidInput::Mapping(_))),
            "{refused}"
        );
        assert!(refused.to_string().contains(says), "{refused}");
        assert_eq!(refused.path(), path);
    }
}

/// Pages in the middle of the owner's mapping would be replaced under its feet.
#[test]
fn replacing_pages_of_an_adopted_mapping_is_refused() {
    let (_directory, path, file) = place();
    let mapping = MmapRaw::map_raw(&file).unwrap();
    let mut adopted = adopt(&options(), &file, &mapping).unwrap();
    assert_adopted(adopted.grow(2 * LEN), &path);
    assert_adopted(adopted.shrink(HALF), &path);
    assert_eq!((adopted.len(), file.metadata().unwrap().len()), (LEN, LEN));
    if let Ok(handler) = FaultHandler::install() {
        let caught = adopted.catch_faults(handler, |_| panic!("the work was run"));
        assert_adopted::<()>(caught, &path);
    }
    adopted.write(0, b"still usable");
    adopted.persist(0..12).unwrap();
}

#[test]
#[should_panic = "a mapping begins at a page"]
fn a_mapping_that_begins_within_a_page_is_refused() {
    let (_directory, _path, file) = place();
    let mapping = MmapOptions::new().offset(8).len(64).map_raw(&file).unwrap();
    drop(adopt(&options(), &file, &mapping));
}
