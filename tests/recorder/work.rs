//! The work of reading and of opening, which is bounded by the size of the file for any content and any division into
//! shards.

use super::plain::{Plain, clock};
use crate::counting::Counting;
use crate::looks::Looks;
use cachemaint::medium::Medium as _;
use cachemaint::recorder::{Identity, Options, Reader};
use core::sync::atomic::Ordering::Relaxed;

const BASE: usize = 3 * 4096;

/// Returns the number of events in all shards, and the number of bytes read.
fn read(image: &[u8]) -> (usize, u64) {
    let looks = Looks::new(image);
    let reader = Reader::open(&looks).unwrap();
    let mut buffer = vec![0; reader.largest_payload()];
    let (mut events, mut found) = (reader.events(), 0);
    while events.read_next(&mut buffer).unwrap().is_some() {
        found += 1;
    }
    (found, looks.taken())
}

/// A recording of so many shards, each of which is as long, with events of 32 bytes in the first `busy` ones.
fn recording(shards: u32, sub_buffers: u32, size: u32, busy: u32) -> Vec<u8> {
    let options = Options::with_clock(Identity([7; 16]), clock())
        .shards(shards)
        .sub_buffers(sub_buffers)
        .sub_buffer_size(size);
    let base = BASE.max((8192 + shards as usize * 256).next_multiple_of(4096));
    let medium = Plain::new(base + (shards * sub_buffers * size) as usize);
    let recorder = options.create_new(&medium).unwrap();
    let writers: Vec<_> = (0..busy).map(|_| recorder.claim().unwrap()).collect();
    for number in 0..u64::from(sub_buffers * size / 40) {
        for writer in &writers {
            writer.record_at(number, 1, &number.to_le_bytes()).unwrap();
        }
    }
    drop(writers);
    medium.bytes()
}

/// An event is read for its tag and to be copied, and each header is read a few times. Shards that are empty or at their
/// end are not read again.
#[test]
fn an_event_costs_the_same_however_many_shards_there_are() {
    let few =
        [(1, 1), (64, 64), (64, 1)].map(|(shards, busy)| [(shards, busy, 4), (shards, busy, 64)]);
    let many = [(1024, 1024, 4), (1024, 1, 4)];
    for (shards, busy, sub_buffers) in few.into_iter().flatten().chain(many) {
        let image = recording(shards, sub_buffers, 1024, busy);
        let (found, looks) = read(&image);
        assert!(found > 800 * busy as usize / 32, "{found}");
        assert!(
            looks < 6 * image.len() as u64,
            "{shards} shards, {busy} busy, {sub_buffers}: {looks}"
        );
    }
}

