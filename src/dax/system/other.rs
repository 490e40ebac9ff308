//! Systems other than Linux: files in the page cache, through memmap2 and the standard library. Its `sync_all` is
//! `F_FULLFSYNC` on macOS and `FlushFileBuffers` on Windows. Nothing is asked about the device, so the guarantee is a
//! condition.

#![expect(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "on Linux these can fail, and have facts"
)]

use super::{Access, FileFacts, MapOptions};
use crate::cache::Cache;
use crate::dax::Guarantee;
use crate::dax::bounds::Bounds;
use crate::dax::error::{Error, ErrorKind};
use crate::dax::latch::{FailedAccess, Failure};
use crate::dax::mapping::{Mapping, Pages};
use crate::dax::open_file::OpenFile;
use crate::medium::Granularity;
use crate::survival::Backing;
use crate::system::calls::{System, uninterrupted};
use crate::system::tree::{Evidence, Unknown};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// False: none of these systems documents that it writes pages back for a read-only mapping.
pub(in crate::dax) const PERSISTS_VIEWS: bool = false;

/// The names of the calls in errors.
pub(in crate::dax) const LOCK: &str = "locking it";
pub(in crate::dax) const METADATA: &str = "reading its length";
pub(in crate::dax) const SET_LEN: &str = "changing its length";
pub(in crate::dax) const SYNC: &str = "syncing it";
pub(in crate::dax) const LINK: &str = "linking it";

/// On these systems a failed access ends the process.
pub(in crate::dax) const fn reason(_: &File, _: &Mapping, _: u64, access: FailedAccess) -> Failure {
    Failure::Access(access)
}

pub(in crate::dax) fn ask(path: &Path, file: &File, _: Option<Cache>) -> Result<FileFacts, Error> {
    let metadata =
        uninterrupted(|| file.metadata()).map_err(|error| Error::os(path, METADATA, &error))?;
    if !metadata.is_file() {
        return Err(Error::new(path, ErrorKind::NotAFile));
    }
    Ok(facts(metadata.len()))
}

fn facts(size: u64) -> FileFacts {
    let bounds = Bounds { size, alignment: page_size() as u64, is_device: false };
    FileFacts { bounds, has_name: true, may_be_of_a_lower_layer: false }
}

pub(in crate::dax) fn ask_directory(
    _: &Path,
    _: &File,
    _: Option<Cache>,
) -> Result<FileFacts, Error> {
    Ok(facts(0))
}

pub(in crate::dax) const fn is_device(_: &Path, _: &Metadata) -> Result<bool, Error> {
    Ok(false)
}

/// Returns the guarantee of every file on such a system.
pub(in crate::dax) fn conclude(_: &Path, facts: &FileFacts) -> Result<Guarantee, Error> {
    let System { name, persists_by, .. } = System::host();
    Ok(Guarantee {
        granularity: Granularity::Page(page_size()),
        backing: Backing::FileSystem,
        reason: format!(
            "{name} documents that {persists_by} persist them, so they survive if the file system honours fsync; \
             this crate maps files directly only on Linux"
        ),
        advice: Some("if pages are too coarse, use a file on persistent memory under Linux"),
        file_system: String::new(),
        mount_point: String::new(),
        device: String::new(),
        is_device_dax: false,
        alignment: facts.bounds.alignment,
        region: None,
        devices: Vec::new(),
        deep_flush: None,
        through_page_cache: true,
        drops_flushes: false,
        has_name: true,
        evidence: alloc::vec![
            Evidence::new("the operating system", name),
            Evidence::new("what makes stores durable", persists_by),
            Evidence::new("the device under the file", "not asked on this system"),
        ],
    })
}

/// A shared mapping of a part of a file, and the file.
#[derive(Debug)]
struct MappedPages {
    pages: MmapRaw,
    file: File,
}

pub(in crate::dax) fn map(
    path: &Path,
    file: &File,
    part: &MapOptions,
    _: &Guarantee,
) -> Result<Mapping, Error> {
    if part.populate {
        return Err(Error::unsupported(
            path,
            "cannot be populated on this system; do not call Options::populate",
        ));
    }
    map_pages(file, part).map_err(|error| Error::os(path, "mapping it", &error))
}

