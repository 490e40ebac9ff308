//! How a file is opened, and what it gets.

use super::error::{Error, ErrorKind};
use super::guarantee::{self, Asked, Guarantee};
use super::mapping::{Kind, Mapping};
use super::{DaxFile, Writeback, extents, file};
use crate::arch::{Point, Unsupported};
use crate::cache::Cache;
use crate::medium::Granularity;
use crate::platform;
use crate::platform::mounts::mount_id;
use crate::platform::tree::Tree;
use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

/// How a file is opened or created.
///
/// The defaults map the whole file, and refuse it unless it can be made persistent by cache lines or
/// finer.
#[derive(Clone, Debug, Default)]
pub struct Options {
    offset: u64,
    len: Option<u64>,
    allow_page_granularity: bool,
    cache: Option<Cache>,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { offset: 0, len: None, allow_page_granularity: false, cache: None }
    }

    /// Maps from this offset on, in bytes; it must be a multiple of the page size.
    #[must_use]
    pub const fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Maps so many bytes instead of all up to the end of the file.
    #[must_use]
    pub const fn len(mut self, len: u64) -> Self {
        self.len = Some(len);
        self
    }

    /// Takes page granularity where there is no finer one: `msync` on the page cache, which is the
    /// best that an ordinary file gets. [`DaxFile::guarantee`] tells.
    #[must_use]
    pub const fn allow_page_granularity(mut self) -> Self {
        self.allow_page_granularity = true;
        self
    }

    /// Writes lines back by this handle, aimed at the point of persistence, instead of by
    /// [`Cache::host`]: for a [`Builder`](crate::Builder) that accepts coherency as persistence.
    #[must_use]
    pub const fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Creates a file of `len` zero bytes and maps it: whole, unless [`offset`](Self::offset) or
    /// [`len`](Self::len) say otherwise. Its zeros and its name are on the medium when this returns.
    ///
    /// # Errors
    /// If there is something at the path, no room, no permission, or only page granularity; nothing
    /// is left behind then.
    pub fn create(&self, path: impl AsRef<Path>, len: u64) -> Result<DaxFile, Error> {
        let path = path.as_ref();
        file::check_new_len(path, len)?;
        let page = rustix::param::page_size() as u64;
        let mapped_len = file::checked_len(len, self.offset, self.len, page)
            .map_err(|kind| Error::new(path, kind))?;
        let file = file::create(path)?;
        match self.fill_and_map(path, &file, len, mapped_len) {
            Ok(mapped) => Ok(mapped.into_file(path, file)),
            Err(error) => {
                // While it is still locked: who opens it now finds no name left when it gets the lock.
                file::remove_own(path, &file);
                Err(error)
            }
        }
    }

    /// Whether the medium will do is asked of the empty file, before it is filled.
    fn fill_and_map(
        &self,
        path: &Path,
        file: &File,
        len: u64,
        mapped_len: usize,
    ) -> Result<Mapped, Error> {
        file::lock_new(path, file)?;
        let chosen = self.choose(path, file)?;
        file::fill(path, file, len)?;
        self.map(path, file, mapped_len, chosen)
    }

    /// Opens a file that exists, locks it and maps it.
    ///
    /// # Errors
    /// If it is no regular file, is a symbolic link, is locked, is shorter than asked, cannot be read
    /// and written by this user, or gets only page granularity. The file is as it was then.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DaxFile, Error> {
        let path = path.as_ref();
        let page = rustix::param::page_size() as u64;
        let (file, len) = file::open(path, self.offset, self.len, page)?;
        let chosen = self.choose(path, &file)?;
        Ok(self.map(path, &file, len, chosen)?.into_file(path, file))
    }

    fn map(
        &self,
        path: &Path,
        file: &File,
        len: usize,
        (guarantee, writeback): (Guarantee, Writeback),
    ) -> Result<Mapped, Error> {
        let kind = match writeback {
            Writeback::Pages(_) => Kind::Shared,
            Writeback::Fence(_) | Writeback::Lines(_) => Kind::Synchronous,
        };
        if kind == Kind::Synchronous {
            require_written(path, file, self.offset, len)?;
        }
        let mapping = Mapping::new(file.as_fd(), self.offset, len, kind)
            .map_err(|errno| Error::os(path, "mmap", errno))?;
        Ok(Mapped { mapping, writeback, guarantee })
    }

    fn persistent_cache(&self) -> Result<Cache, Unsupported> {
        let cache = match self.cache {
            Some(cache) => cache,
            None => Cache::host()?,
        };
        cache.to(Point::Persistence)
    }

    /// What the medium guarantees, and how to persist on it: by lines or finer where the medium and
    /// the CPU allow it, by pages where the caller does.
    fn choose(&self, path: &Path, file: &File) -> Result<(Guarantee, Writeback), Error> {
        let cache = self.persistent_cache();
        let guarantee = ask(path, file, cache.ok())?;
        let writeback = match (guarantee.granularity(), cache) {
            (Granularity::Byte, Ok(cache)) => Writeback::Fence(cache),
            (Granularity::Line(_), Ok(cache)) => Writeback::Lines(cache),
            (Granularity::Page(page), _) if self.allow_page_granularity => Writeback::Pages(page),
            (Granularity::Page(_), _) => {
                return Err(Error::new(path, ErrorKind::PageGranular(guarantee.into())));
            }
            (Granularity::Byte | Granularity::Line(_), Err(why)) => {
                return Err(Error::new(path, ErrorKind::Unsupported(why)));
            }
        };
        Ok((guarantee, writeback))
    }
}

