//! Each system call of a file is refused in turn, as by an old kernel and by the filter of a container.

use crate::{options, place};
use cachemaint::dax::{Error, ErrorKind, Lock, PreadFile, probe};
use cachemaint::medium::{Granularity, Readable as _};
use cachemaint_test_support::failing_calls::{CALLS, Refused, fail_calls};
use cachemaint_test_support::skip::skip;
use core::ffi::c_int;
use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

const LEN: u64 = 128 << 10;

/// Calls `act` on a thread whose calls of these kinds fail so; `None` if no filter is to be had.
fn without<T: Send>(
    refused: &[Refused],
    errno: c_int,
    act: impl FnOnce() -> T + Send,
) -> Option<T> {
    let run = || {
        let refuse = |(_, number, flags): &Refused| fail_calls(*number, *flags, errno);
        refused.iter().all(refuse).then(act)
    };
    let done =
        thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|panic| resume_unwind(panic)));
    if done.is_none() {
        skip("a test of refused system calls", "no filter of them is to be had");
    }
    done
}

fn named(names: &[&str]) -> Vec<Refused> {
    CALLS.iter().filter(|(name, ..)| names.contains(name)).copied().collect()
}

/// Uses a file in all ways, and finds the bytes in it that it has stored.
fn use_file(path: &Path) -> Result<(), Error> {
    let is_kept = |bytes: &[u8]| assert_eq!(bytes, b"kept", "after a success");
    let mut file = options().create_new(path, LEN)?;
    file.write(8, b"kept");
    file.persist(8..12)?;
    file.grow(2 * LEN)?;
    file.shrink(LEN)?;
    drop(file);
    let file = options().open_or_create(path, LEN)?;
    let mut bytes = [0; 4];
    file.read(8, &mut bytes)?;
    is_kept(&bytes);
    let view = options().view(path)?;
    view.read(8, &mut bytes)?;
    is_kept(&bytes);
    PreadFile::of(&view)?.read(8, &mut bytes)?;
    is_kept(&bytes);
    Ok(())
}

#[test]
fn a_refused_system_call_has_a_fallback_or_an_error_with_an_action() {
    for call in CALLS {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let (_directory, path) = place();
            let Some(used) = without(&[*call], errno, || use_file(&path)) else { return };
            let Err(error) = used else { continue };
            let text = error.to_string();
            let rest = text.strip_prefix(&format!("{}: ", path.display()));
            assert!(rest.is_some_and(|rest| rest.contains("; ")), "{call:?}, {errno}: {text}");
        }
    }
}

/// Android permits no `linkat`; file systems of FUSE have neither links nor `RENAME_NOREPLACE`.
#[test]
fn a_file_gets_its_name_without_links_and_replaces_none() {
    for missing in [&["linkat"][..], &["linkat", "renameat2"], &["linkat", "renameat2", "link"]] {
        let (directory, path) = place();
        let create = || (options().create_new(&path, LEN), options().create_new(&path, LEN));
        let Some((created, again)) = without(&named(missing), libc::EACCES, create) else { return };
        assert_eq!(created.unwrap().len(), LEN, "{missing:?}");
        assert!(matches!(again.unwrap_err().kind(), ErrorKind::Exists));
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["file"], "no other name is left");
    }
}

/// As on NFS without a service for locks.
#[test]
fn a_file_is_created_without_a_lock_where_there_is_none() {
    let (_directory, path) = place();
    let create = || {
        let error = options().create_new(&path, LEN).unwrap_err();
        assert!(error.to_string().contains("or use another file system"), "{error}");
        options().lock(Lock::Off).create_new(&path, LEN)
    };
    let Some(created) = without(&named(&["flock"]), libc::ENOLCK, create) else { return };
    created.unwrap();
}

/// As on CIFS, which does not sync directories: an opening takes it, and so does a creation. By lines the blocks must be durable.
#[test]
fn a_creation_takes_a_file_system_without_syncs_by_pages_as_an_opening_does() {
    let (_directory, path) = place();
    let by_pages =
        matches!(probe(path.parent().unwrap()).unwrap().granularity, Granularity::Page(_));
    for errno in [libc::EINVAL, libc::EOPNOTSUPP] {
        let create = || options().create_new(&path, LEN).map(drop);
        let Some(created) = without(&named(&["fsync"]), errno, create) else { return };
        assert_eq!(created.is_ok(), by_pages, "{created:?}");
        if by_pages {
            let open = || options().open(&path).map(drop);
            without(&named(&["fsync"]), errno, open).unwrap().unwrap();
            fs::remove_file(&path).unwrap();
        }
    }
}
