//! The file systems of a drive.

use core::fmt;

use clap::ValueEnum;

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Returns a size in MiB with room for small databases. The smallest xfs has 300 MiB (mkfs.xfs(8)).
    pub const fn default_size(self) -> usize {
        match self {
            Self::Ext4 | Self::Btrfs => 256,
            Self::Xfs => 320,
        }
    }

    /// Returns the smallest size in MiB (mkfs.xfs(8), mkfs.btrfs(8); room for ext4's journal of 4 MiB).
    pub const fn least_size(self) -> usize {
        match self {
            Self::Ext4 => 16,
            Self::Xfs => 300,
            Self::Btrfs => 128,
        }
    }

    /// Returns the command line that makes the file system. For ext4, nothing is random and no work is deferred.
    pub const fn make(self) -> &'static str {
        match self {
            Self::Ext4 => {
                "/bin/mke2fs -q -F -t ext4 -b 4096 -J size=4 -U 6c6f7365-0000-4000-8000-000000000000 -E \
                 hash_seed=6c6f7365-0000-4000-8000-000000000000,lazy_itable_init=0,lazy_journal_init=0 /dev/vda"
            }
            Self::Xfs => "/bin/mkfs.xfs -q -f /dev/vda",
            Self::Btrfs => "/bin/mkfs.btrfs -q -f /dev/vda",
        }
    }

    /// Returns mount options that make the file system commit often, so that a program that never syncs leaves more
    /// states.
    pub const fn committing(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Btrfs => "commit=1",
            Self::Xfs => "",
        }
    }

    /// Returns true for an offset in a superblock, which is never torn: it has one place and one checksum, so its file
    /// system relies on that.
    pub const fn is_whole(self, at: usize) -> bool {
        match self {
            Self::Ext4 => at < 4096,
            // The first two copies (`fs/btrfs/disk-io.h`, `btrfs_sb_offset`).
            Self::Btrfs => matches!(at / 4096, 0x10 | 0x4000),
            // It has one sector.
            Self::Xfs => false,
        }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
