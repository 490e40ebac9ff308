//! Blobs of a store: replaced together, with one that comes and goes.

use super::{Chance, Witness, Work, create};
use anyhow::{Context as _, Result, bail, ensure};
use cachemaint::dax::DaxFile;
use cachemaint::medium::OpenError;
use cachemaint::preserve::{Attributes, ErrorKind, Reader, Store};
use core::ops::RangeInclusive;

/// The transactions of a life.
const TRANSACTIONS: u64 = 4;
/// The names of the blobs that every transaction replaces.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// The name of the blob that transactions of even numbers put, and the others delete.
const EVEN: &str = "even";
/// The greatest length of a blob.
const LONGEST: u64 = 5000;

/// The blobs that must be there.
pub(super) struct Blobs {
    chance: Chance,
    seed: u64,
    is_created: bool,
    /// True if it is created over another one.
    is_replaced: bool,
    /// The number of the last transaction, and that at the beginning of the life.
    last: u64,
    began: u64,
}

impl Blobs {
    pub(super) const fn new(mut chance: Chance) -> Self {
        let seed = chance.next();
        Self { chance, seed, is_created: false, is_replaced: false, last: 0, began: 0 }
    }
}

impl Work for Blobs {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        self.began = self.last;
        let mut store = if self.is_created {
            Store::open(file).map_err(OpenError::into_error)?.0
        } else {
            let (store, is_replaced) = create(file, Store::create_new)?;
            self.is_replaced = is_replaced;
            store
        };
        witness.acknowledge(1 + self.last);
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
            }
            transaction.commit()?;
            self.last = number;
            witness.acknowledge(1 + number);
        }
        if self.chance.below(3) == 0 {
            store.seal()?;
        }
        Ok(())
    }

    /// The store has the last acknowledged transaction or the next one, as a whole. A store whose creation was not
    /// acknowledged may be missing, or empty.
    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        let began = self.began;
        match acknowledged.checked_sub(1) {
            Some(last) => self.judge_blobs(file, last..=last + 1),
            None if self.is_created => self.judge_blobs(file, began..=began),
            None => {
                self.last = began;
                match Reader::open(file).map_err(|error| error.into_error().into_kind()) {
                    // The earlier one may be there still.
                    Ok(reader) if !self.is_replaced => {
                        let first = reader.snapshot()?.entries().next();
                        ensure!(first.is_none(), "a store was created with {first:?}");
                    }
                    Ok(_) | Err(ErrorKind::NotAStore { .. }) => {}
                    // It is being overwritten.
                    Err(_) if self.is_replaced => {}
                    Err(kind) => bail!("a store was created in part: {kind:?}"),
                }
                Ok(())
            }
        }
    }
}

impl Blobs {
    /// Judges the blobs, which must be of one of these transactions.
    fn judge_blobs(&mut self, file: &DaxFile, numbers: RangeInclusive<u64>) -> Result<()> {
        // A reader mends nothing: the next opening has it to do, and can crash.
        let reader = Reader::open(file).map_err(OpenError::into_error)?;
        let snapshot = reader.snapshot()?;
        let number = snapshot.find(NAMES[0])?.map_or(0, |info| info.version);
        ensure!(numbers.contains(&number), "{number} is there, not one of {numbers:?}");
        let mut expected = if number == 0 { Vec::new() } else { NAMES.to_vec() };
        expected.extend((number > 0 && number % 2 == 0).then_some(EVEN));
        let names = snapshot.entries().map(|info| Ok(info?.name.as_str().to_owned()));
        let names = names.collect::<Result<Vec<String>>>()?;
        ensure!(names == expected, "{names:?} of number {number}");
        for name in expected {
            let info = snapshot.find(name)?.context("it was there")?;
            ensure!(info.version == number, "{name} is of {}, not {number}", info.version);
            let blob = snapshot.blob(name)?;
            let mut bytes = vec![0; usize::try_from(blob.len())?];
            blob.read_at(0, &mut bytes)?;
            ensure!(bytes == self.content(name, number), "{name} of {number} has other bytes");
        }
        (self.is_created, self.last) = (true, number);
        Ok(())
    }

    /// Returns the bytes of a blob of a transaction, which differ from trial to trial.
    fn content(&self, name: &str, number: u64) -> Vec<u8> {
        let start = self.seed ^ number << 32;
        let mut chance =
            Chance(name.bytes().fold(start, |sum, byte| sum.rotate_left(8) ^ u64::from(byte)));
        let len = chance.len(LONGEST);
        (0..len).map(|_| chance.next().to_le_bytes()[0]).collect()
    }
}
