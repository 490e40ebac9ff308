//! The placement of a target's lines before the copy, and the caches that can hold them.

use super::LINE;
use super::memory::copies_of;
use crate::measure::pinning;
use core::fmt;
use std::fs;
use std::path::Path;

/// The placement of a target's lines before the copy, and their state relative to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "benches name them in patterns")]
pub struct Placement {
    /// The nearest cache that has the lines.
    pub level: Level,
    /// True if the lines were changed after they were in memory. A copy finds its target clean if this program has
    /// copied to it before and made it durable.
    pub dirty: bool,
}

/// A level of caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "no CPU here has a cache of a fourth level")]
pub enum Level {
    /// No cache.
    Nowhere,
    /// The first-level data cache.
    L1,
    /// The second-level cache, but not the first.
    L2,
    /// The third-level cache, but not the second.
    L3,
}

impl Placement {
    /// No cache has the lines.
    pub const NOWHERE: Self = Self::clean(Level::Nowhere);

    /// All placements.
    pub const ALL: [Self; 7] = [
        Self::NOWHERE,
        Self::clean(Level::L1),
        Self::clean(Level::L2),
        Self::clean(Level::L3),
        Self::dirty(Level::L1),
        Self::dirty(Level::L2),
        Self::dirty(Level::L3),
    ];

    const fn clean(level: Level) -> Self {
        Self { level, dirty: false }
    }

    const fn dirty(level: Level) -> Self {
        Self { level, dirty: true }
    }
}

/// Prints `none`, `L1`, and dirty lines with a star: `L1*`.
impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match (self.level, self.dirty) {
            (Level::Nowhere, _) => "none",
            (Level::L1, false) => "L1",
            (Level::L2, false) => "L2",
            (Level::L3, false) => "L3",
            (Level::L1, true) => "L1*",
            (Level::L2, true) => "L2*",
            (Level::L3, true) => "L3*",
        })
    }
}

/// The sizes of the data caches in bytes, or 0 for a cache that does not exist or is not reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheSizes {
    /// The first level.
    pub l1: usize,
    /// The second level.
    pub l2: usize,
    /// The third level.
    pub l3: usize,
}

impl CacheSizes {
    /// Returns the cache sizes of the core that this thread is pinned to, as the system reports them.
    #[must_use]
    pub fn here() -> Self {
        let cores = pinning::available().unwrap_or_default();
        let of_level = |level| cores.last().and_then(|core| of_level(*core, level)).unwrap_or(0);
        Self { l1: of_level(1), l2: of_level(2), l3: of_level(3) }
    }

    /// Returns true if copies of `bytes` find their targets there, with their source in the cache too.
    ///
    /// The cache must also hold the bytes that drive the targets out of the previous level. A quarter of it is left for
    /// other data: the cache does not belong only to the program, and pages are not spread evenly over its sets.
    #[must_use]
    pub fn hold(self, placement: Placement, bytes: usize) -> bool {
        let (cache, before) = match placement.level {
            Level::Nowhere => return true,
            Level::L1 => (self.l1, 1),
            Level::L2 => (self.l2, self.l1),
            Level::L3 => (self.l3, self.l2),
        };
        let copied = (copies_of(bytes) + 1) * bytes.next_multiple_of(LINE);
        before > 0 && self.walk(placement.level) + copied <= cache / 4 * 3
    }

    /// Returns the nearest cache that holds copies of `bytes`, with clean lines, or `None` if no cache holds them.
    #[must_use]
    pub fn nearest(self, bytes: usize) -> Option<Placement> {
        let [_nowhere, caches @ ..] = Placement::ALL;
        caches.into_iter().find(|placement| self.hold(*placement, bytes))
    }

    /// Returns the number of bytes to read to drive everything out of the previous level.
    pub(super) const fn walk(self, level: Level) -> usize {
        match level {
            Level::Nowhere | Level::L1 => 0,
            Level::L2 => 4 * self.l1,
            Level::L3 => 3 * self.l2,
        }
    }
}

