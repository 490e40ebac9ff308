//! The store: blobs as before or as after a transaction.

mod region;
mod threads;

use super::payload::{Ending, bytes};
use crate::{MIXED, USUAL, WIDE, assert_safe, assert_safe_from_damage};
use cachemaint_sim::{BadBlock, Damage, Life, SimMedium, Structure, Violation};
use cachemaint_store::{self, Content, Error, ErrorKind, FormatError, Options, Store, Transaction};
use cachemaint_test_support::part::Part;
use core::cell::Cell;
use region::{delete_region, region_of, use_region};
use std::collections::BTreeMap;
use std::sync::Arc;
use threads::Work;

/// The start of blobs, behind the smallest log, by the documentation of the format.
const DATA: u64 = 32_768;
const UNIT: u64 = 64;
const REGION: &str = "ram";
const REGION_BYTES: u64 = 4096;
/// The offset of the region's word.
const WORD: u64 = 64;

/// A store with these operations.
struct Shape {
    units: u64,
    names: &'static [&'static str],
    sizes: &'static [Size],
    /// Operations are also done several in a transaction, streamed and renamed, and the store is sealed.
    has_transactions: bool,
    /// A region is created, written to and deleted.
    has_region: bool,
    /// Two threads make a transaction each.
    has_threads: bool,
    /// The number of units by which the medium can grow.
    grows_by: u64,
}

/// The bytes of a blob: so many, with this ending.
type Size = (usize, Ending);

type Name = &'static str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Do {
    Put(Name, Size),
    /// Puts a blob piece by piece.
    Stream(Name, Size),
    Delete(Name),
    Rename(Name, Name),
    /// Begins a transaction; operations belong to it until it is committed or dropped.
    Begin,
    Commit,
    Drop,
    Seal,
    /// Persists the next word of the region, which is created if it is missing.
    Region,
    DeleteRegion,
    /// Each of two threads makes a transaction, one after the other.
    Threads(Work, Work),
    /// Drops all and opens the store again.
    Reopen,
    /// Drops all and opens the store on a medium that has grown. A file is never seen shorter again.
    Grow,
}

type Blobs = BTreeMap<Name, Arc<[u8]>>;

/// The reference model.
#[derive(Clone, Debug, Default)]
struct State {
    is_created: bool,
    has_grown: bool,
    blobs: Blobs,
    /// The blobs after the commit that is under way.
    committing: Option<Blobs>,
    /// The blobs after the transaction that has begun.
    transaction: Option<Blobs>,
    /// The word of the region, if there is one.
    region: Option<u64>,
    /// The words that the region may have after the operation that is under way; `None` is a missing region.
    region_later: Vec<Option<u64>>,
    /// The number of the next blob or word.
    next: u64,
}

std::thread_local! {
    /// True if a search has put a blob before the medium has grown. A search runs on one thread.
    static PUT_BEFORE_GROWTH: Cell<bool> = const { Cell::new(false) };
}

type Failed = Error<BadBlock>;

/// The step after an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Operation,
    Opening,
    Death,
}

impl Shape {
    const fn bytes(&self) -> u64 {
        DATA + (self.units + self.grows_by) * UNIT
    }

