//! The caching of a file, which is read when a caller wants it.

use crate::system::memory_type::Caching;

/// The place to ask for the caching of a file. Persisting needs no answer, so the question waits until
/// a caller wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Linux, by its files.
    #[cfg(target_os = "linux")]
    InTree {
        tree: crate::system::tree::Tree,
        /// The device that is mapped directly; `None` if pages of RAM are.
        device: Option<alloc::string::String>,
        in_guest: bool,
    },
    /// No file: this system shows no memory types.
    #[cfg(any(not(target_os = "linux"), all(test, not(miri))))]
    Nowhere { system: &'static str },
}

impl Unread {
    /// Reads the memory type.
    pub(super) fn read(&self) -> Caching {
        match self {
            #[cfg(target_os = "linux")]
            Self::InTree { tree, device, in_guest } => {
                use crate::system::backing::memory_type::{IS_X86, Mapped, caching};
                let mapped = device.as_deref().map_or(Mapped::PageCache, Mapped::Device);
                caching(tree, mapped, IS_X86, *in_guest)
            }
            #[cfg(any(not(target_os = "linux"), all(test, not(miri))))]
            Self::Nowhere { system } => Caching::of_page_cache(system),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Unread {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.read().serialize(serializer)
    }
}
