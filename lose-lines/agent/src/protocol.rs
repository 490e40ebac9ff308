//! The protocol between the host and the agent in a machine, over a serial line.
//!
//! The host drives: it sends one [`Request`] per line and reads one [`Reply`]. All other output of the machine
//! (firmware, kernel, programs) is log. All steps of a test are therefore in one place, on the host, and an unexpected
//! reset is noticed at once: the machine sends [`Reply::Hello`] again.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The beginning of the agent's lines.
pub const MARK: &str = "@lab ";

/// A request of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A request that a project's agent serves in addition to those below.
    Other(Value),
    /// Runs a program without input: answered by [`Reply::Ended`].
    Run {
        /// The program.
        program: String,
        /// The program's arguments.
        arguments: Vec<String>,
        /// The additions to its environment.
        environment: BTreeMap<String, String>,
        /// The program's working directory; `/` if it is missing.
        directory: Option<String>,
        /// The file that takes its standard output; the console if it is missing.
        output: Option<String>,
    },
    /// Runs a program and keeps its output: answered by [`Reply::Printed`].
    Output {
        /// The program.
        program: String,
        /// The program's arguments.
        arguments: Vec<String>,
        /// Its input, which must fit into a pipe.
        input: String,
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
    },
    /// Writes a file system back and detaches it: answered by [`Reply::Done`].
    Unmount {
        /// The mount point.
        directory: String,
    },
    /// Reads a file, for example in sysfs: answered by [`Reply::Text`], without trailing whitespace.
    Read {
        /// The file.
        path: String,
    },
    /// Writes a file, for example in sysfs: answered by [`Reply::Done`].
    Write {
        /// The file.
        path: String,
        /// The text to write.
        text: String,
    },
    /// Appends to a file: answered by [`Reply::Done`].
    Append {
        /// The file.
        path: String,
        /// The text to write.
        text: String,
    },
    /// Writes all file systems back: answered by [`Reply::Done`].
    Sync,
    /// Gives a machine that resumes from a file a new boot id and new random numbers: answered by [`Reply::Hello`].
    Resume {
        /// The new boot id.
        boot: String,
        /// Entropy for the kernel's random numbers, which all machines from this file would otherwise share.
        entropy: u64,
    },
    /// Lists the names in a directory, in order: answered by [`Reply::Names`].
    List {
        /// The directory.
        path: String,
    },
    /// Finds the blocks of the files below a directory: answered by [`Reply::Extents`].
    Extents {
        /// The directory.
        directory: String,
    },
    /// Describes the files below a directory: answered by [`Reply::Files`].
    Files {
        /// The directory.
        directory: String,
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
    /// Makes the kernel panic, which resets the machine. The answer is [`Reply::Hello`].
    Panic,
    /// Ends the machine.
    PowerOff,
}

/// The word that a kexec adds to the command line. A kernel that was started by a reset does not have it.
pub const KEXEC: &str = "lab.kexec";

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
    /// This number of records is durable.
    Acknowledged(u64),
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
    /// The blocks of files.
    Extents(Vec<Extent>),
    /// The files.
    Files(Vec<File>),
    /// The request is done.
    Done,
    /// The request cannot be done, for this reason.
    Refused(String),
}

/// Bytes of a file that are contiguous on its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The file.
    pub path: String,
    /// The beginning of the bytes in the file.
    pub offset: u64,
    /// The beginning of the bytes on the device.
    pub start: u64,
    /// The number of bytes.
    pub len: u64,
}

/// A file or a directory, as a program sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The path below the directory that was asked for.
    pub path: String,
    /// The number that stays when the file is renamed.
    pub inode: u64,
    /// The number of bytes.
    pub size: u64,
    /// Equal for equal bytes; 0 for a directory.
    pub hash: u64,
}

impl Request {
    /// Returns the request to run a program with its standard output in this file.
    #[must_use]
    pub fn printing_to(mut self, file: &str) -> Self {
        if let Self::Run { output, .. } = &mut self {
            *output = Some(file.to_owned());
        }
        self
    }
}

impl From<&Self> for Request {
    fn from(request: &Self) -> Self {
        request.clone()
    }
}

/// Returns a message as a line.
///
/// # Errors
/// These types never fail to serialize; the error is that of the serializer.
pub fn encode(message: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(format!("{MARK}{}\n", serde_json::to_string(message)?))
}

/// Returns the message in a line, or `None` if the line is log.
///
/// # Errors
/// If the line has the mark but does not parse, for example because other output was printed into it.
pub fn decode<T: DeserializeOwned>(line: &str) -> Result<Option<T>, serde_json::Error> {
    match line.split_once(MARK) {
        Some((_, message)) => serde_json::from_str(message.trim_end()).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Reply, Request, decode, encode};

    #[test]
    fn a_message_survives_the_line() {
        let request = Request::Write {
            path: "/mnt/two words\n".to_string(),
            text: "a \"b\"\u{e9}".to_string(),
        };
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
