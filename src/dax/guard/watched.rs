//! Which files there are below some paths.

use super::super::system::files;
use super::super::{Error, ErrorKind, Options};
use super::guarded::Guarded;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem::{Discriminant, discriminant};
use core::time::Duration;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Of so much time one part at most goes into looking around.
const SELDOM: u32 = 200;

/// Files that are guarded, and those that cannot be.
#[derive(Debug, Default)]
pub(super) struct Watched {
    roots: Vec<PathBuf>,
    files: BTreeMap<PathBuf, File>,
    /// Paths that could not be looked at, of which it was told.
    unseen: BTreeSet<PathBuf>,
    /// When it was looked around last, and how long that took.
    looked: Option<(Instant, Duration)>,
    /// What it has taken to map files, this time.
    mapping: Duration,
}

#[derive(Debug)]
struct File {
    mark: Mark,
    state: State,
    /// The kind of the last problem that was told of.
    told: Option<Discriminant<ErrorKind>>,
    /// Whether it was met in this look around.
    is_there: bool,
}

#[derive(Debug)]
enum State {
    Mapped(Guarded),
    /// Cannot be guarded as it is now.
    Refused,
    /// Cannot be guarded now, for a reason that the file does not show when it ends.
    Denied,
}

/// What tells that a file is another one, or has another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.size() }
    }
}

impl Watched {
    pub(super) fn add(&mut self, path: &Path) {
        self.roots.push(path.to_path_buf());
        self.look_again();
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Guarded> {
        self.files.values().filter_map(|file| match &file.state {
            State::Mapped(guarded) => Some(guarded),
            State::Refused | State::Denied => None,
        })
    }

    /// Does something with each file. One that was cut meanwhile is let go and looked at anew; other errors are told
    /// of once.
    pub(super) fn for_each(
        &mut self,
        problems: &mut Vec<Error>,
        mut work: impl FnMut(&mut Guarded) -> Result<(), Error>,
    ) {
        let before = self.files.len();
        self.files.retain(|_, file| {
            let State::Mapped(guarded) = &mut file.state else { return true };
            let Err(error) = work(guarded) else { return true };
            let kind = Some(discriminant(error.kind()));
            let is_cut = matches!(error.kind(), ErrorKind::Shorter { .. });
            if !is_cut && file.told != kind {
                file.told = kind;
                problems.push(error);
            }
            !is_cut
        });
        if self.files.len() < before {
            self.look_again();
        }
    }

    /// It is time to look around.
    pub(super) const fn look_again(&mut self) {
        self.looked = None;
    }

    /// Looks which files there are, if it is time again.
    pub(super) fn look_around(&mut self, options: &Options, problems: &mut Vec<Error>) {
        let began = Instant::now();
        if self.looked.is_some_and(|(last, took)| began - last < took * SELDOM) {
            return;
        }
        for file in self.files.values_mut() {
            file.is_there = false;
        }
        self.mapping = Duration::ZERO;
        for root in core::mem::take(&mut self.roots) {
            self.look_at(&root, None, options, problems);
            self.roots.push(root);
        }
        self.files.retain(|_, file| file.is_there);
        // To map files is not to look: who has just found many finds the next one as soon as ever.
        self.looked = Some((began, began.elapsed().saturating_sub(self.mapping)));
    }

    /// Takes a file, or what is below a directory on the same device.
    fn look_at(
        &mut self,
        path: &Path,
        device: Option<u64>,
        options: &Options,
        problems: &mut Vec<Error>,
    ) {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return self.cannot_look_at(path, &error, problems),
        };
        if device.is_some_and(|device| device != metadata.dev()) {
            return;
        }
        if metadata.is_file() {
            self.take(path, Mark::of(&metadata), options, problems);
        } else if metadata.is_dir() {
            match entries(path) {
                Ok(entries) => {
                    self.unseen.remove(path);
                    for entry in entries {
                        self.look_at(&entry.path(), Some(metadata.dev()), options, problems);
                    }
                }
                Err(error) => self.cannot_look_at(path, &error, problems),
            }
        }
    }

    /// What is gone is none. Of what cannot be looked at it is told once, and what was there is taken for there.
    fn cannot_look_at(&mut self, path: &Path, error: &io::Error, problems: &mut Vec<Error>) {
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        if self.unseen.insert(path.to_path_buf()) {
            problems.push(Error::opening(path, error));
        }
        let below = self.files.iter_mut().filter(|(file, _)| file.starts_with(path));
        below.for_each(|(_, file)| file.is_there = true);
    }

    /// Maps a file, unless it is mapped as it is now.
    fn take(&mut self, path: &Path, mark: Mark, options: &Options, problems: &mut Vec<Error>) {
        if let Some(file) = self.files.get_mut(path) {
            file.is_there = true;
            if file.mark == mark && !matches!(file.state, State::Denied) {
                return;
            }
        }
        let began = Instant::now();
        let before = self.files.remove(path);
        let mut told = before.as_ref().and_then(|file| file.told);
        let opened = Guarded::open(path, options).and_then(|guarded| {
            // Its name is as durable as its bytes, too.
            if before.is_none() {
                files::persist_name(path)?;
            }
            Ok(guarded)
        });
        self.mapping += began.elapsed();
        let state = match opened {
            Ok(guarded) => State::Mapped(guarded),
            Err(error) => match error.kind() {
                ErrorKind::Missing => return,
                // It may have some later.
                ErrorKind::Empty => State::Refused,
                kind => {
                    let is_open = matches!(kind, ErrorKind::Os { .. } | ErrorKind::NoPermission);
                    let kind = Some(discriminant(kind));
                    if told != kind {
                        told = kind;
                        problems.push(error);
                    }
                    if is_open { State::Denied } else { State::Refused }
                }
            },
        };
        self.files.insert(path.to_path_buf(), File { mark, state, told, is_there: true });
    }
}

/// What is in a directory now.
fn entries(path: &Path) -> io::Result<Vec<DirEntry>> {
    fs::read_dir(path)?.collect()
}
