//! Files that are mapped for writing, and the stores into them.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, seek};

/// The part of a file that is compared at once.
pub(super) const CHUNK: u64 = 64 << 10;

/// A mapped file, and the bytes that the log has of it. Chunks that are not there are zeros.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) file: File,
    chunks: BTreeMap<u64, Vec<u8>>,
}

/// Returns the parts of a file that are no holes, chunk by chunk.
pub(super) fn data(file: &File) -> Vec<Range<u64>> {
    let len = file.metadata().map_or(0, |found| found.len());
    let (mut found, mut at) = (Vec::new(), 0);
    while at < len {
        let from = match seek(file, SeekFrom::Data(at)) {
            Ok(from) => from,
            Err(rustix::io::Errno::NXIO) => break,
            // The file system does not know its holes.
            Err(_) => at,
        };
        let hole = seek(file, SeekFrom::Hole(from)).unwrap_or(len).min(len);
        at = from;
        while at < hole {
            let stop = ((at / CHUNK + 1) * CHUNK).min(hole);
            found.push(at..stop);
            at = stop;
        }
        if hole == from {
            break;
        }
    }
    found
}

/// Reads as much of a range as there is.
pub(super) fn read_at(file: &File, at: u64, bytes: &mut [u8]) -> usize {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], at + read as u64) {
            Ok(count) if count > 0 => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    read
}

fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl Mapped {
    /// Takes over what the file has, if there is room for it.
    pub(super) fn new(file: File, room: u64) -> Self {
        let mut new = Self { file, chunks: BTreeMap::new() };
        new.changes(room);
        new
    }

    /// Returns the number of bytes that it holds in memory.
    pub(super) fn held(&self) -> u64 {
        self.chunks.len() as u64 * CHUNK
    }

    /// Changes a range chunk by chunk: the function gets the part and its offset in the range.
    fn edit(&mut self, at: u64, len: u64, mut change: impl FnMut(&mut [u8], usize)) {
        let (mut place, end) = (at, at.saturating_add(len));
        while place < end {
            let stop = ((place / CHUNK + 1) * CHUNK).min(end);
            let chunk = self.chunks.entry(place / CHUNK).or_insert_with(|| vec![0; index(CHUNK)]);
            let from = index(place % CHUNK);
            change(&mut chunk[from..from + index(stop - place)], index(place - at));
            place = stop;
        }
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        self.edit(at, bytes.len() as u64, |to, from| {
            to.copy_from_slice(&bytes[from..from + to.len()]);
        });
    }

    pub(super) fn zero(&mut self, at: u64, len: u64) {
        self.edit(at, len, |part, _| part.fill(0));
    }

    pub(super) fn cut(&mut self, size: u64) {
        drop(self.chunks.split_off(&size.div_ceil(CHUNK)));
        if let Some(last) = self.chunks.get_mut(&(size / CHUNK)) {
            last[index(size % CHUNK)..].fill(0);
        }
    }

    /// Returns what the file has and the log has not, and takes it over, until that is more than there is room for.
    pub(super) fn changes(&mut self, room: u64) -> Vec<(u64, Vec<u8>)> {
        let places = data(&self.file).into_iter().map(|part| part.start / CHUNK);
        let places: BTreeSet<u64> = places.chain(self.chunks.keys().copied()).collect();
        let (mut found, mut now, zeros) =
            (Vec::new(), vec![0; index(CHUNK)], vec![0; index(CHUNK)]);
        let mut needed = 0;
        for number in places {
            if needed > room {
                break;
            }
            let read = read_at(&self.file, number * CHUNK, &mut now);
            now[read..].fill(0);
            let old = self.chunks.get(&number).unwrap_or(&zeros);
            if *old == now {
                continue;
            }
            let mut parts: Vec<Range<usize>> = Vec::new();
            for at in (0..read).step_by(4096) {
                let Some(part) = changed(old, &now, at..(at + 4096).min(read)) else { continue };
                match parts.last_mut() {
                    Some(last) if last.end == part.start => last.end = part.end,
                    _ => parts.push(part),
                }
            }
            let bytes =
                |part: Range<usize>| (number * CHUNK + part.start as u64, now[part].to_vec());
            let parts = parts.into_iter().map(bytes);
            found.extend(parts.inspect(|(_, bytes)| needed += bytes.len() as u64));
            if let Some(old) = self.chunks.get_mut(&number) {
                old.copy_from_slice(&now);
            } else {
                self.chunks.insert(number, now.clone());
                needed += CHUNK;
            }
        }
        found
    }
}

/// Returns the sectors of a page that differ, from the first to the last: a CPU's stores are no smaller unit than those.
fn changed(old: &[u8], now: &[u8], page: Range<usize>) -> Option<Range<usize>> {
    let end = |at: usize| (at + 512).min(page.end);
    let differs = |at: &usize| old[*at..end(*at)] != now[*at..end(*at)];
    let mut sectors = page.clone().step_by(512).filter(differs);
    let first = sectors.next()?;
    Some(first..end(sectors.next_back().unwrap_or(first)))
}
