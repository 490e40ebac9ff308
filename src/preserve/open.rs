//! Creating a store, and opening one to write it.

use super::Identity;
use super::error::{Damage, Error};
use super::format::header::Header;
use super::format::history::BOOTS;
use super::format::page::root_slot;
use super::format::table::{self, Preamble};
use super::format::{data, history, is_unit, key};
use super::headers;
use super::origin::{Evidence, Verdict, judge};
use super::stamp::{Boot, Origin, Stamp};
use super::store::{Leased, Store, Ways};
use super::tree::Changes;
use super::verify::{Verification, verify};
use crate::format::progress::Progress;
use crate::format::tag;
use crate::medium::{Medium, Readable};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The least unit: a line, mostly.
const UNIT: u64 = 64;

/// When all blobs are read and verified, when a store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// If something may have been lost: the store was not sealed, and it was not written in this boot.
    #[default]
    IfUnclean,
    /// Each time.
    Always,
    /// Never. Loads are verified all the same.
    Never,
}

/// How a store is created and opened.
#[derive(Debug)]
pub struct Options<'p, M: Medium> {
    unit: Option<u64>,
    entropy: [u64; 2],
    stamp: Stamp,
    verify: Verify,
    #[cfg(feature = "dax")]
    is_in_place: bool,
    ways: Ways<M>,
    evidence: Evidence,
    progress: Option<Progressing<'p>>,
}

/// What is called while blobs are verified.
struct Progressing<'p>(&'p mut dyn FnMut(Progress));

impl core::fmt::Debug for Progressing<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Progressing").finish_non_exhaustive()
    }
}

/// What was found when a store was opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// What happened since the last commit, as far as it can be known, and from which evidence.
    pub verdict: Verdict,
    /// Whether it had been sealed, and not changed since.
    pub was_sealed: bool,
    /// The circumstances of the last commit.
    pub last: Stamp,
    /// What verifying all blobs has shown, if that was done.
    pub verification: Option<Verification>,
    /// Copies that were damaged, and of which the other one was whole: they have been replaced. And the history,
    /// if it was damaged: it begins anew.
    pub mended: Vec<Damage>,
}

impl<M: Medium> Options<'_, M> {
    /// The defaults, with the randomness of the system's.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        use core::hash::{BuildHasher, Hasher};
        // Its keys are the system's randomness, which nothing else in the standard library gives out.
        let random = || std::hash::RandomState::new().build_hasher().finish();
        Self::with_entropy([random(), random()])
    }

    /// The defaults. The words should differ each time and from machine to machine: a new store is known by
    /// them.
    #[must_use]
    pub const fn with_entropy(entropy: [u64; 2]) -> Self {
        Self {
            unit: None,
            entropy,
            stamp: Stamp::UNKNOWN,
            verify: Verify::IfUnclean,
            #[cfg(feature = "dax")]
            is_in_place: false,
            ways: Ways::ANY,
            evidence: Evidence::NONE,
            progress: None,
        }
    }
}

