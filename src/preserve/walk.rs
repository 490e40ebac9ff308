//! Walks over the table: from the root to each page below, and over their entries, in the order of names. Nothing is
//! allocated here.
//!
//! A page is read in place after its tag was verified. The header is read again after each step: if it is the same, the
//! bytes are still those of the commit, as the writer does not reuse space before the next commit.
//!
//! # Work
//! Each page is read twice, or three times if one copy is damaged. A page has at most 32 KiB. Each step, to a page or an
//! entry, also reads 64 bytes of the header and 32 of each copy of the next one. If that leaves a doubt, as a damaged
//! header can, the step reads 64 bytes of all four headers, and the words that show another format. If both copies of one
//! header are damaged, it reads all twice. A child has 32 bytes at least and an entry 56. So a walk looks at each byte of
//! the table 7 times at most, and 24 times with a damaged header. Metadata is read in place, and the header again after it:
//! then the numbers are 9 and 28. Finding a blob takes one page of each level, and the headers once. A table has at most 16
//! levels. Pages that have more bytes together than the store or its medium are refused, as they must overlap. Names out of
//! order are refused, too: a page that is reached a second time has them.

use super::error::{Damage, Error, ErrorKind, Part};
use super::format::header::Header;
use super::format::page::LEVELS;
use super::format::table::{CHILD, Child, ENTRY, Entry};
use super::info::{Info, Name};
use super::snapshot::{CommitIn, Snapshot, first_whole};
use crate::medium::Readable;
use core::error::Error as Failure;
use core::ops::Range;

impl<R: Readable> Snapshot<'_, R> {
    /// Returns the blobs and regions, in the order of their names.
    ///
    /// A page of the table that is damaged, unreadable or [missing](ErrorKind::Truncated) in both copies yields an error in
    /// place of the blobs that it named, and the blobs of other pages follow. Any other error is the last item: [`ErrorKind::Replaced`], if there was another
    /// commit.
    #[must_use]
    pub fn entries(&self) -> Entries<'_, R> {
        Entries { snapshot: self, walk: Walk::new(self.erased()), metadata: (0, 0) }
    }

    /// Returns the blob or region of a name, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`], if there was another commit; [`ErrorKind::Damaged`], if both copies of the page that would name
    /// it are damaged, or the table was forged; if the medium fails. [`ErrorKind::Truncated`], if no copy is whole and the
    /// medium ends before one of them does.
    ///
    /// # Cost
    /// A page of each level of the table is read.
    pub fn find(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        self.erased().find(name)
    }
}

/// The blobs and regions of a commit, in the order of their names. See [`Snapshot::entries`].
#[derive(Debug)]
pub struct Entries<'s, R: Readable> {
    snapshot: &'s Snapshot<'s, R>,
    walk: Walk,
    /// The place and the bytes of the metadata of the last item.
    metadata: (u64, usize),
}

impl<R: Readable> Entries<'_, R> {
    /// Copies the metadata of the last item into the buffer, and returns the part of the buffer that it fills. That part is
    /// empty if the last item was an error.
    ///
    /// # Errors
    /// [`ErrorKind::Metadata`], if the buffer is too small; [`ErrorKind::Replaced`], if there was another commit; if the
    /// medium fails.
    ///
    /// # Cost
    /// Reads the metadata and a header, and no page of the table.
    pub fn metadata<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Error<R::Error>> {
        self.snapshot.erased().metadata_at(self.metadata, buffer)
    }
}

impl<R: Readable> Iterator for Entries<'_, R> {
    type Item = Result<Info, Error<R::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.walk.next_entry(self.snapshot.erased()).transpose();
        self.metadata = match &next {
            Some(Ok(info)) => (info.metadata_at, info.metadata),
            _ => (0, 0),
        };
        next
    }
}

