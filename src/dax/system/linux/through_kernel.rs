//! Reads of a mapped file by calls, which go through the kernel's own mapping of its pages.
//!
//! Both mappings show the same bytes if the data cache does not alias. If it does ([`aliasing`](crate::aliasing)), they
//! are congruent only by chance, and such a read is refused. On these machines user mode has no instruction that writes
//! the lines of its mapping back, and not every kernel there does it before a read (on MIPS `flush_dcache_folio`
//! maintains the kernel's lines alone, `arch/mips/mm/cache.c`).

use crate::aliasing::{self, Aliasing};
use crate::arch::native;
use crate::dax::system::files;
use crate::dax::{DaxView, Error, ErrorKind};
use crate::system::kernel;
use crate::system::tree::Tree;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Returns true if the data cache of this machine aliases, false if it does not, and `None` if that is not known.
///
/// The kernel is asked at the first call. Threads that are first together all ask it, and none waits for another: a
/// forked child does not have the thread that it would wait for.
pub(super) fn aliases_here() -> Option<bool> {
    const UNASKED: u8 = 0;
    const UNKNOWN: u8 = 1;
    const NO: u8 = 2;
    const YES: u8 = 3;
    static ANSWER: AtomicU8 = AtomicU8::new(UNASKED);
    let mut answer = ANSWER.load(Relaxed);
    if answer == UNASKED {
        let tree = Tree::host();
        let page = kernel::page_size(&tree);
        answer = match aliasing::of_machine(&native::ARCHITECTURE.data_cache, &tree, &page) {
            Aliasing::Yes { .. } => YES,
            Aliasing::No { .. } => NO,
            Aliasing::Unknown { .. } => UNKNOWN,
        };
        ANSWER.store(answer, Relaxed);
    }
    (answer != UNKNOWN).then_some(answer == YES)
}

/// Refuses a file of which the kernel's view and the mapping can disagree.
pub(super) fn require_agreement(path: &Path) -> Result<(), Error> {
    require_agreement_where(aliases_here(), path)
}

/// Refuses calls on a machine that aliases. A machine of which it is not known is taken to alias.
fn require_agreement_where(aliases: Option<bool>, path: &Path) -> Result<(), Error> {
    if aliases == Some(false) {
        return Ok(());
    }
    Err(Error::unsupported(
        path,
        "is mapped on a machine whose data cache aliases; read and write it through the mapping alone",
    ))
}

/// Calls of the operating system beside the mapping, on Linux.
impl DaxView {
    /// Reads by a call of the operating system instead of by loads, including all bytes that were stored through the
    /// mapping before.
    ///
    /// A page with a media error is an error then, where a load ends the process. The bytes that cannot be read are
    /// narrowed down by further calls in sectors of 512 bytes.
    ///
    /// # Ordering
    /// The bytes are those that this thread stored before, or newer ones. Nothing is persisted.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], if the medium has lost bytes: it gives the first stretch of them, before which
    /// everything was read. [`ErrorKind::Read`], if the call failed otherwise. [`ErrorKind::Shorter`], if the file has
    /// shrunk. [`NotSupported::ViewsDisagree`], if the [data cache aliases](crate::aliasing) or may, and
    /// [`NotSupported::MappingOnly`], if it is a device of device DAX: read through the mapping instead.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// One `pread(2)`. After a media error as many more as the number of sectors has binary digits, and
    /// one for each bad sector up to 1024.
    #[doc(alias("pread", "checked", "poison"))]
    #[track_caller]
    pub fn read_through_kernel(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.mapping.checked(at, into.len() as u64);
        self.require_calls()?;
        require_agreement(&self.path)?;
        let read = self.file.read_exact_at(into, self.offset + at);
        read.map_err(|error| self.unread(at, into.len() as u64, &error))
    }

    /// Returns true if a mapping of the caller's agrees with this one: `address` is that of the byte at
    /// `offset` of the same file, in this process or in another.
    ///
    /// It is true on each machine whose [data cache does not alias](crate::aliasing). Elsewhere it is true if
    /// they are congruent, which suffices but for virtually tagged caches (Arm before v6), where Linux does
    /// not cache a page that one process has mapped twice.
    #[must_use]
    pub fn agrees_with(&self, address: usize, offset: u64) -> bool {
        let distance =
            native::ARCHITECTURE.data_cache.distance.safe_bytes(files::page_size() as u64);
        let own = (self.mapping.base().addr().get(), self.offset);
        aliases_here() == Some(false) || aliasing::mappings_agree(own, (address, offset), distance)
    }

    /// Refuses device DAX, which has neither read(2) nor write(2) (`drivers/dax/device.c`, `dax_fops`).
    fn require_calls(&self) -> Result<(), Error> {
        if self.guarantee.is_device_dax {
            return Err(Error::unsupported(&self.path, "is device DAX; use the mapping alone"));
        }
        Ok(())
    }

    /// Returns the meaning of a failed read: bytes can be bad, and the file can have shrunk.
    #[cold]
    fn unread(&self, at: u64, len: u64, error: &io::Error) -> Error {
        if error.raw_os_error() == Some(libc::EIO) {
            return Error::new(&self.path, ErrorKind::Poisoned { at, len });
        }
        if error.kind() == io::ErrorKind::UnexpectedEof
            && let Ok(metadata) = self.file.metadata()
        {
            let needed = self.offset.saturating_add(self.len());
            return Error::new(&self.path, ErrorKind::Shorter { size: metadata.len(), needed });
        }
        Error::os(&self.path, "pread", error)
    }
}

#[cfg(test)]
mod tests {
    use super::require_agreement_where;
    use alloc::string::ToString;
    use std::path::Path;

    #[test]
    fn calls_are_refused_unless_the_data_cache_is_known_not_to_alias() {
        let path = Path::new("file");
        assert!(require_agreement_where(Some(false), path).is_ok());
        for aliases in [Some(true), None] {
            let error = require_agreement_where(aliases, path).unwrap_err();
            assert!(error.to_string().contains("through the mapping alone"), "{error}");
        }
    }
}
