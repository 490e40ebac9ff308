//! Write-backs of single files of a guard.

use super::{GuardedFile, Held, Written, write_lines};
use crate::cache::Cache;
use crate::dax::system::{Concluded, extents};
use crate::dax::{ErrorKind, FaultHandler, Options};
use crate::skip::skip;
use alloc::vec;
use core::ops::Range;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate};
use std::os::unix::fs::FileExt as _;
use tempfile::NamedTempFile;

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// A file as it would be on DAX; `None` without write-backs, or if the file system gives no extents.
fn open(test: &str, file: &NamedTempFile) -> Option<(GuardedFile, Cache)> {
    let cache = match Cache::host() {
        Ok(cache) => cache,
        Err(why) => {
            skip(test, why);
            return None;
        }
    };
    if let Err(errno) = extents::now(file, 1) {
        skip(test, format_args!("FIEMAP: {errno}"));
        return None;
    }
    let options = Options::new().allow_page_granularity().take_unwritten();
    let (open, size) = (file.reopen().unwrap(), file.as_file().metadata().unwrap().len());
    let guarantee = Concluded::default().guarantee(file.path(), &open, None).unwrap();
    let mut guarded = GuardedFile::new(file.path(), open, (0, size), guarantee, &options).unwrap();
    // The file is mapped as the page cache is, and written back as on DAX.
    guarded.take_lines(cache);
    guarded.map(&options).unwrap();
    Some((guarded, cache))
}

/// Stores by a call and syncs: on DAX a store has its block at once.
fn store(file: &NamedTempFile, at: u64, len: usize) {
    file.as_file().write_all_at(&vec![1; len], at).unwrap();
    file.as_file().sync_all().unwrap();
}

/// Without the handler the test would end by SIGBUS.
#[test]
fn a_pass_leaves_a_file_that_is_cut_at_the_stretch_with_the_new_end() {
    let file = NamedTempFile::new().unwrap();
    store(&file, 0, 32 << 20);
    let test = "a_pass_leaves_a_file_that_is_cut_at_the_stretch_with_the_new_end";
    let Some((guarded, cache)) = open(test, &file) else { return };
    let installed = FaultHandler::install().unwrap();
    let Held::Mapped(view) = &guarded.held else { panic!("it is not mapped") };
    let whole = extents::now(&file, 32 * MIB).unwrap();
    let pass = |cut: Option<u64>| {
        let mut stretches = 0;
        let written = write_lines(view, &whole, cache, installed, &mut |bytes| {
            stretches += 1;
            assert!(bytes <= MIB);
            if let Some(len) = cut {
                file.as_file().set_len(len).unwrap();
            }
        });
        (written.unwrap(), stretches)
    };
    let lines = 32 * MIB / cache.line_size() as u64;
    assert_eq!(pass(None), (Written { bytes: 32 * MIB, lines }, 32));
    // An emulator's write-back instructions access nothing: there no page is found missing.
    let faults = view.catch_faults(installed, |view| {
        file.as_file().set_len(31 * MIB).unwrap();
        view.writeback_lines(&(31 * MIB..32 * MIB), cache);
    });
    if faults.is_ok() {
        return skip(test, "a write-back of a missing page does not fault");
    }
    // The first stretch is written back, the second one has the new end.
    let (written, stretches) = pass(Some(MIB + PAGE));
    assert_eq!((written.bytes, stretches), (MIB, 1));
}

/// Without a sync a crash leaves the former size, and with it the file ends before the new bytes.
#[test]
fn a_size_within_the_same_block_is_made_durable() {
    let file = NamedTempFile::new().unwrap();
    store(&file, 0, 2000);
    let test = "a_size_within_the_same_block_is_made_durable";
    let Some((mut guarded, _)) = open(test, &file) else { return };
    assert!(guarded.settle().unwrap());
    assert!(!guarded.settle().unwrap(), "nothing has changed");
    store(&file, 2000, 1000);
    guarded.size = 3000;
    assert!(guarded.settle().unwrap());
}

/// A reset before the next commit of the file system's journal leaves the cut file.
#[test]
fn a_file_that_is_as_it_was_before_a_cut_to_nothing_is_made_durable() {
    let file = NamedTempFile::new().unwrap();
    // The extents of a file with blocks can be the former ones, as the file system sees fit. These always are.
    file.as_file().set_len(PAGE).unwrap();
    let test = "a_file_that_is_as_it_was_before_a_cut_to_nothing_is_made_durable";
    let Some((mut guarded, _)) = open(test, &file) else { return };
    let installed = FaultHandler::install().unwrap();
    let options = Options::new().allow_page_granularity().take_unwritten();
    assert!(guarded.settle().unwrap());
    file.as_file().set_len(0).unwrap();
    let pass = guarded.write_back(&options, installed, false, &mut |_| ());
    assert_eq!(pass.unwrap(), None, "it is empty");
    file.as_file().set_len(PAGE).unwrap();
    guarded.size = PAGE;
    assert!(guarded.settle().unwrap());
}

