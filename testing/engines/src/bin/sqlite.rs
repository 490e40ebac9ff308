//! SQLite. The setting is a journal mode and `synchronous`, such as `wal-full`.

use lose_lines_engines::{Engine, Entries, Result, command};
use rusqlite::{Connection, OptionalExtension};

struct Sqlite(Connection);

impl Engine for Sqlite {
    fn open(setting: &str) -> Result<Self> {
        let (mode, synchronous) = setting.split_once('-').ok_or("a setting such as wal-full")?;
        let connection = Connection::open("sqlite")?;
        let verdict: String =
            connection.query_row("pragma integrity_check", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(format!("integrity_check: {verdict}").into());
        }
        connection.pragma_update(None, "journal_mode", mode)?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        // Makes checkpoints happen even during a short run.
        connection.pragma_update(None, "wal_autocheckpoint", 50)?;
        connection.execute_batch("create table if not exists t(k text primary key, v blob)")?;
        Ok(Self(connection))
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let transaction = self.0.transaction()?;
        for (key, value) in entries {
            transaction.execute("insert or replace into t values(?, ?)", (key, value))?;
        }
        Ok(transaction.commit()?)
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.query_row("select v from t where k = ?", [key], |row| row.get(0)).optional()?)
    }
}

fn main() {
    command::<Sqlite>();
}
