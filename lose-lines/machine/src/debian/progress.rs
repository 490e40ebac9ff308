//! The size of a download and its progress, on standard error.

use core::time::Duration;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use anyhow::Result;

use crate::command::Cmd;

/// Runs a download by apt into a directory.
pub(super) fn shown(apt: &Cmd, name: &str, into: &Path) -> Result<String> {
    let (packages, bytes) = size(&apt.clone().arg("--print-uris").read().unwrap_or_default());
    say(&format!("fetching {name} ({} MB in {packages} files)\n", mb(bytes)));
    let (ended, end) = channel();
    thread::scope(|scope| {
        scope.spawn(move || follow(into, bytes, &end));
        let fetched = apt.read();
        drop(ended);
        fetched
    })
}

/// Shows the number of bytes below a directory on a terminal until the download has ended.
fn follow(folder: &Path, all: u64, end: &Receiver<()>) {
    let is_terminal = io::stderr().is_terminal();
    while end.recv_timeout(Duration::from_millis(500)) == Err(RecvTimeoutError::Timeout) {
        if is_terminal {
            say(&format!("\r{} of {} MB", mb(below(folder)), mb(all)));
        }
    }
    if is_terminal {
        say("\r                        \r");
    }
}

/// Returns the number of packages in apt's list of addresses, and their bytes: `'ADDRESS' FILE BYTES CHECKSUM`.
fn size(listed: &str) -> (u64, u64) {
    let packages = listed.lines().filter(|line| line.starts_with('\''));
    let sizes = packages.filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok());
    sizes.fold((0, 0), |(packages, bytes), size| (packages + 1, bytes + size))
}

/// Returns the number of bytes of all files below a directory.
fn below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

const fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// A closed terminal does not end a download.
fn say(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn the_sizes_in_a_list_of_addresses_are_summed() {
        let listed = "Reading package lists...\n\
                      'http://deb.debian.org/a_1.deb' a_1.deb 1500000 SHA256:00\n\
                      'http://deb.debian.org/b_1.deb' b_1.deb 250 SHA256:11\n";
        assert_eq!(size(listed), (2, 1_500_250));
        assert_eq!(size("E: no network"), (0, 0));
    }
}
