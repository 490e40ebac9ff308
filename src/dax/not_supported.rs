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
    /// The data cache of this machine aliases, or may, so that calls and the mapping can disagree.
    ViewsDisagree,
    /// The mapping was adopted (`Options::adopt`), so that only its owner may change it.
    Adopted,
    /// The file was opened by the process that this one was forked from, and its mapping and lock are that process's.
    ForkedChild,
    /// A device of device DAX can be made neither longer nor shorter.
    FixedSize,
    /// The kernel has no calls that read or write a device of device DAX.
    MappingOnly,
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
            Self::ViewsDisagree => f.write_str(
                "is mapped on a machine whose data cache aliases, or may, where the kernel may not see bytes \
                 stored through the mapping; read and write it through the mapping alone",
            ),
            Self::Adopted => f.write_str(
                "its mapping was adopted, and only its owner may change it; drop this file, change the \
                 mapping and adopt it again, or open the file without a mapping of your own",
            ),
            Self::ForkedChild => f.write_str(
                "was opened by the process that this one was forked from, which has its mapping and its lock; \
                 open it anew in this process",
            ),
            Self::FixedSize => f.write_str(
                "is device DAX, whose size programs cannot change; map another part of it, or set it up anew \
                 (daxctl reconfigure-device)",
            ),
            Self::MappingOnly => f.write_str(
                "is device DAX, which no call of the kernel reads or writes; use the mapping alone",
            ),
            Self::Cpu(why) => why.fmt(f),
        }
    }
}
