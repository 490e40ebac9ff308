//! The output of a program: other processes can keep it open after the program's end, and it can be passed on to one that
//! does not read it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread, retry_on_intr};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The time for which a stopped writer waits for its reader.
const GRACE: Duration = Duration::from_secs(1);

/// A reader that ends when it is stopped, with all bytes that were written before.
pub(super) struct Stoppable<'s, R> {
    from: R,
    /// A pipe that has bytes when the reader is stopped. They are left in it, for others that it stops.
    stop: &'s PipeReader,
    /// The number of bytes that are still read, if the reader is stopped.
    left: Option<u64>,
}

impl<'s, R: Read + AsFd> Stoppable<'s, R> {
    pub(super) const fn new(from: R, stop: &'s PipeReader) -> Self {
        Self { from, stop, left: None }
    }

    /// Waits until there is something to read, or the end of it. Returns true if the reader is stopped.
    fn wait(&self) -> io::Result<bool> {
        let mut both = [self.from.as_fd(), self.stop.as_fd()]
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        retry_on_intr(|| poll(&mut both, None))?;
        Ok(!both[1].revents().is_empty())
    }
}

impl<R: Read + AsFd> Read for Stoppable<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left.is_none() && self.wait()? {
            self.left = Some(ioctl_fionread(&self.from)?);
        }
        let Some(left) = &mut self.left else { return self.from.read(buf) };
        let read = self.from.by_ref().take(*left).read(buf)?;
        *left -= read as u64;
        Ok(read)
    }
}

/// A writer that is given up when it is stopped and has no reader that reads.
pub(super) struct StoppableWriter<'s, W> {
    to: W,
    /// As that of [`Stoppable`].
    stop: &'s PipeReader,
}

impl<'s, W: Write + AsFd> StoppableWriter<'s, W> {
    pub(super) const fn new(to: W, stop: &'s PipeReader) -> Self {
        Self { to, stop }
    }

    /// Waits until bytes can be written. Returns false if the writer is stopped before.
    fn wait(&self) -> io::Result<bool> {
        let mut both = [
            PollFd::new(&self.to, PollFlags::OUT),
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
        ];
        retry_on_intr(|| poll(&mut both, None))?;
        if !both[0].revents().is_empty() {
            return Ok(true);
        }
        let (begin, mut output) = (Instant::now(), [PollFd::new(&self.to, PollFlags::OUT)]);
        loop {
            // Each signal interrupts the call.
            let left = GRACE.saturating_sub(begin.elapsed());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut output, Some(&left)) {
                Err(Errno::INTR) => {}
                ready => return Ok(ready? > 0),
            }
        }
    }
}

impl<W: Write + AsFd> Write for StoppableWriter<'_, W> {
    /// Writes no more than a pipe with room takes at once, without waiting (pipe(7), `PIPE_BUF`).
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if !self.wait()? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.to.write(&buf[..buf.len().min(libc::PIPE_BUF)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{Stoppable, StoppableWriter};
    use std::io::{ErrorKind, Read as _, Write as _, pipe};

    #[test]
    fn a_stopped_writer_without_a_reader_that_reads_is_given_up() {
        let (mut from, to) = pipe().unwrap();
        let (stop, mut stopper) = pipe().unwrap();
        stopper.write_all(&[0]).unwrap();
        let mut writer = StoppableWriter::new(to, &stop);
        let mut written = 0;
        let error = loop {
            match writer.write(&[7; 10_000]) {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        from.read_exact(&mut vec![0; written]).unwrap();
        writer.write_all(b"read again").unwrap();
        drop(writer);
        assert_eq!(std::io::read_to_string(from).unwrap(), "read again");
    }

    #[test]
    fn a_stopped_reader_ends_with_the_bytes_that_were_written_before() {
        let (from, mut output) = pipe().unwrap();
        let (stop, mut stopper) = pipe().unwrap();
        output.write_all(b"last words").unwrap();
        stopper.write_all(&[0]).unwrap();
        let mut reader = Stoppable::new(from, &stop);
        let mut first = [0; 4];
        reader.read_exact(&mut first).unwrap();
        output.write_all(b" of another").unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!((&first, &*rest), (b"last", " words"));
    }

    #[test]
    fn a_reader_ends_where_its_output_ends() {
        let (from, mut output) = pipe().unwrap();
        let (stop, _stopper) = pipe().unwrap();
        output.write_all(b"all").unwrap();
        drop(output);
        let mut all = String::new();
        Stoppable::new(from, &stop).read_to_string(&mut all).unwrap();
        assert_eq!(all, "all");
    }
}