#[cfg(feature = "std")]
impl<M: Medium> Default for Options<'_, M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'p, M: Medium> Options<'p, M> {
    /// Sets the unit of a new store in bytes, a power of two from 64 to 2^30. Blobs and pages of the table begin at
    /// multiples of it. At first it is as much as the medium makes persistent at once, and 64 at least. A store takes four
    /// units at least for its table.
    #[must_use]
    pub fn unit(self, bytes: u64) -> Self {
        Self { unit: Some(bytes), ..self }
    }

    /// The circumstances: at first [unknown](Stamp::UNKNOWN), and those of this machine where a file is opened.
    #[must_use]
    pub fn stamp(self, stamp: Stamp) -> Self {
        Self { stamp, ..self }
    }

    /// When all blobs are verified: at first [if something may have been lost](Verify::IfUnclean).
    #[must_use]
    pub fn verify(self, verify: Verify) -> Self {
        Self { verify, ..self }
    }

    /// Is called now and then while blobs are verified.
    #[must_use]
    pub fn progress(self, progress: &'p mut dyn FnMut(Progress)) -> Self {
        Self { progress: Some(Progressing(progress)), ..self }
    }

    /// Sets the function that is asked for leases of readers elsewhere: it returns the first part of a range that one of
    /// them holds. At first there are none, and only leases of the store's own [reader](Store::reader) keep blobs where
    /// they are. A file that is opened by `open_file` has its own: those of readers in other processes.
    #[must_use]
    pub fn leases(self, leased: Leased<M>) -> Self {
        Self { ways: Ways { leased, ..self.ways }, ..self }
    }

    #[cfg(feature = "dax")]
    pub(super) fn in_place(self) -> Self {
        Self { is_in_place: true, ..self }
    }

    #[cfg(feature = "dax")]
    pub(super) const fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    #[cfg(feature = "dax")]
    pub(super) fn with(self, ways: Ways<M>, evidence: Evidence) -> Self {
        Self { ways, evidence, ..self }
    }

    /// Creates a store in a medium, as large as there is room. In a `DaxFile` do it by `create_file`: else commits
    /// tell nothing of this machine, and readers in other processes have no leases.
    ///
    /// # Errors
    /// If there is [one already](Error::Exists); [`Error::Unit`], [`Error::TooSmall`]; if the medium fails.
    ///
    /// # Crashes
    /// One leaves a store or none.
    ///
    /// # Cost
    /// Two fences.
    pub fn create(self, medium: M) -> Result<Store<M>, Error<M::Error>> {
        self.create_in(Arc::new(medium))
    }

    pub(super) fn create_in(self, medium: Arc<M>) -> Result<Store<M>, Error<M::Error>> {
        let at_once = medium.granularity().bytes() as u64;
        let unit = self.unit.unwrap_or(UNIT.max(at_once.next_power_of_two()));
        if !is_unit(unit) {
            return Err(Error::Unit { unit });
        }
        let size = medium.len() / unit * unit;
        let root = root_slot(0, 0, unit);
        let needed = data(unit) + 4 * root;
        if size < needed {
            return Err(Error::TooSmall { size: medium.len(), needed });
        }
        if !headers::are_absent(&*medium)? {
            return Err(Error::Exists);
        }
        let mut identity = [0; 16];
        identity[..8].copy_from_slice(&self.entropy[0].to_le_bytes());
        identity[8..].copy_from_slice(&self.entropy[1].to_le_bytes());
        let identity = Identity(identity);
        let first = Boot {
            generation: 1,
            opened: 1,
            origin: Origin::Unknown,
            was_sealed: false,
            stamp: self.stamp,
        };
        let boots = first.bytes();
        let preamble = Preamble {
            identity,
            history: 0,
            history_tag: tag::of(key::history(identity, 0), &boots),
            history_len: boots.len() as u64,
            level: 0,
            blobs: 0,
            stamp: self.stamp,
        };
        let mut bytes = preamble.bytes();
        let header = Header {
            generation: 1,
            size,
            roots: [size - root, size - 2 * root],
            len: bytes.len() as u64,
            root_tag: table::seal(&mut bytes, 1),
            unit,
            is_sealed: false,
        };
        let [first, second] = header.roots;
        medium.copy_unfenced(&[(history(0), &boots), (first, &bytes), (second, &bytes)])?;
        headers::create(&*medium, &header)?;
        Ok(Store::take_up(medium, self.ways, size)?.0)
    }

    /// Opens a store to write it, and notes that: so it begins with a commit, which changes nothing else.
    /// What was damaged and could be mended is. If the medium has grown, so has the store. Of a `DaxFile` do it by
    /// `open_file`, as with [`create`](Self::create).
    ///
    /// One process writes at a time; a [`DaxFile`](../dax/struct.DaxFile.html) sees to that. To read alone take a
    /// [`Reader`](super::Reader), which nothing keeps out.
    ///
    /// # Errors
    /// If there is no store, or not the whole of it; of another version; if all headers, or both copies of a page of the
    /// table, are damaged; if the medium fails; [`Error::Full`], if it is shorter than it was and has no room for another
    /// root any more; [`Error::WornOut`]. Damaged blobs are none: they are told of.
    ///
    /// # Crashes
    /// One meanwhile changes nothing.
    ///
    /// # Cost
    /// The table is read, its root is written twice, and three fences. If something may have been lost, all is read.
    pub fn open(self, medium: M) -> Result<(Store<M>, Opened), Error<M::Error>> {
        self.open_in(Arc::new(medium))
    }

    pub(super) fn open_in(mut self, medium: Arc<M>) -> Result<(Store<M>, Opened), Error<M::Error>> {
        let unit = headers::load(&*medium)?.unit;
        let size = Readable::len(&*medium) / unit * unit;
        let (mut store, mut mended) = Store::take_up(medium, self.ways, size)?;
        let last = store.preamble.stamp;
        let (was_sealed, verdict) =
            (store.header.is_sealed, judge(&last, &self.stamp, self.evidence));
        let must_verify = match self.verify {
            Verify::Always => true,
            Verify::Never => false,
            Verify::IfUnclean => !was_sealed && !verdict.is_same_boot(),
        };
        let verification = match (must_verify, &mut self.progress) {
            (false, _) => None,
            (true, Some(Progressing(progress))) => Some(verify(&store.snapshot()?, progress)?),
            (true, None) => Some(verify(&store.snapshot()?, &mut |_| ())?),
        };
        store.begin_boot(self.stamp, verdict.origin, &mut mended)?;
        Ok((store, Opened { verdict, was_sealed, last, verification, mended }))
    }
}

