//! A medium in ordinary memory that counts the bytes read.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// Words of memory without cache maintenance. A clone is the same medium.
#[derive(Clone, Debug)]
pub struct Image(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    words: Vec<AtomicU64>,
    looks: AtomicU64,
}

impl Image {
    /// Returns a medium of zeros.
    pub fn zeros(bytes: usize) -> Self {
        let blocks = (0..bytes / 8 / BLOCK).map(|_| [const { AtomicU64::new(0) }; BLOCK]);
        let mut words = blocks.collect::<Vec<_>>().into_flattened();
        words.resize_with(bytes / 8, AtomicU64::default);
        Self::of(words)
    }

    /// Returns a medium with these bytes, without an incomplete last word.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        let (blocks, rest) = bytes.as_ref().as_chunks().0.as_chunks::<BLOCK>();
        let word = |bytes| AtomicU64::new(u64::from_le_bytes(bytes));
        let mut words =
            blocks.iter().map(|block| block.map(word)).collect::<Vec<_>>().into_flattened();
        words.extend(rest.iter().copied().map(word));
        Self::of(words)
    }

    fn of(words: Vec<AtomicU64>) -> Self {
        Self(Arc::new(Inner { words, looks: AtomicU64::new(0) }))
    }

    /// Returns all bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![[0; 8]; self.0.words.len()];
        load(&self.0.words, &mut bytes);
        bytes.into_flattened()
    }

    /// Returns another medium with the first bytes of this one.
    pub fn copy(&self, bytes: usize) -> Self {
        Self::new(&self.bytes()[..bytes])
    }

    /// Runs `work` and returns the number of bytes that it read.
    pub fn cost<T>(&self, work: impl FnOnce(&Self) -> T) -> (T, u64) {
        let before = self.0.looks.load(Relaxed);
        let result = work(self);
        (result, self.0.looks.load(Relaxed) - before)
    }

    fn look(&self, bytes: usize) {
        // Only one thread counts.
        self.0.looks.store(self.0.looks.load(Relaxed) + bytes as u64, Relaxed);
    }

    fn check_bounds(&self, at: u64, bytes: usize) {
        let end = at.checked_add(bytes as u64);
        assert!(end.is_some_and(|end| end <= Readable::len(self)), "{bytes} bytes at {at}");
    }

    /// Returns the words of a range, each with its bytes in the range.
    fn parts(&self, at: u64, bytes: usize) -> impl Iterator<Item = (&AtomicU64, Range<usize>)> {
        self.check_bounds(at, bytes);
        let (mut word, mut from, mut left) = (at as usize / 8, at as usize % 8, bytes);
        core::iter::from_fn(move || {
            let len = left.min(8 - from);
            let part = (len > 0).then(|| (&self.0.words[word], from..from + len));
            (word, from, left) = (word + 1, 0, left - len);
            part
        })
    }
}

/// The number of words that are created, loaded and stored at a time, since each iteration of a loop is counted.
const BLOCK: usize = 16;

fn load(words: &[AtomicU64], bytes: &mut [[u8; 8]]) {
    let (blocks, rest) = words.as_chunks::<BLOCK>();
    let (to, rest_of_to) = bytes.as_chunks_mut::<BLOCK>();
    for (words, to) in blocks.iter().zip(to) {
        *to = words.each_ref().map(|word| word.load(Relaxed).to_le_bytes());
    }
    for (word, to) in rest.iter().zip(rest_of_to) {
        *to = word.load(Relaxed).to_le_bytes();
    }
}

fn store(words: &[AtomicU64], bytes: &[[u8; 8]]) {
    let (blocks, rest) = words.as_chunks::<BLOCK>();
    let (from, rest_of_from) = bytes.as_chunks::<BLOCK>();
    for (words, from) in blocks.iter().zip(from) {
        let from = from.map(u64::from_le_bytes);
        (0..BLOCK).for_each(|at| words[at].store(from[at], Relaxed));
    }
    for (word, from) in rest.iter().zip(rest_of_from) {
        word.store(u64::from_le_bytes(*from), Relaxed);
    }
}

impl Readable for Image {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.words.len() as u64 * 8
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        self.look(into.len());
        let (whole, rest) = into.as_chunks_mut();
        if at.is_multiple_of(8) && rest.is_empty() {
            self.check_bounds(at, whole.len() * 8);
            load(&self.0.words[at as usize / 8..][..whole.len()], whole);
            return Ok(());
        }
        let mut into = into;
        for (word, part) in self.parts(at, into.len()) {
            let (to, behind) = into.split_at_mut(part.len());
            to.copy_from_slice(&word.load(Relaxed).to_le_bytes()[part]);
            into = behind;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Medium for Image {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        assert!(at.is_multiple_of(8), "a word at {at}");
        self.look(8);
        self.0.words[at as usize / 8].load(order)
    }

    fn granularity(&self) -> Granularity {
        Granularity::Line(64)
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        assert!(at.is_multiple_of(8), "a word at {at}");
        self.0.words[at as usize / 8].store(word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        let (whole, rest) = from.as_chunks();
        if at.is_multiple_of(8) && rest.is_empty() {
            self.check_bounds(at, from.len());
            store(&self.0.words[at as usize / 8..][..whole.len()], whole);
            return;
        }
        let mut from = from;
        for (word, part) in self.parts(at, from.len()) {
            let (bytes, behind) = from.split_at(part.len());
            let mut all = word.load(Relaxed).to_le_bytes();
            all[part].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(all), Relaxed);
            from = behind;
        }
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        assert!(range.start <= range.end && range.end <= Readable::len(self), "{range:?}");
        Ok(())
    }

    fn fence(&self) -> Result<(), Self::Error> {
        self.check()
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
