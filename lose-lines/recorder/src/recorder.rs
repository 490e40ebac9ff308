//! Records what a program does to the files of a directory.
//!
//! A filter stops the program only at calls that may change files. Those that concern the directory run
//! one at a time, so that the log has one true order even with many threads. What was there at the start is durable.
//!
//! # Limits
//! Stores through mappings are seen when the program syncs or unmaps the file, and at the end. `io_uring`, native AIO,
//! splice to a file, reflinks, and `fallocate` that shifts bytes are refused, as old kernels and other file systems do:
//! programs fall back. Programs with the set-user-ID bit run without it, and a program that traces others cannot be
//! recorded. Extended attributes, owners, modes and times are not recorded.

use core::ffi::c_long;
use core::time::Duration;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, PipeReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use lose_lines_states::{Entry, Kind, Log, Object, Operation, Synced, Via};
use rustix::event::{PollFd, PollFlags, poll};

use crate::calls;
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
    /// The exit code, or 128 plus the number of the signal.
    pub code: i32,
    pub has_ended: bool,
    pub time: Duration,
    /// The numbers of calls that could fail: of syncs, and of writes and allocations.
    pub syncs: u64,
    pub writes: u64,
    /// The call that failed as asked.
    pub failed: Option<String>,
}

/// A call between its start and its end.
enum Call {
    Open {
        existed: bool,
        truncates: bool,
    },
    Write {
        file: Object,
        fd: i32,
        at: Option<u64>,
        bytes: Option<Vec<u8>>,
        is_synced: bool,
        via: Via,
    },
    Print,
    Resize(Object, u64),
    Allocate {
        file: Object,
        mode: u64,
        at: u64,
        len: u64,
    },
    Make(Kind, PathBuf),
    /// Paths and their new objects, and a path from outside that becomes part of the directory.
    Names(Vec<(PathBuf, Option<Object>)>, Option<PathBuf>),
    Sync(Object, Synced),
    WriteBack {
        file: Object,
        at: u64,
        len: u64,
        waits: bool,
    },
    SyncAll,
    Close(Object),
    Map(Object, i32),
    Look,
    /// The call must fail.
    Refuse(i32),
}

/// A file that is mapped for writing: what the log says of its bytes.
struct Mapped {
    file: File,
    shadow: Vec<u8>,
}

struct Recorder<'a> {
    root: PathBuf,
    ids: HashMap<(u64, u64), Object>,
    sizes: HashMap<Object, u64>,
    /// Files that were cut to nothing and not closed since.
    cut: HashSet<Object>,
    mapped: HashMap<Object, Mapped>,
    /// Bytes at the last sync, if a sync shall fail.
    synced: HashMap<Object, Vec<u8>>,
    output: Output,
    stacks: Stacks,
    /// Of the present call: name, thread, place.
    present: (&'static str, Thread, Option<usize>),
    call: u64,
    log: Log,
    notes: BTreeSet<String>,
    outside: BTreeSet<PathBuf>,
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

/// Reads a range of a file, as far as it goes.
fn read_at(file: &File, at: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], at + read as u64) {
            Ok(count) if count > 0 => read += count,
            _ => break,
        }
    }
    bytes.truncate(read);
    bytes
}

