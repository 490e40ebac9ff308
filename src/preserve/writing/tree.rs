//! The table as its writer has it: a tree of pages, and how a transaction changes it.
//!
//! The pages of each level are sorted by the name from which on they hold names. A page of the level above holds those
//! that begin from its own name on and before that of the next page. So the first page of each level has the empty name,
//! and each name of a level is also one of the level below.
//!
//! # Work
//! A transaction of *k* changes looks at and writes *k* pages of each level at most, and those beside them with which they
//! are merged.

use crate::preserve::format::page::{LEVELS, capacity};
use crate::preserve::format::table::{CHILD, Child, ENTRY, Entry, PREAMBLE, child_size};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering::{Equal, Greater, Less};
use core::ops::Bound::{self, Excluded, Included, Unbounded};

/// The bytes of a name, or of a beginning of one.
pub(super) type Key = Box<[u8]>;

/// The changes of names: the bytes of the new entry, or nothing.
pub(super) type Changes = BTreeMap<Key, Option<Box<[u8]>>>;

/// The changes of the pages of a level: the new page, or none. Those that are not named stay.
pub(super) type Overlay = BTreeMap<Key, Option<Page>>;

type Level = BTreeMap<Key, Page>;

/// A page of the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// The place of the page and that of its copy.
    pub(super) places: [u64; 2],
    pub(super) tag: u64,
    /// Bytes of its entries or children.
    pub(super) len: u64,
    /// The bytes of its entries or children. In a plan they are those of the page before if it keeps its children, and
    /// empty if it has others, until it is placed.
    pub(super) bytes: Arc<[u8]>,
}

/// All pages, as they are in the medium.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// From that of the entries up to the root, which is the only page of its level.
    pub(super) levels: Vec<Level>,
}

/// An entry, or the child that a page is for the page above.
#[derive(Clone, Copy, Debug)]
struct Part<'p> {
    name: &'p [u8],
    /// The number of bytes of the part with the name.
    size: u64,
    /// The bytes of the part, if it is an entry.
    entry: &'p [u8],
}

/// A page as it is to be.
#[derive(Debug)]
struct Draft<'p> {
    name: &'p [u8],
    parts: Vec<Part<'p>>,
    len: u64,
    /// False, if it stays as it is. Its parts are not there then.
    is_new: bool,
}

/// Returns the names and bytes of entries one after the other. They have been read, or made, by this writer.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let (name, size) = Entry::span(rest.first_chunk()?);
        let (this, after) = rest.split_at_checked(size)?;
        rest = after;
        Some((&this[ENTRY..ENTRY + name], this))
    })
}

/// Returns what there is after changes: those of `over` in place of those of `base`. Both are in the order of names.
fn merged<'p, T>(
    base: impl Iterator<Item = (&'p [u8], T)>,
    over: impl Iterator<Item = (&'p [u8], Option<T>)>,
) -> impl Iterator<Item = (&'p [u8], T)> {
    let (mut base, mut over) = (base.peekable(), over.peekable());
    core::iter::from_fn(move || {
        loop {
            let Some((changed, _)) = over.peek() else { return base.next() };
            match base.peek().map_or(Greater, |(kept, _)| kept.cmp(changed)) {
                Less => return base.next(),
                Equal => drop(base.next()),
                Greater => {
                    let (name, changed) = over.next()?;
                    if let Some(changed) = changed {
                        return Some((name, changed));
                    }
                }
            }
        }
    })
}

/// Returns the bytes of a page that keeps its children, with the fields of those that have changed. Of the page with the
/// name `name` the first child has no name.
fn with_children<'p>(
    before: &[u8],
    name: &'p [u8],
    changed: impl Iterator<Item = (&'p Key, &'p Option<Page>)>,
) -> Vec<u8> {
    let (mut bytes, mut at) = (before.to_vec(), 0);
    for (of, page) in changed.filter_map(|(of, page)| Some((of, page.as_ref()?))) {
        loop {
            let Some(fields) = bytes[at..].first_chunk_mut() else {
                unreachable!("a page that keeps its children has each that is changed")
            };
            let len = Child::name_len(fields);
            let its_name = if at == 0 { name } else { &before[at + CHILD..][..len] };
            if **of == *its_name {
                *fields = page.child(len).bytes();
                break;
            }
            at += child_size(len) as usize;
        }
    }
    bytes
}

/// Names from one on, up to another.
fn between<'n>(from: &'n [u8], to: Option<&'n [u8]>) -> (Bound<&'n [u8]>, Bound<&'n [u8]>) {
    (Included(from), to.map_or(Unbounded, Excluded))
}

