//! Correct tags for any bytes, by the documentation of the format.

use twox_hash::XxHash3_64;

/// The tags of descriptors and their tables of events, counts of losses, headers of sub-buffers, and of the records in these.
pub(super) fn seal(image: &mut [u8]) {
    let [first, second] = [0, 4096].map(|at| {
        table(&mut image[at..][..4096]);
        descriptor(&mut image[at..][..128])
    });
    let newest = match (first, second) {
        (Some(first), Some(second)) if second.generation > first.generation => second,
        (Some(only), _) | (None, Some(only)) => only,
        (None, None) => return,
    };
    let Description { identity, shards, sub_buffers, size, .. } = newest;
    for shard in 0..shards.min(16) {
        let word = 8192 + 256 * shard;
        if let Some(count) = image.get(word..word + 4) {
            let sum = [&identity[..], &(shard as u32).to_le_bytes(), count].concat();
            image[word + 4..][..4].copy_from_slice(&h(0, &sum).to_le_bytes()[..4]);
        }
    }
    let base = (8192_usize + 256 * shards).next_multiple_of(4096);
    let all = image.get_mut(base..).unwrap_or_default().chunks_exact_mut(size.max(256));
    for (place, bytes) in all.enumerate() {
        sub_buffer(bytes, &identity, place / sub_buffers.max(1));
    }
}

struct Description {
    identity: [u8; 16],
    generation: u64,
    shards: usize,
    sub_buffers: usize,
    size: usize,
}

/// The table in the page of a descriptor.
fn table(page: &mut [u8]) {
    let key = h(0, &page[32..48]);
    let len = number(&page[68..]) as usize;
    let Some(table) = page.get_mut(128..128_usize.saturating_add(len)) else { return };
    if let Some(rest) = table.get(8..) {
        let tag = h(key, rest);
        put(table, tag);
    }
}

fn descriptor(bytes: &mut [u8]) -> Option<Description> {
    if !bytes.starts_with(b"CMtRace\x1a") {
        return None;
    }
    let tag = h(h(0, &bytes[..16]), &bytes[24..128]);
    put(&mut bytes[16..], tag);
    Some(Description {
        identity: *bytes[32..].first_chunk()?,
        generation: u64::from_le_bytes(*bytes[24..].first_chunk()?),
        shards: number(&bytes[48..]) as usize,
        sub_buffers: number(&bytes[52..]) as usize,
        size: number(&bytes[56..]) as usize,
    })
}

fn sub_buffer(bytes: &mut [u8], identity: &[u8; 16], shard: usize) {
    if !bytes.starts_with(b"CMsb") {
        return;
    }
    let tag = h(h(0, identity), &bytes[..56]);
    put(&mut bytes[56..], tag);
    let mut sequence = [0; 8];
    sequence[..5].copy_from_slice(&bytes[8..13]);
    let sum = [&identity[..], &bytes[48..56], &sequence, &(shard as u32).to_le_bytes()].concat();
    let key = h(0, &sum);
    // From the last one on, so that a record which has others in it is right, too.
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

fn h(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn put(bytes: &mut [u8], tag: u64) {
    bytes[..8].copy_from_slice(&tag.to_le_bytes());
}
