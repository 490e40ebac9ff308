//! File operations, in the order in which they took effect.

use core::panic::Location;
use std::borrow::Cow;

/// A file, a directory or a symbolic link, under whatever names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object(pub(crate) u64);

impl Object {
    /// The directory that the states are states of.
    pub const ROOT: Self = Self(1);
}

/// The kind of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link with its target.
    Link(Vec<u8>),
}

/// A change of one directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The directory.
    pub directory: Object,
    /// The name in it.
    pub name: Vec<u8>,
    /// The object that the name then has; `None` removes the name.
    pub object: Option<Object>,
}

/// The way in which bytes reach a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The page cache.
    Cache,
    /// `O_DIRECT`: the size follows the bytes.
    Direct,
    /// Stores into a mapping.
    Mapping,
}

/// The part of an object that a sync makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// Everything: fsync(2).
    All,
    /// The bytes, and what is needed to read them: fdatasync(2).
    Data,
    /// As `Data`, for a range: msync(2), or a write with `O_DSYNC`.
    Range {
        /// The first byte.
        at: u64,
        /// The number of bytes.
        len: u64,
    },
}

/// An operation on files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An object comes into being, without a name.
    Make {
        /// The new object.
        object: Object,
        /// Its kind.
        kind: Kind,
        /// Its permissions.
        mode: u32,
    },
    /// Entries change at once: a creation, a link, a removal, or a rename (the old name, then the new one).
    Entries(Vec<Entry>),
    /// Bytes are written.
    Write {
        /// The file.
        file: Object,
        /// The place of the first byte.
        at: u64,
        /// The bytes.
        bytes: Vec<u8>,
        /// The way that they take.
        via: Via,
    },
    /// A file is cut or extended with zeros.
    Resize {
        /// The file.
        file: Object,
        /// The new size.
        size: u64,
    },
    /// A range becomes zeros, such as a hole. The size stays.
    Zero {
        /// The file.
        file: Object,
        /// The first byte.
        at: u64,
        /// The number of bytes.
        len: u64,
    },
    /// Bytes are written to the drive, without a flush: `sync_file_range(2)`.
    WriteBack {
        /// The file.
        file: Object,
        /// The first byte.
        at: u64,
        /// The number of bytes.
        len: u64,
        /// True if the call waits for the end of the write.
        waits: bool,
    },
    /// A sync of an object begins, or of all.
    Begin {
        /// The file or directory.
        object: Option<Object>,
        /// The part.
        part: Synced,
    },
    /// A sync ends: what there was at the thread's last [`Operation::Begin`] is durable; without one, what there is now.
    Sync {
        /// The file or directory.
        object: Object,
        /// The part.
        part: Synced,
    },
    /// As `Sync`, of all objects: sync(2).
    SyncAll,
    /// A file that had been cut to nothing is closed. File systems treat that as a replacement.
    Close {
        /// The file.
        file: Object,
    },
    /// The program prints a line: it promises that what came before is durable.
    Line(Vec<u8>),
}

/// An operation and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The operation.
    pub operation: Operation,
    /// The number of the call, counted from 1; one call may do several operations.
    pub call: u64,
    /// The thread.
    pub thread: u32,
    /// The name of the call.
    pub name: Cow<'static, str>,
    /// The index of the place in [`Log::places`].
    pub place: Option<usize>,
}

/// All operations of a run.
///
/// A log is filled by a recorder, or by the code under test itself:
///
/// ```
/// use lose_lines_states::{Log, Model, Object, States};
///
/// let mut log = Log::new();
/// let file = log.create(Object::ROOT, "new");
/// log.write(file, 0, b"content");
/// log.sync(file);
/// log.rename((Object::ROOT, "new"), (Object::ROOT, "name"));
/// log.line("renamed");
/// let mut states = States::new(&log, Model::Ext4).seed(1);
/// // The directory was not synced, so some state lacks the acknowledged name.
/// let is_lost = |state: lose_lines_states::State| state.lines == 1 && state.image.read("name").is_none();
/// assert!(states.any(is_lost));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The operations.
    pub records: Vec<Record>,
    /// The number of records that made what was there at the start. They are durable.
    pub begun: usize,
    /// The places in the program's source or code.
    pub places: Vec<String>,
    objects: u64,
    calls: u64,
}

impl Log {
    /// Makes the log of a run that starts with an empty directory.
    #[must_use]
    pub fn new() -> Self {
        let mut log = Self::default();
        let object = log.object();
        log.add(
            Operation::Make { object, kind: Kind::Directory, mode: 0o755 },
            0,
            "start",
            0,
            None,
        );
        log.begun = log.records.len();
        log
    }

    /// Makes a log without records, not even of the directory.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns a new object, to be made by [`Operation::Make`]. The first one is [`Object::ROOT`].
    pub fn object(&mut self) -> Object {
        self.objects += 1;
        Object(self.objects)
    }

    /// Notes an object of a log that is read.
    pub(crate) fn note(&mut self, object: Object) {
        self.objects = self.objects.max(object.0);
    }

    /// Adds a record.
    pub fn add(
        &mut self,
        operation: Operation,
        call: u64,
        name: impl Into<Cow<'static, str>>,
        thread: u32,
        place: Option<usize>,
    ) {
        self.records.push(Record { operation, call, thread, name: name.into(), place });
    }

