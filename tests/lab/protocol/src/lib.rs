//! The conversation between the lab's host and the agent inside a machine, over a serial line.
//!
//! The host drives: it sends one [`Request`] per line and reads one [`Reply`]. All other output of the machine
//! (firmware, kernel, the programs it runs) is log. So all steps of a lane are in one place, on the host, and a machine
//! that resets unexpectedly is seen at once: it sends [`Reply::Hello`] again.

pub mod recording;
pub mod store;
pub mod trials;

use recording::When;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The beginning of the agent's lines.
pub const MARK: &str = "@lab ";

/// The beginning of the names of paths on a file, among those of [`Request::PersistEveryWay`].
pub const ON_FILES: &str = "file: ";

/// A request of the host.
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
    /// Looks for all of these records on a device, through the mapping, which is the only method: answered by
    /// [`Reply::Found`].
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
    /// Creates a journal, or opens the existing one, and appends record after record until the machine ends, each
    /// acknowledged by [`Reply::Acknowledged`] with the number of all.
    AppendForever(Records),
    /// Creates a recording and records event after event in every shard until the machine ends. [`Reply::Acknowledged`]
    /// has the number of events of each shard that must outlive it.
    RecordForever {
        /// The file.
        path: String,
        /// The durability that is promised.
        when: When,
    },
    /// Creates a store, or opens the existing one, and replaces two blobs at once, by number after number, until the
    /// machine ends. Each committed number is acknowledged by [`Reply::Acknowledged`].
    ReplaceForever {
        /// The file.
        path: String,
    },
    /// Creates a file and calls every function of the library that persists or writes back, on the file and on memory,
    /// each between two marks for the emulator's plugin. Answered by [`Reply::Names`], in the order of the marks'
    /// numbers.
    PersistEveryWay {
        /// The file.
        path: String,
    },
    /// Runs a program without an input and with the console as its output: answered by [`Reply::Ended`].
    Run {
        /// The program.
        program: String,
        /// The program's arguments.
        arguments: Vec<String>,
        /// The additions to its environment.
        environment: BTreeMap<String, String>,
        /// The program's working directory; `/` if it is missing.
        directory: Option<String>,
    },
    /// Runs a program and keeps its output: answered by [`Reply::Printed`].
    Output {
        /// The program.
        program: String,
        /// The program's arguments.
        arguments: Vec<String>,
    },
    /// Starts a program that runs in the background: answered by [`Reply::Started`].
    Start {
        /// The program.
        program: String,
        /// The program's arguments.
        arguments: Vec<String>,
        /// The additions to its environment.
        environment: BTreeMap<String, String>,
    },
    /// Sends a started program a line, and takes one from it: answered by [`Reply::Text`].
    Tell {
        /// The program's process id.
        id: u32,
        /// The line for its standard input.
        line: String,
    },
    /// Sends a started program a signal and waits until it ends: answered by [`Reply::Printed`].
    End {
        /// The program's process id.
        id: u32,
        /// The signal.
        signal: i32,
    },
    /// Mounts a file system: answered by [`Reply::Done`].
    Mount {
        /// The device.
        device: String,
        /// The mount point.
        directory: String,
        /// `ext4`.
        kind: String,
        /// `dax=always`.
        options: String,
        /// True if the file system cannot be written.
        read_only: bool,
    },
    /// Writes a file system back and detaches it: answered by [`Reply::Done`].
    Unmount {
        /// The mount point.
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
        /// The text to write.
        text: String,
    },
    /// Gives a machine that goes on from a file a new boot and new random numbers: answered by [`Reply::Hello`].
    Resume {
        /// The new boot.
        boot: String,
        /// For the kernel's random numbers, which all machines from this file would share.
        entropy: u64,
    },
    /// Removes a file: answered by [`Reply::Done`].
    Remove {
        /// The file.
        path: String,
    },
    /// Lists the names in a directory, in order: answered by [`Reply::Names`].
    List {
        /// The directory.
        path: String,
    },
    /// Starts the kernel that this machine has on its disk, without firmware. The answer is the next
    /// kernel's [`Reply::Hello`]. For a panic it is loaded only, and the answer is [`Reply::Done`].
    Kexec {
        /// The next kernel's command line.
        command_line: String,
        /// Bytes of the kernel, at the start of the disk.
        kernel: u64,
        /// Bytes of the initial file system, after it.
        initrd: u64,
        /// True if a panic is to start it (kdump): the kernel has `crashkernel=` in its command line.
        on_panic: bool,
    },
    /// Resets the machine: firmware runs. The answer is [`Reply::Hello`].
    Reboot,
    /// Has the kernel panic, which resets the machine or starts the kernel for that. The answer is [`Reply::Hello`].
    Panic,
    /// Ends the machine.
    PowerOff,
}

