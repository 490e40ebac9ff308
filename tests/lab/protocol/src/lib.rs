//! The conversation between the lab's host and the agent inside a machine, over a serial line.
//!
//! The host drives: it sends one [`Request`] a line and reads one [`Reply`]. Everything else that comes
//! out of the machine (firmware, kernel, the programs it runs) is log. So all of a lane's story is
//! told in one place, on the host, and a machine that resets when it should not is seen at once: it
//! says [`Reply::Hello`] again.

pub mod recording;
pub mod store;

use recording::When;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the agent's lines begin with.
pub const MARK: &str = "@lab ";

/// What the names of paths on a file begin with, among those of [`Request::PersistEveryWay`].
pub const ON_FILES: &str = "file: ";

/// What the host asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// `HostReport`: answered by [`Reply::Json`].
    Report,
    /// `dax::probe`: answered by [`Reply::Json`].
    Probe {
        /// A file, or a directory.
        path: String,
    },
    /// Creates a file and persists records in it: answered by [`Reply::Persisted`].
    Persist(Records),
    /// Looks for all of these records, through the library and through read(2): answered by
    /// [`Reply::Found`].
    Verify(Records),
    /// Opens a part of a device of device DAX and persists records in it: answered by
    /// [`Reply::Persisted`].
    PersistOnDevice(Records, Part),
    /// Looks for all of these records on a device, through the mapping, which is the only way: answered
    /// by [`Reply::Found`].
    VerifyOnDevice(Records, Part),
    /// Opens a file or a device, and has all of it persisted down to the medium's own buffers: answered
    /// by [`Reply::Done`].
    DeepPersist {
        /// The file.
        path: String,
    },
    /// Creates a file and persists record after record until the machine ends, each acknowledged by
    /// [`Reply::Acknowledged`].
    PersistForever(Records),
    /// Creates a journal, or opens the one that is there, and appends record after record until the machine
    /// ends, each acknowledged by [`Reply::Acknowledged`] with the number of all.
    AppendForever(Records),
    /// Creates a recording and records event after event in every shard until the machine ends;
    /// [`Reply::Acknowledged`] tells how many of each must outlive it.
    RecordForever {
        /// The file.
        path: String,
        /// What is promised.
        when: When,
    },
    /// Creates a store, or opens the one that is there, and replaces two blobs at once, by number after number,
    /// until the machine ends; each number that is committed is acknowledged by [`Reply::Acknowledged`].
    ReplaceForever {
        /// The file.
        path: String,
    },
    /// Creates a file and calls everything of the library that persists or writes back, on it and on
    /// memory, each between two marks for the emulator's plugin: answered by [`Reply::Names`], in the
    /// order of the marks' numbers.
    PersistEveryWay {
        /// The file.
        path: String,
    },
    /// Runs a program with the console as its output: answered by [`Reply::Ended`].
    Run {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// What is added to its environment.
        environment: BTreeMap<String, String>,
    },
    /// Runs a program and keeps what it prints: answered by [`Reply::Printed`].
    Output {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// Starts a program that runs beside what follows: answered by [`Reply::Started`].
    Start {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// What is added to its environment.
        environment: BTreeMap<String, String>,
    },
    /// Gives a started program a line, and takes one from it: answered by [`Reply::Text`].
    Tell {
        /// Its process id.
        id: u32,
        /// What it reads on its standard input.
        line: String,
    },
    /// Sends a started program a signal and waits until it ends: answered by [`Reply::Printed`].
    End {
        /// Its process id.
        id: u32,
        /// The signal.
        signal: i32,
    },
    /// Mounts a file system: answered by [`Reply::Done`].
    Mount {
        /// What is mounted.
        device: String,
        /// Where.
        directory: String,
        /// `ext4`.
        kind: String,
        /// `dax=always`.
        options: String,
        /// Nothing can be written there.
        read_only: bool,
    },
    /// Writes a file system back and detaches it: answered by [`Reply::Done`].
    Unmount {
        /// Where it is mounted.
        directory: String,
    },
    /// Reads a file, as of sysfs: answered by [`Reply::Text`], without the blank at its end.
    Read {
        /// The file.
        path: String,
    },
    /// Writes a file, as of sysfs: answered by [`Reply::Done`].
    Write {
        /// The file.
        path: String,
        /// What is written.
        text: String,
    },
    /// Removes a file: answered by [`Reply::Done`].
    Remove {
        /// The file.
        path: String,
    },
    /// The names in a directory, in order: answered by [`Reply::Names`].
    List {
        /// The directory.
        path: String,
    },
    /// Starts the kernel that this machine has on its disk, without firmware. The answer is the next
    /// kernel's [`Reply::Hello`].
    Kexec {
        /// The next kernel's command line.
        command_line: String,
        /// Bytes of the kernel, at the start of the disk.
        kernel: u64,
        /// Bytes of the initial file system, after it.
        initrd: u64,
    },
    /// Resets the machine: firmware runs. The answer is [`Reply::Hello`].
    Reboot,
    /// Ends the machine.
    PowerOff,
}

