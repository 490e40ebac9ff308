//! Operations that a system does not have.

use crate::arch::Unsupported;

/// An operation that this CPU, this system or the file system does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSupported {
    /// The file system has no unnamed files, by which a directory is tried.
    NoUnnamedFiles,
    /// On this CPU no load of 8 bytes from memory that is mapped for reading only is one that Rust promises
    /// (`core::sync::atomic`, "Atomic accesses to read-only memory").
    NoReadOnlyWords,
    /// This system is not known to write back pages for a file that was opened for reading.
    ViewNotPersisted,
    /// The system has no call that makes every page of a mapping accessible.
    CannotPopulate,
    /// Another mount or subvolume, or a file of one, is there. A guard stays in the mount of the path that it was given.
    MountedBelow,
    /// A guard keeps no more directories: each takes 512 bytes and four times its path, and all of them 32 MiB.
    TooManyDirectories,
    /// A device of device DAX can be made neither longer nor shorter.
    FixedSize,
    /// This CPU cannot write back to the medium's [point](crate::survival::Backing::point).
    Cpu(Unsupported),
}

impl core::fmt::Display for NotSupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoUnnamedFiles => {
                f.write_str("this file system has no unnamed files to try with; name a file in it")
            }
            Self::NoReadOnlyWords => f.write_str(
                "cannot be mapped for reading only on a 32-bit CPU, which may need the right to write to \
                 load 8 bytes at once; open it for reading and writing",
            ),
            Self::ViewNotPersisted => f.write_str(
                "is open for reading only, and this system is not known to write back bytes that others have \
                 stored; open it for reading and writing",
            ),
            Self::CannotPopulate => f.write_str(
                "cannot be populated: this needs Linux 5.14 or later; leave it out, and pages come with \
                 their first access",
            ),
            Self::MountedBelow => f.write_str(
                "another mount or subvolume is there, which is not covered; give it as a path of its own",
            ),
            Self::TooManyDirectories => f.write_str(
                "directories in it are not covered, as a guard keeps no more of them; use fewer directories, \
                 or a guard for each part of the tree",
            ),
            Self::FixedSize => f.write_str(
                "is device DAX, whose size programs cannot change; map another part of it, or set it up anew \
                 (daxctl reconfigure-device)",
            ),
            Self::Cpu(why) => why.fmt(f),
        }
    }
}
