//! The files behind the sectors of a drive: on ext4 by debugfs(8), which knows the journal too; on xfs by the kernel. On
//! btrfs, files have addresses that are not those of the drive.
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, ensure};
use lose_lines_drive::content::PAGE;
use lose_lines_drive::file_system::FileSystem;
use lose_lines_drive::log::SECTOR;
use lose_lines_drive::states::{Lost, losing};
use lose_lines_machine::command::Cmd;
use lose_lines_machine::pmem::DIRECTORY;
use serde::Serialize;

use super::machine::InMachine;
use super::trials::DriveTrials;

/// The inode of the journal (Linux, `fs/ext4/ext4.h`, `EXT4_JOURNAL_INO`).
const JOURNAL: u64 = 8;

/// The highest exit code of e2fsck(8) that is not a complaint: errors were corrected, and the system should be
/// rebooted.
const CORRECTED: i32 = 2;

/// A part of a write that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostPart {
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
    let (mut owners, mut failure) = (BTreeMap::new(), None);
    // A block that does not belong to a file yet at the cut belongs to it at the end.
    for event in [trials.log.events.len(), event] {
        let found = match trials.log.file_system {
            _ if blocks.is_empty() => Ok(BTreeMap::new()),
            FileSystem::Ext4 => owners_of(trials, event, &blocks),
            FileSystem::Xfs => owners_by_kernel(trials, event, &blocks, machine),
            FileSystem::Btrfs => Ok(BTreeMap::new()),
        };
        match found {
            Ok(found) => owners.extend(found),
            Err(why) => failure = Some(why),
        }
    }
    let mut parts: Vec<LostPart> = Vec::new();
    for (event, range) in ranges() {
        for at in range.clone().step_by(SECTOR) {
            let owner = owners.get(&(at / PAGE));
            let (file, offset) = owner.map_or((None, None), |owner| {
                (Some(owner.file.clone()), owner.offset.map(|offset| offset + (at % PAGE) as u64))
            });
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

/// The file of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    file: String,
    /// The offset of the block in it; `None` if offsets do not apply, as in the journal.
    offset: Option<u64>,
}

/// Returns the files that own blocks if every write before an event has survived, as the kernel says.
fn owners_by_kernel(
    trials: &DriveTrials<'_>,
    event: usize,
    blocks: &BTreeSet<usize>,
    machine: &mut InMachine<'_>,
) -> Result<BTreeMap<usize, Owner>> {
    let image = trials.states().build(&losing(event, [])).image;
    let extents =
        machine.mounted(&image, trials.log.file_system, |machine| machine.extents(DIRECTORY))?;
    let owner = |block: &usize| {
        let at = (block * PAGE) as u64;
        let extents = extents.iter().flatten();
        let extent = extents
            .into_iter()
            .find(|extent| (extent.start..extent.start + extent.len).contains(&at))?;
        let path = Path::new(&extent.path);
        let file = path.strip_prefix(DIRECTORY).unwrap_or(path).display().to_string();
        Some((*block, Owner { file, offset: Some(at - extent.start + extent.offset) }))
    };
    Ok(blocks.iter().filter_map(owner).collect())
}

/// Returns the files that own blocks if every write before an event has survived, as debugfs(8) says.
fn owners_of(
    trials: &DriveTrials<'_>,
    event: usize,
    blocks: &BTreeSet<usize>,
) -> Result<BTreeMap<usize, Owner>> {
    let folder = tempfile::tempdir_in(&trials.test.kit.work)?;
    let image = folder.path().join("image");
    trials.states().build(&losing(event, [])).image.save(&image)?;
    let e2fsck = trials.test.kit.program("e2fsck")?;
    let (ending, output) =
        e2fsck.words("-fy -E journal_only").arg(image.display().to_string()).ending()?;
    ensure!(
        ending.code.is_some_and(|code| code <= CORRECTED),
        "e2fsck(8) does not replay the journal: it {} {}",
        ending.told,
        output.trim_end()
    );
    let tool = trials.test.kit.program("debugfs")?;
    let ask = |request: String| debugfs(&tool, &image, &request);
    let list = |numbers: &mut dyn Iterator<Item = String>| numbers.collect::<Vec<_>>().join(" ");
    let inodes =
        pairs(&ask(format!("icheck {}", list(&mut blocks.iter().map(ToString::to_string))))?);
    let of_files: BTreeSet<u64> = inodes.values().filter_map(|inode| inode.parse().ok()).collect();
    let names =
        pairs(&ask(format!("ncheck {}", list(&mut of_files.iter().map(ToString::to_string))))?);
    let mut owners = BTreeMap::new();
    for inode in of_files {
        if inode == JOURNAL {
            let ours = inodes.iter().filter(|(_, of)| **of == inode.to_string());
            let journal = Owner { file: String::from("the journal of ext4"), offset: None };
            owners.extend(
                ours.filter_map(|(block, _)| {
                    Some((usize::try_from(*block).ok()?, journal.clone()))
                }),
            );
            continue;
        }
        let Some(file) = names.get(&inode) else { continue };
        let extents = extents(&ask(format!("dump_extents <{inode}>"))?);
        for block in blocks {
            let extent = extents.iter().find(|extent| extent.physical.contains(&(*block as u64)));
            let is_ours = inodes.get(&(*block as u64)).is_some_and(|of| *of == inode.to_string());
            if is_ours {
                let offset = extent.map(|extent| {
                    (*block as u64 - extent.physical.start + extent.logical) * PAGE as u64
                });
                owners.insert(
                    *block,
                    Owner { file: file.trim_start_matches('/').to_owned(), offset },
                );
            }
        }
    }
    Ok(owners)
}

fn debugfs(debugfs: &Cmd, image: &Path, request: &str) -> Result<String> {
    let (ending, output) =
        debugfs.clone().arg("-R").arg(request).arg(image.display().to_string()).ending()?;
    ensure!(ending.code == Some(0), "debugfs(8) {}", ending.told);
    Ok(output)
}

/// Returns the lines of a table with a number and a text.
fn pairs(table: &str) -> BTreeMap<u64, String> {
    let pair = |line: &str| {
        let (number, text) = line.split_once('\t')?;
        Some((number.trim().parse().ok()?, text.trim().to_owned()))
    };
    table.lines().filter_map(pair).collect()
}

/// Consecutive blocks of a file on the drive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extent {
    logical: u64,
    physical: core::ops::Range<u64>,
}

