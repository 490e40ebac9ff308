//! Opening and creating files.

use super::error::Error;
#[cfg(doc)]
use super::error::ErrorKind;
use super::open_file::Lock;
use super::opening::decided;
use super::system::{self, Access, FileFacts, Part, files, host};
use super::{DaxFile, DaxView, Guarantee};
use crate::cache::Cache;
use std::fs::File;
use std::path::Path;

/// Options for opening and creating files.
///
/// The defaults map the whole file, and refuse it if it can only be persisted in whole pages.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// use cachemaint::dax::{Lock, Options};
///
/// let options = Options::new().allow_page_granularity().lock(Lock::Exclusive);
/// let file = options.create_new(&path, 8192)?;
/// assert!(options.open(&path).is_err(), "the first one holds the lock");
/// drop(file);
/// let second_page = options.offset(4096).open(&path)?;
/// assert_eq!(second_page.len(), 4096);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) offset: u64,
    pub(super) len: Option<u64>,
    pub(super) takes_pages: bool,
    pub(super) populate: bool,
    pub(super) lock: Option<Lock>,
    pub(super) cache: Option<Cache>,
    pub(super) drops_cached: bool,
}

impl Options {
    /// Returns the default options.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            offset: 0,
            len: None,
            takes_pages: false,
            populate: false,
            lock: None,
            cache: None,
            drops_cached: false,
        }
    }

    /// Maps from this offset on, in bytes. The offset must be a multiple of the page size, or of the file's
    /// [alignment](Guarantee::alignment) if that is larger.
    #[must_use]
    pub const fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Maps this number of bytes, instead of all bytes up to the end of the file.
    #[must_use]
    pub const fn len(mut self, len: u64) -> Self {
        self.len = Some(len);
        self
    }

    /// Accepts a file that is persisted in whole pages (`msync` on the page cache, or the system's equivalent), as
    /// every file outside DAX is. [`DaxView::guarantee`] reports the granularity.
    #[must_use]
    pub const fn allow_page_granularity(mut self) -> Self {
        self.takes_pages = true;
        self
    }

    /// Makes every page accessible before the call returns, so that no access waits for a page fault. Needs Linux 5.14
    /// (`madvise`, `MADV_POPULATE_WRITE`, for views `MADV_POPULATE_READ`).
    ///
    /// If an access to a page would end the process, this is an error instead: a page with a media error, or a hole for
    /// which a full file system has no block. Nothing is promised for later accesses.
    ///
    /// # Cost
    /// Each page is touched: pages of the page cache are read from the medium, and holes get blocks.
    #[doc(alias("prefault", "MAP_POPULATE"))]
    #[must_use]
    pub const fn populate(mut self) -> Self {
        self.populate = true;
        self
    }

    /// Drops the file's clean pages from the page cache when it is mapped, under Linux where the cache has [large
    /// folios](super#pages-of-the-page-cache-on-linux). Use it for a file that another program has written or read.
    ///
    /// # Cost
    /// One system call. The pages are read from the medium again.
    #[doc(alias("POSIX_FADV_DONTNEED"))]
    #[must_use]
    pub const fn drop_cached_pages(mut self) -> Self {
        self.drops_cached = true;
        self
    }

    /// Takes this lock. The default is [`Lock::Exclusive`] for a file, and [`Lock::Off`] for a view.
    #[must_use]
    pub const fn lock(mut self, lock: Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Writes lines back with this handle instead of [`Cache::host`], aimed at the
    /// [point](Guarantee::point) that the file needs. Use it with a [`Builder`](crate::cache::Builder)
    /// that accepts coherency as persistence.
    #[must_use]
    pub const fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Creates a file of `len` zero bytes and maps it, the whole file unless [`offset`](Self::offset) or
    /// [`len`](Self::len) say otherwise. Its zeros and its name are on the medium when this returns.
    ///
    /// The file gets its name once all its zeros are on the medium, so a crash leaves either no file at the path, or
    /// the complete one. [Limits](super#limits) has the exceptions.
    ///
    /// # Errors
    /// If something exists at the path already ([`ErrorKind::Exists`]), space or permission is missing, or the
    /// granularity is too coarse. No file is left then.
    pub fn create_new(&self, path: impl AsRef<Path>, len: u64) -> Result<DaxFile, Error> {
        self.create(path.as_ref(), len)
    }

    /// Opens an existing file, or under Linux a device DAX, locks it and maps it.
    ///
    /// The file (`fsync`) and then its directory are synced before the file is mapped. When this returns, its bytes,
    /// length, blocks and name are durable, whichever program made them. A directory that this user may not read is not
    /// synced. The directories above it are up to the caller.
    ///
    /// # Errors
    /// If the path is neither, or is a symbolic link, or this user cannot read and write it. If the file is locked, is
    /// shorter than asked for, or has too coarse a granularity. [`ErrorKind::NotAllocated`], if the file is persisted
    /// line by line and has a hole, an extent that was never written, or one that is shared with another file.
    ///
    /// [`ErrorKind::Writeback`], if the file cannot be synced: stores of an earlier writer may be lost
    /// ([`DaxView`](DaxView#failures)). The system reports this once, so the next opening can succeed.
    ///
    /// # Cost
    /// An `fsync` of the file, and one of its directory. Each waits for the medium if anything is not durable yet.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DaxFile, Error> {
        self.open_at_least(path.as_ref(), 0)
    }

    /// Opens the file at the path as [`open`](Self::open) does. If the path does not exist, creates a file of `len` zero
    /// bytes as [`create_new`](Self::create_new) does.
    ///
    /// An existing file keeps its length and its bytes. It must have at least `len` bytes; a longer one is mapped
    /// up to its end, unless [`len`](Self::len) says otherwise. If another process creates the file at the same time, this
    /// call opens that file.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create_new`](Self::create_new). In particular:
    /// - [`ErrorKind::Shorter`], if the file has fewer than `len` bytes. It is not made longer: open it by `open`, and
    ///   [grow](DaxFile::grow) it.
    /// - [`ErrorKind::Locked`], if another open file of it has a lock that excludes this one.
    /// - [`ErrorKind::Exists`], if other processes created and removed the file in each of 16 turns.
    #[doc(alias = "O_CREAT")]
    pub fn open_or_create(&self, path: impl AsRef<Path>, len: u64) -> Result<DaxFile, Error> {
        self.open_or_create_in_turn(path.as_ref(), len)
    }

    /// Opens an existing file and maps it for reading only. The right to read it is enough, except on overlayfs: there
    /// the file is opened for writing, so that it is copied up if it is on a lower layer. A mapping of a lower layer's
    /// file never shows later stores. The guarantee is the same as for [`open`](Self::open), and the same files are
    /// refused, since a view can [persist](DaxView::persist) bytes that others have stored. File and directory are
    /// synced as by `open`.
    ///
    /// # Errors
    /// As [`open`](Self::open) about the file. Also if it is locked and a lock was asked for, and always on 32-bit CPUs
    /// ([`ErrorKind::Unsupported`]). On Linux `PreadFile` reads a file that cannot be synced.
    ///
    /// # Cost
    /// As [`open`](Self::open).
    #[doc(alias("read_only", "PROT_READ"))]
    pub fn view(&self, path: impl AsRef<Path>) -> Result<DaxView, Error> {
        self.open_view(path.as_ref())
    }

    /// Locks and maps a file that is open already, for reading and writing: a memfd, a descriptor from another process,
    /// or a file that was opened relative to a directory.
    ///
    /// Everything else is as for [`open`](Self::open). [`DaxView::path`] is
    /// the system's name for the open file: on Linux that of `/proc/self/fd`, such as `/memfd:state (deleted)`. A file
    /// without a name ends with its last descriptor, whatever its medium survives: `FileReport` of
    /// `cachemaint-inspect` says so.
    ///
    /// The file is closed when the [`DaxFile`] is dropped, and if this call fails. A caller that needs it afterwards
    /// passes a duplicate ([`File::try_clone`]).
    ///
    /// ```
    /// use cachemaint::dax::Options;
    /// # #[cfg(target_os = "linux")]
    /// use rustix::fs::{MemfdFlags, memfd_create};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(target_os = "linux")] {
    /// let memfd = std::fs::File::from(memfd_create(c"state", MemfdFlags::CLOEXEC)?);
    /// memfd.set_len(1 << 20)?; // a new memfd is empty, and cannot be mapped
    /// let file = Options::new().allow_page_granularity().open_file(memfd)?;
    ///
    /// file.write(64, b"eight by eight");
    /// file.persist(64..78)?;
    /// // A memfd is RAM: these bytes outlive this process if another one has the descriptor.
    /// println!("{}", file.guarantee().reason);
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Duplicates
    /// A [lock](Lock) belongs to the open file, and so to all duplicates of a descriptor, even those in other processes
    /// (flock(2)). It is granted even if the holder of a duplicate has it, and ends for all when one of them drops its
    /// [`DaxFile`]. The system reports a failed write-back to only one duplicate. Therefore reopen the file, on
    /// Linux by `/proc/thread-self/fd/NUMBER` and [`File::options`], and pass that.
    ///
    /// # Errors
    /// As [`open`](Self::open) about the file. [`ErrorKind::InvalidInput`], if the descriptor was not opened for reading
    /// and writing, or with `O_PATH` or `O_APPEND`.
    #[doc(alias("fd", "OwnedFd", "memfd", "from_raw_fd"))]
    pub fn open_file(&self, file: impl Into<File>) -> Result<DaxFile, Error> {
        self.map_descriptor(file.into(), Access::ReadAndWrite).map(DaxFile::of)
    }

    /// Maps a file that is open already, for reading only, as [`view`](Self::view) does. A descriptor that was opened
    /// for reading is enough, except on overlayfs, which needs one for reading and writing.
    /// [Duplicates](Self::open_file) are as for `open_file`.
    ///
    /// # Errors
    /// As [`view`](Self::view) about the file. [`ErrorKind::InvalidInput`], if the descriptor was not opened for reading,
    /// or with `O_PATH`.
    #[doc(alias("fd", "OwnedFd", "memfd", "from_raw_fd"))]
    pub fn view_file(&self, file: impl Into<File>) -> Result<DaxView, Error> {
        self.map_descriptor(file.into(), Access::Read)
    }
}

