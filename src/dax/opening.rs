//! The steps from a path or a descriptor to a mapped file.
//!
//! ```text
//! open or create ──▶ begin: lock, ask, map synchronously, decide ──▶ settle: make it durable ──▶ map ──▶ name a new file
//! ```
//!
//! All questions use the descriptor, so that the answers are about the mapped file. The extents are checked last, for a
//! growing file too: the file system's answer about them counts only after the sync.

use super::bounds::{Bounds, check_new_len};
use super::decide::decide;
use super::error::{Error, ErrorKind, IS_SYMLINK};
use super::mapping::Mapping;
use super::open_file::{Lock, OpenFile};
use super::reach::Reach;
use super::system::{self, Access, FileFacts, Part, files, host};
use super::{DaxFile, DaxView, Guarantee, Options, Writeback};
use crate::arch::{Point, Unsupported};
use crate::cache::Cache;
use crate::medium::Granularity;
use alloc::format;
use alloc::string::ToString;
use core::ops::Range;
use std::fs::File;
use std::path::Path;

/// The number of attempts to open and create a file in turn.
const TURNS: u32 = 16;

/// A file on its way to a mapping: locked and asked about, with the conclusions.
struct Opening<'a> {
    options: &'a Options,
    path: &'a Path,
    origin: Origin,
    /// The accesses of the mapping.
    access: Access,
    file: OpenFile,
    facts: FileFacts,
    guarantee: Guarantee,
    writeback: Writeback,
    part: Part,
    /// The mapping that the kernel has granted synchronously.
    synchronous: Option<host::Mapped>,
}

/// The origin of an open file.
#[derive(Clone, Copy)]
enum Origin {
    /// It was created, and will have this length.
    New { len: u64 },
    /// It was opened by its path, and must have at least this length.
    Path { least: u64 },
    /// The caller has opened it. The system's name for it can be an earlier name, or a description.
    Descriptor,
}

impl<'a> Opening<'a> {
    /// Opens a file by its path, for `open_for`, to be mapped for `access`.
    fn at(
        options: &'a Options,
        path: &'a Path,
        least: u64,
        access: Access,
        open_for: Access,
    ) -> Result<Self, Error> {
        require_file_name(path)?;
        let file = files::open(path, open_for).map_err(|error| Error::os(path, "open", &error))?;
        Self::begin(options, path, Origin::Path { least }, access, OpenFile::new(file))
    }

    /// Locks a file, asks about it, and determines what its medium guarantees.
    fn begin(
        options: &'a Options,
        path: &'a Path,
        origin: Origin,
        access: Access,
        mut file: OpenFile,
    ) -> Result<Self, Error> {
        let by_default = if access == Access::Read { Lock::Off } else { Lock::Exclusive };
        file.take(path, options.lock.unwrap_or(by_default))?;
        // The guarantee decides which point its write-backs must reach.
        let cache = options.cache.or_else(|| Cache::host().ok());
        // The former holder of the lock may have removed the file, or changed its size.
        let mut facts = host::ask(&file).map_err(|why| Error::unasked(path, why))?;
        let bounds = |facts: &FileFacts| Bounds {
            size: facts.size,
            alignment: facts.alignment,
            is_device: facts.device_dax.is_some(),
        };
        match origin {
            // As it will be when it has its name.
            Origin::New { len } => (facts.size, facts.has_name) = (len, true),
            // Persisted bytes could not be found again.
            Origin::Path { .. } if !facts.has_name => {
                return Err(Error::new(path, ErrorKind::NotFound));
            }
            Origin::Path { least } => bounds(&facts).require(path, least)?,
            Origin::Descriptor if access == Access::Read && facts.may_be_of_a_lower_layer => {
                let text = "its descriptor was opened for reading only on overlayfs, where a mapping of a lower \
                            layer's file never shows later stores; open it for reading and writing, which copies it \
                            up, and view that";
                return Err(Error::invalid(path, text));
            }
            Origin::Descriptor => {}
        }
        let len = bounds(&facts).mapped_len(path, options.offset, options.len)?;
        let part = Part { offset: options.offset, len, alignment: facts.alignment, access };
        let (guarantee, mapped) = decided(path, &file, &facts, &part, cache)?;
        if guarantee.granularity.is_by_pages() && !options.takes_pages {
            return Err(Error::new(path, ErrorKind::PageGranular(guarantee.into())));
        }
        let writeback = method_of(&guarantee, || cache.map_or_else(Cache::host, Ok))
            .map_err(|why| Error::unsupported(path, why.to_string()))?;
        Ok(Self {
            options,
            path,
            origin,
            access,
            file,
            facts,
            guarantee,
            writeback,
            part,
            synchronous: mapped.ok(),
        })
    }

