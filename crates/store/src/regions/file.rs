//! Regions of stores in files: their addresses and their physical location.

use super::Region;
use crate::boots::cut;
use cachemaint::dax::{DaxFile, Error as FileError};
use cachemaint::medium::Medium;
use cachemaint_inspect::Placement;
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
        self.file().as_ptr(self.on_medium(&(at..at.saturating_add(1))).start)
    }

    /// Returns the place of the region's bytes on their device and in memory, as
    /// [`placement`](cachemaint_inspect::placement) does for the whole file. Offsets are relative to the
    /// region. With [`Options::require_in_place`](crate::Options::require_in_place), the next opening requires the same
    /// place.
    ///
    /// # Errors
    /// Same as `DaxView::placement`.
    ///
    /// # Cost
    /// That of `DaxView::placement`, for the whole file.
    pub fn placement(&self) -> Result<Placement, FileError> {
        let mut placement = cachemaint_inspect::placement(self.file().view())?;
        let region = self.info().range();
        placement.extents.retain_mut(|extent| cut(extent, &region));
        Ok(placement)
    }

    fn file(&self) -> &DaxFile {
        self.medium().borrow()
    }
}