/// Returns the guarantee of a file at `path`. Nothing is locked, written or created. For a directory, returns the
/// guarantee of a new file in it. Symbolic links are followed, so `/proc/self/fd/NUMBER` names an open file on Linux.
///
/// # Errors
/// If the path does not exist, or this user cannot open it.
pub fn probe(path: impl AsRef<Path>) -> Result<Guarantee, Error> {
    let path = path.as_ref();
    let (file, facts) = look(path)?;
    guarantee_of(path, &file, &facts, Cache::host().ok()).map(|(guarantee, _refusal)| guarantee)
}

/// Opens a file to ask about it, or for a directory an unnamed file in it, and returns its facts.
///
/// # Errors
/// Those of [`probe`].
pub fn look(path: &Path) -> Result<(File, FileFacts), Error> {
    let of_stat = |error| Error::os(path, "stat", &error);
    // Nothing else is opened, since opening some devices has effects.
    let there = path.metadata().map_err(of_stat)?;
    if !there.is_dir() && !there.is_file() {
        host::device_dax_at(&there).map_err(|why| Error::unasked(path, why))?;
    }
    let mut file = files::open_to_look(path).map_err(of_stat)?;
    if there.is_dir() {
        file = host::unnamed_in_directory(&file)
            .map_err(|error| Error::os(path, "open", &error))?
            .ok_or_else(|| {
                Error::unsupported(
                    path,
                    "this file system has no unnamed files to try with; name a file in it",
                )
            })?;
    }
    let mut facts = facts_of(path, &file)?;
    facts.has_name |= there.is_dir();
    // As an opening asks; on overlayfs it would copy the file.
    if there.is_file() && !facts.may_be_of_a_lower_layer {
        file = files::reopened_to_write(&file).unwrap_or(file);
    }
    Ok((file, facts))
}