/// A file of records that differ from those of any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The file.
    pub path: String,
    /// The seed, which makes these records differ from those of another run.
    pub seed: u64,
    /// The number of records.
    pub count: u64,
    /// True if whole pages are accepted (msync) where lines cannot be persisted.
    pub allow_pages: bool,
}

/// A part of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The beginning, in bytes.
    pub offset: u64,
    /// The length in bytes; all up to the end if it is missing.
    pub len: Option<u64>,
}

/// The word that a kexec adds to the command line. A kernel that a reset started instead does not have it.
pub const KEXEC: &str = "cachemaint.kexec";

/// An answer of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The machine is up.
    Hello {
        /// The kernel's `boot_id`.
        boot: String,
        /// The kernel's release.
        kernel: String,
        /// True if a kexec started it: [`KEXEC`] is in its command line.
        by_kexec: bool,
    },
    /// A document.
    Json(String),
    /// The records are persistent, as far as the medium goes.
    Persisted {
        /// `byte`, `line of 64 bytes`, `page of 4096 bytes`.
        granularity: String,
        /// The reason why it is not finer.
        reason: String,
        /// The kernel's flags of the mapping, as in `/proc/self/smaps`.
        flags: String,
    },
    /// This number of records of the file is durable.
    Acknowledged(u64),
    /// The result of a search for records.
    Found {
        /// Records that are as they were written.
        intact: u64,
        /// The first damaged ones.
        damaged: Vec<u64>,
    },
    /// A program runs, with this process id.
    Started(u32),
    /// A program ended by itself, or by a signal.
    Ended {
        /// The program's exit code.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
    },
    /// A program ended by itself, or by a signal, with this output.
    Printed {
        /// The program's exit code.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
        /// The standard output.
        out: String,
        /// The standard error.
        errors: String,
    },
    /// The text that was read.
    Text(String),
    /// The names that were found.
    Names(Vec<String>),
    /// The request is done.
    Done,
    /// The request cannot be done, for this reason.
    Refused(String),
}

/// Returns the line of a message.
///
/// # Errors
/// None of these types fails to serialize; the error is that of the serializer.
pub fn encode(message: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(format!("{MARK}{}\n", serde_json::to_string(message)?))
}

/// Returns the message of a line, unless the line is log.
///
/// # Errors
/// If the line has the mark and does not parse, for example because other output was printed into it.
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

    /// The kernel's output before it on the same line is not part of it.
    #[test]
    fn a_reply_behind_other_output_is_read() {
        let line = format!("[    1.0] ext4 {}", encode(&Reply::Acknowledged(7)).unwrap());
        assert_eq!(decode(&line).unwrap(), Some(Reply::Acknowledged(7)));
    }

    #[test]
    fn log_is_skipped_and_a_broken_message_is_an_error() {
        assert_eq!(decode::<Reply>("SeaBIOS (version 1.16)").unwrap(), None);
        assert!(decode::<Reply>("@lab {\"Acknowl[    1.0] ext4").is_err());
    }
}
