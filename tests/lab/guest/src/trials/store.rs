//! Blobs of a store: replaced together, with one that comes and goes.

use super::{Chance, Witness, Work};
use anyhow::{Context as _, Result, bail, ensure};
use cachemaint::cache::Destination;
use cachemaint::dax::DaxFile;
use cachemaint::medium::OpenError;
use cachemaint::preserve::{Attributes, ErrorKind, Store};

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
    is_created: bool,
    /// True if it is created over another one.
    is_replaced: bool,
    /// The number of the last transaction, and that at the beginning of the life.
    last: u64,
    began: u64,
}

impl Blobs {
    pub(super) const fn new(chance: Chance) -> Self {
        Self { chance, is_created: false, is_replaced: false, last: 0, began: 0 }
    }
}

fn content(name: &str, number: u64) -> Vec<u8> {
    let mut chance = Chance(name.bytes().fold(number, |sum, byte| sum << 8 ^ u64::from(byte)));
    let len = chance.len(LONGEST);
    (0..len).map(|_| chance.next().to_le_bytes()[0]).collect()
}

impl Work for Blobs {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        self.began = self.last;
        let mut store = if self.is_created {
            Store::open(file).map_err(OpenError::into_error)?.0
        } else {
            // An earlier store is refused.
            self.is_replaced = Store::open(file).is_ok();
            if self.is_replaced {
                file.persist_fill(0..file.len(), 0, Destination::Unknown)?;
            }
            Store::create_new(file).map_err(OpenError::into_error)?
        };
        witness.acknowledge(1 + self.last);
        for number in self.began + 1..=self.began + TRANSACTIONS {
            let mut transaction = store.begin()?;
            for name in NAMES {
                let attributes = Attributes::new(name).version(number);
                transaction.put(attributes, &content(name, number))?;
            }
            if number % 2 == 0 {
                transaction.put(Attributes::new(EVEN).version(number), &content(EVEN, number))?;
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

    /// The store has the last acknowledged transaction or the next one, as a whole.
    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        let Some(last) = acknowledged.checked_sub(1) else {
            if self.is_created {
                return self.judge(file, 1 + self.began);
            }
            match Store::open(file).map_err(|error| error.into_error().into_kind()) {
                Ok(_) | Err(ErrorKind::NotAStore { .. }) => {}
                // The earlier one is being overwritten.
                Err(ErrorKind::Headers) if self.is_replaced => {}
                Err(kind) => bail!("a store was created in part: {kind:?}"),
            }
            file.write(0, &vec![0; usize::try_from(file.len())?]);
            self.last = self.began;
            return Ok(());
        };
        let (store, _) = Store::open(file).map_err(OpenError::into_error)?;
        let snapshot = store.snapshot()?;
        let number = snapshot.find(NAMES[0])?.map_or(0, |info| info.version);
        ensure!(number == last || number == last + 1, "{number} is there, {last} was committed");
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
            ensure!(bytes == content(name, number), "{name} of {number} has other bytes");
        }
        (self.is_created, self.last) = (true, number);
        Ok(())
    }
}