    /// Returns the medium of a life, as long as it has grown by now.
    fn medium<'m>(&self, life: &Life<'m, Self>) -> Part<'m, SimMedium> {
        let grown = if life.model().has_grown { self.grows_by } else { 0 };
        Part { medium: life.medium, len: DATA + (self.units + grown) * UNIT }
    }

    fn options() -> Options {
        Options::with_entropy([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]).unit(UNIT).verify()
    }

    /// Opens the store, or creates it, and judges it. Nothing comes behind damage.
    fn open<'m>(
        &self,
        life: &Life<'m, Self>,
    ) -> Result<Option<Store<Part<'m, SimMedium>>>, Violation> {
        let model = life.model();
        if let Some(damage) = life.medium.damage() {
            let opened = Self::options().open(self.medium(life));
            let opened = opened.map(|(store, _)| store).map_err(|failed| failed.error);
            judge_rotten(&model, &damage, opened)?;
            return Ok(None);
        }
        let (store, opened) = match Self::options().open(self.medium(life)) {
            Err(error)
                if matches!(error.error.kind(), ErrorKind::Format(FormatError::Foreign { .. }))
                    && !model.is_created =>
            {
                let (store, _) = Self::options().create_new(self.medium(life))?;
                life.note(|model| model.is_created = true);
                return Ok(Some(store));
            }
            opened => opened?,
        };
        let damaged = opened.verification.map_or(0, |verification| verification.damaged.len());
        // What was being written may be there once.
        let is_copy = |part| {
            matches!(part, cachemaint_store::Part::Root | cachemaint_store::Part::RecordCopy)
        };
        let is_torn = opened.mended.iter().all(|damage| is_copy(damage.part));
        Violation::unless(damaged == 0 && is_torn, || format!("{:?}", opened.mended))?;
        let found = blobs(&store)?;
        let is_before = is_same(&found, &model.blobs);
        let is_after = model.committing.as_ref().is_some_and(|after| is_same(&found, after));
        if !is_before && !is_after {
            let text = format!("{:?} are there: {model:?}", found.keys());
            return Err(match model.committing {
                None => Violation::lost(text),
                Some(_) => Violation::broken(text),
            });
        }
        let word = region_of(&store, life.medium);
        let is_right = word == model.region || model.region_later.contains(&word);
        Violation::unless(is_right, || format!("the region has {word:?}: {model:?}"))?;
        life.note(|model| {
            // A killed process may have left the word in the caches.
            if !life.is_after_kill {
                (model.region, model.region_later) = (word, Vec::new());
            }
            let committing = model.committing.take().filter(|_| !is_before);
            model.blobs = committing.unwrap_or_else(|| model.blobs.clone());
            (model.is_created, model.transaction) = (true, None);
        });
        Ok(Some(store))
    }

    /// One opening, up to the next.
    fn opened(&self, life: &Life<'_, Self>) -> Result<Next, Violation> {
        let Some(mut store) = self.open(life)? else { return Ok(Next::Death) };
        loop {
            let next = Self::operate(life, &mut store)?;
            if next != Next::Operation {
                return Ok(next);
            }
        }
    }

    /// One operation, or a transaction of several.
    fn operate<'m>(
        life: &Life<'m, Self>,
        store: &mut Store<Part<'m, SimMedium>>,
    ) -> Result<Next, Violation> {
        match life.next() {
            None => return Ok(Next::Death),
            Some(Do::Reopen) => return Ok(Next::Opening),
            Some(Do::Grow) => {
                life.note(|model| model.has_grown = true);
                return Ok(Next::Opening);
            }
            Some(Do::Seal) => drop(store.seal()?),
            Some(Do::Region) => use_region(life, store)?,
            Some(Do::DeleteRegion) => delete_region(life, store)?,
            Some(Do::Threads(one, other)) => threads::both(life, store, [one, other])?,
            Some(Do::Begin) => return Self::transaction(life, store),
            Some(operation) => {
                let mut transaction = begin(life, store)?;
                change(life, &mut transaction, operation)?;
                commit(life, transaction)?;
            }
        }
        Ok(Next::Operation)
    }

    /// Several operations in a transaction.
    fn transaction<'m>(
        life: &Life<'m, Self>,
        store: &mut Store<Part<'m, SimMedium>>,
    ) -> Result<Next, Violation> {
        let mut transaction = begin(life, store)?;
        loop {
            match life.next() {
                None => return Ok(Next::Death),
                Some(Do::Drop) => {
                    drop(transaction);
                    life.note(|model| model.transaction = None);
                    return Ok(Next::Operation);
                }
                Some(Do::Commit) => {
                    commit(life, transaction)?;
                    return Ok(Next::Operation);
                }
                Some(operation) => change(life, &mut transaction, operation)?,
            }
        }
    }
}

fn begin<'s, 'm>(
    life: &Life<'_, Shape>,
    store: &'s mut Store<Part<'m, SimMedium>>,
) -> Result<Transaction<'s, Part<'m, SimMedium>>, Violation> {
    life.note(|model| model.transaction = Some(model.blobs.clone()));
    Ok(store.begin()?)
}

