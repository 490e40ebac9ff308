//! The bytes of a drive. Copies share the pages that neither of them has changed.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};

pub const PAGE: usize = 4096;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// The bytes of a drive, which are zero at first.
#[derive(Clone, Debug)]
pub struct Content {
    size: usize,
    pages: HashMap<usize, Arc<[u8; PAGE]>>,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        let mut pages = self.pages.keys().chain(other.pages.keys());
        self.size == other.size && pages.all(|page| self.page(*page) == other.page(*page))
    }
}

impl Eq for Content {}

impl Content {
    /// Returns a drive of zeros. The size is a multiple of 4096 bytes.
    pub fn new(size: usize) -> Self {
        Self { size, pages: HashMap::new() }
    }

    pub const fn size(&self) -> usize {
        self.size
    }

    /// Returns the bytes of a page.
    pub fn page(&self, number: usize) -> &[u8; PAGE] {
        self.pages.get(&number).map_or(&ZEROS, |page| &**page)
    }

    pub fn read(&self, at: usize, mut to: &mut [u8]) {
        let mut at = at;
        while !to.is_empty() {
            let (page, offset) = (at / PAGE, at % PAGE);
            let (part, rest) = to.split_at_mut((PAGE - offset).min(to.len()));
            part.copy_from_slice(&self.page(page)[offset..offset + part.len()]);
            at += part.len();
            to = rest;
        }
    }

    pub fn write(&mut self, at: usize, mut from: &[u8]) {
        let mut at = at;
        while !from.is_empty() {
            let (page, offset) = (at / PAGE, at % PAGE);
            let (part, rest) = from.split_at((PAGE - offset).min(from.len()));
            let page = self.pages.entry(page).or_insert_with(|| Arc::new(ZEROS));
            Arc::make_mut(page)[offset..offset + part.len()].copy_from_slice(part);
            at += part.len();
            from = rest;
        }
    }

    pub fn write_zeros(&mut self, at: usize, len: usize) {
        let (mut at, end) = (at, at + len);
        while at < end {
            let part = (PAGE - at % PAGE).min(end - at);
            if part == PAGE {
                self.pages.remove(&(at / PAGE));
            } else {
                self.write(at, &ZEROS[..part]);
            }
            at += part;
        }
    }

    /// Writes a sparse file with these bytes.
    pub fn save(&self, path: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", path.display());
        let file = File::create(path).with_context(cannot)?;
        file.set_len(self.size as u64).with_context(cannot)?;
        for (number, page) in &self.pages {
            file.write_all_at(&page[..], (number * PAGE) as u64).with_context(cannot)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, PAGE};

    #[test]
    fn a_write_across_pages_changes_one_copy() {
        let mut image = Content::new(4 * PAGE);
        image.write(PAGE - 2, b"abcd");
        let copy = image.clone();
        image.write_zeros(PAGE - 1, PAGE + 1);
        let read = |image: &Content| {
            let mut bytes = [9; 6];
            image.read(PAGE - 3, &mut bytes);
            bytes
        };
        assert_eq!(&read(&image), b"\0a\0\0\0\0");
        assert_eq!(&read(&copy), b"\0abcd\0");
        assert_eq!(image.pages.len(), 1);
    }
}