/// Returns the bytes of a core's data cache of this level (Linux `Documentation/ABI/testing/sysfs-devices-system-cpu`).
fn of_level(core: usize, level: usize) -> Option<usize> {
    let directory = format!("/sys/devices/system/cpu/cpu{core}/cache");
    let caches = fs::read_dir(directory).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let read = |cache: &Path, name| fs::read_to_string(cache.join(name)).unwrap_or_default();
    let mut of_data = caches.filter(|cache| {
        read(cache, "level").trim() == level.to_string() && read(cache, "type") != "Instruction\n"
    });
    let kibibytes =
        read(&of_data.next()?, "size").trim().strip_suffix('K')?.parse::<usize>().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::{CacheSizes, Level, Placement};

    /// Three quarters of 48 KiB are 36 KiB, for target and source.
    #[test]
    fn a_level_holds_what_fits_in_three_quarters_of_it_twice() {
        let sizes = CacheSizes { l1: 48 << 10, l2: 2 << 20, l3: 0 };
        let hold = |level, bytes| sizes.hold(Placement::clean(level), bytes);
        assert!(hold(Level::L1, 18 << 10));
        assert!(!hold(Level::L1, (18 << 10) + 1));
        assert!(hold(Level::L2, 512 << 10));
        assert!(hold(Level::Nowhere, usize::MAX));
        assert!(!hold(Level::L3, 1), "the level is missing");
    }

    /// Four times 32 KiB, the target and the source are all of 256 KiB. Three times 2 MiB are all of 6 MiB.
    #[test]
    fn a_level_does_not_hold_a_target_that_the_walk_drives_out() {
        let small = CacheSizes { l1: 32 << 10, l2: 256 << 10, l3: 8 << 20 };
        let hold = |level, bytes| small.hold(Placement::clean(level), bytes);
        assert!(!hold(Level::L2, 64 << 10));
        assert!(hold(Level::L2, 4 << 10));
        let flat = CacheSizes { l1: 32 << 10, l2: 2 << 20, l3: 6 << 20 };
        assert!(!flat.hold(Placement::clean(Level::L3), 1));
    }

    /// Four copies of 4 KiB to targets of their own, and their source, are 20 KiB.
    #[test]
    fn a_level_holds_all_targets_of_a_sample() {
        let hold =
            |l1| CacheSizes { l1, l2: 1 << 20, l3: 0 }.hold(Placement::clean(Level::L1), 4 << 10);
        assert!(!hold(24 << 10));
        assert!(hold(28 << 10));
    }

    #[test]
    fn common_caches_hold_the_usual_sizes() {
        let sizes = CacheSizes { l1: 32 << 10, l2: 512 << 10, l3: 32 << 20 };
        for (level, largest) in [(Level::L1, 12 << 10), (Level::L2, 64 << 10), (Level::L3, 8 << 20)]
        {
            let held = (0..).map(|power| 1 << power).take_while(|bytes| *bytes <= largest);
            for bytes in held.chain([largest]) {
                assert!(sizes.hold(Placement::clean(level), bytes), "{level:?}: {bytes}");
            }
        }
    }

    /// A copy of 64 MiB has its target in memory, which is not a nearest cache.
    #[test]
    fn the_nearest_cache_is_never_nowhere() {
        let sizes = CacheSizes { l1: 32 << 10, l2: 512 << 10, l3: 32 << 20 };
        let nearest = [8, 64 << 10, 1 << 20, 64 << 20].map(|bytes| sizes.nearest(bytes));
        let level = |level| Some(Placement::clean(level));
        assert_eq!(nearest, [level(Level::L1), level(Level::L2), level(Level::L3), None]);
    }

    /// Nothing could be driven out of a first level of unknown size.
    #[test]
    fn a_level_is_left_out_if_the_one_before_is_not_known() {
        let sizes = CacheSizes { l1: 0, l2: 2 << 20, l3: 32 << 20 };
        let hold = |level| sizes.hold(Placement::clean(level), 1);
        assert!(!hold(Level::L1));
        assert!(!hold(Level::L2));
        assert!(hold(Level::L3));
    }

    #[test]
    fn names_are_short_and_differ() {
        let names = Placement::ALL.map(|placement| placement.to_string());
        assert_eq!(names, ["none", "L1", "L2", "L3", "L1*", "L2*", "L3*"]);
    }
}