impl<E: Failure> CommitIn<'_, E> {
    /// Returns the entry of a name.
    pub(super) fn find(self, name: &str) -> Result<Option<Info>, Error<E>> {
        match Walk::find(self, name) {
            Err(Error(ErrorKind::Medium(error))) => Err(Error(ErrorKind::Medium(error))),
            found if self.is_current()? => found,
            _ => Err(Error(ErrorKind::Replaced)),
        }
    }
}

/// The next thing on a walk.
#[derive(Debug)]
pub(super) enum Step {
    /// A page below the root. Those below it, and its entries, follow.
    Page(#[cfg_attr(not(feature = "preserve"), expect(dead_code, reason = "for writers"))] Page),
    Entry(Info),
}

/// A page below the root.
#[derive(Debug)]
#[cfg_attr(not(feature = "preserve"), expect(dead_code, reason = "for writers"))]
pub(super) struct Page {
    pub(super) level: usize,
    pub(super) child: Child,
    /// The name that none in the page is below; empty for the first one of the page above.
    pub(super) name: Name,
    /// The copy that is read.
    pub(super) at: u64,
}

/// The part of a page that is still to be read.
#[derive(Clone, Copy, Debug)]
struct Rest {
    at: u64,
    end: u64,
    /// True if nothing of the page was read.
    is_new: bool,
}

impl Rest {
    const fn new(page: &Range<u64>) -> Self {
        Self { at: page.start, end: page.end, is_new: true }
    }

    /// The damage of a table whose tags are right and whose bytes are not.
    fn forged<E>(&self) -> Error<E> {
        let (offset, len) = (self.at, self.end.saturating_sub(self.at));
        Error(ErrorKind::Damaged(Damage { part: Part::Entry, offset, len }))
    }
}

/// The names that may come next.
#[derive(Clone, Copy, Debug)]
enum Floor {
    /// This name, or any above it.
    From(Name),
    /// Any above this one.
    Above(Name),
}

impl Floor {
    const fn name(&self) -> &Name {
        match self {
            Self::From(name) | Self::Above(name) => name,
        }
    }

    fn admits(&self, name: &Name) -> bool {
        match self {
            Self::From(floor) => name.as_bytes() >= floor.as_bytes(),
            Self::Above(floor) => name.as_bytes() > floor.as_bytes(),
        }
    }
}

/// A walk over all pages and entries. A page of which no copy is whole is an error, and the walk goes on after it. It ends
/// with each other error.
#[derive(Debug)]
pub(super) struct Walk {
    /// The levels of pages below the root.
    levels: usize,
    /// The pages from the root on.
    path: [Rest; LEVELS],
    /// The number of these pages.
    depth: usize,
    floor: Floor,
    /// Entries that have not come yet; `None` after a page that is lost.
    left: Option<u64>,
    /// Bytes that the pages to come can have.
    budget: u64,
    /// The damage of the page whose error came last.
    lost: Option<Damage>,
}

impl Walk {
    pub(super) fn new<E: Failure>(CommitIn { medium, commit }: CommitIn<'_, E>) -> Self {
        let mut path = [Rest { at: 0, end: 0, is_new: true }; LEVELS];
        path[0] = Rest::new(&commit.root());
        let (levels, left) = (commit.preamble.level, Some(commit.preamble.blobs));
        // A forged header can state any size.
        let budget = commit.header.size.min(medium.len());
        let floor = Floor::From(Name::EMPTY);
        Self { levels, path, depth: 1, floor, left, budget, lost: None }
    }

    /// Returns the damage of the page that the last item reports as lost.
    #[cfg(feature = "preserve")]
    pub(super) const fn lost(&self) -> Option<Damage> {
        self.lost
    }

