//! Right checksums for whatever is there, by the documentation of the format: without them no input would be read
//! farther than to the first one.

use crc32c::crc32c_append;

/// The checksums of descriptors, counts of losses, headers of sub-buffers, and of the records in these.
pub(super) fn seal(image: &mut [u8]) {
    let [first, second] = [0, 4096].map(|at| descriptor(&mut image[at..][..128]));
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
            put(&mut image[word + 4..], crc32c_append(0, &sum));
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

fn descriptor(bytes: &mut [u8]) -> Option<Description> {
    if !bytes.starts_with(b"CMtRace\x1a") {
        return None;
    }
    let checksum = crc32c_append(0, &bytes[..124]);
    put(&mut bytes[124..], checksum);
    Some(Description {
        identity: *bytes[24..].first_chunk()?,
        generation: u64::from_le_bytes(*bytes[16..].first_chunk()?),
        shards: number(&bytes[40..]) as usize,
        sub_buffers: number(&bytes[44..]) as usize,
        size: number(&bytes[48..]) as usize,
    })
}

fn sub_buffer(bytes: &mut [u8], identity: &[u8; 16], shard: usize) {
    if !bytes.starts_with(b"CMsb") {
        return;
    }
    let checksum = crc32c_append(crc32c_append(0, identity), &bytes[..60]);
    put(&mut bytes[60..], checksum);
    let (generation, sequence) = (&bytes[48..56], &bytes[8..16]);
    let sum = [&identity[..], generation, sequence, &(shard as u32).to_le_bytes()].concat();
    let seed = crc32c_append(0, &sum);
    let mut offset = 64;
    while let Some(first) = bytes.get(offset..offset + 8).filter(|first| **first != [0; 8]) {
        let len = usize::from(u16::from_le_bytes([first[2], first[3]]));
        let end = offset + 16 + len.next_multiple_of(8);
        let Some(rest) = bytes.get(offset + 8..end) else { return };
        let tagged = [&(offset as u32).to_le_bytes(), &first[..4], rest].concat();
        put(&mut bytes[offset + 4..], crc32c_append(seed, &tagged));
        offset = end;
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn put(bytes: &mut [u8], checksum: u32) {
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
}
