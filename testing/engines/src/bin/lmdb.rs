//! LMDB by heed. The setting is `default`, or flags joined by a plus: `nosync`, `nometasync`, `writemap`, `mapasync`.

use heed::types::{Bytes, Str};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};
use lose_lines_engines::{Engine, Entries, Result, command};

struct Lmdb(Env);

impl Lmdb {
    fn database(&self) -> Result<Database<'_, Str, Bytes>> {
        let transaction = self.0.write_txn()?;
        let opened = self.0.create_databases_and_commit(transaction, |opener, transaction| {
            opener.create_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
        });
        Ok(opened.map_err(|e: heed::Error| e)?.unwrap_commit())
    }
}

impl Engine for Lmdb {
    fn open(setting: &str) -> Result<Self> {
        let flag = |word| match word {
            "nosync" => EnvFlags::NO_SYNC,
            "nometasync" => EnvFlags::NO_META_SYNC,
            "writemap" => EnvFlags::WRITE_MAP,
            "mapasync" => EnvFlags::MAP_ASYNC,
            _ => EnvFlags::empty(),
        };
        std::fs::create_dir_all("lmdb")?;
        let mut options = EnvOpenOptions::new();
        options.map_size(8 << 20);
        // SAFETY: one process opens the files, once at a time; the flags' promises are what is tested.
        Ok(Self(unsafe { options.flags(setting.split('+').map(flag).collect()).open("lmdb")? }))
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let database = self.database()?;
        let mut transaction = self.0.write_txn()?;
        for (key, value) in entries {
            database.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let database = self.database()?;
        let transaction = self.0.read_txn()?;
        Ok(database.get(&transaction, key)?.map(<[u8]>::to_vec))
    }
}

fn main() {
    command::<Lmdb>();
}
