//! An output that nothing reads.

use std::io::{self, PipeWriter};

/// Returns a pipe without a reader. A child that another test has forked holds the reader until it executes its program, so
/// this waits until the kernel reports that none is left (poll(2), `POLLERR`).
pub(crate) fn pipe() -> io::Result<PipeWriter> {
    let (reader, writer) = io::pipe()?;
    drop(reader);
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, poll};
        poll(&mut [PollFd::new(&writer, PollFlags::empty())], None)?;
    }
    Ok(writer)
}
