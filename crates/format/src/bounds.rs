//! Bounds of work: for reads that are repeated because another thread or process may be storing, and for bytes that are
//! not valid records.

/// The number of attempts at a read that a writer keeps making obsolete.
pub const ATTEMPTS: u32 = 64;

/// The number of times to read again if the bytes are not as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rereadings(u32);

impl Rereadings {
    /// For a reader while a process writes. A store may be incomplete for a while: the writer can take a page fault
    /// between two pages.
    pub const BESIDE_WRITERS: Self = Self(ATTEMPTS);
    /// For a reader that is also the only writer.
    pub const ALONE: Self = Self(0);

    /// Returns the first result that is as expected, or else the last one.
    pub fn until<T, E>(
        self,
        is_expected: impl Fn(&T) -> bool,
        mut read: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        for _ in 0..self.0 {
            let found = read()?;
            if is_expected(&found) {
                return Ok(found);
            }
        }
        read()
    }
}

/// The number of times that the bytes of a segment, a sub-buffer or a log may be verified in vain.
///
/// Torn records with intact headers have at most the bytes of the part. In a payload of equal words, one in 2^16 words
/// states its own position and can be read as a header of a journal, always with the same length. Those that fit take a
/// quarter of a segment for each 512 KiB: twice the largest segment. Only crafted, nested records need more.
const PATIENCE: u64 = 6;

/// The number of bytes that may still be verified in vain.
#[derive(Clone, Copy, Debug)]
pub struct Patience(u64);

impl Patience {
    /// Returns the patience for a part of this many bytes.
    #[must_use]
    pub const fn with(bytes: u64) -> Self {
        Self(bytes.saturating_mul(PATIENCE))
    }

    /// Counts bytes that were verified.
    pub const fn spend(&mut self, bytes: u64) {
        self.0 = self.0.saturating_sub(bytes);
    }

    /// Returns true if no more bytes may be verified.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Rereadings;
    use core::convert::Infallible;

    /// Returns the result of waiting for a 7, and the number of reads.
    fn wait(rereadings: Rereadings, value: impl Fn(u32) -> u32) -> (u32, u32) {
        let mut readings = 0;
        let read = || {
            readings += 1;
            Ok::<_, Infallible>(value(readings))
        };
        let Ok(found) = rereadings.until(|found| *found == 7, read);
        (found, readings)
    }

    #[test]
    fn the_first_reading_that_is_as_expected_is_taken() {
        assert_eq!(wait(Rereadings::BESIDE_WRITERS, |_| 7), (7, 1));
        assert_eq!(wait(Rereadings::BESIDE_WRITERS, |number| number / 5), (7, 35));
        assert_eq!(wait(Rereadings::ALONE, |_| 7), (7, 1));
    }

    #[test]
    fn readings_that_are_never_as_expected_come_to_an_end() {
        assert_eq!(wait(Rereadings::BESIDE_WRITERS, |number| number + 100), (165, 65));
        assert_eq!(wait(Rereadings::ALONE, |_| 1), (1, 1));
    }
}
