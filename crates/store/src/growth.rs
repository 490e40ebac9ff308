//! Growing a store with its file.

use crate::error::{Error, ErrorKind};
use crate::store::Store;
use alloc::sync::Arc;
use cachemaint::dax::{DaxFile, Error as FileError};
use cachemaint::medium::Readable;

impl Store<DaxFile> {
    /// Extends the file to `len` bytes, and the store with it. Readers and regions in this process must have ended, and
    /// the store must hold the only reference to the file.
    ///
    /// The view of a reader in another process keeps its length. For that reader, blobs and a log in the new space are
    /// [`FormatError::Truncated`](crate::FormatError::Truncated), and it must open a new view.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`]; the errors of [`DaxFile::grow`]. These leave the store unchanged, but the file may be
    /// longer on Windows. Those of [`commit`](crate::Transaction::commit), after which the store is longer.
    ///
    /// # Crashes
    /// A crash during the call may leave the file longer, and leaves the blobs unchanged. Open the file again as
    /// [`DaxFile::grow`] describes; the store can then grow again.
    pub fn grow(&mut self, len: u64) -> Result<(), Error<FileError>> {
        self.check_is_usable()?;
        let file = Arc::get_mut(&mut self.medium).ok_or(Error(ErrorKind::InUse { name: None }))?;
        file.grow(len).map_err(Error::medium)?;
        let len = Readable::len(file) / self.unit() * self.unit();
        self.space.extend_to(len);
        self.table.state.size = len;
        let is_sealed = self.table.state.is_sealed;
        self.begin_log(is_sealed)?;
        if is_sealed {
            self.deep_persist_log().map_err(Error::medium)?;
        }
        Ok(())
    }
}
