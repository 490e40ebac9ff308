//! The limits of guards: slots, mappings and addresses.

use super::{
    PAGES, assert_shorter, assert_succeeded, cut, in_child, load, numbered, options, page,
};
use crate::own_mount::with_small_tmpfs;
use crate::skip::skip;
use cachemaint::dax::{DaxFile, Error, ErrorKind, FaultHandler};
use core::sync::atomic::Ordering::Relaxed;
use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use tempfile::TempDir;

#[test]
fn more_guards_than_there_is_room_for_are_refused() {
    fn nested(file: &DaxFile, guard: FaultHandler, left: usize) -> Result<(), Error> {
        if left == 0 {
            return Ok(());
        }
        file.catch_faults(guard, |file| nested(file, guard, left - 1))?
    }
    let in_child = in_child("limits::more_guards_than_there_is_room_for_are_refused", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        nested(&file, guard, 256).unwrap();
        let error = nested(&file, guard, 257).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooManyCatches { most: 256, .. }), "{error}");
        nested(&file, guard, 256).unwrap();
    });
    assert_succeeded(in_child.as_ref());
}

/// Twice as many pages as a process can have mappings, and every second one is read: a mapping for each would end it.
#[test]
fn a_cut_file_with_more_pages_than_mappings_is_an_error() {
    let test = "limits::a_cut_file_with_more_pages_than_mappings_is_an_error";
    let Ok(most) = std::fs::read_to_string("/proc/sys/vm/max_map_count") else {
        return skip(test, "/proc/sys/vm/max_map_count cannot be read");
    };
    if usize::BITS < 64 {
        return skip(test, "the address space has no room for so many pages");
    }
    let pages = 4 * most.trim().parse::<u64>().unwrap().min(1 << 20);
    let ended = in_child(test, || {
        let guard = FaultHandler::install().unwrap();
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = directory.path().join("sparse");
        File::create(&path).unwrap().set_len(pages * page()).unwrap();
        let file = options().open(&path).unwrap();
        cut(&file, 1);
        for is_backwards in [false, true] {
            let sum = file.catch_faults(guard, |file| {
                let every_second = (0..pages).step_by(2);
                let number = |at| if is_backwards { pages - 2 - at } else { at };
                every_second.map(|at| load(file, number(at))).sum::<u64>()
            });
            let error = sum.unwrap_err();
            let ErrorKind::Shorter { size, needed, .. } = *error.kind() else { panic!("{error}") };
            assert_eq!((size, needed), (page(), pages * page()));
        }
        // Nothing of it is left.
        cut(&file, pages);
        file.store((pages - 1) * page(), 5, Relaxed);
        assert_eq!(file.catch_faults(guard, |file| load(file, pages - 1)).unwrap(), 5);
    });
    assert_succeeded(ended.as_ref());
}

/// No further mapping is possible, so zeros can only replace the whole mapping, and then the file the zeros.
#[test]
fn a_guard_needs_no_further_mappings() {
    let ended = in_child("limits::a_guard_needs_no_further_mappings", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        cut(&file, 8);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let len = rustix::param::page_size();
        let null = core::ptr::null_mut();
        let mut last = libc::MAP_FAILED;
        // Neighbours with different protections are not merged.
        for protection in [libc::PROT_NONE, libc::PROT_READ].into_iter().cycle() {
            // SAFETY: a new mapping changes nothing that exists.
            let mapped = unsafe { libc::mmap(null, len, protection, flags, -1, 0) };
            if mapped == libc::MAP_FAILED {
                break;
            }
            last = mapped;
        }
        // SAFETY: it was mapped just now, and nothing has a reference to it.
        assert_eq!(unsafe { libc::munmap(last, len) }, 0);
        let result = file.catch_faults(guard, |file| load(file, 9));
        let again = file.catch_faults(guard, |file| load(file, 9));
        let sum =
            file.catch_faults(guard, |file| (0..8).map(|number| load(file, number)).sum::<u64>());
        // Whatever fails from here on needs memory to say so.
        // SAFETY: as above: this is a mapping of the loop.
        assert_eq!(unsafe { libc::munmap(last.wrapping_byte_add(len), 64 * len) }, 0);
        assert_shorter(result, 8);
        assert_shorter(again, 8);
        assert_eq!(sum.unwrap(), 36);
    });
    assert_succeeded(ended.as_ref());
}

