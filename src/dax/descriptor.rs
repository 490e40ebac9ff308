//! Files that the caller has opened.

use super::lock::Lock;
use super::options::require_read_only_words;
use super::system::{Access, Host, Mapper, files};
use super::{DaxFile, DaxView, Error, Options, file};
use std::fs::File;
use std::path::PathBuf;

impl Options {
    /// Locks and maps a file that is open already, for reading and writing: a memfd, a descriptor from another process,
    /// or a file that was opened below a directory.
    ///
    /// Everything else is as for [`open`](Self::open), the evidence and the guarantee included. [`DaxFile::path`] is the
    /// name that the system has for the open file: on Linux that of `/proc/self/fd`, as `/memfd:state (deleted)`. A file
    /// without a name ends with its last descriptor, whatever its medium survives; its
    /// [guarantee](DaxFile::guarantee) says so. The directory of this path is synced if the path is still a name of the file.
    /// Another name of it is as durable as the [sync of the file](Self::open) makes it.
    ///
    /// The file is closed when the [`DaxFile`] is dropped, and if this call fails. A caller that needs it afterwards gives
    /// a duplicate ([`File::try_clone`]).
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
    /// # Locks of duplicates
    /// A [lock](Lock) belongs to the open file, and so to all duplicates of a descriptor, also those in other processes
    /// (flock(2)). [`Lock::Exclusive`], the default, excludes all other open files and no duplicate:
    /// - It is granted although the holder of a duplicate has it.
    /// - It ends for all of them when one of them drops its [`DaxFile`].
    ///
    /// Processes that share a descriptor take [`Lock::None`] and agree by other means, or each opens the file anew and gives
    /// that. On Linux [`File::options`] opens `/proc/thread-self/fd/NUMBER` anew. [`open`](Self::open) refuses this path, since it
    /// is a symbolic link. [Leases](DaxView::lease) belong to the open file as well: they end for all duplicates when one of
    /// them releases the bytes or drops its view. A writer does not find leases that were taken through a duplicate.
    ///
    /// # Failed write-backs of duplicates
    /// The system reports a failed write-back once to each open file, so to one duplicate alone, in whichever process it is
    /// ([`Taint`](super::Taint)). The next write-back by pages through another duplicate succeeds, and the bytes that it was
    /// about may be lost. Its [`taint`](DaxView::taint) does not report that. Give an open file of its own, opened anew as
    /// above, wherever a write-back must not miss a failure.
    ///
    /// # Errors
    /// As [`open`](Self::open) about the file. [`InvalidInput::Descriptor`], if the descriptor was not opened for reading
    /// and writing, or with `O_PATH` or `O_APPEND`.
    ///
    /// [`InvalidInput::Descriptor`]: super::InvalidInput::Descriptor
    #[doc(alias("fd", "OwnedFd", "memfd", "from_raw_fd"))]
    pub fn open_file(&self, file: impl Into<File>) -> Result<DaxFile, Error> {
        let lock = self.lock_or(Lock::Exclusive);
        let view = self.map_file::<Host>(file.into(), Access::ReadAndWrite, lock)?;
        Ok(DaxFile::of(view))
    }

    /// Maps a file that is open already, for reading only, as [`view`](Self::view) does. A descriptor that was opened
    /// for reading is enough. Duplicates share [failed write-backs](Self::open_file), as for `open_file`: open the file
    /// anew instead.
    ///
    /// # Errors
    /// As [`view`](Self::view) about the file. [`InvalidInput::Descriptor`], if the descriptor was not opened for reading,
    /// or with `O_PATH`.
    ///
    /// [`InvalidInput::Descriptor`]: super::InvalidInput::Descriptor
    #[doc(alias("fd", "OwnedFd", "memfd", "from_raw_fd"))]
    pub fn view_file(&self, file: impl Into<File>) -> Result<DaxView, Error> {
        self.map_file::<Host>(file.into(), Access::Read, self.lock_or(Lock::None))
    }

    fn map_file<M: Mapper>(
        &self,
        file: File,
        access: Access,
        lock: Lock,
    ) -> Result<DaxView, Error> {
        let path: PathBuf = files::name_of(&file);
        if access == Access::Read {
            require_read_only_words(&path)?;
        }
        let opened = file::take::<M>(&path, file, access, lock)?;
        self.map_opened::<M>(&path, opened, access, 0)
    }
}
