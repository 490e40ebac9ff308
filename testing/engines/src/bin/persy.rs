//! persy: `prepare` and `commit`, with the default configuration, which syncs in the thread that commits.

use lose_lines_engines::{Engine, Entries, Result, command};
use persy::{ByteVec, Config, Persy, ValueMode};

struct Index(Persy);

impl Engine for Index {
    fn open(_: &str) -> Result<Self> {
        let persy = Persy::open_or_create_with("persy", Config::new(), |_| Ok(()))?;
        // A cut may have come between the file and its index.
        if !persy.exists_index("keys")? {
            let mut transaction = persy.begin()?;
            transaction.create_index::<String, ByteVec>("keys", ValueMode::Replace)?;
            transaction.prepare()?.commit()?;
        }
        Ok(Self(persy))
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let mut transaction = self.0.begin()?;
        for (key, value) in entries {
            transaction.put("keys", key.clone(), ByteVec::new(value.clone()))?;
        }
        transaction.prepare()?.commit()?;
        Ok(())
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.one::<String, ByteVec>("keys", &key.to_owned())?.map(|value| value.to_vec()))
    }
}

fn main() {
    command::<Index>();
}