/// Returns the facts about an open file.
///
/// # Errors
/// If the file is neither a regular one nor device DAX, or a call fails.
pub fn facts_of(path: &Path, file: &File) -> Result<FileFacts, Error> {
    host::ask(file).map_err(|why| Error::unasked(path, why))
}

/// Returns the guarantee of an open file with these facts for a cache, by mappings for the access that it was opened for, and
/// the number of the error with which the kernel refuses `MAP_SYNC`.
///
/// # Errors
/// If the file cannot be mapped, or not be made persistent.
pub fn guarantee_of(
    path: &Path,
    file: &File,
    facts: &FileFacts,
    cache: Option<Cache>,
) -> Result<(Guarantee, Option<i32>), Error> {
    let len = usize::try_from(facts.alignment).unwrap_or(usize::MAX);
    let access = files::permitted(file);
    let part = Part { offset: 0, len, alignment: facts.alignment, access };
    let (guarantee, mapped) = decided(path, file, facts, &part, cache)?;
    // A file that cannot be mapped at all is refused. On hugetlbfs the question would need a free page.
    if mapped.is_err() && facts.file_system != "hugetlbfs" {
        drop(system::map(file, &part).map_err(|why| Error::failed(path, why))?);
    }
    Ok((guarantee, mapped.err()))
}