fn map_pages(file: &File, part: &MapOptions) -> io::Result<Mapping> {
    let mut options = MmapOptions::new();
    options.offset(part.offset).len(part.len);
    let pages = match part.access {
        Access::Read => options.map_raw_read_only(file)?,
        Access::ReadAndWrite => options.map_raw(file)?,
    };
    let base = NonNull::new(pages.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
    let pages = MappedPages { pages, file: file.try_clone()? };
    // SAFETY: (1) a raw mapping can be read, and lasts as long as `pages`; systems map whole pages.
    // (2) Mappings begin at a page, and the offset is a multiple of its size. (3) It is of no use for
    // anything else but to be written back.
    Ok(unsafe { Mapping::new(base, part.len, pages) })
}

impl Pages for MappedPages {
    /// Two steps: the pages go to the file, and the file to its medium.
    fn writeback(&self, range: Range<usize>) -> io::Result<()> {
        self.pages.flush_range(range.start, range.len())?;
        self.file.sync_data()
    }
}

/// Appends zeros to a file. They are written, since a file system may extend the length without allocating blocks.
pub(in crate::dax) fn write_zeros(file: &File, range: &Range<u64>) -> io::Result<()> {
    let zeros = alloc::vec![0; 1 << 20];
    let mut at = range.start;
    while at < range.end {
        let rest = usize::try_from(range.end - at).unwrap_or(zeros.len());
        at += write_at(file, zeros.get(..rest).unwrap_or(&zeros), at)? as u64;
    }
    Ok(())
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return uninterrupted(|| std::os::unix::fs::FileExt::write_at(file, bytes, at));
    #[cfg(windows)]
    std::os::windows::fs::FileExt::seek_write(file, bytes, at)
}

pub(in crate::dax) fn placement(
    _: &File,
    _: &Guarantee,
    _: &Range<u64>,
) -> Result<crate::dax::Placement, Unknown> {
    let answer = "this system does not report the place of bytes";
    Err(Unknown::new(System::host().name, answer, "ask under Linux, on ext4 or xfs"))
}

/// A multiple of the page size of each of these systems: 16 KiB on macOS on arm64, 4 KiB elsewhere.
pub(in crate::dax) const fn page_size() -> usize {
    16 << 10
}

/// Creates a new file, with its name from the beginning: a crash leaves an incomplete file.
pub(in crate::dax) fn create(path: &Path, _: bool) -> Result<OpenFile, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let text = "its directory does not exist; create that first";
            Error::because(path, ErrorKind::NotFound, text).numbered(number(&error))
        }
        _ => Error::os(path, "open", &error),
    })?;
    Ok(OpenFile::unfinished(file, Some(path.to_path_buf())))
}

/// Does nothing: the file has the name already.
pub(in crate::dax) const fn give_name(_: &mut OpenFile, _: &Path) -> Result<(), Error> {
    Ok(())
}

/// Opens a file. Symbolic links were refused before, unless somebody has replaced the file since.
pub(in crate::dax) fn open(path: &Path, access: Access) -> io::Result<File> {
    OpenOptions::new().read(true).write(access == Access::ReadAndWrite).open(path)
}

pub(in crate::dax) fn open_to_look(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(in crate::dax) fn name_of(_: &File) -> PathBuf {
    PathBuf::from("the open file")
}

/// The mapping fails if the descriptor does not permit it.
pub(in crate::dax) const fn require_access(_: &Path, _: &File, _: Access) -> Result<(), Error> {
    Ok(())
}

/// Returns the words of the kind, and adds nothing.
pub(in crate::dax) const fn meaning(
    _: &Path,
    _: &'static str,
    _: &io::Error,
    kind: ErrorKind,
) -> (ErrorKind, Option<Cow<'static, str>>) {
    (kind, None)
}

/// Returns the system's number of an error.
pub(in crate::dax) fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}

pub(in crate::dax) const fn is_without_syncs(_: i32) -> bool {
    false
}

/// Files have no identity on these systems.
pub(in crate::dax) const fn is_name_of(_: &Path, _: &File) -> bool {
    true
}

/// Sets the modification time to now.
pub(in crate::dax) fn touch(file: &File) {
    // The file is complete without it.
    drop(file.set_modified(std::time::SystemTime::now()));
}

/// Makes a name durable, where the system has a call for it.
pub(in crate::dax) fn persist_name(path: &Path) -> Result<(), Error> {
    if cfg!(windows) {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = File::open(directory.unwrap_or(Path::new("."))).and_then(|open| open.sync_all());
    synced.map_err(|error| Error::os(path, "syncing its directory", &error))
}
