//! Stores in files.

use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::{Medium, Readable as _};
use cachemaint_store::{Error, ErrorKind, Options, Region, Store};
use cachemaint_test_support::erased::erased;
use std::path::Path;
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
use {cachemaint::dax::Lock, cachemaint_store::Reader};

fn create(path: &Path, len: u64) -> Store<DaxFile> {
    let file = dax::Options::new().allow_page_granularity().create_new(path, len).unwrap();
    Options::new().create_new(file).unwrap().0
}

/// Creates a store with a region of 64 KiB.
fn create_with_region(path: &Path) -> (Store<DaxFile>, Region<DaxFile>) {
    let mut store = create(path, 1 << 18);
    let mut transaction = store.begin().unwrap();
    transaction.create_region("ram", 1 << 16).unwrap();
    transaction.commit().unwrap();
    let region = store.region("ram").unwrap();
    (store, region)
}

fn open(path: &Path) -> DaxFile {
    dax::Options::new().allow_page_granularity().open(path).unwrap()
}

fn put<M: Medium<Error = dax::Error>>(store: &mut Store<M>, name: &str, bytes: &[u8]) {
    let mut transaction = store.begin().unwrap();
    transaction.put(name, bytes).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn commits_have_the_time_of_the_system() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = create(&directory.path().join("store"), 1 << 18);
    put(&mut store, "a", b"one");
    assert!(store.stat("a").unwrap().seconds > 1_700_000_000);
}

/// The blob is large enough to be copied past the caches and read in small steps. It ends within a chunk, and is
/// appended in pieces of any length.
#[test]
fn a_large_blob_comes_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = create(&path, 40 << 20);
    let bytes: Vec<u8> =
        (0..17_000_001_u32).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    put(&mut store, "whole", &bytes);
    let mut transaction = store.begin().unwrap();
    let (aligned, rest) = bytes.split_at(3 << 16);
    let mut pieces = core::iter::once(aligned).chain(rest.chunks(100_003));
    let len = bytes.len() as u64;
    let put = transaction
        .put_with("pieces", len, |writer| pieces.try_for_each(|piece| writer.append(piece)));
    put.unwrap();
    transaction.commit().unwrap();
    drop(store);
    let (store, _) = Options::new().open(open(&path)).unwrap();
    for name in ["whole", "pieces"] {
        assert!(store.reader().load(name).unwrap() == bytes, "{name}");
        let snapshot = store.reader();
        let mut into = vec![0; bytes.len()];
        snapshot.blob(name).unwrap().read_at(0, &mut into).unwrap();
        assert!(into == bytes, "{name}");
    }
}

#[test]
fn a_store_grows_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = create(&path, 1 << 17);
    put(&mut store, "a", &vec![1; 20_000]);
    let full = store.begin().unwrap().put("b", &vec![2; 200_000]).unwrap_err();
    assert!(matches!(full.kind(), ErrorKind::Full { .. }), "{full}");
    let reader = store.reader();
    assert!(matches!(
        store.grow(1 << 19).as_ref().map_err(Error::kind),
        Err(ErrorKind::InUse { .. })
    ));
    drop(reader);
    store.grow(1 << 19).unwrap();
    put(&mut store, "b", &vec![2; 200_000]);
    drop(store);
    let (store, _) = Options::new().open(open(&path)).unwrap();
    assert!(store.reader().load("a").unwrap() == vec![1; 20_000]);
    assert!(store.reader().load("b").unwrap() == vec![2; 200_000]);
}

/// The bytes are in the file, for the next process, and for the writer after a seal.
#[test]
fn a_region_of_a_file_is_used_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (mut store, region) = create_with_region(&path);
    assert!(matches!(
        store.grow(1 << 19).as_ref().map_err(Error::kind),
        Err(ErrorKind::InUse { .. })
    ));
    assert_eq!(region.as_ptr(1000), store.medium().as_ptr(region.info().offset + 1000));
    region.write(1000, b"in place");
    region.persist(1000..1008).unwrap();
    // A region can hold a journal, or anything else that uses a medium.
    let (nested, _) = Options::new().create_new(erased(&region)).unwrap();
    assert!(store.seal().is_err());
    drop(nested);
    drop(region);
    store.seal().unwrap();
    store.grow(1 << 19).unwrap();
    drop(store);
    let (mut store, opened) = Options::new().open(open(&path)).unwrap();
    assert!(opened.was_sealed || !cfg!(target_os = "linux"));
    let region = store.region("ram").unwrap();
    let mut found = [0; 8];
    region.read(1000, &mut found).unwrap();
    assert_eq!(found, *b"in place");
    drop(Options::new().open(erased(&region)).unwrap());
}

/// The reader's view was made before the store grew.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
#[test]
fn a_blob_beyond_the_view_of_a_reader_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = create(&path, 1 << 18);
    put(&mut store, "a", b"before");
    let view = || dax::Options::new().allow_page_granularity().lock(Lock::Off).view(&path).unwrap();
    let mut reader = Reader::open(view()).unwrap();
    store.grow(1 << 20).unwrap();
    put(&mut store, "b", &vec![2; 1 << 19]);
    reader.refresh().unwrap();
    let error = reader.load("b").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Format(cachemaint_store::FormatError::Truncated { .. })),
        "{error}"
    );
    assert_eq!(Reader::open(view()).unwrap().load("b").unwrap(), vec![2; 1 << 19]);
}

/// The child has no mapping of the file. The parent continues.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
#[expect(unsafe_code, reason = "a store is dropped in a forked child")]
fn a_forked_child_can_drop_a_store() {
    use std::os::unix::process::CommandExt as _;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = create(&path, 1 << 18);
    put(&mut store, "a", b"one");
    let mut store = Some(store);
    let mut command = std::process::Command::new("true");
    // SAFETY: the C library keeps its allocator usable in the child. The drop uses nothing else that other threads own.
    unsafe {
        command.pre_exec(move || {
            drop(store.take());
            Ok(())
        })
    };
    let status = command.status().unwrap();
    assert!(status.success(), "{status}");
    // The parent still has its store.
    drop(command);
    let (store, _) = Options::new().open(open(&path)).unwrap();
    assert_eq!(store.load("a").unwrap(), b"one");
}
