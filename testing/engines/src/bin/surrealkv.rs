//! `SurrealKV`: `immediate` or `eventual`, the durability of a transaction.

use lose_lines_engines::{Engine, Entries, Result, command};
use surrealkv::{Durability, Tree, TreeBuilder};
use tokio::runtime::Runtime;

struct Surreal {
    tree: Tree,
    durability: Durability,
    runtime: Runtime,
}

impl Engine for Surreal {
    fn open(setting: &str) -> Result<Self> {
        let runtime = Runtime::new()?;
        let durability =
            if setting == "eventual" { Durability::Eventual } else { Durability::Immediate };
        // A small table is flushed and compacted even during a short run.
        let builder =
            TreeBuilder::new().with_path("surrealkv".into()).with_max_memtable_size(32 << 10);
        let tree = runtime.block_on(async { builder.build() })?;
        Ok(Self { tree, durability, runtime })
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let mut transaction = self.tree.begin()?;
        transaction.set_durability(self.durability);
        for (key, value) in entries {
            transaction.set(key.as_bytes(), value.as_slice())?;
        }
        Ok(self.runtime.block_on(transaction.commit())?)
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.tree.begin()?.get(key.as_bytes())?)
    }
}

impl Drop for Surreal {
    fn drop(&mut self) {
        self.runtime.block_on(self.tree.close()).expect("the tree closes");
    }
}

fn main() {
    command::<Surreal>();
}
