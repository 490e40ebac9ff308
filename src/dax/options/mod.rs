//! Opening and creating files.

mod opening;

#[cfg(target_os = "linux")]
pub(super) use opening::method_of;
pub(super) use opening::require_read_only_words;

use super::error::{Error, ErrorKind};
use super::lock::Lock;
use super::system::{Host, Mapper, files};
use super::{DaxFile, DaxView, Guarantee};
use crate::arch::Unsupported;
use crate::cache::Cache;
use crate::medium::Granularity;
use std::fs::File;
use std::io;
use std::path::Path;

/// The coarsest granularity that will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Required {
    Byte,
    #[default]
    Line,
    Page,
}

/// The options of opening and creating files.
///
/// The defaults map the whole file, and refuse it unless it can be made persistent by cache lines or
/// finer.
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
    offset: u64,
    len: Option<u64>,
    required: Required,
    populate: bool,
    lock: Option<Lock>,
    cache: Option<Cache>,
    takes_unwritten: bool,
}

impl Options {
    /// Returns the default options.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            offset: 0,
            len: None,
            required: Required::Line,
            populate: false,
            lock: None,
            cache: None,
            takes_unwritten: false,
        }
    }

    /// Maps from this offset on, in bytes; it must be a multiple of the page size, or of a larger
    /// [alignment](Guarantee::alignment) that the file has.
    #[must_use]
    pub const fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Maps this number of bytes instead of all up to the end of the file.
    #[must_use]
    pub const fn len(mut self, len: u64) -> Self {
        self.len = Some(len);
        self
    }

    /// Takes page granularity where there is no finer one: `msync` on the page cache, or the system's calls for it,
    /// which is the best that an ordinary file gets. [`DaxView::guarantee`] reports the granularity.
    #[must_use]
    pub const fn allow_page_granularity(mut self) -> Self {
        self.required = Required::Page;
        self
    }

    /// Takes byte granularity alone. The caches are in the persistence domain then (eADR), so stored bytes are
    /// persistent without a write-back, and a fence suffices. This is for algorithms that leave write-backs out.
    /// Elsewhere the file is refused with the reason, and nothing coarser is taken for it.
    ///
    /// Of this and [`allow_page_granularity`](Self::allow_page_granularity), the last one called holds.
    #[must_use]
    pub const fn require_byte_granularity(mut self) -> Self {
        self.required = Required::Byte;
        self
    }

    /// Makes every page accessible before the file is handed out, so that no access has to wait for a page
    /// fault; on Linux 5.14 and later (`madvise`, `MADV_POPULATE_WRITE`, for views `MADV_POPULATE_READ`).
    ///
    /// A page whose access would end the process is [`ErrorKind::Unpopulated`] then: one with a media error, or one in a
    /// hole for which a full file system has no block. Nothing is promised for the time after that: pages of the page
    /// cache can be evicted, a medium can fail, and the file can shrink.
    ///
    /// # Cost
    /// Each page is touched: pages of the page cache are read from the medium, and holes get blocks.
    #[doc(alias("prefault", "MAP_POPULATE"))]
    #[must_use]
    pub const fn populate(mut self) -> Self {
        self.populate = true;
        self
    }

    /// Takes this lock, instead of [`Lock::Exclusive`] for a file and [`Lock::None`] for a view.
    #[must_use]
    pub const fn lock(mut self, lock: Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Writes lines back by this handle, aimed at the [point](crate::survival::Backing::point) of the file's backing,
    /// instead of by [`Cache::host`]: for a [`Builder`](crate::cache::Builder) that accepts coherency as persistence.
    #[must_use]
    pub const fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Creates a file of `len` zero bytes and maps it: whole, unless [`offset`](Self::offset) or
    /// [`len`](Self::len) say otherwise. Its zeros and its name are on the medium when this returns.
    ///
    /// # Errors
    /// If something exists at the path already, space or permission is missing, or the granularity is too coarse; no
    /// file is left then. If another process takes the name meanwhile, that is an error at the end
    /// ([`ErrorKind::Exists`]), and its file is never replaced.
    ///
    /// # Crashes
    /// The file gets its name when all its zeros are on the medium. So a crash of the process or of the machine leaves
    /// no file at the path, or the whole one.
    ///
    /// | system, file system | a crash before that also leaves |
    /// |---|---|
    /// | Linux, with unnamed files (`O_TMPFILE`: ext4, xfs, btrfs, tmpfs and others) | nothing |
    /// | other file systems of Linux; other systems of Unix | at most a file `.cachemaint-PROCESS-NUMBER` in the same directory, which can be removed |
    /// | the same, without hard links (exFAT, for example) | the same, or an empty file at the path |
    /// | Windows | a part of the file at the path, not locked: remove it, and create it again |
    ///
    /// Under Linux `/proc` shows the file of this process with another name (`#NUMBER (deleted)`), until it is opened
    /// again by its own.
    pub fn create_new(&self, path: impl AsRef<Path>, len: u64) -> Result<DaxFile, Error> {
        self.create_new_on::<Host>(path.as_ref(), len)
    }

    /// Opens a file that exists, or under Linux a device of [device DAX](crate::dax#device-dax), locks it
    /// and maps it.
    ///
    /// # Durability of an existing file
    /// The file is synced once before it is mapped (`fsync`), and then the directory of the path. So its bytes, length,
    /// blocks and name are durable when this returns, whichever program made them: what is persisted later can be found
    /// again. A creation that was killed before its last sync, or a rename without a sync, leaves a file that is not durable.
    ///
    /// - The directory is left out if this user may not read it, or if its file system does not sync directories. Then the
    ///   name is as durable as the sync of the file makes it. On ext4 and xfs that commits a new name too; fsync(2)
    ///   promises it of no file system.
    /// - The directories above it are the caller's task.
    ///
    /// # Crashes of a growth
    /// A growth that was interrupted can leave an end of the file that reads as zeros and has no written blocks
    /// ([`DaxFile::grow`]). By lines or finer such a file cannot be mapped as it is. Under the exclusive
    /// [lock](Self::lock), the default, this call finishes it first: the file system writes the zeros, durably. No byte
    /// of the file changes, also if a program without the lock stores to it at the same time. The same is done to any
    /// other file whose end is allocated and not written, or a hole. It takes space, and as long as writing the end. If
    /// it is interrupted, the next opening continues. No lock excludes a growth under [`Lock::None`]: processes without locks
    /// agree by other means when a file grows.
    ///
    /// Under another lock, for a [view](Self::view), and before Linux 5.14 the error is
    /// [`ErrorKind::Unfinished`]: open the file once under the exclusive lock.
    ///
    /// # Errors
    /// If the path is neither or a symbolic link, or this user cannot read and write it. If the file is locked, is
    /// shorter than asked, or gets a granularity that is too coarse. [`ErrorKind::NotAllocated`] for a hole or an
    /// unwritten extent that has data after it. [`ErrorKind::NoSpace`] for the end that is to be finished. The bytes of
    /// the file are as they were then.
    ///
    /// [`ErrorKind::Os`] with `fsync`, if the file cannot be synced: stores of an earlier writer may be lost
    /// ([`DaxView`](DaxView#failures)). The system reports a failed write-back once, so the next opening can succeed. By pages a
    /// file system without syncs, as most that are for reading only, is not an error. With `open of its directory` or
    /// `fsync of its directory`, if the name cannot be made durable.
    ///
    /// # Cost
    /// An `fsync` of the file, and one of its directory. Each waits for the medium if anything is not durable yet.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DaxFile, Error> {
        self.open_on::<Host>(path.as_ref())
    }

    /// Opens the file at the path as [`open`](Self::open) does. If the path does not exist, creates a file of `len` zero
    /// bytes as [`create_new`](Self::create_new) does.
    ///
    /// An existing file keeps its length and its bytes. It must have at least `len` bytes; a longer one is mapped
    /// up to its end, unless [`len`](Self::len) says otherwise. Whatever crash came before, the next call finds the
    /// whole file or creates it, except where `create_new` says that a crash leaves a part of one.
    ///
    /// If another process creates the file at the same time, this call opens that file. It opens and creates in turn
    /// until one of the two succeeds, at most 16 times.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create_new`](Self::create_new). In particular:
    /// - [`ErrorKind::Shorter`], if the file has fewer than `len` bytes. It is not made longer: open it by `open`, and
    ///   [grow](DaxFile::grow) it.
    ///   On Windows another process may still be filling it: under [`Lock::None`] try again first.
    /// - [`ErrorKind::Empty`], if it has none.
    /// - [`ErrorKind::Locked`], if another process has it open under a lock that excludes the one asked for.
    /// - [`ErrorKind::Exists`], if other processes created and removed the file in each of the 16 turns.
    #[doc(alias = "O_CREAT")]
    pub fn open_or_create(&self, path: impl AsRef<Path>, len: u64) -> Result<DaxFile, Error> {
        self.open_or_create_on::<Host>(path.as_ref(), len)
    }

    /// Opens a file that exists and maps it for reading only. The right to read it is enough.
    ///
    /// Its guarantee is the same as for [`open`](Self::open), and the same files are refused: a view can
    /// [persist](DaxView::persist) bytes that others have stored. So file and directory are synced once as by `open`, on
    /// Linux, where a view can do so.
    ///
    /// # Errors
    /// If the path is a symbolic link or not a regular file, or this user cannot read it. If the file is locked and a
    /// lock was asked for, is shorter than asked, or gets a granularity that is too coarse. If its name cannot be made
    /// durable, as for [`open`](Self::open). By lines also if the file cannot be synced. By pages it can be read then,
    /// and every write-back returns the failure, as [`check`](DaxView::check) does. On 32-bit CPUs always:
    /// [`NotSupported::NoReadOnlyWords`](super::NotSupported::NoReadOnlyWords).
    ///
    /// # Cost
    /// As [`open`](Self::open).
    #[doc(alias("read_only", "PROT_READ"))]
    pub fn view(&self, path: impl AsRef<Path>) -> Result<DaxView, Error> {
        self.view_on::<Host>(path.as_ref())
    }

    pub(super) fn lock_or(&self, default: Lock) -> Lock {
        self.lock.unwrap_or(default)
    }

    /// Returns the cache. The guarantee of the file decides which point it must reach.
    pub(super) fn cache_or_host(&self) -> Result<Cache, Unsupported> {
        self.cache.map_or_else(Cache::host, Ok)
    }

    /// Returns the reason why a file with this guarantee will not do; `None` if it will.
    pub(super) fn refusal(&self, guarantee: &Guarantee) -> Option<ErrorKind> {
        match (self.required, guarantee.granularity) {
            (Required::Byte, Granularity::Byte)
            | (Required::Line, Granularity::Byte | Granularity::Line(_))
            | (Required::Page, _) => None,
            (Required::Byte, Granularity::Line(_) | Granularity::Page(_)) => {
                Some(ErrorKind::NotByteGranular(guarantee.clone().into()))
            }
            (Required::Line, Granularity::Page(_)) => {
                Some(ErrorKind::PageGranular(guarantee.clone().into()))
            }
        }
    }
}

