//! Files that are only read: also those that another process writes meanwhile, and those that this user may only read.

use cachemaint::dax::{DaxView, Error, Options};
#[cfg(target_os = "linux")]
use cachemaint::dax::{ErrorKind, PreadFile};
use cachemaint::medium::Readable;
use cachemaint_inspect::FileReport;
use core::sync::atomic::Ordering;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::sync::OnceLock;

/// A file that is read through its mapping until that fails, and then by calls of the operating system: a bad block or a
/// missing page is an error of the reads that meet it, and not of the file. Nothing that a failed mapping shows is returned.
///
/// Where that is not possible it is only read by calls. On overlayfs a mapping of a lower layer's file never shows later stores,
/// and opening the file for writing would copy it up. On a 32-bit CPU the load of a word may be a store.
pub(crate) struct ReadOnly {
    opened: Opened,
    #[cfg(target_os = "linux")]
    calls: PreadFile,
    skips_bad_blocks: bool,
    /// The error of the first bad block that was met.
    bad_block: OnceLock<Error>,
}

enum Opened {
    View(Box<DaxView>),
    /// The path of the file.
    #[cfg(target_os = "linux")]
    Calls(PathBuf),
}

impl ReadOnly {
    /// Opens a file of any granularity: reading does not need a guarantee.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        #[cfg(target_os = "linux")]
        if let Some(calls) = unmapped(path)? {
            let opened = Opened::Calls(path.to_path_buf());
            return Ok(Self { opened, calls, skips_bad_blocks: false, bad_block: OnceLock::new() });
        }
        let view = Options::new().allow_page_granularity().view(path)?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            calls: PreadFile::of(&view)?,
            opened: Opened::View(Box::new(view)),
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

    /// Returns the mapping, if there is one.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::unnecessary_wraps, reason = "the signature is that of Linux")
    )]
    pub(crate) fn view(&self) -> Option<&DaxView> {
        match &self.opened {
            Opened::View(view) => Some(view),
            #[cfg(target_os = "linux")]
            Opened::Calls(_) => None,
        }
    }

    /// Asks about the file.
    pub(crate) fn report(&self) -> Result<FileReport, Error> {
        match &self.opened {
            Opened::View(view) => FileReport::of(view),
            #[cfg(target_os = "linux")]
            Opened::Calls(path) => FileReport::at(path),
        }
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
        self.check()
    }
}

/// Opens a file with bytes that is not to be mapped. Returns `None` for any other file.
#[cfg(target_os = "linux")]
fn unmapped(path: &Path) -> Result<Option<PreadFile>, Error> {
    use rustix::fs::{Mode, OFlags, open, statfs};
    use std::fs::File;

    // `OVERLAYFS_SUPER_MAGIC` (Linux `include/uapi/linux/magic.h`).
    const OVERLAYFS: i128 = 0x794c_7630;

    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() > 0);
    let is_on_overlay = || statfs(path).is_ok_and(|found| i128::from(found.f_type) == OVERLAYFS);
    if !is_file || !(cfg!(target_pointer_width = "32") || is_on_overlay()) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        open(path, flags, Mode::empty()).map_err(|errno| Error::os(path, "open", &errno.into()))?;
    PreadFile::new(File::from(file), 0).map(Some)
}

impl Readable for ReadOnly {
    type Error = Error;

    fn len(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return self.calls.len();
        #[cfg(not(target_os = "linux"))]
        self.view().map_or(0, DaxView::len)
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Error> {
        if let Some(view) = self.view() {
            let word = view.load(at, order);
            if view.check().is_ok() {
                return Ok(word);
            }
        }
        let mut bytes = [0; 8];
        self.read_by_calls(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        if self.view().is_some_and(|view| view.read(at, into).is_ok()) {
            return Ok(());
        }
        self.read_by_calls(at, into)
    }

    /// Fails if the file cannot be read by calls either, for another reason than bad blocks.
    fn check(&self) -> Result<(), Error> {
        #[cfg(target_os = "linux")]
        return self.calls.check();
        #[cfg(not(target_os = "linux"))]
        self.view().map_or(Ok(()), DaxView::check)
    }
}

#[cfg(test)]
mod tests {
    use super::ReadOnly;
    use cachemaint::dax::Options;
    use cachemaint::medium::Readable as _;
    use core::sync::atomic::Ordering;

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
