//! The store that is written: what is in it, and how pages of the table are put in place of others.

use super::Identity;
use super::error::{Damage, Error, Part};
use super::format::header::{BYTES, Header};
use super::format::page::{root_slot, slot};
use super::format::table::{PREAMBLE, Preamble, seal};
use super::format::{data, headers as places_of, key, occupied};
use super::headers;
use super::lease::Leases;
use super::reader::{Reader, Snapshot};
use super::reserve::{Held, Undo};
use super::room::{Kind, Places, Touched};
use super::space::{From, Space};
use super::stamp::Stamp;
use super::transaction::Transaction;
use super::tree::{Key, Overlay, Page, Tree};
use super::walk::{Step, Walk};
use crate::format::tag;
use crate::medium::{Medium, Readable};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Asks for the first part of a range that a reader elsewhere holds a lease on.
pub(super) type Leased<M> =
    fn(&M, Range<u64>) -> Result<Option<Range<u64>>, <M as Readable>::Error>;

/// What a store can do that depends on its medium.
pub(super) struct Ways<M: Medium> {
    /// Makes a range durable as far as the medium's own buffers, and out of the caches.
    pub(super) deep_persist: fn(&M, Range<u64>) -> Result<(), M::Error>,
    pub(super) leased: Leased<M>,
    /// The time, in seconds since 1970-01-01 UTC.
    pub(super) seconds: Option<fn() -> u64>,
}

impl<M: Medium> Ways<M> {
    /// Those of any medium.
    pub(super) const ANY: Self =
        Self { deep_persist: M::persist, leased: |_, _| Ok(None), seconds: None };
}

impl<M: Medium> Clone for Ways<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Medium> Copy for Ways<M> {}

impl<M: Medium> fmt::Debug for Ways<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").finish_non_exhaustive()
    }
}

/// A store of named blobs that is written. See the [module](super).
#[derive(Debug)]
pub struct Store<M: Medium> {
    pub(super) medium: Arc<M>,
    pub(super) ways: Ways<M>,
    pub(super) leases: Leases,
    /// The last commit's, as it is in the medium.
    pub(super) header: Header,
    /// Bytes that the next commit has.
    pub(super) size: u64,
    pub(super) preamble: Preamble,
    pub(super) tree: Tree,
    pub(super) space: Space,
    /// Places for the pages of the commit to come, and for those of a deletion.
    pub(super) held: Held,
    /// Bytes of pages that are to be written over damaged copies of them.
    pub(super) mends: Vec<(u64, Vec<u8>)>,
    /// Whether a commit failed where it is not known what it left.
    pub(super) has_failed: bool,
}

/// How much room there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Capacity {
    /// For blobs and pages of the table in all.
    pub total: u64,
    /// What nothing is in. What readers hold leases on is counted, too.
    pub free: u64,
    /// The largest blob that there would be room for now, but for the space of its name and its tags.
    pub largest: u64,
}

impl<M: Medium> Store<M> {
    /// Takes up what a snapshot holds, in a medium that may have another size now.
    pub(super) fn take_up(
        medium: Arc<M>,
        ways: Ways<M>,
        size: u64,
    ) -> Result<(Self, Vec<Damage>), Error<M::Error>> {
        let snapshot = Snapshot::of(&*medium)?;
        let (header, preamble) = (snapshot.header, snapshot.preamble);
        let mut loading = Loading::new(&snapshot, size)?;
        for step in Walk::new(&snapshot) {
            match step? {
                Step::Page(page) => loading.page(&snapshot, &page)?,
                Step::Entry(info) => {
                    // There was room for it.
                    let bytes = occupied(info.len, header.unit).unwrap_or(0);
                    loading.take(info.offset..info.offset + bytes, Part::Entry)?;
                }
            }
        }
        let Loading { tree, space, damage, mends, .. } = loading;
        let (leases, has_failed) = (Leases::default(), false);
        let (mut space, mut held) = (space, Held::default());
        let deletion = Places::of_deletion(&tree, header.unit);
        held.restore(&deletion, &mut space, &leased(&*medium, &ways, &leases))?;
        let store = Self {
            medium,
            ways,
            leases,
            header,
            size,
            preamble,
            tree,
            space,
            held,
            mends,
            has_failed,
        };
        Ok((store, damage))
    }

