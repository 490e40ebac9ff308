//! Reads of a file by calls of the operating system, where a mapping would raise SIGBUS.

use super::latch::Failure;
use super::system::files;
use super::{DaxView, Error, ErrorKind};
use crate::medium::Readable;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// A file that is read by `pread(2)`: bytes that the medium has lost are an error of that read alone. For salvage, and for
/// reading a file whose mapping has failed.
///
/// A reader of a store or a journal runs on it unchanged, so that a bad block costs one blob or record and not the file. On
/// a machine whose [data cache aliases](crate::aliasing) drop the mapping first.
///
/// ```
/// use cachemaint::{dax::PreadFile, medium::Readable};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = tempfile::tempfile()?;
/// # file.set_len(4096)?;
/// let file = PreadFile::new(file, 0)?; // or `PreadFile::of(&view)`
/// let mut bytes = [0; 64];
/// file.read(128, &mut bytes)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PreadFile {
    file: File,
    offset: u64,
    len: u64,
    path: PathBuf,
    /// The failures of loads, which cannot return them, with the threads that have to know.
    failed: Mutex<Vec<(ThreadId, Error)>>,
}

impl PreadFile {
    /// Reads a file from `offset` on, up to the end that it has now.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], if it is no regular file: a device of device DAX cannot be read by calls.
    /// [`ErrorKind::Os`], if the file's length cannot be asked for.
    pub fn new(file: File, offset: u64) -> Result<Self, Error> {
        let path = files::name_of(&file);
        let found = file.metadata().map_err(|error| Error::os(&path, files::METADATA, &error))?;
        if !found.is_file() {
            return Err(Error::unsupported(&path, "cannot be read by calls; map it"));
        }
        let len = found.len().saturating_sub(offset);
        Ok(Self { file, offset, len, path, failed: Mutex::default() })
    }

    /// Reads the bytes of a view, also when its mapping has failed. Each read of device DAX is an error.
    ///
    /// # Errors
    /// [`ErrorKind::Os`], if this process has no descriptor left.
    pub fn of(view: &DaxView) -> Result<Self, Error> {
        let path = view.path().to_path_buf();
        let file = view.file().try_clone().map_err(|error| Error::os(&path, "dup", &error))?;
        Ok(Self { file, offset: view.offset(), len: view.len(), path, failed: Mutex::default() })
    }

    fn failed(&self) -> MutexGuard<'_, Vec<(ThreadId, Error)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the meaning of a failed read: bytes can be bad, and the file can have shrunk.
    #[cold]
    fn unread(&self, at: u64, len: u64, error: &io::Error) -> Error {
        // `EIO` is the error of a known media error, `EFAULT` of one that was met while the kernel copied (`fs/dax.c`,
        // `dax_iomap_iter`), `EHWPOISON` of a page that was taken out of use.
        if let Some(Errno::IO | Errno::FAULT | Errno::HWPOISON) = Errno::from_io_error(error) {
            return Error::new(&self.path, ErrorKind::Poisoned { at, len });
        }
        if error.kind() == io::ErrorKind::UnexpectedEof
            && let Ok(metadata) = self.file.metadata()
        {
            let needed = self.offset.saturating_add(self.len);
            return Failure::Cut { size: metadata.len(), needed }.error(&self.path);
        }
        Error::os(&self.path, "pread", error)
    }
}

impl Readable for PreadFile {
    type Error = Error;

    fn len(&self) -> u64 {
        self.len
    }

    /// Returns the word. If it cannot be read, returns 0, and the next [`check`](Self::check) fails.
    fn load(&self, at: u64, _order: Ordering) -> u64 {
        assert!(at.is_multiple_of(8), "offset {at} is not a multiple of 8");
        let mut word = [0; 8];
        if let Err(error) = self.read(at, &mut word) {
            self.failed().push((thread::current().id(), error));
            return 0;
        }
        u64::from_le_bytes(word)
    }

    /// Reads by one call.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], if the medium has lost bytes of the range; [`ErrorKind::Shorter`], if the file was cut;
    /// [`ErrorKind::Os`] otherwise.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        let len = into.len() as u64;
        assert!(
            at.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at offset {at} are out of range: the file has {} bytes",
            self.len
        );
        let read = self.file.read_exact_at(into, self.offset + at);
        read.map_err(|error| self.unread(at, len, &error))
    }

    /// Fails if a load of this thread could not read its word since the last call of it.
    fn check(&self) -> Result<(), Error> {
        let (mut failed, this) = (self.failed(), thread::current().id());
        let own = failed.iter().position(|(thread, _)| *thread == this);
        let Some(first) = own.map(|at| failed.remove(at).1) else { return Ok(()) };
        failed.retain(|(thread, _)| *thread != this);
        Err(first)
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::PreadFile;
    use crate::dax::ErrorKind;
    use crate::medium::Readable as _;
    use core::sync::atomic::Ordering::Relaxed;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn a_load_that_fails_is_the_error_of_the_next_check_alone() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 8192], 0).unwrap();
        let read = PreadFile::new(file.try_clone().unwrap(), 4096).unwrap();
        assert_eq!((read.len(), read.load(8, Relaxed)), (4096, u64::from_ne_bytes([7; 8])));
        file.set_len(4096 + 512).unwrap();
        read.read(504, &mut [0; 8]).unwrap();
        let error = read.read(504, &mut [0; 16]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { .. }), "{error}");
        read.check().unwrap();
        assert_eq!(
            (read.load(512, Relaxed), read.load(8, Relaxed)),
            (0, u64::from_ne_bytes([7; 8]))
        );
        assert!(matches!(read.check().unwrap_err().kind(), ErrorKind::Shorter { .. }));
        read.check().unwrap();
    }
}
