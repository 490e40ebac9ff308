//! Regions that a store hands out: the commits before it, and those that are dirty since.
//!
//! A store knows the regions that it has handed out: of these it counts the references to a mark that each [`Region`]
//! holds. A region in use is neither deleted nor sealed. Before a region is handed out its entry becomes dirty, by two
//! commits, so that the header before the last one has it too if both copies of the last one are damaged. A seal of the
//! same store makes the entry clean. A seal of another one, after a crash, cannot know if the bytes are of one moment.

use super::Region;
use crate::medium::Medium;
use crate::preserve::error::{Error, ErrorKind};
use crate::preserve::format::PAGE;
use crate::preserve::format::header::Header;
use crate::preserve::info::{Content, Info, Name, ShortName};
use crate::preserve::snapshot::CommitIn;
use crate::preserve::walk::Walk;
use crate::preserve::writing::attributes::Attributes;
use crate::preserve::writing::store::Store;
use crate::preserve::writing::taken::Taken;
use crate::preserve::writing::tree::Tree;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error as Failure;
use core::ops::Range;

impl<M: Medium> Store<M> {
    /// Returns a region of the last commit, to be used in place.
    ///
    /// Two commits note first that the region is [dirty](Info::is_dirty), as the bytes can change from now on. They remove
    /// the seal of the store, as deep as the seal was.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotARegion`]; as [`begin`](Self::begin) and
    /// [`commit`](crate::preserve::Transaction::commit).
    ///
    /// # Cost
    /// A page of each level of the table is read, and two commits are made. All lines of the table are written
    /// back as well, unless the store was sealed, or has handed the region out since it was opened or sealed. No commit is
    /// needed if nothing was committed since the region was handed out. Nothing of the region is read.
    /// By pages eight flushes were counted.
    pub fn region(&mut self, name: &str) -> Result<Region<M>, Error<M::Error>> {
        let found = self.snapshot()?.find(name)?.ok_or_else(|| Error::not_found(name))?;
        let info = self.taken.before(&found);
        if info.content != Content::Region {
            return Err(Error(ErrorKind::NotARegion { name: ShortName::of(name) }));
        }
        // After a commit that failed, the medium may have a seal that is not known here, so this must be refused then.
        drop(self.begin()?);
        if !self.taken.is_noted(info.offset, self.header.generation) {
            self.note_use(&info)?;
        }
        let mark = self.taken.take(info.offset, self.header.generation);
        let (medium, writer) = (Arc::clone(&self.medium), self.writer.clone());
        Ok(Region { medium, info, since_use: self.uses.since(info.generation), mark, writer })
    }

    /// Returns a region, to be used in place, and commits a new one of `len` zero bytes first if the store has no region
    /// of this name.
    ///
    /// A crash meanwhile leaves no region or a whole one, so the next call succeeds. A region that exists keeps its length
    /// and its attributes, which [`Region::info`] returns.
    ///
    /// ```
    /// # #[cfg(feature = "dax")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cachemaint::{dax, preserve::{Attributes, Store}};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("state");
    /// let file = dax::Options::new().allow_page_granularity().open_or_create(&path, 16 << 20)?;
    /// let (mut store, _) = Store::open_or_create(file)?;
    /// let ram = store.region_or_create(Attributes::new("ram").alignment(2 << 20), 4 << 20)?;
    /// let is_as_sealed = !ram.info().is_dirty; // else its bytes can be of different moments
    /// ram.write(4096, b"in place");
    /// ram.persist(4096..4104)?;
    /// drop(ram);
    /// store.seal()?; // before a planned restart: writes everything back
    /// # assert!(is_as_sealed);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "dax"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`create_region`](crate::preserve::Transaction::create_region) and [`region`](Self::region).
    ///
    /// # Cost
    /// As `region`, and for a new region another commit and the write-back of its zeros.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn region_or_create<'a>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        len: u64,
    ) -> Result<Region<M>, Error<M::Error>> {
        let attributes = attributes.into();
        let mut transaction = self.begin()?;
        if transaction.contains(attributes.name) {
            drop(transaction);
        } else {
            transaction.create_region(attributes, len)?;
            transaction.commit()?;
        }
        self.region(attributes.name)
    }

    /// Commits twice that a region is handed out.
    ///
    /// A seal was as deep as the medium allows, so it would come back with the loss of the caches or buffers that hold the
    /// note. The first commit is made as deep before the second one takes the place of the sealed root. Not every process is
    /// permitted to flush the medium's own buffers: then the lines are written back all the same.
    fn note_use(&mut self, info: &Info) -> Result<(), Error<M::Error>> {
        // Another store may have noted it in the caches alone.
        let is_deep = info.is_dirty && self.taken.contains(info.offset);
        // The second commit can fail. Then the region is not handed out, and its entry is dirty.
        self.taken.keep(info);
        let was_sealed = self.header.is_sealed;
        let mut transaction = self.begin()?;
        transaction.note_use(info.name.as_str(), true)?;
        transaction.commit()?;
        // All other pages are as deep as the seal, and a commit that removes a seal is, too.
        if !is_deep && !was_sealed {
            drop(self.deep_persist_table());
        }
        self.begin()?.commit_seal(false)?;
        if !is_deep {
            drop(self.deep_persist_after(&roots(&self.header)));
        }
        Ok(())
    }

    /// Makes the table durable as deep as the medium allows.
    pub(in super::super) fn deep_persist_table(&self) -> Result<(), M::Error> {
        self.deep_persist_after(&table(&self.header, &self.tree))
    }

    /// Makes ranges, and then the header, durable as deep as the medium allows.
    fn deep_persist_after(&self, ranges: &[Range<u64>]) -> Result<(), M::Error> {
        let done = self.deep_persist_each(ranges);
        done.and(self.deep_persist_header())
    }

    /// Returns the names of the regions that were handed out, which are dirty, unless one of them is in use.
    pub(in super::super) fn taken_regions(&self) -> Result<Vec<Name>, Error<M::Error>> {
        if self.taken.is_empty() {
            return Ok(Vec::new());
        }
        dirty_names(self.snapshot()?.erased(), &self.taken)
    }
}

/// Returns the names of the dirty regions that were handed out, none of which is in use.
fn dirty_names<E: Failure>(within: CommitIn<'_, E>, taken: &Taken) -> Result<Vec<Name>, Error<E>> {
    let (mut names, mut walk) = (Vec::new(), Walk::new(within));
    while let Some(info) = walk.next_entry(within)? {
        if !info.is_dirty || !taken.contains(info.offset) {
            continue;
        }
        if taken.is_in_use_at(info.offset) {
            let name = ShortName::of(info.name.as_str());
            return Err(Error(ErrorKind::RegionInUse { name }));
        }
        names.push(info.name);
    }
    Ok(names)
}

/// Returns the ranges of both copies of the root.
fn roots(header: &Header) -> [Range<u64>; 2] {
    header.roots.map(|at| at..at + header.len)
}

/// Returns the ranges of all pages of a table.
fn table(header: &Header, tree: &Tree) -> Vec<Range<u64>> {
    let below = tree.levels[..tree.top()].iter().flat_map(BTreeMap::values);
    let pages = below.flat_map(|page| page.places.map(|at| at..at + page.len));
    joined(pages.chain(roots(header)).collect())
}

/// Sorts ranges, and joins those that are less than a page apart: each is a system call on a file.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut().filter(|last| range.start < last.end + PAGE) {
            Some(last) => last.end = last.end.max(range.end),
            None => joined.push(range),
        }
    }
    joined
}
