//! The memory type of a mapping: if stores stay in the caches, go through them, or pass them by.

use super::tree::{Evidence, Unknown};
use alloc::vec::Vec;

/// The caching of mapped memory by the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MemoryType {
    /// Stores stay in the caches.
    WriteBack,
    /// Stores change cached lines and go to memory too.
    WriteThrough,
    /// Loads are cached, stores are not.
    WriteProtected,
    /// Nothing is cached; stores are collected in buffers.
    WriteCombining,
    /// Nothing is cached, and each store goes to memory by itself.
    Uncached,
}

impl MemoryType {
    /// Returns the type in a word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WriteBack => "write-back",
            Self::WriteThrough => "write-through",
            Self::WriteProtected => "write-protected",
            Self::WriteCombining => "write-combining",
            Self::Uncached => "uncached",
        }
    }

    /// Returns the meaning for stores (Intel SDM vol. 3A, "Methods of Caching Available"). The operations of this crate
    /// write back and fence with every type: where that is not needed it is slow, and never wrong.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::WriteBack => "stores stay in the caches until they are written back",
            Self::WriteThrough => {
                "every store also goes to memory: no line stays dirty, and a fence completes the \
                 stores"
            }
            Self::WriteProtected => {
                "stores go to memory and drop the line: no line stays dirty, and a fence completes \
                 the stores"
            }
            Self::WriteCombining => {
                "stores wait in buffers of the CPU, not in its caches: they need no write-back, and \
                 they do need a fence"
            }
            Self::Uncached => "each store goes to memory by itself: it needs no write-back",
        }
    }
}

impl core::fmt::Display for MemoryType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// The caching of a file's mapping by the CPU, as far as it shows.
///
/// With feature `serde` it is an object: `read` (or `null`), `meaning` if it was read, else `reason`
/// and `advice`; `by_rule`, `rule`, `caveat` (or `null`), and `evidence`, a list of `asked` and
/// `answer`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caching {
    /// The type read from the running system, or the reason why it could not be read.
    pub read: Result<MemoryType, Unknown>,
    /// The type by the kernel's own rule for such files, which was not read.
    pub by_rule: MemoryType,
    /// The source of the rule.
    pub rule: &'static str,
    /// A party that can overrule both.
    pub caveat: Option<&'static str>,
    /// The questions and answers, in order.
    pub evidence: Vec<Evidence>,
}

#[cfg(feature = "serde")]
impl serde::Serialize for Caching {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;

        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("read", &self.read.as_ref().ok())?;
        match &self.read {
            Ok(found) => object.serialize_entry("meaning", found.meaning())?,
            Err(why) => {
                object.serialize_entry("reason", &why.reason)?;
                object.serialize_entry("advice", why.advice)?;
            }
        }
        object.serialize_entry("by_rule", &self.by_rule)?;
        object.serialize_entry("rule", self.rule)?;
        object.serialize_entry("caveat", &self.caveat)?;
        object.serialize_entry("evidence", &self.evidence)?;
        object.end()
    }
}

#[cfg(any(not(target_os = "linux"), all(test, not(miri))))]
impl Caching {
    /// Returns the memory type of a file that is mapped from the page cache, where no file of the kernel shows types.
    pub(crate) fn of_page_cache(system: &str) -> Self {
        const RELY: &str = "nothing to do: the system's own calls persist the file, with any type";
        Self {
            read: Err(Unknown::new(system, "the types of mappings are not asked for here", RELY)),
            by_rule: MemoryType::WriteBack,
            rule: "the page cache is ordinary RAM, which systems map write-back",
            caveat: None,
            evidence: Vec::new(),
        }
    }
}