    /// Makes everything so far durable: the program starts here.
    pub fn begin(&mut self) {
        self.begun = self.records.len();
    }

    /// Makes a file.
    #[track_caller]
    pub fn create(&mut self, directory: Object, name: impl AsRef<[u8]>) -> Object {
        self.make(directory, name.as_ref(), Kind::File, 0o644, "create")
    }

    /// Makes a directory.
    #[track_caller]
    pub fn make_directory(&mut self, directory: Object, name: impl AsRef<[u8]>) -> Object {
        self.make(directory, name.as_ref(), Kind::Directory, 0o755, "make_directory")
    }

    #[track_caller]
    fn make(
        &mut self,
        directory: Object,
        name: &[u8],
        kind: Kind,
        mode: u32,
        call: &'static str,
    ) -> Object {
        let object = self.object();
        self.push(call, Operation::Make { object, kind, mode });
        self.calls -= 1;
        self.push(
            call,
            Operation::Entries(vec![Entry {
                directory,
                name: name.to_vec(),
                object: Some(object),
            }]),
        );
        object
    }

    /// Gives an object another name.
    #[track_caller]
    pub fn link(&mut self, directory: Object, name: impl AsRef<[u8]>, object: Object) {
        let name = name.as_ref().to_vec();
        self.push(
            "link",
            Operation::Entries(vec![Entry { directory, name, object: Some(object) }]),
        );
    }

    /// Removes a name.
    #[track_caller]
    pub fn remove(&mut self, directory: Object, name: impl AsRef<[u8]>) {
        let name = name.as_ref().to_vec();
        self.push("remove", Operation::Entries(vec![Entry { directory, name, object: None }]));
    }

    /// Renames. Does nothing if there is no such name.
    #[track_caller]
    pub fn rename(&mut self, from: (Object, &str), to: (Object, &str)) {
        let object = self.at(from.0, from.1.as_bytes());
        let old = Entry { directory: from.0, name: from.1.into(), object: None };
        let new = Entry { directory: to.0, name: to.1.into(), object };
        if object.is_some() {
            self.push("rename", Operation::Entries(vec![old, new]));
        }
    }

    /// Writes bytes.
    #[track_caller]
    pub fn write(&mut self, file: Object, at: u64, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.push("write", Operation::Write { file, at, bytes, via: Via::Cache });
    }

    /// Cuts a file, or extends it with zeros.
    #[track_caller]
    pub fn resize(&mut self, file: Object, size: u64) {
        self.push("resize", Operation::Resize { file, size });
    }

    /// Makes a file or a directory durable, as fsync(2) does.
    #[track_caller]
    pub fn sync(&mut self, object: Object) {
        self.push("sync", Operation::Sync { object, part: Synced::All });
    }

    /// Makes the bytes of a file durable, as fdatasync(2) does.
    #[track_caller]
    pub fn sync_data(&mut self, object: Object) {
        self.push("sync_data", Operation::Sync { object, part: Synced::Data });
    }

    /// Promises that what came before is durable.
    #[track_caller]
    pub fn line(&mut self, line: impl AsRef<[u8]>) {
        self.push("line", Operation::Line(line.as_ref().to_vec()));
    }

    #[track_caller]
    fn push(&mut self, name: &'static str, operation: Operation) {
        let place = Location::caller().to_string();
        let found = self.places.iter().rposition(|known| *known == place);
        let place = found.unwrap_or_else(|| {
            self.places.push(place);
            self.places.len() - 1
        });
        self.calls += 1;
        self.add(operation, self.calls, name, 0, Some(place));
    }

    /// Returns the object that has a name after all records.
    fn at(&self, directory: Object, name: &[u8]) -> Option<Object> {
        let mut entries = self.records.iter().rev().flat_map(Record::entries);
        entries.find(|entry| entry.directory == directory && entry.name == name)?.object
    }

    /// Returns the lines before a record.
    pub fn lines_before(&self, record: usize) -> impl Iterator<Item = &[u8]> {
        let records = &self.records[..record.min(self.records.len())];
        records.iter().filter_map(|record| match &record.operation {
            Operation::Line(line) => Some(&**line),
            _ => None,
        })
    }

    /// Returns the last path of an object before a record, for messages.
    #[must_use]
    pub fn path_before(&self, object: Object, record: usize) -> String {
        let records = &self.records[..record.min(self.records.len())];
        let (mut names, mut seen, mut at) = (Vec::new(), Vec::new(), object);
        while at != Object::ROOT && !seen.contains(&at) {
            let mut entries = records.iter().rev().flat_map(Record::entries);
            let Some(entry) = entries.find(|entry| entry.object == Some(at)) else {
                names.push("a file without a name".into());
                break;
            };
            names.push(String::from_utf8_lossy(&entry.name));
            seen.push(at);
            at = entry.directory;
        }
        names.reverse();
        if names.is_empty() { String::from(".") } else { names.join("/") }
    }
}

impl Record {
    /// Returns the entries that change, if the record is of that kind.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.operation {
            Operation::Entries(entries) => entries,
            _ => &[],
        }
    }
}
