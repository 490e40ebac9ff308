//! Records of a journal: appended in every way, trimmed, and opened anew in each life.

use super::{Chance, Witness, Work};
use anyhow::{Context as _, Result, ensure};
use cachemaint::dax::DaxFile;
use cachemaint::journal::{Group, Journal, Options, Reader};
use cachemaint::medium::OpenError;

/// The records of a life, at least.
const RECORDS: u64 = 12;
/// The greatest length of a record.
const LONGEST: u64 = 700;

/// The records that must be there.
pub(super) struct Records {
    chance: Chance,
    seed: u64,
    is_created: bool,
    /// The number of the next record, and that at the beginning of the life.
    next: u64,
    began: u64,
    /// The numbers before which trims have been asked for, with the number of the record appended after each.
    trims: Vec<(u64, u64)>,
}

impl Records {
    pub(super) fn new(mut chance: Chance) -> Self {
        let seed = chance.next();
        Self { chance, seed, is_created: false, next: 0, began: 0, trims: Vec::new() }
    }

    /// Returns the record of a number, which begins with it.
    fn record(&self, number: u64) -> Vec<u8> {
        let mut chance = Chance(self.seed ^ number);
        let longest = if chance.below(4) == 0 { LONGEST } else { 60 };
        let len = 8 + chance.len(longest);
        let mut record = number.to_le_bytes().to_vec();
        record.resize_with(len, || chance.next().to_le_bytes()[0]);
        record
    }

    fn append(&mut self, journal: &Journal<&DaxFile>) -> Result<()> {
        let number = self.next;
        match self.chance.below(4) {
            0 => {
                let mut group = Group::new();
                let records: Vec<_> =
                    (number..number + 3).map(|number| self.record(number)).collect();
                for record in &records {
                    group.push(record);
                }
                journal.append_group(&mut group)?;
                self.next += 3;
            }
            1 => {
                let record = self.record(number);
                let mut reservation = journal.reserve(record.len() as u64)?;
                record.chunks(50).for_each(|part| reservation.write_bytes(part));
                reservation.finish()?;
                self.next += 1;
            }
            _ => {
                journal.append(&self.record(number))?;
                self.next += 1;
            }
        }
        Ok(())
    }
}

impl Work for Records {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        self.began = self.next;
        let journal = if self.is_created {
            Journal::open(file).map_err(OpenError::into_error)?.0
        } else {
            let options = Options::new().segment(4 << 10);
            options.create_new(file).map_err(OpenError::into_error)?
        };
        witness.acknowledge(1 + self.next);
        let enough = self.next + RECORDS;
        while self.next < enough {
            if self.chance.below(8) == 0 {
                journal.trim(journal.end())?;
                self.trims.push((self.next, self.next));
            }
            self.append(&journal)?;
            witness.acknowledge(1 + self.next);
        }
        if self.chance.below(2) == 0 {
            journal.close()?;
        }
        Ok(())
    }

    /// Every acknowledged record is there, in its order, and what comes after them was begun. A journal whose creation
    /// was not acknowledged may be missing.
    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        let Some(next) = acknowledged.checked_sub(1) else {
            // An opened journal has made nothing worse; a created one may not be there yet.
            if self.is_created {
                return self.judge(file, 1 + self.began);
            }
            file.write(0, &vec![0; usize::try_from(file.len())?]);
            self.next = self.began;
            self.trims.clear();
            return Ok(());
        };
        let reader = Reader::open(file).map_err(OpenError::into_error)?;
        let mut numbers = Vec::new();
        for record in reader.records() {
            let payload = record?.payload;
            let number = payload.first_chunk().map(|number| u64::from_le_bytes(*number));
            let number = number.context("a record without a number")?;
            ensure!(payload == self.record(number), "record {number} has other bytes");
            numbers.push(number);
        }
        let first = numbers.first().copied().unwrap_or(next);
        ensure!(numbers.iter().copied().eq(first..first + numbers.len() as u64), "{numbers:?}");
        let after = first + numbers.len() as u64;
        ensure!(after >= next, "records {after} to {next} were acknowledged, and are lost");
        ensure!(after <= next + 3, "record {after} was never begun");
        let asked = self.trims.iter().filter(|(_, at)| *at <= next).map(|(trim, _)| *trim).max();
        ensure!(first <= asked.unwrap_or(0), "records before {first} are lost");
        (self.is_created, self.next) = (true, after);
        self.trims.retain(|(_, at)| *at <= next);
        Ok(())
    }
}
