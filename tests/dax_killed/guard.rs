//! The order and the number of a guard's syncs.

use crate::skip::skip;
use crate::{alone, directory, identity, pattern, system_calls};
use cachemaint::dax::guard::Guard;
use cachemaint::dax::{FaultHandler, probe};
use cachemaint::medium::Granularity;
use std::fs;
use std::path::Path;

/// The names that a guard has found outlive a loss of power as the bytes do.
#[test]
fn a_guard_syncs_the_directories_with_new_names() {
    let _alone = alone();
    let directory = directory();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    fs::create_dir(&old).unwrap();
    fs::write(old.join("file"), pattern()).unwrap();
    let guard_passes = || -> Result<(), Box<dyn core::error::Error>> {
        let mut guard = Guard::new(FaultHandler::install()?).allow_page_granularity();
        guard.add(directory.path())?;
        guard.pass();
        fs::create_dir(&new).and_then(|()| fs::write(new.join("file"), pattern())).unwrap();
        guard.pass();
        guard.pass();
        Ok(())
    };
    let test = "a_guard_syncs_the_directories_with_new_names";
    let Some(calls) = system_calls(test, guard_passes) else { return };
    let times = |path: &Path| {
        let of = identity(path);
        calls.iter().filter(|call| call.number == libc::SYS_fsync && call.file == of).count()
    };
    assert_eq!([&*old, &*new, directory.path()].map(times), [1, 1, 2]);
}

/// An `fsync` of each takes about a millisecond on a disk, for which all other files wait.
#[test]
fn the_names_of_many_new_directories_are_synced_by_one_call() {
    let _alone = alone();
    let directory = directory();
    for name in 0..1000 {
        fs::create_dir(directory.path().join(name.to_string())).unwrap();
    }
    let guard_passes = || -> Result<(), Box<dyn core::error::Error>> {
        let mut guard = Guard::new(FaultHandler::install()?).allow_page_granularity();
        guard.add(directory.path())?;
        guard.pass();
        fs::create_dir(directory.path().join("new"))?;
        guard.pass();
        for name in 0..200 {
            fs::write(directory.path().join(name.to_string()).join("file"), [1; 100])?;
        }
        guard.pass();
        Ok(())
    };
    let test = "the_names_of_many_new_directories_are_synced_by_one_call";
    let Some(calls) = system_calls(test, guard_passes) else { return };
    let guarantee = probe(directory.path()).unwrap();
    if !["ext4", "xfs", "btrfs", "tmpfs"].contains(&&*guarantee.file_system) {
        return skip(test, "this file system is not synced as a whole");
    }
    // Before Linux 5.8 `syncfs` reports no failure.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let version: Vec<u32> = release.split('.').map_while(|part| part.parse().ok()).collect();
    if version < vec![5, 8] {
        return skip(test, "syncfs reports no failure here");
    }
    let number = |number| calls.iter().filter(|call| call.number == number).count();
    // 64 of the first pass, then the new one and the one that has its name, and 64 for the new files. If these are synced by
    // pages, that is one call for all, too.
    let is_by_pages = matches!(guarantee.granularity, Granularity::Page(_));
    let syncs = 2 + usize::from(is_by_pages);
    assert_eq!((number(libc::SYS_syncfs), number(libc::SYS_fsync)), (syncs, 64 + 2 + 64));
    let sync = calls.iter().position(|call| call.number == libc::SYS_syncfs).unwrap();
    let devices =
        [&calls[sync].file, &identity(directory.path())].map(|of| of.map(|(device, _)| device));
    assert_eq!(devices[0], devices[1]);
}
