//! The holes of a file, which a reader need not look at.

use super::DaxView;
#[cfg(all(any(feature = "journal", feature = "recorder"), target_os = "linux"))]
use core::sync::atomic::{self, Ordering::Acquire};

impl DaxView {
    /// Returns the first offset from `at` on that may have another byte than zero, or the length of the mapping. The bytes
    /// before it are a hole: it was not stored to before this call, through any mapping.
    ///
    /// A load from a hole takes memory, in a tmpfs also space of the file system, and a hole takes nothing from the owner
    /// of the file.
    #[cfg(all(any(feature = "journal", feature = "recorder"), target_os = "linux"))]
    pub(crate) fn data_from(&self, at: u64) -> u64 {
        if !ANSWERING.contains(&&*self.guarantee.file_system) {
            return at;
        }
        // An answer takes its place in the order of this reader's loads, as a load of the bytes would.
        atomic::fence(Acquire);
        let data = match self.asked(at) {
            // Of an unwritten extent ext4 first reads its state, and then looks for its pages. A page that is written out
            // and dropped in between is in neither. Its extent is written then, as a second answer shows.
            data if data > at => data.min(self.asked(at)),
            data => data,
        };
        atomic::fence(Acquire);
        data
    }

    /// As on Linux. Other systems are not asked, so all bytes may be data.
    #[cfg(all(any(feature = "journal", feature = "recorder"), not(target_os = "linux")))]
    #[expect(clippy::unused_self, reason = "there is nothing to ask here")]
    pub(crate) const fn data_from(&self, at: u64) -> u64 {
        at
    }

    /// Returns one answer of the kernel. Without an answer all bytes may be data.
    #[cfg(all(any(feature = "journal", feature = "recorder"), target_os = "linux"))]
    fn asked(&self, at: u64) -> u64 {
        let end = self.offset.saturating_add(self.len());
        let data = self.met.data_from(self.offset.saturating_add(at), end, self.file());
        data.map_or(at, |data| data.saturating_sub(self.offset).clamp(at, self.len().max(at)))
    }
}

/// The file systems that are asked for holes. All of them count each page that was stored to as data from its first fault
/// on, before the store (Linux 6.18):
/// - tmpfs looks for pages, and for entries of swapped pages (`mm/shmem.c`, `shmem_file_llseek`; `mm/filemap.c`,
///   `mapping_seek_hole_data`). The fault adds the page, up to date, and it stays until it is punched out.
/// - ext4 reads its extents (`fs/ext4/file.c`, `ext4_llseek`; `fs/iomap/seek.c`). The fault allocates a block or reserves
///   it (`ext4_page_mkwrite`), and both count as data. For an unwritten extent the pages of the cache are looked for. With
///   DAX the fault allocates blocks that are zeroed and count as written (`ext4_iomap_alloc`).
///
/// Other file systems are read in full. Although xfs and btrfs look for pages as well, some kernels have skipped data. On xfs
/// this was beside extents of copy-on-write ("xfs: fix `SEEK_HOLE/DATA` for regions with active COW extents"). On btrfs it was
/// in files of one byte, and for threads that seek at a time. A network file system or FUSE passes on the answer of a server.
#[cfg(all(any(feature = "journal", feature = "recorder"), target_os = "linux"))]
const ANSWERING: [&str; 2] = ["ext4", "tmpfs"];

#[cfg(test)]
#[cfg(all(any(feature = "journal", feature = "recorder"), target_os = "linux", not(miri)))]
mod tests {
    use crate::dax::system::files::page_size;
    use crate::dax::{DaxFile, Options};
    use crate::skip::skip;
    use core::sync::atomic::Ordering::Relaxed;
    use rustix::fs::{FallocateFlags, fallocate};
    use std::fs::File;
    use std::path::Path;
    use tempfile::TempDir;

    const LEN: u64 = 4 << 20;
    const MIDDLE: u64 = LEN / 2;

    /// Directories in the file system of temporary files and in a tmpfs.
    fn directories() -> impl Iterator<Item = TempDir> {
        [tempfile::tempdir().ok(), tempfile::tempdir_in("/dev/shm").ok()].into_iter().flatten()
    }