/// A [`DaxFile`] that does not hold its file yet.
struct Mapped {
    mapping: Mapping,
    writeback: Writeback,
    guarantee: Guarantee,
}

impl Mapped {
    fn into_file(self, path: &Path, file: File) -> DaxFile {
        let Self { mapping, writeback, guarantee } = self;
        DaxFile { mapping, writeback, guarantee, path: path.to_path_buf(), file }
    }
}

/// What a file at `path` gets, without opening it for use: nothing is locked, written or created.
/// For a directory it is what a new file in it would get.
///
/// # Errors
/// If there is nothing at the path, or it cannot be opened by this user.
pub fn probe(path: impl AsRef<Path>) -> Result<Guarantee, Error> {
    let path = path.as_ref();
    // Here links are followed, so ELOOP says that there are too many of them.
    let opening = |errno| match errno {
        Errno::LOOP => Error::os(path, "open", errno),
        errno => Error::opening(path, errno),
    };
    // What is neither is not opened: that does something to some devices.
    let there = path
        .metadata()
        .map_err(|error| opening(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let file = if there.is_dir() {
        unnamed_file_in(path)?
    } else if there.is_file() {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(opening)?)
    } else {
        return Err(Error::new(path, ErrorKind::NotRegular));
    };
    ask(path, &file, Cache::host().and_then(|cache| cache.to(Point::Persistence)).ok())
}

/// A file without a name, which is gone when it is closed.
fn unnamed_file_in(directory: &Path) -> Result<File, Error> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR).map(File::from).map_err(|errno| {
        match errno {
            Errno::OPNOTSUPP => Error::new(directory, ErrorKind::NoUnnamedFiles),
            errno => Error::opening(directory, errno),
        }
    })
}

/// Asks the kernel about an open file, and concludes.
fn ask(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error> {
    let status = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map_err(|errno| Error::os(path, "statx", errno))?;
    let tells_dax = status.stx_attributes_mask.contains(StatxAttributes::DAX);
    let (tree, page) = (Tree::host(), rustix::param::page_size());
    let asked = Asked {
        device: (status.stx_dev_major, status.stx_dev_minor),
        mount_id: mount_id(&tree, file),
        dax_attribute: tells_dax.then(|| status.stx_attributes.contains(StatxAttributes::DAX)),
        map_sync: map_sync(path, file, page)?,
        line: cache.map(Cache::line_size),
        coherency_accepted: cache.is_some_and(takes_coherency_for_persistence),
        in_guest: platform::is_guest(),
        page,
    };
    Ok(guarantee::conclude(&tree, &asked))
}

/// The kernel's answer to `MAP_SYNC`. Only these two are refusals (mmap(2)); other errors tell nothing
/// about the file.
fn map_sync(path: &Path, file: &File, page: usize) -> Result<Result<(), Errno>, Error> {
    match Mapping::probe(file.as_fd(), Kind::Synchronous, page) {
        Ok(()) => Ok(Ok(())),
        Err(refusal @ (Errno::OPNOTSUPP | Errno::INVAL)) => Ok(Err(refusal)),
        Err(errno) => Err(Error::os(path, "mmap", errno)),
    }
}

/// Whether this handle, aimed at persistence, reaches coherency only.
fn takes_coherency_for_persistence(cache: Cache) -> bool {
    cache.writeback_instruction().point < Point::Persistence
}

/// Refuses a file in which a store could still need the file system.
fn require_written(path: &Path, file: &File, offset: u64, len: usize) -> Result<(), Error> {
    match extents::first_unwritten(file, offset, len as u64) {
        Ok(None) => Ok(()),
        Ok(Some(found)) => {
            Err(Error::new(path, ErrorKind::NotAllocated { at: found.at, what: found.what }))
        }
        Err(errno) => Err(Error::os(path, "FIEMAP", errno)),
    }
}
