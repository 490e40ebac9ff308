//! Files before they are mapped: created whole or made longer, or opened, locked and asked about.
//!
//! Everything is asked by descriptor, so that the file that was asked about is the one that is mapped.

use super::Writeback;
use super::error::{Error, ErrorKind};
use super::lock::{Lock, OpenFile};
use super::system::files::{self, NewFile};
use super::system::{self, Access, Facts};
use crate::cache::Cache;
use alloc::format;
use core::ops::Range;
use std::fs::File;
use std::io;
use std::path::Path;

/// Refuses a length that no file can have.
pub(super) fn check_new_len(path: &Path, len: u64) -> Result<(), Error> {
    if len == 0 {
        return Err(zero_length(path));
    }
    if i64::try_from(len).is_err() {
        return Err(too_long(path, 0, len));
    }
    Ok(())
}

fn zero_length(path: &Path) -> Error {
    Error::invalid(path, "a length of 0 bytes was asked for; ask for at least 1")
}

pub(super) fn too_long(path: &Path, offset: u64, len: u64) -> Error {
    let text = format!(
        "offset {offset} and length {len} exceed the largest file or mapping; ask for less"
    );
    Error::invalid(path, text)
}

/// Creates an empty file for this user alone. It gets its name when it is [published](publish).
pub(super) fn create(path: &Path, is_named: bool) -> Result<NewFile, Error> {
    NewFile::create(path, is_named).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let text = "its directory does not exist; create that first";
            Error::because(path, ErrorKind::NotFound, text).numbered(files::number(&error))
        }
        _ => Error::os(path, "open", &error),
    })
}

/// Fills a new file with zeros, which are on the medium when this returns.
pub(super) fn fill(path: &Path, file: &File, len: u64, writeback: Writeback) -> Result<(), Error> {
    append_zeros(path, file, &(0..len))?;
    sync_new(path, file, len, writeback)
}

fn sync_new(path: &Path, file: &File, len: u64, writeback: Writeback) -> Result<(), Error> {
    sync(file, writeback).map_err(|error| Error::writing(path, files::SYNC, &(0..len), &error))
}

