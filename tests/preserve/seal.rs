//! Right tags for whatever is there, by the documentation of the format: without them no input would be read farther
//! than to the first one.

use core::ops::Range;
use twox_hash::XxHash3_64;

const HEADERS: [usize; 4] = [0, 4096, 8192, 12_288];
/// Bytes that have a tag of their own. They are fewer for fuzzers, as `src/preserve/format/mod.rs` says.
const CHUNK: u64 = if cfg!(cachemaint_small_chunks) { 4096 } else { 65_536 };

/// Puts the tags of blobs, histories, tables and headers. A header gets that of the first of its two tables.
pub(crate) fn seal(image: &mut [u8]) {
    for at in HEADERS {
        if !image[at..].starts_with(b"cmpresrv") {
            continue;
        }
        let generation = u64_at(image, at + 24);
        let [table, copy] = tables_of(image, at);
        for table in [copy, table.clone()].into_iter().flatten() {
            seal_table(image, table, generation);
        }
        if let Some(table) = table
            && table.len() >= 4
        {
            image.copy_within(table.start..table.start + 4, at + 60);
        }
        seal_header(&mut image[at..at + 64]);
    }
}

/// Puts the tag of a header.
pub(crate) fn seal_header(header: &mut [u8]) {
    let tag = xxh3(xxh3(0, &header[..16]), &header[24..]);
    put(header, 16, tag);
}

/// Both tables of each header, as far as they lie in the image.
pub(crate) fn tables(image: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let headers = HEADERS.into_iter().filter(|at| image[*at..].starts_with(b"cmpresrv"));
    headers.flat_map(|at| tables_of(image, at)).flatten()
}

fn tables_of(image: &[u8], header: usize) -> [Option<Range<usize>>; 2] {
    let len = u64::from(u32_at(image, header + 12) / 8 * 8);
    [40, 48].map(|at| range(image, u64_at(image, header + at), len))
}

fn seal_table(image: &mut [u8], table: Range<usize>, generation: u64) {
    let (start, end) = (table.start, table.end);
    if end - start < 176 {
        return;
    }
    let store = xxh3(0, &image[start + 8..start + 24]);
    let mut at = start + 176;
    for _ in 0..u32_at(image, start + 44) {
        if at + 52 > end {
            break;
        }
        let lengths = u32_at(image, at + 48) as usize;
        let (offset, len) = (u64_at(image, at), u64_at(image, at + 8));
        let key = of_words(store, [u64_at(image, at + 24), offset]);
        if let Some(tag) = blob(image, key, offset, len) {
            put(image, at + 40, tag);
        }
        at += (52 + (lengths & 0xffff) + (lengths >> 16)).next_multiple_of(8);
    }
    let number = u64_at(image, start + 24);
    let history = 16_384 + number % 2 * 4608;
    if let Some(history) = range(image, history, u32_at(image, start + 40).into()) {
        let tag = xxh3(of_words(store, [number, 0]), &image[history]);
        put(image, start + 32, tag);
    }
    let tag = xxh3(of_words(0, [generation, 0]), &image[start + 8..end]);
    put(image, start, tag);
}

/// The tag of a blob, if it lies in the image: of its bytes, or of the list of those of its chunks, which is written
/// behind it.
fn blob(image: &mut [u8], key: u64, at: u64, len: u64) -> Option<u64> {
    let of_chunk = |number: usize, bytes: &[u8]| xxh3(of_words(key, [number as u64, 0]), bytes);
    let bytes = range(image, at, len)?;
    if len <= CHUNK {
        return Some(if len == 0 { 0 } else { of_chunk(0, &image[bytes]) });
    }
    let chunks = image[bytes].chunks(CHUNK as usize).enumerate();
    let list: Vec<u8> =
        chunks.flat_map(|(number, chunk)| of_chunk(number, chunk).to_le_bytes()).collect();
    let place = range(image, at + len.next_multiple_of(8), list.len() as u64)?;
    image[place].copy_from_slice(&list);
    Some(of_chunk(list.len() / 8, &list))
}

fn xxh3(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn of_words(seed: u64, words: [u64; 2]) -> u64 {
    xxh3(seed, words.map(u64::to_le_bytes).as_flattened())
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

fn put(image: &mut [u8], at: usize, tag: u64) {
    image[at..at + 8].copy_from_slice(&tag.to_le_bytes());
}
