//! Correct tags for arbitrary bytes, according to the documentation of the format.

use super::claims::LOG;
use crate::image::Image;
use cachemaint::medium::{Medium as _, Readable as _};
use core::sync::atomic::Ordering::Relaxed;
use twox_hash::XxHash3_64;

/// Writes the tags of roots, and of headers and marks that state their position in the log.
pub(super) fn seal(medium: &Image) {
    let roots = [0, 4096, 8192, 12288].map(|slot| root(medium, slot));
    let newest = roots.into_iter().flatten().max_by_key(|root| root.generation);
    if let Some(newest) = newest {
        log(medium, &newest);
    }
}

struct Root {
    identity: [u8; 16],
    capacity: u64,
    segment: u64,
    generation: u64,
    head: u64,
    keys: [u64; 2],
    before: u64,
}

/// Returns a key in a journal.
fn k(identity: [u8; 16], kind: u64, epoch: u64, place: u64) -> u64 {
    let words = [epoch, place].map(u64::to_le_bytes);
    h(kind, &[&identity, words.as_flattened()].concat())
}

fn root(medium: &Image, slot: u64) -> Option<Root> {
    if medium.len() < slot + 120 {
        return None;
    }
    let bytes = read(medium, slot, 120);
    if !bytes.starts_with(b"cmjournl") {
        return None;
    }
    let identity = bytes[24..40].try_into().unwrap_or_default();
    let word = |at: u64| medium.load(slot + at, Relaxed);
    let key = k(identity, 1, word(40), slot);
    medium.store(slot + 16, h(h(key, &bytes[..16]), &bytes[24..]), Relaxed);
    Some(Root {
        identity,
        generation: word(40),
        capacity: word(48),
        segment: word(56) & 0xffff_ffff,
        head: word(64),
        keys: [80, 96].map(word),
        before: word(104),
    })
}

fn log(medium: &Image, root: &Root) {
    let Root { identity, capacity, segment, head, keys, before, .. } = *root;
    let (mut key, start) = (keys[0], before.checked_next_multiple_of(segment.max(1)));
    let room = medium.len().saturating_sub(LOG).min(capacity);
    let mut records = Vec::new();
    // Keys are collected in order of position, since a mark contains the key of the records after it.
    for at in (head..head.saturating_add(room)).step_by(8) {
        let offset = at % capacity / 8 * 8;
        if offset.checked_add(16).is_none_or(|end| end > room) {
            continue;
        }
        let place = LOG + offset;
        let second = medium.load(place + 8, Relaxed);
        let (len, kind) = (second & 0xff_ffff, second >> 24 & 7);
        if second >> 48 != stated(at) || place + 16 + len > medium.len() {
            continue;
        }
        let its_key = match kind {
            1 if start.is_some_and(|start| at >= start) => keys[1],
            1 => key,
            2 if place + 64 <= medium.len() => {
                key = medium.load(place + 40, Relaxed);
                k(identity, 17, medium.load(place + 32, Relaxed), at)
            }
            _ => continue,
        };
        records.push((at, place, its_key, len));
    }
    // Tags are written starting with the last record, so that a record that contains others is also right.
    for (at, place, key, len) in records.into_iter().rev() {
        let second = medium.load(place + 8, Relaxed);
        let header = [second.to_le_bytes(), at.to_le_bytes()];
        let tag = h(h(key, header.as_flattened()), &read(medium, place + 16, len));
        medium.store(place, tag, Relaxed);
    }
}

/// Returns the bits that state a position in a header.
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
