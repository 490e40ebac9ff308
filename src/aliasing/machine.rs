//! The answer for one machine: from the architecture, or from the kernel if the architecture leaves it open.

use crate::arch::advice::IS_LINUX;
use crate::arch::data_cache::{Cpuinfo, DataCache, Evidence, Occurs};

/// The aliasing of the data cache: it can, or cannot, hold one page twice, under two virtual addresses.
///
/// It is the answer of Linux's `cpu_dcache_is_aliasing()`, which decides whether files can be mapped directly; see
/// [`aliasing`](crate::aliasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Returns the answer that follows from the architecture only.
pub(crate) fn by_architecture(facts: &DataCache) -> Aliasing {
    let (reason, advice) = match (facts.occurs, facts.evidence) {
        (Occurs::Never, _) => return Aliasing::No { source: facts.source },
        (Occurs::Always, _) => return Aliasing::Yes { source: facts.source },
        (Occurs::Unknown, _) => ("this crate does not know it for this architecture", PLACE),
        (Occurs::ByGeometry(what), evidence) => (what, to_decide(evidence, IS_LINUX)),
    };
    Aliasing::Unknown { reason, advice }
}

/// Firmware and kernels have no files to read.
const fn to_decide(evidence: Evidence, has_proc: bool) -> &'static str {
    match evidence {
        Evidence::Cpuinfo(_) if has_proc => "see what a host's report reads from /proc/cpuinfo",
        _ => PLACE,
    }
}

/// Returns the answer of the architecture, or of the kernel's `/proc/cpuinfo` if the architecture leaves it open.
/// `cpuinfo` is the text of that file, and `page` the size of a page in bytes, as far as they are known.
pub(crate) fn of_machine(facts: &DataCache, cpuinfo: Option<&str>, page: Option<u64>) -> Aliasing {
    let (Occurs::ByGeometry(reason), Evidence::Cpuinfo(judge)) = (facts.occurs, facts.evidence)
    else {
        return by_architecture(facts);
    };
    match (cpuinfo, page) {
        (Some(text), Some(page)) => match judge(Cpuinfo(text), page) {
            Some(true) => Aliasing::Yes { source: "/proc/cpuinfo" },
            Some(false) => Aliasing::No { source: "/proc/cpuinfo" },
            None => Aliasing::Unknown { reason, advice: PLACE },
        },
        _ => Aliasing::Unknown { reason, advice: "mount /proc, and ask again" },
    }
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

#[cfg(test)]
mod tests {
    use super::{PLACE, to_decide};
    use crate::arch::data_cache::Evidence;

    #[test]
    fn firmware_is_not_sent_to_proc() {
        let cpuinfo = Evidence::Cpuinfo(|_, _| None);
        assert!(to_decide(cpuinfo, true).contains("/proc/cpuinfo"));
        assert_eq!(to_decide(cpuinfo, false), PLACE);
    }
}