    /// Returns the entry of a name. The caller must check afterwards that no commit was made meanwhile.
    fn find<E: Failure>(within: CommitIn<'_, E>, name: &str) -> Result<Option<Info>, Error<E>> {
        let mut page = within.commit.root();
        for level in (0..within.commit.preamble.level).rev() {
            let (mut rest, mut found) = (Rest::new(&page), None);
            while rest.at < rest.end {
                let (child, from) = child(within, &mut rest)?;
                if from.as_bytes() > name.as_bytes() {
                    break;
                }
                found = Some(child);
            }
            let found = found.ok_or_else(|| rest.forged())?;
            let at = whole(within, level, &found)?;
            page = at..at + found.len;
        }
        let mut rest = Rest::new(&page);
        while rest.at < rest.end {
            let info = entry(within, &mut rest)?;
            if info.name.as_str() >= name {
                return Ok((info.name.as_str() == name).then_some(info));
            }
        }
        Ok(None)
    }

    /// Returns the next page or entry, or `None` at the end.
    fn step<E: Failure>(&mut self, within: CommitIn<'_, E>) -> Result<Option<Step>, Error<E>> {
        while self.depth > 0 {
            let below = self.levels + 1 - self.depth;
            let rest = &mut self.path[self.depth - 1];
            // A page with children has one at least.
            if rest.at == rest.end && (below == 0 || !rest.is_new) {
                self.depth -= 1;
            } else if below == 0 {
                let info = entry(within, rest)?;
                let is_counted = self.left.is_none_or(|left| left > 0);
                if !is_counted || !self.floor.admits(&info.name) {
                    return Err(rest.forged());
                }
                self.floor = Floor::Above(info.name);
                self.left = self.left.map(|left| left - 1);
                return Ok(Some(Step::Entry(info)));
            } else {
                return self.page(within, below - 1).map(Some);
            }
        }
        let rest = &self.path[0];
        if self.left.is_some_and(|left| left > 0) { Err(rest.forged()) } else { Ok(None) }
    }

    /// Goes on to the next page below the last one of the path.
    fn page<E: Failure>(
        &mut self,
        within: CommitIn<'_, E>,
        level: usize,
    ) -> Result<Step, Error<E>> {
        let rest = &mut self.path[self.depth - 1];
        let is_first = rest.is_new;
        let (child, name) = child(within, rest)?;
        let is_sorted = is_first || name.as_bytes() > self.floor.name().as_bytes();
        // Copies after the end of a medium that was cut are not read.
        let len = within.medium.len();
        let is_read = |at: &&u64| at.checked_add(child.len).is_some_and(|end| end <= len);
        let bytes = child.places.iter().filter(is_read).count() as u64 * child.len;
        let budget = self.budget.checked_sub(bytes);
        let Some(budget) = budget.filter(|_| is_sorted) else { return Err(rest.forged()) };
        self.budget = budget;
        if !is_first {
            self.floor = Floor::From(name);
        }
        let at = whole(within, level, &child).inspect_err(|_| self.lost = Some(lost(&child)))?;
        self.path[self.depth] = Rest::new(&(at..at + child.len));
        self.depth += 1;
        Ok(Step::Page(Page { level, child, name, at }))
    }

    /// Returns the next entry, or `None` at the end.
    pub(super) fn next_entry<E: Failure>(
        &mut self,
        within: CommitIn<'_, E>,
    ) -> Result<Option<Info>, Error<E>> {
        loop {
            match self.next(within)? {
                Some(Step::Page(_)) => {}
                Some(Step::Entry(info)) => return Ok(Some(info)),
                None => return Ok(None),
            }
        }
    }

