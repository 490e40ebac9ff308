//! The latest value of each word that was stored, without its history.

use crate::machine::model::WORD;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The number of words in a page.
const PAGE: usize = 64;

/// The latest values. Pages are allocated when they are stored to, so a large medium costs little.
#[derive(Debug, Default)]
pub(super) struct Latest {
    pages: Vec<Option<Box<[Option<u64>; PAGE]>>>,
}

impl Latest {
    /// Returns the page of the word at `at`, and its index in it.
    const fn place(at: u64) -> (usize, usize) {
        let word = (at / WORD) as usize;
        (word / PAGE, word % PAGE)
    }

    /// Returns the word at `at`, if it was stored.
    #[inline]
    pub(super) fn load(&self, at: u64) -> Option<u64> {
        let (page, word) = Self::place(at);
        self.pages.get(page)?.as_ref()?[word]
    }

    /// Stores the word at `at`.
    pub(super) fn store(&mut self, at: u64, value: u64) {
        let (page, word) = Self::place(at);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([None; PAGE]))[word] = Some(value);
    }
}
