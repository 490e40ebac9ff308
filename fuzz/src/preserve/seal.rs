//! Right checksums for whatever is there, by the documentation of the format: without them no input would be read
//! farther than to the first one.

use core::ops::Range;
use crc32c::{crc32c, crc32c_append};

const HEADERS: [usize; 4] = [0, 4096, 8192, 12_288];

/// The checksums of blobs, histories, tables and headers, the first tables of headers being taken for both.
pub(super) fn seal(image: &mut [u8]) {
    for table in tables(image).collect::<Vec<_>>() {
        seal_table(image, table);
    }
    for at in HEADERS {
        if !image[at..].starts_with(b"cmpresrv") {
            continue;
        }
        let len = u32_at(image, at + 48);
        if let Some(table) = range(image, u64_at(image, at + 32), len.into()) {
            let checksum = crc32c(&image[table]);
            put(image, at + 52, checksum);
        }
        let checksum = crc32c_append(crc32c(&image[at..at + 12]), &image[at + 16..at + 64]);
        put(image, at + 12, checksum);
    }
}

/// Both tables of each header, as far as they lie in the image.
pub(super) fn tables(image: &[u8]) -> impl Iterator<Item = Range<usize>> {
    HEADERS.into_iter().flat_map(move |at| {
        let is_header = image[at..].starts_with(b"cmpresrv");
        let len = u64::from(u32_at(image, at + 48) / 8 * 8);
        let found = [32, 40].map(|table| range(image, u64_at(image, at + table), len));
        found.into_iter().flatten().filter(move |_| is_header)
    })
}

fn seal_table(image: &mut [u8], table: Range<usize>) {
    let (start, end) = (table.start, table.end);
    if end - start < 168 {
        return;
    }
    let mut at = start + 168;
    for _ in 0..u32_at(image, start + 32) {
        if at + 48 > end {
            break;
        }
        let lengths = u32_at(image, at + 44) as usize;
        if let Some(checksum) = blob(image, u64_at(image, at), u64_at(image, at + 8)) {
            put(image, at + 40, checksum);
        }
        at += (48 + (lengths & 0xffff) + (lengths >> 16)).next_multiple_of(8);
    }
    let history = 16_384 + u64_at(image, start + 16) % 2 * 4608;
    if let Some(history) = range(image, history, u32_at(image, start + 24).into()) {
        let checksum = crc32c(&image[history]);
        put(image, start + 28, checksum);
    }
}

/// The checksum of a blob, if it lies in the image: of its bytes, or of the list of those of its chunks, which is
/// written behind it.
fn blob(image: &mut [u8], at: u64, len: u64) -> Option<u32> {
    let bytes = range(image, at, len)?;
    if len <= 65_536 {
        return Some(crc32c(&image[bytes]));
    }
    let list: Vec<u8> =
        image[bytes].chunks(65_536).flat_map(|chunk| crc32c(chunk).to_le_bytes()).collect();
    let place = range(image, at + len.next_multiple_of(8), list.len() as u64)?;
    image[place].copy_from_slice(&list);
    Some(crc32c(&list))
}

/// A range behind the headers and in the image.
fn range(image: &[u8], at: u64, len: u64) -> Option<Range<usize>> {
    let end = at.checked_add(len)?;
    (at >= 16_384 && end <= image.len() as u64).then_some(at as usize..end as usize)
}

fn u32_at(image: &[u8], at: usize) -> u32 {
    image[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    image[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn put(image: &mut [u8], at: usize, checksum: u32) {
    image[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}
