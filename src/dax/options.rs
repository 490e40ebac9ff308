//! Opening and creating files.

use super::error::{Error, ErrorKind};
use super::lock::{Lock, OpenFile};
use super::mapping::Mapping;
use super::not_supported::NotSupported;
use super::system::{Access, Extent, Host, Mapper, Plan, files};
use super::{DaxFile, DaxView, Guarantee, Writeback, file};
use crate::arch::{Point, Unsupported};
use crate::cache::Cache;
use crate::medium::Granularity;
use alloc::boxed::Box;
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

/// The number of times that a file is tried to be opened and created in turn.
const TURNS: u32 = 16;

/// The options of opening and creating files.
///
/// The defaults map the whole file, and refuse it unless it can be made persistent by cache lines or
/// finer.
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
    /// The defaults.
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

    /// Maps so many bytes instead of all up to the end of the file.
    #[must_use]
    pub const fn len(mut self, len: u64) -> Self {
        self.len = Some(len);
        self
    }

    /// Takes page granularity where there is no finer one: `msync` on the page cache, or the system's
    /// calls for it, which is the best that an ordinary file gets. [`DaxView::guarantee`] tells.
    #[must_use]
    pub const fn allow_page_granularity(mut self) -> Self {
        self.required = Required::Page;
        self
    }

    /// Takes byte granularity alone: the caches are in the persistence domain (eADR), so that what is stored
    /// is persistent without a write-back, and a fence suffices. For algorithms that leave write-backs
    /// out. It is refused with the reason where it is not so, and nothing coarser is taken for it.
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
    /// A page whose access would end the process, in a hole that a full file system has no block for or with a
    /// media error, is [`ErrorKind::Unpopulated`] now. It promises nothing of what happens
    /// afterwards: pages of the page cache can be evicted, a medium can fail, the file can shrink.
    ///
    /// # Cost
    /// Each page is touched: what is in the page cache is read from the medium, and holes get blocks.
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

    /// Writes lines back by this handle, aimed at the point of persistence, instead of by
    /// [`Cache::host`]: for a [`Builder`](crate::cache::Builder) that accepts coherency as persistence.
    #[must_use]
    pub const fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Creates a file of `len` zero bytes and maps it: whole, unless [`offset`](Self::offset) or
    /// [`len`](Self::len) say otherwise. Its zeros and its name are on the medium when this returns.
    ///
    /// # Errors
    /// If there is something at the path, no room, no permission, or a granularity that will not do;
    /// nothing is left behind then. A name that another process takes meanwhile is an error at the end
    /// ([`ErrorKind::Exists`]). Its file is never replaced.
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
    /// | Windows | a part of the file at the path, locked by nobody: remove it, and create it again |
    ///
    /// Under Linux `/proc` shows the file of this process with another name (`#NUMBER (deleted)`), until it is opened
    /// again by its own.
    pub fn create_new(&self, path: impl AsRef<Path>, len: u64) -> Result<DaxFile, Error> {
        self.create_new_on::<Host>(path.as_ref(), len)
    }

    /// Opens a file that exists, or under Linux a device of [device DAX](crate::dax#device-dax), locks it
    /// and maps it.
    ///
    /// # Crashes of a growth
    /// A growth that was cut off can leave an end of the file that is zeros and has no written blocks
    /// ([`DaxFile::grow`]). By lines or finer such a file cannot be mapped as it is. Under the exclusive
    /// [lock](Self::lock), the default, this call finishes it first: the file system writes the zeros, durably. No byte
    /// of the file changes, also if a program without the lock stores to it at the same time. The same is done to any
    /// other file whose end is allocated and not written, or a hole. It takes space, and as long as writing the end. If
    /// it is cut off, the next opening goes on. No lock excludes a growth under [`Lock::None`]: processes without locks
    /// agree by other means when a file grows.
    ///
    /// Under another lock, for a [view](Self::view), and before Linux 5.14 the error is
    /// [`ErrorKind::Unfinished`]: open the file once under the exclusive lock.
    ///
    /// # Errors
    /// If it is neither, is a symbolic link, is locked, is shorter than asked, cannot be read
    /// and written by this user, or gets a granularity that will not do; [`ErrorKind::NotAllocated`] for a hole or an
    /// unwritten extent that has data behind it; [`ErrorKind::NoSpace`] for the end that is to be finished. The bytes
    /// of the file are as they were then.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DaxFile, Error> {
        self.open_on::<Host>(path.as_ref())
    }

    /// Opens what is at the path as [`open`](Self::open) does, and creates a file of `len` zero bytes as
    /// [`create_new`](Self::create_new) does if nothing is.
    ///
    /// A file that is there keeps its length and its bytes. It must have at least `len` bytes; a longer one is mapped
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
    /// - [`ErrorKind::Empty`], if it has none.
    /// - [`ErrorKind::Locked`], if another process has it open under a lock that excludes the one asked for.
    /// - [`ErrorKind::Exists`], if other processes created and removed the file in each of the 16 turns.
    #[doc(alias = "O_CREAT")]
    pub fn open_or_create(&self, path: impl AsRef<Path>, len: u64) -> Result<DaxFile, Error> {
        self.open_or_create_on::<Host>(path.as_ref(), len)
    }

    /// Opens a file that exists and maps it for reading only. The right to read it is enough.
    ///
    /// Its guarantee is the same as for [`open`](Self::open), and the same files are refused: a
    /// view can [persist](DaxView::persist) what others have stored. Where it does that by cache lines, the
    /// file is synced once, so that the blocks which it has are durable, whoever wrote it and how.
    ///
    /// # Errors
    /// If it is no regular file, is a symbolic link, is locked and a lock was asked for, is shorter than
    /// asked, cannot be read by this user, or gets a granularity that will not do. On 32-bit CPUs always:
    /// [`NotSupported::NoReadOnlyWords`].
    #[doc(alias("read_only", "PROT_READ"))]
    pub fn view(&self, path: impl AsRef<Path>) -> Result<DaxView, Error> {
        self.view_on::<Host>(path.as_ref())
    }

    pub(super) fn create_new_on<M: Mapper>(&self, path: &Path, len: u64) -> Result<DaxFile, Error> {
        file::check_new_len(path, len)?;
        let mapped_len = self.mapped_len(path, Extent::of_bytes(len))?;
        let lock = self.lock_or(Lock::Exclusive);
        let mut new = file::create(path)?;
        let mapped = match self.fill_and_map::<M>(path, &mut new.file, len, mapped_len, lock) {
            Ok(mapped) => mapped,
            Err(error) => {
                new.discard();
                return Err(error);
            }
        };
        let file = file::publish(path, new)?;
        Ok(DaxFile { view: self.view_of(path, file, mapped) })
    }

    /// The guarantee is asked of the empty file, before it is filled.
    fn fill_and_map<M: Mapper>(
        &self,
        path: &Path,
        file: &mut OpenFile,
        len: u64,
        mapped_len: usize,
        lock: Lock,
    ) -> Result<Mapped, Error> {
        file.take_new(path)?;
        let chosen = self.choose::<M>(path, file)?;
        file::extend::<M>(path, file, 0..len)?;
        let mapped = self.map::<M>(path, file, Access::ReadAndWrite, mapped_len, chosen)?;
        file.lower(path, lock)?;
        Ok(mapped)
    }

    pub(super) fn open_on<M: Mapper>(&self, path: &Path) -> Result<DaxFile, Error> {
        self.open_with_at_least::<M>(path, 0)
    }

    /// Opens a file that has at least `least` bytes.
    fn open_with_at_least<M: Mapper>(&self, path: &Path, least: u64) -> Result<DaxFile, Error> {
        let lock = self.lock_or(Lock::Exclusive);
        Ok(DaxFile { view: self.open_for::<M>(path, Access::ReadAndWrite, lock, least)? })
    }

    pub(super) fn open_or_create_on<M: Mapper>(
        &self,
        path: &Path,
        len: u64,
    ) -> Result<DaxFile, Error> {
        file::check_new_len(path, len)?;
        open_or_create(
            || self.open_with_at_least::<M>(path, len),
            || self.create_new_on::<M>(path, len),
        )
    }

    pub(super) fn view_on<M: Mapper>(&self, path: &Path) -> Result<DaxView, Error> {
        require_read_only_words(path)?;
        self.open_for::<M>(path, Access::Read, self.lock_or(Lock::None), 0)
    }

    fn open_for<M: Mapper>(
        &self,
        path: &Path,
        access: Access,
        lock: Lock,
        least: u64,
    ) -> Result<DaxView, Error> {
        let opened = file::open::<M>(path, access, lock)?;
        self.map_opened::<M>(path, opened, access, least)
    }

    /// Maps an open file, which was checked and locked.
    pub(super) fn map_opened<M: Mapper>(
        &self,
        path: &Path,
        (file, extent): (OpenFile, Extent),
        access: Access,
        least: u64,
    ) -> Result<DaxView, Error> {
        let len = self.mapped_len(path, extent)?;
        if extent.size < least {
            let kind = ErrorKind::Shorter { size: extent.size, needed: least };
            return Err(Error::new(path, kind));
        }
        let (guarantee, writeback) = self.choose::<M>(path, &file)?;
        let chosen = (guarantee.with_name_of(path, &file)?, writeback);
        let mapped = self.map::<M>(path, &file, access, len, chosen)?;
        let refuses_pages = access == Access::Read && !M::PERSISTS_VIEWS;
        Ok(DaxView { refuses_pages, ..self.view_of(path, file, mapped) })
    }

    pub(super) fn lock_or(&self, default: Lock) -> Lock {
        self.lock.unwrap_or(default)
    }

    /// Returns the mapping length for a file of this extent.
    fn mapped_len(&self, path: &Path, extent: Extent) -> Result<usize, Error> {
        file::mapped_len(extent, self.offset, self.len).map_err(|kind| Error::new(path, kind))
    }

    fn map<M: Mapper>(
        &self,
        path: &Path,
        file: &OpenFile,
        access: Access,
        len: usize,
        (guarantee, writeback): (Guarantee, Writeback),
    ) -> Result<Mapped, Error> {
        let finishes = access == Access::ReadAndWrite && file.lock() == Lock::Exclusive;
        let plan = Plan { finishes, ..self.plan(access, len, writeback) };
        Ok(Mapped { mapping: M::map(path, file, &plan)?, writeback, guarantee })
    }

    fn plan(&self, access: Access, len: usize, writeback: Writeback) -> Plan {
        let Self { offset, populate, takes_unwritten, .. } = *self;
        Plan { offset, len, access, writeback, populate, takes_unwritten, finishes: false }
    }

    fn view_of(&self, path: &Path, file: OpenFile, mapped: Mapped) -> DaxView {
        let Self { offset, populate, .. } = *self;
        let Mapped { mapping, writeback, guarantee } = mapped;
        let path = path.to_path_buf();
        DaxView {
            mapping,
            writeback,
            guarantee,
            refuses_pages: false,
            offset,
            populate,
            path,
            file,
            taint: Box::default(),
            #[cfg(target_os = "linux")]
            met: Box::default(),
        }
    }

    /// Returns the cache that reaches the point of persistence.
    pub(super) fn persistent_cache(&self) -> Result<Cache, Unsupported> {
        let cache = match self.cache {
            Some(cache) => cache,
            None => Cache::host()?,
        };
        cache.to(Point::Persistence)
    }

    /// Returns the reason why a file with this guarantee will not do; `None` if it will.
    pub(super) fn refusal(&self, guarantee: &Guarantee) -> Option<ErrorKind> {
        match (self.required, guarantee.granularity()) {
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

    /// Returns the guarantee of the medium, and the method to persist on it: by lines or finer where the medium and
    /// the CPU allow it, by pages where the caller does.
    fn choose<M: Mapper>(&self, path: &Path, file: &File) -> Result<(Guarantee, Writeback), Error> {
        let cache = self.persistent_cache();
        let guarantee = M::guarantee(path, file, cache.ok())?;
        let writeback = self.method(path, &guarantee)?;
        Ok((guarantee, writeback))
    }

    /// Returns the method to persist on a medium with this guarantee, if it will do.
    pub(super) fn method(&self, path: &Path, guarantee: &Guarantee) -> Result<Writeback, Error> {
        if let Some(kind) = self.refusal(guarantee) {
            return Err(Error::new(path, kind));
        }
        Ok(match (guarantee.granularity(), self.persistent_cache()) {
            (Granularity::Byte, Ok(cache)) => Writeback::Fence(cache),
            (Granularity::Line(_), Ok(cache)) => Writeback::Lines(cache),
            (Granularity::Page(_), _) => Writeback::Pages,
            (Granularity::Byte | Granularity::Line(_), Err(why)) => {
                return Err(Error::new(path, ErrorKind::NotSupported(NotSupported::Cpu(why))));
            }
        })
    }
}

/// Opens or creates, in turn, until one of the two succeeds: other processes may create and remove the file meanwhile.
fn open_or_create<T>(
    mut open: impl FnMut() -> Result<T, Error>,
    mut create: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut turn = 1;
    loop {
        match open() {
            Err(error) if matches!(error.kind(), ErrorKind::Missing) => {}
            opened => return opened,
        }
        match create() {
            Err(error) if matches!(error.kind(), ErrorKind::Exists) && turn < TURNS => turn += 1,
            created => return created,
        }
    }
}

/// Files that a guard has opened, on Linux.
#[cfg(target_os = "linux")]
impl Options {
    /// Takes files with holes, and with unwritten or shared extents: for a caller who has the file system's changes
    /// made durable himself.
    pub(super) const fn take_unwritten(mut self) -> Self {
        self.takes_unwritten = true;
        self
    }

    /// Views the first `size` bytes of an open regular file without a lock, of which guarantee and method are known.
    pub(super) fn view_open(
        &self,
        path: &Path,
        file: File,
        size: u64,
        chosen: (Guarantee, Writeback),
    ) -> Result<DaxView, Error> {
        require_read_only_words(path)?;
        let len = self.mapped_len(path, Extent::of_bytes(size))?;
        let file = OpenFile::new(file);
        let mapped = self.map::<Host>(path, &file, Access::Read, len, chosen)?;
        Ok(self.view_of(path, file, mapped))
    }

    /// Maps a view from [`view_open`](Self::view_open) anew, of which the file has another size.
    pub(super) fn map_anew(&self, view: &mut DaxView, size: u64) -> Result<(), Error> {
        let len = self.mapped_len(&view.path, Extent::of_bytes(size))?;
        let plan = self.plan(Access::Read, len, view.writeback);
        view.mapping = Host::map(&view.path, &view.file, &plan)?;
        Ok(())
    }
}

/// A [`DaxView`] that does not hold its file yet.
struct Mapped {
    mapping: Mapping,
    writeback: Writeback,
    guarantee: Guarantee,
}

/// True where a relaxed load of 8 bytes is one that read-only memory permits (`core::sync::atomic`, "Atomic
/// accesses to read-only memory").
const READ_ONLY_WORDS: bool = cfg!(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "loongarch64",
    target_arch = "mips64",
    target_arch = "mips64r6",
    target_arch = "powerpc64",
    target_arch = "riscv64",
    target_arch = "sparc64",
    target_arch = "s390x",
));

