//! Commits: new pages replace old ones, and a new header makes them current.

use super::reserve::Pair;
use super::room::Kind;
use super::store::Store;
use super::tree::{Key, Overlay};
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
    /// Replaces pages by those of a plan, with two fences. Everything written for the commit before is durable then,
    /// too.
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
        self.replace(header, plan);
        self.preamble = *preamble;
        Ok(())
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
        let (generation, unit) = (self.header.generation + 1, self.unit());
        let top = plan.len() - 1;
        for level in 0..top {
            let names: Vec<Key> = plan[level].keys().cloned().collect();
            for name in names {
                let Some(Some(page)) = plan[level].get(&name) else { continue };
                let bytes: Arc<[u8]> = self.tree.bytes(plan, level, &name, page).into();
                let tag = tag::of(key::page(preamble.identity, level), &bytes);
                let len = bytes.len() as u64;
                let slot = slot(level, len, unit);
                let places = self.place(&bytes, slot, Kind::of(level), pages)?;
                if let Some(Some(page)) = plan[level].get_mut(&name) {
                    (page.places, page.tag, page.len) = (places, tag, len);
                }
            }
        }
        let mut root = Preamble { level: top, ..*preamble }.bytes().to_vec();
        if let Some(Some(page)) = plan[top].get(&[][..]) {
            root.extend(self.tree.bytes(plan, top, &[], page));
        }
        let root_tag = seal(&mut root, generation);
        let bytes = root_slot(top, (root.len() - PREAMBLE) as u64, unit);
        let len = root.len() as u64;
        let roots = self.place(&root.into(), bytes, Kind::Root, pages)?;
        let copies = pages.iter().flat_map(|Written { pair, bytes, .. }| {
            pair.iter().map(move |place| (place.start, &**bytes))
        });
        let parts: Vec<(u64, &[u8])> = copies.collect();
        self.medium.copy_unfenced(&parts).map_err(Error::medium)?;
        self.medium.fence();
        if is_sealed {
            parts
                .iter()
                .try_for_each(|(at, bytes)| {
                    (self.ways.deep_persist)(&self.medium, *at..at + bytes.len() as u64)
                })
                .map_err(Error::medium)?;
        }
        Ok((roots, len, root_tag))
    }

    /// Finds places for both copies of a page, in the reserve if it has any.
    fn place(
        &mut self,
        bytes: &Arc<[u8]>,
        slot: u64,
        kind: Kind,
        pages: &mut Vec<Written>,
    ) -> Result<[u64; 2], Error<M::Error>> {
        let pair = match self.held.release(kind, slot, &mut self.space) {
            Some(pair) => pair,
            None => self.claim_pair(slot)?,
        };
        let places = pair.each_ref().map(|place| place.start);
        pages.push(Written { kind, pair, bytes: Arc::clone(bytes) });
        Ok(places)
    }

    /// Makes the pages of a plan the current ones.
    fn replace(&mut self, header: Header, plan: Vec<Overlay>) {
        let unit = self.unit();
        let root = root_slot(self.tree.top(), self.header.len - PREAMBLE as u64, unit);
        self.held.keep(Kind::Root, self.header.roots.map(|at| at..at + root));
        for (level, page) in self.tree.apply(plan) {
            let bytes = slot(level, page.len, unit);
            self.held.keep(Kind::of(level), page.places.map(|at| at..at + bytes));
        }
        self.header = header;
    }
}

/// A page that is to be written.
struct Written {
    kind: Kind,
    pair: Pair,
    bytes: Arc<[u8]>,
}
