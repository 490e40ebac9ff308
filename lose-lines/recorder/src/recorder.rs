//! Records what a program does to the files of a directory.
//!
//! A filter stops the program only at calls that may change files. Those that concern the directory run one at a time, so
//! that the log has one true order even with many threads. Syncs and prints do not wait: a sync is logged at its begin and
//! at its end, and a line that is printed meanwhile stands between them. What was there at the start is durable.
//!
//! # Limits
//! Stores through mappings are seen when the program syncs or unmaps a file, and at the end. `io_uring`, native AIO,
//! splice to a file, reflinks, and `fallocate` that shifts bytes are refused, as old kernels and other file systems do:
//! programs fall back. Programs with the set-user-ID bit run without it, and a program that traces others cannot be
//! recorded. Extended attributes, owners, modes and times are not recorded.

use core::ffi::c_long;
use core::time::Duration;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use lose_lines_states::{Cut, Entry, Kind, Log, Model, Object, Operation, Synced, Via};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, FileType, Stat, access};

use crate::calls;
use crate::closes::Closes;
use crate::mapped::{Mapped, data, read_at};
use crate::paths::{Base, Name, fd_path};
use crate::program;
use crate::stack::Stacks;
use crate::tracee::{self, Registers, Stop, Thread, gather, memory, string, word};

/// A call that shall fail once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// The number of the call among those of its kind, from 1.
    pub number: u64,
}

/// The kind of a failing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FaultKind {
    /// fsync, fdatasync or msync: EIO, and the kernel drops the unwritten pages.
    Fsync,
    /// A write: EIO.
    Write,
    /// A write, or an allocation: ENOSPC.
    Enospc,
}

/// A program to be recorded.
pub struct Recorded<'a> {
    /// The program's file.
    pub program: &'a Path,
    /// Its name and its arguments.
    pub command: &'a [OsString],
    /// The directory, in which the program is started.
    pub directory: &'a Path,
    pub environment: &'a [(String, String)],
    pub limit: Duration,
    pub fault: Option<Fault>,
    /// True if its messages are dropped.
    pub is_quiet: bool,
}

/// A recorded run.
pub struct Recording {
    pub log: Log,
    /// What was refused or could not be seen, as sentences.
    pub notes: BTreeSet<String>,
    pub status: ExitStatus,
    pub has_ended: bool,
    pub time: Duration,
    /// The numbers of calls that could fail: of syncs, and of writes and allocations.
    pub syncs: u64,
    pub writes: u64,
    /// The call that failed as asked.
    pub failed: Option<String>,
}

/// A name in a recorded directory.
struct Place {
    directory: Object,
    name: Name,
}

impl Place {
    fn entry(&self, object: Option<Object>) -> Entry {
        let name = self.name.name.as_bytes().to_vec();
        Entry { directory: self.directory, name, object }
    }
}

/// A call between its start and its end.
enum Call {
    /// A new file, with or without a name.
    Create(Option<Place>),
    /// An open that cuts a file to nothing.
    Empty(Object),
    Write {
        file: Object,
        fd: i32,
        at: Option<u64>,
        bytes: Option<Vec<u8>>,
        is_synced: bool,
        via: Via,
    },
    Print,
    Resize(Object, u64, Name),
    Allocate {
        file: Object,
        mode: u64,
        at: u64,
        len: u64,
    },
    Make(Kind, Place),
    Names {
        entries: Vec<Entry>,
        /// The object that loses its last name.
        removed: Option<Object>,
        /// A file from outside that becomes part of the directory.
        arrived: Option<Place>,
    },
    /// Of an object, or of all.
    Sync(Option<Object>, Synced),
    WriteBack {
        file: Object,
        at: u64,
        len: u64,
        waits: bool,
    },
    Map(Object, i32),
    Look,
    /// The call must fail.
    Refuse(i32),
}

/// A call's number, name, thread and place in the source.
#[derive(Clone, Copy)]
struct Origin {
    call: u64,
    name: &'static str,
    thread: Thread,
    place: Option<usize>,
}

struct Recorder<'a> {
    ids: HashMap<(u64, u64), Object>,
    /// Objects without a name. Another file may get the inode's number.
    nameless: HashSet<Object>,
    sizes: HashMap<Object, u64>,
    /// Files that were cut to nothing, until a description of them ends.
    cut: Closes,
    mapped: HashMap<Object, Mapped>,
    output: Output,
    stacks: Stacks,
    /// Of the present call.
    origin: Origin,
    call: u64,
    under_way: HashMap<Thread, (Call, Origin)>,
    log: Log,
    /// The bytes of the log, and how many it may have.
    held: u64,
    room: u64,
    notes: BTreeSet<String>,
    outside: BTreeSet<PathBuf>,
    /// The reason why there is no recording.
    refused: Option<Error>,
    fault: Option<Fault>,
    syncs: u64,
    writes: u64,
    failed: Option<String>,
    processes: HashMap<Thread, Thread>,
    parent: &'a Recorded<'a>,
}

