//! The steps from options to a mapped file.

use super::Options;
use crate::arch::Unsupported;
use crate::cache::Cache;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::lock::{Lock, OpenFile};
use crate::dax::mapping::Mapping;
use crate::dax::not_supported::NotSupported;
use crate::dax::system::{Access, Mappable, Mapper, Plan, files};
use crate::dax::taint::Tainted;
use crate::dax::{DaxFile, DaxView, Guarantee, Writeback, file};
use crate::medium::Granularity;
use alloc::boxed::Box;
use std::fs::File;
use std::path::Path;

/// The number of times that a file is tried to be opened and created in turn.
const TURNS: u32 = 16;

impl Options {
    pub(in crate::dax) fn create_new_on<M: Mapper>(
        &self,
        path: &Path,
        len: u64,
    ) -> Result<DaxFile, Error> {
        file::check_new_len(path, len)?;
        let mapped_len = self.mapped_len(path, Mappable::of_bytes(len))?;
        let lock = self.lock_or(Lock::Exclusive);
        let mut new = file::create(path)?;
        let mapped = self.fill_and_map::<M>(path, &mut new.file, len, mapped_len, lock);
        // An error unmaps the file before it is discarded: Windows removes a file when its last handle is closed.
        match mapped.and_then(|mapped| file::publish(path, len, &mut new).map(|()| mapped)) {
            Ok(mapped) => Ok(DaxFile::of(self.view_of(path, new.file, mapped))),
            Err(error) => {
                new.discard();
                Err(error)
            }
        }
    }

    /// Fills a new file and maps it. The guarantee is asked of the empty file, before it is filled.
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
        let sync = || files::sync_all(file).map_err(|error| file::writing(path, &(0..len), &error));
        file::extend::<M>(path, file, 0..len, sync)
            .inspect_err(|_error| file::restore(file, 0, len))?;
        let mapped = self.map::<M>(path, file, Access::ReadAndWrite, mapped_len, chosen)?;
        file.lower(path, lock)?;
        Ok(mapped)
    }

    pub(in crate::dax) fn open_on<M: Mapper>(&self, path: &Path) -> Result<DaxFile, Error> {
        self.open_with_at_least::<M>(path, 0)
    }

    /// Opens a file that has at least `least` bytes.
    fn open_with_at_least<M: Mapper>(&self, path: &Path, least: u64) -> Result<DaxFile, Error> {
        let lock = self.lock_or(Lock::Exclusive);
        Ok(DaxFile::of(self.open_for::<M>(path, Access::ReadAndWrite, lock, least)?))
    }

    pub(in crate::dax) fn open_or_create_on<M: Mapper>(
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

    pub(in crate::dax) fn view_on<M: Mapper>(&self, path: &Path) -> Result<DaxView, Error> {
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
    pub(in crate::dax) fn map_opened<M: Mapper>(
        &self,
        path: &Path,
        (file, mappable): (OpenFile, Mappable),
        access: Access,
        least: u64,
    ) -> Result<DaxView, Error> {
        let len = self.mapped_len(path, mappable)?;
        if mappable.size < least {
            let kind = ErrorKind::Shorter { size: mappable.size, needed: least };
            return Err(Error::new(path, kind));
        }
        let (guarantee, writeback) = self.choose::<M>(path, &file)?;
        let chosen = (guarantee.with_name_of(path, &file)?, writeback);
        let refuses_pages = access == Access::Read && !M::PERSISTS_VIEWS;
        let failed_sync =
            if refuses_pages { None } else { make_durable(path, &file, access, writeback)? };
        let mapped = self.map::<M>(path, &file, access, len, chosen)?;
        let view = DaxView { refuses_pages, ..self.view_of(path, file, mapped) };
        if let Some(errno) = failed_sync {
            view.taint_all(errno);
        }
        Ok(view)
    }

    /// Returns the mapping length for a file with this mappable part.
    pub(super) fn mapped_len(&self, path: &Path, mappable: Mappable) -> Result<usize, Error> {
        file::mapped_len(mappable, self.offset, self.len).map_err(|kind| Error::new(path, kind))
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

    pub(super) fn plan(&self, access: Access, len: usize, writeback: Writeback) -> Plan {
        let Self { offset, populate, .. } = *self;
        Plan { offset, len, access, writeback, populate, finishes: false }
    }

    pub(super) fn view_of(&self, path: &Path, file: OpenFile, mapped: Mapped) -> DaxView {
        let Self { offset, populate, .. } = *self;
        let Mapped { mapping, writeback, guarantee } = mapped;
        let path = path.to_path_buf();
        let taint = Box::new(Tainted::on(&guarantee.file_system));
        DaxView {
            mapping,
            writeback,
            guarantee,
            refuses_pages: false,
            offset,
            populate,
            path,
            file,
            taint,
            #[cfg(target_os = "linux")]
            met: Box::default(),
        }
    }

    /// Returns the guarantee of the medium, and the method to persist on it: by lines or finer where the medium and
    /// the CPU allow it, by pages where the caller does.
    fn choose<M: Mapper>(&self, path: &Path, file: &File) -> Result<(Guarantee, Writeback), Error> {
        let guarantee = M::guarantee(path, file, self.cache_or_host().ok())?;
        let writeback = self.method(path, &guarantee)?;
        Ok((guarantee, writeback))
    }

    /// Returns the method to persist on a medium with this guarantee, if it will do.
    pub(in crate::dax) fn method(
        &self,
        path: &Path,
        guarantee: &Guarantee,
    ) -> Result<Writeback, Error> {
        if let Some(kind) = self.refusal(guarantee) {
            return Err(Error::new(path, kind));
        }
        method_of(guarantee, || self.cache_or_host())
            .map_err(|why| Error::new(path, ErrorKind::NotSupported(NotSupported::Cpu(why))))
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

/// Makes a file that is there durable. Returns the number of a failed sync of it for a view that is still of use: its bytes
/// can be read, and its write-backs return the failure. By lines they would not.
fn make_durable(
    path: &Path,
    file: &OpenFile,
    access: Access,
    writeback: Writeback,
) -> Result<Option<i32>, Error> {
    let is_reader_by_pages = access == Access::Read && matches!(writeback, Writeback::Pages);
    let Err(error) = file::make_durable(path, file, writeback) else { return Ok(None) };
    match *error.kind() {
        ErrorKind::Os { call: files::SYNC, errno } if is_reader_by_pages => Ok(Some(errno)),
        _ => Err(error),
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

/// A [`DaxView`] that does not hold its file yet.
pub(super) struct Mapped {
    pub(super) mapping: Mapping,
    pub(super) writeback: Writeback,
    pub(super) guarantee: Guarantee,
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
pub(in crate::dax) fn require_read_only_words(path: &Path) -> Result<(), Error> {
    if READ_ONLY_WORDS {
        return Ok(());
    }
    Err(Error::new(path, ErrorKind::NotSupported(NotSupported::NoReadOnlyWords)))
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
