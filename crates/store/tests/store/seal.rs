//! Puts valid tags on any content, according to the documentation of the format. Without them, no reader would look
//! past the first tag.

use twox_hash::XxHash3_64;

const SLOTS: [usize; 4] = [0, 4096, 8192, 12_288];

/// The log of a store: the offsets of the mirrors in use, their length and the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    pub(crate) mirrors: [usize; 2],
    pub(crate) capacity: usize,
    salt: u64,
    identity: [u8; 16],
}

/// Puts the tags of the roots, and of all records of the newest log in both mirrors.
pub(crate) fn seal(image: &mut [u8]) {
    for at in SLOTS {
        if image[at..].starts_with(b"cm-store") {
            seal_root(image, at);
        }
    }
    let Some(log) = log(image) else { return };
    for mirror in log.mirrors {
        let mut before = 0;
        for record in records(image, mirror, log.capacity) {
            put(image, record.start + 8, before);
            let key = key(log.identity, log.salt, (record.start - mirror) as u64, 2);
            image[record.start + 38..][..2].copy_from_slice(&log.salt.to_le_bytes()[..2]);
            before = xxh3(key, &image[record.start + 8..record.end]);
            put(image, record.start, before);
        }
    }
}

/// Puts the tag of a root.
pub(crate) fn seal_root(image: &mut [u8], at: usize) {
    let len = (u64_at(image, at + 8) >> 32) as usize;
    let Some(bytes) = image.get(at..at + len.clamp(48, 256)) else { return };
    let key = key(identity(image, at), u64_at(image, at + 40), at as u64, 1);
    let tag = xxh3(xxh3(key, &bytes[..16]), &bytes[24..]);
    put(image, at + 16, tag);
}

/// Returns the log of the newest root, if it lies in the image.
pub(crate) fn log(image: &[u8]) -> Option<Log> {
    let roots = SLOTS.into_iter().filter(|at| image[*at..].starts_with(b"cm-store"));
    let root = roots.max_by_key(|at| u64_at(image, at + 40))?;
    let word = |at| u64_at(image, root + 48 + at);
    let (capacity, mirrors) = (word(8) as usize, [word(16) as usize, word(24) as usize]);
    let is_there = |at: &usize| at.checked_add(capacity).is_some_and(|end| end <= image.len());
    let log = Log { mirrors, capacity, salt: word(48), identity: identity(image, root) };
    mirrors.iter().all(is_there).then_some(log)
}

/// Returns the ranges of the records of a mirror.
pub(crate) fn records(
    image: &[u8],
    mirror: usize,
    capacity: usize,
) -> Vec<core::ops::Range<usize>> {
    let (mut at, mut records) = (mirror, Vec::new());
    while at + 64 <= mirror + capacity {
        let len = u64_at(image, at + 32) as u32 as usize;
        if len < 64 || !len.is_multiple_of(64) || at + len > mirror + capacity {
            break;
        }
        records.push(at..at + len);
        at += len;
    }
    records
}

/// Returns the positions in the log of its records, as far as both mirrors have them.
pub(crate) fn positions(image: &[u8]) -> Vec<core::ops::Range<usize>> {
    let (mut before, mut positions) = (0, Vec::new());
    let Some(log) = log(image) else { return positions };
    for record in records(image, log.mirrors[0], log.capacity) {
        let twin = record.start - log.mirrors[0] + log.mirrors[1];
        let is_twin = image[record.clone()] == image[twin..twin + record.len()];
        if !is_twin || u64_at(image, record.start + 8) != before {
            break;
        }
        before = u64_at(image, record.start);
        positions.push(record.start - log.mirrors[0]..record.end - log.mirrors[0]);
    }
    positions
}

/// Returns the offsets of the entries of a record.
pub(crate) fn entries(image: &[u8], record: &core::ops::Range<usize>) -> Vec<usize> {
    let (mut at, mut entries) = (record.start + 40, Vec::new());
    if !matches!(image[record.start + 36], 1 | 4) {
        return entries;
    }
    while at.saturating_add(56) <= record.end && image[at + 1] > 0 {
        entries.push(at);
        let rest = if image[at] == 2 { u64_at(image, at + 16) as usize } else { 0 };
        let name_and_metadata =
            usize::from(image[at + 1]) + (u64_at(image, at) as usize >> 16 & 0xffff);
        at = at.saturating_add((56 + name_and_metadata).saturating_add(rest)).saturating_add(7) / 8
            * 8;
    }
    entries
}

fn identity(image: &[u8], root: usize) -> [u8; 16] {
    image[root + 24..].first_chunk().copied().unwrap_or_default()
}

fn key(identity: [u8; 16], epoch: u64, place: u64, kind: u64) -> u64 {
    let words = [epoch, place].map(u64::to_le_bytes);
    xxh3(kind, &[&identity[..], words.as_flattened()].concat())
}

fn xxh3(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

pub(crate) fn u64_at(image: &[u8], at: usize) -> u64 {
    let bytes = image.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

pub(crate) fn put(image: &mut [u8], at: usize, word: u64) {
    if let Some(to) = image.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *to = word.to_le_bytes();
    }
}
