//! Systems other than Linux: files in the page cache, through memmap2 and the standard library. Its `sync_all` is
//! `F_FULLFSYNC` on macOS and `FlushFileBuffers` on Windows. Nothing is asked about the device.

use super::{Access, Failed, FileFacts, Pages, Part, Unasked};
use crate::dax::latch::Failure;
use core::ops::Range;
use core::ptr::NonNull;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;

/// False: none of these systems documents that it writes pages back for a read-only mapping.
pub(in crate::dax) const PERSISTS_VIEWS: bool = false;

pub(in crate::dax) fn ask(file: &File) -> Result<FileFacts, Unasked> {
    let found = file.metadata().map_err(|error| Failed::new(files::METADATA, &error))?;
    if !found.is_file() {
        return Err(if found.is_dir() { Unasked::Directory } else { Unasked::NotAFile });
    }
    Ok(FileFacts {
        size: found.len(),
        alignment: files::page_size() as u64,
        has_name: true,
        may_be_of_a_lower_layer: false,
        file_system: "",
        device: (0, 0),
        mount_id: None,
        dax_attribute: None,
        device_dax: None,
    })
}

pub(in crate::dax) const fn device_dax_at(_: &Metadata) -> Result<(), Unasked> {
    Err(Unasked::NotAFile)
}

pub(in crate::dax) fn unnamed_in_directory(_: &File) -> io::Result<Option<File>> {
    Ok(None)
}

pub(in crate::dax) const fn memory_of(
    _: &File,
    _: &FileFacts,
) -> Option<crate::system::region::Memory> {
    None
}

/// Nothing is mapped synchronously.
pub(in crate::dax) fn map_synchronously(_: &File, _: &Part) -> Result<Result<Mapped, i32>, Failed> {
    Ok(Err(0))
}

/// A shared mapping of a part of a file.
#[derive(Debug)]
pub(in crate::dax) struct Mapped {
    pages: MmapRaw,
    base: NonNull<u8>,
}

pub(in crate::dax) fn map(file: &File, part: &Part) -> Result<Mapped, Failed> {
    let mut options = MmapOptions::new();
    options.offset(part.offset).len(part.len);
    let mapped = match part.access {
        Access::Read => options.map_raw_read_only(file),
        Access::ReadAndWrite => options.map_raw(file),
    };
    let pages = mapped.map_err(|error| Failed::new("mapping it", &error))?;
    let base = NonNull::new(pages.as_mut_ptr());
    let base = base.ok_or(Failed { call: "mapping it", errno: 0 })?;
    Ok(Mapped { pages, base })
}

/// Nothing flushes a medium but a sync.
#[derive(Debug)]
pub(in crate::dax) struct DeepFlush;

impl DeepFlush {
    pub(in crate::dax) fn new(_: Option<PathBuf>) -> Self {
        Self
    }
}

/// A mapping in use, and its file.
#[derive(Debug)]
pub(in crate::dax) struct MappedPages {
    mapped: Mapped,
    file: File,
    /// The end of the part in the file.
    needed: u64,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for Mapped {}
// SAFETY: nothing is accessed through it.
unsafe impl Sync for Mapped {}

impl MappedPages {
    pub(in crate::dax) fn new(
        mapped: Mapped,
        file: &File,
        part: &Part,
        _: &str,
        _: Option<DeepFlush>,
    ) -> Result<Self, Failed> {
        let file = file.try_clone().map_err(|error| Failed::new("duplicating it", &error))?;
        Ok(Self { mapped, file, needed: part.offset + part.len as u64 })
    }

    pub(in crate::dax) const fn base(&self) -> NonNull<u8> {
        self.mapped.base
    }

    pub(in crate::dax) const fn keep_folios_small(self, _: &str, _: &Range<u64>) -> Self {
        self
    }