    /// Begins a transaction. What it puts and deletes is there as a whole when it is
    /// [committed](Transaction::commit), and not at all if it is dropped.
    ///
    /// # Errors
    /// [`Error::Failed`], after a commit that failed; [`Error::Overtaken`], if somebody else wrote the store
    /// without a lock.
    pub fn begin(&mut self) -> Result<Transaction<'_, M>, Error<M::Error>> {
        if self.has_failed {
            return Err(Error::Failed);
        }
        let (ours, found) = (self.header.generation, headers::load(&*self.medium)?.generation);
        if ours != found {
            return Err(Error::Overtaken { ours, found });
        }
        Ok(Transaction::new(self))
    }

    /// A reader of this store, which can be given to another thread and holds leases that this store honours.
    #[must_use]
    pub fn reader(&self) -> Reader<Arc<M>>
    where
        M: Send,
    {
        self.leases.reader(Arc::clone(&self.medium))
    }

    /// The last commit.
    ///
    /// # Errors
    /// If the medium fails, or was damaged since.
    pub fn snapshot(&self) -> Result<Snapshot<'_, M>, Error<M::Error>> {
        Snapshot::of(&self.medium)
    }

    /// What it is known by.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.preamble.identity
    }

    /// The number of the last commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.header.generation
    }

    /// The medium.
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// How much room there is.
    ///
    /// # Errors
    /// If the medium cannot tell which leases there are.
    pub fn capacity(&self) -> Result<Capacity, Error<M::Error>> {
        let leased = leased(&*self.medium, &self.ways, &self.leases);
        let (total, free) = (self.space.len(), self.space.free() + self.held.bytes());
        // Room is kept for the pages that a put writes, and for those of a deletion after it.
        let (mut space, mut held) = (self.space.clone(), self.held.clone());
        let mut touched = Touched::default();
        touched.resize(&self.tree, self.unit(), (&[], 0, 0));
        let places = touched.places(&self.tree, self.unit(), true);
        let largest = match held.fill(&places, &mut space, &leased) {
            Ok(_) => space.largest_len(&leased)?,
            Err(Error::Full { .. }) => 0,
            Err(error) => return Err(error),
        };
        Ok(Capacity { total, free, largest })
    }

    pub(super) const fn unit(&self) -> u64 {
        self.header.unit
    }

    pub(super) fn stamp(&self) -> Stamp {
        let stamp = self.preamble.stamp;
        Stamp { seconds: self.ways.seconds.map_or(stamp.seconds, |now| now()), ..stamp }
    }

    pub(super) fn claim(
        &mut self,
        bytes: u64,
        alignment: u64,
        from: From,
    ) -> Result<Range<u64>, Error<M::Error>> {
        let Self { medium, ways, leases, space, .. } = self;
        let leased = leased(&**medium, ways, leases);
        let claimed = space.claim(bytes, alignment, from, &leased)?;
        claimed.map_err(|largest| Error::Full { needed: bytes, largest })
    }

    pub(super) fn claim_largest(&mut self, alignment: u64) -> Result<Range<u64>, Error<M::Error>> {
        let Self { medium, ways, leases, space, .. } = self;
        let leased = leased(&**medium, ways, leases);
        Ok(space.claim_largest(alignment, &leased)?)
    }

    /// Puts the pages of a plan in place of those before: two fences. What was written for them before is durable then,
    /// too.
    ///
    /// Nothing has changed if the first round fails; what is there when the second one does is not known.
    pub(super) fn publish(
        &mut self,
        mut plan: Vec<Overlay>,
        preamble: &Preamble,
        is_sealed: bool,
    ) -> Result<(), Error<M::Error>> {
        let generation = self.header.next_generation().ok_or(Error::WornOut)?;
        let mut pages = Vec::new();
        let written = self.write(&mut plan, preamble, &mut pages, is_sealed);
        let (len, root_tag) = written.inspect_err(|_| {
            for Written { kind, place, .. } in &pages {
                self.held.keep(*kind, place.clone());
            }
        })?;
        let roots = [1, 2].map(|back| pages[pages.len() - back].place.start);
        let header = Header {
            generation,
            size: self.size,
            roots: [roots[1], roots[0]],
            len,
            root_tag,
            is_sealed,
            ..self.header
        };
        headers::store(&*self.medium, &header).inspect_err(|_| self.has_failed = true)?;
        self.medium.fence();
        self.replace(header, plan);
        self.preamble = *preamble;
        Ok(())
    }

    /// Gives the pages of a plan their places, and makes them durable. Returns the length of the root and the half of its
    /// tag that the header has. The last two that were written are those of the root.
    fn write(
        &mut self,
        plan: &mut [Overlay],
        preamble: &Preamble,
        pages: &mut Vec<Written>,
        is_sealed: bool,
    ) -> Result<(u64, u32), Error<M::Error>> {
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
        self.place(&root.into(), bytes, Kind::Root, pages)?;
        let parts: Vec<(u64, &[u8])> =
            pages.iter().map(|page| (page.place.start, &*page.bytes)).collect();
        self.medium.copy_unfenced(&parts)?;
        self.medium.fence();
        if is_sealed {
            parts.iter().try_for_each(|(at, bytes)| {
                (self.ways.deep_persist)(&self.medium, *at..at + bytes.len() as u64)
            })?;
        }
        Ok((len, root_tag))
    }

    /// Finds two places for a page: those that are held for it, if there are any.
    fn place(
        &mut self,
        bytes: &Arc<[u8]>,
        slot: u64,
        kind: Kind,
        pages: &mut Vec<Written>,
    ) -> Result<[u64; 2], Error<M::Error>> {
        let mut places = [0; 2];
        for at in &mut places {
            let place = match self.held.release(kind, slot, &mut self.space) {
                Some(place) => place,
                None => self.claim(slot, self.unit(), From::End)?,
            };
            *at = place.start;
            pages.push(Written { kind, place, bytes: Arc::clone(bytes) });
        }
        Ok(places)
    }

    /// Makes the header that holds durable as far as the medium goes.
    pub(super) fn deep_persist_header(&self) -> Result<(), M::Error> {
        places_of(self.header.generation)
            .into_iter()
            .try_for_each(|at| (self.ways.deep_persist)(&self.medium, at..at + BYTES as u64))
    }

    /// Takes up what the medium has grown by.
    #[cfg(feature = "dax")]
    pub(super) fn extend_to(&mut self, bytes: u64) {
        self.size = bytes / self.unit() * self.unit();
        self.space.extend_to(self.size);
        self.settle();
    }

    /// Takes the pages of a plan for those that hold.
    fn replace(&mut self, header: Header, plan: Vec<Overlay>) {
        let unit = self.unit();
        let root = root_slot(self.tree.top(), self.header.len - PREAMBLE as u64, unit);
        for at in self.header.roots {
            self.held.keep(Kind::Root, at..at + root);
        }
        for (level, page) in self.tree.apply(plan) {
            for at in page.places {
                self.held.keep(Kind::of(level), at..at + slot(level, page.len, unit));
            }
        }
        self.header = header;
    }

    /// Does work that needs places for pages, and returns how to hold those of before again. If it fails, they are held.
    pub(super) fn with_places<T>(
        &mut self,
        places: &Places,
        work: impl FnOnce(&mut Self) -> Result<T, Error<M::Error>>,
    ) -> Result<(T, Undo), Error<M::Error>> {
        let Self { medium, ways, leases, space, held, .. } = self;
        let undo = held.fill(places, space, &leased(&**medium, ways, leases))?;
        match work(self) {
            Ok(done) => Ok((done, undo)),
            Err(error) => {
                self.held.undo(undo, &mut self.space);
                Err(error)
            }
        }
    }

    /// Holds the places of a deletion after the last commit, and no others.
    pub(super) fn settle(&mut self) {
        let deletion = Places::of_deletion(&self.tree, self.unit());
        let Self { medium, ways, leases, space, held, .. } = self;
        held.settle(&deletion, space, &leased(&**medium, ways, leases));
    }

    /// Returns the space that is in use, without the places that are held.
    pub(super) fn used(&self) -> Vec<Range<u64>> {
        let mut space = self.space.clone();
        self.held.places().for_each(|place| space.give(place));
        space.used().collect()
    }
}

