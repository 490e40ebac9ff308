//! Shared locks of bytes of a file that belong to the open file: open file description locks (fcntl(2)).
//!
//! # Why this file is unsafe
//! They are a call with a pointer, of which rustix has no part but the lock of a whole file that belongs to
//! the process.

use crate::dax::ErrorKind;
use core::ffi::{c_int, c_long, c_short};
use core::ops::Range;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Takes a shared lock of these bytes. There are some, and they are bytes that a file can have.
pub(super) fn take(file: impl AsFd, range: &Range<u64>) -> Result<(), ErrorKind> {
    ask(file.as_fd(), libc::F_OFD_SETLK, libc::F_RDLCK, range)
        .map(drop)
        .map_err(|error| meaning(&error))
}

/// Gives up the locks of these bytes.
pub(super) fn give_up(file: impl AsFd, range: &Range<u64>) -> Result<(), ErrorKind> {
    ask(file.as_fd(), libc::F_OFD_SETLK, libc::F_UNLCK, range)
        .map(drop)
        .map_err(|error| meaning(&error))
}

/// Returns the first of these bytes that another open file has a lock of.
///
/// The kernel reports any such lock, not the first one: its list is in the order of owners (Linux `fs/locks.c`,
/// `posix_lock_inode`). So the bytes before the reported lock are asked for again.
pub(super) fn first_of_others(
    file: impl AsFd,
    range: &Range<u64>,
) -> Result<Option<Range<u64>>, ErrorKind> {
    let (mut asked, mut first) = (range.clone(), None);
    while !asked.is_empty() {
        let told = ask(file.as_fd(), libc::F_OFD_GETLK, libc::F_WRLCK, &asked)
            .map_err(|error| meaning(&error))?;
        if c_int::from(told.l_type) == libc::F_UNLCK {
            break;
        }
        let held = within(&asked, told.l_start, told.l_len);
        asked.end = held.start;
        first = Some(held);
    }
    Ok(first)
}

/// Returns the locked part of a range. For the kernel a length of 0 reaches to the end of any file. An answer of a
/// server that makes no sense is taken for all of the range.
fn within(asked: &Range<u64>, start: libc::off64_t, len: libc::off64_t) -> Range<u64> {
    let start = u64::try_from(start).unwrap_or(0);
    let end = match u64::try_from(len) {
        Ok(0) | Err(_) => u64::MAX,
        Ok(len) => start.saturating_add(len),
    };
    let held = start.max(asked.start)..end.min(asked.end);
    if held.is_empty() { asked.clone() } else { held }
}

fn meaning(error: &io::Error) -> ErrorKind {
    match Errno::from_io_error(error) {
        // POSIX leaves open which of them it is.
        Some(Errno::AGAIN | Errno::ACCESS) => ErrorKind::Locked,
        // Not known to the kernel; not to the file system, or its server.
        Some(errno @ (Errno::INVAL | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            ErrorKind::NoLeases { errno: Some(errno.raw_os_error()) }
        }
        _ => {
            let errno = crate::dax::system::files::number(error);
            ErrorKind::Os { call: "fcntl of an open file description lock", errno }
        }
    }
}

/// Asks for a lock of some bytes, or about one, and returns what the kernel made of the question.
fn ask(
    file: BorrowedFd<'_>,
    command: c_int,
    kind: c_int,
    range: &Range<u64>,
) -> io::Result<libc::flock64> {
    let place = |at: u64| {
        libc::off64_t::try_from(at).map_err(|_too_large| io::Error::from(Errno::OVERFLOW))
    };
    // SAFETY: all bits zero are a value of it: it has nothing but integers.
    let mut lock: libc::flock64 = unsafe { core::mem::zeroed() };
    // Two fields stay 0: places count from the start of the file (`SEEK_SET`), and these locks must not name a process.
    lock.l_type = c_short::try_from(kind).map_err(|_unknown| io::Error::from(Errno::INVAL))?;
    lock.l_start = place(range.start)?;
    lock.l_len = place(range.end - range.start)?;
    // Over a network a signal can interrupt it (fcntl(2), EINTR).
    while call(file, command, &mut lock) == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(lock)
}

/// The C library's call, which takes places of 64 bits on these.
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
fn call(file: BorrowedFd<'_>, command: c_int, lock: &mut libc::flock64) -> c_long {
    let lock = core::ptr::from_mut(lock);
    // SAFETY: these commands read the structure and write it, and nothing else.
    c_long::from(unsafe { libc::fcntl(file.as_raw_fd(), command, lock) })
}

/// The system call itself: on 32-bit CPUs glibc's `fcntl` takes the structure for one of 32-bit places from
/// 2.28 on, and passed it on before ("Fix Linux fcntl OFD locks for non-LFS architectures", BZ #20251).
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
fn call(file: BorrowedFd<'_>, command: c_int, lock: &mut libc::flock64) -> c_long {
    let lock = core::ptr::from_mut(lock);
    // SAFETY: these commands read the structure and write it, and nothing else.
    unsafe { libc::syscall(libc::SYS_fcntl64, file.as_raw_fd(), command, lock) }
}

#[cfg(test)]
mod tests {
    use super::{meaning, within};
    use crate::dax::ErrorKind;
    use rustix::io::Errno;

    #[test]
    fn a_lock_is_cut_to_what_was_asked_for() {
        let asked = 100..200;
        assert_eq!(within(&asked, 120, 30), 120..150);
        assert_eq!(within(&asked, 0, 150), 100..150, "begins before it");
        assert_eq!(within(&asked, 150, 150), 150..200, "ends after it");
        assert_eq!(within(&asked, 150, 0), 150..200, "up to the end of the file");
        assert_eq!(within(&asked, 0, 0), 100..200, "the whole file");
    }

    /// The range would be reused under a reader otherwise, or asked for without end.
    #[test]
    fn an_answer_that_makes_no_sense_is_all_of_it() {
        let asked = 100..200;
        for (start, len) in [(200, 10), (0, 100), (300, 0), (-5, 50), (i64::MAX, i64::MAX)] {
            assert_eq!(within(&asked, start, len), asked, "{start}, {len}");
        }
        assert_eq!(within(&asked, 150, -10), 150..200, "an impossible length");
    }

    /// fcntl(2), "Errors".
    #[test]
    fn a_refusal_says_whose_it_is() {
        let kind = |errno: Errno| meaning(&errno.into());
        assert!(matches!(kind(Errno::AGAIN), ErrorKind::Locked));
        assert!(matches!(kind(Errno::ACCESS), ErrorKind::Locked));
        for errno in [Errno::INVAL, Errno::NOLCK, Errno::OPNOTSUPP] {
            let number = Some(errno.raw_os_error());
            assert!(
                matches!(kind(errno), ErrorKind::NoLeases { errno } if errno == number),
                "{errno}"
            );
        }
        assert!(matches!(kind(Errno::IO), ErrorKind::Os { .. }));
    }
}
