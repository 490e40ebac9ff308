//! The time of modification, by which programs that copy files find those that have changed.

use super::{LEN, directory};
use crate::options;
use cachemaint_test_support::own_mount::overlay;
use cachemaint_test_support::own_mount::with_small_tmpfs;
use core::sync::atomic::Ordering::Relaxed;
use rustix::mount::UnmountFlags;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Has a file look as if it had not changed for long.
fn age(path: &Path) -> SystemTime {
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    past
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn a_file_is_modified_when_a_writer_grows_or_closes_it_and_not_when_it_is_opened() {
    let directory = directory();
    let path = directory.path().join("file");
    let mut file = options().create_new(&path, LEN).unwrap();
    let past = age(&path);
    file.store(0, 1, Relaxed);
    drop(options().len(LEN).view(&path));
    file.grow(2 * LEN).unwrap();
    assert_ne!(modified(&path), past, "grown");
    age(&path);
    drop(file);
    assert_ne!(modified(&path), past, "closed");

    age(&path);
    if cfg!(target_pointer_width = "64") {
        let view = options().view(&path).unwrap();
        view.persist(0..8).unwrap();
        drop(view);
    }
    assert_eq!(modified(&path), past, "a reader changes nothing");
    let file = options().open(&path).unwrap();
    assert_eq!(modified(&path), past, "nothing is stored yet");
    drop(file);
}

/// No store through a mapping moves the time there, nor on an overlay whose upper layer is there and is not seen.
#[test]
fn in_ram_each_persist_modifies_the_file() {
    let name = "in_ram_each_persist_modifies_the_file";
    let persist_twice = |directory: &Path| {
        let path = directory.join("file");
        let file = options().create_new(&path, LEN).unwrap();
        for word in [1, 2] {
            let past = age(&path);
            file.store(0, word, Relaxed);
            file.persist(0..8).unwrap();
            assert_ne!(modified(&path), past);
        }
    };
    with_small_tmpfs(name, |directory| {
        persist_twice(directory);
        fs::create_dir(directory.join("layers")).unwrap();
        let Some((_, merged)) = overlay(name, &directory.join("layers")) else { return };
        // As in a container, whose mounts the layers are not below.
        std::env::set_current_dir(&merged).unwrap();
        rustix::mount::unmount(directory, UnmountFlags::DETACH).unwrap();
        persist_twice(Path::new("."));
    });
}
