//! Many runs in one guarded call.

use super::{PAGES, assert_shorter, cut, load, numbered, options, page};
use cachemaint::dax::{ErrorKind, FaultHandler};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::thread;

#[test]
fn runs_end_with_the_first_that_returns_false() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    let mut read = Vec::new();
    let ended = file.view().catch_faults_while(guard, |_| {
        read.push(load(&file, read.len() as u64));
        read.len() < 5
    });
    ended.unwrap();
    assert_eq!(read, [1, 2, 3, 4, 5]);
}

/// The page of zeros that the failing run has read is in place until the call ends. No run may see it after that one.
#[test]
fn a_run_whose_access_fails_is_the_last_one() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    for is_over in [false, true] {
        let (mut good, mut read) = (0, Vec::new());
        let ended = file.view().catch_faults_while(guard, |_| {
            good = read.len();
            read.push(load(&file, read.len() as u64));
            !(is_over && read.len() == 9)
        });
        assert_shorter(ended, 8);
        assert_eq!(good, 8);
        assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8, 0]);
    }
    // The page is the file's again.
    cut(&file, PAGES);
    let ended = file.view().catch_faults_while(guard, |_| load(&file, 8) != 0);
    ended.unwrap();
}

/// The guard of the other thread has ended, and its zeros are gone.
#[test]
fn a_run_during_which_a_guard_of_another_thread_met_a_fault_is_the_last_one() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    let mut runs = 0;
    let ended = file.view().catch_faults_while(guard, |_| {
        runs += 1;
        if runs == 3 {
            let other = || file.catch_faults(guard, |file| load(file, 9));
            assert_shorter(thread::scope(|scope| scope.spawn(other).join().unwrap()), 8);
        }
        runs < 10
    });
    assert_shorter(ended, 8);
    assert_eq!(runs, 3);
}

/// The inner guard has reported the fault, and the outer one does nothing meanwhile.
#[test]
fn a_fault_of_a_guard_within_a_run_ends_no_runs() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    cut(&file, 8);
    let mut runs = 0;
    let ended = file.view().catch_faults_while(guard, |_| {
        runs += 1;
        assert_shorter(file.catch_faults(guard, |file| load(file, 9)), 8);
        runs < 3
    });
    ended.unwrap();
    assert_eq!(runs, 3);
}

/// The file system refuses to map the file again, so that the inner guard leaves zeros in place of the last page.
#[test]
fn zeros_that_a_guard_within_a_run_has_left_end_the_runs() {
    let guard = FaultHandler::install().unwrap();
    let memfd = File::from(memfd_create(c"file", MemfdFlags::ALLOW_SEALING).unwrap());
    memfd.set_len(4 * page()).unwrap();
    let file = options().open_file(memfd).unwrap();
    let mut runs = 0;
    let ended = file.view().catch_faults_while(guard, |_| {
        runs += 1;
        if runs == 2 {
            cut(&file, 3);
            fcntl_add_seals(file.file(), SealFlags::FUTURE_WRITE).unwrap();
            let inner = file.catch_faults(guard, |file| load(file, 3)).unwrap_err();
            assert!(matches!(inner.kind(), ErrorKind::Os { call: "mmap", .. }), "{inner}");
        }
        runs < 5
    });
    ended.unwrap_err();
    assert_eq!(runs, 2);
}
