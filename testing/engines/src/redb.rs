// redb: `Durability::Immediate` is the default of a transaction.
use engine::{Database, ReadableTable, TableDefinition};
use lose_lines_engines::{Engine, Entries, Result, command};

const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("table");

struct Redb(Database);

impl Engine for Redb {
    fn open(_: &str) -> Result<Self> {
        Ok(Self(Database::create("redb")?))
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in entries {
                table.insert(key.as_str(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        // A write transaction creates the table if a cut came before the first commit.
        let transaction = self.0.begin_write()?;
        let value = transaction.open_table(TABLE)?.get(key)?.map(|value| value.value().to_vec());
        transaction.abort()?;
        Ok(value)
    }
}

fn main() {
    command::<Redb>();
}
