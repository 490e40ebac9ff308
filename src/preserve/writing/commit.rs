//! Commits: new pages replace old ones, and a new header makes them current.

use super::reserve::{self, Held, Pair};
use super::room::Kind;
use super::space::{Full, Space};
use super::store::Store;
use super::tree::{Changes, Key, Overlay, Page, Tree};
use crate::format::tag;
use crate::medium::Medium;
use crate::preserve::error::{Error, ErrorKind};
use crate::preserve::format::header::Header;
use crate::preserve::format::key;
use crate::preserve::format::page::{root_slot, slot};
use crate::preserve::format::table::{PREAMBLE, Preamble, seal};
use crate::preserve::headers;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl<M: Medium> Store<M> {
    /// Replaces pages by those of a plan. Everything written for the commit before is durable then, too.
    ///
    /// A seal is as deep as the medium allows. If the new header lay only in the caches or buffers, the seal would come back
    /// with their loss. So the commit that removes it is made as deep, or as deep as the process is permitted to. It must
    /// not refer to new bytes of blobs or regions: these are not as deep.
    ///
    /// If writing the pages fails, nothing has changed. If storing the header fails, the outcome of the commit is
    /// unknown.
    pub(super) fn publish(
        &mut self,
        mut plan: Vec<Overlay>,
        preamble: &Preamble,
        is_sealed: bool,
    ) -> Result<(), Error<M::Error>> {
        let generation = self.header.next_generation().ok_or(Error(ErrorKind::WornOut))?;
        let mut pages = Vec::new();
        let written = self.write(&mut plan, preamble, &mut pages, is_sealed);
        let (roots, len, root_tag) = written.inspect_err(|_| {
            for Written { kind, pair, .. } in &pages {
                self.held.keep(*kind, pair.clone());
            }
        })?;
        let header =
            Header { generation, size: self.size, roots, len, root_tag, is_sealed, ..self.header };
        headers::store(&*self.medium, &header)
            .inspect_err(|_| self.has_failed = true)
            .map_err(Error::medium)?;
        self.medium.fence();
        let removes_seal = self.header.is_sealed && !is_sealed;
        self.replace(header, plan);
        self.preamble = *preamble;
        if removes_seal {
            drop(self.deep_persist_header());
        }
        Ok(())
    }

    /// Replaces the root by one with the same entries and without a seal.
    pub(super) fn publish_unsealed(&mut self) -> Result<(), Error<M::Error>> {
        let plan = self.tree.plan(&Changes::new(), self.unit()).ok_or(Error(ErrorKind::TooMany))?;
        let preamble = Preamble { stamp: self.stamp(), ..self.preamble };
        self.publish(plan, &preamble, false)
    }

    /// Takes places for another root as long as the current one.
    pub(super) fn hold_root(&mut self) -> Result<Pair, Error<M::Error>> {
        let Self { tree, space, held, header, .. } = self;
        let bytes = root_slot(tree.top(), header.len - PREAMBLE as u64, header.unit);
        match held.release(Kind::Root, bytes, space) {
            Some(pair) => Ok(pair),
            None => Ok(reserve::claim(bytes, false, space)?),
        }
    }

    /// Assigns places to the pages of a plan and makes the pages durable. Returns the places of the root, its length, and
    /// the half of its tag that the header stores.
    fn write(
        &mut self,
        plan: &mut [Overlay],
        preamble: &Preamble,
        pages: &mut Vec<Written>,
        is_sealed: bool,
    ) -> Result<([u64; 2], u64, u32), Error<M::Error>> {
        let Self { tree, space, held, header, .. } = self;
        let generation = header.generation + 1;
        let root = Placing { tree, space, held, pages }.place_all(plan, preamble, generation)?;
        let parts = parts(pages);
        self.medium.copy_unfenced(&parts).map_err(Error::medium)?;
        self.medium.fence();
        if is_sealed || self.header.is_sealed {
            let ranges: Vec<_> =
                parts.iter().map(|(at, bytes)| *at..*at + bytes.len() as u64).collect();
            let done = self.deep_persist_each(&ranges);
            // Not every process is permitted to flush the medium's own buffers, and a commit needs no more than its fences.
            if is_sealed {
                done.map_err(Error::medium)?;
            }
        }
        Ok(root)
    }

    /// Makes the pages of a plan the current ones.
    fn replace(&mut self, header: Header, plan: Vec<Overlay>) {
        keep_replaced(&mut self.held, &mut self.tree, &self.header, plan);
        self.header = header;
    }
}

