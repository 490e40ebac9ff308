//! The guest's RAM, as devices see it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A piece of RAM in the guest's physical address space.
#[derive(Clone, Copy, Debug)]
pub struct Ram {
    base: u64,
    words: &'static [AtomicU64],
}

impl Ram {
    /// Returns the RAM that begins at `base`, whose content is `words`.
    #[must_use]
    pub const fn new(base: u64, words: &'static [AtomicU64]) -> Self {
        Self { base, words }
    }

    /// Returns the first address.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// Returns true if there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Returns true if all bytes of the range are in RAM.
    #[must_use]
    pub fn has(&self, at: u64, len: u64) -> bool {
        at >= self.base && len <= self.len() && at - self.base <= self.len() - len
    }

    /// Returns a word by its number.
    #[inline]
    #[must_use]
    pub fn nth(&self, number: usize) -> u64 {
        self.words[number].load(Relaxed)
    }

    /// Returns the 8 bytes from any address on, in little-endian order; `None` if they are not in RAM.
    #[must_use]
    pub fn word(&self, at: u64) -> Option<u64> {
        if !self.has(at, 8) {
            return None;
        }
        let offset = at - self.base;
        let (number, shift) = (usize::try_from(offset / 8).ok()?, offset % 8 * 8);
        let low = self.nth(number) >> shift;
        let high = if shift == 0 { 0 } else { self.nth(number + 1) << (64 - shift) };
        Some(low | high)
    }

    /// Returns the 2 bytes from an even address on; `None` if they are not in RAM.
    #[must_use]
    pub fn half(&self, at: u64) -> Option<u16> {
        let word = self.word(at & !7)?;
        let [low, high, ..] = (word >> (at % 8 * 8)).to_le_bytes();
        Some(u16::from_le_bytes([low, high]))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{AtomicU64, Ram, Relaxed};

    /// RAM of this many bytes at 1 GiB, and its words.
    pub(crate) fn ram(len: usize) -> (Ram, &'static [AtomicU64]) {
        let words: Vec<AtomicU64> = (0..len / 8).map(|_place| AtomicU64::new(0)).collect();
        let words: &'static [AtomicU64] = Box::leak(words.into_boxed_slice());
        (Ram::new(0x4000_0000, words), words)
    }

    #[test]
    fn words_are_read_at_any_address_inside() {
        let (ram, words) = ram(64);
        words[0].store(0x8877_6655_4433_2211, Relaxed);
        words[1].store(0xffee, Relaxed);
        assert_eq!(ram.word(0x4000_0000), Some(0x8877_6655_4433_2211));
        assert_eq!(ram.word(0x4000_0002), Some(0xffee_8877_6655_4433));
        assert_eq!(ram.half(0x4000_0006), Some(0x8877));
        assert_eq!(ram.word(0x4000_0039), None, "the last byte is outside");
        assert_eq!(ram.word(0x3fff_ffff), None);
        assert!(ram.has(0x4000_0000, 64) && !ram.has(0x4000_0000, 65) && !ram.has(u64::MAX, 2));
    }
}
