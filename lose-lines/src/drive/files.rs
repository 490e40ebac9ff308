//! The files behind the sectors of a drive, as the kernel says. On btrfs, files have addresses that are not those of the
//! drive.
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use lose_lines_drive::content::PAGE;
use lose_lines_drive::file_system::FileSystem;
use lose_lines_drive::log::SECTOR;
use lose_lines_drive::states::{Lost, losing};
use lose_lines_machine::pmem::DIRECTORY;
use serde::Serialize;

use super::machine::InMachine;
use super::trials::DriveTrials;
use crate::extents::owner;

/// A part of a write that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LostPart {
    /// The number of the write's event.
    pub event: usize,
    /// The first sector on the drive, and the number of sectors.
    pub sector: usize,
    pub sectors: usize,
    /// The path of the file, or "the journal of ext4"; `None` for other blocks of a file system, and on btrfs.
    pub file: Option<String>,
    /// The offset in the file.
    pub offset: Option<u64>,
}

impl fmt::Display for LostPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, sector, sectors, file, offset } = self;
        match file {
            Some(file) => write!(f, "{file}")?,
            None => write!(f, "no known file")?,
        }
        if let Some(offset) = offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {} bytes (write {event}, from sector {sector} on)", sectors * SECTOR)
    }
}

/// Returns the parts of lost writes, with their files if those can be found, and the reason if not.
pub(super) fn parts(
    trials: &DriveTrials<'_>,
    event: usize,
    lost: &[Lost],
    machine: &mut InMachine<'_>,
) -> (Vec<LostPart>, Option<anyhow::Error>) {
    let ranges =
        || lost.iter().flat_map(|lost| lost.ranges.iter().map(|range| (lost.event, range)));
    let blocks: BTreeSet<usize> =
        ranges().flat_map(|(_, range)| range.start / PAGE..range.end.div_ceil(PAGE)).collect();
    let (mut known, mut failure) = (BTreeMap::new(), None);
    let is_known = !blocks.is_empty() && trials.log.file_system != FileSystem::Btrfs;
    // A block that does not belong to a file yet at the cut belongs to it at the end.
    for event in [trials.log.events.len(), event].into_iter().filter(|_event| is_known) {
        match owners(trials, event, &blocks, machine) {
            Ok(found) => known.extend(found),
            Err(why) => failure = Some(why),
        }
    }
    let mut parts: Vec<LostPart> = Vec::new();
    for (event, range) in ranges() {
        for at in range.clone().step_by(SECTOR) {
            let (file, offset) = known.get(&(at / PAGE)).cloned().unzip();
            let offset = offset.flatten().map(|offset| offset + (at % PAGE) as u64);
            let part = LostPart { event, sector: at / SECTOR, sectors: 1, file, offset };
            match parts.last_mut().filter(|before| before.is_before(&part)) {
                Some(before) => before.sectors += 1,
                None => parts.push(part),
            }
        }
    }
    (parts, failure)
}

impl LostPart {
    /// Returns true if the other part continues this one.
    fn is_before(&self, next: &Self) -> bool {
        let bytes = (self.sectors * SECTOR) as u64;
        (self.event, self.sector + self.sectors, &self.file)
            == (next.event, next.sector, &next.file)
            && self.offset.map(|offset| offset + bytes) == next.offset
    }
}

/// The file of a block, and the offset of the block in it; `None` if offsets do not apply, as in the journal.
type Owner = (String, Option<u64>);

/// Returns the files that own blocks if every write before an event has survived.
fn owners(
    trials: &DriveTrials<'_>,
    event: usize,
    blocks: &BTreeSet<usize>,
    machine: &mut InMachine<'_>,
) -> Result<BTreeMap<usize, Owner>> {
    let image = trials.states().build(&losing(event, [])).image;
    let extents =
        machine.mounted(&image, trials.log.file_system, |machine| machine.extents(DIRECTORY))?;
    let (extents, journal) = (extents.unwrap_or_default(), trials.log.journal());
    let of = |block: &usize| {
        let at = block * PAGE;
        if journal.as_ref().is_some_and(|journal| journal.contains(&at)) {
            return Some((*block, (String::from("the journal of ext4"), None)));
        }
        owner(&extents, at as u64).map(|(file, offset)| (*block, (file, Some(offset))))
    };
    Ok(blocks.iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::LostPart;

    #[test]
    fn a_part_goes_on_in_the_same_file_only() {
        let part = |sector, file: &str, offset| LostPart {
            event: 3,
            sector,
            sectors: 1,
            file: Some(file.to_owned()),
            offset: Some(offset),
        };
        let first = part(8, "/a", 512);
        assert!(first.is_before(&part(9, "/a", 1024)));
        for other in [part(9, "/b", 1024), part(9, "/a", 4096), part(10, "/a", 1024)] {
            assert!(!first.is_before(&other), "{other}");
        }
        assert_eq!(first.to_string(), "/a at offset 512: 512 bytes (write 3, from sector 8 on)");
    }
}