impl Page {
    /// Returns it as a child of the page above.
    const fn child(&self, name: usize) -> Child {
        Child { places: self.places, tag: self.tag, len: self.len, name }
    }

    /// Returns it for another place in the tree, which may have another first child.
    fn moved(&self, level: usize) -> Self {
        if level == 0 { self.clone() } else { Self { bytes: Arc::default(), ..self.clone() } }
    }
}

impl<'p> Part<'p> {
    /// A page as the page above has it.
    const fn child(name: &'p [u8]) -> Self {
        Self { name, size: child_size(name.len()), entry: &[] }
    }
}

impl<'p> Draft<'p> {
    fn new(name: &'p [u8], parts: Vec<Part<'p>>) -> Self {
        let len = parts.iter().map(|part| part.size).sum();
        Self { name, parts, len, is_new: true }
    }

    /// Makes it a page, which has no place yet.
    fn page(&self, level: usize) -> Page {
        let len = self.page_len(level);
        let mut bytes = Vec::new();
        if level == 0 {
            bytes.reserve_exact(len as usize);
            self.parts.iter().for_each(|part| bytes.extend_from_slice(part.entry));
        }
        Page { len, bytes: bytes.into(), ..Page::default() }
    }

    /// Returns the bytes of the page that it makes, in which the first child has no name.
    fn page_len(&self, level: usize) -> u64 {
        let first = self.parts.first().filter(|_| level > 0);
        self.len - first.map_or(0, |first| first.size - child_size(0))
    }

    /// Cuts it in pieces that have room in pages.
    fn split(self, level: usize, unit: u64) -> Vec<Self> {
        let capacity = capacity(level, unit);
        if self.page_len(level) <= capacity {
            return Vec::from([self]);
        }
        // A page with room left is not split again by the next change.
        let fair = self.len.div_ceil(self.len.div_ceil(fill(capacity)));
        let fewest = fewest_parts(level);
        let mut pieces: Vec<Self> = Vec::new();
        let (mut name, mut piece, mut len) = (self.name, Vec::new(), 0);
        let mut left = self.parts.len();
        let mut last: &[u8] = &[];
        for part in self.parts {
            let is_over = len + part.size > capacity;
            let is_full = is_over || len >= fair && left >= fewest;
            if is_full && piece.len() >= fewest {
                pieces.push(Self { name, parts: core::mem::take(&mut piece), len, is_new: true });
                name = if level == 0 { separator(last, part.name) } else { part.name };
                len = 0;
            }
            (last, left, len) = (part.name, left - 1, len + part.size);
            piece.push(part);
        }
        pieces.push(Self { name, parts: piece, len, is_new: true });
        pieces
    }
}

/// Returns the number of parts that a page has at least after a split.
const fn fewest_parts(level: usize) -> usize {
    if level == 0 { 1 } else { 2 }
}

/// Returns the greatest number of pages that `bytes` bytes of entries take, of which the longest has `longest` bytes.
pub(super) fn most_pages(bytes: u64, longest: u64, unit: u64) -> u64 {
    let capacity = capacity(0, unit);
    if bytes <= capacity {
        return 1;
    }
    // Pieces end when they have a fair part, or if the next entry has no room: then both have more than a page.
    let unfair = if longest > capacity / 4 { 2 * bytes / capacity } else { 0 };
    bytes.div_ceil(fill(capacity)) + unfair
}

/// Returns the number of bytes that pages have after a split, about.
const fn fill(capacity: u64) -> u64 {
    capacity * 5 / 8
}

/// Returns the shortest beginning of a name that is above the name before it.
fn separator<'n>(before: &[u8], name: &'n [u8]) -> &'n [u8] {
    let same = before.iter().zip(name).take_while(|(one, other)| one == other).count();
    &name[..name.len().min(same + 1)]
}

