//! `PostgreSQL`: `fsync` and `synchronous_commit` are on unless the setting is `async`. `initdb` made the directory
//! `data`, which belongs to the user `postgres` (UID 101 on Debian). The environment variable PGBIN names the server's
//! directory.

use lose_lines_engines::{Engine, Entries, Result, command};
use postgres::{Client, NoTls};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Postgres(Option<Client>, Child);

impl Engine for Postgres {
    fn open(setting: &str) -> Result<Self> {
        let bin = std::env::var("PGBIN").unwrap_or("/usr/lib/postgresql/15/bin".to_owned());
        let commit =
            if setting == "async" { "synchronous_commit=off" } else { "synchronous_commit=on" };
        let mut server = Command::new(format!("{bin}/postgres"));
        server
            .args(["-D", "data", "-k", "/tmp", "-c", "listen_addresses=", "-c", commit])
            .args(["-c", "max_wal_size=2MB"]);
        let mut server =
            server.uid(101).gid(104).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut client = loop {
            match Client::connect("host=/tmp user=postgres dbname=postgres", NoTls) {
                Ok(client) => break client,
                Err(e) => match server.try_wait()? {
                    Some(status) => return Err(format!("the server ended: {status}: {e}").into()),
                    None => std::thread::sleep(Duration::from_millis(20)),
                },
            }
        };
        client.batch_execute("create table if not exists t(k text primary key, v bytea)")?;
        Ok(Self(Some(client), server))
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        let client = self.0.as_mut().ok_or("no client")?;
        let mut transaction = client.transaction()?;
        for (key, value) in entries {
            let insert =
                "insert into t values($1, $2) on conflict (k) do update set v = excluded.v";
            transaction.execute(insert, &[key, value])?;
        }
        Ok(transaction.commit()?)
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let client = self.0.as_mut().ok_or("no client")?;
        Ok(client.query_opt("select v from t where k = $1", &[&key])?.map(|row| row.get(0)))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT shuts the server down.
        drop(self.0.take());
        let ended = Command::new("kill").args(["-INT", &self.1.id().to_string()]).status();
        ended.and_then(|_| self.1.wait()).expect("the server ends");
    }
}

fn main() {
    command::<Postgres>();
}