/// A file of records that can be told from any others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The file.
    pub path: String,
    /// Tells these records from those of another run.
    pub seed: u64,
    /// How many.
    pub count: u64,
    /// Whether whole pages will do (msync), where lines cannot be persisted.
    pub allow_pages: bool,
}

/// A part of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes; all up to the end if there is none.
    pub len: Option<u64>,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The machine is up.
    Hello {
        /// The kernel's `boot_id`.
        boot: String,
        /// The kernel's release.
        kernel: String,
    },
    /// A document.
    Json(String),
    /// The records are persistent, as far as the medium goes.
    Persisted {
        /// `byte`, `line of 64 bytes`, `page of 4096 bytes`.
        granularity: String,
        /// Why it is no finer.
        reason: String,
        /// The kernel's flags of the mapping, as in `/proc/self/smaps`.
        flags: String,
    },
    /// So many records of the file are durable.
    Acknowledged(u64),
    /// What was looked for.
    Found {
        /// Records that are as they were written.
        intact: u64,
        /// The first that are not.
        damaged: Vec<u64>,
    },
    /// A program runs, with this process id.
    Started(u32),
    /// A program ended by itself, or by a signal.
    Ended {
        /// Its exit code.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
    },
    /// A program ended by itself, or by a signal, and had printed this.
    Printed {
        /// Its exit code.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
        /// On standard output.
        out: String,
        /// On standard error.
        errors: String,
    },
    /// What was read.
    Text(String),
    /// What is there.
    Names(Vec<String>),
    /// It is done.
    Done,
    /// It cannot be done.
    Refused(String),
}

/// One line that says it.
///
/// # Errors
/// None of these types fails to serialize; the error is that of the serializer.
pub fn encode(message: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(format!("{MARK}{}\n", serde_json::to_string(message)?))
}

/// What a line says, unless it is log.
///
/// # Errors
/// If it is marked as ours and does not parse, as when something else was printed into it.
pub fn decode<T: DeserializeOwned>(line: &str) -> Result<Option<T>, serde_json::Error> {
    match line.split_once(MARK) {
        Some((_, message)) => serde_json::from_str(message.trim_end()).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Records, Reply, Request, decode, encode};

    #[test]
    fn a_message_survives_the_line() {
        let request = Request::Verify(Records {
            path: "/mnt/two words\n".to_string(),
            seed: u64::MAX,
            count: 3,
            allow_pages: true,
        });
        let line = encode(&request).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(decode(&line).unwrap(), Some(request));
    }

    /// What the kernel printed before it on the same line is no part of it.
    #[test]
    fn a_reply_behind_other_output_is_read() {
        let line = format!("[    1.0] ext4 {}", encode(&Reply::Acknowledged(7)).unwrap());
        assert_eq!(decode(&line).unwrap(), Some(Reply::Acknowledged(7)));
    }

    #[test]
    fn log_is_no_message_and_a_broken_message_is_an_error() {
        assert_eq!(decode::<Reply>("SeaBIOS (version 1.16)").unwrap(), None);
        assert!(decode::<Reply>("@lab {\"Acknowl[    1.0] ext4").is_err());
    }
}
