//! fjall: a batch with `PersistMode::SyncAll` (`sync-all`, the default), or `PersistMode::SyncData` (`sync-data`).

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use lose_lines_engines::{Engine, Entries, Result, command};

struct Fjall {
    database: Database,
    keyspace: Keyspace,
    mode: PersistMode,
}

impl Engine for Fjall {
    fn open(setting: &str) -> Result<Self> {
        let database = Database::builder("fjall").open()?;
        // A small table is flushed and compacted even during a short run.
        let keyspace = database
            .keyspace("keys", || KeyspaceCreateOptions::default().max_memtable_size(32 << 10))?;
        let mode =
            if setting == "sync-data" { PersistMode::SyncData } else { PersistMode::SyncAll };
        Ok(Self { database, keyspace, mode })
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(self.mode));
        for (key, value) in entries {
            batch.insert(&self.keyspace, key.as_bytes(), value.as_slice());
        }
        Ok(batch.commit()?)
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.keyspace.get(key)?.map(|value| value.to_vec()))
    }
}

fn main() {
    command::<Fjall>();
}
