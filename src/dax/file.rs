//! Files before they are mapped: created whole or made longer, or opened, checked and locked.
//!
//! Everything is checked by descriptor, so that the file that was checked is the one that is mapped.

use super::Writeback;
use super::error::{Error, ErrorKind};
use super::invalid_input::InvalidInput;
use super::lock::{Lock, OpenFile};
use super::system::files::NewFile;
use super::system::{Access, Mappable, Mapper, files};
use core::ops::Range;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// The number of zeros that are written at a time.
const CHUNK: usize = 1 << 20;

/// Refuses a length that no file can have.
pub(super) fn check_new_len(path: &Path, len: u64) -> Result<(), Error> {
    if len == 0 {
        return Err(Error::new(path, ErrorKind::InvalidInput(InvalidInput::ZeroLength)));
    }
    if i64::try_from(len).is_err() {
        return Err(Error::new(
            path,
            ErrorKind::InvalidInput(InvalidInput::Overflow { offset: 0, len }),
        ));
    }
    Ok(())
}

/// Creates an empty file for this user alone. It gets its name when it is [published](publish).
pub(super) fn create(path: &Path) -> Result<NewFile, Error> {
    NewFile::create(path).map_err(|error| creating(path, "open", &error))
}

/// Gives a new file of `len` zeros its name, which is on the medium when this returns. If that fails, the caller discards it.
pub(super) fn publish(path: &Path, len: u64, new: &mut NewFile) -> Result<(), Error> {
    let named = new.give_name(path).map_err(|error| creating(path, "link", &error));
    // btrfs before Linux 6.16 logs nothing of a file without a name: `fsync` of its directory would log the name alone
    // (`fs/btrfs/tree-log.c`, `btrfs_log_inode_parent`, `log_new_dir_dentries`).
    let sync = || files::sync_all(&new.file).map_err(|error| writing(path, &(0..len), &error));
    named.and_then(|()| sync())?;
    files::persist_name(path, &new.file)
}

/// Makes a file that is there durable: its bytes, its length and its blocks, whichever program wrote them, and then its
/// name.
///
/// No write-back of the mapping need do that later. By lines it does not reach the file system. By pages it is a sync of
/// the data (Linux `mm/msync.c`, `vfs_fsync_range` with `datasync`), which does not wait for a new name
/// (`fs/ext4/fsync.c`: `i_datasync_tid`; `fs/ext4/namei.c`, `__ext4_link` leaves that as it was).
pub(super) fn make_durable(path: &Path, file: &File, writeback: Writeback) -> Result<(), Error> {
    let metadata = file.metadata().map_err(|error| Error::os(path, files::METADATA, &error))?;
    if !metadata.is_file() {
        return Ok(());
    }
    match files::sync_all(file) {
        // Write-backs by pages fail in the same manner.
        Err(error) if matches!(writeback, Writeback::Pages) && syncs_nothing(&error) => {}
        synced => synced.map_err(|error| Error::os(path, files::SYNC, &error))?,
    }
    files::persist_name_of(path, file, &metadata)
}

/// Returns true for the error of a sync on a file system that has no syncs (Linux `fs/sync.c`, `vfs_fsync_range`), as most
/// that are for reading only.
///
/// `EROFS` is not among them: on ext4 it means that the file system has stopped after an error. A healthy one that is
/// mounted for reading only has nothing to sync, and succeeds (`fs/ext4/fsync.c`, `ext4_sync_file`).
pub(super) fn syncs_nothing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

fn creating(path: &Path, call: &'static str, error: &io::Error) -> Error {
    match files::meaning(error) {
        Some(ErrorKind::Missing) => Error::new(path, ErrorKind::NoDirectory),
        Some(kind) => Error::new(path, kind),
        None => Error::os(path, call, error),
    }
}

/// Makes a file longer by zeros, which are on the medium with the new length when this returns. If it fails, the caller
/// [restores](restore) the length.
///
/// The length changes at once, and only after room was found: a crash leaves the old one or the new one, and in the new
/// bytes zeros, written or not. A new file that others can open grows with its zeros instead. `sync` syncs the file: if that
/// fails, bytes that were stored before may be lost too.
pub(super) fn extend<M: Mapper>(
    path: &Path,
    file: &File,
    range: Range<u64>,
    sync: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let longer = lengthen::<M>(file, range.clone()).map_err(|error| writing(path, &range, &error));
    longer.and_then(|()| sync())
}