    fn open(path: &Path) -> Option<DaxFile> {
        Options::new().allow_page_granularity().open(path).ok()
    }

    /// Creates a file that is a hole and maps it. Returns `None` where it is not mapped, or its holes are not asked for.
    fn hole(test: &str, path: &Path) -> Option<DaxFile> {
        File::create(path).unwrap().set_len(LEN).unwrap();
        let file = open(path).filter(|file| file.view().data_from(0) == LEN);
        if file.is_none() {
            skip(test, "a file of a hole is not mapped, or not asked for its holes");
        }
        file
    }

    /// Asserts that a word that was stored is in data from its page on.
    fn assert_is_data(file: &DaxFile, at: u64) {
        assert_eq!(file.view().data_from(at), at);
        assert!(file.view().data_from(0) <= at);
    }

    #[test]
    fn a_page_that_was_stored_to_is_data() {
        let test = "a_page_that_was_stored_to_is_data";
        for directory in directories() {
            let path = directory.path().join("file");
            let Some(file) = hole(test, &path) else { continue };
            // The last store goes through the mapping of another open file.
            let other = Options::new().allow_page_granularity().lock(crate::dax::Lock::None);
            let other = other.open(&path).ok();
            for at in [MIDDLE, MIDDLE - page_size() as u64, LEN - 8, 0] {
                let through = other.as_ref().filter(|_| at == 0).unwrap_or(&file);
                through.store(at, 1, Relaxed);
                assert_is_data(&file, at);
            }
            file.persist(0..LEN).unwrap();
            for at in [0, MIDDLE, LEN - 8] {
                assert_is_data(&file, at);
            }
            assert!(file.view().data_from(MIDDLE + (1 << 20)) > MIDDLE + (1 << 20));
        }
    }

    /// The blocks of a file are reserved, so a store does not change its extents until it is written back.
    #[test]
    fn a_page_of_an_unwritten_extent_that_was_stored_to_is_data() {
        let test = "a_page_of_an_unwritten_extent_that_was_stored_to_is_data";
        for directory in directories() {
            let path = directory.path().join("file");
            let Some(file) = hole(test, &path) else { continue };
            let reserved = fallocate(file.file(), FallocateFlags::empty(), 0, LEN);
            if reserved.is_err() {
                skip(test, "the file system reserves nothing");
                continue;
            }
            file.store(MIDDLE, 1, Relaxed);
            assert_is_data(&file, MIDDLE);
            file.persist(MIDDLE..MIDDLE + 8).unwrap();
            assert_is_data(&file, MIDDLE);
        }
    }

    #[test]
    fn an_answer_counts_from_the_beginning_of_the_mapping() {
        let test = "an_answer_counts_from_the_beginning_of_the_mapping";
        for directory in directories() {
            let path = directory.path().join("file");
            let Some(file) = hole(test, &path) else { continue };
            file.store(MIDDLE, 1, Relaxed);
            drop(file);
            let options = Options::new().allow_page_granularity();
            let part = options.offset(1 << 20).open(&path).unwrap();
            assert_eq!(part.view().data_from(0), MIDDLE - (1 << 20));
            assert_eq!(part.view().data_from(MIDDLE), LEN - (1 << 20));
        }
    }

    /// An access to these bytes is an error, which must not be taken for zeros.
    #[test]
    fn bytes_that_are_cut_off_are_not_a_hole() {
        let test = "bytes_that_are_cut_off_are_not_a_hole";
        for directory in directories() {
            let path = directory.path().join("file");
            let Some(file) = hole(test, &path) else { continue };
            file.file().set_len(MIDDLE).unwrap();
            assert_eq!(file.view().data_from(0), 0);
            assert_eq!(file.view().data_from(LEN - 8), LEN - 8);
        }
    }

    /// The position of the open file is that of its duplicates.
    #[test]
    fn the_position_of_the_file_stays() {
        use std::io::Seek as _;

        let test = "the_position_of_the_file_stays";
        for directory in directories() {
            let path = directory.path().join("file");
            let Some(file) = hole(test, &path) else { continue };
            file.store(MIDDLE, 1, Relaxed);
            assert_is_data(&file, MIDDLE);
            assert_eq!(file.file().stream_position().unwrap(), 0);
        }
    }
}
