//! The requests to the library in a machine of the lab, and their answers, in addition to those of every machine
//! (`lose_lines_agent`).

pub mod recording;
pub mod store;
pub mod trials;

use recording::When;
use serde::{Deserialize, Serialize};

/// The prefix of the names of paths on a file, among those of [`Request::PersistEveryWay`].
pub const ON_FILES: &str = "file: ";

/// A request to the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// `HostReport`. Answered with a document.
    Report,
    /// `dax::probe`. Answered with a document.
    Probe {
        /// A file, or a directory.
        path: String,
    },
    /// Creates a file and persists records in it. Answered with [`Persisted`].
    Persist(Records),
    /// Looks for all of these records, through the library and through read(2). Answered with [`Found`].
    Verify(Records),
    /// Opens a part of a device of device DAX and persists records in it. Answered with [`Persisted`].
    PersistOnDevice(Records, Part),
    /// Looks for all of these records on a device, through the mapping, which is the only way. Answered with [`Found`].
    VerifyOnDevice(Records, Part),
    /// Opens a file or a device, and persists all of it down to the medium's own buffers. Answered when this is done.
    DeepPersist {
        /// The file.
        path: String,
    },
    /// Creates a file and persists records until the machine ends. Each is acknowledged.
    PersistForever(Records),
    /// Creates a journal, or opens the existing one, and appends records until the machine ends. Each is acknowledged
    /// with the total number.
    AppendForever(Records),
    /// Creates a recording and records events in every shard until the machine ends. The acknowledgement has the number
    /// of events of each shard that must survive.
    RecordForever {
        /// The file.
        path: String,
        /// The promised durability.
        when: When,
    },
    /// Creates a store, or opens the existing one, and replaces two blobs together, with increasing numbers, until the
    /// machine ends. Each committed number is acknowledged.
    ReplaceForever {
        /// The file.
        path: String,
    },
    /// Creates a file and calls every function of the library that persists or writes back, on the file and on memory,
    /// each between two marks for the emulator's plugin. Answered with names, in the order of the marks' numbers.
    PersistEveryWay {
        /// The file.
        path: String,
    },
}

impl From<&Request> for lose_lines_agent::Request {
    fn from(request: &Request) -> Self {
        // None of its types fails to serialize; the agent refuses a null.
        Self::Other(serde_json::to_value(request).unwrap_or_default())
    }
}

/// A file of records that differ from those of any other file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The file.
    pub path: String,
    /// The seed, which makes these records differ from those of other runs.
    pub seed: u64,
    /// The number of records.
    pub count: u64,
    /// True if whole pages are accepted (msync) where single lines cannot be persisted.
    pub allow_pages: bool,
}

/// A part of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The beginning, in bytes.
    pub offset: u64,
    /// The length in bytes. If it is missing, the part extends to the end.
    pub len: Option<u64>,
}

/// The answer about records that are persistent, as far as the medium allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persisted {
    /// `byte`, `line of 64 bytes`, `page of 4096 bytes`.
    pub granularity: String,
    /// The reason why the granularity is not finer.
    pub reason: String,
    /// The kernel's flags of the mapping, as in `/proc/self/smaps`.
    pub flags: String,
}

impl Persisted {
    /// Returns true if the mapping is synchronous: `sf` is `MAP_SYNC` (Linux, `fs/proc/task_mmu.c`).
    #[must_use]
    pub fn is_synchronous(&self) -> bool {
        self.flags.split(' ').any(|flag| flag == "sf")
    }
}

/// The answer to a search for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Records that are as they were written.
    pub intact: u64,
    /// The first damaged records.
    pub damaged: Vec<u64>,
}
