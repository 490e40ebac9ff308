//! A disk that hears each write and each flush: a loop device on a file of a FUSE file system in this process.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use xtask::command::Cmd;

/// The unit of the stored bytes, and of the cuts through a write.
const BLOCK: usize = 4096;
pub(super) const SECTOR: usize = 512;

/// The time after which a held write is answered, if somebody waits for it.
const SLOW: Duration = Duration::from_millis(480);

/// The bytes of a disk that are not zero, by block. A clone shares them.
#[derive(Clone, Default)]
pub(super) struct Image(BTreeMap<u64, Arc<[u8; BLOCK]>>);

impl Image {
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        let (mut at, mut left) = (at, bytes);
        while !left.is_empty() {
            let (block, offset) = place(at);
            let len = left.len().min(BLOCK - offset);
            let stored = self.0.entry(block).or_insert_with(|| Arc::new([0; BLOCK]));
            Arc::make_mut(stored)[offset..offset + len].copy_from_slice(&left[..len]);
            if **stored == [0; BLOCK] {
                self.0.remove(&block);
            }
            (at, left) = (at + len as u64, &left[len..]);
        }
    }

    /// Makes a file have these bytes and no others.
    pub(super) fn save(&self, file: &File, size: u64) -> io::Result<()> {
        file.set_len(0)?;
        file.set_len(size)?;
        self.0
            .iter()
            .try_for_each(|(block, bytes)| file.write_all_at(&bytes[..], block * BLOCK as u64))
    }

    fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let (block, offset) = place(at + bytes.len() as u64);
            let part = (BLOCK - offset).min(len - bytes.len());
            match self.0.get(&block) {
                Some(block) => bytes.extend(&block[offset..offset + part]),
                None => bytes.resize(bytes.len() + part, 0),
            }
        }
        bytes
    }
}

/// Returns a block and the offset in it.
fn place(at: u64) -> (u64, usize) {
    (at / BLOCK as u64, usize::try_from(at % BLOCK as u64).unwrap_or(0))
}

/// What the disk heard.
#[derive(Clone)]
pub(super) enum Heard {
    /// A write, and the number of events before its answer: a flush after those covers it.
    Write {
        at: u64,
        bytes: Arc<[u8]>,
        answered: usize,
    },
    Flush,
}

#[derive(Default)]
pub(super) struct State {
    /// All that was written.
    pub(super) live: Image,
    pub(super) heard: Vec<Heard>,
    /// Some writes of content wait for their answer if the drive is slow.
    pub(super) slow: Option<Rng>,
    held: Vec<(usize, ReplyWrite)>,
    /// True during calls that wait for writes.
    pub(super) is_awaited: bool,
    /// The number of calls that the test has made.
    calls: u64,
}

impl State {
    /// Answers the writes that wait.
    pub(super) fn release(&mut self) {
        let now = self.heard.len();
        for (index, reply) in self.held.drain(..) {
            let len = match &mut self.heard[index] {
                Heard::Write { bytes, answered, .. } => {
                    *answered = now;
                    bytes.len()
                }
                Heard::Flush => 0,
            };
            reply.written(u32::try_from(len).unwrap_or(0));
        }
    }
}

/// Returns true for the content of a program's file: letters and zeros. No block of metadata is like this.
pub(super) fn is_content(bytes: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
    bytes.iter().any(is_letter) && bytes.iter().all(|byte| *byte == 0 || is_letter(byte))
}

type Shared = Arc<(Mutex<State>, Condvar)>;

fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file of the disk.
struct Server {
    shared: Shared,
    size: u64,
}

const NAME: &str = "live";
const LIVE: INodeNo = INodeNo(2);
const FOREVER: Duration = Duration::from_secs(1 << 20);

impl Server {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let is_file = ino != INodeNo::ROOT;
        FileAttr {
            ino,
            size: if is_file { self.size } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The loop device goes on while a write waits for its answer.
        let missing = |_| io::Error::other("FUSE has no asynchronous direct writes");
        config.add_capabilities(InitFlags::FUSE_ASYNC_DIO).map_err(missing)
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name != NAME {
            return reply.error(Errno::ENOENT);
        }
        reply.entry(&FOREVER, &self.attributes(LIVE), Generation(0));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(&locked(&self.shared).live.read(offset, size as usize));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = locked(&self.shared);
        state.live.write(offset, data);
        let is_held = is_content(data) && state.slow.as_mut().is_some_and(Rng::bool);
        let index = state.heard.len();
        let answered = if is_held { usize::MAX } else { index + 1 };
        state.heard.push(Heard::Write { at: offset, bytes: data.into(), answered });
        if is_held {
            state.held.push((index, reply));
            self.shared.1.notify_all();
            return;
        }
        reply.written(u32::try_from(data.len()).unwrap_or(0));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        locked(&self.shared).heard.push(Heard::Flush);
        reply.ok();
    }
}

/// The disk as a block device.
pub(super) struct Disk {
    shared: Shared,
    pub(super) device: Device,
    _session: BackgroundSession,
}

impl Disk {
    pub(super) fn new(folder: &Path, size: u64) -> Result<Self> {
        let shared = Shared::default();
        let server = Server { shared: Arc::clone(&shared), size };
        let session = fuser::spawn_mount(server, folder, &Config::default())
            .context("a FUSE file system cannot be mounted")?;
        let device = Device::new(&folder.join(NAME), "--direct-io=on")?;
        let disk = Self { shared, device, _session: session };
        let shared = Arc::downgrade(&disk.shared);
        // A drive that somebody waits for answers in the end.
        thread::spawn(move || {
            while let Some(shared) = shared.upgrade() {
                let mut state = locked(&shared);
                if state.held.is_empty() {
                    let waited = shared.1.wait_timeout(state, Duration::from_secs(1));
                    drop(waited);
                    continue;
                }
                let before = (state.heard.len(), state.calls);
                let pause = if state.is_awaited { SLOW / 32 } else { SLOW };
                drop(state);
                thread::sleep(pause);
                state = locked(&shared);
                if (state.heard.len(), state.calls) == before {
                    state.release();
                }
            }
        });
        Ok(disk)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.shared)
    }

    /// Notes that the test goes on: no call of it waits for a held write.
    pub(super) fn tick(&self) {
        self.state().calls += 1;
    }

    /// Returns the number of events so far.
    pub(super) fn now(&self) -> usize {
        self.state().heard.len()
    }
}

/// A loop device.
pub(super) struct Device(pub(super) String);

impl Device {
    pub(super) fn new(file: &Path, options: &str) -> Result<Self> {
        let made = Cmd::new("losetup").words("--find --show").words(options).path(file).read()?;
        Ok(Self(made.trim().to_owned()))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(Cmd::new("losetup").arg("--detach").arg(&self.0).read());
    }
}