impl Tree {
    /// Returns the number of levels below the root.
    pub(super) fn top(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// Returns the page of a level in which a name is, and the name of that page.
    pub(super) fn page_of(&self, level: usize, name: &[u8]) -> (&[u8], &Page) {
        let mut before = self.levels[level].range::<[u8], _>((Unbounded, Included(name)));
        match before.next_back() {
            Some((name, page)) => (name, page),
            None => unreachable!("the first page of a level has the empty name"),
        }
    }

    /// Returns the bytes of an entry.
    pub(super) fn find(&self, name: &[u8]) -> Option<&[u8]> {
        let (_, leaf) = self.page_of(0, name);
        entries(&leaf.bytes).find(|(of, _)| *of == name).map(|(_, entry)| entry)
    }

    /// Returns the name of the page after another one of a level.
    fn after(&self, level: usize, name: &[u8]) -> Option<&[u8]> {
        let after = self.levels.get(level)?.range::<[u8], _>((Excluded(name), Unbounded)).next();
        after.map(|(name, _)| &**name)
    }

    /// Returns the pages of a level between two names, with the changes of a plan.
    fn pages<'p>(
        &'p self,
        level: usize,
        plan: &'p [Overlay],
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = (&'p [u8], &'p Page)> {
        let base = self.levels.get(level).map(|level| level.range::<[u8], _>(between(from, to)));
        let over = plan.get(level).map(|level| level.range::<[u8], _>(between(from, to)));
        let base = base.into_iter().flatten().map(|(name, page)| (&**name, page));
        let over = over.into_iter().flatten().map(|(name, page)| (&**name, page.as_ref()));
        merged(base, over)
    }

    /// Returns the new pages of each level, which have no places yet. The only one of the last level is the root.
    ///
    /// Returns `None` if there would be more levels than a table can have.
    pub(super) fn plan(&self, changes: &Changes, unit: u64) -> Option<Vec<Overlay>> {
        let mut planner = Planner { tree: self, changes, unit, plan: Vec::new() };
        let mut touched: BTreeSet<&[u8]> =
            changes.keys().map(|name| self.page_of(0, name).0).collect();
        for level in 0..self.top() {
            let groups: BTreeSet<&[u8]> =
                touched.iter().map(|page| self.page_of(level + 1, page).0).collect();
            let over = planner.kept(level, &touched).unwrap_or_else(|| {
                let mut over = Overlay::new();
                for group in &groups {
                    if let Some(first) = planner.regroup(level, group, &touched, &mut over) {
                        planner.rename_first(&first, group);
                    }
                }
                over
            });
            planner.plan.push(over);
            touched = groups;
        }
        if planner.keeps_names() {
            // The root is written anew with each commit, also with one that changes no entry.
            planner.plan.push(planner.kept_pages(self.top(), &BTreeSet::from([&[][..]])));
        } else {
            planner.grow()?;
        }
        planner.shrink();
        Some(planner.plan)
    }

    /// Returns the bytes of a page of a plan, in which those below have their places.
    pub(super) fn bytes(
        &self,
        plan: &[Overlay],
        level: usize,
        name: &[u8],
        page: &Page,
    ) -> Arc<[u8]> {
        let Some(below) = level.checked_sub(1) else { return Arc::clone(&page.bytes) };
        if !page.bytes.is_empty() {
            let changed = plan[below].range::<[u8], _>(between(name, self.after(level, name)));
            return with_children(&page.bytes, name, changed).into();
        }
        let end = self.pages(level, plan, name, None).nth(1).map(|(name, _)| name);
        let mut bytes = Vec::with_capacity(page.len as usize);
        for (name, page) in self.pages(below, plan, name, end) {
            let name = if bytes.is_empty() { &[] } else { name };
            let end = bytes.len() + child_size(name.len()) as usize;
            bytes.extend_from_slice(&page.child(name.len()).bytes());
            bytes.extend_from_slice(name);
            bytes.resize(end, 0);
        }
        bytes.into()
    }

    /// Takes the pages of a plan in place of those before, and returns these with their levels, but for the root.
    pub(super) fn apply(&mut self, plan: Vec<Overlay>) -> Vec<(usize, Page)> {
        let (top, height) = (self.top(), plan.len());
        self.levels.resize_with(self.levels.len().max(height), Level::new);
        let mut retired = Vec::new();
        for (level, over) in plan.into_iter().enumerate() {
            for (name, page) in over {
                let before = match page {
                    Some(page) => self.levels[level].insert(name, page),
                    None => self.levels[level].remove(&name),
                };
                retired.extend(before.map(|page| (level, page)));
            }
        }
        for (level, pages) in (height..).zip(self.levels.drain(height..)) {
            retired.extend(pages.into_values().map(|page| (level, page)));
        }
        retired.retain(|(level, _)| *level < top);
        retired
    }
}

/// A plan under way, from the entries up.
struct Planner<'t> {
    tree: &'t Tree,
    changes: &'t Changes,
    unit: u64,
    /// The levels that are done.
    plan: Vec<Overlay>,
}