/// A copy of a page that is to be written.
struct Written {
    kind: Kind,
    place: Range<u64>,
    bytes: Arc<[u8]>,
}

/// A store that is taken up.
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
    fn new<M: Medium>(snapshot: &Snapshot<'_, M>, size: u64) -> Result<Self, Error<M::Error>> {
        let (header, top) = (&snapshot.header, snapshot.preamble.level);
        let mut tree = Tree::default();
        tree.levels.resize_with(top + 1, Default::default);
        let mut loading = Self {
            size,
            tree,
            space: Space::new(data(header.unit)..size, header.unit),
            damage: headers::damaged(snapshot.medium(), header)?.collect(),
            mends: Vec::new(),
            names: alloc::vec![Key::default(); top + 1],
        };
        let len = header.len - PREAMBLE as u64;
        for offset in header.roots {
            let part = Part::TableCopy;
            loading.take(offset..offset + root_slot(top, len, header.unit), part)?;
            if !snapshot.is_whole(offset)? {
                loading.damage.push(Damage { part, offset, len: header.len });
            }
        }
        let entries = if top == 0 { read(snapshot, snapshot.root())? } else { Vec::new() };
        let root = Page { len, entries: entries.into(), ..Page::default() };
        loading.tree.levels[top].insert(Key::default(), root);
        Ok(loading)
    }

    /// Takes a range, which nothing else may have.
    fn take<E>(&mut self, range: Range<u64>, part: Part) -> Result<(), Error<E>> {
        let (offset, len, needed) = (range.start, range.end - range.start, range.end);
        if needed > self.size {
            return Err(Error::Truncated { size: self.size, needed });
        }
        if self.space.take(range) {
            Ok(())
        } else {
            Err(Error::Damaged(Damage { part, offset, len }))
        }
    }

    fn page<M: Medium>(
        &mut self,
        snapshot: &Snapshot<'_, M>,
        page: &super::walk::Page,
    ) -> Result<(), Error<M::Error>> {
        let (level, child, part) = (page.level, page.child, Part::TableCopy);
        let bytes = read(snapshot, page.at..page.at + child.len)?;
        for offset in child.places {
            self.take(offset..offset + slot(level, child.len, snapshot.header.unit), part)?;
            if !snapshot.is_page(level, &child, offset)? {
                self.damage.push(Damage { part, offset, len: child.len });
                self.mends.push((offset, bytes.clone()));
            }
        }
        // The first page has the name of the page above.
        let is_first = page.name.as_bytes().is_empty();
        let name =
            if is_first { self.names[level + 1].clone() } else { page.name.as_bytes().into() };
        self.names[level].clone_from(&name);
        let entries = if level == 0 { bytes.into() } else { Key::default() };
        let page = Page { places: child.places, tag: child.tag, len: child.len, entries };
        self.tree.levels[level].insert(name, page);
        Ok(())
    }
}