/// Syncs a file. By pages a file system may be without syncs: write-backs fail in the same manner.
fn sync(file: &File, writeback: Writeback) -> io::Result<()> {
    match file.sync_all() {
        Err(error)
            if matches!(writeback, Writeback::Pages)
                && files::is_without_syncs(files::number(&error)) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Makes a file longer by zeros, which are in the file when this returns, and not synced. A file that could not be made as
/// long as that keeps its length.
pub(super) fn append_zeros(path: &Path, file: &File, range: &Range<u64>) -> Result<(), Error> {
    system::write_zeros(file, range).map_err(|error| {
        restore(file, range);
        Error::writing(path, "write", range, &error)
    })
}

/// Gives a file that was made longer by a range its old length back.
pub(super) fn restore(file: &File, range: &Range<u64>) {
    if !range.is_empty() {
        // The error that led here is the one to report; what is left after the old end is zeros.
        drop(file.set_len(range.start));
    }
}

/// Gives a new file of `len` zeros its name, which is on the medium when this returns. If that fails, the caller discards it.
pub(super) fn publish(
    path: &Path,
    len: u64,
    new: &mut NewFile,
    writeback: Writeback,
) -> Result<(), Error> {
    new.give_name(path)?;
    // btrfs before Linux 6.16 logs nothing of a file without a name: `fsync` of its directory would log the name alone
    // (`fs/btrfs/tree-log.c`, `btrfs_log_inode_parent`, `log_new_dir_dentries`).
    sync_new(path, &new.file, len, writeback)?;
    files::persist_name(path)
}

/// Opens a file, locks it, and asks about it.
pub(super) fn open(
    path: &Path,
    access: Access,
    lock: Lock,
    cache: Option<Cache>,
) -> Result<(OpenFile, Facts), Error> {
    require_file_name(path)?;
    let file = files::open(path, access).map_err(|error| Error::os(path, "open", &error))?;
    let (file, facts) = lock_and_ask(path, file, lock, cache)?;
    if !facts.has_name {
        // The former holder of the lock has removed it, so persisted bytes could not be found again.
        return Err(Error::new(path, ErrorKind::NotFound));
    }
    Ok((file, facts))
}

/// Takes a file that the caller has opened, locks it, and asks about it. It may have no name.
pub(super) fn take(
    path: &Path,
    file: File,
    access: Access,
    lock: Lock,
    cache: Option<Cache>,
) -> Result<(OpenFile, Facts), Error> {
    files::require_access(path, &file, access)?;
    lock_and_ask(path, file, lock, cache)
}

fn lock_and_ask(
    path: &Path,
    file: File,
    lock: Lock,
    cache: Option<Cache>,
) -> Result<(OpenFile, Facts), Error> {
    let mut file = OpenFile::new(file);
    file.take(path, lock)?;
    // The former holder of the lock may have removed the file, or changed its size.
    let facts = system::ask(path, &file, cache)?;
    Ok((file, facts))
}

/// Refuses what cannot be mapped before it is opened, since opening a device can do something. What was
/// opened is looked at again.
fn require_file_name(path: &Path) -> Result<(), Error> {
    let there = path.symlink_metadata().map_err(|error| Error::os(path, "lstat", &error))?;
    match there.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_symlink() => Err(Error::because(
            path,
            ErrorKind::NotAFile,
            "is a symbolic link, which is not followed; name its target",
        )),
        kind if kind.is_dir() => {
            Err(Error::because(path, ErrorKind::NotAFile, "is a directory; name a file in it"))
        }
        _ if system::is_device(path, &there)? => Ok(()),
        _ => Err(Error::new(path, ErrorKind::NotAFile)),
    }
}

/// Makes a file that is there durable: its bytes, its length and its blocks, whichever program wrote them, and then its
/// name. For a writer its time of modification moves first.
///
/// No write-back of the mapping need do that later. By lines it does not reach the file system. By pages it is a sync of
/// the data (Linux `mm/msync.c`, `vfs_fsync_range` with `datasync`), which does not wait for a new name
/// (`fs/ext4/fsync.c`: `i_datasync_tid`; `fs/ext4/namei.c`, `__ext4_link` leaves that as it was).
pub(super) fn make_durable(
    path: &Path,
    file: &File,
    facts: &Facts,
    writeback: Writeback,
    access: Access,
) -> Result<(), Error> {
    if facts.is_device() {
        return Ok(());
    }
    if access == Access::ReadAndWrite {
        files::touch(file);
    }
    sync(file, writeback).map_err(|error| Error::syncing(path, facts.size, &error))?;
    // The system's name of an open file can be one that the file had before, or a description.
    if files::is_name_of(path, file) { files::persist_name(path) } else { Ok(()) }
}

/// Returns the length of the mapping of a file of `size` bytes, from an offset that must be a multiple of `alignment`. Of a
/// device the length must be one, too.
pub(super) fn mapped_len(
    path: &Path,
    (size, alignment, is_device): (u64, u64, bool),
    offset: u64,
    len: Option<u64>,
) -> Result<usize, Error> {
    let shorter = |needed| Error::new(path, ErrorKind::Shorter { size, needed });
    if size == 0 {
        return Err(shorter(len.unwrap_or(1)));
    }
    if len == Some(0) {
        return Err(zero_length(path));
    }
    if !offset.is_multiple_of(alignment) {
        let text = format!("offset {offset} is not a multiple of {alignment}; round it down");
        return Err(Error::invalid(path, text));
    }
    let needed = match len {
        Some(len) => offset.checked_add(len).ok_or_else(|| too_long(path, offset, len))?,
        None => offset.saturating_add(1),
    };
    if needed > size {
        return Err(shorter(needed));
    }
    let len = len.unwrap_or(size - offset);
    if is_device && !len.is_multiple_of(alignment) {
        let text = format!(
            "length {len} is not a multiple of {alignment}, the device's alignment; round it down"
        );
        return Err(Error::invalid(path, text));
    }
    // The largest object there is in Rust (reference, "Type layout").
    let mapped = isize::try_from(len).ok().and_then(|len| usize::try_from(len).ok());
    mapped.ok_or_else(|| too_long(path, offset, len))
}

#[cfg(test)]
mod tests {
    use super::{ErrorKind, Path, mapped_len};
    use alloc::format;
    use alloc::string::ToString;

    const PATH: &str = "/file";

    #[test]
    fn offsets_and_lengths_are_checked_without_overflow() {
        let mapped =
            |size, offset, len| mapped_len(Path::new(PATH), (size, 4096, false), offset, len);
        assert_eq!(mapped(8192, 4096, None).unwrap(), 4096);
        assert_eq!(mapped(8192, 4096, Some(4096)).unwrap(), 4096);
        assert_eq!(mapped(5000, 4096, Some(904)).unwrap(), 904);
        let top = u64::MAX - 4095;
        for (size, offset, len, words) in [
            (0, 0, None, "has no bytes to map".to_string()),
            (8192, 0, Some(0), "a length of 0 bytes".to_string()),
            (8192, 100, None, "offset 100 is not a multiple of 4096".to_string()),
            (8192, 4096, Some(4097), "has 8192 bytes, and offset and length need 8193".to_string()),
            (8192, 8192, None, "has 8192 bytes, and offset and length need 8193".to_string()),
            (8192, top, Some(4096), format!("offset {top} and length 4096 exceed")),
        ] {
            let text = mapped(size, offset, len).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{PATH}: {words}")), "{text}");
        }
        let error = mapped(8192, top, None).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { size: 8192, .. }), "{error}");
    }

    /// The kernel refuses another length of a device, or raises SIGBUS at an access.
    #[test]
    fn a_device_is_mapped_in_whole_units() {
        let unit = 2 << 20;
        let mapped = |len| mapped_len(Path::new(PATH), (4 * unit, unit, true), unit, len);
        assert_eq!(mapped(None).unwrap(), 3 * (2 << 20));
        let text = mapped(Some(4096)).unwrap_err().to_string();
        assert!(text.contains("length 4096 is not a multiple of 2097152"), "{text}");
    }

    /// No object is larger than `isize::MAX` bytes.
    #[test]
    fn a_mapping_fits_the_address_space() {
        let mapped = |len| mapped_len(Path::new(PATH), (u64::MAX, 4096, false), 0, Some(len));
        let most = isize::MAX as u64;
        assert_eq!(mapped(most).unwrap(), isize::MAX as usize);
        let error = mapped(most + 1).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error}");
    }
}
