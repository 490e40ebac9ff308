//! Correct tags for any bytes, by the documentation of the format.

use super::claims::LOG;
use crate::image::Image;
use cachemaint::medium::{Medium as _, Readable as _};
use core::sync::atomic::Ordering::Relaxed;
use twox_hash::XxHash3_64;

/// Writes the tags of superblocks, of headers that contain their position in the log, and of marks that contain their
/// position in this lap or in one before.
pub(super) fn seal(medium: &Image) {
    let [first, second] = [0, 4096].map(|page| superblock(medium, page));
    let newest = match (first, second) {
        (Some(first), Some(second)) if second.generation > first.generation => second,
        (Some(only), _) | (None, Some(only)) => only,
        (None, None) => return,
    };
    log(medium, &newest);
}

struct Superblock {
    capacity: u64,
    generation: u64,
    head: u64,
    keys: [u64; 2],
    epoch_start: u64,
}

fn superblock(medium: &Image, page: u64) -> Option<Superblock> {
    if medium.len() < page + 128 {
        return None;
    }
    let bytes = read(medium, page, 128);
    if !bytes.starts_with(b"cmjournl") {
        return None;
    }
    medium.store(page + 16, h(h(0, &bytes[..16]), &bytes[24..]), Relaxed);
    Some(Superblock {
        capacity: medium.load(page + 40, Relaxed),
        generation: medium.load(page + 64, Relaxed),
        head: medium.load(page + 72, Relaxed),
        keys: [88, 104].map(|at| medium.load(page + at, Relaxed)),
        epoch_start: medium.load(page + 112, Relaxed),
    })
}

fn log(medium: &Image, superblock: &Superblock) {
    let Superblock { capacity, head, keys, epoch_start, .. } = *superblock;
    let mut key = keys[0];
    let room = medium.len().saturating_sub(LOG).min(capacity);
    let mut records = Vec::new();
    // Keys are collected in the order of positions, since a mark has the key of the records after it.
    for at in (head..head.saturating_add(room)).step_by(8) {
        let offset = at % capacity / 8 * 8;
        if offset.checked_add(16).is_none_or(|end| end > room) {
            continue;
        }
        let place = LOG + offset;
        let second = medium.load(place + 8, Relaxed);
        let (len, kind) = (second & 0xff_ffff, second >> 24 & 7);
        let payload = if kind == 3 { 0 } else { len };
        if place + 16 + payload > medium.len() {
            continue;
        }
        let own = if kind == 2 { marked(medium, place) } else { at };
        // A repair leaves a mark of a later lap, and the journal is still damaged: such a mark has no tag here.
        if second >> 48 != stated(own) || own > at || own % capacity != at % capacity {
            continue;
        }
        let its_key = match kind {
            1 | 3 if at >= epoch_start => keys[1],
            1 | 3 => key,
            2 => u64::from_le_bytes(*b"cmj mark"),
            _ => continue,
        };
        records.push((own, place, its_key, payload));
        if kind == 2 && len == 48 && own == at {
            key = medium.load(place + 40, Relaxed);
        }
    }
    // The tags are written from the last record on, so that a record which contains others is
    // right, too.
    for (at, place, key, payload) in records.into_iter().rev() {
        let second = medium.load(place + 8, Relaxed);
        let header = [second.to_le_bytes(), at.to_le_bytes()];
        let tag = h(h(key, header.as_flattened()), &read(medium, place + 16, payload));
        medium.store(place, tag, Relaxed);
    }
}

/// Returns the position that a mark states: its last word has the high bits, its header the others.
fn marked(medium: &Image, place: u64) -> u64 {
    if place + 64 > medium.len() {
        return 0;
    }
    let high = medium.load(place + 56, Relaxed) >> 16;
    let low = medium.load(place + 8, Relaxed) >> 48 ^ stated(high << 19);
    high << 19 | low << 3
}

/// Returns the bits of a position that a header states.
pub(super) const fn stated(position: u64) -> u64 {
    let words = position / 8;
    (words ^ (words >> 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) & 0xffff
}

fn h(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn read(medium: &Image, at: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    let Ok(()) = medium.read(at, &mut bytes);
    bytes
}