    /// Returns the next page or entry, or `None` at the end and after an error that ends the walk.
    pub(super) fn next<E: Failure>(
        &mut self,
        within: CommitIn<'_, E>,
    ) -> Result<Option<Step>, Error<E>> {
        if self.depth == 0 {
            return Ok(None);
        }
        self.lost = None;
        let step = self.step(within);
        if self.lost.is_some() {
            self.left = None;
        }
        let next = match (step, within.is_current()) {
            (Err(Error(ErrorKind::Medium(error))), _) => Err(Error(ErrorKind::Medium(error))),
            (_, Err(error)) => Err(error),
            (_, Ok(false)) => Err(Error(ErrorKind::Replaced)),
            (step, Ok(true)) => step,
        };
        if next.is_err() && self.lost.is_none() {
            self.depth = 0;
        }
        next
    }
}

/// Reads a child, and goes on after it.
fn child<E: Failure>(within: CommitIn<'_, E>, rest: &mut Rest) -> Result<(Child, Name), Error<E>> {
    let (medium, header) = (within.medium, &within.commit.header);
    let mut bytes = [0; CHILD];
    if rest.end - rest.at < CHILD as u64 {
        return Err(rest.forged());
    }
    medium.read(rest.at, &mut bytes).map_err(Error::medium)?;
    let is_possible = |child: &Child| {
        let is_there = child.places.iter().all(|at| header.holds(*at, child.len));
        is_there && (child.name == 0) == rest.is_new && child.size() <= rest.end - rest.at
    };
    let child = Child::read(&bytes).filter(is_possible).ok_or_else(|| rest.forged())?;
    let name = Name::read(medium, rest.at + CHILD as u64, child.name).map_err(Error::medium)?;
    (rest.at, rest.is_new) = (rest.at + child.size(), false);
    Ok((child, name))
}

/// Reads an entry, and goes on after it.
fn entry<E: Failure>(within: CommitIn<'_, E>, rest: &mut Rest) -> Result<Info, Error<E>> {
    let (medium, header) = (within.medium, &within.commit.header);
    let mut bytes = [0; ENTRY];
    if rest.end - rest.at < ENTRY as u64 {
        return Err(rest.forged());
    }
    medium.read(rest.at, &mut bytes).map_err(Error::medium)?;
    let is_there = |entry: &Entry| entry.size() <= rest.end - rest.at && is_possible(entry, header);
    let entry = Entry::read(&bytes).filter(is_there).ok_or_else(|| rest.forged())?;
    let name_at = rest.at + ENTRY as u64;
    let name = Name::read(medium, name_at, entry.name).map_err(Error::medium)?;
    if name.as_str().is_empty() {
        // The name is not UTF-8.
        return Err(rest.forged());
    }
    (rest.at, rest.is_new) = (rest.at + entry.size(), false);
    let last = entry.last_use();
    Ok(Info {
        name,
        content: entry.content,
        version: entry.version,
        len: entry.len,
        metadata: entry.metadata,
        is_dirty: last.is_dirty,
        generation: last.generation,
        seconds: entry.seconds,
        offset: entry.at,
        tag: entry.tag,
        created: entry.generation,
        metadata_at: name_at + entry.name as u64,
    })
}

/// Returns true if the blob or region can be where the entry says, and if the commit that put it or handed it out was
/// made. By that a writer knows which bytes it has put itself and may give back.
fn is_possible(entry: &Entry, header: &Header) -> bool {
    let lies_within =
        entry.occupied(header.unit).is_some_and(|bytes| header.holds(entry.at, bytes));
    lies_within && entry.last_use().generation <= header.generation
}

/// Returns the place of a copy of a page that is whole.
fn whole<E: Failure>(
    within: CommitIn<'_, E>,
    level: usize,
    child: &Child,
) -> Result<u64, Error<E>> {
    let whole = first_whole(child.places, |at| within.is_page(level, child, at));
    let [one, other] = child.places;
    let (size, needed) = (within.medium.len(), one.max(other) + child.len);
    whole.map_err(Error::medium)?.ok_or(Error(if size < needed {
        ErrorKind::Truncated { size, needed }
    } else {
        ErrorKind::Damaged(lost(child))
    }))
}

/// Returns the damage of a page of which no copy can be read.
const fn lost(child: &Child) -> Damage {
    Damage { part: Part::Page, offset: child.places[0], len: child.len }
}
