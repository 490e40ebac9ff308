//! Files that get longer or shorter while they are mapped.
//!
//! | step | growing | shrinking |
//! |---|---|---|
//! | 1 | zeros are written behind the end; the length grows with them | the part that stays is mapped anew |
//! | 2 | the file is synced | the length changes, at once |
//! | 3 | all of it is mapped anew, the old mapping ends | the file is synced, the old mapping ends |
//!
//! No byte can be accessed whose block is not durable. A mapping by cache lines relies on that. A crash leaves a length
//! between the old one and the new one, each byte of it written: nothing has to be repaired.

use super::error::{Error, ErrorKind};
use super::lock::Lock;
use super::mapping::Mapping;
use super::system::{self, Access, Plan, files};
use super::{DaxFile, DaxView, file};
use alloc::format;
use core::mem;

impl DaxFile {
    /// Maps more of the file, which is made longer for it if need be: `len` is the new length of the
    /// mapping in bytes.
    ///
    /// Bytes that the file has there already are shown as they are, and are synced like those at
    /// [`Options::open`]. Missing ones are zeros. They and the new length are on the medium when this returns, and a crash
    /// meanwhile leaves a length between the old and the new one, whose new bytes are written zeros.
    ///
    /// The mapping may move, which makes addresses from `as_ptr` invalid. Its offset in the file stays the same, and so do
    /// all stored bytes, persistent or not. Processes without locks must not make the file longer at the same time.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`], also for the limit of the process (`ulimit -f`), without its signal.
    /// [`ErrorKind::InvalidInput`] for less than the mapped length, or if the file would have to be made longer under a
    /// shared lock. [`ErrorKind::Shorter`] if it has shrunk below its mapping. [`ErrorKind::Unsupported`] of device DAX.
    /// The errors of mapping at [`Options::open`]. File and mapping are as they were then. If a sync fails
    /// ([`ErrorKind::Writeback`]), stored bytes may be lost, so later write-backs by pages return that, too.
    ///
    /// # Cost
    /// Writes the new bytes and syncs the file. Under Linux the extents of all of it are looked at again
    /// where it is persisted by cache lines.
    ///
    /// [`Options::open`]: super::Options::open
    #[doc(alias("resize", "extend", "truncate", "mremap"))]
    pub fn grow(&mut self, len: u64) -> Result<(), Error> {
        let mapped = self.view.len();
        if len < mapped {
            let text = format!(
                "has {mapped} bytes mapped, more than {len}; ask for a larger size, or shrink it"
            );
            return Err(Error::invalid(&self.view.path, text));
        }
        let plan = self.plan(len)?;
        let size = self.size_of_file()?;
        let new = size..size.max(self.view.offset + len);
        let DaxView { path, file, guarantee, .. } = &self.view;
        if !new.is_empty() {
            self.require_no_sharers()?;
            file::append_zeros(path, file, &new)?;
        }
        // Nothing else has made the blocks and the length durable that another program gave the file.
        let mapped = self.sync(size).and_then(|()| system::map(path, file, &plan, guarantee));
        let mapping = mapped.inspect_err(|_error| file::restore(file, &new))?;
        self.replace(mapping);
        Ok(())
    }

    /// Cuts off the end of the file and of its mapping: `len` is the new length of the mapping in bytes.
    /// The new length is on the medium when this returns. A crash meanwhile leaves the old length or the new one.
    ///
    /// The mapping may move, as with [`grow`](Self::grow). Other processes, which only a lock keeps away, and views may
    /// still map the part that is cut off. Their next access to it raises a signal (SIGBUS), which ends the process.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for 0 and for more than the mapped length, under a shared lock, and if the file continues
    /// after the mapping, as it can with [`Options::len`](super::Options::len). [`ErrorKind::Unsupported`] of device DAX.
    /// File and mapping are as they were then. If the last sync fails ([`ErrorKind::Writeback`]), both are short, and a
    /// crash may leave the old length.
    ///
    /// On Windows a file that is mapped cannot be made shorter, so this is the system's error there.
    #[doc(alias("resize", "truncate"))]
    pub fn shrink(&mut self, len: u64) -> Result<(), Error> {
        let mapped = self.view.len();
        if len > mapped {
            let text = format!("has {mapped} bytes mapped, fewer than {len}; grow it instead");
            return Err(Error::invalid(&self.view.path, text));
        }
        let plan = self.plan(len)?;
        let (size, end) = (self.size_of_file()?, self.view.offset + mapped);
        let DaxView { path, file, guarantee, .. } = &self.view;
        if size > end {
            let text = format!(
                "has {size} bytes, and its mapping ends at {end}, so shrinking would cut off bytes that are not mapped; \
                 map it up to its end"
            );
            return Err(Error::invalid(path, text));
        }
        self.require_no_sharers()?;
        let mapping = system::map(path, file, &plan, guarantee)?;
        let size = self.view.offset + len;
        file.set_len(size).map_err(|error| Error::os(path, files::SET_LEN, &error))?;
        let synced = self.sync(size);
        self.replace(mapping);
        synced
    }

    fn sync(&self, size: u64) -> Result<(), Error> {
        let DaxView { path, .. } = &self.view;
        self.view.sync_file().map_err(|error| match error.kind() {
            // A network file system may find only now that it is full.
            std::io::ErrorKind::StorageFull => Error::writing(path, &(0..size), &error),
            _ => Error::syncing(path, size, &error),
        })
    }

    /// Replaces the mapping before the old one ends. A child that another thread forks meanwhile has a copy of the file, and
    /// drops it: an assignment would leave a mapping there whose memory is released already.
    fn replace(&mut self, mapping: Mapping) {
        drop(mem::replace(&mut self.view.mapping, mapping));
    }

    /// Returns the same part of the file with another length.
    fn plan(&self, len: u64) -> Result<Plan, Error> {
        // The new mapping would hide a failure of the old one.
        self.view.check()?;
        let DaxView { path, guarantee, offset, writeback, populate, .. } = &self.view;
        if guarantee.is_device_dax {
            let text = "is device DAX, whose size programs cannot change; map another part of it, or set it up anew \
                        (daxctl reconfigure-device)";
            return Err(Error::unsupported(path, text));
        }
        let (offset, writeback, populate) = (*offset, *writeback, *populate);
        let end = offset.checked_add(len).ok_or_else(|| file::too_long(path, offset, len))?;
        file::check_new_len(path, end)?;
        let part = (end, guarantee.alignment, false);
        let len = file::mapped_len(path, part, offset, Some(len))?;
        Ok(Plan { offset, len, access: Access::ReadAndWrite, writeback, populate })
    }

    /// Returns the length of the file, which is at least that of its mapping.
    fn size_of_file(&self) -> Result<u64, Error> {
        let DaxView { path, file, offset, .. } = &self.view;
        let metadata = file.metadata().map_err(|error| Error::os(path, files::METADATA, &error))?;
        let (size, needed) = (metadata.len(), offset + self.view.len());
        if size < needed {
            return Err(Error::new(path, ErrorKind::Shorter { size, needed }));
        }
        Ok(size)
    }

    /// Refuses a shared lock: two processes that make a file longer would write their zeros over each other's bytes.
    fn require_no_sharers(&self) -> Result<(), Error> {
        if self.view.lock() != Lock::Shared {
            return Ok(());
        }
        Err(Error::invalid(
            &self.view.path,
            "is open under a shared lock, where others may change its length too; open it with the exclusive one",
        ))
    }
}
