//! Sealing: what is done before a reboot that was planned.

use super::error::Error;
use super::format::history;
use super::store::Store;
use crate::medium::Medium;

impl<M: Medium> Store<M> {
    /// Makes everything durable once more, as far as the medium goes, and notes that it is: if nothing is
    /// changed afterwards, the next one who opens the store need not verify it all.
    ///
    /// Blobs, pages of the table, history and headers are written back by lines also where the caches are in the persistence
    /// domain, which a reset need not flush, and on a DAX file down to the medium's own buffers
    /// ([`DaxFile::deep_persist`](crate::dax::DaxFile::deep_persist)). Returns the number of the commit.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// If the medium fails. No blob is lost by that, and the store may or may not be found sealed; if it is, all
    /// that is in it was written back. [`ErrorKind::Failed`](super::ErrorKind::Failed) of the next call says that it must be opened again.
    ///
    /// # Cost
    /// A write-back of all lines of the store that are in use.
    pub fn seal(&mut self) -> Result<u64, Error<M::Error>> {
        let number = self.preamble.history;
        let history = history(number)..history(number) + self.preamble.history_len;
        for range in self.used().into_iter().chain([history]) {
            (self.ways.deep_persist)(&self.medium, range).map_err(Error::medium)?;
        }
        let generation = self.begin()?.commit_sealed()?;
        // What it says is so already: without this an older one may be found, which is not sealed.
        self.deep_persist_header().map_err(Error::medium)?;
        Ok(generation)
    }
}
