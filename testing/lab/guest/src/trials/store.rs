//! Blobs of a store, which are replaced together, one that every other transaction deletes, and a region that is
//! written in place.

use super::{Chance, Witness, Work, create};
use anyhow::{Context as _, Result, bail, ensure};
use cachemaint::dax::DaxFile;
use cachemaint::medium::Medium as _;
use cachemaint_store::{Attributes, ErrorKind, FormatError, Reader, Region, Store};
use core::ops::RangeInclusive;
use core::sync::atomic::Ordering::Relaxed;

/// The number of transactions in a life.
const TRANSACTIONS: u64 = 4;
/// The names of the blobs that every transaction replaces.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// The name of the blob that even transactions put and odd ones delete.
const EVEN: &str = "even";
/// The name of the region.
const REGION: &str = "region";
/// The size of the region in bytes.
const REGION_LEN: u64 = 8192;
/// The offsets of the words that contain the number of the last transaction and are persisted with it.
const PERSISTED: [u64; 3] = [0, 4088, 8128];
/// The offset of the word that contains the number of the last transaction before a seal, and is left to the seal.
/// After an acknowledged transaction of the next life, it is 0 or that of this life's seal.
const SEALED: u64 = 4160;
/// The maximum length of a blob.
const LONGEST: u64 = 5000;

/// The blobs that must exist.
pub(super) struct Blobs {
    chance: Chance,
    seed: u64,
    is_created: bool,
    /// True if it is created over another one.
    is_replaced: bool,
    /// The number of the last transaction, now and at the beginning of the life.
    last: u64,
    began: u64,
    /// The minimum number in a word of the region.
    least: u64,
}

impl Blobs {
    pub(super) const fn new(mut chance: Chance) -> Self {
        let seed = chance.next();
        Self { chance, seed, is_created: false, is_replaced: false, last: 0, began: 0, least: 0 }
    }
}

impl Work for Blobs {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        self.began = self.last;
        let mut store = if self.is_created {
            Store::open(file).map_err(|failed| failed.error)?.0
        } else {
            let ((store, _), is_replaced) = create(file, Store::create_new)?;
            self.is_replaced = is_replaced;
            store
        };
        witness.acknowledge(1 + self.last);
        if self.last > 0 {
            // From here on, the region differs from its sealed state.
            let region = store.region(REGION)?;
            region.store(SEALED, 0, Relaxed);
            // The fences of the first transaction complete this write-back.
            region.issue_writeback(SEALED..SEALED + 8)?;
        }
        for number in self.began + 1..=self.began + TRANSACTIONS {
            let mut transaction = store.begin()?;
            for name in NAMES {
                let attributes = Attributes::new(name).version(number);
                transaction.put(attributes, &self.content(name, number))?;
            }
            if number % 2 == 0 {
                transaction
                    .put(Attributes::new(EVEN).version(number), &self.content(EVEN, number))?;
            } else if number > 1 {
                transaction.delete(EVEN)?;
            } else {
                transaction.create_region(REGION, REGION_LEN)?;
            }
            transaction.commit()?;
            write_in_place(&store.region(REGION)?, number)?;
            self.last = number;
            witness.acknowledge(1 + number);
        }
        if self.chance.below(3) == 0 {
            store.region(REGION)?.store(SEALED, self.last, Relaxed);
            store.seal()?;
        }
        Ok(())
    }

    /// Checks that the store has the last acknowledged transaction or the next one, as a whole, and that each word of
    /// the region has the number of one of them. All words of a clean region have that of the last transaction. A store
    /// whose creation was not acknowledged may be missing or empty.
    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        let began = self.began;
        match acknowledged.checked_sub(1) {
            Some(last) => self.judge_blobs(file, last..=last + 1),
            None if self.is_created => self.judge_blobs(file, began..=began),
            None => {
                self.last = began;
                match Reader::open(file).map_err(|error| ErrorKind::from(error.error)) {
                    // The earlier store may still be there.
                    Ok(reader) if !self.is_replaced => {
                        let first = reader.entries().next();
                        ensure!(first.is_none(), "a store was created with {first:?}");
                    }
                    Ok(_) | Err(ErrorKind::Format(FormatError::Foreign { .. })) => {}
                    // The earlier store is being overwritten.
                    Err(_) if self.is_replaced => {}
                    Err(kind) => bail!("a store was created in part: {kind:?}"),
                }
                Ok(())
            }
        }
    }
}