/// Returns the path of a thread's descriptor, or of its working directory.
fn fd_path(thread: Thread, fd: i32) -> PathBuf {
    match fd {
        libc::AT_FDCWD => format!("/proc/{thread}/cwd").into(),
        _ => format!("/proc/{thread}/fd/{fd}").into(),
    }
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
        let mut recorder = Recorder::new(self, root.clone(), output);
        recorder.import(&root, None);
        recorder.log.begin();
        let mut command = Command::new(self.program);
        command.arg0(&self.command[0]).args(&self.command[1..]).current_dir(&root);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("TMPDIR", &root).stdin(no_input()?).stdout(writer).process_group(0);
        if self.is_quiet {
            command.stderr(Stdio::null());
        }
        let child = tracee::start(command, calls::filter())
            .with_context(|| format!("cannot start {}", self.command[0].display()))?;
        let main = i32::try_from(child.id())?;
        let (done, waits) = channel::<()>();
        let limit = self.limit;
        let timer = thread::spawn(move || {
            let is_over = waits.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if is_over {
                tracee::kill(main);
            }
            is_over
        });
        let reader = thread::spawn(move || {
            let is_open = |pipe: &PipeReader| {
                poll(&mut [PollFd::new(pipe, PollFlags::IN)], None).is_ok()
                    && Output::drain(pipe, &bytes)
            };
            while is_open(&pipe) {}
        });
        let code = recorder.run(main);
        drop(done);
        let is_over = timer.join().map_err(|_panic| anyhow!("the timer failed"))?;
        reader.join().map_err(|_panic| anyhow!("the reader failed"))?;
        let code = code?;
        recorder.end();
        Ok(Recording {
            log: recorder.log,
            notes: recorder.notes,
            code,
            has_ended: !is_over,
            time: begun.elapsed(),
            syncs: recorder.syncs,
            writes: recorder.writes,
            failed: recorder.failed,
        })
    }
}

impl<'a> Recorder<'a> {
    fn new(parent: &'a Recorded<'a>, root: PathBuf, output: Output) -> Self {
        Self {
            root,
            ids: HashMap::new(),
            sizes: HashMap::new(),
            cut: HashSet::new(),
            mapped: HashMap::new(),
            synced: HashMap::new(),
            output,
            stacks: Stacks::default(),
            present: ("start", 0, None),
            call: 0,
            log: Log::empty(),
            notes: BTreeSet::new(),
            outside: BTreeSet::new(),
            fault: parent.fault,
            syncs: 0,
            writes: 0,
            failed: None,
            processes: HashMap::new(),
            parent,
        }
    }

    fn push(&mut self, operation: Operation) {
        let (name, thread, place) = self.present;
        self.log.add(operation, self.call, name, thread.cast_unsigned(), place);
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.insert(text.into());
    }

    /// Logs a new object without a name.
    fn born(&mut self, path: &Path, kind: Kind) -> Option<Object> {
        let is_link = matches!(kind, Kind::Link(_));
        let found = if is_link { fs::symlink_metadata(path) } else { fs::metadata(path) }.ok()?;
        let object = self.log.object();
        self.ids.insert(key(&found), object);
        self.sizes.insert(object, 0);
        self.push(Operation::Make { object, kind, mode: found.mode() & 0o7777 });
        Some(object)
    }

    fn entry(&mut self, path: &Path, object: Option<Object>) -> Option<Entry> {
        let directory = self.object(path.parent()?, true)?;
        Some(Entry { directory, name: path.file_name()?.as_bytes().to_vec(), object })
    }