    /// Makes the file durable, and maps it.
    fn finish(mut self) -> Result<DaxView, Error> {
        // The system is not known to write pages back for a view.
        if self.access == Access::Read && !host::PERSISTS_VIEWS {
            self.writeback = Writeback::Refused;
        } else if !self.guarantee.is_device_dax {
            self.settle()?;
        }
        let Self { options, path, origin, file, guarantee, writeback, part, synchronous, .. } =
            self;
        let Options { offset, populate, drops_cached, .. } = *options;
        let uncached = match origin {
            Origin::New { len } => 0..len,
            _ if drops_cached => offset..offset.saturating_add(part.len as u64),
            _ => 0..0,
        };
        let how = How { writeback, populate, uncached };
        let mapping = map(path, &file, &part, synchronous, &how, &guarantee)?;
        Ok(DaxView { mapping, guarantee, offset, populate, file })
    }

    /// Makes the file durable: a new one with its zeros, or the bytes, the length, the blocks and the name of an
    /// existing one, whichever program made them.
    ///
    /// Later write-backs of the mapping need not do that. Those of lines do not reach the file system. Those of pages
    /// sync the data (Linux `mm/msync.c`, `vfs_fsync_range` with `datasync`), which does not wait for a new name
    /// (`fs/ext4/fsync.c`: `i_datasync_tid`; `fs/ext4/namei.c`, `__ext4_link` leaves that as it was).
    fn settle(&self) -> Result<(), Error> {
        let Self { path, file, writeback, .. } = self;
        if let Origin::New { len } = self.origin {
            file.append_zeros(path, &(0..len))?;
            return sync_new(path, file, len, *writeback);
        }
        let size = self.facts.size;
        file.sync(*writeback).map_err(|error| Error::syncing(path, size, &error))?;
        match self.origin {
            Origin::Descriptor if !files::is_name_of(path, file) => Ok(()),
            _ => persist_name(path),
        }
    }
}

/// The method and the details of a mapping.
#[derive(Debug)]
pub(super) struct How {
    pub(super) writeback: Writeback,
    /// True if every page is made accessible at once.
    pub(super) populate: bool,
    /// The part of the file to drop from the page cache, if that has large folios.
    pub(super) uncached: Range<u64>,
}

/// Decides about an open file. The kernel's answer to `MAP_SYNC` is a mapping of the
/// part or a refusal, which is returned too.
pub(super) fn decided(
    path: &Path,
    file: &File,
    facts: &FileFacts,
    part: &Part,
    cache: Option<Cache>,
) -> Result<(Guarantee, Result<host::Mapped, i32>), Error> {
    let mapped = system::map_synchronously(file, part).map_err(|why| Error::failed(path, why))?;
    let memory = || host::memory_of(file, facts);
    let guarantee = decide(facts, mapped.as_ref().err().copied(), Reach::of(cache), memory)
        .map_err(|text| Error::unsupported(path, text))?;
    Ok((guarantee, mapped))
}

/// Maps a part of a file with this guarantee, by the mapping that the kernel has granted if it is one for lines. Each
/// byte of such a part must have its own written block.
pub(super) fn map(
    path: &Path,
    file: &File,
    part: &Part,
    synchronous: Option<host::Mapped>,
    how: &How,
    guarantee: &Guarantee,
) -> Result<Mapping, Error> {
    let failed = |why| Error::failed(path, why);
    let is_by_pages = matches!(how.writeback, Writeback::Pages | Writeback::Refused);
    let mapped = match synchronous {
        Some(mapped) if !is_by_pages => mapped,
        _ if is_by_pages => system::map(file, part).map_err(failed)?,
        _ => system::map_synchronously(file, part)
            .map_err(failed)?
            .map_err(|errno| Error::os(path, "mmap", &std::io::Error::from_raw_os_error(errno)))?,
    };
    if !is_by_pages && !guarantee.is_device_dax {
        require_written(path, file, part)?;
    }
    let mut pages =
        host::MappedPages::new(mapped, file, part, guarantee.file_system, guarantee.medium_flush())
            .map_err(failed)?;
    if is_by_pages {
        pages = pages.keep_folios_small(guarantee.file_system, &how.uncached);
    }
    if how.populate {
        populate(path, &pages, part.len)?;
    }
    Ok(Mapping::of(path, pages, part.len, how.writeback))
}