/// Refuses a CPU on which words of memory that is mapped for reading cannot be loaded.
pub(super) fn require_read_only_words(path: &Path) -> Result<(), Error> {
    if READ_ONLY_WORDS {
        return Ok(());
    }
    Err(Error::new(path, ErrorKind::NotSupported(NotSupported::NoReadOnlyWords)))
}

/// Returns the guarantee of a file at `path`, without opening it for use: nothing is locked, written or created.
/// For a directory it is that of a new file in it.
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
    M::guarantee(path, &file, cache)?.with_name_of(path, &file)
}

#[cfg(test)]
mod tests {
    use super::open_or_create;
    use crate::dax::{Error, ErrorKind};
    use core::cell::Cell;
    use std::path::Path;

    fn error(kind: ErrorKind) -> Error {
        Error::new(Path::new("/file"), kind)
    }

    /// Another process creates the file after this one found none.
    #[test]
    fn a_file_that_another_process_creates_meanwhile_is_opened() {
        let is_there = Cell::new(false);
        let open = || if is_there.get() { Ok("opened") } else { Err(error(ErrorKind::Missing)) };
        let create = || {
            is_there.set(true);
            Err(error(ErrorKind::Exists))
        };
        assert_eq!(open_or_create(open, create).unwrap(), "opened");
    }

    #[test]
    fn a_file_that_comes_and_goes_is_an_error_after_16_turns() {
        let (opened, created) = (Cell::new(0), Cell::new(0));
        let open = || {
            opened.set(opened.get() + 1);
            Err(error(ErrorKind::Missing))
        };
        let create = || {
            created.set(created.get() + 1);
            Err(error(ErrorKind::Exists))
        };
        let failed: Result<(), Error> = open_or_create(open, create);
        assert!(matches!(failed.unwrap_err().kind(), ErrorKind::Exists));
        assert_eq!((opened.get(), created.get()), (16, 16));
    }

    #[test]
    fn an_error_of_opening_creates_nothing() {
        let failed: Result<(), Error> =
            open_or_create(|| Err(error(ErrorKind::Locked)), || panic!("it is there"));
        assert!(matches!(failed.unwrap_err().kind(), ErrorKind::Locked));
    }
}
