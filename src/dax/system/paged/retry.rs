//! Calls of Windows that fail for a moment.

use core::time::Duration;
use std::io;

/// `ERROR_LOCK_VIOLATION` (Microsoft Learn, "System Error Codes").
const LOCK_VIOLATION: i32 = 33;

/// The waits, of 1 ms and then twice as long each time: a second together.
const WAITS: u32 = 10;

/// Makes a call again as long as it fails with `ERROR_LOCK_VIOLATION`, as `FlushViewOfFile` does now and then on NTFS (.NET
/// `MemoryMappedView.Windows.cs`, which tries it for 32 seconds).
pub(super) fn while_locked(
    mut call: impl FnMut() -> io::Result<()>,
    mut wait: impl FnMut(Duration),
) -> io::Result<()> {
    for waits in 0..WAITS {
        match call() {
            Err(error) if error.raw_os_error() == Some(LOCK_VIOLATION) => {
                wait(Duration::from_millis(1 << waits));
            }
            done => return done,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::while_locked;
    use alloc::vec::Vec;
    use core::time::Duration;
    use std::io;

    /// Returns the result, the number of calls and the waits, if the first `failures` calls fail with `number`.
    fn run(failures: usize, number: i32) -> (io::Result<()>, usize, Vec<u128>) {
        let (mut calls, mut waits) = (0, Vec::new());
        let call = || {
            calls += 1;
            if calls > failures { Ok(()) } else { Err(io::Error::from_raw_os_error(number)) }
        };
        let result = while_locked(call, |wait: Duration| waits.push(wait.as_millis()));
        (result, calls, waits)
    }

    #[test]
    fn a_call_that_is_locked_out_is_made_again_after_growing_waits() {
        let (result, calls, waits) = run(3, 33);
        result.unwrap();
        assert_eq!((calls, waits), (4, Vec::from([1, 2, 4])));
    }

    #[test]
    fn a_call_that_stays_locked_out_fails_after_a_second() {
        let (result, calls, waits) = run(usize::MAX, 33);
        assert_eq!(result.unwrap_err().raw_os_error(), Some(33));
        assert_eq!((calls, waits.iter().sum()), (11, 1023));
    }

    /// 1117 is `ERROR_IO_DEVICE`.
    #[test]
    fn another_error_is_final() {
        let (result, calls, waits) = run(1, 1117);
        assert_eq!(result.unwrap_err().raw_os_error(), Some(1117));
        assert_eq!((calls, waits.len()), (1, 0));
    }
}
