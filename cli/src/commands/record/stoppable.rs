//! The output of a program, which other processes can keep open after its end.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{ioctl_fionread, retry_on_intr};
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;

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

#[cfg(test)]
mod tests {
    use super::Stoppable;
    use std::io::{Read as _, Write as _, pipe};

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
