//! One guarded file, and one guarded file system: what is open of it, and its write-back.
//!
//! # Why this file is unsafe
//! A view's own write-back leaves lines where they are if the caches are in the persistence domain (eADR). That is about a
//! loss of power, and a reset need not flush them. So the guard writes all lines of the mapping back by the view's cache.

use super::trees::Identity;
use anyhow::{Context as _, bail};
use cachemaint::cache::Cache;
use cachemaint::dax::{DaxView, Error, ErrorKind, Options, probe};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, open, syncfs};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Pages have this length, or a multiple of it.
const PAGE: usize = 4096;

/// What is open of a file.
#[derive(Debug)]
pub(super) enum Held {
    /// Nothing, as it was refused, or is not opened yet. The next look tries again.
    Nothing,
    /// A file without bytes.
    Empty,
    /// A file on DAX. Its lines are written back.
    Lines(Box<Lines>),
    /// A file on DAX with holes, or with extents that are unwritten or shared. For a store there the file system changes
    /// its tables, so the file is synced.
    Sparse(File),
    /// A file of the page cache with this number of bytes. It is synced with its file system.
    Paged(u64),
    /// A file whose sync has failed. Later syncs succeed, and the bytes are lost all the same.
    Failed,
}

/// The outcome of a write-back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Written(Written),
    /// Nothing was written back, as the file has another size than when it was mapped.
    Resized(u64),
    Empty,
    /// Nothing was written back.
    None,
}

#[derive(Debug)]
pub(super) struct Lines {
    view: DaxView,
    cache: Cache,
    /// True if the pages were accessed: until then the write-back of each is a page fault, and none in some emulators.
    is_touched: bool,
}

/// The bytes and lines that were written back, dirty or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) lines: u64,
}

impl Held {
    /// Opens a file, which makes its size, blocks and name durable. It is `Nothing` if another file has the path by now.
    pub(super) fn open(
        path: &Path,
        identity: Identity,
        bytes: u64,
        page_cache: bool,
    ) -> Result<Self, Error> {
        let is_same = |file: &File| Identity::of(file).is_ok_and(|found| found == identity);
        let error = match Options::new().view(path) {
            Ok(view) if is_same(view.file()) => return Ok(Lines::of(view)),
            Ok(_) => return Ok(Self::Nothing),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::PageGranular(_) if page_cache => {
                let is_there = open_to_sync(path).is_some_and(|file| is_same(&file));
                Ok(if is_there { Self::Paged(bytes) } else { Self::Nothing })
            }
            // The kernel writes no lines back there (Linux `drivers/dax/super.c`, `dax_flush`).
            ErrorKind::NotAllocated { .. } if probe(path)?.is_eadr() => Err(error),
            ErrorKind::NotAllocated { .. } => {
                Ok(open_to_sync(path).filter(is_same).map_or(Self::Nothing, Self::Sparse))
            }
            // It was emptied, removed or replaced since the look.
            ErrorKind::Shorter { size: 0, .. } | ErrorKind::NotFound | ErrorKind::NotAFile => {
                Ok(Self::Nothing)
            }
            _ => Err(error),
        }
    }

    /// Takes what a look has opened of the same file. Of a file that has holes still, the older descriptor is kept: a
    /// failed write may be reported to that one alone.
    pub(super) fn renew(&mut self, opened: Self) {
        if !matches!((&*self, &opened), (Self::Sparse(_), Self::Sparse(_))) {
            *self = opened;
        }
    }

    /// Closes what was open when it failed.
    pub(super) fn fail(&mut self) {
        *self = if matches!(self, Self::Sparse(_)) { Self::Failed } else { Self::Nothing };
    }

