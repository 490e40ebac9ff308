//! The cost of reading and opening, which the size of the file bounds for any content and any number of shards.

use super::plain::{BASE, clock, options};
use cachemaint::medium::Medium as _;
use cachemaint_recorder::{Durability, Identity, Options, Reader};
use cachemaint_test_support::counting::Counting;
use cachemaint_test_support::looks::Looks;
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::Ordering::Relaxed;

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

/// Returns a recording with shards of equal length, the first `busy` of which have events of 32 bytes.
fn recording(shards: u32, sub_buffers: u32, size: u32, busy: u32) -> Vec<u8> {
    let options = Options::with_clock(Identity([7; 16]), clock())
        .shards(shards)
        .sub_buffers(sub_buffers)
        .sub_buffer_size(size);
    let medium = Plain::zeros(BASE + (shards * sub_buffers * size) as usize);
    let recorder = options.create_new(&medium).unwrap().0;
    let writers: Vec<_> = (0..busy).map(|_| recorder.claim().unwrap()).collect();
    for number in 0..u64::from(sub_buffers * size / 40) {
        for writer in &writers {
            writer.record_at(number, 1, &number.to_le_bytes()).unwrap();
        }
    }
    drop(writers);
    medium.bytes()
}

/// An event is read once for its tag and once for the copy, and each header a few times. Shards that are empty or at
/// their end are not read again.
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

/// Fills sub-buffers with words, each of which looks like the beginning of the longest possible record.
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

/// The documented bound, for all bytes together. Each sub-buffer keeps its header. After its first record, all other
/// bytes begin records, one inside another, with a valid record between them.
#[test]
fn crafted_bytes_cost_no_more_than_a_multiple_of_the_file() {
    for size in [256, 512, 4096, 1 << 17] {
        for kept in [0, 64, 64 + 32] {
            let mut image = recording(1, (1 << 20) / size, size, 1);
            let valid = image.clone();
            crafted(&mut image, size as usize, false);
            for start in (BASE..image.len()).step_by(size as usize) {
                for valid_at in [0..kept, size as usize / 2..size as usize / 2 + 32] {
                    let range = start + valid_at.start..start + valid_at.end;
                    image[range.clone()].copy_from_slice(&valid[range]);
                }
            }
            let (found, looks) = read(&image);
            assert!(kept == 0 || found > (1 << 19) / size as usize, "{found}");
            let most = 20 * (image.len() - BASE) as u64 + 64 * 4 * 4096;
            assert!(looks < most, "{size} bytes, {kept} of them kept: {looks}");
        }
    }
}

/// A reader only waits for a writer in the middle of a store. A recording with one opening has two empty slots.
#[test]
fn the_roots_of_a_new_recording_are_read_once() {
    let image = recording(1, 2, 256, 1);
    let looks = Looks::new(&image);
    assert!(Reader::open(&looks).is_ok());
    assert!(looks.taken() <= 4 * 120);
}

/// The documented costs of each durability, with line granularity.
#[test]
fn an_event_and_a_sub_buffer_have_the_documented_fences() {
    for (durability, of_event, of_sub_buffer) in [
        (Durability::OnRequest, 0, 1),
        (Durability::SubBuffer, 0, 2),
        (Durability::EachAppend, 1, 1),
    ] {
        let medium = Counting::new(Plain::zeros(1 << 16));
        let options = options().durability(durability);
        let recorder = options.create_new(&medium).map_err(|failed| failed.error).unwrap().0;
        let writer = recorder.claim().unwrap();
        medium.taken();
        // Three of them fit a sub-buffer.
        (0..30).for_each(|time| writer.record_at(time, 1, &[7; 40]).unwrap());
        assert_eq!(medium.taken()[2], of_event * 30 + of_sub_buffer * 10, "{durability:?}");
    }
}

/// An opening reads each header once.
#[test]
fn an_opening_of_crafted_bytes_reads_headers_alone() {
    for (shards, size) in [(1, 256), (16, 256), (1, 4096), (1, 1 << 17)] {
        let sub_buffers = (1 << 20) / size / shards;
        let mut image = recording(shards, sub_buffers, size, shards);
        let valid = image.clone();
        crafted(&mut image, size as usize, false);
        for start in (BASE..image.len()).step_by(size as usize) {
            image[start..start + 64].copy_from_slice(&valid[start..start + 64]);
        }
        let medium = Counting::new(Plain::zeros(image.len()));
        medium.write(0, &image);
        medium.looked_at.store(0, Relaxed);
        let options = Options::with_clock(Identity([7; 16]), clock());
        drop(options.open(&medium).map_err(|failed| failed.error).unwrap());
        let looked_at = medium.looked_at.load(Relaxed);
        let headers = u64::from(shards * sub_buffers) * 80;
        let most = headers + 8 * 4096;
        assert!(looked_at < most, "{shards} shards, {size} bytes: {looked_at}");
    }
}