impl Planner<'_> {
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

    /// Returns a page of entries with its changes, if it need be neither split nor merged: it is no shorter than before, and
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preserve::info::Content;

    const UNIT: u64 = 64;

    /// An entry with 500 bytes of metadata, so that a page has about eight.
    fn entry(name: &str, version: u64) -> Box<[u8]> {
        let (at, len, generation, seconds, tag) = (0, 0, 1, 0, 0);
        let (content, name_len, metadata) = (Content::Blob, name.len(), 500);
        let fields =
            Entry { at, len, version, generation, seconds, tag, content, name: name_len, metadata };
        let mut bytes = fields.bytes().to_vec();
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(fields.size() as usize, 0);
        bytes.into()
    }

    /// A new store has a root without entries.
    fn empty() -> Tree {
        Tree { levels: Vec::from([Level::from([(Key::default(), Page::default())])]) }
    }

    /// Plans changes and gives each new page a place of its own, as a commit does.
    fn commit(tree: &mut Tree, changes: &Changes, next: &mut u64) {
        let mut plan = tree.plan(changes, UNIT).unwrap();
        for level in 0..plan.len() {
            let names: Vec<Key> = plan[level].keys().cloned().collect();
            for name in names {
                let Some(Some(page)) = plan[level].get(&name) else { continue };
                let bytes = tree.bytes(&plan, level, &name, page);
                *next += 1;
                let len = bytes.len() as u64;
                let page = Page { places: [*next, *next << 32], tag: !*next, len, bytes };
                plan[level].insert(name, Some(page));
            }
        }
        assert!(plan.last().unwrap().get(&[][..]).is_some_and(Option::is_some), "the root");
        tree.apply(plan);
    }

    /// Returns the bytes of all pages from the entries up, put together from the pages below them.
    fn put_together(tree: &Tree) -> Vec<u8> {
        let mut all = Vec::new();
        for (level, pages) in tree.levels.iter().enumerate() {
            let mut names = pages.keys().skip(1);
            for (name, page) in pages {
                let end = names.next().map(|name| &**name);
                let Some(below) = level.checked_sub(1) else {
                    all.extend_from_slice(&page.bytes);
                    continue;
                };
                let begin = all.len();
                for (child, page) in tree.levels[below].range::<[u8], _>(between(name, end)) {
                    let child: &[u8] = if all.len() == begin { &[] } else { child };
                    all.extend_from_slice(&page.child(child.len()).bytes());
                    all.extend_from_slice(child);
                    all.resize(begin + (all.len() - begin).next_multiple_of(8), 0);
                }
            }
        }
        all
    }

    /// Puts, replacements and deletions of one to seven names, through growth and back to one page.
    #[test]
    fn each_page_has_the_children_that_are_below_it() {
        let (mut tree, mut next, mut model) = (empty(), 0, BTreeMap::new());
        let mut levels = 0;
        for step in 0..4000_u64 {
            let mut changes = Changes::new();
            for change in 0..1 + step % 7 {
                let name = alloc::format!("{:0>100}", (step * 7919 + change * 104_729) % 700);
                // More puts at first, then more deletions.
                let puts = if step < 1500 { 9 } else { 2 };
                let is_put = step < 3500 && (step + change) % 10 < puts;
                let entry = is_put.then(|| entry(&name, step));
                match &entry {
                    Some(entry) => drop(model.insert(Key::from(name.as_bytes()), entry.clone())),
                    None => drop(model.remove(name.as_bytes())),
                }
                changes.insert(name.as_bytes().into(), entry);
            }
            commit(&mut tree, &changes, &mut next);
            levels = levels.max(tree.levels.len());
            let bytes: Vec<u8> =
                tree.levels.iter().flatten().flat_map(|(_, page)| page.bytes.to_vec()).collect();
            assert!(bytes == put_together(&tree), "step {step}");
        }
        assert_eq!(levels, 4, "a root, two levels of children, and entries");
        let leaves = tree.levels[0].values().flat_map(|leaf| entries(&leaf.bytes));
        assert!(leaves.eq(model.iter().map(|(name, entry)| (&**name, &**entry))));
    }

    /// The end of a seal changes no entry.
    #[test]
    fn a_commit_without_changes_keeps_all_entries() {
        let (mut tree, mut next) = (empty(), 0);
        let names: Vec<_> = (0..300).map(|name| alloc::format!("{name}")).collect();
        let changes =
            names.iter().map(|name| (name.as_bytes().into(), Some(entry(name, 1)))).collect();
        commit(&mut tree, &changes, &mut next);
        let root = tree.levels.last().unwrap()[&[][..]].bytes.clone();
        commit(&mut tree, &Changes::new(), &mut next);
        assert_eq!(tree.levels.last().unwrap()[&[][..]].bytes, root);
        assert_eq!(tree.levels[0].values().flat_map(|leaf| entries(&leaf.bytes)).count(), 300);
    }
}