/// The pages are clean after the failure. The next sync succeeds, and says nothing of them.
#[test]
fn pages_that_were_not_synced_stay_lost_though_the_next_sync_succeeds() {
    let file = NamedTempFile::new().unwrap();
    store(&file, 0, 4096);
    let test = "pages_that_were_not_synced_stay_lost_though_the_next_sync_succeeds";
    let Some((mut guarded, _)) = open(test, &file) else { return };
    guarded.cache = None;
    let installed = FaultHandler::install().unwrap();
    let options = Options::new().allow_page_granularity().take_unwritten();
    let pass = |guarded: &mut GuardedFile, is_synced| {
        guarded.write_back(&options, installed, is_synced, &mut |_| ())
    };
    // A descriptor that nothing can be synced by.
    let path = rustix::fs::open(file.path(), OFlags::PATH, Mode::empty()).unwrap();
    let usable = core::mem::replace(&mut guarded.held, Held::Open(path.into()));
    pass(&mut guarded, false).unwrap_err();
    guarded.held = usable;
    for is_synced in [false, true] {
        let error = pass(&mut guarded, is_synced).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Writeback { .. }), "{error}");
    }
    // Nothing of them is left to be lost.
    file.as_file().set_len(0).unwrap();
    assert_eq!(pass(&mut guarded, false).unwrap(), None);
    store(&file, 0, 4096);
    assert!(pass(&mut guarded, false).unwrap().is_some());
}

/// Its entry stays until directories are read again, if there was no notice of the removal.
#[test]
fn a_removed_file_is_written_back_once_more() {
    let file = NamedTempFile::new().unwrap();
    store(&file, 0, 4096);
    let test = "a_removed_file_is_written_back_once_more";
    let Some((mut guarded, _)) = open(test, &file) else { return };
    let installed = FaultHandler::install().unwrap();
    let options = Options::new().allow_page_granularity().take_unwritten();
    let pass =
        |guarded: &mut GuardedFile| guarded.write_back(&options, installed, false, &mut |_| ());
    assert!(pass(&mut guarded).unwrap().is_some());
    // A descriptor that cannot be mapped.
    let path = rustix::fs::open(file.path(), OFlags::PATH, Mode::empty()).unwrap();
    std::fs::remove_file(file.path()).unwrap();
    let usable = core::mem::replace(&mut guarded.held, Held::Open(path.into()));
    pass(&mut guarded).unwrap_err();
    guarded.held = usable;
    assert!(pass(&mut guarded).unwrap().is_some(), "the one before has failed");
    for _ in 0..2 {
        assert_eq!(pass(&mut guarded).unwrap(), None);
    }
}

/// Parts that were stored to are written back. Holes, and parts that were only allocated, are not.
#[test]
fn parts_that_were_stored_to_are_written_back_and_no_others() {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(64 * MIB).unwrap();
    let test = "parts_that_were_stored_to_are_written_back_and_no_others";
    let Some((mut guarded, cache)) = open(test, &file) else { return };
    let installed = FaultHandler::install().unwrap();
    let options = Options::new().allow_page_granularity().take_unwritten();
    let mut pass = || {
        let mut bytes = 0;
        let more = &mut |more| bytes += more;
        let written = guarded.write_back(&options, installed, false, more).unwrap().unwrap();
        assert_eq!(written.bytes, bytes, "the pace counts each");
        assert_eq!(written.lines, bytes.div_ceil(cache.line_size() as u64));
        bytes
    };
    let few = |pages: u64| -> Range<u64> { pages * PAGE..MIB };
    assert_eq!(pass(), 0, "nothing but a hole");
    store(&file, 9 * MIB, 8192);
    assert!(few(2).contains(&pass()), "more than was stored to");
    store(&file, 40 * MIB + 100, 4096);
    assert!(few(4).contains(&pass()), "the first, and two pages for the second");
    if fallocate(&file, FallocateFlags::empty(), 20 * MIB, 8 * MIB).is_err() {
        return skip(test, "nothing can be allocated without being written");
    }
    assert!(few(4).contains(&pass()), "allocated, and not written");
    store(&file, 21 * MIB, 4096);
    assert!(few(5).contains(&pass()), "a page of the allocated part was written");
    store(&file, 64 * MIB, 4096);
    assert!(few(6).contains(&pass()), "a page after the former end");
}