fn read<M: Medium>(snapshot: &Snapshot<'_, M>, range: Range<u64>) -> Result<Vec<u8>, M::Error> {
    let mut bytes = alloc::vec![0; (range.end - range.start) as usize];
    Readable::read(snapshot.medium(), range.start, &mut bytes)?;
    Ok(bytes)
}

/// Returns a function that finds the first leased part of a range, whoever holds the lease.
fn leased<'l, M: Medium>(
    medium: &'l M,
    ways: &'l Ways<M>,
    leases: &'l Leases,
) -> impl Fn(&Range<u64>) -> Result<Option<Range<u64>>, M::Error> + 'l {
    |range| {
        let ours = leases.first_in(range);
        // A lease of another process counts where it begins before ours.
        let before = range.start..ours.as_ref().map_or(range.end, |lease| lease.start);
        Ok((ways.leased)(medium, before)?.or(ours))
    }
}

#[cfg(test)]
#[cfg(all(feature = "std", not(loom), not(miri)))]
mod tests {
    use super::{Leased, Store, Ways};
    use crate::cache::Cache;
    use crate::medium::{Medium, Memory, Readable};
    use crate::preserve::Options;
    use crate::skip::skip;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::ops::Range;
    use core::sync::atomic::AtomicU64;

    /// Bytes of each blob, which are whole units.
    const LEN: usize = 640;
    /// The places of the first blobs of a store with units of 64 bytes, in their order.
    const PLACES: [Range<u64>; 3] = [25_600..26_240, 26_240..26_880, 26_880..27_520];

