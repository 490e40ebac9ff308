//! The plan of a transaction: the pages of each level as they are to be.

use super::{Changes, Draft, Key, Overlay, Page, Part, Tree, between, entries, merged};
use crate::preserve::format::page::{LEVELS, capacity};
use crate::preserve::format::table::{ENTRY, PREAMBLE, child_size};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A plan under way, from the entries up.
pub(super) struct Planner<'t> {
    tree: &'t Tree,
    changes: &'t Changes,
    unit: u64,
    /// The levels that are done.
    plan: Vec<Overlay>,
}

impl<'t> Planner<'t> {
    pub(super) const fn new(tree: &'t Tree, changes: &'t Changes, unit: u64) -> Self {
        Self { tree, changes, unit, plan: Vec::new() }
    }

    /// Returns the new pages of each level, or `None` if there would be more levels than a table can have.
    pub(super) fn plan(mut self) -> Option<Vec<Overlay>> {
        let tree = self.tree;
        let mut touched: BTreeSet<&[u8]> =
            self.changes.keys().map(|name| tree.page_of(0, name).0).collect();
        for level in 0..tree.top() {
            let groups: BTreeSet<&[u8]> =
                touched.iter().map(|page| tree.page_of(level + 1, page).0).collect();
            let over = self.kept(level, &touched).unwrap_or_else(|| {
                let mut over = Overlay::new();
                for group in &groups {
                    if let Some(first) = self.regroup(level, group, &touched, &mut over) {
                        self.rename_first(&first, group);
                    }
                }
                over
            });
            self.plan.push(over);
            touched = groups;
        }
        if self.keeps_names() {
            // The root is written anew with each commit, also with one that changes no entry.
            self.plan.push(self.kept_pages(tree.top(), &BTreeSet::from([&[][..]])));
        } else {
            self.grow()?;
        }
        self.shrink();
        Some(self.plan)
    }

    /// True if the last level that is done has pages with the same names as before. Then the pages above keep their
    /// children.
    fn keeps_names(&self) -> bool {
        let Some(over) = self.plan.last() else { return false };
        let level = &self.tree.levels[self.plan.len() - 1];
        over.iter().all(|(name, page)| page.is_some() && level.contains_key(name))
    }

    /// Returns the pages of a level that are touched, if each stays one page with its name.
    fn kept(&self, level: usize, touched: &BTreeSet<&[u8]>) -> Option<Overlay> {
        if level > 0 {
            return self.keeps_names().then(|| self.kept_pages(level, touched));
        }
        let grown = |name: &&[u8]| Some((Key::from(*name), Some(self.grown(name)?)));
        touched.iter().map(grown).collect()
    }

    /// Returns pages that keep their children.
    fn kept_pages(&self, level: usize, names: &BTreeSet<&[u8]>) -> Overlay {
        let level = &self.tree.levels[level];
        names.iter().map(|name| (Key::from(*name), level.get(*name).cloned())).collect()
    }

    /// Returns a page of entries with its changes, if it need be neither split nor merged: it is at least as long as before, and
    /// not small.
    fn grown(&self, name: &[u8]) -> Option<Page> {
        let before = self.tree.levels[0].get(name)?;
        let draft = Draft::new(name, self.parts(0, name));
        let capacity = capacity(0, self.unit);
        let lens = before.len.max(capacity / 3)..=capacity;
        lens.contains(&draft.len).then(|| draft.page(0))
    }

