//! Records of a journal, which are appended in all ways and trimmed. Each life opens the journal again.

use super::{Chance, Witness, Work, create};
use anyhow::{Context as _, Result, bail, ensure};
use cachemaint::dax::{self, DaxFile};
use cachemaint_journal::{Error, ErrorKind, FormatError, Group, Journal, Options, Reader};
use core::ops::RangeInclusive;

/// The minimum number of records in a life.
const RECORDS: u64 = 40;
/// The maximum length of a record.
const LONGEST: u64 = 700;

/// The size of a segment in bytes: enough for three of the longest records.
const SEGMENT: u64 = 4 << 10;
/// The maximum number of records of one append.
const AT_ONCE: u64 = 3;

/// The records that must exist.
pub(super) struct Records {
    chance: Chance,
    seed: u64,
    is_created: bool,
    /// True if it is created over another one.
    is_replaced: bool,
    /// The number of the next record, now and at the beginning of the life.
    next: u64,
    began: u64,
    /// The number of the first record at the beginning of the life.
    began_at: u64,
    /// The number of the first record that is not trimmed.
    trimmed: u64,
    /// The positions of requested trims, with the number of the first record after each.
    asked: Vec<(u64, u64)>,
}

impl Records {
    pub(super) fn new(mut chance: Chance) -> Self {
        let seed = chance.next();
        Self {
            chance,
            seed,
            is_created: false,
            is_replaced: false,
            next: 0,
            began: 0,
            began_at: 0,
            trimmed: 0,
            asked: Vec::new(),
        }
    }

    /// Returns the record with a number, with which it begins. Every second one ends with the CRC32C of its other
    /// bytes, as in common framing: a linear checksum over such a record has the same value for any content.
    fn record(&self, number: u64) -> Vec<u8> {
        let mut chance = Chance(self.seed ^ number);
        let longest = if chance.below(4) == 0 { LONGEST } else { 60 };
        let len = 8 + chance.len(longest);
        let mut record = number.to_le_bytes().to_vec();
        record.resize_with(len, || chance.next().to_le_bytes()[0]);
        if number.is_multiple_of(2) && len >= 12 {
            let (content, checksum) = record.split_at_mut(len - 4);
            checksum.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
        }
        record
    }

    /// Creates a journal, possibly over an earlier one.
    fn create<'a>(&mut self, file: &'a DaxFile) -> Result<Journal<&'a DaxFile>> {
        let created = create(file, |file| {
            Options::new().segment(SEGMENT).create_new(file).map(|(journal, _)| journal)
        });
        let (journal, is_replaced) = created?;
        self.is_replaced = is_replaced;
        Ok(journal)
    }

    fn trim(
        &mut self,
        journal: &Journal<&DaxFile>,
        witness: &Witness,
    ) -> Result<(), Error<dax::Error>> {
        self.asked.push((self.next, self.next));
        journal.trim(journal.end())?;
        self.trimmed = self.next;
        self.acknowledge(witness);
        Ok(())
    }

    /// Notes the number of the next record, plus one for the creation, and the number of the first record that is not
    /// trimmed.
    fn acknowledge(&self, witness: &Witness) {
        witness.acknowledge((1 + self.next) | (self.trimmed << 32));
    }

    fn append(&mut self, journal: &Journal<&DaxFile>) -> Result<(), Error<dax::Error>> {
        let number = self.next;
        if self.chance.below(3) == 0 {
            let mut group = Group::new();
            let records: Vec<_> =
                (number..number + AT_ONCE).map(|number| self.record(number)).collect();
            for record in &records {
                group.push(record);
            }
            journal.append_group(&mut group)?;
            self.next += AT_ONCE;
        } else {
            journal.append(&self.record(number))?;
            self.next += 1;
        }
        Ok(())
    }
}

impl Work for Records {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        (self.began, self.began_at) = (self.next, self.trimmed);
        let journal = if self.is_created {
            Journal::open(file).map_err(|failed| failed.error)?.0
        } else {
            self.create(file)?
        };
        self.acknowledge(witness);
        let enough = self.next + RECORDS;
        while self.next < enough {
            if self.chance.below(30) == 0 {
                self.trim(&journal, witness)?;
            }
            match self.append(&journal) {
                // The next append reuses the space of the oldest record.
                Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => {
                    self.trim(&journal, witness)?;
                }
                appended => appended?,
            }
            self.acknowledge(witness);
        }
        if self.chance.below(2) == 0 {
            journal.close()?;
        }
        Ok(())
    }

    /// Checks that every acknowledged record exists, in order, and that the records after them were begun. A journal
    /// whose creation was not acknowledged may be missing or empty.
    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        let began = self.began;
        let (next, trimmed) = (acknowledged & u64::from(u32::MAX), acknowledged >> 32);
        match next.checked_sub(1) {
            Some(next) => self.judge_records(file, next..=next + AT_ONCE, trimmed),
            // The opening has made nothing worse, and nothing was begun.
            None if self.is_created => self.judge_records(file, began..=began, self.began_at),
            None => {
                self.next = began;
                (self.trimmed, self.asked) = (0, Vec::new());
                match Reader::open(file).map_err(|error| ErrorKind::from(error.error)) {
                    // The earlier journal is being overwritten.
                    _ if self.is_replaced => {}
                    Ok(reader) => {
                        let first = reader.records()?.next();
                        ensure!(first.is_none(), "a journal was created with {first:?}");
                    }
                    Err(ErrorKind::Format(FormatError::Foreign { .. })) => {}
                    Err(kind) => bail!("a journal was created in part: {kind:?}"),
                }
                Ok(())
            }
        }
    }
}

impl Records {
    /// Judges the records. The number after the last one must be in this range. Those before `trimmed` must not
    /// reappear.
    fn judge_records(
        &mut self,
        file: &DaxFile,
        next: RangeInclusive<u64>,
        trimmed: u64,
    ) -> Result<()> {
        let reader = Reader::open(file).map_err(|failed| failed.error)?;
        let mut numbers = Vec::new();
        for record in reader.records()? {
            let payload = record?.payload;
            let number = payload.first_chunk().map(|number| u64::from_le_bytes(*number));
            let number = number.context("a record without a number")?;
            ensure!(payload == self.record(number), "record {number} has other bytes");
            numbers.push(number);
        }
        let first = numbers.first().copied().unwrap_or(*next.start());
        ensure!(numbers.iter().copied().eq(first..first + numbers.len() as u64), "{numbers:?}");
        let after = first + numbers.len() as u64;
        ensure!(next.contains(&after), "the next record is {after}, not one of {next:?}");
        // A requested trim may be durable.
        let asked = self.asked.iter().filter(|(_, at)| at <= next.end()).map(|(trim, _)| *trim);
        let first_ones = trimmed..=asked.max().unwrap_or(0).max(trimmed);
        ensure!(first_ones.contains(&first), "the first record is {first}, not in {first_ones:?}");
        (self.is_created, self.next) = (true, after);
        (self.trimmed, self.asked) = (first, Vec::new());
        Ok(())
    }
}
