//! Whether the data cache aliases: by the architecture, and where it leaves that open, by what the kernel
//! tells.

use crate::arch;
use crate::arch::aliasing::{Occurs, Told};

/// Whether one page can be in the data cache twice, under two virtual addresses.
///
/// It is the answer of Linux's `cpu_dcache_is_aliasing()`, which decides whether files can be mapped
/// directly: see [`aliasing`](crate::aliasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aliasing {
    /// It cannot: a mapping in one process and another elsewhere always agree.
    #[non_exhaustive]
    No {
        /// Who says so.
        source: &'static str,
    },
    /// It can: two mappings of it agree only at addresses that are [congruent](crate::aliasing), and
    /// what the kernel reads and writes agrees with none of them by itself.
    #[non_exhaustive]
    Yes {
        /// Who says so.
        source: &'static str,
    },
    /// It is not known.
    #[non_exhaustive]
    Unknown {
        /// Why.
        reason: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
}

/// What to do where nobody says whether it aliases: what is right if it does.
const PLACE: &str = "place shared mappings of one page at the same address modulo SHMLBA";

/// What the architecture alone says.
pub(super) fn by_architecture(facts: &arch::DataCache) -> Aliasing {
    let (reason, advice) = match (facts.occurs, facts.told) {
        (Occurs::Never, _) => return Aliasing::No { source: facts.source },
        (Occurs::Always, _) => return Aliasing::Yes { source: facts.source },
        (Occurs::Unknown, _) => ("this crate does not know it for this architecture", PLACE),
        (Occurs::ByGeometry(what), Told::InCpuinfo(_)) => {
            (what, "see what a host's report reads from /proc/cpuinfo")
        }
        (Occurs::ByGeometry(what), _) => (what, PLACE),
    };
    Aliasing::Unknown { reason, advice }
}

#[cfg(feature = "std")]
pub(super) use host::distance;
#[cfg(feature = "std")]
pub(crate) use host::of_machine;

#[cfg(feature = "std")]
mod host {
    use super::{Aliasing, PLACE, by_architecture};
    use crate::arch;
    use crate::arch::aliasing::{Cpuinfo, Occurs, Told};
    use crate::system::tree::{Tree, Unknown};
    use std::path::Path;

    const CPUINFO: &str = "/proc/cpuinfo";
    const TAKE_THE_LARGEST: &str = "take 4 MiB, which is a multiple of it";

    /// What the architecture says, and where it leaves it open, the kernel's `/proc/cpuinfo`.
    pub(crate) fn of_machine(
        facts: &arch::DataCache,
        tree: &Tree,
        page: &Result<u64, Unknown>,
    ) -> Aliasing {
        let (Occurs::ByGeometry(reason), Told::InCpuinfo(judge)) = (facts.occurs, facts.told)
        else {
            return by_architecture(facts);
        };
        let cpuinfo = tree.read(Path::new(CPUINFO));
        match (cpuinfo.value(), page) {
            (Some(text), Ok(page)) => match judge(Cpuinfo(text), *page) {
                Some(true) => Aliasing::Yes { source: "/proc/cpuinfo" },
                Some(false) => Aliasing::No { source: "/proc/cpuinfo" },
                None => Aliasing::Unknown { reason, advice: PLACE },
            },
            _ => Aliasing::Unknown { reason, advice: "mount /proc, and ask again" },
        }
    }

    /// At what distance two mappings of one page agree.
    pub(crate) fn distance(
        facts: &arch::DataCache,
        page: &Result<u64, Unknown>,
    ) -> Result<u64, Unknown> {
        let page = page.clone()?;
        facts.distance.bytes(page).map_err(|what| Unknown::new("SHMLBA", what, TAKE_THE_LARGEST))
    }
}