/// Makes the pages of a plan the current ones, and keeps the places of those before.
fn keep_replaced(held: &mut Held, tree: &mut Tree, before: &Header, plan: Vec<Overlay>) {
    let unit = before.unit;
    let root = root_slot(tree.top(), before.len - PREAMBLE as u64, unit);
    held.keep(Kind::Root, before.roots.map(|at| at..at + root));
    for (level, page) in tree.apply(plan) {
        let bytes = slot(level, page.len, unit);
        held.keep(Kind::of(level), page.places.map(|at| at..at + bytes));
    }
}

/// Finds places for the pages of a commit.
struct Placing<'s> {
    tree: &'s Tree,
    space: &'s mut Space,
    held: &'s mut Held,
    pages: &'s mut Vec<Written>,
}

impl Placing<'_> {
    /// Assigns places to the pages of a plan. Returns the places of the root, its length, and the half of its tag that
    /// the header stores.
    fn place_all(
        &mut self,
        plan: &mut [Overlay],
        preamble: &Preamble,
        generation: u64,
    ) -> Result<([u64; 2], u64, u32), Full> {
        let (unit, top) = (self.space.unit(), plan.len() - 1);
        for level in 0..top {
            let names: Vec<Key> = plan[level].keys().cloned().collect();
            for name in names {
                let Some(Some(page)) = plan[level].get(&name) else { continue };
                let bytes = self.tree.bytes(plan, level, &name, page);
                let tag = tag::of(key::page(preamble.identity, level), &bytes);
                let len = bytes.len() as u64;
                let places = self.place(&bytes, slot(level, len, unit), Kind::of(level))?;
                if let Some(Some(page)) = plan[level].get_mut(&name) {
                    *page = Page { places, tag, len, bytes };
                }
            }
        }
        let mut root = Preamble { level: top, ..*preamble }.bytes().to_vec();
        if let Some(Some(page)) = plan[top].get(&[][..]) {
            let bytes = self.tree.bytes(plan, top, &[], page);
            root.extend_from_slice(&bytes);
            if let Some(Some(page)) = plan[top].get_mut(&[][..]) {
                page.bytes = bytes;
            }
        }
        let root_tag = seal(&mut root, generation);
        let bytes = root_slot(top, (root.len() - PREAMBLE) as u64, unit);
        let len = root.len() as u64;
        let roots = self.place(&root.into(), bytes, Kind::Root)?;
        Ok((roots, len, root_tag))
    }

    /// Finds places for both copies of a page, in the reserve if it has any.
    fn place(&mut self, bytes: &Arc<[u8]>, slot: u64, kind: Kind) -> Result<[u64; 2], Full> {
        let pair = match self.held.release(kind, slot, self.space) {
            Some(pair) => pair,
            None => reserve::claim(slot, false, self.space)?,
        };
        let places = pair.each_ref().map(|place| place.start);
        self.pages.push(Written { kind, pair, bytes: Arc::clone(bytes) });
        Ok(places)
    }
}

/// Returns both copies of each page.
fn parts(pages: &[Written]) -> Vec<(u64, &[u8])> {
    let copies = pages.iter().flat_map(|Written { pair, bytes, .. }| {
        pair.iter().map(move |place| (place.start, &**bytes))
    });
    copies.collect()
}

/// A page that is to be written.
struct Written {
    kind: Kind,
    pair: Pair,
    bytes: Arc<[u8]>,
}