/// Fills sub-buffers with places that each begin a record as long as can be, if only their own words are asked.
fn crafted(image: &mut [u8], size: usize, keeps_first: bool) {
    for start in (BASE..image.len()).step_by(size).skip(usize::from(keeps_first)) {
        for offset in (0..size).step_by(8) {
            let longest = (size - offset).saturating_sub(24).min(0xffff) as u64;
            // The id, the length, the offset.
            let word = longest << 16 | (offset as u64).wrapping_sub(8) << 32;
            image[start + offset..][..8].copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Every other slot has a header of an opening of its own, and a record. The others are to be searched under as many
/// headers as possible. All other bytes begin records, one inside another.
fn crafted_between(size: usize, slots: usize, longest: usize) -> Vec<u8> {
    let options = || {
        let identity = Identity([7; 16]);
        let options = Options::with_clock(identity, clock()).sub_buffers(slots as u32);
        options.sub_buffer_size(size as u32)
    };
    let medium = Plain::new(BASE + size * slots);
    drop(options().create_new(&medium).unwrap());
    for number in 0..3 * slots as u64 {
        let recorder = options().open(&medium).unwrap();
        recorder.claim().unwrap().record_at(number, 1, &[1; 8]).unwrap();
    }
    let mut image = medium.bytes();
    for slot in 0..slots {
        let kept = if slot % 2 == 0 { 64 + 32 } else { 0 };
        for at in (kept..size).step_by(8) {
            // The record begins in the word before.
            let offset = at.wrapping_sub(8);
            let room = size.saturating_sub(offset.wrapping_add(24));
            let word = (longest.min(room) as u64) << 16 | (offset as u64) << 32;
            image[BASE + slot * size + at..][..8].copy_from_slice(&word.to_le_bytes());
        }
    }
    image
}

/// The documented bound holds for all bytes together: one word of these images is read a thousand times.
#[test]
fn crafted_bytes_between_headers_cost_no_more_than_a_multiple_of_the_file() {
    for (size, longest) in [(256, 248), (512, 248), (4096, 248), (4096, 2048), (1 << 17, 0xfff8)] {
        let image = crafted_between(size, 16, longest);
        let (found, looks) = read(&image);
        assert!(found >= 8, "{found}");
        assert!(looks < 180 * image.len() as u64, "{size} bytes, {longest} each: {looks}");
        assert!(looks > 20 * (image.len() - BASE) as u64, "{size} bytes, {longest} each: {looks}");
    }
}

/// By hand: a slot without a header is searched in each of three rounds with nine keys. Each search reads a word at
/// each place, which is the size, and verifies at most three times the size. Before that the bytes are read once.
const MOST: u64 = 3 * (1 + 9 * (1 + 3));

#[test]
fn crafted_bytes_cost_no_more_than_a_multiple_of_the_file() {
    for size in [256, 4096, 1 << 18] {
        for keeps_first in [false, true] {
            let mut image = recording(1, (1 << 21) / size, size, 1);
            crafted(&mut image, size as usize, keeps_first);
            let (_, looks) = read(&image);
            assert!(
                looks < MOST * image.len() as u64,
                "{size} bytes, with a header: {keeps_first}: {looks}"
            );
        }
    }
}

/// By hand: an opening searches a slot without a header with four keys, and each search costs at most 6.2 times the size
/// (module `recorder::reader`). Before that the slot is read once. Its first word is loaded eight times: once for the newest
/// opening, twice for the newest header of the shard, once for its own header, and for four slots beside it. This is less
/// than a sub-buffer of 256 bytes has.
const MOST_OF_OPENING: u64 = 25 + 1 + 1;

/// Only the first slot of each shard has a header, so that all others are searched.
#[test]
fn an_opening_of_crafted_bytes_costs_no_more_than_a_multiple_of_the_file() {
    for (shards, size) in [(1, 256), (16, 256), (1, 4096), (1, 1 << 17)] {
        let mut image = recording(shards, (1 << 20) / size / shards, size, shards);
        let of_shard = (1 << 20) / shards as usize;
        for shard in image[BASE..].chunks_exact_mut(of_shard) {
            let kept = shard[..size as usize].to_vec();
            let mut crafted_shard = vec![0; BASE + of_shard];
            crafted(&mut crafted_shard, size as usize, true);
            shard.copy_from_slice(&crafted_shard[BASE..]);
            shard[..size as usize].copy_from_slice(&kept);
        }
        let medium = Counting::new(Plain::new(image.len()));
        medium.write(0, &image);
        let options = || Options::with_clock(Identity([7; 16]), clock());
        // After these, four openings can have begun the other sub-buffers.
        for _ in 0..4 {
            drop(options().open(&medium).map_err(|failed| failed.error).unwrap());
        }
        medium.looked_at.store(0, Relaxed);
        drop(options().open(&medium).map_err(|failed| failed.error).unwrap());
        let looked_at = medium.looked_at.load(Relaxed);
        let most = MOST_OF_OPENING * image.len() as u64;
        assert!(looked_at < most, "{shards} shards, {size} bytes: {looked_at}");
        assert!(looked_at > 4 * (1 << 20), "{shards} shards, {size} bytes: {looked_at}");
    }
}