/// Refuses a part in which a store could still need the file system.
#[cfg(target_os = "linux")]
fn require_written(path: &Path, file: &File, part: &Part) -> Result<(), Error> {
    use host::extents::{Unwritten, first_unwritten};
    let found = first_unwritten(file, part.offset, part.len as u64)
        .map_err(|errno| Error::os(path, "FIEMAP", &errno.into()))?;
    let Some(Unwritten { at, what }) = found else { return Ok(()) };
    let text = format!(
        "has {what} at offset {at}, so a store there would need the file system; copy the file with its bytes written \
         out (cp --sparse=never --reflink=never)"
    );
    Err(Error::because(path, ErrorKind::NotAllocated { at }, text))
}

/// No other system maps a file for lines.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of Linux")]
const fn require_written(_: &Path, _: &File, _: &Part) -> Result<(), Error> {
    Ok(())
}

fn populate(path: &Path, pages: &host::MappedPages, len: usize) -> Result<(), Error> {
    let (at, errno, is_lost) = match pages.populate(len) {
        Ok(()) => return Ok(()),
        Err(host::Unpopulated::Unknown) => {
            return Err(Error::unsupported(
                path,
                "cannot be populated: this needs Linux 5.14 or later, and a filter of system calls that permits madvise; \
                 leave it out, and pages come with their first access",
            ));
        }
        Err(host::Unpopulated::At { at, errno, is_lost }) => (at, errno, is_lost),
    };
    let kind = if is_lost {
        ErrorKind::Poisoned { at, len: files::page_size() as u64 }
    } else {
        ErrorKind::Os { call: "madvise", errno }
    };
    let text = format!(
        "the page at offset {at} of the mapping cannot be accessed: {}; read the file to find the cause. A bad address is a \
         hole without space, a media error, or a page after the end of a file that has shrunk",
        std::io::Error::from_raw_os_error(errno),
    );
    Err(Error::because(path, kind, text).numbered(errno))
}

fn persist_name(path: &Path) -> Result<(), Error> {
    files::persist_name(path).map_err(|why| Error::failed(path, why))
}

/// Opens a new file that can get the name, and has a temporary one if `is_named`.
fn new_file(path: &Path, is_named: bool) -> Result<OpenFile, Error> {
    match files::create(path, is_named) {
        Ok((file, temporary)) => Ok(OpenFile::unfinished(file, temporary)),
        Err(why) => {
            let error = Error::failed(path, why);
            Err(if matches!(error.kind(), ErrorKind::NotFound) {
                // The kernel also refuses new files in directories such as /proc by ENOENT.
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let text = if directory.unwrap_or(Path::new(".")).is_dir() {
                    "its directory does not permit new files; choose another directory"
                } else {
                    "its directory does not exist; create that first"
                };
                Error::because(path, ErrorKind::NotFound, text).numbered(why.errno)
            } else {
                error
            })
        }
    }
}

impl Options {
    pub(super) fn create(&self, path: &Path, len: u64) -> Result<DaxFile, Error> {
        check_new_len(path, len)?;
        match self.create_from(path, len, new_file(path, false)?) {
            // An unnamed file cannot get a name on Android, or where a system-call filter prevents it.
            Err(error) if matches!(error.kind(), ErrorKind::Os { call: files::LINK, .. }) => {
                self.create_from(path, len, new_file(path, true)?)
            }
            created => created,
        }
    }

    /// Fills a new file, maps it, and gives it its name, which is on the medium when this returns. The file is checked
    /// while it is empty, so an unsuitable one is not filled. After an error the file is unmapped before it is
    /// discarded: Windows removes a file when its last handle is closed.
    fn create_from(&self, path: &Path, len: u64, file: OpenFile) -> Result<DaxFile, Error> {
        let access = Access::ReadAndWrite;
        let mut view = Opening::begin(self, path, Origin::New { len }, access, file)?.finish()?;
        view.file.give_name(path)?;
        // btrfs before Linux 6.16 logs nothing of a file without a name: `fsync` of its directory would log only the name
        // (`fs/btrfs/tree-log.c`, `btrfs_log_inode_parent`, `log_new_dir_dentries`).
        sync_new(path, &view.file, len, view.mapping.writeback())?;
        persist_name(path)?;
        view.file.keep();
        Ok(DaxFile::of(view))
    }

    /// Opens a file that has at least `least` bytes.
    pub(super) fn open_at_least(&self, path: &Path, least: u64) -> Result<DaxFile, Error> {
        let access = Access::ReadAndWrite;
        Opening::at(self, path, least, access, access)?.finish().map(DaxFile::of)
    }

    pub(super) fn open_or_create_in_turn(&self, path: &Path, len: u64) -> Result<DaxFile, Error> {
        check_new_len(path, len)?;
        open_or_create(|| self.open_at_least(path, len), || self.create(path, len))
    }

