//! Files on Windows.
//!
//! - A new file has the access that its directory hands down; there is no mode.
//! - A link, or anything else that Windows resolves by a reparse point, is refused.
//! - A file that is open can be neither renamed nor removed, as it is not shared for that.
//! - The lock (`LockFileEx`) is mandatory: what reads or writes the file by other means meanwhile fails.
//! - No call is documented that makes a name durable; the file itself is (`FlushFileBuffers`).

use super::Access;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::lock::OpenFile;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The calls, as errors name them.
pub(in crate::dax) const LOCK: &str = "LockFileEx";
pub(in crate::dax) const METADATA: &str = "GetFileInformationByHandle";
pub(in crate::dax) const SET_LEN: &str = "SetFileInformationByHandle";
pub(in crate::dax) const SYNC: &str = "FlushFileBuffers";

/// Microsoft Learn, `CreateFileW`.
const SHARE_READ_AND_WRITE: u32 = 0x1 | 0x2;
const FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Microsoft Learn, "File Attribute Constants".
const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;

/// `ERROR_IO_DEVICE` stands for an error that has no number.
const NO_NUMBER: i32 = 1117;

/// 4 KiB on every CPU that Windows runs on today: x86, x86-64 and arm64 (Microsoft Learn,
/// "`SYSTEM_INFO`", and Windows Internals, "Memory management").
pub(in crate::dax) const fn page_size() -> usize {
    4096
}

/// Creates a file that was not there.
pub(in crate::dax) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .share_mode(SHARE_READ_AND_WRITE)
        .open(path)
}

/// Opens a file; not what a link leads to.
pub(in crate::dax) fn open(path: &Path, access: Access) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(access == Access::ReadAndWrite)
        .share_mode(SHARE_READ_AND_WRITE)
        .custom_flags(FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Opens a file to look at it.
pub(in crate::dax) fn open_to_look(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// What it means that a file could not be opened, if that is known.
pub(in crate::dax) fn meaning(error: &io::Error) -> Option<ErrorKind> {
    Some(match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::Missing,
        io::ErrorKind::NotADirectory => ErrorKind::NotADirectory,
        io::ErrorKind::AlreadyExists => ErrorKind::Exists,
        io::ErrorKind::IsADirectory => ErrorKind::Directory,
        io::ErrorKind::PermissionDenied => ErrorKind::NoPermission,
        io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnlyFileSystem,
        _ => return None,
    })
}

/// The system's number of an error.
pub(in crate::dax) fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(NO_NUMBER)
}

/// What is wrong with an open file of which this is known, if anything is.
pub(in crate::dax) fn fault(metadata: &Metadata) -> Option<ErrorKind> {
    let is_link = metadata.file_attributes() & ATTRIBUTE_REPARSE_POINT != 0;
    is_link.then_some(ErrorKind::SymbolicLink)
}

/// No limit of the process is known.
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of systems that have one")]
pub(in crate::dax) const fn check_limit(_: u64) -> io::Result<()> {
    Ok(())
}

/// There is no call for it.
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of systems that have a call")]
pub(in crate::dax) const fn persist_name(_: &Path) -> Result<(), Error> {
    Ok(())
}

/// Removes a file that could not be created whole. As long as it was open, nothing else could take its
/// name.
pub(in crate::dax) fn remove_own(path: &Path, file: OpenFile) {
    drop(file);
    // The error that led here is the one to report; what is left is an empty or zero file.
    drop(std::fs::remove_file(path));
}
