//! The answer of the architecture.

use crate::arch::data_cache::{DataCache, Occurs};

/// The aliasing of the data cache: it can, or cannot, hold one page twice, under two virtual addresses.
///
/// It is the answer of Linux's `cpu_dcache_is_aliasing()`, which decides whether files can be mapped directly; see
/// [`aliasing`](crate::aliasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "aliases", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Aliasing {
    /// A page cannot be in the cache twice: all mappings of the page always agree.
    #[non_exhaustive]
    No {
        /// The source of the answer.
        source: &'static str,
    },
    /// A page can be in the cache twice: two mappings of it agree only at addresses that are
    /// [congruent](crate::aliasing). The kernel's own reads and writes need not agree with either.
    #[non_exhaustive]
    Yes {
        /// The source of the answer.
        source: &'static str,
    },
    /// The answer is unknown.
    #[non_exhaustive]
    Unknown {
        /// The reason why it is unknown.
        reason: &'static str,
        /// The remedy.
        advice: &'static str,
    },
}

/// The advice for a machine that may alias. It is also right for one that does.
const PLACE: &str = "place shared mappings of one page at the same address modulo SHMLBA";

/// Returns the answer of the architecture.
pub(crate) const fn by_architecture(facts: &DataCache) -> Aliasing {
    let reason = match facts.occurs {
        Occurs::Never => return Aliasing::No { source: facts.source },
        Occurs::Always => return Aliasing::Yes { source: facts.source },
        Occurs::Unknown => "this crate does not know it for this architecture",
        Occurs::ByGeometry(what) => what,
    };
    Aliasing::Unknown { reason, advice: PLACE }
}

/// In the words of a report's row.
impl core::fmt::Display for Aliasing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::No { .. } => f.write_str("data do not alias"),
            Self::Yes { .. } => f.write_str(
                "data alias: map a page at addresses that are equal modulo SHMLBA; no file is mapped \
                 directly",
            ),
            Self::Unknown { reason, advice } => {
                write!(f, "unknown whether data alias: {reason}; {advice}")
            }
        }
    }
}
