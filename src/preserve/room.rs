//! The room that a transaction holds for the pages of its commit, so that a full store is known before anything is written.
//!
//! The places of entries are counted exactly, those of pages above from bounds: a transaction may be refused for some KiB
//! that it would not have needed. A put leaves room for a deletion after the commit besides.

use super::error::Error;
use super::format::NAME;
use super::format::page::{capacity, root_slot, slot};
use super::format::table::child_size;
use super::space::From;
use super::store::Store;
use super::tree::{Key, Tree, entries, most_pages};
use crate::medium::Medium;
use alloc::collections::{BTreeMap, VecDeque};
use core::ops::Range;

/// A page of entries as it will be, before it is split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    len: u64,
    entries: u64,
    /// Bytes of the longest at most.
    longest: u64,
}

impl Leaf {
    fn most_pages(&self, unit: u64) -> u64 {
        most_pages(self.len, self.longest, unit).min(self.entries.max(1))
    }
}

/// The pages of entries that a transaction changes.
#[derive(Debug, Default)]
pub(super) struct Touched {
    leaves: BTreeMap<Key, Leaf>,
    /// Pages that they become at most.
    pages: u64,
}

/// A change of an entry: its name, and its bytes before and after.
pub(super) type Resized<'n> = (&'n [u8], u64, u64);

/// A page of entries, as it was touched before.
pub(super) type Before = (Key, Option<Leaf>);

impl Touched {
    /// Notes a change, and returns how to undo that.
    pub(super) fn resize(
        &mut self,
        tree: &Tree,
        unit: u64,
        (name, old, new): Resized<'_>,
    ) -> Before {
        let (key, page) = tree.page_of(0, name);
        let before = self.leaves.get(key).copied();
        let leaf = before.unwrap_or_else(|| {
            let lens = || entries(&page.entries).map(|(_, entry)| entry.len() as u64);
            let (entries, longest) = (lens().count() as u64, lens().max().unwrap_or(0));
            Leaf { len: page.len, entries, longest }
        });
        let after = Leaf {
            len: leaf.len - old + new,
            entries: leaf.entries - u64::from(old > 0) + u64::from(new > 0),
            longest: leaf.longest.max(new),
        };
        self.set((key.into(), Some(after)), unit);
        (key.into(), before)
    }

    pub(super) fn set(&mut self, (key, leaf): Before, unit: u64) {
        let most = |leaf: Leaf| leaf.most_pages(unit);
        self.pages += leaf.map_or(0, most);
        let before = match leaf {
            Some(leaf) => self.leaves.insert(key, leaf),
            None => self.leaves.remove(&key),
        };
        self.pages -= before.map_or(0, most);
    }

    /// Returns the places that the commit needs at most, once for each copy; and if there is to be a `spare`, those of the
    /// deletion of a blob after it.
    pub(super) fn places(&self, tree: &Tree, unit: u64, spare: bool) -> Places {
        let (capacity, longest) = (capacity(1, unit), child_size(NAME));
        let (top, touched) = (tree.top(), self.leaves.len() as u64);
        let mut split = self.pages - touched;
        let root = tree.levels[top].values().next().map_or(0, |root| root.len);
        if top == 0 && split == 0 {
            let len = self.leaves.values().next().map_or(root, |leaf| leaf.len);
            let roots = if spare { 2 } else { 1 };
            return Places { leaves: 0, nodes: 0, roots, root: root_slot(0, len, unit) };
        }
        let (mut nodes, mut levels) = (0, 0);
        // A page with more children than it can have becomes at most one more page for each, and for two of all; and one
        // besides, since a piece ends early before a long name.
        let halved = |touched: u64, split: u64| {
            let children = touched * capacity / child_size(0) + split;
            (split + split.min(touched)).min(children / 2 + touched)
        };
        for level in &tree.levels[1.min(top)..top] {
            let touched = touched.min(level.len() as u64);
            split = halved(touched, split);
            nodes += touched + split;
            levels += 1;
        }
        let mut children = match top {
            0 => self.pages,
            _ if split == 0 || root + split * longest <= capacity => 0,
            _ => {
                let pages = 1 + halved(1, split);
                nodes += pages;
                levels += 1;
                pages
            }
        };
        while children > 2 && children * longest > capacity {
            children = children / 2 + 1;
            nodes += children;
            levels += 1;
        }
        let root = root_slot(1, 0, unit);
        let spare = u64::from(spare);
        Places { leaves: self.pages + spare, nodes: nodes + spare * levels, roots: 1 + spare, root }
    }
}

