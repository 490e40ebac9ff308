//! Bytes that cannot be read on a medium that otherwise works: a bad block, or the end of a truncated file.
//!
//! A load of such bytes from a mapping raises SIGBUS, which ends the process or the use of the file. An opening, and
//! whatever verifies, therefore reads by system calls ([`ThroughKernel`]), and a writer leaves alone what these could
//! not read.

use cachemaint::medium::Readable;
use core::error::Error;
use core::ops::Range;
use core::sync::atomic::Ordering;
#[cfg(feature = "std")]
use std::sync::{Mutex, PoisonError};

/// The size of a page in bytes.
const PAGE: u64 = 4096;

/// Returns the bytes, or `None` if only these bytes cannot be read, which makes them damaged.
///
/// # Errors
/// If the medium has failed as a whole.
#[inline]
pub fn if_readable<T, E: Error>(
    medium: &(impl Readable<Error = E> + ?Sized),
    read: Result<T, E>,
) -> Result<Option<T>, E> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(_) => medium.check().map(|()| None),
    }
}

/// Returns the bytes of the page with the byte at `at`.
fn page_of<M: Readable + ?Sized>(medium: &M, at: u64) -> Range<u64> {
    let start = at - at % PAGE;
    start..medium.len().min(start.saturating_add(PAGE))
}

/// Returns true if the page with the byte at `at` cannot be read by a system call. Media without such calls have no such
/// pages.
pub fn is_lost<M: Readable + ?Sized>(medium: &M, at: u64) -> bool {
    let (page, mut bytes) = (page_of(medium, at), [0; PAGE as usize]);
    let bytes = &mut bytes[..(page.end - page.start) as usize];
    matches!(medium.pread(page.start, bytes), Some(Err(_)))
}

/// Returns the parts of a range without its [lost](is_lost) pages.
pub fn readable<M: Readable + ?Sized>(
    medium: &M,
    range: Range<u64>,
) -> impl Iterator<Item = Range<u64>> {
    let Range { mut start, end } = range;
    core::iter::from_fn(move || {
        let pages = |at: u64, are_lost: bool| {
            let mut at = at;
            while at < end && is_lost(medium, at) == are_lost {
                at = page_of(medium, at).end.min(end);
            }
            at
        };
        let first = pages(start, true);
        start = pages(first, false);
        (first < start).then_some(first..start)
    })
}

/// Returns true if no page of a range is [lost](is_lost).
pub fn is_readable<M: Readable + ?Sized>(medium: &M, range: Range<u64>) -> bool {
    readable(medium, range.clone()).eq([range])
}

/// A medium that is read by system calls where it has them.
#[derive(Debug)]
pub struct ThroughKernel<'m, M: ?Sized> {
    medium: &'m M,
    #[cfg(feature = "std")]
    pages: Option<Mutex<Pages>>,
}

impl<'m, M: Readable + ?Sized> ThroughKernel<'m, M> {
    /// Returns a medium for reading beside a writer: each read is one call.
    pub const fn new(medium: &'m M) -> Self {
        Self {
            medium,
            #[cfg(feature = "std")]
            pages: None,
        }
    }

    /// Returns a medium for the only writer, which stores nothing meanwhile: whole pages are read, and the last two are
    /// kept, for those who compare two mirrors.
    #[must_use]
    pub const fn buffered(medium: &'m M) -> Self {
        Self {
            medium,
            #[cfg(feature = "std")]
            pages: Some(Mutex::new(Pages::NONE)),
        }
    }
}

impl<M: Readable + ?Sized> Readable for ThroughKernel<'_, M> {
    type Error = M::Error;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, M::Error> {
        assert!(at.is_multiple_of(8), "offset {at} is not a multiple of 8");
        let mut word = [0; 8];
        match self.pread(at, &mut word) {
            Some(read) => read.map(|()| u64::from_le_bytes(word)),
            None => self.medium.try_load(at, order),
        }
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), M::Error> {
        self.pread(at, into).unwrap_or_else(|| self.medium.read(at, into))
    }

    fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), M::Error>> {
        #[cfg(feature = "std")]
        if let Some(pages) = &self.pages
            && pages.lock().unwrap_or_else(PoisonError::into_inner).read(self.medium, at, into)
        {
            return Some(Ok(()));
        }
        self.medium.pread(at, into)
    }

    fn check(&self) -> Result<(), M::Error> {
        self.medium.check()
    }
}

/// The last two pages that were read.
#[cfg(feature = "std")]
#[derive(Debug)]
struct Pages {
    /// [`u64::MAX`] if there is none.
    starts: [u64; 2],
    bytes: [[u8; PAGE as usize]; 2],
    last: usize,
}

#[cfg(feature = "std")]
impl Pages {
    const NONE: Self = Self { starts: [u64::MAX; 2], bytes: [[0; PAGE as usize]; 2], last: 0 };

    /// Copies bytes out of the page that has all of them. Returns false if none has, or it cannot be read.
    fn read<M: Readable + ?Sized>(&mut self, medium: &M, at: u64, into: &mut [u8]) -> bool {
        let Range { start, end } = page_of(medium, at);
        if at.saturating_add(into.len() as u64) > end {
            return false;
        }
        if self.starts[self.last] != start {
            self.last = 1 - self.last;
        }
        let (there, bytes) = (&mut self.starts[self.last], &mut self.bytes[self.last]);
        if *there != start {
            *there = u64::MAX;
            let read = medium.pread(start, &mut bytes[..(end - start) as usize]);
            if !matches!(read, Some(Ok(()))) {
                return false;
            }
            *there = start;
        }
        into.copy_from_slice(&bytes[(at - start) as usize..][..into.len()]);
        true
    }
}
