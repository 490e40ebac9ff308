//! The steps from options to a mapped file.

use super::Options;
use crate::arch::Unsupported;
use crate::cache::Cache;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::lock::{Lock, OpenFile};
use crate::dax::mapping::Mapping;
use crate::dax::system::files::{self, NewFile};
use crate::dax::system::{self, Access, Facts, Plan};
use crate::dax::{DaxFile, DaxView, Guarantee, Writeback, file};
use crate::medium::Granularity;
use alloc::string::ToString;
use std::fs::File;
use std::path::Path;

/// The number of times that a file is tried to be opened and created in turn.
const TURNS: u32 = 16;

impl Options {
    pub(super) fn create(&self, path: &Path, len: u64) -> Result<DaxFile, Error> {
        file::check_new_len(path, len)?;
        let created = self.create_from(path, len, file::create(path, false)?);
        // An unnamed file gets no name on Android, and where a filter of system calls is in the way.
        let is_unnamed =
            |error: &Error| matches!(error.kind(), ErrorKind::Os { call: files::LINK, .. });
        match created {
            Err(error) if is_unnamed(&error) => {
                self.create_from(path, len, file::create(path, true)?)
            }
            created => created,
        }
    }

    fn create_from(&self, path: &Path, len: u64, mut new: NewFile) -> Result<DaxFile, Error> {
        let mapped = self.fill_and_map(path, &mut new.file, len);
        let published = mapped.and_then(|mapped| {
            file::publish(path, len, &mut new, mapped.writeback).map(|()| mapped)
        });
        // An error unmaps the file before it is discarded: Windows removes a file when its last handle is closed.
        match published {
            Ok(mapped) => Ok(DaxFile::of(self.view_of(path, new.file, mapped))),
            Err(error) => {
                new.discard();
                Err(error)
            }
        }
    }

    /// Fills a new file and maps it. It is asked about while it is empty: one that will not do is not filled.
    fn fill_and_map(&self, path: &Path, file: &mut OpenFile, len: u64) -> Result<Mapped, Error> {
        file.take(path, self.lock_or(Lock::Exclusive))?;
        let mut facts = system::ask(path, file, self.caches())?;
        // As it will be when it has its name.
        (facts.size, facts.has_name) = (len, true);
        let mapped_len = self.mapped_len(path, &facts)?;
        let (guarantee, writeback) = self.choose(path, &facts)?;
        file::fill(path, file, len, writeback)?;
        let plan = self.plan(Access::ReadAndWrite, mapped_len, writeback);
        let plan = Plan { shed: 0..len, ..plan };
        Ok(Mapped { mapping: system::map(path, file, &plan, &guarantee)?, writeback, guarantee })
    }

    /// Opens a file that has at least `least` bytes.
    pub(super) fn open_at_least(&self, path: &Path, least: u64) -> Result<DaxFile, Error> {
        let (access, lock) = (Access::ReadAndWrite, self.lock_or(Lock::Exclusive));
        let (file, facts) = file::open(path, access, lock, self.caches())?;
        if facts.size < least {
            let kind = ErrorKind::Shorter { size: facts.size, needed: least };
            return Err(Error::new(path, kind));
        }
        Ok(DaxFile::of(self.map(path, file, &facts, access)?))
    }

    pub(super) fn open_or_create_in_turn(&self, path: &Path, len: u64) -> Result<DaxFile, Error> {
        file::check_new_len(path, len)?;
        open_or_create(|| self.open_at_least(path, len), || self.create(path, len))
    }

    pub(super) fn open_view(&self, path: &Path) -> Result<DaxView, Error> {
        require_read_only_words(path)?;
        let open = |access| file::open(path, access, self.lock_or(Lock::Off), self.caches());
        let (mut file, mut facts) = open(Access::Read)?;
        // Without pages it is refused for that below, and left where it is.
        if facts.may_be_of_a_lower_layer && self.takes_pages {
            // With its lock.
            drop(file);
            (file, facts) = open(Access::ReadAndWrite).map_err(|error| lower(path, error))?;
        }
        self.map(path, file, &facts, Access::Read)
    }

    /// Maps a file that the caller has opened.
    pub(super) fn map_descriptor(
        &self,
        file: File,
        access: Access,
        lock: Lock,
    ) -> Result<DaxView, Error> {
        let path = &*files::name_of(&file);
        if access == Access::Read {
            require_read_only_words(path)?;
        }
        let (file, facts) = file::take(path, file, access, self.lock_or(lock), self.caches())?;
        if access == Access::Read && facts.may_be_of_a_lower_layer {
            let text = "its descriptor was opened for reading only on overlayfs, where a mapping of a lower layer's file never \
                        shows what is stored later; open it for reading and writing, which copies it up, and view that";
            return Err(Error::invalid(path, text));
        }
        self.map(path, file, &facts, access)
    }

