//! Bytes of a file, stored and persisted in all ways that the library offers.

use super::{Chance, Witness, Work};
use anyhow::{Result, ensure};
use cachemaint::cache::Destination;
use cachemaint::dax::DaxFile;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// The number of steps in a life.
const STEPS: u64 = 6;
/// The number of ways to persist.
const WAYS: u64 = 10;
/// The maximum length of a step. The file is several times as long.
const LONGEST: u64 = 9000;

/// A step: the bytes that it changes, and their new values.
struct Step {
    way: u64,
    range: Range<usize>,
    bytes: Vec<u8>,
}

/// The bytes that must exist after the acknowledged steps.
pub(super) struct Bytes {
    chance: Chance,
    expected: Vec<u8>,
    steps: Vec<Step>,
}

impl Bytes {
    pub(super) const fn new(chance: Chance) -> Self {
        Self { chance, expected: Vec::new(), steps: Vec::new() }
    }

    fn step(&mut self, len: u64) -> Step {
        let way = self.chance.below(WAYS);
        let longest = if self.chance.below(3) == 0 { LONGEST } else { 200 };
        let count = 1 + self.chance.len(longest);
        let mut at = self.chance.len(len - count as u64);
        let byte = u8::try_from(1 + self.chance.below(255)).unwrap_or(1);
        let mut bytes = vec![byte; count];
        match way {
            // A fill uses one byte value.
            7 => {}
            // A store changes the eight bytes of a word.
            9 => {
                at -= at % 8;
                bytes = self.chance.next().to_le_bytes().to_vec();
            }
            _ => bytes.iter_mut().for_each(|byte| *byte = self.chance.next().to_le_bytes()[0]),
        }
        Step { way, range: at..at + bytes.len(), bytes }
    }
}

fn perform(file: &DaxFile, step: &Step) -> Result<()> {
    let (start, end) = (step.range.start as u64, step.range.end as u64);
    match step.way {
        0 => {
            file.write(start, &step.bytes);
            file.persist(start..end)?;
        }
        1 => {
            file.write(start, &step.bytes);
            file.issue_writeback(start..end)?;
            file.fence()?;
        }
        2 => {
            file.write(start, &step.bytes);
            let middle = start.midpoint(end);
            file.issue_writeback(start..middle)?;
            file.issue_writeback(middle..end)?;
            file.fence()?;
        }
        3 => file.persist_copy(&[(start, &step.bytes)])?,
        4 => {
            let (first, second) = step.bytes.split_at(step.bytes.len() / 3);
            file.persist_copy(&[(start, first), (start + first.len() as u64, second)])?;
        }
        5 => file.persist_copy_to(&[(start, &step.bytes)], Destination::Cold)?,
        6 => file.persist_copy_to(&[(start, &step.bytes)], Destination::Cached)?,
        7 => file.persist_fill(start..end, step.bytes[0], Destination::Unknown)?,
        8 => {
            file.write(start, &step.bytes);
            file.deep_persist(start..end)?;
        }
        _ => {
            let word = step.bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            file.store(start, word, Ordering::Release);
            file.persist(start..end)?;
        }
    }
    Ok(())
}

impl Work for Bytes {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        if self.expected.is_empty() {
            self.expected.resize(usize::try_from(file.len())?, 0);
            file.read(0, &mut self.expected)?;
        }
        self.steps = (0..STEPS).map(|_| self.step(file.len())).collect();
        for (number, step) in (1..).zip(&self.steps) {
            perform(file, step)?;
            witness.acknowledge(number);
        }
        Ok(())
    }

    /// Checks that acknowledged steps are complete, that only the next one may exist in part, and that nothing else has
    /// changed.
    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        let mut found = vec![0; self.expected.len()];
        file.read(0, &mut found)?;
        let acknowledged = usize::try_from(acknowledged)?;
        for step in &self.steps[..acknowledged] {
            self.expected[step.range.clone()].copy_from_slice(&step.bytes);
        }
        let begun = self.steps.get(acknowledged);
        for (at, (is, must)) in found.iter().zip(&self.expected).enumerate() {
            let may = begun.filter(|step| step.range.contains(&at));
            let is_new = may.is_some_and(|step| *is == step.bytes[at - step.range.start]);
            ensure!(is == must || is_new, "byte {at} is {is:#x} instead of {must:#x}");
        }
        self.expected = found;
        Ok(())
    }
}
