//! The table as its writer has it: a tree of pages, and how a transaction changes it.
//!
//! The pages of each level are sorted by the name from which on they hold names. A page of the level above holds those
//! that begin from its own name on and before that of the next page. So the first page of each level has the empty name,
//! and each name of a level is also one of the level below.
//!
//! # Work
//! A transaction of *k* changes looks at and writes *k* pages of each level at most, and those beside them with which they
//! are merged.

mod planner;
#[cfg(test)]
mod tests;

use crate::preserve::format::page::capacity;
use crate::preserve::format::table::{CHILD, Child, ENTRY, Entry, child_size};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering::{Equal, Greater, Less};
use core::ops::Bound::{self, Excluded, Included, Unbounded};
use planner::Planner;

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
        Planner::new(self, changes, unit).plan()
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
