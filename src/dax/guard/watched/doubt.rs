//! Names and files that are in memory as a pass has synced them, and may not be so after a reset.
//!
//! A reset leaves the state of the journal's last commit. Between two passes a file can be moved away and back, or be
//! cut and grow into its former blocks, and a commit can come between both. Then the present state equals the synced one,
//! and the committed one does not. So all names and files of which a notice came are synced again.

use super::super::guarded::GuardedFile;
use super::super::notices::Heard;
use super::{State, Watched};

impl Watched {
    /// Has names synced that came, and files that a call has modified, whether they are as before or not.
    pub(super) fn doubt(&mut self, heard: &Heard) {
        if heard.lost {
            self.directories.values_mut().for_each(|directory| directory.has_new_names = true);
            self.files_mut().for_each(GuardedFile::doubt);
            return;
        }
        for path in &heard.came {
            if let Some(directory) = self.directories.get_mut(&**path) {
                directory.has_new_names = true;
            }
        }
        for (path, names) in &heard.modified {
            let Some(directory) = self.directories.get_mut(&**path) else { continue };
            for name in names {
                if let Some(State::Guarded(guarded)) =
                    directory.files.get_mut(name).map(|entry| &mut entry.state)
                {
                    guarded.doubt();
                }
            }
        }
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut GuardedFile> {
        let entries = self.directories.values_mut().flat_map(|found| found.files.values_mut());
        entries.filter_map(|entry| match &mut entry.state {
            State::Guarded(guarded) => Some(guarded),
            State::Refused(_) | State::Denied => None,
        })
    }
}
