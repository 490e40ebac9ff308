//! Linux: facts about files and devices, and mappings.
//!
//! | module | contents |
//! |---|---|
//! | `ask` | the facts about an open file |
//! | `device` | device DAX |
//! | `files`, `new_file` | opening, creating, naming and syncing |
//! | `extents` | the file's blocks, by FIEMAP |
//! | `mapping` | `mmap` and `msync` |
//! | `reason` | the reason of a failed access to a mapping |

pub(crate) mod ask;
pub mod device;
#[expect(unsafe_code, reason = "FIEMAP is an ioctl that no safe wrapper offers")]
pub mod extents;
pub(in crate::dax) mod files;
#[expect(unsafe_code, reason = "maps and unmaps memory")]
mod mapping;
mod new_file;
mod reason;

pub(in crate::dax) use ask::{ask, device_dax_at, file_system_of_path, unnamed_in_directory};
pub(in crate::dax) use device::DeepFlush;
pub(in crate::dax) use mapping::{Mapped, MappedPages, Unpopulated, map, map_synchronously, sync};

/// True: the system writes pages back for a read-only mapping.
pub(in crate::dax) const PERSISTS_VIEWS: bool = true;

use super::FileFacts;
use crate::system::region::{self, Memory};
use crate::system::tree::Tree;
use std::fs::File;

/// Returns the memory under the file system of a file, if it is known.
pub(in crate::dax) fn memory_of(file: &File, facts: &FileFacts) -> Option<Memory> {
    let is_elsewhere = facts.file_system == "xfs" && extents::is_on_realtime_device(file);
    if is_elsewhere { None } else { region::of_device(&Tree::host(), facts.device) }
}