    fn put<M: Medium>(store: &mut Store<M>, name: &str, byte: u8) {
        let mut transaction = store.begin().unwrap();
        transaction.put(name, &[byte; LEN]).unwrap();
        transaction.commit().unwrap();
    }

    fn part(range: &Range<u64>, lease: &Range<u64>) -> Option<Range<u64>> {
        let part = range.start.max(lease.start)..range.end.min(lease.end);
        (!part.is_empty()).then_some(part)
    }

    /// Replaces three blobs again and again while another process leases as `theirs` says, and this one the blob of
    /// the name `ours`. The blobs of the numbers `kept` must stay as they were.
    fn leased_blobs_are_kept(
        theirs: Leased<Memory<'static>>,
        ours: &str,
        kept: &[usize],
        test: &str,
    ) {
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => return skip(test, why),
        };
        let words = (0..1 << 13).map(AtomicU64::new).collect::<Vec<_>>().leak();
        let memory = || Memory::new(words, cache);
        let mut store = Options::with_entropy([1, 2]).unit(64).create(memory()).unwrap();
        ["a", "b", "c"].iter().zip(1..).for_each(|(name, byte)| put(&mut store, name, byte));
        drop(store);

        let ways = Ways { leased: theirs, ..Ways::ANY };
        let (mut store, _) =
            Store::take_up(Arc::new(memory()), ways, Readable::len(&memory())).unwrap();
        let reader = store.reader();
        let lease = reader.lease(ours).unwrap();
        for (name, byte) in ["a", "b", "c", "d"].into_iter().cycle().zip(4..40) {
            put(&mut store, name, byte);
            for number in kept {
                let mut bytes = vec![0; LEN];
                memory().read(PLACES[*number].start, &mut bytes).unwrap();
                assert!(bytes == [*number as u8 + 1; LEN], "blob {number}, when {name} was put");
            }
        }
        drop(lease);
    }

    #[test]
    fn a_lease_of_another_process_before_one_of_this_process_is_honoured() {
        let test = "a_lease_of_another_process_before_one_of_this_process_is_honoured";
        leased_blobs_are_kept(|_, range| Ok(part(&range, &PLACES[0])), "b", &[0, 1], test);
    }

    #[test]
    fn a_lease_of_another_process_behind_one_of_this_process_is_honoured() {
        let test = "a_lease_of_another_process_behind_one_of_this_process_is_honoured";
        leased_blobs_are_kept(|_, range| Ok(part(&range, &PLACES[1])), "a", &[0, 1], test);
    }

    /// The first and the last blob are leased by the other process, and the one between them by this one.
    #[test]
    fn leases_of_another_process_around_one_of_this_process_are_honoured() {
        let test = "leases_of_another_process_around_one_of_this_process_are_honoured";
        let theirs = |_: &Memory<'static>, range: Range<u64>| {
            Ok(part(&range, &PLACES[0]).or_else(|| part(&range, &PLACES[2])))
        };
        leased_blobs_are_kept(theirs, "b", &[0, 1, 2], test);
    }

    /// Both processes lease the same blob, and theirs begins later.
    #[test]
    fn leases_of_both_processes_on_the_same_bytes_are_honoured() {
        let test = "leases_of_both_processes_on_the_same_bytes_are_honoured";
        let theirs = |_: &Memory<'static>, range: Range<u64>| Ok(part(&range, &(25_900..26_880)));
        leased_blobs_are_kept(theirs, "a", &[0, 1], test);
    }
}
