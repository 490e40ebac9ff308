//! The number of places that the pages of a commit need, so that a full store is known before anything is written.
//!
//! The places of entries are counted exactly, those of pages above from bounds: a transaction may be refused for some KiB
//! that it would not have needed. A put leaves room for a deletion after the commit besides.

use super::tree::{Key, Tree, entries, most_pages};
use crate::preserve::format::NAME;
use crate::preserve::format::page::{capacity, root_slot, slot};
use crate::preserve::format::table::child_size;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

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
type Before = (Key, Option<Leaf>);

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
            let lens = || entries(&page.bytes).map(|(_, entry)| entry.len() as u64);
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

    fn set(&mut self, (key, leaf): Before, unit: u64) {
        let most = |leaf: Leaf| leaf.most_pages(unit);
        self.pages += leaf.map_or(0, most);
        let before = match leaf {
            Some(leaf) => self.leaves.insert(key, leaf),
            None => self.leaves.remove(&key),
        };
        self.pages -= before.map_or(0, most);
    }

    /// Returns the places that the commit needs at most after further changes, which are recorded later, or dropped.
    pub(super) fn places_after(
        &mut self,
        resized: &[Resized<'_>],
        tree: &Tree,
        unit: u64,
        spare: bool,
    ) -> Places {
        let before: Vec<_> =
            resized.iter().map(|resized| self.resize(tree, unit, *resized)).collect();
        let places = self.places(tree, unit, spare);
        for before in before.into_iter().rev() {
            self.set(before, unit);
        }
        places
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
            // The places that one commit of a longer root leaves have no room for another such root.
            let (before, root) = (root_slot(0, root, unit), root_slot(0, len, unit));
            let roots = if spare || root > before { 2 } else { 1 };
            return Places { leaves: 0, nodes: 0, roots, root, must_be_apart: spare };
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
        let (must_be_apart, spare) = (spare, u64::from(spare));
        let (leaves, nodes, roots) = (self.pages + spare, nodes + spare * levels, 1 + spare);
        Places { leaves, nodes, roots, root, must_be_apart }
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

impl Kind {
    /// Returns that of the pages of a level below the root.
    pub(super) const fn of(level: usize) -> Self {
        if level == 0 { Self::Entries } else { Self::Children }
    }
}

/// Numbers of places for pages, in pairs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    leaves: u64,
    nodes: u64,
    roots: u64,
    /// Bytes of that of a root.
    root: u64,
    /// False for a deletion, which must be possible in a full store.
    pub(super) must_be_apart: bool,
}

impl Places {
    /// Returns the places that the deletion of a blob needs at most: those of a page of each level.
    pub(super) fn of_deletion(tree: &Tree, unit: u64) -> Self {
        let top = tree.top();
        let len = tree.levels[top].values().next().map_or(0, |root| root.len);
        let (leaves, nodes) = (u64::from(top > 0), top.saturating_sub(1) as u64);
        let root = root_slot(top, len, unit);
        Self { leaves, nodes, roots: 1, root, must_be_apart: false }
    }

    /// Returns the places without those of a root of `left` bytes, which another commit leaves before, if they suffice.
    pub(super) fn without_root(self, left: u64) -> Self {
        Self { roots: self.roots - u64::from(self.root <= left), ..self }
    }

    /// Returns the number of pairs of each kind, and the bytes of one place.
    pub(super) fn kinds(&self, unit: u64) -> [(usize, u64); 3] {
        let (leaf, node) = (slot(0, 0, unit), slot(1, 0, unit));
        let counts = [self.leaves, self.nodes, self.roots].map(|pairs| pairs as usize);
        [(counts[0], leaf), (counts[1], node), (counts[2], self.root)]
    }
}
