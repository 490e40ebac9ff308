//! The caches of a CPU, as Linux shows them in sysfs
//! (`Documentation/ABI/testing/sysfs-devices-system-cpu`).
//!
//! They are for information only: no operation here works on a level. On arm64 they come from firmware tables and are
//! often missing.

use crate::Unknown;
use alloc::format;
use alloc::vec::Vec;
use cachemaint::family::tree::Tree;
use std::path::Path;

/// One cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CacheLevel {
    /// The level; 1 is nearest to the CPU.
    pub level: u32,
    /// The kind of content.
    pub kind: CacheKind,
    /// The size of the cache in bytes, if it is shown.
    pub size: Option<u64>,
    /// The size of a line in bytes, if it is shown.
    pub line: Option<u64>,
    /// The number of lines in one set, if it is shown.
    pub ways: Option<u64>,
    /// The number of sets, if it is shown.
    pub sets: Option<u64>,
    /// The number of CPUs that share it, if it is shown.
    pub shared_by: Option<u64>,
}

/// The content of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Data and instructions.
    Unified,
    /// The content is not shown, or in an unknown word.
    Unknown,
}

/// Returns the caches of a CPU, in the kernel's order.
pub(crate) fn levels(tree: &Tree, cpu: usize) -> Result<Vec<CacheLevel>, Unknown> {
    let directory = format!("/sys/devices/system/cpu/cpu{cpu}/cache");
    let levels = caches(tree, Path::new(&directory));
    if levels.is_empty() {
        return Err(Unknown::new(&directory, "none", "see the CPU's manual"));
    }
    Ok(levels)
}

/// Returns the caches in a directory of sysfs, in the kernel's order.
fn caches(tree: &Tree, directory: &Path) -> Vec<CacheLevel> {
    tree.list(directory)
        .iter()
        .filter(|name| {
            name.strip_prefix("index").is_some_and(|number| number.parse::<u32>().is_ok())
        })
        .filter_map(|name| cache(tree, &directory.join(name)))
        .collect()
}

/// Returns a cache; `None` for one without a level, since it cannot be named.
fn cache(tree: &Tree, path: &Path) -> Option<CacheLevel> {
    let attribute = |name| tree.read(&path.join(name));
    let number = |name| attribute(name).value().and_then(|text| text.parse().ok());
    Some(CacheLevel {
        level: attribute("level").value()?.parse().ok()?,
        kind: match attribute("type").value() {
            Some("Data") => CacheKind::Data,
            Some("Instruction") => CacheKind::Instruction,
            Some("Unified") => CacheKind::Unified,
            _ => CacheKind::Unknown,
        },
        size: attribute("size").value().and_then(kibibytes),
        line: number("coherency_line_size"),
        ways: number("ways_of_associativity"),
        sets: number("number_of_sets"),
        shared_by: attribute("shared_cpu_list").value().and_then(cpus),
    })
}

/// Returns the number of CPUs in a list like `0-3,8` (`Documentation/admin-guide/cputopology.rst`).
fn cpus(list: &str) -> Option<u64> {
    list.split(',').try_fold(0_u64, |sum, part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
        sum.checked_add(to.checked_sub(from)?.checked_add(1)?)
    })
}

/// Parses a size, which the kernel writes as `32K`.
fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix('K')?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(all(test, unix))]
mod tests {
    use super::levels;
    use crate::tests::{Fixture, tree_of};

    /// As on a machine with two kinds of cores.
    #[test]
    fn each_cpu_has_its_own_caches() {
        let mut fixture = Fixture::new();
        for (cpu, size) in [(0, "32K"), (6, "64K")] {
            let cache = alloc::format!("sys/devices/system/cpu/cpu{cpu}/cache/index0");
            fixture = fixture.file(&alloc::format!("{cache}/level"), "1\n");
            fixture = fixture.file(&alloc::format!("{cache}/size"), size);
        }
        let size = |cpu| levels(&tree_of(&fixture), cpu).map(|caches| caches[0].size);
        assert_eq!((size(0), size(6)), (Ok(Some(32 << 10)), Ok(Some(64 << 10))));
        let missing = size(7).unwrap_err();
        assert_eq!(missing.reason, "/sys/devices/system/cpu/cpu7/cache: none");
    }
}