/// Returns the meaning of an error of writing zeros to a range, or of reserving space for them. A sync that fails in a new
/// file is one of them, as no other bytes can be lost.
pub(super) fn writing(path: &Path, range: &Range<u64>, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(path, ErrorKind::NoSpace { len: range.end - range.start })
        }
        io::ErrorKind::FileTooLarge => Error::new(path, ErrorKind::TooLarge { len: range.end }),
        _ => Error::os(path, "write", error),
    }
}

fn lengthen<M: Mapper>(file: &File, range: Range<u64>) -> io::Result<()> {
    files::check_limit(range.end)?;
    M::reserve(file, range.clone())?;
    // A process that opens a new file by its name must not find bytes over which zeros are written later.
    let grows_with_its_zeros = M::NAMES_FIRST && range.start == 0;
    if !grows_with_its_zeros {
        file.set_len(range.end)?;
    }
    write_zeros(file, range)
}

/// Gives a file that was made longer its old length back.
pub(super) fn restore(file: &File, old: u64, new: u64) {
    if new > old {
        // The error that led here is the one to report; what is left after the old end is zeros. On Windows they stay: a mapped
        // file cannot be made shorter (Microsoft Learn, `MmCanFileBeTruncated`).
        drop(file.set_len(old));
    }
}

/// Opens a file, checks it, and locks it. Returns its mappable part too.
pub(super) fn open<M: Mapper>(
    path: &Path,
    access: Access,
    lock: Lock,
) -> Result<(OpenFile, Mappable), Error> {
    require_mappable_name::<M>(path)?;
    let file = files::open(path, access).map_err(|error| Error::opening(path, &error))?;
    let (file, metadata) = lock_file::<M>(path, file, lock)?;
    if let Some(fault) = files::fault(&metadata) {
        return Err(Error::new(path, fault));
    }
    let mappable = M::mappable(path, &file, &metadata)?;
    Ok((file, mappable))
}

/// Takes a file that the caller has opened, checks it, and locks it. It may have no name.
pub(super) fn take<M: Mapper>(
    path: &Path,
    file: File,
    access: Access,
    lock: Lock,
) -> Result<(OpenFile, Mappable), Error> {
    files::require_access(path, &file, access)?;
    let (file, metadata) = lock_file::<M>(path, file, lock)?;
    let mappable = M::mappable(path, &file, &metadata)?;
    Ok((file, mappable))
}

fn lock_file<M: Mapper>(
    path: &Path,
    file: File,
    lock: Lock,
) -> Result<(OpenFile, Metadata), Error> {
    let mut file = OpenFile::new(file);
    mappable::<M>(path, &file)?;
    file.take(path, lock)?;
    // The former holder of the lock may have removed the file, or changed its size.
    let metadata = mappable::<M>(path, &file)?;
    Ok((file, metadata))
}

/// Returns the mapping length for a file with this mappable part.
pub(super) fn mapped_len(
    mappable: Mappable,
    offset: u64,
    len: Option<u64>,
) -> Result<usize, ErrorKind> {
    let Mappable { size, alignment, in_whole_units } = mappable;
    let mapped = checked_len(size, offset, len, alignment)?;
    if in_whole_units && !(mapped as u64).is_multiple_of(alignment) {
        let len = mapped as u64;
        return Err(ErrorKind::InvalidInput(InvalidInput::MisalignedLength { len, alignment }));
    }
    Ok(mapped)
}

/// Returns the length of the mapping of a file of `size` bytes, from an offset that must be a multiple of `alignment`.
pub(super) fn checked_len(
    size: u64,
    offset: u64,
    len: Option<u64>,
    alignment: u64,
) -> Result<usize, ErrorKind> {
    if size == 0 {
        return Err(ErrorKind::Empty);
    }
    if len == Some(0) {
        return Err(ErrorKind::InvalidInput(InvalidInput::ZeroLength));
    }
    if !offset.is_multiple_of(alignment) {
        return Err(ErrorKind::InvalidInput(InvalidInput::Misaligned { offset, alignment }));
    }
    let needed = match len {
        Some(len) => offset
            .checked_add(len)
            .ok_or(ErrorKind::InvalidInput(InvalidInput::Overflow { offset, len }))?,
        None => offset.saturating_add(1),
    };
    if needed > size {
        return Err(ErrorKind::Shorter { size, needed });
    }
    let len = len.unwrap_or(size - offset);
    // The largest object there is in Rust (reference, "Type layout").
    let mapped = isize::try_from(len).ok().and_then(|len| usize::try_from(len).ok());
    mapped.ok_or(ErrorKind::InvalidInput(InvalidInput::Overflow { offset, len }))
}

