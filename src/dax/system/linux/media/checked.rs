//! Reads that find out which bytes cannot be read.
//!
//! A read over a media error fails as a whole, or ends before it. It is then narrowed down by further
//! reads, in sectors of 512 bytes, which is what the kernel's list of bad blocks counts in. A kernel that
//! refuses more around a bad sector, as Linux does for the page on persistent memory
//! (`drivers/nvdimm/pmem.c`, `__pmem_direct_access`), is seen to refuse more.

use crate::system::badblocks::SECTOR;
use core::ops::Range;
use rustix::io::Errno;
use std::io;

/// The largest number of sectors of one stretch, so that the work has an end: 512 KiB.
const MOST_SECTORS: usize = 1024;

/// The reason why bytes were not read.
#[derive(Debug)]
pub(in crate::dax) enum Unread {
    /// The first stretch of the range that cannot be read, in bytes of the file. The bytes before it were read.
    Poisoned(Range<u64>),
    /// Something else.
    Failed(io::Error),
}

/// Returns true if a read failed because of the medium. `EIO` is the error of a known media error, `EFAULT` of one that
/// was met while the kernel copied (`fs/dax.c`, `dax_iomap_iter`), `EHWPOISON` of a page that was taken out of use.
fn is_poison(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::FAULT | Errno::HWPOISON))
}

/// Reads the bytes at `at` of a file by `pread`, which reads all that it is asked for or fails.
///
/// Work: beside the read itself at most two times the range again, in a number of calls that is its
/// logarithm, and one call for each bad sector up to [`MOST_SECTORS`].
pub(in crate::dax) fn read(
    pread: impl Fn(u64, &mut [u8]) -> io::Result<()>,
    at: u64,
    into: &mut [u8],
) -> Result<(), Unread> {
    match pread(at, into) {
        Ok(()) => Ok(()),
        Err(error) if is_poison(&error) => Err(narrowed(&pread, at, into, error)),
        Err(error) => Err(Unread::Failed(error)),
    }
}

/// Returns the reason why a read failed of a range that has something bad in it.
fn narrowed(
    pread: &impl Fn(u64, &mut [u8]) -> io::Result<()>,
    at: u64,
    into: &mut [u8],
    first: io::Error,
) -> Unread {
    let end = at.saturating_add(into.len() as u64);
    // Everything before `good` was read. The range between the two was refused.
    let (mut good, mut bad) = (at, end);
    while let Some(middle) = sector_between(good, bad) {
        let Some(half) = part(into, at, &(good..middle)) else { return Unread::Failed(first) };
        match pread(good, half) {
            Ok(()) => good = middle,
            Err(error) if is_poison(&error) => bad = middle,
            Err(error) => return Unread::Failed(error),
        }
    }
    // Into a place of its own: what the caller gave may be what cannot be accessed.
    let mut sector = [0; 512];
    let mut refuses = |range: &Range<u64>| {
        let into = part(&mut sector, range.start, range);
        into.is_some_and(|into| pread(range.start, into).is_err_and(|error| is_poison(&error)))
    };
    if !refuses(&(good..bad)) {
        // The poison came and went.
        return Unread::Failed(first);
    }
    for _ in 1..MOST_SECTORS {
        let next = bad..(bad.saturating_add(SECTOR)).min(end);
        if next.is_empty() || !refuses(&next) {
            break;
        }
        bad = next.end;
    }
    Unread::Poisoned(good..bad)
}

/// Returns the boundary of sectors nearest to the middle of a range; `None` if the range has no boundary in it.
fn sector_between(start: u64, end: u64) -> Option<u64> {
    let first = (start / SECTOR + 1).checked_mul(SECTOR)?;
    let last = end.checked_sub(1)? / SECTOR * SECTOR;
    if first > last {
        return None;
    }
    Some((start.midpoint(end) / SECTOR * SECTOR).clamp(first, last))
}

/// Returns the part of a buffer, which begins at `at` in the file, that is for a range of the file.
fn part<'a>(buffer: &'a mut [u8], at: u64, range: &Range<u64>) -> Option<&'a mut [u8]> {
    let start = usize::try_from(range.start.checked_sub(at)?).ok()?;
    let end = usize::try_from(range.end.checked_sub(at)?).ok()?;
    buffer.get_mut(start..end)
}

