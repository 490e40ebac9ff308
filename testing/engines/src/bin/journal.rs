//! This project's journal with page granularity: each transaction is a record. The file wraps around, and is trimmed to
//! the transactions that still count.

use cachemaint::dax::{DaxFile, Options};
use cachemaint_journal::{Journal, Position};
use lose_lines_engines::{Engine, Entries, Result, command};
use std::collections::{HashMap, VecDeque};

struct Log {
    journal: Journal<DaxFile>,
    keys: HashMap<String, Vec<u8>>,
    positions: VecDeque<Position>,
}

fn decode(mut record: &[u8], keys: &mut HashMap<String, Vec<u8>>) -> Result<()> {
    while !record.is_empty() {
        let mut take = |n: usize| record.split_off(..n).ok_or("the record ends early");
        let key = usize::from(take(1)?[0]);
        let value = usize::from(u16::from_le_bytes(take(2)?.try_into()?));
        keys.insert(String::from_utf8(take(key)?.to_vec())?, take(value)?.to_vec());
    }
    Ok(())
}

impl Engine for Log {
    fn open(_: &str) -> Result<Self> {
        let file = Options::new().allow_page_granularity().open_or_create("journal", 128 << 10)?;
        let (journal, _) = Journal::open_or_create(file)?;
        let (mut keys, mut positions, mut record) = (HashMap::new(), VecDeque::new(), Vec::new());
        let mut records = journal.records()?;
        while let Some(position) = records.read_next(&mut record)? {
            decode(&record, &mut keys)?;
            positions.push_back(position);
        }
        drop(records);
        Ok(Self { journal, keys, positions })
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let mut record = Vec::new();
        for (key, value) in entries {
            record.push(u8::try_from(key.len())?);
            record.extend(u16::try_from(value.len())?.to_le_bytes());
            record.extend(key.as_bytes());
            record.extend(value);
        }
        self.positions.push_back(self.journal.append(&record)?);
        self.keys.extend(entries.iter().cloned());
        if self.positions.len() > 24 {
            self.positions.drain(..4);
            self.journal.trim(self.positions[0])?;
        }
        Ok(())
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.keys.get(key).cloned())
    }
}

fn main() {
    command::<Log>();
}