/// Returns the guarantee of a file at `path`, without opening it for use: nothing is locked, written or created.
/// For a directory it is that of a new file in it.
///
/// # Errors
/// If the path does not exist, or this user cannot open it.
pub fn probe(path: impl AsRef<Path>) -> Result<Guarantee, Error> {
    probe_on::<Host>(path.as_ref(), Cache::host().ok())
}

/// Returns the guarantee of a file that is open already, as [`probe`] does. A descriptor that was opened for reading is
/// enough, and it stays open.
///
/// The guarantee is that of the file, of a name that was removed too; a path under `/proc/self/fd` would be opened anew.
///
/// # Errors
/// If it is neither a regular file nor a device that can be mapped, or was not opened for reading.
pub fn probe_file(file: &File) -> Result<Guarantee, Error> {
    let path = files::name_of(file);
    let there = file.metadata().map_err(|error| Error::os(&path, files::METADATA, &error))?;
    if !there.is_file() && !Host::is_mappable(&path, &there)? {
        return Err(Error::new(&path, ErrorKind::NotRegular));
    }
    Host::guarantee(&path, file, Cache::host().ok())?.with_name_of(&path, file)
}

/// Returns the guarantee of a file, or of a new one in a directory, whose lines are written back by `cache`.
pub(super) fn probe_on<M: Mapper>(path: &Path, cache: Option<Cache>) -> Result<Guarantee, Error> {
    // Links are followed here, so an error about a link means that there are too many of them.
    let opening = |error: io::Error| match files::meaning(&error) {
        Some(ErrorKind::SymbolicLink) => Error::os(path, "open", &error),
        _ => Error::opening(path, &error),
    };
    // Nothing else is opened, since opening some devices has effects.
    let there = path.metadata().map_err(opening)?;
    if there.is_dir() {
        return M::guarantee_in(path, cache);
    }
    if !there.is_file() && !M::is_mappable(path, &there)? {
        return Err(Error::new(path, ErrorKind::NotRegular));
    }
    let file = files::open_to_look(path).map_err(opening)?;
    M::guarantee(path, &file, cache)?.with_name_of(path, &file)
}