/// The process has nearly reached its limit of addresses, so zeros and file can only be mapped in each other's place.
#[test]
fn a_guard_needs_addresses_for_one_further_page() {
    let ended = in_child("limits::a_guard_needs_addresses_for_one_further_page", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        file.catch_faults(guard, |file| load(file, 9)).unwrap();
        cut(&file, 8);
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        let rlim_cur = libc::rlim_t::try_from((pages + 1) * page()).unwrap();
        let limit = libc::rlimit { rlim_cur, rlim_max: libc::RLIM_INFINITY };
        let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..limit };
        // SAFETY: the structure is whole.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        let result = file.catch_faults(guard, |file| load(file, 9) + load(file, 15));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const unlimited) }, 0);
        // Another mapping gets no place in it.
        let address = file.as_ptr(9 * page()).cast();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let len = rustix::param::page_size();
        // SAFETY: nothing that is mapped is replaced.
        let other = unsafe { libc::mmap(address, len, libc::PROT_READ, flags, -1, 0) };
        assert_eq!(other, libc::MAP_FAILED, "a hole in the mapping");
        assert_shorter(result, 8);
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
        cut(&file, PAGES);
        assert_eq!(file.catch_faults(guard, |file| load(file, 7) + load(file, 9)).unwrap(), 8);
    });
    assert_succeeded(ended.as_ref());
}

/// Runs `work` while this process cannot open a file.
fn without_descriptors<T>(work: impl FnOnce() -> T) -> T {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
    let done = work();
    setrlimit(Resource::Nofile, limit).unwrap();
    done
}

/// A file system without FIEMAP finds the hole in a file that is opened anew.
#[test]
fn a_page_is_not_reported_as_lost_if_its_hole_cannot_be_found() {
    let test = "limits::a_page_is_not_reported_as_lost_if_its_hole_cannot_be_found";
    let ended = in_child(test, || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        let caught = without_descriptors(|| {
            file.catch_faults(guard, |file| {
                cut(file, 4);
                let loaded = load(file, 6);
                cut(file, PAGES);
                loaded
            })
        });
        let error = caught.unwrap_err();
        let is_fit = matches!(
            error.kind(),
            ErrorKind::Os { call: "open", errno: libc::EMFILE, .. } | ErrorKind::NoSpace { .. }
        );
        assert!(is_fit, "{error}");
    });
    assert_succeeded(ended.as_ref());
}

/// Only the number of free blocks can be asked for.
#[test]
fn a_store_to_a_full_file_system_has_no_space_also_without_descriptors() {
    let test = "limits::a_store_to_a_full_file_system_has_no_space_also_without_descriptors";
    with_small_tmpfs(test, |directory| {
        let ended = in_child(test, || {
            let guard = FaultHandler::install().unwrap();
            let path = directory.join("sparse");
            File::create(&path).unwrap().set_len(PAGES * page()).unwrap();
            let file = options().open(&path).unwrap();
            let mut rest = File::create(directory.join("rest")).unwrap();
            while rest.write(&[7; 4096]).is_ok() {}
            let stored = without_descriptors(|| {
                file.catch_faults(guard, |file| file.store(page(), 1, Relaxed))
            });
            let error = stored.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
        });
        assert_succeeded(ended.as_ref());
    });
}

/// The length of the files whose mappings are locked: large enough for huge pages, and so for an aligned mapping.
const LOCKED: u64 = 4 << 20;

/// Returns the limit of locked memory to set; `None` if this user may not lock so much.
fn may_lock(test: &str, limit: u64) -> Option<Rlimit> {
    let may_lock = Rlimit { current: Some(limit), ..getrlimit(Resource::Memlock) };
    if may_lock.maximum.is_some_and(|most| most < limit) {
        skip(test, "this user may lock too little memory (ulimit -H -l)");
        return None;
    }
    Some(may_lock)
}

