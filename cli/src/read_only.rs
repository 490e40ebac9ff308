//! Files that are only read: also those that another process writes meanwhile and, on 64-bit CPUs, those that this user may
//! only read.

#[cfg(target_os = "linux")]
use cachemaint::dax::PreadFile;
use cachemaint::dax::{DaxFile, DaxView, Error, ErrorKind, Lock, Options};
use cachemaint::medium::Readable;
use core::borrow::Borrow;
use core::sync::atomic::Ordering;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A file that is read through its mapping until that fails, and then by calls of the operating system: a bad block or a
/// missing page is an error of the reads that meet it, and not of the file. Nothing that a failed mapping shows is returned.
pub(crate) struct ReadOnly {
    opened: Opened,
    #[cfg(target_os = "linux")]
    calls: PreadFile,
    skips_bad_blocks: bool,
    /// The error of a load, which cannot return it; of a read, if it is about more than its bytes; or of the first bad
    /// block that was skipped.
    failed: Mutex<Option<Error>>,
}

enum Opened {
    View(DaxView),
    /// A file that is open for writing, on a 32-bit CPU, and that is not written.
    Writable(DaxFile),
}

impl Borrow<DaxView> for Opened {
    fn borrow(&self) -> &DaxView {
        match self {
            Self::View(view) => view,
            Self::Writable(file) => file.view(),
        }
    }
}

impl Borrow<DaxView> for ReadOnly {
    fn borrow(&self) -> &DaxView {
        self.view()
    }
}

impl ReadOnly {
    /// Opens a file of any granularity: reading does not need a guarantee.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let options = Options::new().allow_page_granularity();
        let opened = match options.view(path) {
            // A load of a word may be a store there.
            Err(error)
                if cfg!(target_pointer_width = "32") && *error.kind() == ErrorKind::Unsupported =>
            {
                Opened::Writable(options.lock(Lock::Off).open(path)?)
            }
            viewed => Opened::View(viewed?),
        };
        Ok(Self {
            #[cfg(target_os = "linux")]
            calls: PreadFile::of(opened.borrow())?,
            opened,
            skips_bad_blocks: false,
            failed: Mutex::default(),
        })
    }

    /// Has bytes that the medium has lost read as zeros, for readers that prove each item by its tag and look for the next
    /// one. They ask for [`bad_block`](Self::bad_block) at the end.
    pub(crate) const fn skip_bad_blocks(mut self) -> Self {
        self.skips_bad_blocks = true;
        self
    }

    pub(crate) fn view(&self) -> &DaxView {
        self.opened.borrow()
    }

    /// Returns the error of the first bad block that was skipped.
    pub(crate) fn bad_block(&self) -> Option<Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    #[cfg(target_os = "linux")]
    fn read_by_calls(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        let read = self.calls.read(at, into);
        if let Err(error) = &read
            && self.is_skipped(error)
        {
            into.fill(0);
            self.note(error.clone());
            return Ok(());
        }
        read
    }

    /// No mapping fails by a read here.
    #[cfg(not(target_os = "linux"))]
    fn read_by_calls(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
        self.view().check()
    }

    fn is_skipped(&self, error: &Error) -> bool {
        self.skips_bad_blocks && is_bad_block(error)
    }

    fn note(&self, error: Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() || !self.is_skipped(&error) {
            *failed = Some(error);
        }
    }
}

impl Readable for ReadOnly {
    type Error = Error;

    fn len(&self) -> u64 {
        self.view().len()
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        let word = self.view().load(at, order);
        if self.view().check().is_ok() {
            return word;
        }
        let mut bytes = [0; 8];
        if let Err(error) = self.read_by_calls(at, &mut bytes) {
            self.note(error);
            return 0;
        }
        u64::from_le_bytes(bytes)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        if self.view().read(at, into).is_ok() {
            return Ok(());
        }
        self.read_by_calls(at, into).inspect_err(|error| {
            if !is_bad_block(error) {
                self.note(error.clone());
            }
        })
    }

