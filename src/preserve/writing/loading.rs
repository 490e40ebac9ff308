//! Loading a store: its table, and its free space.
//!
//! # Work
//! A [walk](crate::preserve::walk) over the table. Each page is read once more to keep it, and each of its two copies
//! to check its tag. The blobs are not read. The free space takes logarithmic time for each place.
//!
//! # Memory
//! The store keeps the bytes of all pages as they are in the medium, the name of each page, and each free piece of
//! space twice. Between two entries or pages is at most one free piece, and places that overlap are refused. So the
//! memory is linear in the size of the table, whatever its bytes are, and does not grow with the blobs. Pages of which
//! one copy is damaged are there once more, until the next commit has mended them.

use super::boots::Uses;
use super::reserve::Held;
use super::room::Places;
use super::space::Space;
use super::store::{Store, Writer};
use super::taken::Taken;
use super::tree::{Key, Page, Tree};
use crate::format::reread::Rereadings;
use crate::medium::Medium;
use crate::preserve::error::{Damage, Error, ErrorKind, Part};
use crate::preserve::format::data;
use crate::preserve::format::page::{root_slot, slot};
use crate::preserve::format::table::PREAMBLE;
use crate::preserve::headers;
use crate::preserve::snapshot::{Commit, CommitIn};
use crate::preserve::walk::{self, Step, Walk};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error as Failure;
use core::ops::Range;

impl<M: Medium> Store<M> {
    /// Loads the last commit from a medium that may have another size now. Returns the store, and its damaged copies.
    pub(super) fn take_up(
        medium: Arc<M>,
        writer: Writer,
        seconds: Option<fn() -> u64>,
        size: u64,
    ) -> Result<(Self, Vec<Damage>), Error<M::Error>> {
        let commit = Commit::last(&*medium)?;
        let (header, preamble) = (commit.header, commit.preamble);
        let loading = Loading::of(commit.in_medium(&*medium), size)?;
        let Loading { tree, space, damage, mends, .. } = loading;
        let (mut space, mut held) = (space, Held::default());
        let deletion = Places::of_deletion(&tree, header.unit);
        held.restore(&deletion, &mut space);
        let store = Self {
            medium,
            writer,
            seconds,
            header,
            size,
            preamble,
            tree,
            space,
            held,
            taken: Taken::default(),
            uses: Uses { opened: header.generation, boots: Vec::new() },
            mends,
            has_failed: false,
        };
        Ok((store, damage))
    }
}

/// A store that is being loaded.
struct Loading {
    size: u64,
    tree: Tree,
    space: Space,
    damage: Vec<Damage>,
    mends: Vec<(u64, Vec<u8>)>,
    /// The names of the last pages of each level.
    names: Vec<Key>,
}

impl Loading {
    /// Loads the table of a commit.
    fn of<E: Failure>(within: CommitIn<'_, E>, size: u64) -> Result<Self, Error<E>> {
        let mut loading = Self::new(within, size)?;
        let mut walk = Walk::new(within);
        while let Some(step) = walk.next(within)? {
            match step {
                Step::Page(page) => loading.page(within, &page)?,
                Step::Entry(info) => {
                    // The medium had space for the entry.
                    let unit = within.commit.header.unit;
                    let bytes = info.content.occupied(info.len, unit).unwrap_or(0);
                    loading.take(info.offset..info.offset + bytes, Part::Entry)?;
                }
            }
        }
        // The copies that are not whole will be written over.
        within.medium.check().map_err(Error::medium)?;
        Ok(loading)
    }

    fn new<E: Failure>(within: CommitIn<'_, E>, size: u64) -> Result<Self, Error<E>> {
        let (header, top) = (&within.commit.header, within.commit.preamble.level);
        let mut tree = Tree::default();
        tree.levels.resize_with(top + 1, Default::default);
        let mut loading = Self {
            size,
            tree,
            space: Space::new(data(header.unit)..size, header.unit),
            damage: headers::damaged(within.medium, header, Rereadings::ALONE).collect(),
            mends: Vec::new(),
            names: alloc::vec![Key::default(); top + 1],
        };
        let len = header.len - PREAMBLE as u64;
        for offset in header.roots {
            let part = Part::TableCopy;
            loading.take(offset..offset + root_slot(top, len, header.unit), part)?;
            if !within.is_whole(offset) {
                loading.damage.push(Damage { part, offset, len: header.len });
            }
        }
        let bytes = read(within, within.commit.root()).map_err(Error::medium)?.into();
        let root = Page { len, bytes, ..Page::default() };
        loading.tree.levels[top].insert(Key::default(), root);
        Ok(loading)
    }

    /// Takes a range, which must be free.
    fn take<E>(&mut self, range: Range<u64>, part: Part) -> Result<(), Error<E>> {
        let (offset, len, needed) = (range.start, range.end - range.start, range.end);
        if needed > self.size {
            return Err(Error(ErrorKind::Truncated { size: self.size, needed }));
        }
        if self.space.take(range) {
            Ok(())
        } else {
            Err(Error(ErrorKind::Damaged(Damage { part, offset, len })))
        }
    }

    fn page<E: Failure>(
        &mut self,
        within: CommitIn<'_, E>,
        page: &walk::Page,
    ) -> Result<(), Error<E>> {
        let (level, child, part) = (page.level, page.child, Part::TableCopy);
        let bytes = read(within, page.at..page.at + child.len).map_err(Error::medium)?;
        for offset in child.places {
            self.take(offset..offset + slot(level, child.len, within.commit.header.unit), part)?;
            if !within.is_page(level, &child, offset).unwrap_or(false) {
                self.damage.push(Damage { part, offset, len: child.len });
                self.mends.push((offset, bytes.clone()));
            }
        }
        // The first page has the name of the page above.
        let is_first = page.name.as_bytes().is_empty();
        let name =
            if is_first { self.names[level + 1].clone() } else { page.name.as_bytes().into() };
        self.names[level].clone_from(&name);
        let (bytes, len) = (bytes.into(), child.len);
        let page = Page { places: child.places, tag: child.tag, len, bytes };
        self.tree.levels[level].insert(name, page);
        Ok(())
    }
}

fn read<E: Failure>(within: CommitIn<'_, E>, range: Range<u64>) -> Result<Vec<u8>, E> {
    let mut bytes = alloc::vec![0; (range.end - range.start) as usize];
    within.medium.read(range.start, &mut bytes)?;
    Ok(bytes)
}
