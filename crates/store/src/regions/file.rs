//! Regions of stores in files: their addresses.

use super::Region;
use cachemaint::dax::DaxFile;
use cachemaint::medium::Medium;
use core::borrow::Borrow;

impl<M: Medium + Borrow<DaxFile>> Region<M> {
    /// Returns the address of a byte of the region in this process. The mapping stays in place as long as the region
    /// exists.
    ///
    /// Accesses through the pointer are invisible to this crate: all of them must end before the last [`Region`] is
    /// dropped. The methods of a medium access whole words as atomics. A plain access that races with them, or with
    /// another plain access, is a data race, unless both only load. Accesses by a virtual machine or a device count as
    /// those of another process.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    #[track_caller]
    pub fn as_ptr(&self, at: u64) -> *mut u8 {
        self.medium().borrow().as_ptr(self.on_medium(&(at..at.saturating_add(1))).start)
    }
}