fn commit(
    life: &Life<'_, Shape>,
    transaction: Transaction<'_, Part<'_, SimMedium>>,
) -> Result<(), Violation> {
    life.note(|model| model.committing = model.transaction.take());
    match transaction.commit() {
        Ok(_) => life.note(|model| {
            model.blobs = model.committing.take().unwrap_or_default();
        }),
        Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => {
            life.note(|model| model.committing = None);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Puts, deletes or renames a blob in a transaction. What there is no room for is not done.
fn change(
    life: &Life<'_, Shape>,
    transaction: &mut Transaction<'_, Part<'_, SimMedium>>,
    operation: Do,
) -> Result<(), Violation> {
    let model = life.model();
    let mut blobs = model.transaction.clone().unwrap_or_default();
    let number = model.next;
    let done = match operation {
        Do::Put(name, (len, ending)) => {
            let bytes = bytes(number, len, ending);
            let done = transaction.put(name, &bytes);
            blobs.insert(name, bytes);
            done
        }
        Do::Stream(name, (len, ending)) => {
            let bytes = bytes(number, len, ending);
            let done = stream(transaction, name, &bytes);
            blobs.insert(name, bytes);
            done
        }
        Do::Delete(name) => {
            blobs.remove(name);
            transaction.delete(name)
        }
        Do::Rename(from, to) => {
            let moved = blobs.remove(from);
            blobs.extend(moved.map(|bytes| (to, bytes)));
            transaction.rename(from, to)
        }
        other => return Err(Violation::broken(format!("{other:?} is not of a transaction"))),
    };
    match done {
        Ok(()) => {
            let is_before = matches!(operation, Do::Put(..)) && !model.has_grown;
            PUT_BEFORE_GROWTH.set(PUT_BEFORE_GROWTH.get() || is_before);
            life.note(|model| (model.transaction, model.next) = (Some(blobs), number + 1));
        }
        Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn stream(
    transaction: &mut Transaction<'_, Part<'_, SimMedium>>,
    name: Name,
    bytes: &[u8],
) -> Result<(), Failed> {
    transaction.put_with(name, bytes.len() as u64, |writer| {
        bytes.chunks(48).try_for_each(|piece| writer.append(piece))
    })
}

fn blobs(store: &Store<Part<'_, SimMedium>>) -> Result<BTreeMap<String, Vec<u8>>, Failed> {
    let blobs = store.list().filter(|info| info.content == Content::Blob);
    blobs.map(|info| Ok((info.name.to_string(), store.load(&info.name)?))).collect()
}

/// After a crash that left damage each blob is there, or an error names it.
fn judge_rotten(
    model: &State,
    damage: &Damage,
    opened: Result<Store<Part<'_, SimMedium>>, Failed>,
) -> Result<(), Violation> {
    let store = match opened {
        Ok(store) => store,
        Err(error) if matches!(error.kind(), ErrorKind::Format(FormatError::Foreign { .. })) => {
            return Violation::unless(!model.is_created, || format!("{damage}: {error}"));
        }
        Err(_) => return Ok(()),
    };
    let list = store.list().filter(|info| info.content == Content::Blob);
    let found: Vec<_> =
        list.map(|info| (info.name.to_string(), store.load(&info.name).ok())).collect();
    let is_right = |blobs: &Blobs| {
        found.len() == blobs.len()
            && found.iter().all(|(name, bytes)| {
                let blob = blobs.get(name.as_str());
                blob.is_some_and(|blob| bytes.as_ref().is_none_or(|bytes| **bytes == **blob))
            })
    };
    let possible = [Some(&model.blobs), model.committing.as_ref()];
    let is_possible = possible.into_iter().flatten().any(is_right);
    let text = || format!("{damage}: {found:?} are there: {model:?}");
    if is_possible { Ok(()) } else { Err(Violation::lost(text())) }
}

fn is_same(found: &BTreeMap<String, Vec<u8>>, blobs: &Blobs) -> bool {
    let blobs = blobs.iter().map(|(name, bytes)| (*name, &**bytes));
    found.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).eq(blobs)
}

impl Structure for Shape {
    type Operation = Do;
    type Model = State;

    fn operations(&self, model: &State) -> Vec<Do> {
        let blobs = model.transaction.as_ref().unwrap_or(&model.blobs);
        let mut operations = Vec::new();
        for name in self.names.iter().copied() {
            for size in self.sizes.iter().copied() {
                operations.push(Do::Put(name, size));
                operations.extend(self.has_transactions.then_some(Do::Stream(name, size)));
            }
            if !blobs.contains_key(name) {
                continue;
            }
            operations.push(Do::Delete(name));
            let free = self.names.iter().find(|other| !blobs.contains_key(*other));
            let free = free.filter(|_| self.has_transactions);
            operations.extend(free.map(|free| Do::Rename(name, free)));
        }
        match (model.transaction.is_some(), self.has_transactions) {
            (true, _) => operations.extend([Do::Commit, Do::Drop]),
            (false, true) => operations.extend([Do::Begin, Do::Seal, Do::Reopen]),
            (false, false) => {}
        }
        if self.has_region && model.transaction.is_none() {
            operations.push(Do::Region);
            operations.extend(model.region.map(|_| Do::DeleteRegion));
        }
        if self.has_threads && model.transaction.is_none() {
            let works = self.names.iter().flat_map(|name| threads::works(name));
            let pairs = works.clone().flat_map(|one| works.clone().map(move |other| (one, other)));
            operations.extend(pairs.map(|(one, other)| Do::Threads(one, other)));
        }
        let can_grow = self.grows_by > 0 && !model.has_grown && model.transaction.is_none();
        operations.extend(can_grow.then_some(Do::Grow));
        operations
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        while self.opened(life)? == Next::Opening {}
        Ok(())
    }
}

/// Of a blob in the record, and of one beside the log.
const SIZES: &[Size] = &[(40, Ending::Plain), (300, Ending::Checksum)];

const BLOBS: Shape = Shape {
    units: 40,
    names: &["a", "b"],
    sizes: SIZES,
    has_transactions: true,
    has_region: false,
    has_threads: false,
    grows_by: 0,
};

/// Threads that take the places of each other's blobs over. There is room for one that fails.
const SHARED: Shape =
    Shape { units: 136, sizes: &[SIZES[1]], has_transactions: false, has_threads: true, ..BLOBS };

/// Room for the region and for some blobs.
const REGIONS: Shape = Shape {
    units: 2 * REGION_BYTES / UNIT,
    names: &["a"],
    sizes: &[SIZES[1]],
    has_region: true,
    ..BLOBS
};

/// A store that is full with one blob before it grows.
const GROWING: Shape = Shape {
    units: 12,
    names: &["a", "b", "c"],
    sizes: &[(400, Ending::Checksum)],
    has_transactions: false,
    grows_by: 24,
    ..BLOBS
};

/// Blobs on both sides of a chunk, put twice or streamed in one transaction.
const LARGE: Shape = Shape {
    units: 5 * (65_536 + 64) / UNIT,
    sizes: &[(256, Ending::Plain), (65_536, Ending::Plain), (65_537, Ending::Plain)],
    ..BLOBS
};

/// All operations in one store.
const ALL: Shape = Shape { names: &["a", "b"], grows_by: REGION_BYTES / UNIT, ..REGIONS };

#[test]
fn blobs_are_those_before_a_transaction_or_after_it() {
    assert_safe(&BLOBS, BLOBS.bytes(), WIDE);
}

#[test]
fn blobs_of_more_than_a_chunk_are_those_before_a_transaction_or_after_it() {
    assert_safe(&LARGE, LARGE.bytes(), MIXED / 20);
}

#[test]
fn no_damage_after_a_crash_takes_a_blob_without_a_word() {
    for shape in [BLOBS, SHARED] {
        assert_safe_from_damage(&shape, shape.bytes(), MIXED / 2);
    }
}

#[test]
fn a_place_that_a_thread_gives_back_is_the_next_one_s() {
    assert_safe(&SHARED, SHARED.bytes(), USUAL);
}

#[test]
fn a_region_has_its_last_persisted_word_whatever_is_committed_beside_it() {
    assert_safe(&REGIONS, REGIONS.bytes(), USUAL);
}

#[test]
fn a_store_that_grows_loses_no_blob() {
    assert_safe(&GROWING, GROWING.bytes(), USUAL);
    assert!(PUT_BEFORE_GROWTH.get());
}

#[test]
fn blobs_and_regions_hold_beside_each_other_and_growth() {
    assert_safe(&ALL, ALL.bytes(), MIXED);
}
