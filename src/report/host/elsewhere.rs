//! The report of a machine that runs another system than Linux: which system it is, by which calls files
//! are persisted there, and that the rest is not asked.

use super::{HostReport, Unknown};
use crate::aliasing;
use crate::system::calls::System;
use alloc::format;

impl HostReport {
    /// Returns the same CPU under this system, of which nothing was read.
    pub(in crate::report) fn on(self, system: &System) -> Self {
        let &System { name, persists_by, release_from, page_size_from, .. } = system;
        let page_size = Err(Unknown::new(name, "its pages are not asked for here", page_size_from));
        Self {
            shmlba: aliasing::distance(self.cpu.data_cache(), &page_size),
            page_size,
            kernel: Err(Unknown::new(name, "its release is not asked here", release_from)),
            caches: Err(Unknown::new(name, "not asked here", "see the CPU's manual")),
            regions: Err(Unknown::new(
                name,
                &format!("files are persisted by whole pages ({persists_by}), on any medium"),
                "use Linux for files that are persisted by cache lines",
            )),
            is_linux: false,
            ..self
        }
    }
}
