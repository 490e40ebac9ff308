//! The files below the paths of a guard, as one look finds them.
//!
//! Any program with the right to write there can exchange a part of a path for a symbolic link between two calls. So each
//! directory is reached from its root by one call that follows no link and enters no other file system (openat2(2)). Before
//! Linux 5.6, and where a filter refuses that call, it is reached by one call for each part of the path.

use anyhow::{anyhow, bail, ensure};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, statat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file or directory that the guard was given.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// The device of a directory at the start.
    device: u64,
}

/// The device and the number of an inode. Another file can get the number once this one is removed and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// A regular file, or a thing that could not be looked at.
#[derive(Debug)]
pub(super) enum Found {
    File {
        path: PathBuf,
        identity: Identity,
        size: u64,
    },
    /// A path of the guard that no longer exists.
    Gone {
        path: PathBuf,
        why: anyhow::Error,
    },
    /// A directory or file without a look.
    Unseen {
        path: PathBuf,
        why: anyhow::Error,
    },
}

impl Identity {
    pub(super) fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

impl Root {
    pub(super) fn new(path: &Path) -> Result<Self, Errno> {
        Ok(Self { path: path.to_path_buf(), device: facts(CWD, path)?.st_dev })
    }

    /// Looks at the path and at all below it in its file system.
    pub(super) fn look(&self, mut found: impl FnMut(Found)) {
        let root = match self.open_or_file() {
            Ok(Ok(root)) => root,
            Ok(Err(facts)) => return found(file(self.path.clone(), &facts)),
            Err(why) => return found(Found::Gone { path: self.path.clone(), why }),
        };
        let mut pending = vec![PathBuf::from(".")];
        while let Some(below) = pending.pop() {
            if let Err(why) = self.read(&root, &below, &mut pending, &mut found) {
                found(Found::Unseen { path: self.path.join(below), why });
            }
        }
    }

    /// Opens the root, or returns the facts of a file.
    fn open_or_file(&self) -> anyhow::Result<Result<OwnedFd, Stat>> {
        let facts = facts(CWD, &self.path).map_err(|_missing| anyhow!("no longer exists"))?;
        let kind = FileType::from_raw_mode(facts.st_mode);
        if kind.is_file() {
            return Ok(Err(facts));
        }
        ensure!(facts.st_dev == self.device, "another file system is mounted there now");
        ensure!(kind.is_dir(), "was replaced by a link or something else that is not guarded");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Ok(openat(CWD, &self.path, flags, Mode::empty())?))
    }

    /// Reads a directory below the root, and adds those below it to `pending`.
    fn read(
        &self,
        root: &OwnedFd,
        below: &Path,
        pending: &mut Vec<PathBuf>,
        found: &mut impl FnMut(Found),
    ) -> anyhow::Result<()> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let opened = match openat2(root, below, DIRECTORY, Mode::empty(), resolve) {
            // Those of filters; the other way finds the error of a directory, too.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::ACCESS) => {
                self.step_down(root, below)
            }
            opened => opened,
        };
        let directory = match opened {
            Err(Errno::XDEV) => bail!(MOUNTED),
            opened => opened?,
        };
        let mut entries = Dir::new(directory)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let place = below.join(name);
            let path = || self.path.join(place.strip_prefix(".").unwrap_or(&place));
            let facts = match facts(entries.fd()?, Path::new(name)) {
                // It is gone again.
                Err(Errno::NOENT) => continue,
                facts => facts,
            };
            match facts.map(|facts| (FileType::from_raw_mode(facts.st_mode), facts)) {
                Ok((FileType::Directory, _)) => pending.push(place),
                // Whatever its device: an overlay shows those of its layers, and a file that is mounted by itself is synced as
                // well.
                Ok((FileType::RegularFile, facts)) => found(file(path(), &facts)),
                Ok(_) => {}
                Err(errno) => found(Found::Unseen { path: path(), why: errno.into() }),
            }
        }
        Ok(())
    }

    /// Opens a directory below the root part by part, as openat2 does.
    fn step_down(&self, root: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
        let mut reached = openat(root, ".", DIRECTORY, Mode::empty())?;
        for part in below {
            reached = openat(&reached, part, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
            if fstat(&reached)?.st_dev != self.device {
                return Err(Errno::XDEV);
            }
        }
        Ok(reached)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

const MOUNTED: &str = "something is mounted there; name it as another PATH";

/// Returns the facts that the kernel has of a name, and not of a file that it links to.
fn facts(place: impl AsFd, name: &Path) -> Result<Stat, Errno> {
    statat(place, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

fn file(path: PathBuf, facts: &Stat) -> Found {
    let identity = Identity { device: facts.st_dev, inode: facts.st_ino };
    Found::File { path, identity, size: u64::try_from(facts.st_size).unwrap_or(0) }
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
    }
}
