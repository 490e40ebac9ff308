//! Correct tags for arbitrary bytes, according to the documentation of the format.

use twox_hash::XxHash3_64;

/// Writes the tags of roots, of the texts of events, of sub-buffer headers, and of the records in sub-buffers.
pub(super) fn seal(image: &mut [u8]) {
    let roots = [0, 4096, 8192, 12288].map(|at| root(image, at));
    let Some(newest) = roots.into_iter().flatten().max_by_key(|root| root.generation) else {
        return;
    };
    let Root { identity, sub_buffers, size, .. } = newest;
    let all = image.get_mut(20480..).unwrap_or_default().chunks_exact_mut(size.max(256));
    for (place, bytes) in all.enumerate() {
        sub_buffer(bytes, &identity, place / sub_buffers.max(1));
    }
}

struct Root {
    identity: [u8; 16],
    generation: u64,
    sub_buffers: usize,
    size: usize,
}

fn root(image: &mut [u8], at: usize) -> Option<Root> {
    if !image.get(at..at + 120)?.starts_with(b"CMtRace\x1a") {
        return None;
    }
    let identity = *image[at + 24..].first_chunk()?;
    let generation = word(&image[at + 40..]);
    let len = word(&image[at + 64..]) as usize;
    if let Some(texts) = image.get(16384..16384_usize.saturating_add(len)).filter(|_| len > 0) {
        let tag = h(k(&identity, 34, 0, 0), texts);
        put(&mut image[at + 72..], tag);
    }
    let bytes = &mut image[at..at + 120];
    let tag = h(h(k(&identity, 1, generation, at as u64), &bytes[..16]), &bytes[24..]);
    put(&mut bytes[16..], tag);
    Some(Root {
        identity,
        generation,
        sub_buffers: number(&bytes[52..]) as usize,
        size: number(&bytes[56..]) as usize,
    })
}

fn sub_buffer(bytes: &mut [u8], identity: &[u8; 16], shard: usize) {
    if !bytes.starts_with(b"CMsb") {
        return;
    }
    let place = (shard as u64) << 40 | word(&bytes[8..]);
    let generation = word(&bytes[48..]);
    let tag = h(k(identity, 33, generation, place), &bytes[..56]);
    put(&mut bytes[56..], tag);
    let key = k(identity, 32, generation, place);
    // Starting with the last one, so that a record that contains others is also right.
    for offset in (64..bytes.len().saturating_sub(23)).step_by(8).rev() {
        let word = &bytes[offset + 8..offset + 16];
        let len = usize::from(u16::from_le_bytes([word[2], word[3]]));
        if number(&word[4..]) as usize != offset {
            continue;
        }
        let end = offset + 24 + len.next_multiple_of(8);
        if let Some(rest) = bytes.get(offset + 8..end) {
            let tag = h(key, rest);
            put(&mut bytes[offset..], tag);
        }
    }
}

/// Returns the key for a kind.
fn k(identity: &[u8; 16], kind: u64, epoch: u64, place: u64) -> u64 {
    h(kind, &[&identity[..], &epoch.to_le_bytes(), &place.to_le_bytes()].concat())
}

fn h(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn put(bytes: &mut [u8], tag: u64) {
    bytes[..8].copy_from_slice(&tag.to_le_bytes());
}
