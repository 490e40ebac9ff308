// sled: `flush` after each batch.
use lose_lines_engines::{Engine, Entries, Result, command};

struct Sled(engine::Db);

impl Engine for Sled {
    fn open(_: &str) -> Result<Self> {
        Ok(Self(engine::open("sled")?))
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let mut batch = engine::Batch::default();
        for (key, value) in entries {
            batch.insert(key.as_bytes(), value.as_slice());
        }
        self.0.apply_batch(batch)?;
        self.0.flush()?;
        Ok(())
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key)?.map(|value| value.to_vec()))
    }
}

fn main() {
    command::<Sled>();
}
