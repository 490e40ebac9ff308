//! The standard streams as files, for the commands whose data flow through them.
//!
//! The standard library reads a closed standard input as an empty one, and drops the output to a closed standard output.
//! It does the same to an input that is open for writing only, and to an output that is open for reading only. So a good
//! blob would be replaced by an empty one. Here each of these is an error, except for a closed output that may be dropped.
//!
//! Another process can have made a stream non-blocking, as it shares the open file. Here each call waits all the same.
//! Reports and acknowledgements go through the streams of the standard library, which do not wait.

use anyhow::Context as _;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
#[cfg(unix)]
use {
    crate::files::{is_block_device, is_same},
    rustix::event::{PollFd, PollFlags, poll},
    rustix::fs::{OFlags, fcntl_getfl},
    rustix::io::retry_on_intr,
    std::fs::{self, File},
    std::io::{self, IntoInnerError},
    std::os::fd::{AsFd, BorrowedFd, IntoRawFd as _},
};

/// Standard output, or a duplicate of it.
#[cfg(unix)]
pub(crate) type Output = Waiting<File>;
#[cfg(not(unix))]
pub(crate) type Output = std::io::StdoutLock<'static>;

/// Returns standard input.
pub(crate) fn input() -> anyhow::Result<impl Read + 'static> {
    #[cfg(unix)]
    let input = usable(
        &io::stdin(),
        OFlags::WRONLY,
        "it is open for writing only; redirect it from a file",
    )
    .and_then(|input| {
        not_closed(
            input,
            "it is closed, or is /dev/null opened for writing too; redirect it (`</dev/null` for an empty input)",
        )
    })
    .map(Waiting);
    #[cfg(not(unix))]
    let input = std::io::Result::Ok(std::io::stdin().lock());
    input.context("standard input cannot be read")
}

/// Returns standard output.
pub(crate) fn output() -> anyhow::Result<Output> {
    #[cfg(unix)]
    let output = writable()
        .and_then(|output| {
            not_closed(
                output,
                "it is closed, or is /dev/null opened for reading too; redirect it (`>/dev/null` discards the output)",
            )
        })
        .map(Waiting);
    #[cfg(not(unix))]
    let output = std::io::Result::Ok(std::io::stdout().lock());
    output.context(NO_OUTPUT)
}

/// Returns standard output for bytes that may be dropped: it may be closed, or be `/dev/null` opened for both directions, as
/// `sudo` and Python can leave it.
pub(crate) fn output_or_closed() -> anyhow::Result<Output> {
    #[cfg(unix)]
    let output = writable().map(Waiting);
    #[cfg(not(unix))]
    let output = std::io::Result::Ok(std::io::stdout().lock());
    output.context(NO_OUTPUT)
}

const NO_OUTPUT: &str = "standard output cannot be written";

#[cfg(unix)]
fn writable() -> io::Result<File> {
    usable(&io::stdout(), OFlags::RDONLY, "it is open for reading only; redirect it to a file")
}

/// Writes out all bytes, and closes this duplicate: NFS can report only then that they exceed a quota (`close(2)`). A block
/// device is synced before, since an error of its write-back is reported to a sync alone.
#[cfg(unix)]
pub(crate) fn finish(out: BufWriter<Output>) -> io::Result<()> {
    let Waiting(file) = out.into_inner().map_err(IntoInnerError::into_error)?;
    if is_block_device(&file.metadata()?) {
        file.sync_all()?;
    }
    // SAFETY: the file has given its descriptor up.
    let closed = unsafe { libc::close(file.into_raw_fd()) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Writes out all bytes.
#[cfg(not(unix))]
pub(crate) fn finish(mut out: BufWriter<Output>) -> std::io::Result<()> {
    out.flush()
}

/// Returns standard error. It is not checked, since a fault of it cannot be reported.
#[cfg(unix)]
pub(crate) fn errors() -> Waiting<io::Stderr> {
    Waiting(io::stderr())
}

/// Returns standard error.
#[cfg(not(unix))]
pub(crate) fn errors() -> impl Write + 'static {
    std::io::stderr()
}

/// A stream whose calls wait, even if it is non-blocking.
#[cfg(unix)]
pub(crate) struct Waiting<S>(S);

#[cfg(unix)]
impl<S: AsFd> Waiting<S> {
    /// Repeats a call until it does not have to wait.
    fn wait<R>(
        &mut self,
        until: PollFlags,
        mut call: impl FnMut(&mut S) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match call(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            let mut stream = [PollFd::new(&self.0, until)];
            retry_on_intr(|| poll(&mut stream, None))?;
        }
    }
}

#[cfg(unix)]
impl<S: AsFd> AsFd for Waiting<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(unix)]
impl<S: Read + AsFd> Read for Waiting<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait(PollFlags::IN, |stream| stream.read(buf))
    }
}

#[cfg(unix)]
impl<S: Write + AsFd> Write for Waiting<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT, |stream| stream.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns true if a name leads to the regular file that standard output is, as `/dev/stdout` can.
#[cfg(unix)]
pub(crate) fn is_output(name: &Path) -> bool {
    let own = io::stdout().as_fd().try_clone_to_owned().and_then(|own| File::from(own).metadata());
    let found = own.ok().zip(name.metadata().ok());
    found.is_some_and(|(own, there)| there.is_file() && is_same(&own, &there))
}

/// Standard output has no name here.
#[cfg(not(unix))]
pub(crate) const fn is_output(_: &Path) -> bool {
    false
}