/// Has all be locked that this process maps from now on, which counts as a whole.
fn lock_all(may_lock: Rlimit) {
    // The limit is not one for this capability.
    let mut capabilities = rustix::thread::capabilities(None).unwrap();
    capabilities.effective.remove(CapabilitySet::IPC_LOCK);
    rustix::thread::set_capabilities(None, capabilities).unwrap();
    setrlimit(Resource::Memlock, may_lock).unwrap();
    rustix::mm::mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).unwrap();
}

/// Returns the path of a sparse file.
fn sparse() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = directory.path().join("sparse");
    File::create(&path).unwrap().set_len(LOCKED).unwrap();
    (directory, path)
}

/// An aligned place is found without a reservation for the file and a huge page.
#[test]
fn a_file_can_be_mapped_if_it_may_be_locked_once() {
    const TEST: &str = "limits::a_file_can_be_mapped_if_it_may_be_locked_once";
    let Some(may_lock) = may_lock(TEST, LOCKED + (1 << 20)) else { return };
    let ended = in_child(TEST, || {
        let (_directory, path) = sparse();
        lock_all(may_lock);
        for _ in 0..8 {
            drop(options().open(&path).unwrap());
        }
    });
    assert_succeeded(ended.as_ref());
}

/// Zeros and the file can only be locked in each other's place.
#[test]
fn a_guard_needs_no_further_locked_memory() {
    const TEST: &str = "limits::a_guard_needs_no_further_locked_memory";
    let Some(may_lock) = may_lock(TEST, LOCKED + 64 * page()) else { return };
    let ended = in_child(TEST, || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, path) = sparse();
        lock_all(may_lock);
        let file = options().open(&path).unwrap();
        let pages = LOCKED / page();
        let all = |file: &DaxFile| (0..pages).map(|number| load(file, number)).sum::<u64>();
        cut(&file, 0);
        for _ in 0..2 {
            let error = file.catch_faults(guard, all).unwrap_err();
            let ErrorKind::Shorter { size, needed, .. } = *error.kind() else { panic!("{error}") };
            assert_eq!((size, needed), (0, LOCKED));
        }
        cut(&file, pages);
        file.store((pages - 1) * page(), 5, Relaxed);
        assert_eq!(file.catch_faults(guard, all).unwrap(), 5);
    });
    assert_succeeded(ended.as_ref());
}

/// Nests guarded calls, and runs `work` in the innermost one.
fn in_guards(
    file: &DaxFile,
    guard: FaultHandler,
    count: usize,
    work: &dyn Fn(),
) -> Result<(), Error> {
    if count == 0 {
        work();
        return Ok(());
    }
    file.catch_faults(guard, |file| in_guards(file, guard, count - 1, work))?
}

/// The threads that hold all slots do not exist in the child.
#[test]
fn a_forked_child_has_all_slots() {
    let ended = in_child("limits::a_forked_child_has_all_slots", || {
        let guard = FaultHandler::install().unwrap();
        let (_directory, file) = numbered();
        let (are_held, are_over) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let wait = || {
                    are_held.wait();
                    are_over.wait();
                };
                in_guards(&file, guard, 255, &wait).unwrap();
            });
            are_held.wait();
            // The child inherits the slot of this call, and frees it.
            let forked = file.catch_faults(guard, |_| {
                // SAFETY: the child calls nothing but guarded calls and `_exit`.
                unsafe { libc::fork() }
            });
            let child = forked.unwrap();
            if child == 0 {
                let is_free = in_guards(&file, guard, 256, &|| ()).is_ok();
                // SAFETY: ends the process without running anything else of it.
                unsafe { libc::_exit(if is_free { 44 } else { 1 }) };
            }
            let mut status = 0;
            // SAFETY: the place is valid.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            // The parent has its own still.
            let is_full = in_guards(&file, guard, 2, &|| ()).is_err();
            are_over.wait();
            assert!(is_full);
            assert_eq!(libc::WEXITSTATUS(status), 44, "{status:#x}");
        });
        in_guards(&file, guard, 256, &|| ()).unwrap();
    });
    assert_succeeded(ended.as_ref());
}
