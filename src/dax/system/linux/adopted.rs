//! Mappings that the caller has made, and the kernel's word on how.

use crate::system::tree::{Attribute, Evidence, Tree};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use std::path::Path;

const SMAPS: &str = "/proc/self/smaps";
const MAPS: &str = "/proc/self/maps";

/// The addresses of a mapping, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Refuses addresses that are not a shared, writable mapping of a file from `offset` on, as `/proc/self/maps` shows them.
/// The error is the reason and the action. Without `/proc` nothing is refused: the caller vouches for the mapping.
pub(super) fn require_shared(
    tree: &Tree,
    asked: Addresses,
    offset: u64,
) -> Result<(), &'static str> {
    let Attribute::Value(maps) = tree.read(Path::new(MAPS)) else { return Ok(()) };
    let mut at = asked.start;
    for part in maps.lines().filter_map(Part::parse) {
        if !part.addresses.contains(&at) {
            continue;
        }
        if !part.is_shared {
            return Err("the mapping is private; make it with MAP_SHARED");
        }
        if !part.is_writable {
            return Err(
                "the mapping cannot be written; make it with PROT_READ and PROT_WRITE, or view the file",
            );
        }
        if part.offset + (at - part.addresses.start) != offset + (at - asked.start) {
            return Err(
                "the mapping begins elsewhere in its file; give that offset to Options::offset",
            );
        }
        at = part.addresses.end;
        if at >= asked.end {
            return Ok(());
        }
    }
    Err("not all of these addresses are mapped; adopt the mapping as it is")
}

/// A line of `/proc/self/maps` (`Documentation/filesystems/proc.rst`, 1.1).
struct Part {
    addresses: Range<u64>,
    is_shared: bool,
    is_writable: bool,
    offset: u64,
}

impl Part {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let addresses = range(words.next()?)?;
        let permissions = words.next()?;
        let offset = u64::from_str_radix(words.next()?, 16).ok()?;
        let (is_shared, is_writable) = (permissions.ends_with('s'), permissions.contains('w'));
        Some(Self { addresses, is_shared, is_writable, offset })
    }
}

/// Refuses a mapping that was made without `MAP_SYNC`, or of which this is not known: a store through it can reach a
/// block that the file system has not committed. The error is the reason and the advice.
pub(super) fn require_map_sync(
    tree: &Tree,
    addresses: Addresses,
    evidence: &mut Vec<Evidence>,
) -> Result<(), (String, &'static str)> {
    let attribute = tree.read(Path::new(SMAPS));
    let (answer, refusal) = match &attribute {
        Attribute::Value(smaps) if is_synchronous(smaps, addresses) => ("sf".to_string(), None),
        Attribute::Value(_) => (
            "no sf".to_string(),
            Some((
                "the mapping was made without MAP_SYNC, so that a store can need the file system",
                "make it with MAP_SHARED_VALIDATE and MAP_SYNC, or have the file mapped by open_file",
            )),
        ),
        Attribute::Absent | Attribute::Unreadable(_) => (
            attribute.describe(),
            Some((
                "no /proc/self/smaps shows that the mapping was made with MAP_SYNC",
                "let this process read /proc, or have the file mapped by open_file",
            )),
        ),
    };
    evidence.push(Evidence::new("/proc/self/smaps: VmFlags", answer));
    refusal.map_or(Ok(()), |(reason, advice)| Err((reason.to_string(), advice)))
}

/// Returns true if all parts of a mapping have the flag `sf` (`Documentation/filesystems/proc.rst`, 1.1). Parts are
/// listed in the order of their addresses.
fn is_synchronous(smaps: &str, Addresses { start, end }: Addresses) -> bool {
    let (mut part, mut at): (Option<Range<u64>>, _) = (None, start);
    for line in smaps.lines() {
        let Some(flags) = line.strip_prefix("VmFlags:") else {
            part = range(line).or(part);
            continue;
        };
        let Some(part) = part.take().filter(|part| part.contains(&at)) else { continue };
        if !flags.split_whitespace().any(|flag| flag == "sf") {
            return false;
        }
        at = part.end;
        if at >= end {
            return true;
        }
    }
    false
}

/// Returns the addresses in the first line of a part: `7f10e0000000-7f10e0200000 rw-s …`.
fn range(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    Some(number(start)?..number(end)?)
}