    /// Fails if a load since the last call could not read its word, or a read met the end of a file that was cut.
    fn check(&self) -> Result<(), Error> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.take_if(|error| !self.is_skipped(error)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

const fn is_bad_block(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Poisoned { .. })
}

#[cfg(test)]
mod tests {
    use super::ReadOnly;
    use cachemaint::dax::Options;
    use cachemaint::medium::Readable as _;
    use core::sync::atomic::Ordering;

    /// A 32-bit CPU needs the right to write for it.
    #[test]
    fn a_file_is_read_beside_its_writer_on_every_cpu() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let writer = Options::new().allow_page_granularity().create_new(&path, 4096).unwrap();
        writer.store(8, 42, Ordering::Relaxed);
        let read_only = ReadOnly::open(&path).unwrap();
        assert_eq!(read_only.load(8, Ordering::Relaxed), 42);
    }
}

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod fault_tests {
    use super::ReadOnly;
    use cachemaint::dax::{ErrorKind, FaultHandler};
    use cachemaint::medium::Readable as _;
    use cachemaint_test_support::failing_calls::fail_calls;
    use cachemaint_test_support::skip::skip;
    use core::sync::atomic::Ordering::Relaxed;
    use std::thread;

    const CUT: u64 = 1 << 19;

    /// Opens a file of ones, and cuts it.
    fn cut() -> anyhow::Result<ReadOnly> {
        FaultHandler::install()?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), vec![1; 1 << 20])?;
        let read_only = ReadOnly::open(file.path())?;
        file.as_file().set_len(CUT)?;
        Ok(read_only)
    }

    #[test]
    fn bytes_before_a_cut_are_read_and_those_behind_it_are_errors() {
        let file = cut().unwrap();
        let mut bytes = [0; 64];
        let error = file.read(CUT, &mut bytes).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { size: CUT, .. }), "{error}");
        assert_eq!(file.check().unwrap_err(), error);
        file.read(CUT - 64, &mut bytes).unwrap();
        assert_eq!(bytes, [1; 64]);
        assert_eq!(file.load(0, Relaxed).to_le_bytes(), [1; 8]);
        file.check().unwrap();
        assert_eq!(file.load(2 * CUT - 8, Relaxed), 0);
        let error = file.check().unwrap_err().to_string();
        assert!(error.contains(": was cut to 524288 bytes while it was open; "), "{error}");
        file.check().unwrap();
    }

    /// The filter of system calls stays with its thread.
    #[test]
    fn a_bad_block_is_an_error_of_its_reads_or_skipped_if_that_was_asked_for() {
        let work = || {
            let (strict, skipping) = (cut().unwrap(), cut().unwrap().skip_bad_blocks());
            let mut bytes = [7; 64];
            for file in [&strict, &skipping] {
                file.read(CUT, &mut bytes).unwrap_err();
                file.check().unwrap_err();
            }
            if !fail_calls(libc::SYS_pread64, None, libc::EIO) {
                return skip("a_bad_block_is_an_error_of_its_reads", "no filter is to be had");
            }
            let is_bad = |error: &cachemaint::dax::Error| {
                matches!(error.kind(), ErrorKind::Poisoned { at: 64, .. })
            };
            assert!(is_bad(&strict.read(64, &mut bytes).unwrap_err()));
            assert_eq!(strict.load(64, Relaxed), 0);
            assert!(is_bad(&strict.check().unwrap_err()));
            assert!(strict.check().is_ok() && strict.bad_block().is_none());

            assert_eq!(skipping.load(64, Relaxed), 0);
            skipping.read(128, &mut bytes).unwrap();
            assert_eq!(bytes, [0; 64]);
            skipping.check().unwrap();
            assert!(is_bad(&skipping.bad_block().unwrap()));
        };
        // User-mode emulation filters no system calls.
        if std::env::var_os("CACHEMAINT_EXPECT").is_none() {
            thread::scope(|scope| scope.spawn(work).join()).unwrap();
        }
    }
}
