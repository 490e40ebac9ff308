//! Right tags for whatever is there, by the documentation of the format: without them no input would be read farther
//! than to the first one.

use core::ops::Range;
use twox_hash::XxHash3_64;

const HEADERS: [usize; 4] = [0, 4096, 8192, 12_288];
/// Bytes of a root before its entries or children.
const ROOT: usize = 176;
/// Bytes that have a tag of their own. They are fewer for fuzzers, as `src/preserve/format/mod.rs` says.
const CHUNK: u64 = if cfg!(cachemaint_small_chunks) { 4096 } else { 65_536 };

/// Pages that are sealed at most: forged ones may be below each other in many ways.
const PAGES: usize = 1000;

/// Puts the tags of blobs, histories, tables and headers. A header gets that of the first of its two roots, a child that of
/// the first of its two pages.
pub(crate) fn seal(image: &mut [u8]) {
    for at in HEADERS {
        if !image[at..].starts_with(b"cmpresrv") {
            continue;
        }
        let generation = u64_at(image, at + 24);
        let [root, copy] = roots_of(image, at);
        for root in [copy, root.clone()].into_iter().flatten() {
            seal_root(image, root, generation);
        }
        if let Some(root) = root
            && root.len() >= 4
        {
            image.copy_within(root.start..root.start + 4, at + 60);
        }
        seal_header(&mut image[at..at + 64]);
    }
}

/// Puts the tag of a header.
pub(crate) fn seal_header(header: &mut [u8]) {
    let tag = xxh3(xxh3(0, &header[..16]), &header[24..]);
    put(header, 16, tag);
}

/// Both copies of each page of the tables of all headers, as far as they lie in the image.
pub(crate) fn tables(image: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let headers = HEADERS.into_iter().filter(|at| image[*at..].starts_with(b"cmpresrv"));
    let mut pages = Vec::new();
    for root in headers.flat_map(|at| roots_of(image, at)).flatten() {
        let level = u16_at(image, root.start + 42);
        pages.push(root.clone());
        if root.len() >= ROOT {
            pages_below(image, root.start + ROOT..root.end, level, &mut pages);
        }
    }
    pages.into_iter()
}

fn pages_below(image: &[u8], page: Range<usize>, level: usize, pages: &mut Vec<Range<usize>>) {
    let Some(below) = level.checked_sub(1) else { return };
    for child in children(image, page) {
        for copy in copies(image, child).into_iter().flatten() {
            if pages.len() < PAGES {
                pages.push(copy.clone());
                pages_below(image, copy, below, pages);
            }
        }
    }
}

fn roots_of(image: &[u8], header: usize) -> [Option<Range<usize>>; 2] {
    let len = u64::from(u32_at(image, header + 12) / 8 * 8);
    [40, 48].map(|at| range(image, u64_at(image, header + at), len))
}

/// The places of the children of a page.
fn children(image: &[u8], page: Range<usize>) -> Vec<usize> {
    let mut at = page.start;
    let mut children = Vec::new();
    while at + 28 <= page.end {
        children.push(at);
        at += (28 + u16_at(image, at + 26)).next_multiple_of(8);
    }
    children
}

/// Both copies of the page of a child.
fn copies(image: &[u8], child: usize) -> [Option<Range<usize>>; 2] {
    let len = u16_at(image, child + 24) as u64;
    [0, 8].map(|at| range(image, u64_at(image, child + at), len))
}

fn seal_root(image: &mut [u8], root: Range<usize>, generation: u64) {
    let (start, end) = (root.start, root.end);
    if end - start < ROOT {
        return;
    }
    let store = xxh3(0, &image[start + 8..start + 24]);
    let level = u16_at(image, start + 42);
    seal_page(image, store, level, start + ROOT..end, &mut PAGES.clone());
    let number = u64_at(image, start + 24);
    let history = 16_384 + number % 2 * 4608;
    if let Some(history) = range(image, history, u16_at(image, start + 40) as u64) {
        let tag = xxh3(of_words(store, [number, 0]), &image[history]);
        put(image, start + 32, tag);
    }
    let tag = xxh3(of_words(0, [generation, 0]), &image[start + 8..end]);
    put(image, start, tag);
}

/// Puts the tags of the blobs of a page, or of the pages below it.
fn seal_page(image: &mut [u8], store: u64, level: usize, page: Range<usize>, left: &mut usize) {
    let Some(below) = level.checked_sub(1) else {
        return seal_entries(image, store, page);
    };
    for child in children(image, page) {
        for copy in copies(image, child).into_iter().rev().flatten() {
            if *left == 0 {
                return;
            }
            *left -= 1;
            seal_page(image, store, below, copy.clone(), left);
            let tag = xxh3(of_words(store, [below as u64, 1]), &image[copy]);
            put(image, child + 16, tag);
        }
    }
}

fn seal_entries(image: &mut [u8], store: u64, page: Range<usize>) {
    let mut at = page.start;
    while at + 52 <= page.end {
        let (offset, len) = (u64_at(image, at), u64_at(image, at + 8));
        let key = of_words(store, [u64_at(image, at + 24), offset]);
        let is_region = image[at + 49] == 1;
        // Of a region there is no tag.
        if !is_region && let Some(tag) = blob(image, key, offset, len) {
            put(image, at + 40, tag);
        }
        at += (52 + usize::from(image[at + 48]) + u16_at(image, at + 50)).next_multiple_of(8);
    }
}

/// The tag of a blob, if it lies in the image: of its bytes, or of the list of those of its chunks, which is written
/// after it.
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

/// A range after the headers and in the image.
fn range(image: &[u8], at: u64, len: u64) -> Option<Range<usize>> {
    let end = at.checked_add(len)?;
    (at >= 16_384 && end <= image.len() as u64).then_some(at as usize..end as usize)
}

fn u32_at(image: &[u8], at: usize) -> u32 {
    image[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u16_at(image: &[u8], at: usize) -> usize {
    image
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u16::from_le_bytes(*bytes).into())
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    image[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn put(image: &mut [u8], at: usize, tag: u64) {
    image[at..at + 8].copy_from_slice(&tag.to_le_bytes());
}