impl Blobs {
    /// Judges the blobs, which must belong to one of these transactions.
    fn judge_blobs(&mut self, file: &DaxFile, numbers: RangeInclusive<u64>) -> Result<()> {
        // A reader repairs nothing. The next opening must do so, and can crash.
        let reader = Reader::open(file).map_err(|failed| failed.error)?;
        let number = reader.stat(NAMES[0])?.map_or(0, |info| info.version);
        ensure!(numbers.contains(&number), "{number} is there, not one of {numbers:?}");
        let mut expected = if number == 0 { Vec::new() } else { NAMES.to_vec() };
        expected.extend((number > 0 && number % 2 == 0).then_some(EVEN));
        if number > 0 {
            let acknowledged = *numbers.start();
            self.least = if acknowledged > self.began { acknowledged } else { self.least };
            self.judge_region(file, &reader, number, acknowledged)?;
        }
        let names = reader.entries().map(|entry| Ok(entry?.0.name.to_string()));
        let names = names.collect::<Result<Vec<String>>>()?;
        let region = (number > 0).then_some(REGION);
        let all = expected.iter().copied().chain(region);
        ensure!(names.iter().eq(all), "{names:?} of number {number}");
        for name in expected {
            let info = reader.stat(name)?.context("it was there")?;
            ensure!(info.version == number, "{name} is of {}, not {number}", info.version);
            let blob = reader.blob(name)?;
            let mut bytes = vec![0; usize::try_from(blob.info().len)?];
            blob.read_at(0, &mut bytes)?;
            ensure!(bytes == self.content(name, number), "{name} of {number} has other bytes");
        }
        (self.is_created, self.last) = (true, number);
        Ok(())
    }

    /// Judges the region after this number of acknowledged transactions. Its words follow the transaction, so some may
    /// not have its number yet.
    /// its number yet.
    fn judge_region(
        &mut self,
        file: &DaxFile,
        reader: &Reader<&DaxFile>,
        number: u64,
        acknowledged: u64,
    ) -> Result<()> {
        let info = reader.stat(REGION)?.context("the region is not there")?;
        let at = info.offset;
        let words = PERSISTED.map(|word| file.load(at + word, Relaxed));
        let possible = self.least..=number;
        ensure!(
            words.iter().all(|word| possible.contains(word)),
            "the region has {words:?}, not all of {possible:?}"
        );
        let is_created = number == 1 && words == [0; PERSISTED.len()];
        let sealed = file.load(at + SEALED, Relaxed);
        if acknowledged > self.began {
            let possible = [0, self.began + TRANSACTIONS];
            ensure!(possible.contains(&sealed), "{sealed} is left, not one of {possible:?}");
        }
        if !info.is_dirty && !is_created {
            let is_whole = sealed == number && words == [number; PERSISTED.len()];
            ensure!(is_whole, "the sealed region has {words:?} and {sealed}, not {number}");
        }
        self.least = words.into_iter().min().unwrap_or(0);
        Ok(())
    }

    /// Returns the bytes of a transaction's blob, which differ between trials.
    fn content(&self, name: &str, number: u64) -> Vec<u8> {
        let start = self.seed ^ number << 32;
        let mut chance =
            Chance(name.bytes().fold(start, |sum, byte| sum.rotate_left(8) ^ u64::from(byte)));
        let len = chance.len(LONGEST);
        (0..len).map(|_| chance.next().to_le_bytes()[0]).collect()
    }
}

/// Stores the number of a transaction in the region, and persists it.
fn write_in_place(region: &Region<&DaxFile>, number: u64) -> Result<()> {
    let [first, second, last] = PERSISTED;
    for at in [first, second] {
        region.store(at, number, Relaxed);
        region.issue_writeback(at..at + 8)?;
    }
    region.store(last, number, Relaxed);
    region.persist(last..last + 8)?;
    Ok(())
}
