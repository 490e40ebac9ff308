//! Right checksums for whatever is there, by the documentation of the format: without them no input would be read
//! farther than to the first one.

use super::claims::LOG;
use cachemaint::medium::{Medium, Memory};
use core::sync::atomic::Ordering::Relaxed;
use crc32c::crc32c_append;

/// The checksums of superblocks, and of what names its position in the log.
pub(super) fn seal(medium: &Memory<'_>) {
    let [first, second] = [0, 4096].map(|page| superblock(medium, page));
    let newest = match (first, second) {
        (Some(first), Some(second)) if second.generation > first.generation => second,
        (Some(only), _) | (None, Some(only)) => only,
        (None, None) => return,
    };
    log(medium, &newest);
}

struct Superblock {
    identity: [u8; 16],
    capacity: u64,
    generation: u64,
    head: u64,
    seeds: [u32; 2],
    epoch_start: u64,
}

fn superblock(medium: &Memory<'_>, page: u64) -> Option<Superblock> {
    if medium.len() < page + 128 {
        return None;
    }
    let bytes = read(medium, page, 128);
    if !bytes.starts_with(b"cmjournl") {
        return None;
    }
    let checksum = crc32c_append(crc32c_append(0, &bytes[..12]), &bytes[16..]);
    medium.write(page + 12, &checksum.to_le_bytes());
    let seeds = medium.load(page + 96, Relaxed);
    Some(Superblock {
        identity: *bytes[16..].first_chunk()?,
        capacity: medium.load(page + 32, Relaxed),
        generation: medium.load(page + 56, Relaxed),
        head: medium.load(page + 64, Relaxed),
        seeds: [seeds as u32, (seeds >> 32) as u32],
        epoch_start: medium.load(page + 88, Relaxed),
    })
}

fn log(medium: &Memory<'_>, superblock: &Superblock) {
    let Superblock { identity, capacity, head, seeds, epoch_start, .. } = *superblock;
    let mut seed = seeds[0];
    let room = medium.len().saturating_sub(LOG).min(capacity);
    // In the order of positions, so that marks tell the seed of what follows.
    for at in (head..head.saturating_add(room)).step_by(8) {
        let place = LOG + at % capacity;
        if place + 16 > medium.len() || medium.load(place + 8, Relaxed) != at {
            continue;
        }
        let first = medium.load(place, Relaxed);
        let (len, kind) = (first >> 32 & 0xff_ffff, first >> 56);
        let end = match kind {
            3 => place + 16,
            _ => place + 16 + len.next_multiple_of(8),
        };
        if end > medium.len() {
            continue;
        }
        let begins = match kind {
            1 if at >= epoch_start => seeds[1],
            1 => seed,
            2 => u32::from_le_bytes(*b"mark"),
            3 => crc32c_append(u32::from_le_bytes(*b"void"), &identity),
            _ => continue,
        };
        let checksum = crc32c_append(begins, &read(medium, place + 4, end - place - 4));
        medium.write(place, &checksum.to_le_bytes());
        if kind == 2 && end <= medium.len() && len == 48 {
            seed = medium.load(place + 40, Relaxed) as u32;
        }
    }
}

fn read(medium: &Memory<'_>, at: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    let Ok(()) = medium.read(at, &mut bytes);
    bytes
}