    pub(in crate::dax) const fn populate(&self, _: usize) -> Result<(), Unpopulated> {
        Err(Unpopulated::Unknown)
    }
}

/// The reason why a mapping could not be populated: no call does it.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "only Linux tells the place")]
pub(in crate::dax) enum Unpopulated {
    Unknown,
    At { at: u64, errno: i32, is_lost: bool },
}

impl Pages for MappedPages {
    /// Two steps: the pages go to the file, and the file to its medium.
    fn writeback(&self, range: Range<usize>) -> Result<(), Failure> {
        let (at, len) = (range.start as u64, range.len() as u64);
        let flushed = self.mapped.pages.flush_range(range.start, range.len());
        let written = flushed.and_then(|()| self.file.sync_data());
        written.map_err(|error| Failure::Writeback { at, len, errno: files::number(&error) })?;
        match self.file.metadata() {
            Ok(found) if found.len() >= self.needed => Ok(()),
            Ok(found) => Err(Failure::Cut { size: found.len(), needed: self.needed }),
            Err(error) => Err(Failure::Unmeasured { errno: files::number(&error) }),
        }
    }
}

pub(in crate::dax) mod files {
    use super::{Access, Failed};
    use core::ops::Range;
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::{Path, PathBuf};

    /// The names of the calls in errors.
    pub(in crate::dax) const LOCK: &str = "locking it";
    pub(in crate::dax) const METADATA: &str = "reading its length";
    pub(in crate::dax) const SET_LEN: &str = "changing its length";
    pub(in crate::dax) const SYNC: &str = "syncing it";
    pub(in crate::dax) const LINK: &str = "linking it";

    /// A multiple of the page size of each of these systems: 16 KiB on macOS on arm64, 4 KiB elsewhere.
    pub(in crate::dax) const fn page_size() -> usize {
        16 << 10
    }

    /// Appends zeros to a file. They are written, since a file system may extend the length without blocks.
    pub(in crate::dax) fn write_zeros(mut file: &File, range: &Range<u64>) -> io::Result<()> {
        io::Seek::seek(&mut file, io::SeekFrom::Start(range.start))?;
        let zeros = io::Read::take(io::repeat(0), range.end - range.start);
        io::copy(&mut io::BufReader::with_capacity(1 << 20, zeros), &mut file).map(|_count| ())
    }

    /// Creates a new file, with its name from the beginning: a crash leaves an incomplete file.
    pub(in crate::dax) fn create(path: &Path, _: bool) -> Result<(File, Option<PathBuf>), Failed> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| Failed::new("open", &error))?;
        Ok((file, Some(path.to_path_buf())))
    }

    /// Does nothing: the file has the name already.
    pub(in crate::dax) const fn give_name(
        _: &File,
        _: Option<&Path>,
        _: &Path,
    ) -> Result<(), Failed> {
        Ok(())
    }

    /// Opens a file. Symbolic links were refused before, unless somebody has replaced the file since.
    pub(in crate::dax) fn open(path: &Path, access: Access) -> io::Result<File> {
        OpenOptions::new().read(true).write(access == Access::ReadAndWrite).open(path)
    }

    pub(in crate::dax) fn open_to_look(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    /// No system is known that permits one mapping of a file and not the other.
    pub(in crate::dax) const fn reopened_to_write(_: &File) -> Option<File> {
        None
    }

    pub(in crate::dax) const fn permitted(_: &File) -> Access {
        Access::Read
    }

    pub(in crate::dax) fn name_of(_: &File) -> PathBuf {
        PathBuf::from("the open file")
    }

    /// The mapping fails if the descriptor does not permit it.
    pub(in crate::dax) const fn unfit(_: &File, _: Access) -> Result<Option<&'static str>, Failed> {
        Ok(None)
    }

    /// Returns the system's number of an error.
    pub(in crate::dax) fn number(error: &io::Error) -> i32 {
        error.raw_os_error().unwrap_or_default()
    }

    pub(in crate::dax) const fn is_without_syncs(_: i32) -> bool {
        false
    }

    /// Returns true if the path names the open file. Windows shows no identity of a file.
    pub(in crate::dax) fn is_name_of(path: &Path, file: &File) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let (Ok(own), Ok(there)) = (file.metadata(), path.symlink_metadata()) else {
                return false;
            };
            (own.dev(), own.ino()) == (there.dev(), there.ino())
        }
        #[cfg(not(unix))]
        {
            let _ = (path, file);
            true
        }
    }

    /// Makes a name durable, where the system has a call for it.
    pub(in crate::dax) fn persist_name(path: &Path) -> Result<(), Failed> {
        if cfg!(windows) {
            return Ok(());
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let synced =
            File::open(directory.unwrap_or(Path::new("."))).and_then(|open| open.sync_all());
        synced.map_err(|error| Failed::new("syncing its directory", &error))
    }
}