// No unsafe code is tested, and Miri would take minutes for the models.
#[cfg(test)]
#[cfg(not(miri))]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::{Unread, read, sector_between};
    use alloc::vec;
    use alloc::vec::Vec;
    use core::cell::Cell;
    use core::ops::Range;
    use rustix::io::Errno;
    use std::io;

    const LEN: usize = 64 << 10;

    fn byte(at: usize) -> u8 {
        u8::try_from(at % 251).unwrap() + 1
    }

    /// A file of which a read fails as soon as it touches a unit (a sector, a page) that has something
    /// bad, after it has filled its buffer with other things.
    struct Model {
        bad: Vec<Range<usize>>,
        unit: usize,
        errno: Errno,
        calls: Cell<usize>,
    }

    impl Model {
        fn new(bad: &[Range<usize>]) -> Self {
            Self { bad: bad.to_vec(), unit: 512, errno: Errno::IO, calls: Cell::new(0) }
        }

        fn pread(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
            self.calls.set(self.calls.get() + 1);
            let start = usize::try_from(at).unwrap();
            let end = start + into.len();
            let touched = start / self.unit * self.unit..end.next_multiple_of(self.unit);
            if self.bad.iter().any(|bad| bad.start < touched.end && touched.start < bad.end) {
                into.fill(0xee);
                return Err(self.errno.into());
            }
            for (place, into) in (start..end).zip(into) {
                *into = byte(place);
            }
            Ok(())
        }

        /// Returns the stretch of a range that cannot be read. The bytes before it must have been read.
        fn stretch(&self, at: usize, len: usize) -> Range<u64> {
            let mut into = vec![0; len];
            let failed = read(|at, into| self.pread(at, into), at as u64, &mut into).unwrap_err();
            let Unread::Poisoned(stretch) = failed else { panic!("{failed:?}") };
            for place in at..usize::try_from(stretch.start).unwrap() {
                assert_eq!(into[place - at], byte(place), "at {place}");
            }
            stretch
        }
    }

    #[test]
    fn readable_bytes_are_read_by_one_call() {
        let model = Model::new(&[1024..1536]);
        let mut into = [0; 512];
        read(|at, into| model.pread(at, into), 512, &mut into).unwrap();
        assert_eq!(model.calls.get(), 1);
        assert_eq!((into[0], into[511]), (byte(512), byte(1023)));
    }

    #[test]
    fn the_first_stretch_is_found_wherever_it_is() {
        for sector in 0..LEN / 512 {
            let bad = sector * 512..(sector + 1) * 512;
            let model = Model::new(core::slice::from_ref(&bad));
            assert_eq!(model.stretch(0, LEN), bad.start as u64..bad.end as u64);
            // 1 for all, log2(128 sectors) = 7, 1 to be sure, 1 for the one after it.
            assert!(model.calls.get() <= 10, "{} calls", model.calls.get());
        }
        let model = Model::new(&[2048..4096, 8192..8704]);
        assert_eq!(model.stretch(0, LEN), 2048..4096);
        assert_eq!(model.stretch(4096, LEN - 4096), 8192..8704);
    }

    #[test]
    fn a_range_within_sectors_is_narrowed_to_itself() {
        let model = Model::new(&[1024..1536]);
        assert_eq!(model.stretch(1100, 8), 1100..1108);
        assert_eq!(model.stretch(1000, 100), 1024..1100);
        assert_eq!(model.stretch(1500, 100), 1500..1536);
        assert_eq!(model.stretch(1535, 1), 1535..1536);
    }

    /// As the kernel does on persistent memory: the page of a bad sector is refused whole.
    #[test]
    fn a_kernel_that_refuses_pages_is_seen_to() {
        let model = Model { unit: 4096, ..Model::new(&[9 * 512..10 * 512]) };
        assert_eq!(model.stretch(0, LEN), 4096..8192);
        assert_eq!(model.stretch(100, 5000), 4096..5100);
    }

    #[test]
    fn the_work_has_an_end() {
        let most = 1024 * 512;
        let model = Model::new(&[0..usize::MAX / 2]);
        assert_eq!(model.stretch(0, 4 * most), 0..most as u64);
        assert!(model.calls.get() < 1024 + 20, "{} calls", model.calls.get());
    }

    #[test]
    fn each_error_that_means_poison_does_and_no_other() {
        for errno in [Errno::IO, Errno::FAULT, Errno::HWPOISON] {
            let model = Model { errno, ..Model::new(&[512..1024]) };
            assert_eq!(model.stretch(0, 4096), 512..1024);
        }
        let other = Model { errno: Errno::STALE, ..Model::new(&[512..1024]) };
        let failed = read(|at, into| other.pread(at, into), 0, &mut [0; 4096]).unwrap_err();
        let Unread::Failed(error) = failed else { panic!("{failed:?}") };
        assert_eq!(error.raw_os_error(), Some(Errno::STALE.raw_os_error()));
        assert_eq!(other.calls.get(), 1);
    }

    /// A buffer that cannot be written gives `EFAULT` too, and is not a media error.
    #[test]
    fn a_bad_buffer_of_the_caller_is_not_a_media_error() {
        let mut into = vec![0; 4096];
        let callers = into.as_ptr_range();
        let pread = |_: u64, into: &mut [u8]| {
            if callers.contains(&into.as_ptr()) { Err(Errno::FAULT.into()) } else { Ok(()) }
        };
        let failed = read(pread, 0, &mut into).unwrap_err();
        assert!(matches!(failed, Unread::Failed(_)), "{failed:?}");
    }

    #[test]
    fn boundaries_are_strictly_within() {
        assert_eq!(sector_between(0, 512), None);
        assert_eq!(sector_between(0, 513), Some(512));
        assert_eq!(sector_between(511, 513), Some(512));
        assert_eq!(sector_between(512, 1024), None);
        assert_eq!(sector_between(0, 4096), Some(2048));
        assert_eq!(sector_between(700, 700), None);
        assert_eq!(sector_between(u64::MAX - 10, u64::MAX), None);
    }
}