/// Returns the leaves in a table of debugfs: `Level Entries Logical Physical Length Flags`. Inner levels of the tree
/// have no physical end.
fn extents(table: &str) -> Vec<Extent> {
    let extent = |line: &str| {
        let line = line.replace(['/', '-'], " ");
        let numbers: Vec<u64> =
            line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [_, _, _, _, logical, _, first, last, _] = *numbers else { return None };
        Some(Extent { logical, physical: first..last + 1 })
    };
    table.lines().filter_map(extent).collect()
}

#[cfg(test)]
mod tests {
    use super::{Extent, LostPart, extents, pairs};

    /// Tables from debugfs 1.47.0.
    #[test]
    fn the_tables_of_debugfs_are_read() {
        let table = "Level Entries       Logical      Physical Length Flags\n \
                      0/ 1   1/  1     0 -   199  2071            200\n \
                      1/ 1   1/ 21     0 -     0  2070 -  2070      1 \n \
                      1/ 1   2/ 21     2 -     9  2072 -  2079      8 Uninit\n";
        let expected = [(0, 2070..2071), (2, 2072..2080)];
        let expected = expected.map(|(logical, physical)| Extent { logical, physical });
        assert_eq!(extents(table), expected);
        let inodes = pairs("Block\tInode number\n2065\t12\n8193\t<block not found>\n");
        assert_eq!(inodes.get(&2065).map(String::as_str), Some("12"));
        assert_eq!(
            pairs("Inode\tPathname\n12\t//a b\n").get(&12).map(String::as_str),
            Some("//a b")
        );
    }

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