    /// Writes all bytes back that are visible to this CPU, unless it is synced with its file system.
    pub(super) fn write_back(&mut self) -> anyhow::Result<Outcome> {
        match self {
            Self::Lines(lines) => {
                let size = lines.view.file().metadata()?.len();
                if size != lines.view.len() {
                    return Ok(Outcome::Resized(size));
                }
                lines.pass_over()?;
                let lines = size.div_ceil(lines.cache.line_size() as u64);
                Ok(Outcome::Written(Written { bytes: size, lines }))
            }
            Self::Sparse(file) => {
                file.sync_data().context("its bytes may be lost, as its sync failed")?;
                let metadata = file.metadata()?;
                // The unit of stat(2), `st_blocks`.
                let bytes = metadata.len().min(metadata.blocks().saturating_mul(512));
                Ok(Outcome::Written(Written { bytes, lines: 0 }))
            }
            Self::Empty => Ok(Outcome::Empty),
            Self::Nothing | Self::Paged(_) | Self::Failed => Ok(Outcome::None),
        }
    }
}

impl Lines {
    fn of(view: DaxView) -> Held {
        match view.cache() {
            Some(cache) => Held::Lines(Box::new(Self { view, cache, is_touched: false })),
            None => Held::Nothing,
        }
    }

    /// Writes all lines of the mapping back, and completes that.
    ///
    /// # Errors
    /// If the file was cut meanwhile, or its medium has lost bytes: the view is of no use then.
    fn pass_over(&mut self) -> Result<(), Error> {
        let Self { view, cache, is_touched } = self;
        let len = usize::try_from(view.len()).unwrap_or(usize::MAX);
        if !*is_touched {
            (0..view.len()).step_by(PAGE).try_for_each(|at| view.read(at, &mut [0]))?;
        }
        cache.order_observed();
        // SAFETY: (1) the range is the whole mapping, which can be read.
        unsafe { cache.writeback_range(view.as_ptr(0), len) };
        view.check()?;
        *is_touched = true;
        Ok(())
    }
}

fn open_to_sync(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok().map(File::from)
}

/// A file system with files of the page cache.
#[derive(Debug)]
pub(super) struct FileSystem {
    /// One of its files. The kernel reports a failed write of any file there to a descriptor that is older.
    file: File,
    has_failed: bool,
}

impl FileSystem {
    /// Returns the file system of a file, if the path is that of this file still.
    pub(super) fn of(path: &Path, identity: Identity) -> Option<Self> {
        let file = open_to_sync(path)?;
        let is_same = Identity::of(&file).is_ok_and(|found| found == identity);
        is_same.then_some(Self { file, has_failed: false })
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Makes all bytes, sizes and names durable that any program has stored there.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        let synced = self.try_to_sync();
        self.has_failed = synced.is_err();
        synced
    }

    fn try_to_sync(&self) -> anyhow::Result<()> {
        let lost = "bytes of some file of its file system may be lost, as a sync of it failed";
        syncfs(&self.file).context(lost)?;
        // xfs flushes the device in `syncfs` only if its log has something to write (Linux `fs/xfs/xfs_log.c`,
        // `xfs_log_force`), and in this call in any case (`fs/xfs/xfs_file.c`, `xfs_file_fsync`).
        self.file.sync_data().context(lost)?;
        // A sync of a file system that has become read-only after a failure does nothing (Linux, `fs/sync.c`).
        if fstatvfs(&self.file)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            bail!("its file system is read-only");
        }
        Ok(())
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::{Held, Lines, Outcome};
    use cachemaint::cache::Cache;
    use cachemaint::dax::{ErrorKind, FaultHandler, Options};
    use std::fs;

    /// The pages of the page cache have lines, too. A write-back of a missing page raises a signal.
    #[test]
    fn a_file_that_is_cut_during_a_pass_is_an_error_and_one_with_another_size_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("buffer");
        fs::write(&path, vec![1; 100_000]).unwrap();
        let view = Options::new().allow_page_granularity().view(&path).unwrap();
        FaultHandler::install().unwrap();
        let mut lines = Lines { view, cache: Cache::host().unwrap(), is_touched: false };
        lines.pass_over().unwrap();
        assert!(lines.is_touched);

        fs::File::options().write(true).open(&path).unwrap().set_len(10_000).unwrap();
        let error = lines.pass_over().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { .. }), "{error}");
        let written = Held::Lines(Box::new(lines)).write_back().unwrap();
        assert_eq!(written, Outcome::Resized(10_000));
    }
}