/// The program's standard output: lines are taken from it between two calls.
struct Output {
    key: (u64, u64),
    pipe: Arc<PipeReader>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    /// Takes everything that was printed.
    fn drain(pipe: &PipeReader, bytes: &Mutex<Vec<u8>>) -> bool {
        let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut part = [0; 4096];
        loop {
            match (&*pipe).read(&mut part) {
                Ok(0) => return false,
                Ok(count) => bytes.extend(&part[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        Self::drain(&self.pipe, &self.bytes);
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines: Vec<u8> = bytes.drain(..end).collect();
        let mut lines: Vec<_> = lines.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.pop();
        lines
    }
}

fn key(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// Returns the position and the flags of a descriptor.
fn position(thread: Thread, fd: i32) -> (u64, i32) {
    let text = fs::read_to_string(format!("/proc/{thread}/fdinfo/{fd}")).unwrap_or_default();
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name)).map_or("0", str::trim);
    (field("pos:").parse().unwrap_or(0), i32::from_str_radix(field("flags:"), 8).unwrap_or(0))
}

/// Returns a line of /proc/PID/maps: first address, end, offset in the file, inode.
fn map(line: &str) -> Option<(u64, u64, u64, u64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (from, to) = words.first()?.split_once('-')?;
    Some((number(from)?, number(to)?, number(words.get(2)?)?, words.get(4)?.parse().ok()?))
}

/// Arguments have 64 bits, descriptors 32.
fn fd(argument: u64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "the kernel takes these bits")]
    let bits = argument as u32;
    bits.cast_signed()
}

const HERE: u64 = i64::cast_unsigned(libc::AT_FDCWD as i64);

/// Returns an input without bytes, also where there is no /dev/null.
pub fn no_input() -> Result<Stdio> {
    let (input, _) = io::pipe().context("cannot make a pipe")?;
    Ok(input.into())
}

impl Recorded<'_> {
    /// Runs the program to its end, and returns what it did.
    pub fn record(&self) -> Result<Recording> {
        let root = fs::canonicalize(self.directory)
            .with_context(|| format!("cannot use {}", self.directory.display()))?;
        ensure!(Path::new("/proc/self/fd").exists(), "/proc is not mounted; mount it");
        let (reader, writer) = io::pipe().context("cannot make a pipe")?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let number = |fd: &PipeReader| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        let pipe = Arc::new(reader);
        let output = Output { key: number(&pipe)?, pipe: pipe.clone(), bytes: Arc::default() };
        let (bytes, begun) = (output.bytes.clone(), Instant::now());
        let mut recorder = Recorder::new(self, output);
        recorder.import(&root, None);
        if let Some(why) = recorder.refused {
            return Err(why);
        }
        recorder.log.begin();
        let mut command = Command::new(self.program);
        command.current_dir(&root);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("TMPDIR", &root).stdin(no_input()?).stdout(writer).process_group(0);
        if self.is_quiet {
            command.stderr(Stdio::null());
        }
        let child = tracee::start(command, self.command, calls::filter())
            .with_context(|| format!("cannot start {}", self.command[0].display()))?;
        let main = i32::try_from(child.id())?;
        let (stopped, stops) = io::pipe().context("cannot make a pipe")?;
        let limit = self.limit;
        let watcher = thread::spawn(move || watch(&pipe, &bytes, &stopped, (main, limit)));
        let status = recorder.run(main);
        drop(stops);
        let is_over = watcher.join().map_err(|_panic| anyhow!("the timer failed"))?;
        let status = status?;
        recorder.end(&root);
        Ok(Recording {
            log: recorder.log,
            notes: recorder.notes,
            status,
            has_ended: !is_over,
            time: begun.elapsed(),
            syncs: recorder.syncs,
            writes: recorder.writes,
            failed: recorder.failed,
        })
    }
}

/// Reads the program's output, and kills it at the limit. Returns true if the limit was reached.
fn watch(
    pipe: &PipeReader,
    bytes: &Mutex<Vec<u8>>,
    stopped: &PipeReader,
    (main, limit): (Thread, Duration),
) -> bool {
    let begun = Instant::now();
    let (mut is_over, mut is_open) = (false, true);
    loop {
        let left = Timespec::try_from(limit.saturating_sub(begun.elapsed())).ok();
        let mut both = [PollFd::new(stopped, PollFlags::IN), PollFd::new(pipe, PollFlags::IN)];
        let count = if is_open { 2 } else { 1 };
        let found = poll(&mut both[..count], left.filter(|_| !is_over).as_ref());
        if found == Ok(0) {
            is_over = true;
            tracee::kill(main);
        }
        if !both[0].revents().is_empty() {
            return is_over;
        }
        is_open = is_open && Output::drain(pipe, bytes);
    }
}

impl<'a> Recorder<'a> {
    fn new(parent: &'a Recorded<'a>, output: Output) -> Self {
        Self {
            ids: HashMap::new(),
            nameless: HashSet::new(),
            sizes: HashMap::new(),
            cut: Closes::default(),
            mapped: HashMap::new(),
            output,
            stacks: Stacks::default(),
            origin: Origin { call: 0, name: "start", thread: 0, place: None },
            call: 0,
            under_way: HashMap::new(),
            log: Log::empty(),
            held: 0,
            room: program::room(),
            notes: BTreeSet::new(),
            outside: BTreeSet::new(),
            refused: None,
            fault: parent.fault,
            syncs: 0,
            writes: 0,
            failed: None,
            processes: HashMap::new(),
            parent,
        }
    }

    fn push(&mut self, operation: Operation) {
        self.closed(false);
        if let Operation::Write { bytes, .. } = &operation {
            self.hold(bytes.len() as u64);
        }
        let Origin { call, name, thread, place } = self.origin;
        self.log.add(operation, call, name, thread.cast_unsigned(), place);
    }

    /// Logs the ends of open file descriptions.
    fn closed(&mut self, only_writers: bool) {
        for file in self.cut.take(only_writers) {
            self.log.add(Operation::Close { file }, self.origin.call, "close", 0, None);
        }
    }