impl<M: Medium> Store<M> {
    /// Notes that the store was opened, under which circumstances.
    fn begin_boot(
        &mut self,
        stamp: Stamp,
        origin: Origin,
        mended: &mut Vec<Damage>,
    ) -> Result<(), Error<M::Error>> {
        // Nothing is written to a store that cannot be committed to.
        self.header.next_generation().ok_or(Error::WornOut)?;
        // Whoever wrote the header may have been killed before it was durable, and what is free by it may be
        // what the one before needs.
        headers::store(&*self.medium, &self.header)?;
        self.medium.fence();
        headers::clear_next(&*self.medium, &self.header)?;
        let boots = self.boots_with(stamp, origin, mended)?;
        let bytes: Vec<u8> = boots.iter().flat_map(Boot::bytes).collect();
        let mut written = Vec::new();
        for (at, bytes) in core::mem::take(&mut self.mends) {
            self.medium.copy_unfenced(&[(at, &bytes)])?;
            written.push(at..at + bytes.len() as u64);
        }
        let number = self.preamble.history.wrapping_add(1);
        let preamble = Preamble {
            history: number,
            history_tag: tag::of(key::history(self.preamble.identity, number), &bytes),
            history_len: bytes.len() as u64,
            stamp,
            ..self.preamble
        };
        let plan = self.tree.plan(&Changes::new(), self.unit()).ok_or(Error::TooMany)?;
        self.medium.copy_unfenced(&[(history(number), &bytes)])?;
        written.push(history(number)..history(number) + bytes.len() as u64);
        // Not everybody may flush what a medium keeps for itself: who may not gives the seal up.
        let deep_persist = |range| (self.ways.deep_persist)(&self.medium, range).is_ok();
        let is_sealed = self.header.is_sealed && written.into_iter().all(deep_persist);
        self.publish(plan, &preamble, is_sealed)?;
        self.settle();
        if is_sealed {
            self.deep_persist_header()?;
        }
        Ok(())
    }

    /// The history with this boot. One that is damaged is lost.
    fn boots_with(
        &self,
        stamp: Stamp,
        origin: Origin,
        mended: &mut Vec<Damage>,
    ) -> Result<Vec<Boot>, Error<M::Error>> {
        let snapshot = self.snapshot()?;
        let mut boots: Vec<Boot> = match snapshot.history() {
            Ok(boots) => boots.collect::<Result<_, _>>()?,
            Err(Error::Damaged(damage)) => {
                mended.push(damage);
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let generation = self.header.generation + 1;
        match boots.last_mut() {
            Some(last) if last.stamp.is_same_boot(&stamp) == Some(true) => {
                (last.opened, last.stamp) = (last.opened.saturating_add(1), stamp);
            }
            _ => {
                let was_sealed = self.header.is_sealed;
                boots.push(Boot { generation, opened: 1, origin, was_sealed, stamp });
            }
        }
        boots.drain(..boots.len().saturating_sub(BOOTS));
        Ok(boots)
    }
}

#[cfg(test)]
#[cfg(all(feature = "std", not(loom), not(miri)))]
mod tests {
    use super::{Options, Ways};
    use crate::cache::Cache;
    use crate::medium::{Medium, Memory, Readable};
    use crate::preserve::Attributes;
    use crate::skip::skip;
    use alloc::vec::Vec;
    use core::cell::RefCell;
    use core::ops::Range;
    use core::sync::atomic::AtomicU64;

    type Persisted = Result<(), <Memory<'static> as Readable>::Error>;

    std::thread_local! {
        static DEEP: RefCell<Vec<Range<u64>>> = const { RefCell::new(Vec::new()) };
    }

    fn deep_persist(memory: &Memory<'static>, range: Range<u64>) -> Persisted {
        DEEP.with_borrow_mut(|deep| deep.push(range.clone()));
        memory.persist(range)
    }

    #[test]
    fn a_copy_that_is_mended_in_a_sealed_store_is_deep_persisted() {
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => {
                return skip("a_copy_that_is_mended_in_a_sealed_store_is_deep_persisted", why);
            }
        };
        let words = (0..1 << 14).map(AtomicU64::new).collect::<Vec<_>>().leak();
        let memory = || Memory::new(words, cache);
        let ways = Ways { deep_persist, ..Ways::ANY };
        let options = || Options { ways, ..Options::with_entropy([1, 2]) }.unit(64);
        let mut store = options().create(memory()).unwrap();
        // Each has a page of its own, below the root.
        for name in ["a", "b"] {
            let mut transaction = store.begin().unwrap();
            transaction.put(Attributes::new(name).metadata(&[7; 4096]), &[]).unwrap();
            transaction.commit().unwrap();
        }
        store.seal().unwrap();
        let page = store.tree.levels[0].values().next().unwrap().clone();
        let copy = page.places[1]..page.places[1] + page.len;
        memory().write(copy.start, &[0xff; 8]);
        DEEP.take();

        let (store, opened) = options().open(memory()).unwrap();
        assert_eq!(opened.mended.len(), 1);
        assert!(store.snapshot().unwrap().is_sealed());
        assert!(DEEP.take().contains(&copy));
    }
}
