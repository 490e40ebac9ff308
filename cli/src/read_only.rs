//! Files that are only read: also those that another process writes meanwhile and, on 64-bit CPUs, those that this user may
//! only read.

#[cfg(target_os = "linux")]
use cachemaint::dax::PreadFile;
use cachemaint::dax::{DaxFile, DaxView, Error, ErrorKind, Lock, Options};
use cachemaint::medium::Readable;
use core::borrow::Borrow;
use core::sync::atomic::Ordering;
use std::path::Path;
use std::sync::OnceLock;

/// A file that is read through its mapping until that fails, and then by calls of the operating system: a bad block or a
/// missing page is an error of the reads that meet it, and not of the file. Nothing that a failed mapping shows is returned.
pub(crate) struct ReadOnly {
    opened: Opened,
    #[cfg(target_os = "linux")]
    calls: PreadFile,
    skips_bad_blocks: bool,
    /// The error of the first bad block that was met.
    bad_block: OnceLock<Error>,
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
            bad_block: OnceLock::new(),
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

    /// Returns the error of the first bad block that was met.
    pub(crate) fn bad_block(&self) -> Option<&Error> {
        self.bad_block.get()
    }

    #[cfg(target_os = "linux")]
    fn read_by_calls(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        let read = self.calls.read(at, into);
        if let Err(error) = &read
            && matches!(error.kind(), ErrorKind::Poisoned { .. })
        {
            self.bad_block.get_or_init(|| error.clone());
            if self.skips_bad_blocks {
                into.fill(0);
                return Ok(());
            }
        }
        read
    }

    /// No mapping fails by a read here.
    #[cfg(not(target_os = "linux"))]
    fn read_by_calls(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
        self.view().check()
    }
}

impl Readable for ReadOnly {
    type Error = Error;

    fn len(&self) -> u64 {
        self.view().len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Error> {
        let word = self.view().load(at, order);
        if self.view().check().is_ok() {
            return Ok(word);
        }
        let mut bytes = [0; 8];
        self.read_by_calls(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        if self.view().read(at, into).is_ok() {
            return Ok(());
        }
        self.read_by_calls(at, into)
    }

    /// Fails if the file cannot be read by calls either, for another reason than bad blocks.
    fn check(&self) -> Result<(), Error> {
        #[cfg(target_os = "linux")]
        return self.calls.check();
        #[cfg(not(target_os = "linux"))]
        self.view().check()
    }
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
        assert_eq!(read_only.try_load(8, Ordering::Relaxed).unwrap(), 42);
    }

    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[test]
    fn bytes_before_a_cut_are_read_and_those_behind_it_are_errors() {
        use cachemaint::dax::{ErrorKind, FaultHandler};

        const CUT: u64 = 1 << 19;
        FaultHandler::install().unwrap();
        let cut = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(cut.path(), vec![1; 1 << 20]).unwrap();
        let file = ReadOnly::open(cut.path()).unwrap();
        cut.as_file().set_len(CUT).unwrap();
        let mut bytes = [0; 64];
        let error = file.read(CUT, &mut bytes).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { size: CUT, .. }), "{error}");
        assert_eq!(file.check().unwrap_err(), error);
        file.read(CUT - 64, &mut bytes).unwrap();
        assert_eq!(bytes, [1; 64]);
        assert_eq!(file.try_load(0, Ordering::Relaxed).unwrap(), u64::from_ne_bytes([1; 8]));
        assert_eq!(file.try_load(2 * CUT - 8, Ordering::Relaxed).unwrap_err(), error);
        assert_eq!(file.check().unwrap_err(), error);
    }
}