    /// Logs what was printed.
    fn lines(&mut self) {
        let lines = self.output.lines();
        let mut prints = self.under_way.values().filter(|(call, _)| matches!(call, Call::Print));
        let origin = prints.next().map_or(self.origin, |(_, origin)| *origin);
        let present = core::mem::replace(&mut self.origin, origin);
        for line in lines {
            self.push(Operation::Line(line));
        }
        self.origin = present;
    }

    /// Counts bytes that are held in memory.
    fn hold(&mut self, len: u64) {
        self.held += len;
        if self.held > self.room {
            let mebibytes = self.room >> 20;
            self.refused.get_or_insert_with(|| {
                anyhow!("the recording needs more than {mebibytes} MiB, a quarter of the free memory; use lose-lines drive, or less data")
            });
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.insert(text.into());
    }

    /// Logs a new object without a name.
    fn born(&mut self, key: (u64, u64), kind: Kind, mode: u32) -> Object {
        let object = self.log.object();
        self.ids.insert(key, object);
        self.nameless.insert(object);
        self.sizes.insert(object, 0);
        self.push(Operation::Make { object, kind, mode: mode & 0o7777 });
        object
    }

    /// Logs names, the last operation of a call that changes them.
    fn enter(&mut self, entries: Vec<Entry>) {
        for object in entries.iter().filter_map(|entry| entry.object) {
            self.nameless.remove(&object);
        }
        self.push(Operation::Entries(entries));
    }

    /// Logs a file or a directory with its content, if the log does not know it yet.
    fn import(&mut self, path: &Path, place: Option<Entry>) {
        let Ok(found) = fs::symlink_metadata(path) else { return };
        let known = self.known(key(&found), found.nlink() == 0);
        let kind = if found.is_dir() {
            Kind::Directory
        } else if found.is_symlink() {
            Kind::Link(fs::read_link(path).unwrap_or_default().as_os_str().as_bytes().to_vec())
        } else if found.is_file() {
            Kind::File
        } else {
            return;
        };
        let object = known.unwrap_or_else(|| self.born(key(&found), kind, found.mode()));
        match place {
            Some(entry) => self.enter(vec![Entry { object: Some(object), ..entry }]),
            None => drop(self.nameless.remove(&object)),
        }
        if known.is_none() && found.is_file() {
            match File::open(path) {
                Ok(file) => self.import_bytes(object, &file, found.len()),
                Err(why) => self.note(format!("{} is empty in all states: {why}", path.display())),
            }
        }
        if known.is_none() && found.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                let name = entry.file_name().as_bytes().to_vec();
                let place = Entry { directory: object, name, object: None };
                self.import(&entry.path(), Some(place));
            }
        }
    }

    fn import_bytes(&mut self, object: Object, file: &File, size: u64) {
        for part in data(file) {
            let mut bytes = vec![0; usize::try_from(part.end - part.start).unwrap_or(0)];
            let read = read_at(file, part.start, &mut bytes);
            bytes.truncate(read);
            self.written(object, part.start, bytes, false, Via::Cache);
            if self.refused.is_some() {
                return;
            }
        }
        if self.sizes.get(&object).is_some_and(|known| *known < size) {
            self.resize(object, size);
        }
    }

    /// Returns the object of an inode. One that has lost its last name is in an open file, never in a name.
    fn known(&self, key: (u64, u64), is_nameless: bool) -> Option<Object> {
        let object = self.ids.get(&key).copied()?;
        (self.nameless.contains(&object) == is_nameless).then_some(object)
    }

    fn of_stat(&self, found: &Stat) -> Option<Object> {
        self.known((found.st_dev, found.st_ino), found.st_nlink == 0)
    }

    fn of_fd(&self, thread: Thread, argument: u64) -> Option<Object> {
        self.of_stat(&rustix::fs::stat(fd_path(thread, fd(argument))).ok()?)
    }

    /// Returns a path argument's last component, with a symbolic link there followed if asked.
    fn name(thread: Thread, directory: u64, at: u64, follows: bool) -> Option<Name> {
        let base = Base { thread, directory: fd(directory), is_rooted: false };
        Name::find(base, &string(thread, at), follows)
    }

    fn place(&self, thread: Thread, (directory, at): (u64, u64)) -> Option<Place> {
        self.recorded(Self::name(thread, directory, at, false)?)
    }

    /// Returns the place of a name, if its directory is recorded.
    fn recorded(&self, name: Name) -> Option<Place> {
        let directory = self.of_stat(&rustix::fs::fstat(&name.at).ok()?)?;
        Some(Place { directory, name })
    }

    /// Counts a call that can fail. Returns the error if it must.
    fn faults(&mut self, is_sync: bool) -> Option<i32> {
        let count = if is_sync { &mut self.syncs } else { &mut self.writes };
        *count += 1;
        let fault = self.fault.filter(|fault| fault.number == *count)?;
        match (fault.kind, is_sync) {
            (FaultKind::Fsync, true) | (FaultKind::Write, false) => Some(libc::EIO),
            (FaultKind::Enospc, false) => Some(libc::ENOSPC),
            _ => None,
        }
    }

    /// Returns what a call is about to do, if it concerns the directory.
    fn starts(&mut self, thread: Thread, number: c_long, a: [u64; 6]) -> Option<Call> {
        match number {
            libc::SYS_openat => self.opens(thread, (a[0], a[1]), a[2], 0),
            libc::SYS_openat2 => {
                let (flags, how) = (word(thread, a[2])?, word(thread, a[2] + 16)?);
                self.opens(thread, (a[0], a[1]), flags, how)
            }
            libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_pwritev2 => self.writes(thread, number, a),
            libc::SYS_sendfile | libc::SYS_copy_file_range => {
                let is_copy = number == libc::SYS_copy_file_range;
                let (to, place) = if is_copy { (a[2], a[3]) } else { (a[0], 0) };
                let at = (place != 0).then(|| word(thread, place)).flatten();
                let file = self.of_fd(thread, to)?;
                Some(Call::Write {
                    file,
                    fd: fd(to),
                    at,
                    bytes: None,
                    is_synced: position(thread, fd(to)).1 & libc::O_DSYNC != 0,
                    via: Via::Cache,
                })
            }
            libc::SYS_splice => self.of_fd(thread, a[2]).map(|_file| Call::Refuse(libc::EINVAL)),
            libc::SYS_ftruncate => self.resizes(Name::of_fd(thread, fd(a[0]))?, a[1]),
            libc::SYS_truncate => self.resizes(Self::name(thread, HERE, a[0], true)?, a[1]),
            libc::SYS_fallocate => {
                let file = self.of_fd(thread, a[0])?;
                Some(Call::Allocate { file, mode: a[1], at: a[2], len: a[3] })
            }
            libc::SYS_renameat => self.renames(thread, ((a[0], a[1]), (a[2], a[3])), 0),
            libc::SYS_renameat2 => self.renames(thread, ((a[0], a[1]), (a[2], a[3])), a[4]),
            libc::SYS_linkat => self.links(thread, (a[0], a[1]), (a[2], a[3]), a[4]),
            libc::SYS_unlinkat => self.removes(thread, (a[0], a[1])),
            libc::SYS_mkdirat => self.makes(thread, Kind::Directory, (a[0], a[1])),
            libc::SYS_symlinkat => {
                self.makes(thread, Kind::Link(string(thread, a[0])), (a[1], a[2]))
            }
            libc::SYS_mknodat
                if [0, u64::from(libc::S_IFREG)].contains(&(a[2] & u64::from(libc::S_IFMT))) =>
            {
                self.makes(thread, Kind::File, (a[0], a[1]))
            }
            libc::SYS_fsync => Some(Call::Sync(Some(self.of_fd(thread, a[0])?), Synced::All)),
            libc::SYS_fdatasync => Some(Call::Sync(Some(self.of_fd(thread, a[0])?), Synced::Data)),
            libc::SYS_sync_file_range => {
                let has = |flag: u32| a[3] & u64::from(flag) != 0;
                let file = self.of_fd(thread, a[0]).filter(|_| has(libc::SYNC_FILE_RANGE_WRITE))?;
                // A length of 0 goes to the end.
                let len = if a[2] == 0 { u64::MAX } else { a[2] };
                // Without the first flag, pages that are being written already are not written again.
                let waits =
                    has(libc::SYNC_FILE_RANGE_WAIT_BEFORE) && has(libc::SYNC_FILE_RANGE_WAIT_AFTER);
                Some(Call::WriteBack { file, at: a[1], len, waits })
            }
            libc::SYS_sync => Some(Call::Sync(None, Synced::All)),
            libc::SYS_syncfs => {
                let of = fs::metadata(fd_path(thread, fd(a[0]))).ok()?;
                let root = fs::metadata(self.parent.directory).ok()?;
                (of.dev() == root.dev()).then_some(Call::Sync(None, Synced::All))
            }
            libc::SYS_msync if a[2] & u64::from(libc::MS_SYNC.cast_unsigned()) != 0 => {
                self.mapping(thread, a[0], a[1])
            }
            libc::SYS_munmap if !self.mapped.is_empty() => Some(Call::Look),
            libc::SYS_mmap if a[2] & u64::from(libc::PROT_WRITE.cast_unsigned()) != 0 => {
                Some(Call::Map(self.of_fd(thread, a[4])?, fd(a[4])))
            }
            libc::SYS_ioctl => {
                self.of_fd(thread, a[0])?;
                Some(Call::Refuse(libc::EOPNOTSUPP))
            }
            libc::SYS_io_uring_setup | libc::SYS_io_setup => {
                let name = calls::name(number);
                self.note(format!(
                    "{name} was refused with ENOSYS, since its writes cannot be seen: the program must fall back to ordinary calls, or use lose-lines drive"
                ));
                Some(Call::Refuse(libc::ENOSYS))
            }
            _ => self.starts_old(thread, number, a),
        }
    }

    /// As `starts`, of the calls that only old architectures have.
    #[cfg(target_arch = "x86_64")]
    fn starts_old(&mut self, thread: Thread, number: c_long, a: [u64; 6]) -> Option<Call> {
        match number {
            libc::SYS_open => self.opens(thread, (HERE, a[0]), a[1], 0),
            libc::SYS_creat => {
                let flags = libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY;
                self.opens(thread, (HERE, a[0]), u64::from(flags.cast_unsigned()), 0)
            }
            libc::SYS_rename => self.renames(thread, ((HERE, a[0]), (HERE, a[1])), 0),
            libc::SYS_link => self.links(thread, (HERE, a[0]), (HERE, a[1]), 0),
            libc::SYS_unlink | libc::SYS_rmdir => self.removes(thread, (HERE, a[0])),
            libc::SYS_mkdir => self.makes(thread, Kind::Directory, (HERE, a[0])),
            libc::SYS_symlink => self.makes(thread, Kind::Link(string(thread, a[0])), (HERE, a[1])),
            _ => None,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[expect(clippy::unused_self, reason = "that of x86-64 uses it")]
    fn starts_old(&mut self, _: Thread, _: c_long, _: [u64; 6]) -> Option<Call> {
        None
    }

    fn opens(&self, thread: Thread, path: (u64, u64), flags: u64, how: u64) -> Option<Call> {
        let has = |bits: i32| fd(flags) & bits == bits;
        let follows = !has(libc::O_NOFOLLOW) && !has(libc::O_CREAT | libc::O_EXCL);
        let is_rooted = how & libc::RESOLVE_IN_ROOT != 0;
        let base = Base { thread, directory: fd(path.0), is_rooted };
        let name = Name::find(base, &string(thread, path.1), follows)?;
        let found = name.stat();
        if has(libc::O_TMPFILE) {
            self.of_stat(&found?)?;
            return Some(Call::Create(None));
        }
        let Some(found) = found else {
            return has(libc::O_CREAT).then(|| self.recorded(name).map(Some).map(Call::Create))?;
        };
        let is_file = FileType::from_raw_mode(found.st_mode).is_file();
        (is_file && has(libc::O_TRUNC)).then(|| self.of_stat(&found).map(Call::Empty))?
    }

    /// Returns true if a call writes to the program's output.
    fn prints(&self, thread: Thread, registers: &Registers) -> bool {
        let a = registers.arguments();
        match registers.call() {
            libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_pwritev2
            | libc::SYS_sendfile
            | libc::SYS_vmsplice => self.is_output(thread, a[0]),
            libc::SYS_tee => self.is_output(thread, a[1]),
            libc::SYS_splice => self.is_output(thread, a[2]),
            _ => false,
        }
    }

    fn is_output(&self, thread: Thread, argument: u64) -> bool {
        let found = fs::metadata(fd_path(thread, fd(argument)));
        found.is_ok_and(|found| found.file_type().is_fifo() && key(&found) == self.output.key)
    }

    fn writes(&mut self, thread: Thread, number: c_long, a: [u64; 6]) -> Option<Call> {
        let found = fs::metadata(fd_path(thread, fd(a[0]))).ok()?;
        let Some(file) = self.known(key(&found), found.nlink() == 0) else {
            let path = fs::read_link(fd_path(thread, fd(a[0]))).unwrap_or_default();
            let is_kernels = ["/proc", "/sys", "/dev"].iter().any(|root| path.starts_with(root));
            // Its messages may go to a file.
            if found.is_file() && !is_kernels && a[0] != 2 {
                self.outside.insert(path);
            }
            return None;
        };
        let (_, flags) = position(thread, fd(a[0]));
        let is_plain = matches!(number, libc::SYS_write | libc::SYS_pwrite64);
        let has_own_place = matches!(number, libc::SYS_write | libc::SYS_writev)
            || number == libc::SYS_pwritev2 && a[3] == u64::MAX;
        let asked = if number == libc::SYS_pwritev2 { a[5] } else { 0 };
        let asks = |flags: i32| asked & u64::from(flags.cast_unsigned()) != 0;
        let appends = flags & libc::O_APPEND != 0 || asks(libc::RWF_APPEND);
        let at = match (has_own_place, appends) {
            (true, _) => None,
            (false, true) => Some(found.len()),
            (false, false) => Some(a[3]),
        };
        let bytes = if is_plain {
            memory(thread, a[1], usize::try_from(a[2]).unwrap_or(0))
        } else {
            gather(thread, a[1], a[2])
        };
        let is_synced = flags & libc::O_DSYNC != 0 || asks(libc::RWF_DSYNC | libc::RWF_SYNC);
        let via = if flags & libc::O_DIRECT != 0 { Via::Direct } else { Via::Cache };
        Some(Call::Write { file, fd: fd(a[0]), at, bytes: Some(bytes), is_synced, via })
    }

    fn renames(
        &mut self,
        thread: Thread,
        paths: ((u64, u64), (u64, u64)),
        flags: u64,
    ) -> Option<Call> {
        let (from, to) = (self.place(thread, paths.0), self.place(thread, paths.1));
        let exchanges = flags & u64::from(libc::RENAME_EXCHANGE) != 0;
        let (Some(from), Some(to)) = (&from, &to) else {
            return match (from, to) {
                // The file lives on outside.
                (Some(from), _) => Some(Call::Names {
                    entries: vec![from.entry(None)],
                    removed: None,
                    arrived: None,
                }),
                (None, to) => {
                    let found = Self::name(thread, paths.0.0, paths.0.1, false)?.stat()?;
                    Some(self.arrives(&found, to?))
                }
            };
        };
        let replaced = to.name.stat();
        let other = replaced.as_ref().and_then(|found| self.of_stat(found));
        let removed = replaced.filter(|_| !exchanges).and_then(|found| self.last(&found));
        let Some(moved) = self.of_stat(&from.name.stat()?) else {
            // A FIFO, for one, is in no state.
            return Some(Call::Names { entries: vec![to.entry(None)], removed, arrived: None });
        };
        if Some(moved) == other {
            // Two names of one file: nothing happens.
            return None;
        }
        let old = other.filter(|_object| exchanges);
        let entries = vec![from.entry(old), to.entry(Some(moved))];
        Some(Call::Names { entries, removed, arrived: None })
    }

    /// Returns the object that loses its last name if this one is removed.
    fn last(&self, found: &Stat) -> Option<Object> {
        let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
        self.of_stat(found).filter(|_object| is_directory || found.st_nlink == 1)
    }

    /// Returns the new name of a file that may come from outside.
    fn arrives(&self, found: &Stat, to: Place) -> Call {
        let removed = to.name.stat().and_then(|found| self.last(&found));
        match self.of_stat(found) {
            Some(object) => {
                Call::Names { entries: vec![to.entry(Some(object))], removed, arrived: None }
            }
            None => Call::Names { entries: Vec::new(), removed, arrived: Some(to) },
        }
    }

    fn links(
        &mut self,
        thread: Thread,
        from: (u64, u64),
        to: (u64, u64),
        flags: u64,
    ) -> Option<Call> {
        let to = self.place(thread, to)?;
        // `AT_EMPTY_PATH` with an empty path is the descriptor's file, and the walk ends there too.
        let follows = flags & u64::from(libc::AT_SYMLINK_FOLLOW.cast_unsigned()) != 0;
        let found = Self::name(thread, from.0, from.1, follows)?.stat()?;
        Some(self.arrives(&found, to))
    }

    fn removes(&mut self, thread: Thread, path: (u64, u64)) -> Option<Call> {
        let place = self.place(thread, path)?;
        let found = place.name.stat()?;
        self.of_stat(&found)?;
        let removed = self.last(&found);
        Some(Call::Names { entries: vec![place.entry(None)], removed, arrived: None })
    }

    fn resizes(&self, name: Name, size: u64) -> Option<Call> {
        Some(Call::Resize(self.of_stat(&name.stat()?)?, size, name))
    }

    fn makes(&mut self, thread: Thread, kind: Kind, path: (u64, u64)) -> Option<Call> {
        Some(Call::Make(kind, self.place(thread, path)?))
    }

    /// Returns the sync of the file and the range that are mapped at an address. Other permissions split a mapping.
    fn mapping(&self, thread: Thread, at: u64, len: u64) -> Option<Call> {
        let maps = fs::read_to_string(format!("/proc/{thread}/maps")).ok()?;
        let (mut end, mut found) = (at, None);
        for (from, to, offset, inode) in maps.lines().filter_map(map) {
            if !(from..to).contains(&end) || end >= at.saturating_add(len) {
                continue;
            }
            let is_it = |(known, object): &(&(u64, u64), &Object)| {
                known.1 == inode && self.mapped.contains_key(object)
            };
            let Some((_, object)) = self.ids.iter().find(is_it) else { break };
            let start = (offset + (end - from)).wrapping_sub(end - at);
            if *found.get_or_insert((*object, start)) != (*object, start) {
                break;
            }
            end = to.min(at.saturating_add(len));
        }
        found.map(|(object, start)| {
            Call::Sync(Some(object), Synced::Range { at: start, len: end - at })
        })
    }

    /// Logs the stores through mappings since the last look: where a file differs from what the log says.
    fn look(&mut self) {
        let mut found = Vec::new();
        let (mut held, room) = (self.held, self.room);
        for (object, mapped) in &mut self.mapped {
            let before = mapped.held();
            let changes = mapped.changes(room.saturating_sub(held));
            held += mapped.held() - before;
            found.extend(changes.into_iter().map(|(at, bytes)| (*object, at, bytes)));
        }
        self.held = held;
        for (file, at, bytes) in found {
            self.push(Operation::Write { file, at, bytes, via: Via::Mapping });
        }
    }

    fn resize(&mut self, file: Object, size: u64) {
        if let Some(mapped) = self.mapped.get_mut(&file) {
            mapped.cut(size);
        }
        self.push(Operation::Resize { file, size });
        self.sizes.insert(file, size);
    }

    /// Notes that a file was cut to nothing: the next end of a description of it counts as a replacement.
    fn emptied(&mut self, file: Object, path: &Path) {
        if self.sizes.get(&file).is_some_and(|size| *size > 0) {
            self.resize(file, 0);
        }
        if let Err(why) = self.cut.watch(file, path) {
            self.note(format!("the close of a file that was emptied is not recorded, so states may be shown that it prevents: {why}"));
        }
    }

    /// Logs what a call has done.
    fn ends(&mut self, thread: Thread, call: Call, result: i64) {
        if let Call::Print = call {
            self.lines();
            return;
        }
        let Ok(result) = u64::try_from(result) else { return };
        match call {
            Call::Create(place) => self.created(thread, result, place),
            Call::Empty(file) => self.emptied(file, &fd_path(thread, fd(result))),
            Call::Write { file, fd, at, bytes, is_synced, via } => {
                let start = position(thread, fd).0.saturating_sub(result);
                let at = at.unwrap_or(start);
                let mut bytes =
                    bytes.unwrap_or_else(|| self.copied(&fd_path(thread, fd), at, result));
                bytes.truncate(usize::try_from(result).unwrap_or(usize::MAX));
                self.written(file, at, bytes, is_synced, via);
            }
            Call::Resize(file, 0, name) => self.emptied(file, &name.path()),
            Call::Resize(file, size, _) => self.resize(file, size),
            Call::Allocate { file, mode, at, len } => self.allocated(file, mode, at, len),
            Call::Make(kind, place) => {
                let Some(found) = place.name.stat() else { return };
                let object = self.born((found.st_dev, found.st_ino), kind, found.st_mode);
                self.enter(vec![place.entry(Some(object))]);
            }
            Call::Names { entries, removed, arrived } => {
                self.nameless.extend(removed);
                if let Some(place) = arrived {
                    let directory = self.log.path_before(place.directory, usize::MAX);
                    let name = Path::new(&directory).join(&place.name.name);
                    self.note(format!(
                        "{} came from outside: its bytes are taken as not synced; name a directory that has both places with --dir",
                        name.strip_prefix(".").unwrap_or(&name).display()
                    ));
                    self.import(&place.name.path(), Some(place.entry(None)));
                } else {
                    self.enter(entries);
                }
            }
            Call::Sync(object, part) => {
                // These lines were printed while it ran.
                self.lines();
                self.push(match object {
                    Some(object) => Operation::Sync { object, part },
                    None => Operation::SyncAll,
                });
            }
            Call::WriteBack { file, at, len, waits } => {
                self.push(Operation::WriteBack { file, at, len, waits });
            }
            Call::Map(object, fd) => self.maps(thread, object, fd),
            Call::Print | Call::Look | Call::Refuse(_) => {}
        }
    }

    /// Reads what a call has copied to a file.
    fn copied(&mut self, path: &Path, at: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.closed(false);
        if let Ok(file) = File::open(path) {
            let read = read_at(&file, at, &mut bytes);
            bytes.truncate(read);
        }
        // That was the end of a description of this process.
        self.closed(true);
        bytes
    }

    fn created(&mut self, thread: Thread, result: u64, place: Option<Place>) {
        let Ok(found) = rustix::fs::stat(fd_path(thread, fd(result))) else { return };
        let object = self.born((found.st_dev, found.st_ino), Kind::File, found.st_mode);
        if let Some(place) = place {
            self.enter(vec![place.entry(Some(object))]);
        }
    }

    fn written(&mut self, file: Object, at: u64, bytes: Vec<u8>, is_synced: bool, via: Via) {
        let len = bytes.len() as u64;
        if len == 0 {
            return;
        }
        if let Some(mapped) = self.mapped.get_mut(&file) {
            mapped.write(at, &bytes);
        }
        let size = self.sizes.entry(file).or_default();
        *size = (*size).max(at + len);
        self.push(Operation::Write { file, at, bytes, via });
        if is_synced {
            self.push(Operation::Sync { object: file, part: Synced::Range { at, len } });
        }
    }

    fn allocated(&mut self, file: Object, mode: u64, at: u64, len: u64) {
        // linux/falloc.h: 1 keeps the size, 2 makes a hole, 0x10 zeros.
        let size = self.sizes.get(&file).copied().unwrap_or(0);
        if mode & 0x12 != 0 && at < size {
            let len = len.min(size - at);
            if let Some(mapped) = self.mapped.get_mut(&file) {
                mapped.zero(at, len);
            }
            self.push(Operation::Zero { file, at, len });
        }
        if mode & 1 == 0 && at + len > size {
            self.resize(file, at + len);
        }
    }

    fn maps(&mut self, thread: Thread, object: Object, fd: i32) {
        if self.mapped.contains_key(&object) {
            return;
        }
        let path = fd_path(thread, fd);
        let name = self.log.path_before(object, usize::MAX);
        self.note(format!(
            "{name} is mapped for writing: its stores are seen when it is synced or unmapped, not when they are made; lose-lines drive sees them all"
        ));
        if let Ok(file) = File::open(path) {
            let mapped = Mapped::new(file, self.room.saturating_sub(self.held));
            self.hold(mapped.held());
            self.mapped.insert(object, mapped);
        }
    }

    /// The kernel has dropped the unwritten pages of a file: bytes that are not durable become the old ones.
    fn drop_pages(&mut self, file: Object, path: &Path) {
        let cut = Cut::new(&self.log, Model::POSIX, self.log.records.len());
        let mut old = cut.durable().bytes(file);
        old.resize(usize::try_from(self.sizes.get(&file).copied().unwrap_or(0)).unwrap_or(0), 0);
        let opened = fs::OpenOptions::new().write(true).open(path);
        if opened.is_ok_and(|file| file.write_all_at(&old, 0).is_ok()) {
            self.written(file, 0, old, false, Via::Cache);
        }
    }

    /// Returns the call that a thread is about to make, if its end is to be logged.
    fn begins(&mut self, thread: Thread, registers: &Registers) -> Option<Call> {
        if access(format!("/proc/{thread}/fd"), Access::READ_OK) == Err(rustix::io::Errno::ACCESS) {
            self.refuse(thread);
            return None;
        }
        let number = registers.call();
        let call = self.starts(thread, number, registers.arguments())?;
        self.set_origin(thread, registers, &call);
        let fault = match &call {
            Call::Sync(..) => self.faults(true),
            Call::Write { .. } | Call::Allocate { .. } => self.faults(false),
            _ => None,
        };
        if matches!(call, Call::Sync(..) | Call::WriteBack { .. } | Call::Look) {
            self.look();
        }
        if let Some(error) = fault {
            let name = calls::name(number);
            let path = match &call {
                Call::Sync(Some(file), _)
                | Call::Write { file, .. }
                | Call::Allocate { file, .. } => self.log.path_before(*file, usize::MAX),
                _ => String::from("everything"),
            };
            if let Call::Sync(Some(file), _) = call {
                let mapped = self.mapped.get(&file).filter(|_| number == libc::SYS_msync);
                let mapped = mapped.map(|mapped| mapped.file.as_raw_fd());
                let own = mapped.map(|fd| PathBuf::from(format!("/proc/self/fd/{fd}")));
                let path = own.unwrap_or_else(|| fd_path(thread, fd(registers.arguments()[0])));
                self.drop_pages(file, &path);
            }
            self.failed = Some(format!("{name} of {path}, call {}", self.call));
            return Some(Call::Refuse(error));
        }
        if let Call::Allocate { mode, .. } = &call
            && mode & !0x53 != 0
        {
            self.note("fallocate that shifts bytes was refused, as file systems without it do");
            return Some(Call::Refuse(libc::EOPNOTSUPP));
        }
        if let Call::Sync(object, part) = call {
            self.push(Operation::Begin { object, part });
        }
        Some(call)
    }

    /// Sets the origin of what is logged: the call that a thread is about to make.
    fn set_origin(&mut self, thread: Thread, registers: &Registers, call: &Call) {
        let is_counted = !matches!(call, Call::Look | Call::Map(..) | Call::Refuse(_));
        self.call += u64::from(is_counted);
        let process = self.process(thread);
        let place = is_counted.then(|| self.stacks.place(process, thread, registers));
        let name = calls::name(registers.call());
        self.origin = Origin { call: self.call, name, thread, place };
    }

    /// The kernel shows nothing of a process that is not dumpable.
    fn refuse(&mut self, thread: Thread) {
        let name = fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default();
        let name = name.trim();
        self.refused.get_or_insert_with(|| {
            anyhow!("{name} cannot be recorded: it is not dumpable (prctl(2), PR_SET_DUMPABLE), or its file may not be read; run lose-lines as root, or allow core dumps of {name}")
        });
    }

    /// Returns the process of a thread.
    fn process(&mut self, thread: Thread) -> Thread {
        *self.processes.entry(thread).or_insert_with(|| {
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
            group.and_then(|group| group.trim().parse().ok()).unwrap_or(thread)
        })
    }

    /// Runs the program and all that it starts. Returns how the program ended.
    fn run(&mut self, main: Thread) -> Result<ExitStatus> {
        let mut known = HashSet::from([main]);
        // The thread whose call changes files, and those that wait for its end.
        let mut busy: Option<Thread> = None;
        let mut queue: VecDeque<Thread> = VecDeque::new();
        let (mut status, mut is_begun) = (None, false);
        while let Some((thread, stop)) = tracee::wait().context("cannot wait for the program")? {
            match stop {
                Stop::Ended(ended) => {
                    known.remove(&thread);
                    self.processes.remove(&thread);
                    self.under_way.remove(&thread);
                    queue.retain(|one| *one != thread);
                    busy.take_if(|one| *one == thread);
                    if thread == main && !is_begun {
                        let error = ended.code().unwrap_or_default();
                        return Err(program::failure(self.parent.program, error));
                    }
                    if thread == main {
                        status = Some(ended);
                        self.end_others(core::mem::take(&mut known));
                    }
                }
                _ if status.is_some() => self.end_others([thread]),
                Stop::Returned => {
                    if let Some((call, origin)) = self.under_way.remove(&thread)
                        && let Ok(registers) = Registers::of(thread)
                    {
                        self.origin = origin;
                        self.ends(thread, call, registers.result());
                    }
                    busy.take_if(|one| *one == thread);
                    tracee::resume(thread, 0);
                }
                Stop::Call => match Registers::of(thread) {
                    Ok(registers) if self.prints(thread, &registers) => {
                        self.set_origin(thread, &registers, &Call::Print);
                        self.under_way.insert(thread, (Call::Print, self.origin));
                        tracee::resume_to_return(thread);
                    }
                    _ => queue.push_back(thread),
                },
                Stop::Started => {
                    // Another thread of the process may have started it, and has ended this one within its call.
                    busy.take_if(|one| *one == thread);
                    self.under_way.remove(&thread);
                    queue.retain(|one| *one != thread);
                    self.stacks.forget(thread);
                    tracee::resume(thread, 0);
                }
                Stop::Event => tracee::resume(thread, 0),
                Stop::Signal(_) if thread == main && !is_begun => {
                    is_begun = true;
                    tracee::follow(thread);
                    tracee::resume(thread, 0);
                }
                Stop::Signal(signal) => {
                    let is_first = known.insert(thread) && signal == libc::SIGSTOP;
                    tracee::resume(thread, if is_first { 0 } else { signal });
                }
            }
            while busy.is_none() {
                let Some(thread) = queue.pop_front() else { break };
                let Ok(registers) = Registers::of(thread) else { continue };
                match self.begins(thread, &registers) {
                    Some(Call::Refuse(error)) => {
                        drop(registers.refuse(thread, error));
                        tracee::resume(thread, 0);
                    }
                    Some(call) => {
                        busy = (!matches!(call, Call::Sync(..))).then_some(thread);
                        self.under_way.insert(thread, (call, self.origin));
                        tracee::resume_to_return(thread);
                    }
                    None => tracee::resume(thread, 0),
                }
            }
            if self.refused.is_some() && status.is_none() {
                tracee::kill(main);
            }
        }
        match self.refused.take() {
            Some(why) => Err(why),
            None => status.context("the program cannot be traced; allow ptrace of own children"),
        }
    }

    /// Ends the processes that outlive the program.
    fn end_others(&mut self, known: impl IntoIterator<Item = Thread>) {
        let others: BTreeSet<Thread> =
            known.into_iter().map(|thread| self.process(thread)).collect();
        for process in others {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            if !name.is_empty() {
                let name = name.trim();
                self.note(format!(
                    "{name} outlived the program and was ended; run it in the foreground to record all of it"
                ));
            }
            tracee::kill(process);
        }
    }

    /// Takes what is left, and compares the log with the directory.
    fn end(&mut self, root: &Path) {
        self.call += 1;
        self.origin = Origin { call: self.call, name: "end", thread: 0, place: None };
        self.look();
        self.lines();
        self.closed(false);
        self.log.places = core::mem::take(&mut self.stacks.places);
        match lose_lines_states::differences_from_end(&self.log, root) {
            Ok(differences) => {
                for difference in differences.iter().take(5) {
                    self.note(format!(
                        "the recording is incomplete: {difference}; lose-lines drive records everything"
                    ));
                }
            }
            Err(error) => self.note(format!("the recording was not compared: {error}")),
        }
        let directory = self.parent.directory.display();
        for path in self.outside.iter().take(3).cloned().collect::<Vec<_>>() {
            self.note(format!(
                "{} was written outside of {directory} and is in no state; name its directory with --dir",
                path.display()
            ));
        }
    }
}