/// Returns the metadata of an open file, which must be a regular one, or a device that can be mapped.
fn mappable<M: Mapper>(path: &Path, file: &File) -> Result<Metadata, Error> {
    let metadata = file.metadata().map_err(|error| Error::os(path, files::METADATA, &error))?;
    if metadata.is_dir() {
        return Err(Error::new(path, ErrorKind::Directory));
    }
    if !metadata.is_file() && !M::is_mappable(path, &metadata)? {
        return Err(Error::new(path, ErrorKind::NotRegular));
    }
    Ok(metadata)
}

/// Refuses what cannot be mapped before it is opened, since opening a device can do something. What was
/// opened is checked again.
fn require_mappable_name<M: Mapper>(path: &Path) -> Result<(), Error> {
    let there = path.symlink_metadata().map_err(|error| Error::opening(path, &error))?;
    let kind = match there.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_symlink() => ErrorKind::SymbolicLink,
        kind if kind.is_dir() => ErrorKind::Directory,
        _ if M::is_mappable(path, &there)? => return Ok(()),
        _ => ErrorKind::NotRegular,
    };
    Err(Error::new(path, kind))
}

/// Zeros are written, not just allocated: an extent that was allocated and never written makes the file
/// system commit its journal at the first store to each of its pages.
///
/// The position of the file is not moved: another process may have a duplicate.
fn write_zeros(file: &File, range: Range<u64>) -> io::Result<()> {
    let zeros = alloc::vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let rest = usize::try_from(range.end - at).unwrap_or(CHUNK);
        let chunk = zeros.get(..rest).unwrap_or(&zeros);
        files::write_all_at(file, chunk, at)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::error::ErrorKind;
    use super::{InvalidInput, checked_len};
    use alloc::format;
    use alloc::string::ToString;
    #[cfg(target_os = "linux")]
    use {
        super::{File, Path, Writeback, make_durable},
        crate::cache::Cache,
    };

    #[test]
    fn offsets_and_lengths_are_checked_without_overflow() {
        let page = 4096;
        assert_eq!(checked_len(8192, 4096, None, page).unwrap(), 4096);
        assert_eq!(checked_len(8192, 4096, Some(4096), page).unwrap(), 4096);
        assert_eq!(checked_len(5000, 4096, Some(904), page).unwrap(), 904);
        let refused =
            |size, offset, len| checked_len(size, offset, len, page).unwrap_err().to_string();
        assert!(refused(0, 0, None).starts_with("has no bytes to map"));
        assert!(refused(8192, 0, Some(0)).starts_with("a length of 0 bytes"));
        assert!(refused(8192, 100, None).starts_with("offset 100 is not a multiple of 4096"));
        assert!(
            refused(8192, 4096, Some(4097))
                .starts_with("has 8192 bytes, and offset and length need 8193")
        );
        assert!(
            refused(8192, 8192, None)
                .starts_with("has 8192 bytes, and offset and length need 8193")
        );
        let top = u64::MAX - 4095;
        assert!(
            refused(8192, top, Some(4096))
                .starts_with(&format!("offset {top} and length 4096 exceed"))
        );
        assert!(matches!(
            checked_len(8192, top, None, page),
            Err(ErrorKind::Shorter { size: 8192, .. })
        ));
    }

    /// A file of `/proc` can be mapped by pages at most, so nothing is promised that a sync would have to keep.
    #[cfg(target_os = "linux")]
    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn a_file_system_without_syncs_is_an_error_unless_write_backs_report_it() {
        let path = Path::new("/proc/version");
        let file = File::open(path).unwrap();
        make_durable(path, &file, Writeback::Pages).unwrap();
        let Ok(cache) = Cache::host() else { return };
        let error = make_durable(path, &file, Writeback::Lines(cache)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Os { call: "fsync", .. }), "{error}");
        assert!(error.to_string().ends_with("does not sync files: use one that does"), "{error}");
    }

    /// No object is larger than `isize::MAX` bytes.
    #[test]
    fn a_mapping_fits_the_address_space() {
        let most = isize::MAX as u64;
        let whole = checked_len(u64::MAX, 0, Some(most), 4096);
        assert_eq!(whole.unwrap(), isize::MAX as usize);
        let more = checked_len(u64::MAX, 0, Some(most + 1), 4096);
        assert!(matches!(more, Err(ErrorKind::InvalidInput(InvalidInput::Overflow { .. }))));
    }
}
