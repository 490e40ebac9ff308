//! Reading of directories: each is opened below its root, watched, and read; its names are taken or looked at.

use super::super::descent;
use super::file_systems::LOCAL;
use super::former::Moment;
use super::found::{Found, Identity, Place};
use super::{Watched, Work};
use crate::dax::system::file_system_at;
use crate::dax::{ErrorKind, NotSupported};
use alloc::vec::Vec;
use rustix::fs::{CWD, FileType, RawDir};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a directory that are read at once.
const BUFFER: usize = 32 << 10;

impl Watched {
    pub(super) fn read_root(&mut self, number: usize, work: &mut Work<'_>) {
        let Some(root) = self.roots.get_mut(number) else { return };
        // Another file system can have been mounted there since the last read. One that is mounted from now on changes the
        // identity, and the next look reads again.
        let found = Found::at(CWD, &root.path);
        let is_unmounted = root.is_unmounted(found);
        root.is_gone = false;
        root.is_local = file_system_at(&root.path).is_some_and(|name| LOCAL.contains(&name));
        let (path, is_local, is_known) = (root.path.clone(), root.is_local, root.is_known);
        let since = self.knew_all.filter(|_| is_known);
        match found.map(|found| found.kind) {
            Ok(FileType::Directory) => {
                if !is_local {
                    self.notices.cannot_watch();
                }
                let mut pending = alloc::vec![path.clone()];
                let mut device = None;
                while let Some(directory) = pending.pop() {
                    self.read(number, &directory, &mut device, since, &mut pending, work);
                }
            }
            Ok(FileType::RegularFile) => self.look_at_single(number, &path, since, work),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.is_gone(number, &path, work.problems);
            }
            Err(errno) => self.cannot_look_at(&path, errno, work.problems),
        }
        // The files below it were of another file system, and those that are there now are guarded all the same.
        if is_unmounted {
            self.is_gone(number, &path, work.problems);
        }
        if let Some(root) = self.roots.get_mut(number) {
            root.identity = found.ok().map(|found| found.identity);
            root.is_known = true;
        }
    }

    /// Reads a directory, if it is on the device of its root, and adds those below it to `pending`.
    fn read(
        &mut self,
        root: usize,
        path: &Path,
        device: &mut Option<u64>,
        since: Option<Moment>,
        pending: &mut Vec<PathBuf>,
        work: &mut Work<'_>,
    ) {
        let (open, identity) = match self.open(root, path) {
            Ok(opened) => opened,
            Err(errno) => return self.cannot_look_at(path, errno, work.problems),
        };
        if *device.get_or_insert(identity.device) != identity.device {
            return self.is_mounted_at(path, work.problems);
        }
        self.met(root, path, *device, identity);
        // First, so that a name is either read or heard of.
        self.notices.watch(open.as_fd(), path);
        let place = Place { open: open.as_fd(), path, device: *device, since };
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut entries = RawDir::new(place.open, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = OsStr::from_bytes(entry.file_name().to_bytes());
                    let (kind, inode) = (entry.file_type(), entry.ino());
                    self.take_entry(&place, name, kind, inode, pending, work);
                }
                Err(errno) => {
                    self.cannot_look_at(path, errno, work.problems);
                    break;
                }
            }
        }
        self.hear_calls(&place);
        self.sync_names(place.open, path, work.problems);
    }

    pub(super) fn open(&self, root: usize, path: &Path) -> Result<(OwnedFd, Identity), Errno> {
        let root = self.roots.get(root).ok_or(Errno::NOENT)?;
        let below = path.strip_prefix(&root.path).unwrap_or(Path::new(""));
        let open = descent::directory(&root.path, below)?;
        let identity = Found::of(&open)?.identity;
        Ok((open, identity))
    }

    fn take_entry(
        &mut self,
        place: &Place<'_>,
        name: &OsStr,
        kind: FileType,
        inode: u64,
        pending: &mut Vec<PathBuf>,
        work: &mut Work<'_>,
    ) {
        match kind {
            FileType::Directory if name == "." || name == ".." => {}
            FileType::Directory => self.take_directory(place.path.join(name), pending, work),
            FileType::RegularFile => {
                // The number of an inode that is open belongs to no other file.
                let known =
                    self.entry(place.path, name).filter(|entry| entry.identity.inode == inode);
                match known {
                    Some(entry) if entry.state.is_guarded() => entry.is_met = true,
                    Some(_) => self.look_at(place, name, work),
                    None => match self.room.refusal() {
                        Some(reason) => self.leave_out(place.path, &reason),
                        None => self.look_at(place, name, work),
                    },
                }
            }
            // Not every file system gives the kind of an entry.
            FileType::Unknown => match place.find(name) {
                Ok(found) if found.kind.is_dir() => {
                    self.take_entry(place, name, found.kind, inode, pending, work);
                }
                _ => self.look_at(place, name, work),
            },
            _ => {}
        }
    }

    /// A new directory is a new name, too.
    fn take_directory(&mut self, path: PathBuf, pending: &mut Vec<PathBuf>, work: &mut Work<'_>) {
        if path.as_os_str().len() >= descent::PATH_MAX {
            return self.cannot_look_at(&path, Errno::NAMETOOLONG, work.problems);
        }
        let is_new = !self.directories.contains_key(&path);
        if is_new && !self.is_root(&path) && !self.room.take_directory(&path) {
            let reason = ErrorKind::NotSupported(NotSupported::TooManyDirectories);
            return self.leave_out(path.parent().unwrap_or(&path), &reason);
        }
        if let Some(parent) = path.parent().and_then(|parent| self.directories.get_mut(parent)) {
            parent.has_new_names |= is_new;
        }
        pending.push(path);
    }
}
