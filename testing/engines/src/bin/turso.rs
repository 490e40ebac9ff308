//! turso: the default journal mode (WAL) and `synchronous` (FULL).

use lose_lines_engines::{Engine, Entries, Result, command};
use tokio::runtime::Runtime;
use turso::{Builder, Connection, Database, Value};

struct Turso {
    connection: Connection,
    _database: Database,
    runtime: Runtime,
}

impl Engine for Turso {
    fn open(_: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let database = runtime.block_on(Builder::new_local("turso").build())?;
        let connection = database.connect()?;
        runtime.block_on(
            connection.execute("create table if not exists t(k text primary key, v blob)", ()),
        )?;
        let mut engine = Self { connection, _database: database, runtime };
        match engine.one("pragma integrity_check", ())? {
            Some(Value::Text(verdict)) if verdict == "ok" => Ok(engine),
            verdict => Err(format!("integrity_check: {verdict:?}").into()),
        }
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let Self { connection, runtime, .. } = self;
        runtime.block_on(async {
            connection.execute("begin", ()).await?;
            for (key, value) in entries {
                let values = (key.clone(), value.clone());
                connection.execute("insert or replace into t values(?, ?)", values).await?;
            }
            connection.execute("commit", ()).await?;
            Ok(())
        })
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.one("select v from t where k = ?", (key,))? {
            None => Ok(None),
            Some(Value::Blob(bytes)) => Ok(Some(bytes)),
            Some(other) => Err(format!("{other:?} is no blob").into()),
        }
    }
}

impl Turso {
    fn one(&mut self, sql: &str, values: impl turso::IntoParams) -> Result<Option<Value>> {
        self.runtime.block_on(async {
            let mut rows = self.connection.query(sql, values).await?;
            let row = rows.next().await?;
            Ok(row.map(|row| row.get_value(0)).transpose()?)
        })
    }
}

fn main() {
    command::<Turso>();
}
