//! A forked child would be a second writer, which the lock cannot tell from the first.
//!
//! The test has a process of its own: a child shares the locks of every file that is open when it is
//! forked, so other tests would find theirs locked.

#![cfg(all(feature = "dax", target_os = "linux", not(miri), not(loom)))]
#![expect(unsafe_code, reason = "a child is forked, and asked what it has mapped")]

use cachemaint::dax::{DaxFile, Options};

/// Whether the first page of the file is mapped in the process that asks: `msync` of what is not
/// mapped fails with ENOMEM (POSIX). It may be called after a fork.
fn is_mapped(file: &DaxFile) -> bool {
    let page = rustix::param::page_size();
    // SAFETY: msync accesses no byte of the range.
    unsafe { libc::msync(file.as_ptr(0).cast(), page, libc::MS_ASYNC) == 0 }
}

#[test]
fn a_forked_child_does_not_inherit_the_mapping() {
    if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
        println!("skipped: user-mode emulation does not pass MADV_DONTFORK on to the kernel");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().allow_page_granularity();
    let file = options.create(directory.path().join("file"), 64 << 10).unwrap();
    assert!(is_mapped(&file));
    // SAFETY: the child calls nothing but msync and _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(i32::from(is_mapped(&file))) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and so is the status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert!(libc::WIFEXITED(status), "the child ended by itself");
    assert_eq!(libc::WEXITSTATUS(status), 0, "nothing is mapped there in the child");
    assert!(is_mapped(&file));
}
