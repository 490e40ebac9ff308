//! The files below the paths of a guard, as one look finds them.
//!
//! Any program with the right to write there can exchange a part of a path for a symbolic link between two calls. So each
//! directory is reached from its root by steps that open one name each and follow no link.

use anyhow::{anyhow, bail, ensure};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Statx, StatxFlags, makedev, openat, statx,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Bytes of the longest path that the kernel takes, with the zero at its end (Linux, `include/uapi/linux/limits.h`).
/// Directories with longer ones are not read, or a program could nest them without an end.
const PATH_MAX: usize = 4096;

/// A file or directory that the guard was given.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// The device of its file system at the start.
    device: u64,
}

/// The device and the number of an inode. Another file can get the number once this one is removed and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) device: u64,
    inode: u64,
}

/// A regular file, or a thing that could not be looked at.
#[derive(Debug)]
pub(super) enum Found {
    File {
        path: PathBuf,
        identity: Identity,
        size: u64,
        /// The bytes that have a place in the file system, with those behind the end of the file.
        allocated: u64,
    },
    /// A path of the guard that is not there any more.
    Gone { path: PathBuf, why: anyhow::Error },
    /// A directory or file without a look.
    Unseen { path: PathBuf, why: anyhow::Error },
}

impl Identity {
    pub(super) fn of(open: impl AsFd) -> Result<Self, Errno> {
        Ok(identity(&facts(open, Path::new(""))?))
    }
}

impl Root {
    pub(super) fn new(path: &Path) -> Result<Self, Errno> {
        let device = identity(&facts(CWD, path)?).device;
        Ok(Self { path: path.to_path_buf(), device })
    }

    /// Looks at the path and at all below it in its file system.
    pub(super) fn look(&self, mut found: impl FnMut(Found)) {
        let root = match self.is_there() {
            Ok(facts) => facts,
            Err(why) => return found(Found::Gone { path: self.path.clone(), why }),
        };
        if kind(&root).is_file() {
            return found(file(self.path.clone(), &root));
        }
        let mut pending = vec![self.path.clone()];
        while let Some(path) = pending.pop() {
            if let Err(why) = self.read(&path, &mut pending, &mut found) {
                found(Found::Unseen { path, why });
            }
        }
    }

    fn is_there(&self) -> anyhow::Result<Statx> {
        let facts = facts(CWD, &self.path).map_err(|_missing| anyhow!("is not there any more"))?;
        ensure!(identity(&facts).device == self.device, "something else is mounted there now");
        let is_taken = kind(&facts).is_file() || kind(&facts).is_dir();
        ensure!(is_taken, "was replaced by a link or something else that is not guarded");
        Ok(facts)
    }

    /// Reads a directory, and adds those below it to `pending`.
    fn read(
        &self,
        path: &Path,
        pending: &mut Vec<PathBuf>,
        found: &mut impl FnMut(Found),
    ) -> anyhow::Result<()> {
        ensure!(path.as_os_str().len() < PATH_MAX, "its path is longer than {PATH_MAX} bytes");
        let mut entries = Dir::new(self.open(path)?)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let path = path.join(name);
            let is_possible = matches!(
                entry.file_type(),
                FileType::Directory | FileType::RegularFile | FileType::Unknown
            );
            match is_possible.then(|| facts(entries.fd()?, Path::new(name))) {
                Some(Ok(facts)) if kind(&facts).is_dir() => pending.push(path),
                Some(Ok(facts)) if kind(&facts).is_file() => {
                    found(if identity(&facts).device == self.device {
                        file(path, &facts)
                    } else {
                        Found::Unseen { path, why: mounted() }
                    });
                }
                // It is gone again.
                None | Some(Ok(_) | Err(Errno::NOENT)) => {}
                Some(Err(errno)) => found(Found::Unseen { path, why: errno.into() }),
            }
        }
        Ok(())
    }

    /// Opens a directory at or below the root to read it.
    fn open(&self, path: &Path) -> anyhow::Result<OwnedFd> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut reached = openat(CWD, &self.path, step, Mode::empty())?;
        for name in path.strip_prefix(&self.path).unwrap_or(Path::new("")) {
            reached = openat(&reached, name, step, Mode::empty())?;
        }
        // Before a file system is asked that may never answer.
        if Identity::of(&reached)?.device != self.device {
            bail!(mounted());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&reached, ".", flags, Mode::empty())?)
    }
}

fn mounted() -> anyhow::Error {
    anyhow!("another file system is mounted there; name it as another PATH")
}

/// Returns the facts that the kernel has of a name, or of the open file itself if the name is empty.
fn facts(place: impl AsFd, name: &Path) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    statx(place, name, flags | AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)
}

fn kind(facts: &Statx) -> FileType {
    FileType::from_raw_mode(facts.stx_mode.into())
}

fn identity(facts: &Statx) -> Identity {
    let device = makedev(facts.stx_dev_major, facts.stx_dev_minor);
    Identity { device, inode: facts.stx_ino }
}

fn file(path: PathBuf, facts: &Statx) -> Found {
    // The unit of statx(2), `stx_blocks`.
    let allocated = facts.stx_blocks.saturating_mul(512);
    Found::File { path, identity: identity(facts), size: facts.stx_size, allocated }
}

#[cfg(test)]
mod tests {
    use super::{Found, Root};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_look_finds_the_files_of_a_tree_and_follows_no_link() {
        let place = tempfile::tempdir().unwrap();
        let (root, outside) = (place.path().join("root"), place.path().join("outside"));
        for directory in [root.join("a/b"), outside.join("c")] {
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("file"), [1; 100]).unwrap();
        }
        symlink(&outside, root.join("a/out")).unwrap();
        symlink(outside.join("c/file"), root.join("link")).unwrap();
        let guarded = Root::new(&root).unwrap();
        let files = || {
            let mut files = Vec::new();
            guarded.look(|found| match found {
                Found::File { path, size, .. } => files.push((path, size)),
                Found::Gone { path, .. } => files.push((path, 0)),
                other @ Found::Unseen { .. } => panic!("{other:?}"),
            });
            files
        };
        assert_eq!(files(), [(root.join("a/b/file"), 100)]);
        fs::rename(&root, place.path().join("moved")).unwrap();
        symlink(&outside, &root).unwrap();
        assert_eq!(files(), [(root.clone(), 0)]);
        assert!(guarded.open(&root.join("c")).is_err());
    }
}
