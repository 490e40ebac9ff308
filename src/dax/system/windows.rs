//! Files on Windows.
//!
//! - A new file has the access that its directory hands down; there is no mode.
//! - A link, or anything else that Windows resolves by a reparse point, is refused.
//! - A file that is open can be neither renamed nor removed, as it is not shared for that.
//! - The lock (`LockFileEx`) is mandatory: what reads or writes the file by other means meanwhile fails.
//! - No call is documented that makes a name durable; the file itself is (`FlushFileBuffers`).
//! - A new file has its name from the beginning. An open file can get no other one, and no call gives a name to a file
//!   that has none. So it grows with its zeros, and a crash meanwhile leaves a part of it.

use super::Access;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::lock::OpenFile;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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

/// A file that was not there, and that is being made whole.
#[derive(Debug)]
pub(in crate::dax) struct NewFile {
    pub(in crate::dax) file: OpenFile,
    name: PathBuf,
}

impl NewFile {
    /// Creates an empty file.
    pub(in crate::dax) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .share_mode(SHARE_READ_AND_WRITE)
            .open(path)?;
        Ok(Self { file: OpenFile::new(file), name: path.to_path_buf() })
    }

    /// Does nothing: the file has the name already.
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "the signature is that of systems where it gets the name now"
    )]
    pub(in crate::dax) const fn give_name(&mut self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Removes it. As long as it is open, nothing else can take its name.
    pub(in crate::dax) fn discard(self) {
        drop(self.file);
        // The error that led here is the one to report.
        drop(std::fs::remove_file(self.name));
    }
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

/// Returns a name for an open file: no call of the standard library gives its path.
pub(in crate::dax) fn name_of(_: &File) -> PathBuf {
    PathBuf::from("the open file")
}

/// The mapping fails if the handle does not permit it.
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of systems that can report it")]
pub(in crate::dax) const fn require_access(_: &Path, _: &File, _: Access) -> Result<(), Error> {
    Ok(())
}

/// Writes all bytes at an offset.
pub(in crate::dax) fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, at)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
        at += written as u64;
    }
    Ok(())
}

/// Returns the meaning of a failure to open a file, if it is known.
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

/// Returns the system's number of an error.
pub(in crate::dax) fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(NO_NUMBER)
}

/// Returns true for the error of a sync that the file system does not have (`ERROR_INVALID_FUNCTION`,
/// `ERROR_NOT_SUPPORTED`): no byte is lost by it.
pub(in crate::dax) const fn is_without_syncs(number: i32) -> bool {
    matches!(number, 1 | 50)
}

/// Returns the fault of an open file with this metadata, if it has one.
pub(in crate::dax) fn fault(metadata: &Metadata) -> Option<ErrorKind> {
    let is_link = metadata.file_attributes() & ATTRIBUTE_REPARSE_POINT != 0;
    is_link.then_some(ErrorKind::SymbolicLink)
}

/// Returns false: no call of the standard library gives the number of names.
pub(in crate::dax) const fn is_nameless(_: &Metadata) -> bool {
    false
}

/// Syncs a file.
pub(in crate::dax) fn sync_all(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// No limit of the process is known.
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of systems that have one")]
pub(in crate::dax) const fn check_limit(_: u64) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the system has no call that persists a name.
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of systems that have a call")]
pub(in crate::dax) const fn persist_name(_: &Path, _: &File) -> Result<(), Error> {
    Ok(())
}

/// Does nothing, as [`persist_name`].
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of systems that have a call")]
pub(in crate::dax) const fn persist_name_of(_: &Path, _: &File, _: &Metadata) -> Result<(), Error> {
    Ok(())
}
