//! This project's store with page granularity: each transaction puts three blobs.

use cachemaint::dax::{DaxFile, Options};
use cachemaint_store::Store;
use lose_lines_engines::{Engine, Entries, Result, command};

struct Blobs(Store<DaxFile>);

impl Engine for Blobs {
    fn open(_: &str) -> Result<Self> {
        let file = Options::new().allow_page_granularity().open_or_create("store", 1 << 20)?;
        Ok(Self(Store::open_or_create(file)?.0))
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let mut transaction = self.0.begin()?;
        for (key, value) in entries {
            transaction.put(key.as_str(), value)?;
        }
        transaction.commit()?;
        Ok(())
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.stat(key).map(|_| self.0.load(key)).transpose()?)
    }
}

fn main() {
    command::<Blobs>();
}
