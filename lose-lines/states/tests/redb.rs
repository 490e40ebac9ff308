//! A database whose input and output go through a trait: it records its own operations, and each state is opened again.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lose_lines_states::{Log, Model, Object, States};
use redb::{
    Database, ReadableDatabase as _, StorageBackend, TableDefinition, backends::InMemoryBackend,
};

const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("table");

/// One file in memory that records what is done to it.
#[derive(Clone, Debug)]
struct Recorded {
    bytes: Arc<Mutex<(Vec<u8>, Log)>>,
    file: Object,
}

impl Recorded {
    fn new() -> Self {
        let mut log = Log::new();
        let file = log.create(Object::ROOT, "db");
        log.begin();
        Self { bytes: Arc::new(Mutex::new((Vec::new(), log))), file }
    }

    fn locked(&self) -> MutexGuard<'_, (Vec<u8>, Log)> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, line: &str) {
        self.locked().1.line(line);
    }
}

impl StorageBackend for Recorded {
    fn len(&self) -> io::Result<u64> {
        Ok(self.locked().0.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = &self.locked().0;
        let part = bytes.get(at..at + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (bytes, log) = &mut *self.locked();
        bytes.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        log.resize(self.file, len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.locked().1.sync_data(self.file);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (bytes, log) = &mut *self.locked();
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        bytes.get_mut(at..at + data.len()).ok_or(ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        log.write(self.file, offset, data);
        Ok(())
    }
}

/// Commits rows, and prints each that is durable.
fn run() -> Log {
    let backend = Recorded::new();
    let database =
        Database::builder().set_cache_size(0).create_with_backend(backend.clone()).unwrap();
    backend.line("created");
    for row in 0..10_u64 {
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TABLE).unwrap().insert(row, row * row).unwrap();
        transaction.commit().unwrap();
        backend.line("committed");
    }
    drop(database);
    let recorded = backend.locked();
    recorded.1.clone()
}

#[test]
fn every_acknowledged_row_is_in_every_state() {
    let log = run();
    for model in [Model::Ext4, Model::Xfs, Model::Btrfs, Model::POSIX] {
        let mut states = States::new(&log, model).count(100).seed(7);
        for state in states.by_ref().filter(|state| state.lines > 0) {
            let backend = InMemoryBackend::new();
            let bytes = state.image.read("db").unwrap();
            backend.set_len(bytes.len() as u64).unwrap();
            backend.write(0, &bytes).unwrap();
            let database = Database::builder().create_with_backend(backend);
            let database = database.unwrap_or_else(|why| panic!("{model} {}: {why}", state.choice));
            let rows = state.lines as u64 - 1;
            if rows > 0 {
                let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
                for row in 0..rows {
                    let value = table.get(row).unwrap().map(|value| value.value());
                    assert_eq!(value, Some(row * row), "{model} {}", state.choice);
                }
            }
        }
        assert!(states.coverage().shown > 20);
    }
}