    /// Logs a file or a directory with its content, if the log does not know it yet.
    fn import(&mut self, path: &Path, parent: Option<Object>) -> Option<Object> {
        let found = fs::symlink_metadata(path).ok()?;
        // Without another name, the number is that of an older file which was removed.
        let is_linked = !found.is_dir() && found.nlink() > 1;
        let known = self.ids.get(&key(&found)).copied().filter(|_known| is_linked);
        let kind = if found.is_dir() {
            Kind::Directory
        } else if found.is_symlink() {
            Kind::Link(fs::read_link(path).unwrap_or_default().as_os_str().as_bytes().to_vec())
        } else if found.is_file() {
            Kind::File
        } else {
            return None;
        };
        let object = known.or_else(|| self.born(path, kind))?;
        if let (Some(directory), Some(name)) = (parent, path.file_name()) {
            let entry = Entry { directory, name: name.as_bytes().to_vec(), object: Some(object) };
            self.push(Operation::Entries(vec![entry]));
        }
        if known.is_none() && found.is_file() {
            let bytes = fs::read(path).unwrap_or_else(|why| {
                self.note(format!("{} is empty in all states: {why}", path.display()));
                Vec::new()
            });
            self.sizes.insert(object, bytes.len() as u64);
            if self.fails(FaultKind::Fsync) {
                self.synced.insert(object, bytes.clone());
            }
            if !bytes.is_empty() {
                self.push(Operation::Write { file: object, at: 0, bytes, via: Via::Cache });
            }
        }
        if known.is_none() && found.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                self.import(&entry.path(), Some(object));
            }
        }
        Some(object)
    }

    fn object(&self, path: &Path, follows: bool) -> Option<Object> {
        let found = if follows { fs::metadata(path) } else { fs::symlink_metadata(path) };
        self.ids.get(&key(&found.ok()?)).copied()
    }

    fn of_fd(&self, thread: Thread, argument: u64) -> Option<Object> {
        self.object(&fd_path(thread, fd(argument)), true)
    }

    /// Returns a path argument with its directory resolved, if it is in the directory.
    fn path(&self, thread: Thread, directory: u64, at: u64) -> Option<PathBuf> {
        let text = string(thread, at);
        let text = Path::new(OsStr::from_bytes(&text));
        if let Ok(rest) = text.strip_prefix("/proc/self") {
            return Some(Path::new(&format!("/proc/{thread}")).join(rest));
        }
        let full = match text.strip_prefix("/") {
            // In a chroot the path begins there.
            Ok(rest) => fs::read_link(format!("/proc/{thread}/root")).ok()?.join(rest),
            Err(_) => fs::read_link(fd_path(thread, fd(directory))).ok()?.join(text),
        };
        let full = fs::canonicalize(full.parent()?).ok()?.join(full.file_name()?);
        full.starts_with(&self.root).then_some(full)
    }

    fn fails(&self, kind: FaultKind) -> bool {
        self.fault.is_some_and(|fault| fault.kind == kind)
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
            libc::SYS_openat => self.opens(thread, a[0], a[1], a[2]),
            libc::SYS_openat2 => self.opens(thread, a[0], a[1], word(thread, a[2])?),
            libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_pwritev2 => self.writes(thread, number, a),
            libc::SYS_sendfile | libc::SYS_copy_file_range => {
                let is_copy = number == libc::SYS_copy_file_range;
                let (to, place) = if is_copy { (a[2], a[3]) } else { (a[0], 0) };
                if self.is_output(thread, to) {
                    return Some(Call::Print);
                }
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
            libc::SYS_splice | libc::SYS_vmsplice
                if self.is_output(thread, if number == libc::SYS_splice { a[2] } else { a[0] }) =>
            {
                Some(Call::Print)
            }
            libc::SYS_splice => self.of_fd(thread, a[2]).map(|_file| Call::Refuse(libc::EINVAL)),
            libc::SYS_ftruncate => Some(Call::Resize(self.of_fd(thread, a[0])?, a[1])),
            libc::SYS_truncate => {
                let path = self.path(thread, HERE, a[0])?;
                Some(Call::Resize(self.object(&path, true)?, a[1]))
            }
            libc::SYS_fallocate => {
                let file = self.of_fd(thread, a[0])?;
                Some(Call::Allocate { file, mode: a[1], at: a[2], len: a[3] })
            }
            libc::SYS_renameat => self.renames(thread, (a[0], a[1]), (a[2], a[3]), 0),
            libc::SYS_renameat2 => self.renames(thread, (a[0], a[1]), (a[2], a[3]), a[4]),
            libc::SYS_linkat => self.links(thread, (a[0], a[1]), (a[2], a[3]), a[4]),
            libc::SYS_unlinkat => self.removes(thread, a[0], a[1]),
            libc::SYS_mkdirat => self.makes(thread, Kind::Directory, a[0], a[1]),
            libc::SYS_symlinkat => self.makes(thread, Kind::Link(string(thread, a[0])), a[1], a[2]),
            libc::SYS_mknodat
                if a[2] & u64::from(libc::S_IFMT) <= u64::from(libc::S_IFREG)
                    && [0, u64::from(libc::S_IFREG)]
                        .contains(&(a[2] & u64::from(libc::S_IFMT))) =>
            {
                self.makes(thread, Kind::File, a[0], a[1])
            }
            libc::SYS_fsync => Some(Call::Sync(self.of_fd(thread, a[0])?, Synced::All)),
            libc::SYS_fdatasync => Some(Call::Sync(self.of_fd(thread, a[0])?, Synced::Data)),
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
            libc::SYS_sync => Some(Call::SyncAll),
            libc::SYS_syncfs => {
                let of = fs::metadata(fd_path(thread, fd(a[0]))).ok()?;
                let root = fs::metadata(&self.root).ok()?;
                (of.dev() == root.dev()).then_some(Call::SyncAll)
            }
            libc::SYS_msync if a[2] & u64::from(libc::MS_SYNC.cast_unsigned()) != 0 => {
                self.mapping(thread, a[0], a[1])
            }
            libc::SYS_munmap if !self.mapped.is_empty() => Some(Call::Look),
            libc::SYS_mmap if a[2] & u64::from(libc::PROT_WRITE.cast_unsigned()) != 0 => {
                Some(Call::Map(self.of_fd(thread, a[4])?, fd(a[4])))
            }
            libc::SYS_close => {
                let file = self.of_fd(thread, a[0]).filter(|file| self.cut.contains(file))?;
                Some(Call::Close(file))
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
            libc::SYS_chroot | libc::SYS_pivot_root => {
                self.note("the program changed its root: files are recorded as far as they are below the directory");
                None
            }
            _ => self.starts_old(thread, number, a),
        }
    }

    /// As `starts`, of the calls that only old architectures have.
    #[cfg(target_arch = "x86_64")]
    fn starts_old(&mut self, thread: Thread, number: c_long, a: [u64; 6]) -> Option<Call> {
        match number {
            libc::SYS_open => self.opens(thread, HERE, a[0], a[1]),
            libc::SYS_creat => {
                let flags = libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY;
                self.opens(thread, HERE, a[0], u64::from(flags.cast_unsigned()))
            }
            libc::SYS_rename => self.renames(thread, (HERE, a[0]), (HERE, a[1]), 0),
            libc::SYS_link => self.links(thread, (HERE, a[0]), (HERE, a[1]), 0),
            libc::SYS_unlink | libc::SYS_rmdir => self.removes(thread, HERE, a[0]),
            libc::SYS_mkdir => self.makes(thread, Kind::Directory, HERE, a[0]),
            libc::SYS_symlink => self.makes(thread, Kind::Link(string(thread, a[0])), HERE, a[1]),
            _ => None,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[expect(clippy::unused_self, reason = "that of x86-64 uses it")]
    fn starts_old(&mut self, _: Thread, _: c_long, _: [u64; 6]) -> Option<Call> {
        None
    }

    fn opens(&mut self, thread: Thread, directory: u64, at: u64, flags: u64) -> Option<Call> {
        let path = self.path(thread, directory, at)?;
        let flags = fd(flags);
        let is_nameless = flags & libc::O_TMPFILE == libc::O_TMPFILE;
        let found = fs::metadata(&path).ok().filter(|_found| !is_nameless);
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return None;
        }
        let truncates = flags & libc::O_TRUNC != 0 && !is_nameless;
        Some(Call::Open { existed: found.is_some(), truncates })
    }

    fn is_output(&self, thread: Thread, argument: u64) -> bool {
        let found = fs::metadata(fd_path(thread, fd(argument)));
        found.is_ok_and(|found| found.file_type().is_fifo() && key(&found) == self.output.key)
    }

    fn writes(&mut self, thread: Thread, number: c_long, a: [u64; 6]) -> Option<Call> {
        let found = fs::metadata(fd_path(thread, fd(a[0]))).ok()?;
        if key(&found) == self.output.key {
            return Some(Call::Print);
        }
        let Some(file) = self.ids.get(&key(&found)).copied() else {
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
        from: (u64, u64),
        to: (u64, u64),
        flags: u64,
    ) -> Option<Call> {
        let (from, to) = (self.path(thread, from.0, from.1), self.path(thread, to.0, to.1));
        let exchanges = flags & u64::from(libc::RENAME_EXCHANGE) != 0;
        Some(match (from, to) {
            (Some(from), Some(to)) => {
                let (moved, other) = (self.object(&from, false)?, self.object(&to, false));
                if Some(moved) == other {
                    // Two names of one file: nothing happens.
                    return None;
                }
                let old = other.filter(|_object| exchanges);
                Call::Names(vec![(from, old), (to, Some(moved))], None)
            }
            (Some(from), None) => Call::Names(vec![(from, None)], None),
            (None, to) => Call::Names(Vec::new(), Some(to?)),
        })
    }

    fn links(
        &mut self,
        thread: Thread,
        from: (u64, u64),
        to: (u64, u64),
        flags: u64,
    ) -> Option<Call> {
        let to = self.path(thread, to.0, to.1)?;
        let [empty, follow] = [libc::AT_EMPTY_PATH, libc::AT_SYMLINK_FOLLOW]
            .map(|flag| u64::from(flag.cast_unsigned()));
        let from = if flags & empty != 0 && string(thread, from.1).is_empty() {
            Some(fd_path(thread, fd(from.0)))
        } else {
            self.path(thread, from.0, from.1)
        };
        let follows = flags & (empty | follow) != 0;
        Some(match from.and_then(|from| self.object(&from, follows)) {
            Some(object) => Call::Names(vec![(to, Some(object))], None),
            None => Call::Names(Vec::new(), Some(to)),
        })
    }

    fn removes(&mut self, thread: Thread, directory: u64, at: u64) -> Option<Call> {
        Some(Call::Names(vec![(self.path(thread, directory, at)?, None)], None))
    }

    fn makes(&mut self, thread: Thread, kind: Kind, directory: u64, at: u64) -> Option<Call> {
        Some(Call::Make(kind, self.path(thread, directory, at)?))
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
        found.map(|(object, start)| Call::Sync(object, Synced::Range { at: start, len: end - at }))
    }

    /// Logs the stores through mappings since the last look: where a file differs from what the log says.
    fn look(&mut self) {
        let mut found = Vec::new();
        for (object, Mapped { file, shadow }) in &mut self.mapped {
            let len = file.metadata().map_or(0, |found| found.len());
            let now = read_at(file, 0, len);
            shadow.resize(now.len(), 0);
            for at in (0..now.len()).step_by(4096) {
                let page = at..(at + 4096).min(now.len());
                if now[page.clone()] == shadow[page.clone()] {
                    continue;
                }
                let differs = |place: &usize| now[*place] != shadow[*place];
                let first = page.clone().find(differs).unwrap_or(at);
                let last = page.clone().rfind(differs).unwrap_or(at);
                // A CPU's stores are no smaller unit than a sector is.
                let (from, to) = (first / 512 * 512, ((last / 512 + 1) * 512).min(page.end));
                found.push((*object, from as u64, now[from..to].to_vec()));
            }
            *shadow = now;
        }
        for (file, at, bytes) in found {
            self.push(Operation::Write { file, at, bytes, via: Via::Mapping });
        }
    }

    fn resize(&mut self, file: Object, size: u64) {
        if let Some(mapped) = self.mapped.get_mut(&file) {
            mapped.shadow.resize(usize::try_from(size).unwrap_or(0), 0);
        }
        self.push(Operation::Resize { file, size });
        self.sizes.insert(file, size);
        if size == 0 {
            self.cut.insert(file);
        }
    }

    /// Logs what a call has done.
    fn ends(&mut self, thread: Thread, call: Call, result: i64) {
        if let Call::Print = call {
            for line in self.output.lines() {
                self.push(Operation::Line(line));
            }
            return;
        }
        if matches!(call, Call::Sync(..) | Call::WriteBack { .. } | Call::SyncAll | Call::Look) {
            self.look();
        }
        let Ok(result) = u64::try_from(result) else { return };
        match call {
            Call::Open { existed, truncates } => self.opened(thread, result, existed, truncates),
            Call::Write { file, fd, at, bytes, is_synced, via } => {
                let start = position(thread, fd).0.saturating_sub(result);
                let at = at.unwrap_or(start);
                let read =
                    || File::open(fd_path(thread, fd)).map(|file| read_at(&file, at, result));
                let mut bytes = bytes.unwrap_or_else(|| read().unwrap_or_default());
                bytes.truncate(usize::try_from(result).unwrap_or(usize::MAX));
                self.written(file, at, bytes, is_synced, via);
            }
            Call::Resize(file, size) => self.resize(file, size),
            Call::Allocate { file, mode, at, len } => self.allocated(file, mode, at, len),
            Call::Make(kind, path) => {
                if let Some(object) = self.born(&path, kind) {
                    let entry = self.entry(&path, Some(object));
                    self.push(Operation::Entries(entry.into_iter().collect()));
                }
            }
            Call::Names(names, arrived) => {
                if let Some(path) = arrived {
                    let name = path.strip_prefix(&self.root).unwrap_or(&path).display();
                    self.note(format!(
                        "{name} came from outside: its bytes are taken as not synced; name a directory that has both places with --dir"
                    ));
                    let parent = path.parent().and_then(|parent| self.object(parent, true));
                    self.import(&path, parent);
                }
                let entries =
                    names.into_iter().filter_map(|(path, object)| self.entry(&path, object));
                let entries: Vec<_> = entries.collect();
                if !entries.is_empty() {
                    self.push(Operation::Entries(entries));
                }
            }
            Call::Sync(object, part) => {
                self.push(Operation::Sync { object, part });
                if self.fails(FaultKind::Fsync)
                    && let Some(bytes) = self.bytes(object)
                {
                    self.synced.insert(object, bytes);
                }
            }
            Call::WriteBack { file, at, len, waits } => {
                self.push(Operation::WriteBack { file, at, len, waits });
            }
            Call::SyncAll => self.push(Operation::SyncAll),
            Call::Close(file) => {
                self.cut.remove(&file);
                self.push(Operation::Close { file });
            }
            Call::Map(object, fd) => self.maps(thread, object, fd),
            Call::Print | Call::Look | Call::Refuse(_) => {}
        }
    }

    fn opened(&mut self, thread: Thread, result: u64, existed: bool, truncates: bool) {
        let me = fd_path(thread, fd(result));
        if existed {
            let Some(object) = self.object(&me, true) else { return };
            if truncates && self.sizes.get(&object).is_some_and(|size| *size > 0) {
                self.resize(object, 0);
            }
            return;
        }
        let path = fs::read_link(&me).unwrap_or_default();
        let Some(object) = self.born(&me, Kind::File) else { return };
        // A file of `O_TMPFILE` has no name.
        if let Some(entry) = path.exists().then(|| self.entry(&path, Some(object))).flatten() {
            self.push(Operation::Entries(vec![entry]));
        }
    }

    fn written(&mut self, file: Object, at: u64, bytes: Vec<u8>, is_synced: bool, via: Via) {
        let len = bytes.len() as u64;
        if len == 0 {
            return;
        }
        if let Some(Mapped { shadow, .. }) = self.mapped.get_mut(&file) {
            let from = usize::try_from(at).unwrap_or(0);
            shadow.resize(shadow.len().max(from + bytes.len()), 0);
            shadow[from..from + bytes.len()].copy_from_slice(&bytes);
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
            if let Some(Mapped { shadow, .. }) = self.mapped.get_mut(&file) {
                let from = usize::try_from(at).unwrap_or(0);
                let to = from + usize::try_from(len).unwrap_or(0);
                shadow.resize(shadow.len().max(to), 0);
                shadow[from..to].fill(0);
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
            let shadow = read_at(&file, 0, self.sizes.get(&object).copied().unwrap_or(0));
            self.mapped.insert(object, Mapped { file, shadow });
        }
    }

    /// Returns the bytes of a file that has a name.
    fn bytes(&self, object: Object) -> Option<Vec<u8>> {
        fs::read(self.root.join(self.log.path_before(object, usize::MAX))).ok()
    }

    /// The kernel has dropped the unwritten pages of a file: bytes that are not durable become the old ones.
    fn drop_pages(&mut self, file: Object) {
        let path = self.root.join(self.log.path_before(file, usize::MAX));
        let Some(now) = self.bytes(file) else { return };
        let mut old = self.synced.get(&file).cloned().unwrap_or_default();
        old.resize(now.len(), 0);
        if old != now
            && fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .is_ok_and(|file| file.write_all_at(&old, 0).is_ok())
        {
            self.written(file, 0, old, false, Via::Cache);
        }
    }

    /// Returns true if the call is started, and its end is to be logged.
    fn begins(&mut self, thread: Thread, registers: &Registers) -> Option<Call> {
        let number = registers.call();
        let call = self.starts(thread, number, registers.arguments())?;
        let process = self.process(thread);
        let is_counted = !matches!(call, Call::Look | Call::Map(..) | Call::Refuse(_));
        self.call += u64::from(is_counted);
        let place = is_counted.then(|| self.stacks.place(process, thread, registers));
        self.present = (calls::name(number), thread, place);
        let fault = match &call {
            Call::Sync(..) | Call::SyncAll => self.faults(true),
            Call::Write { .. } | Call::Allocate { .. } => self.faults(false),
            _ => None,
        };
        if let Some(error) = fault {
            let name = calls::name(number);
            let path = match &call {
                Call::Sync(file, _) | Call::Write { file, .. } | Call::Allocate { file, .. } => {
                    if let Call::Sync(file, _) = &call {
                        self.look();
                        self.drop_pages(*file);
                    }
                    self.log.path_before(*file, usize::MAX)
                }
                _ => String::from("everything"),
            };
            self.failed = Some(format!("{name} of {path}, call {}", self.call));
            return Some(Call::Refuse(error));
        }
        if let Call::Allocate { mode, .. } = &call
            && mode & !0x53 != 0
        {
            self.note("fallocate that shifts bytes was refused, as file systems without it do");
            return Some(Call::Refuse(libc::EOPNOTSUPP));
        }
        Some(call)
    }

    /// Returns the process of a thread.
    fn process(&mut self, thread: Thread) -> Thread {
        *self.processes.entry(thread).or_insert_with(|| {
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
            group.and_then(|group| group.trim().parse().ok()).unwrap_or(thread)
        })
    }

    /// Runs the program and all that it starts. Returns the exit code.
    fn run(&mut self, main: Thread) -> Result<i32> {
        let mut known = HashSet::from([main]);
        // The call that is under way, and those that wait for its end.
        let mut busy: Option<(Thread, Call)> = None;
        let mut queue: VecDeque<Thread> = VecDeque::new();
        let (mut code, mut is_begun) = (None, false);
        while let Some((thread, stop)) = tracee::wait().context("cannot wait for the program")? {
            let is_busy = busy.as_ref().is_some_and(|(one, _)| *one == thread);
            match stop {
                Stop::Ended(ended) => {
                    known.remove(&thread);
                    self.processes.remove(&thread);
                    queue.retain(|one| *one != thread);
                    if is_busy {
                        busy = None;
                    }
                    if thread == main {
                        code = Some(ended);
                        self.end_others(core::mem::take(&mut known));
                    }
                }
                _ if code.is_some() => self.end_others([thread]),
                Stop::Returned => {
                    if let Some((_, call)) = busy.take_if(|_| is_busy)
                        && let Ok(registers) = Registers::of(thread)
                    {
                        self.ends(thread, call, registers.result());
                    }
                    tracee::resume(thread, 0);
                }
                Stop::Call => queue.push_back(thread),
                Stop::Started => {
                    // Another thread of the process may have started it, and has ended this one within its call.
                    busy.take_if(|_| is_busy);
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
                        busy = Some((thread, call));
                        tracee::resume_to_return(thread);
                    }
                    None => tracee::resume(thread, 0),
                }
            }
        }
        code.context("the program cannot be traced; allow ptrace of own children")
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
    fn end(&mut self) {
        self.present = ("end", 0, None);
        self.call += 1;
        self.look();
        for line in self.output.lines() {
            self.push(Operation::Line(line));
        }
        self.log.places = core::mem::take(&mut self.stacks.places);
        match lose_lines_states::differences_from_end(&self.log, &self.root) {
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
