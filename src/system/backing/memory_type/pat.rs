//! The page attribute table's types that the kernel has reserved for physical ranges.

use super::{AS_ROOT, ASK_RULE, MemoryType, hexadecimal, shown};
use crate::system::tree::{Attribute, Evidence, Tree, Unknown};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use std::path::Path;

pub(super) const LIST: &str = "/sys/kernel/debug/x86/pat_memtype_list";

const MOUNT_DEBUGFS: &str = "as root mount it (mount -t debugfs none /sys/kernel/debug); without a PAT, \
                             or locked down, a kernel has no such list";

/// A type that the kernel reserves (`arch/x86/mm/pat/memtype.h`, `cattr_name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    Is(MemoryType),
    /// Uncached, unless an MTRR says write-combining.
    UncachedMinus,
}

impl Reserved {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "write-back" => Self::Is(MemoryType::WriteBack),
            "write-through" => Self::Is(MemoryType::WriteThrough),
            "write-protected" => Self::Is(MemoryType::WriteProtected),
            "write-combining" => Self::Is(MemoryType::WriteCombining),
            "uncached" => Self::Is(MemoryType::Uncached),
            "uncached-minus" => Self::UncachedMinus,
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Is(known) => known.name(),
            Self::UncachedMinus => "uncached-minus",
        }
    }
}

/// Returns the one type that is reserved for a whole range.
pub(super) fn reserved(
    tree: &Tree,
    range: &Range<u64>,
    evidence: &mut Vec<Evidence>,
) -> Result<Reserved, Unknown> {
    let attribute = tree.read(Path::new(LIST));
    let Some(text) = attribute.value() else {
        evidence.push(Evidence::new(LIST, attribute.describe()));
        let advice = if attribute == Attribute::Absent { MOUNT_DEBUGFS } else { AS_ROOT };
        return Err(Unknown::new(LIST, &attribute.describe(), advice));
    };
    let asked = format!("{LIST}: {}", shown(range));
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| *line != HEADING) {
        let Some((entry, kind)) = entry(line) else {
            evidence.push(Evidence::new(LIST, line));
            return Err(Unknown::new(LIST, &format!("a line not known here: {line}"), ASK_RULE));
        };
        if entry.start < range.end && range.start < entry.end {
            entries.push((entry, kind));
        }
    }
    entries.sort_by_key(|(entry, _)| entry.start);
    let Some(&(_, reserved)) = entries.first() else {
        evidence.push(Evidence::new(&asked, "no entry"));
        return Err(Unknown::new(&asked, "no entry", ASK_RULE));
    };
    let answers: Vec<String> =
        entries.iter().map(|(entry, kind)| format!("{} {}", shown(entry), kind.name())).collect();
    let answer = answers.join(", ");
    evidence.push(Evidence::new(&asked, &answer));
    let reaches = entries.iter().fold(range.start, |reached, (entry, _)| {
        if entry.start <= reached { reached.max(entry.end) } else { reached }
    });
    if reaches < range.end || entries.iter().any(|(_, other)| *other != reserved) {
        let several = format!("not one type for all of it: {answer}");
        return Err(Unknown::new(&asked, &several, ASK_RULE));
    }
    Ok(reserved)
}

/// The first line of the list.
const HEADING: &str = "PAT memtype list:";

/// Parses `PAT: [mem 0x0000000140000000-0x0000000150000000] write-back`, and in older kernels
/// `write-back @ 0x140000000-0x150000000`.
fn entry(line: &str) -> Option<(Range<u64>, Reserved)> {
    let (range, name) = match line.strip_prefix("PAT: [mem ") {
        Some(rest) => rest.split_once("] ")?,
        None => line.split_once(" @ ").map(|(name, range)| (range, name))?,
    };
    let (start, end) = range.split_once('-')?;
    Some((hexadecimal(start)?..hexadecimal(end)?, Reserved::named(name.trim())?))
}