    /// Returns the parts of a page of a level with the changes of the level below.
    fn parts(&self, level: usize, name: &[u8]) -> Vec<Part<'_>> {
        let end = self.tree.after(level, name);
        let page = self.tree.levels.get(level).and_then(|level| level.get(name));
        let least = if level == 0 { ENTRY as u64 } else { child_size(0) };
        // The page before had no more, and a change adds few.
        let mut parts = Vec::with_capacity(page.map_or(0, |page| page.len / least) as usize + 1);
        if let Some(below) = level.checked_sub(1) {
            let pages = self.tree.pages(below, &self.plan, name, end);
            parts.extend(pages.map(|(name, _)| Part::child(name)));
            return parts;
        }
        let leaf = page.map_or(&[][..], |leaf| &leaf.bytes);
        let changes = self.changes.range::<[u8], _>(between(name, end));
        let changes = changes.map(|(name, entry)| (&**name, entry.as_deref()));
        let merged = merged(entries(leaf), changes);
        parts.extend(merged.map(|(name, entry)| Part { name, size: entry.len() as u64, entry }));
        parts
    }

    fn load<'p>(&'p self, level: usize, draft: &mut Draft<'p>) {
        if !draft.is_new {
            *draft = Draft::new(draft.name, self.parts(level, draft.name));
        }
    }

    /// Changes the pages of a level that belong to one page of the level above. A page that becomes empty goes, and one
    /// that becomes small is merged with one beside it where both have room in one.
    ///
    /// Returns the name that the first page had, if it has another one now.
    fn regroup<'p>(
        &'p self,
        level: usize,
        group: &'p [u8],
        touched: &BTreeSet<&[u8]>,
        over: &mut Overlay,
    ) -> Option<Key> {
        let capacity = capacity(level, self.unit);
        let is_small = |draft: &Draft<'_>| draft.len < capacity / 3;
        let fit = |one: &Draft<'_>, other: &Draft<'_>| one.len + other.len <= capacity * 3 / 4;
        let end = self.tree.after(level + 1, group);
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        for (name, page) in self.tree.pages(level, &[], group, end) {
            let mut draft = Draft { name, parts: Vec::new(), len: page.len, is_new: false };
            if touched.contains(name) {
                self.load(level, &mut draft);
                over.insert(name.into(), None);
            }
            match drafts.last_mut() {
                _ if draft.is_new && draft.parts.is_empty() => {}
                Some(last)
                    if (last.is_new || draft.is_new)
                        && (is_small(last) || is_small(&draft))
                        && fit(last, &draft) =>
                {
                    self.load(level, last);
                    self.load(level, &mut draft);
                    over.insert(name.into(), None);
                    last.len += draft.len;
                    last.parts.append(&mut draft.parts);
                }
                _ => drafts.push(draft),
            }
        }
        // The page above knows its first one by no name.
        let renamed = drafts.first_mut().filter(|first| first.name != group).map(|first| {
            self.load(level, first);
            over.insert(first.name.into(), None);
            Key::from(core::mem::replace(&mut first.name, group))
        });
        for draft in drafts.into_iter().filter(|draft| draft.is_new) {
            for piece in draft.split(level, self.unit) {
                over.insert(piece.name.into(), Some(piece.page(level)));
            }
        }
        renamed
    }

    /// Gives the first pages below a page its new name, in each level that is done. They take the room of those that had
    /// the name, which have gone.
    fn rename_first(&mut self, from: &[u8], to: &[u8]) {
        for (number, (level, over)) in self.tree.levels.iter().zip(&mut self.plan).enumerate() {
            let before = level.get(from);
            let page = over.remove(from).unwrap_or_else(|| before.cloned());
            let page = page.map(|page| page.moved(number));
            if before.is_some() {
                over.insert(from.into(), None);
            }
            over.insert(to.into(), page);
        }
    }

    /// Makes the root, and levels below it as long as it has too many parts.
    fn grow(&mut self) -> Option<()> {
        for level in self.tree.top()..LEVELS {
            let root = Draft::new(&[], self.parts(level, &[]));
            let pieces = root.split(level, self.unit);
            let is_done = pieces.len() == 1;
            let pages = pieces.iter().map(|piece| (piece.name.into(), Some(piece.page(level))));
            let over = pages.collect();
            drop(pieces);
            self.plan.push(over);
            if is_done {
                return Some(());
            }
        }
        None
    }

    /// Takes the only page below the root for the root, as long as there is only one.
    fn shrink(&mut self) {
        while let Some(level) = self.plan.len().checked_sub(2) {
            let mut pages = self.tree.pages(level, &self.plan, &[], None);
            let only = match (pages.next(), pages.next()) {
                (None, _) => Page::default(),
                (Some((_, page)), None)
                    if page.len + PREAMBLE as u64 <= capacity(level, self.unit) =>
                {
                    page.moved(level)
                }
                _ => return,
            };
            drop(pages);
            self.plan.truncate(level + 1);
            self.plan[level].insert(Key::default(), Some(only));
        }
    }
}
