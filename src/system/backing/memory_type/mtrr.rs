//! The memory type range registers that firmware set.

use super::{MemoryType, hexadecimal, shown};
use crate::system::tree::{Evidence, Tree};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use std::path::Path;

const MTRR: &str = "/proc/mtrr";

/// The types that the variable MTRRs give a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// This type for all of it.
    Is(MemoryType),
    /// No register covers a part of the range: it has the default type, which is not shown.
    Default,
    /// The type is not shown. Where the kernel reserved write-back, it has made the comparison itself.
    NotShown(String),
    /// Not one type for all of it, or types that do not combine.
    Mixed(String),
}

/// Finds the types of a range in `/proc/mtrr`.
pub(super) fn set(tree: &Tree, range: &Range<u64>, evidence: &mut Vec<Evidence>) -> Set {
    let attribute = tree.read(Path::new(MTRR));
    let Some(text) = attribute.value() else {
        evidence.push(Evidence::new(MTRR, attribute.describe()));
        return Set::NotShown(format!("{MTRR}: {}", attribute.describe()));
    };
    let mut about: Vec<&str> = Vec::new();
    let mut set = Set::Default;
    for line in text.lines() {
        let Some((register, kind)) = register(line) else {
            evidence.push(Evidence::new(MTRR, line));
            return Set::NotShown(format!("{MTRR} has a line that is not known here: {line}"));
        };
        if register.start < range.end && range.start < register.end {
            about.push(line);
            let covers = register.start <= range.start && range.end <= register.end;
            set = both(set, one(line, kind, covers));
        }
    }
    let answer =
        if about.is_empty() { "no range is about it".to_string() } else { about.join(", ") };
    evidence.push(Evidence::new(format!("{MTRR}: {}", shown(range)), answer));
    set
}

/// Returns the types that one register gives a range, all of which it covers or a part.
fn one(line: &str, kind: Option<MemoryType>, covers: bool) -> Set {
    match (kind, covers) {
        (Some(kind), true) => Set::Is(kind),
        (Some(MemoryType::WriteBack), false) => Set::NotShown(format!("{line}: a part of it")),
        (Some(_), false) => Set::Mixed(format!("{line}: a part of it")),
        (None, _) => Set::Mixed(format!("{line}: a type not known here")),
    }
}

/// Parses `reg00: base=0x080000000 ( 2048MB), size= 2048MB, count=1: uncachable`.
fn register(line: &str) -> Option<(Range<u64>, Option<MemoryType>)> {
    let (_, rest) = line.split_once("base=")?;
    let (base, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once("size=")?;
    let (size, rest) = rest.split_once("B,")?;
    let unit = if size.ends_with('K') { 10 } else { 20 };
    let size: u64 = size.trim_end_matches(['K', 'M']).trim().parse().ok()?;
    let base = hexadecimal(base)?;
    let end = base.checked_add(size.checked_mul(1 << unit)?)?;
    let (_, kind) = rest.rsplit_once(": ")?;
    let kind = match kind {
        "uncachable" => Some(MemoryType::Uncached),
        "write-combining" => Some(MemoryType::WriteCombining),
        "write-through" => Some(MemoryType::WriteThrough),
        "write-protect" => Some(MemoryType::WriteProtected),
        "write-back" => Some(MemoryType::WriteBack),
        _ => None,
    };
    Some((base..end, kind))
}

/// Returns the combined type. Of ranges that overlap uncached wins, and write-through over
/// write-back; others are undefined (Intel SDM vol. 3A, "MTRR Precedences"). Here `NotShown` stands
/// for write-back for a part.
fn both(first: Set, second: Set) -> Set {
    use MemoryType::{Uncached, WriteBack, WriteThrough};
    match (first, second) {
        (Set::Mixed(why), _) | (_, Set::Mixed(why)) => Set::Mixed(why),
        (Set::Default, other) | (other, Set::Default) => other,
        (Set::NotShown(why), Set::NotShown(_)) => Set::NotShown(why),
        (Set::Is(kind @ (Uncached | WriteThrough | WriteBack)), Set::NotShown(_))
        | (Set::NotShown(_), Set::Is(kind @ (Uncached | WriteThrough | WriteBack))) => {
            Set::Is(kind)
        }
        (Set::Is(first), Set::Is(second)) if first == second => Set::Is(first),
        (Set::Is(Uncached), Set::Is(_)) | (Set::Is(_), Set::Is(Uncached)) => Set::Is(Uncached),
        (Set::Is(WriteThrough), Set::Is(WriteBack))
        | (Set::Is(WriteBack), Set::Is(WriteThrough)) => Set::Is(WriteThrough),
        (_, _) => Set::Mixed(format!("{MTRR} has types for it that do not combine")),
    }
}
