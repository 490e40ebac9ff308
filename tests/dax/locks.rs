//! The combinations of locks under which a file can be open. `dax_processes.rs` tests what other processes see of a
//! lock.

use crate::options;
use cachemaint::dax::{ErrorKind, Lock};
use core::time::Duration;
use std::fs;
use std::time::Instant;

const LOCKS: [Lock; 3] = [Lock::Exclusive, Lock::Shared, Lock::Off];

/// flock(2): shared locks go together, an exclusive one with none; who takes none neither finds nor makes
/// one. The same for a file that was created and for one that was opened.
#[test]
fn a_lock_excludes_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    for held in LOCKS {
        for asked in LOCKS {
            let is_without = matches!(held, Lock::Off) || matches!(asked, Lock::Off);
            let allowed = is_without || matches!((held, asked), (Lock::Shared, Lock::Shared));
            let first = options().lock(held).create_new(&path, 4096).unwrap();
            assert_eq!(first.view().lock(), held);
            let second = options().lock(asked).open(&path);
            assert_eq!(second.is_ok(), allowed, "created {held:?}, opened {asked:?}");
            if let Err(error) = &second {
                assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
            }
            drop((first, second));
            let first = options().lock(held).open(&path).unwrap();
            let second = options().lock(asked).open(&path);
            assert_eq!(second.is_ok(), allowed, "opened {held:?}, then {asked:?}");
            drop((first, second));
            fs::remove_file(&path).unwrap();
        }
    }
}

/// flock(2): a duplicate refers to the same lock.
#[test]
fn a_lock_ends_with_its_file_and_not_with_a_duplicate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, 4096).unwrap());
    let opened = fs::File::options().read(true).write(true).open(&path).unwrap();
    let duplicate = opened.try_clone().unwrap();
    let file = options().open_file(opened).unwrap();
    drop(duplicate.try_clone().unwrap());
    let error = options().open(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
    drop(file);
    options().open(&path).unwrap();
    drop(duplicate);
}

/// flock(2): unlocking any duplicate releases the lock. The library releases only a lock that it took.
#[test]
fn a_lock_that_the_caller_took_outlives_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, 4096).unwrap());
    let opened = fs::File::options().read(true).write(true).open(&path).unwrap();
    let duplicate = opened.try_clone().unwrap();
    let file = options().lock(Lock::Off).open_file(opened).unwrap();
    duplicate.try_lock().unwrap();
    drop(file);
    let error = options().open(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
    drop(duplicate);
    // A child that another test has forked holds the duplicate until it executes its program.
    let begun = Instant::now();
    while let Err(error) = options().open(&path) {
        assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(600), "{error}");
    }
}

/// A file that was refused holds no lock.
#[test]
fn a_refused_file_is_not_locked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, 4096).unwrap());
    options().len(8192).open(&path).unwrap_err();
    options().open(&path).unwrap();
}