/// Places that can be used for each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Of pages below the root.
    Entries,
    Children,
    Root,
}

/// Numbers of places for pages, in pairs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    leaves: u64,
    nodes: u64,
    roots: u64,
    /// Bytes of that of a root.
    root: u64,
}

impl Places {
    /// Returns how many places there are of each kind, and the bytes of one.
    fn kinds(&self, unit: u64) -> [(u64, u64); 3] {
        let (leaf, node) = (slot(0, 0, unit), slot(1, 0, unit));
        [(2 * self.leaves, leaf), (2 * self.nodes, node), (2 * self.roots, self.root)]
    }

    /// Returns the bytes of each place, in the order in which they are taken.
    pub(super) fn bytes(&self, unit: u64) -> impl Iterator<Item = u64> {
        let kinds = self.kinds(unit);
        let kinds = self.order(unit).into_iter().map(move |kind| kinds[kind]);
        kinds.flat_map(|(count, bytes)| (0..count).map(move |_| bytes))
    }

    /// Returns the kinds in the order in which places are taken: a smaller one would cut the only free piece that has room
    /// for a larger one.
    fn order(&self, unit: u64) -> [usize; 3] {
        let kinds = self.kinds(unit);
        let mut order = [0, 1, 2];
        order.sort_by_key(|kind| core::cmp::Reverse(kinds[*kind].1));
        order
    }
}

/// Places that are held.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Those of entries, of children, and of roots.
    kinds: [VecDeque<Range<u64>>; 3],
}

impl Held {
    /// Takes as many places as are missing, or none if there is no room. Returns how to undo that.
    pub(super) fn fill<M: Medium>(
        &mut self,
        places: &Places,
        store: &mut Store<M>,
    ) -> Result<Undo, Error<M::Error>> {
        let mut undo = Undo { lens: [0; 3], roots: VecDeque::new() };
        for (kind, held) in self.kinds.iter().enumerate() {
            undo.lens[kind] = held.len();
        }
        let kinds = places.kinds(store.unit());
        for kind in places.order(store.unit()) {
            let (count, bytes) = kinds[kind];
            // A larger root may need the places of the roots that are held.
            if kind == 2 && self.kinds[2].iter().any(|root| root.end - root.start < bytes) {
                undo.roots = core::mem::take(&mut self.kinds[2]);
                undo.lens[2] = 0;
                undo.roots.iter().for_each(|root| store.space.give(root));
            }
            while (self.kinds[kind].len() as u64) < count {
                match store.claim(bytes, store.unit(), From::End) {
                    Ok(place) => self.kinds[kind].push_back(place),
                    Err(error) => {
                        self.undo(undo, store);
                        return Err(error);
                    }
                }
            }
        }
        Ok(undo)
    }

    /// Gives back what was taken.
    pub(super) fn undo<M: Medium>(&mut self, undo: Undo, store: &mut Store<M>) {
        for (held, len) in self.kinds.iter_mut().zip(undo.lens) {
            held.drain(len..).for_each(|place| store.space.give(&place));
        }
        for root in &undo.roots {
            store.space.take(root.clone());
        }
        self.kinds[2].extend(undo.roots);
    }

    /// Returns a place of so many bytes at least, which is not held any more: one of this kind, if there is one.
    pub(super) fn release(&mut self, kind: Kind, bytes: u64) -> Option<Range<u64>> {
        let has_room = |held: &VecDeque<Range<u64>>| {
            held.front().is_some_and(|place| place.end - place.start >= bytes)
        };
        let kinds = [kind as usize, Kind::Entries as usize];
        let kind = kinds.into_iter().find(|kind| has_room(&self.kinds[*kind]))?;
        self.kinds[kind].pop_front()
    }

    /// Returns all places, which are not held any more.
    pub(super) fn release_all(&mut self) -> impl Iterator<Item = Range<u64>> {
        core::mem::take(&mut self.kinds).into_iter().flatten()
    }
}

/// The means to undo that places were taken.
#[derive(Debug)]
pub(super) struct Undo {
    lens: [usize; 3],
    roots: VecDeque<Range<u64>>,
}
