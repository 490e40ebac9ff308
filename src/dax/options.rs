//! How a file is opened, and what it gets.

use super::error::{Error, ErrorKind};
use super::mapping::Mapping;
use super::system::{Host, Mapper, files};
use super::taint::Tainted;
use super::{DaxFile, Guarantee, Writeback, file};
use crate::arch::{Point, Unsupported};
use crate::cache::Cache;
use crate::medium::Granularity;
use std::fs::File;
use std::io;
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

    /// Maps from this offset on, in bytes; it must be a multiple of the page size, or of a larger
    /// [alignment](Guarantee::alignment) that the file has.
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

    /// Takes page granularity where there is no finer one: `msync` on the page cache, or the system's
    /// calls for it, which is the best that an ordinary file gets. [`DaxFile::guarantee`] tells.
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
        self.create_on::<Host>(path.as_ref(), len)
    }

    /// Opens a file that exists, or under Linux a device of [device DAX](crate::dax#device-dax), locks it
    /// and maps it.
    ///
    /// # Errors
    /// If it is neither, is a symbolic link, is locked, is shorter than asked, cannot be read
    /// and written by this user, or gets only page granularity. The file is as it was then.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DaxFile, Error> {
        self.open_on::<Host>(path.as_ref())
    }

    pub(super) fn create_on<M: Mapper>(&self, path: &Path, len: u64) -> Result<DaxFile, Error> {
        file::check_new_len(path, len)?;
        let page = files::page_size() as u64;
        let mapped_len = file::checked_len(len, self.offset, self.len, page)
            .map_err(|kind| Error::new(path, kind))?;
        let file = file::create(path)?;
        match self.fill_and_map::<M>(path, &file, len, mapped_len) {
            Ok(mapped) => Ok(mapped.into_file(path, file, self.offset)),
            Err(error) => {
                files::remove_own(path, file);
                Err(error)
            }
        }
    }

    /// Whether the medium will do is asked of the empty file, before it is filled.
    fn fill_and_map<M: Mapper>(
        &self,
        path: &Path,
        file: &File,
        len: u64,
        mapped_len: usize,
    ) -> Result<Mapped, Error> {
        file::lock_new(path, file)?;
        let chosen = self.choose::<M>(path, file)?;
        file::fill::<M>(path, file, len)?;
        self.map::<M>(path, file, mapped_len, chosen)
    }

    pub(super) fn open_on<M: Mapper>(&self, path: &Path) -> Result<DaxFile, Error> {
        let (file, len) = file::open::<M>(path, self.offset, self.len)?;
        let chosen = self.choose::<M>(path, &file)?;
        Ok(self.map::<M>(path, &file, len, chosen)?.into_file(path, file, self.offset))
    }

    fn map<M: Mapper>(
        &self,
        path: &Path,
        file: &File,
        len: usize,
        (guarantee, writeback): (Guarantee, Writeback),
    ) -> Result<Mapped, Error> {
        let mapping = M::map(path, file, self.offset, len, writeback)?;
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
    fn choose<M: Mapper>(&self, path: &Path, file: &File) -> Result<(Guarantee, Writeback), Error> {
        let cache = self.persistent_cache();
        let guarantee = M::guarantee(path, file, cache.ok())?;
        let writeback = match (guarantee.granularity(), cache) {
            (Granularity::Byte, Ok(cache)) => Writeback::Fence(cache),
            (Granularity::Line(_), Ok(cache)) => Writeback::Lines(cache),
            (Granularity::Page(_), _) if self.allow_page_granularity => Writeback::Pages,
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
    fn into_file(self, path: &Path, file: File, offset: u64) -> DaxFile {
        let Self { mapping, writeback, guarantee } = self;
        DaxFile {
            mapping,
            writeback,
            guarantee,
            offset,
            path: path.to_path_buf(),
            file,
            taint: Tainted::default(),
            #[cfg(target_os = "linux")]
            met: super::faults::Met::default(),
        }
    }
}

/// What a file at `path` gets, without opening it for use: nothing is locked, written or created.
/// For a directory it is what a new file in it would get.
///
/// # Errors
/// If there is nothing at the path, or it cannot be opened by this user.
pub fn probe(path: impl AsRef<Path>) -> Result<Guarantee, Error> {
    probe_on::<Host>(path.as_ref())
}

pub(super) fn probe_on<M: Mapper>(path: &Path) -> Result<Guarantee, Error> {
    // Here links are followed, so an error that tells of one says that there are too many of them.
    let opening = |error: io::Error| match files::meaning(&error) {
        Some(ErrorKind::SymbolicLink) => Error::os(path, "open", &error),
        _ => Error::opening(path, &error),
    };
    // What is neither is not opened: that does something to some devices.
    let there = path.metadata().map_err(opening)?;
    let cache = Cache::host().and_then(|cache| cache.to(Point::Persistence)).ok();
    if there.is_dir() {
        return M::guarantee_in(path, cache);
    }
    if !there.is_file() && !M::is_mappable(path, &there)? {
        return Err(Error::new(path, ErrorKind::NotRegular));
    }
    let file = files::open_to_look(path).map_err(opening)?;
    M::guarantee(path, &file, cache)
}