    /// Maps an open file, which was locked and asked about.
    fn map(
        &self,
        path: &Path,
        file: OpenFile,
        facts: &Facts,
        access: Access,
    ) -> Result<DaxView, Error> {
        let len = self.mapped_len(path, facts)?;
        let (guarantee, writeback) = self.choose(path, facts)?;
        let refuses_pages = access == Access::Read && !system::PERSISTS_VIEWS;
        if !refuses_pages {
            file::make_durable(path, &file, facts, writeback, access)?;
        }
        let mapping = system::map(path, &file, &self.plan(access, len, writeback), &guarantee)?;
        let mapped = Mapped { mapping, writeback, guarantee };
        Ok(DaxView { refuses_pages, ..self.view_of(path, file, mapped) })
    }

    fn mapped_len(&self, path: &Path, facts: &Facts) -> Result<usize, Error> {
        let part = (facts.size, facts.alignment, facts.is_device());
        file::mapped_len(path, part, self.offset, self.len)
    }

    fn plan(&self, access: Access, len: usize, writeback: Writeback) -> Plan {
        let Self { offset, populate, .. } = *self;
        let shed = if self.sheds { offset..offset.saturating_add(len as u64) } else { 0..0 };
        Plan { offset, len, access, writeback, populate, shed }
    }

    fn view_of(&self, path: &Path, file: OpenFile, mapped: Mapped) -> DaxView {
        let Self { offset, populate, .. } = *self;
        let Mapped { mapping, writeback, guarantee } = mapped;
        let path = path.to_path_buf();
        let refuses_pages = false;
        DaxView { mapping, writeback, guarantee, refuses_pages, offset, populate, path, file }
    }

    /// Returns the guarantee of the medium, and the method to persist on it: by lines or finer where the medium and
    /// the CPU allow it, by pages where the caller does.
    fn choose(&self, path: &Path, facts: &Facts) -> Result<(Guarantee, Writeback), Error> {
        let guarantee = system::conclude(path, facts)?;
        if matches!(guarantee.granularity, Granularity::Page(_)) && !self.takes_pages {
            return Err(Error::new(path, ErrorKind::PageGranular(guarantee.into())));
        }
        let writeback = method_of(&guarantee, || self.cache.map_or_else(Cache::host, Ok))
            .map_err(|why| Error::unsupported(path, why.to_string()))?;
        Ok((guarantee, writeback))
    }

    /// Returns the caches that write lines back, if any do. The guarantee decides which point they must reach.
    fn caches(&self) -> Option<Cache> {
        self.cache.or_else(|| Cache::host().ok())
    }
}

/// Returns the error of a view of a file of overlayfs that could not be opened for writing, which copies it up.
fn lower(path: &Path, error: Error) -> Error {
    let ErrorKind::PermissionDenied = error.kind() else { return error };
    let text = "is on overlayfs, where a view of a lower layer's file never shows what is stored later, and this user may not \
                open it for writing, which copies it up; let its owner grant that, put it on a volume (a bind mount), or \
                read it by calls (PreadFile)";
    let refused = Error::because(path, ErrorKind::PermissionDenied, text);
    match error.raw_os_error() {
        Some(number) => refused.numbered(number),
        None => refused,
    }
}

/// Returns the method to persist on a medium with this guarantee. The cache is not aimed yet.
pub(in crate::dax) fn method_of(
    guarantee: &Guarantee,
    cache: impl FnOnce() -> Result<Cache, Unsupported>,
) -> Result<Writeback, Unsupported> {
    let aimed = || cache()?.to(guarantee.backing.point());
    Ok(match guarantee.granularity {
        Granularity::Byte => Writeback::Fence(aimed()?),
        Granularity::Line(_) => Writeback::Lines(aimed()?),
        Granularity::Page(_) => Writeback::Pages,
    })
}

/// Opens or creates, in turn, until one of the two succeeds: other processes may create and remove the file meanwhile.
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
fn require_read_only_words(path: &Path) -> Result<(), Error> {
    if READ_ONLY_WORDS {
        return Ok(());
    }
    Err(Error::unsupported(
        path,
        "cannot be mapped for reading only on a 32-bit CPU, which may need the right to write to load 8 bytes at once; \
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
