//! The rules of file systems: which effects need which others, and what a sync makes durable.
//!
//! | rule | `posix` | `ext4` | `xfs` | `btrfs` |
//! |---|---|---|---|---|
//! | names, cuts, holes | independent of each other | one ordered journal (jbd2: Documentation/filesystems/ext4/journal.rst) | one ordered log (xfs-delayed-logging-design.rst) | one ordered transaction, except for what was synced; a sync of any file may bring later names of what earlier syncs put into the log (`btrfs_log_new_name`), a removal not without the rename of a file that was synced just before (`btrfs_sync_log`) |
//! | bytes before a cut in their block | independent | written with zeros before the new size, if the block is allocated (`ext4_block_truncate_page`); if not, the size may show zeros | the last ones beyond the size on the disk, and the last block if the file grows, are written before the new size (`xfs_setattr_size`) | written before (`btrfs_wait_ordered_range`) |
//! | bytes over old ones | torn by blocks | torn by sectors of 512 bytes: written in place | as ext4 | blocks of 4,096: written elsewhere, then referred to |
//! | bytes in a new block | torn by blocks; before them zeros or garbage | whole or zeros: the extent is unwritten until the I/O ends (`ext4_convert_unwritten_extents`) | whole or zeros (`xfs_iomap_write_unwritten`) | whole or zeros |
//! | size within an old block | independent | in the journal at once (`ext4_da_should_update_i_disksize`) | after the bytes (`xfs_setfilesize`) | after some bytes |
//! | size of new blocks | independent | at the submission of the write, with zeros if the bytes are not there yet (`mpage_map_and_submit_extent`); `ext4-ordered`, before Linux 5.6: after the bytes | after the bytes of the last block (`xfs_end_ioend`) | with `NO_HOLES`, the size in memory comes with any block that is written (`btrfs_inode_safe_disk_i_size_write`) |
//! | names before new blocks and their sizes | independent | come first: the size changes in a later handle (`mpage_map_and_submit_extent`, `ext4_convert_unwritten_extents`) | come first: the transaction at the end of the write is later (`xfs_iomap_write_unwritten`, `xfs_setfilesize`) | come first, except for what was synced (`btrfs_finish_one_ordered`) |
//! | rename over a file, close of a file that was cut | nothing | new blocks are allocated, so their size comes first (`auto_da_alloc`; Documentation/admin-guide/ext4.rst) | nothing: a write-back begins (`xfs_file_release`) | a write-back begins (`btrfs_rename`, `btrfs_release_file`): up to 2,048 bytes are in the transaction first (`cow_file_range_inline`) |
//! | fsync of a file | the file, without its names | the file, and the journal up to its last change (`ext4_sync_file`): later names may be lost, since its blocks may have been committed before | as ext4 (`xfs_fsync_flush_log`) | the file with all its names and directories (`btrfs_log_inode_parent`), nothing else |
//! | fsync of a directory | its entries | the whole journal (`ext4_inode_journal_mode`, `ext4_force_commit`) | the journal up to its last change | its entries |
//! | fdatasync of a file | bytes, size | as fsync, but not a mere rename (`i_datasync_tid`) | as fsync: names are changes of the inode too (`XFS_ILOG_CORE`) | as fsync |
//! | `sync_file_range` that waits | nothing | durable with the next sync of any file: the extents are in the journal, and a sync flushes the drive (`ext4_end_io_end`, `ext4_sync_file`) | as ext4 (`xfs_end_ioend`, `xfs_file_fsync`) | nothing: extents are added after the wait (`end_bbio_data_write`) |
//!
//! POSIX says of fsync(2) only what concerns the file; the manual adds that the entry in the directory needs its own
//! call. `posix` is what a program may rely on everywhere.
//!
//! # Limits
//! A file system's own metadata are never torn, journals of data (`data=journal`) and nobarrier are not modelled, and
//! btrfs writes elsewhere (no `nodatacow`). Extended attributes, owners, modes and times are not in the states. A file that was
//! cut is written back by the first close of any descriptor (`ext4_release_file`): if another program closes it before the bytes
//! are written, the program's own close does nothing.

