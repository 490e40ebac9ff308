//! Files that get another name, or come from elsewhere with bytes of unknown age.

use super::super::pace::BootTime;
use super::found::Identity;
use super::known::{Directory, Entry};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem::take;
use core::time::Duration;
use std::path::PathBuf;
use std::time::SystemTime;

/// The age of the last tick of the clock that file systems stamp files by, at most (Linux, `CONFIG_HZ` 100), and as much
/// again.
const TICK: Duration = Duration::from_millis(20);

/// The state of a file under another name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former {
    /// As in [`Entry`].
    pub(super) since: Option<BootTime>,
}

impl Former {
    pub(super) const fn of(entry: &Entry) -> Self {
        Self { since: entry.since }
    }
}

/// The number of files whose failure is kept. A program that lets syncs fail without an end must not exhaust the memory.
const MOST_LOST: usize = 1 << 16;

/// The files whose pages a sync has lost, with the error number of the first failure. The kernel reports it once, so it
/// stays while the file cannot be opened, and while it is not in the tree.
#[derive(Debug, Default)]
pub(super) struct Lost(BTreeMap<Identity, i32>);

impl Lost {
    /// Takes the failure of a file, or the end of it: a file without bytes or without a name has nothing to lose.
    pub(super) fn note(&mut self, identity: Identity, failure: Option<i32>) {
        match failure {
            Some(number) if self.0.len() < MOST_LOST => {
                self.0.insert(identity, number);
            }
            // The file has it, too, for as long as it is open.
            Some(_) => {}
            None => {
                self.0.remove(&identity);
            }
        }
    }

    pub(super) fn of(&self, identity: Identity) -> Option<i32> {
        self.0.get(&identity).copied()
    }
}

/// The files that were known when a look began, or the one before. A file that is moved while directories are read can lose
/// its name in one look, and get the other one in the next.
#[derive(Debug, Default)]
pub(super) struct Formers {
    /// Those that a name was taken from in this look.
    left: Vec<(Identity, Former)>,
    left_before: Vec<(Identity, Former)>,
    /// All, once one was asked for.
    all: Option<BTreeMap<Identity, Former>>,
}

impl Formers {
    /// Begins a look.
    pub(super) fn begin(&mut self) {
        self.left_before = take(&mut self.left);
        self.all = None;
    }

    /// Keeps the state of a file whose name is gone.
    pub(super) fn leave(&mut self, entry: &Entry) {
        self.left.push((entry.identity, Former::of(entry)));
    }

    /// Drops the states of files that were removed: their inodes are free for other ones.
    pub(super) fn forget(&mut self, removed: &BTreeSet<Identity>) {
        self.left.retain(|(left, _)| !removed.contains(left));
    }

    /// Returns the state of a file under its other name in these directories, if it has or had one.
    pub(super) fn of(
        &mut self,
        identity: Identity,
        directories: &BTreeMap<PathBuf, Directory>,
    ) -> Option<Former> {
        let entries = directories.values().flat_map(|directory| directory.files.values());
        let present = entries.map(|entry| (entry.identity, Former::of(entry)));
        let left = self.left_before.iter().chain(&self.left).copied();
        let all = self.all.get_or_insert_with(|| left.chain(present).collect());
        all.get(&identity).copied()
    }
}

/// The beginning of a pass, by two clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) began: BootTime,
    pub(super) wall: SystemTime,
}

impl Moment {
    /// Takes the time of a pass that has just begun.
    pub(super) fn of(began: BootTime) -> Self {
        Self { began, wall: SystemTime::now() }
    }

    /// Returns the earlier one; `None` stands for a moment before all others.
    pub(super) fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (one, other) = (one?, other?);
        Some(if other.began < one.began { other } else { one })
    }

    /// Returns the time of the wall clock then, unless the clock was set since.
    fn wall(&self) -> Option<SystemTime> {
        self.wall_if(SystemTime::now(), self.began.elapsed())
    }

    fn wall_if(&self, now: SystemTime, elapsed: Duration) -> Option<SystemTime> {
        let by_wall = now.duration_since(self.wall).ok()?;
        (by_wall.abs_diff(elapsed) <= TICK).then_some(self.wall)
    }
}

/// Returns the moment from which a new name's bytes count: `since`, at which it was not there, unless the file is older. It
/// then was moved here, or is linked, and the age of its bytes is unknown. A file whose age cannot be compared counts as
/// new: the interval is longer then.
pub(super) fn since_or_unknown(
    since: Option<Moment>,
    born: Option<SystemTime>,
) -> Option<BootTime> {
    let since = since?;
    (!is_older(born, since.wall())).then_some(since.began)
}

/// Returns true if a file is older than a moment. It counts as new if one of the two is not known.
fn is_older(born: Option<SystemTime>, than: Option<SystemTime>) -> bool {
    let than = than.and_then(|wall| wall.checked_sub(TICK));
    born.zip(than).is_some_and(|(born, than)| born < than)
}

#[cfg(test)]
mod tests {
    use super::{BootTime, Moment, is_older};
    use core::time::Duration;
    use std::time::SystemTime;

    /// It was moved into the tree, or is linked there.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no clock of the boot")]
    fn the_bytes_of_a_file_that_is_older_than_its_name_have_an_unknown_age() {
        let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
        let before = |minutes| now.checked_sub(minutes * minute).unwrap();
        let since = Moment { began: BootTime::now(), wall: before(1) };
        let wall = since.wall_if(now, minute);
        assert_eq!(wall, Some(before(1)));
        assert!(!is_older(Some(now), wall));
        assert!(is_older(Some(before(2)), wall));
        assert!(!is_older(None, wall), "no time of creation is kept");
        // The clock was set: a new file can seem old.
        for wall in [now, before(3), now + minute] {
            let since = Moment { wall, ..since };
            assert!(!is_older(Some(before(5)), since.wall_if(now, minute)), "{wall:?}");
        }
    }
}