    pub(super) fn open_view(&self, path: &Path) -> Result<DaxView, Error> {
        require_read_only_words(path)?;
        let open = |open_for| Opening::at(self, path, 0, Access::Read, open_for);
        let mut opening = open(Access::Read)?;
        if opening.facts.may_be_of_a_lower_layer {
            // With its lock.
            drop(opening);
            opening = open(Access::ReadAndWrite).map_err(|error| lower(path, error))?;
        }
        opening.finish()
    }

    /// Maps a file that the caller has opened. It may have no name.
    pub(super) fn map_descriptor(&self, file: File, access: Access) -> Result<DaxView, Error> {
        let path = &*files::name_of(&file);
        if access == Access::Read {
            require_read_only_words(path)?;
        }
        if let Some(mode) = files::unfit(&file, access).map_err(|why| Error::failed(path, why))? {
            let text = format!(
                "its descriptor was opened {mode}; open it for reading and writing, or for reading and view it"
            );
            return Err(Error::invalid(path, text));
        }
        Opening::begin(self, path, Origin::Descriptor, access, OpenFile::new(file))?.finish()
    }
}

/// Refuses a path that cannot be mapped before it is opened, since opening a device can have effects. The opened file
/// is checked again.
fn require_file_name(path: &Path) -> Result<(), Error> {
    let there = path.symlink_metadata().map_err(|error| Error::os(path, "lstat", &error))?;
    match there.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_symlink() => Err(Error::because(path, ErrorKind::NotAFile, IS_SYMLINK)),
        kind if kind.is_dir() => Err(Error::is_directory(path)),
        _ => host::device_dax_at(&there).map_err(|why| Error::unasked(path, why)),
    }
}

fn sync_new(path: &Path, file: &OpenFile, len: u64, writeback: Writeback) -> Result<(), Error> {
    let synced = file.sync(writeback);
    synced.map_err(|error| Error::writing(path, files::SYNC, &(0..len), &error))
}

/// Returns the method to persist on a medium with this guarantee. The cache is not aimed at a point yet.
pub(super) fn method_of(
    guarantee: &Guarantee,
    cache: impl Fn() -> Result<Cache, Unsupported>,
) -> Result<Writeback, Unsupported> {
    let aimed = || cache()?.to(guarantee.point());
    Ok(match guarantee.granularity {
        // A fence suffices, and every handle has one.
        Granularity::Byte => {
            Writeback::Fence(aimed().or_else(|_far| cache()?.to(Point::Coherency))?)
        }
        Granularity::Line(_) => Writeback::Lines(aimed()?),
        Granularity::Page(_) => Writeback::Pages,
    })
}

/// Returns the error of a view on overlayfs whose file could not be opened for writing, which would copy it up.
fn lower(path: &Path, error: Error) -> Error {
    let ErrorKind::PermissionDenied = error.kind() else { return error };
    let text = "is on overlayfs, where a view of a lower layer's file never shows later stores, and this user may \
                not open it for writing, which would copy it up; let its owner grant that, put it on a \
                volume (a bind mount), or read it with PreadFile";
    let refused = Error::because(path, ErrorKind::PermissionDenied, text);
    match error.raw_os_error() {
        Some(number) => refused.numbered(number),
        None => refused,
    }
}

/// Opens and creates in turn until one of the two succeeds: other processes may create and remove the file meanwhile.
fn open_or_create<T>(
    mut open: impl FnMut() -> Result<T, Error>,
    mut create: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut turn = 1;
    loop {
        match open() {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {}
            opened => return opened,
        }
        match create() {
            Err(error) if matches!(error.kind(), ErrorKind::Exists) && turn < TURNS => turn += 1,
            created => return created,
        }
    }
}

/// True where a relaxed load of 8 bytes is one that read-only memory permits: on 64-bit architectures
/// (`core::sync::atomic`, "Atomic accesses to read-only memory").
const READ_ONLY_WORDS: bool = cfg!(target_pointer_width = "64");

/// Refuses a CPU on which words of memory that is mapped for reading cannot be loaded.
fn require_read_only_words(path: &Path) -> Result<(), Error> {
    if READ_ONLY_WORDS {
        return Ok(());
    }
    Err(Error::unsupported(
        path,
        "cannot be mapped read-only on a 32-bit CPU, which may need write access to load 8 bytes at once; \
         open it for reading and writing",
    ))
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
        let open = || if is_there.get() { Ok("opened") } else { Err(error(ErrorKind::NotFound)) };
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
            Err(error(ErrorKind::NotFound))
        };
        let create = || {
            created.set(created.get() + 1);
            Err(error(ErrorKind::Exists))
        };
        let failed: Result<(), Error> = open_or_create(open, create);
        assert!(matches!(failed.unwrap_err().kind(), ErrorKind::Exists));
        assert_eq!((opened.get(), created.get()), (16, 16));
    }
}
