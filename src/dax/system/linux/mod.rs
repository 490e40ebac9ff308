//! Linux: the answers about a file, the conclusions from them, and the mappings.
//!
//! | module | contents |
//! |---|---|
//! | `ask` | the system calls about an open file |
//! | `conclude`, `device`, `reach` | the guarantee, a pure function of the answers and of `/proc` and `/sys` |
//! | `files`, `new_file` | opening, creating, naming and syncing |
//! | `extents` | the file's blocks, by FIEMAP |
//! | `meaning` | the meaning of each system error, and its remedy |
//! | `mapping` | `mmap` and `msync` |
//! | `reason` | the reason of a failed access to a mapping |
//! | `placement`, `bad_blocks` | physical places, and the kernel's list of bad blocks |

mod ask;
mod bad_blocks;
mod conclude;
mod device;
#[expect(unsafe_code, reason = "FIEMAP is an ioctl that no safe wrapper offers")]
mod extents;
pub(in crate::dax) mod files;
#[expect(unsafe_code, reason = "maps and unmaps memory")]
mod mapping;
mod meaning;
mod new_file;
mod placement;
mod reach;
mod reason;
#[cfg(test)]
mod tests;

pub(in crate::dax::system) use ask::Answers;
pub(in crate::dax) use ask::{ask, ask_directory, is_device};
pub use bad_blocks::BadBlocks;
pub(in crate::dax) use bad_blocks::bad_blocks;
pub(in crate::dax) use device::DeepFlush;
pub(in crate::dax) use files::write_zeros;
pub(in crate::dax) use placement::placement;
pub(in crate::dax) use reason::reason;

use super::{Access, FileFacts, MapOptions};
use crate::dax::error::{Error, ErrorKind};
use crate::dax::mapping::Mapping;
use crate::dax::{Guarantee, Writeback};
use crate::system::tree::{Evidence, Tree};
use alloc::format;
use mapping::Unpopulated;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// The advice for a kernel that is too old: the oldest tested version.
const NEWER: &str = "use Linux 5.10 or newer";

/// True: the system writes pages back for a read-only mapping.
pub(in crate::dax) const PERSISTS_VIEWS: bool = true;

/// Returns the guarantee of a file with these answers. Makes no system call about the file.
///
/// # Errors
/// For a device, or a file on famfs, that cannot be made persistent.
pub(in crate::dax) fn conclude(path: &Path, facts: &FileFacts) -> Result<Guarantee, Error> {
    let tree = Tree::host();
    let mut guarantee = match &facts.answers {
        Answers::File(answers) => {
            conclude::conclude(&tree, answers).map_err(|text| Error::unsupported(path, text))?
        }
        Answers::Device(device, answers) => {
            device::conclude(device, answers).map_err(|text| Error::unsupported(path, text))?
        }
    };
    guarantee.has_name = facts.has_name;
    if !facts.has_name {
        guarantee.evidence.push(Evidence::new("statx: stx_nlink", "0"));
    }
    Ok(guarantee)
}

/// Maps a part of a file with this guarantee. If it is persisted line by line, each byte of the part must have its own
/// written block.
pub(in crate::dax) fn map(
    path: &Path,
    file: &File,
    part: &MapOptions,
    guarantee: &Guarantee,
) -> Result<Mapping, Error> {
    if !matches!(part.writeback, Writeback::Pages) && !guarantee.is_device_dax {
        require_written(path, file, part)?;
    }
    let mapping = mapping::new(file.as_fd(), part, guarantee)
        .map_err(|(call, errno)| Error::os(path, call, &errno.into()))?;
    if part.populate {
        populate(path, &mapping, part.access)?;
    }
    Ok(mapping)
}

/// Refuses a part in which a store could still need the file system.
fn require_written(path: &Path, file: &File, part: &MapOptions) -> Result<(), Error> {
    let found = extents::first_unwritten(file, part.offset, part.len as u64)
        .map_err(|errno| Error::os(path, "FIEMAP", &errno.into()))?;
    let Some(extents::Unwritten { at, what }) = found else { return Ok(()) };
    let text = format!(
        "has {what} at offset {at}, so a store there would need the file system; copy the file with its bytes written \
         out (cp --sparse=never --reflink=never)"
    );
    Err(Error::because(path, ErrorKind::NotAllocated { at }, text))
}

fn populate(path: &Path, mapping: &Mapping, access: Access) -> Result<(), Error> {
    let (at, errno) = match mapping::populate(mapping, access) {
        Ok(()) => return Ok(()),
        Err(Unpopulated::Unknown) => {
            return Err(Error::unsupported(
                path,
                "cannot be populated: this needs Linux 5.14 or later, and a filter of system calls that permits madvise; \
                 leave it out, and pages come with their first access",
            ));
        }
        Err(Unpopulated::At { at, errno }) => (at, errno),
    };
    let kind = match errno {
        Errno::HWPOISON => ErrorKind::Poisoned { at, len: rustix::param::page_size() as u64 },
        errno => ErrorKind::Os { call: "madvise", errno: errno.raw_os_error() },
    };
    let text = format!(
        "the page at offset {at} of the mapping cannot be accessed: {}; read the file to find the cause. A bad address is a \
         hole without space, a media error, or a page after the end of a file that has shrunk",
        io::Error::from(errno),
    );
    Err(Error::because(path, kind, text).numbered(errno.raw_os_error()))
}

/// Mappings that the caller has made, known only by their addresses.
pub(in crate::dax) struct Linux;

impl Linux {
    /// Returns the attribute that flushes the medium of a device; `None` for a file, which `msync` flushes.
    pub(in crate::dax) fn deep_flush_of(guarantee: &Guarantee) -> Option<DeepFlush> {
        let attribute = || DeepFlush::new(Tree::host(), guarantee.deep_flush.clone());
        guarantee.is_device_dax.then(attribute)
    }

    /// Writes back the pages that a range touches, and waits.
    ///
    /// # Safety
    /// 1. The range is in a mapping of the caller's, or nothing is mapped there, which is an error.
    #[expect(unsafe_code, reason = "a mapping is the caller's word")]
    pub(in crate::dax) unsafe fn sync_range(start: *const u8, len: usize) -> io::Result<()> {
        // SAFETY: the caller's duty (1).
        unsafe { mapping::sync(start.cast_mut(), len, rustix::param::page_size()) }
    }
}