/// Returns the file of a standard stream, unless it is open in the other direction.
#[cfg(unix)]
fn usable(
    stream: &impl AsFd,
    other_direction: OFlags,
    is_of_other_direction: &str,
) -> io::Result<File> {
    if fcntl_getfl(stream)? & OFlags::RWMODE == other_direction {
        return Err(io::Error::other(is_of_other_direction));
    }
    stream.as_fd().try_clone_to_owned().map(File::from)
}

/// Returns the file of a standard stream, unless the stream was closed.
///
/// When a program starts, the standard library opens `/dev/null` for reading and writing in the place of a closed stream. A
/// shell opens it in the direction of the stream alone.
#[cfg(unix)]
fn not_closed(file: File, is_closed: &str) -> io::Result<File> {
    if fcntl_getfl(&file)? & OFlags::RWMODE == OFlags::RDWR && is_null(&file) {
        return Err(io::Error::other(is_closed));
    }
    Ok(file)
}

#[cfg(unix)]
fn is_null(file: &File) -> bool {
    let found = file.metadata().ok().zip(fs::metadata("/dev/null").ok());
    found.is_some_and(|(own, null)| is_same(&own, &null))
}

#[cfg(all(test, unix))]
mod tests {
    use super::Waiting;
    use rustix::fs::{OFlags, fcntl_setfl};
    use std::io::{self, Read, Write, pipe};
    use std::os::fd::{AsFd, BorrowedFd};
    #[cfg(target_os = "linux")]
    use {
        super::{finish, is_block_device},
        cachemaint_test_support::failing_calls::fail_calls,
        cachemaint_test_support::skip::skip,
        std::fs::File,
        std::io::{BufWriter, Seek as _},
        std::panic::resume_unwind,
        std::thread,
    };

    /// A stream that is ready only after the first call.
    struct Late<S, F> {
        stream: S,
        calls: usize,
        make_ready: F,
    }

    impl<S, F: FnMut()> Late<S, F> {
        fn call<R>(&mut self, call: impl FnOnce(&mut S) -> R) -> R {
            let done = call(&mut self.stream);
            self.calls += 1;
            if self.calls == 1 {
                (self.make_ready)();
            }
            done
        }
    }

    impl<S: AsFd, F> AsFd for Late<S, F> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.stream.as_fd()
        }
    }

    impl<S: Read, F: FnMut()> Read for Late<S, F> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.call(|stream| stream.read(buf))
        }
    }

    impl<S: Write, F: FnMut()> Write for Late<S, F> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.call(|stream| stream.write(buf))
        }

        fn flush(&mut self) -> io::Result<()> {
            self.stream.flush()
        }
    }

    #[test]
    fn a_full_pipe_is_waited_for_though_it_is_non_blocking() {
        let (mut from, mut to) = pipe().unwrap();
        fcntl_setfl(&to, OFlags::NONBLOCK).unwrap();
        let mut filled = 0;
        while to.write_all(&[0]).is_ok() {
            filled += 1;
        }
        let make_ready = || from.read_exact(&mut vec![0; filled]).unwrap();
        let mut to = Waiting(Late { stream: to, calls: 0, make_ready });
        to.write_all(b"the rest").unwrap();
        assert_eq!(to.0.calls, 2);
        drop(to);
        assert_eq!(io::read_to_string(from).unwrap(), "the rest");
    }

    #[test]
    fn an_empty_pipe_is_waited_for_though_it_is_non_blocking() {
        let (from, mut to) = pipe().unwrap();
        fcntl_setfl(&from, OFlags::NONBLOCK).unwrap();
        let make_ready = || to.write_all(b"word").unwrap();
        let mut from = Waiting(Late { stream: from, calls: 0, make_ready });
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).unwrap();
        assert_eq!((bytes, from.0.calls), (*b"word", 2));
    }

    /// Writes these bytes to an output, and finishes it with a call that fails. `None` if no call can be made to fail here.
    #[cfg(target_os = "linux")]
    fn finished(to: File, bytes: &[u8], call: libc::c_long, errno: i32) -> Option<io::Result<()>> {
        // User-mode emulation filters no system calls.
        if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
            return None;
        }
        let work = || {
            let mut out = BufWriter::new(Waiting(to));
            let written = out.write_all(bytes);
            fail_calls(call, None, errno).then(|| written.and_then(|()| finish(out)))
        };
        let ended = thread::scope(|scope| scope.spawn(work).join());
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// As on NFS with a full quota.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_of_the_close_of_the_output_is_reported() {
        let mut from = tempfile::tempfile().unwrap();
        let to = from.try_clone().unwrap();
        let Some(finished) = finished(to, b"all", libc::SYS_close, libc::EDQUOT) else {
            let name = "an_error_of_the_close_of_the_output_is_reported";
            return skip(name, "no filter of system calls is to be had");
        };
        assert_eq!(finished.unwrap_err().raw_os_error(), Some(libc::EDQUOT));
        from.rewind().unwrap();
        assert_eq!(io::read_to_string(from).unwrap(), "all");
    }

    /// A loop device is opened for reading, and nothing is written to it.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_of_the_sync_of_a_block_device_is_reported() {
        let name = "an_error_of_the_sync_of_a_block_device_is_reported";
        let Ok(device) = File::open("/dev/loop0") else {
            return skip(name, "no loop device can be opened");
        };
        if !is_block_device(&device.metadata().unwrap()) {
            return skip(name, "/dev/loop0 is not a block device");
        }
        let Some(finished) = finished(device, b"", libc::SYS_fsync, libc::EIO) else {
            return skip(name, "no filter of system calls is to be had");
        };
        assert_eq!(finished.unwrap_err().raw_os_error(), Some(libc::EIO));
    }
}
