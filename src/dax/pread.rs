//! Reads of a file by system calls, where a mapping would raise SIGBUS.

use super::latch::Failure;
use super::system::files;
use super::{DaxView, Error, ErrorKind};
use crate::medium::Readable;
use crate::system::calls::uninterrupted;
use core::sync::atomic::Ordering;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A file that is read by `pread(2)`, for salvage and for files with a failed mapping. Bytes that the medium has lost
/// fail only the read that touches them.
///
/// Readers of a store or a journal run on it unchanged, so that a bad block costs one blob or record, not the whole
/// file. On a machine with [aliasing data caches](crate::aliasing), drop the mapping first.
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
    /// The first error that is not about single bytes.
    failed: OnceLock<Error>,
}

impl PreadFile {
    /// Reads a file from `offset` up to its current end.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], if it is not a regular file: device DAX cannot be read by system calls.
    /// [`ErrorKind::Os`], if the file's length cannot be asked for.
    pub fn new(file: File, offset: u64) -> Result<Self, Error> {
        let path = files::name_of(&file);
        let found = uninterrupted(|| file.metadata())
            .map_err(|error| Error::os(&path, files::METADATA, &error))?;
        if !found.is_file() {
            return Err(Error::unsupported(&path, "cannot be read by system calls; map it"));
        }
        let len = found.len().saturating_sub(offset);
        Ok(Self { file, offset, len, path, failed: OnceLock::new() })
    }

    /// Reads the bytes of a view, even if its mapping has failed. Each read of device DAX fails.
    ///
    /// # Errors
    /// [`ErrorKind::Os`], if this process has no descriptor left.
    pub fn of(view: &DaxView) -> Result<Self, Error> {
        let path = view.path().to_path_buf();
        let file = view.file.try_clone().map_err(|error| Error::os(&path, "dup", &error))?;
        Ok(Self { file, offset: view.offset(), len: view.len(), path, failed: OnceLock::new() })
    }

    /// Returns the meaning of a failed read: bytes are bad, or the file has shrunk, which ends its use.
    #[cold]
    fn unread(&self, at: u64, len: u64, error: &io::Error) -> Error {
        if is_of_bytes(error) {
            return Error::new(&self.path, ErrorKind::Poisoned { at, len });
        }
        if error.kind() == io::ErrorKind::UnexpectedEof
            && let Ok(metadata) = self.file.metadata()
        {
            let needed = self.offset.saturating_add(self.len);
            return self.fail(Failure::Cut { size: metadata.len(), needed }.error(&self.path));
        }
        self.fail(Error::os(&self.path, "pread", error))
    }

    fn fail(&self, error: Error) -> Error {
        self.failed.get_or_init(|| error).clone()
    }
}

/// Returns true if a read failed since the medium has lost bytes.
///
/// `EIO` is the error of a known media error, `EFAULT` of one that was met while the kernel copied (`fs/dax.c`,
/// `dax_iomap_iter`), `EHWPOISON` of a page that was taken out of use.
fn is_of_bytes(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::FAULT | Errno::HWPOISON))
}

impl DaxView {
    /// Copies bytes out by `pread(2)`. It agrees with the mapping: it copies from the same pages of the page cache, or
    /// on DAX from the same memory, whose aliases are congruent wherever DAX is offered. A network file system may read
    /// from its server, but every opening has synced the file. Returns `None` if the kernel does not read this file.
    #[track_caller]
    pub(super) fn read_by_call(&self, at: u64, into: &mut [u8]) -> Option<Result<(), Error>> {
        if self.guarantee.is_device_dax {
            return None;
        }
        self.mapping.read_ahead_of(at, into.len());
        let read = self.file.read_exact_at(into, self.offset + at);
        let Err(error) = read else { return Some(self.check()) };
        if is_of_bytes(&error) {
            let kind = ErrorKind::Poisoned { at, len: into.len() as u64 };
            return Some(Err(Error::new(self.path(), kind)));
        }
        let needed = self.offset.saturating_add(self.len());
        if let Ok(found) = self.file.metadata()
            && found.len() < needed
        {
            self.mapping.fail(Failure::Cut { size: found.len(), needed });
        }
        self.check().err().map(Err)
    }
}

impl Readable for PreadFile {
    type Error = Error;

    fn len(&self) -> u64 {
        self.len
    }

    /// Reads the word by one call.
    fn try_load(&self, at: u64, _order: Ordering) -> Result<u64, Error> {
        assert!(at.is_multiple_of(8), "offset {at} is not a multiple of 8");
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// Reads by one call. So does [`pread`](Self::pread).
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], if the medium has lost bytes of the range. [`ErrorKind::Shorter`], if the file was truncated,
    /// and [`ErrorKind::Os`] otherwise; [`check`](Self::check) returns these two from then on.
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

    fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), Error>> {
        Some(self.read(at, into))
    }

    /// Fails if a read has failed for a reason other than bad bytes.
    fn check(&self) -> Result<(), Error> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::PreadFile;
    use crate::dax::{ErrorKind, Options};
    use crate::medium::Readable as _;
    use core::sync::atomic::Ordering::Relaxed;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn a_cut_file_has_failed_and_its_rest_can_be_read() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 8192], 0).unwrap();
        let read = PreadFile::new(file.try_clone().unwrap(), 4096).unwrap();
        assert_eq!((read.len(), read.try_load(8, Relaxed)), (4096, Ok(u64::from_ne_bytes([7; 8]))));
        file.set_len(4096 + 512).unwrap();
        read.read(504, &mut [0; 8]).unwrap();
        let error = read.read(504, &mut [0; 16]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { .. }), "{error}");
        read.try_load(512, Relaxed).unwrap_err();
        assert_eq!(read.try_load(8, Relaxed), Ok(u64::from_ne_bytes([7; 8])));
        assert_eq!(read.check().unwrap_err(), error);
    }

    #[test]
    fn a_mapped_file_is_read_by_calls_and_fails_when_it_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new().allow_page_granularity();
        let path = directory.path().join("file");
        let file = options.create_new(&path, 8192).unwrap();
        file.write(64, &[7; 64]);
        let mut bytes = [0; 64];
        assert_eq!(file.pread(64, &mut bytes), Some(Ok(())));
        assert_eq!(bytes, [7; 64]);
        File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
        assert_eq!(file.pread(64, &mut bytes), Some(Ok(())));
        let error = file.pread(4096, &mut bytes).unwrap().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { size: 4096, needed: 8192 }), "{error}");
        assert_eq!(file.pread(64, &mut bytes), Some(Err(error)));
    }
}