use core::fmt;
use core::str::FromStr;

/// The rules of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// What POSIX promises, and nothing else.
    Posix(Posix),
    /// ext4 with its default options since Linux 5.6.
    Ext4,
    /// ext4 before Linux 5.6, or with `nodioread_nolock`: sizes follow bytes.
    OrderedExt4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

/// The choices that POSIX leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posix {
    /// The size of a block that is written whole, in bytes: 512 or 4,096.
    pub block: u64,
    /// A size may be durable before the bytes, and then shows bytes that nobody wrote (Pillai et al., "All File Systems
    /// Are Not Created Equal", OSDI 2014).
    pub garbage: bool,
    /// A rename may lose the old name without having the new one, or have both.
    pub steps: bool,
}

impl Default for Posix {
    fn default() -> Self {
        Self { block: 4096, garbage: false, steps: false }
    }
}

/// The unit in which bytes over old ones are torn, in bytes.
pub(crate) const SECTOR: u64 = 512;

/// The size of a file system's block, in bytes.
pub(crate) const BLOCK: u64 = 4096;

impl Model {
    /// POSIX without garbage, with blocks of 4,096 bytes and renames in one step.
    pub const POSIX: Self = Self::Posix(Posix { block: 4096, garbage: false, steps: false });

    /// Returns the rules for the file system of this name, as the kernel names it.
    #[must_use]
    pub fn of_file_system(name: &str) -> Option<Self> {
        match name {
            "ext4" => Some(Self::Ext4),
            "xfs" => Some(Self::Xfs),
            "btrfs" => Some(Self::Btrfs),
            _ => None,
        }
    }

    /// Returns true if names, cuts and holes reach the drive in their order.
    pub(crate) fn has_journal(self) -> bool {
        !matches!(self, Self::Posix(_))
    }

    pub(crate) fn is_ext4(self) -> bool {
        matches!(self, Self::Ext4 | Self::OrderedExt4)
    }

    /// Returns the unit in which bytes over old ones are torn.
    pub(crate) fn unit(self) -> u64 {
        match self {
            Self::Posix(Posix { block, .. }) => block,
            Self::Btrfs => BLOCK,
            _ => SECTOR,
        }
    }

    pub(crate) fn posix(self) -> Option<Posix> {
        match self {
            Self::Posix(posix) => Some(posix),
            _ => None,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Posix(Posix { block, garbage, steps }) => {
                f.write_str("posix")?;
                if *block != BLOCK {
                    write!(f, "+{block}")?;
                }
                if *garbage {
                    f.write_str("+garbage")?;
                }
                if *steps {
                    f.write_str("+steps")?;
                }
                Ok(())
            }
            Self::Ext4 => f.write_str("ext4"),
            Self::OrderedExt4 => f.write_str("ext4-ordered"),
            Self::Xfs => f.write_str("xfs"),
            Self::Btrfs => f.write_str("btrfs"),
        }
    }
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split('+');
        let name = words.next().unwrap_or_default();
        if name != "posix" {
            return match text {
                "ext4-ordered" => Ok(Self::OrderedExt4),
                _ => Self::of_file_system(text).ok_or_else(|| {
                    format!(
                        "there is no model {text}; use ext4, ext4-ordered, xfs, btrfs or posix, and after posix +512, +garbage or +steps"
                    )
                }),
            };
        }
        let mut posix = Posix::default();
        for word in words {
            match word {
                "512" => posix.block = SECTOR,
                "4096" => posix.block = BLOCK,
                "garbage" => posix.garbage = true,
                "steps" => posix.steps = true,
                _ => {
                    return Err(format!(
                        "posix has no option {word}; use +512, +garbage or +steps"
                    ));
                }
            }
        }
        Ok(Self::Posix(posix))
    }
}
