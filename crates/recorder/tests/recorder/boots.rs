//! The start of a ring at a fixed address, whatever its RAM contains.

use super::plain::{BASE, SIZE, clock, shown};
use cachemaint::medium::Medium;
use cachemaint_recorder::{
    Clock, Cursor, Error, ErrorKind, FormatError, Identity, Options, Reader, Recorder,
};
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::Ordering;

/// Four shards of two sub-buffers of 4096 bytes.
const LEN: usize = BASE + 8 * 4096;

/// Continues the ring of the last boot, or creates one.
fn start<M: Medium>(
    memory: M,
    identity: Identity,
    clock: Clock,
    cursors: &mut [Cursor],
) -> Result<Recorder<'_, M>, Error<M::Error>> {
    let is_of_this_firmware = match Reader::open(&memory) {
        Ok(reader) => reader.description().shards as usize <= cursors.len(),
        // Cold: RAM has any content. Or it has decayed, or another firmware has made the ring.
        Err(_) => false,
    };
    if !is_of_this_firmware {
        for at in [0, 4096, 8192, 12288].into_iter().filter(|at| *at < memory.len()) {
            memory.store(at, 0, Ordering::Relaxed); // erases what began there: see `Options::create_new`
        }
    }
    let options = Options::with_clock(identity, clock).shards(4).cursors(cursors);
    let (ring, _opened) = options.open_or_create(memory)?;
    Ok(ring)
}

/// Starts a ring and records an event. Returns the generation and the number of events in the ring.
fn boot(medium: &Plain, identity: u8) -> (u64, usize) {
    let mut cursors = [const { Cursor::new() }; 4];
    let ring = start(medium, Identity([identity; 16]), clock(), &mut cursors).unwrap();
    ring.claim().unwrap().record_at(1, 1, b"the valve is open").unwrap();
    (ring.description().generation, shown(&ring.reader(), 0).events.len())
}

#[test]
fn a_cold_start_creates_a_ring_and_a_warm_start_continues_it() {
    for byte in [0, 0xee] {
        let medium = Plain::zeros(LEN);
        medium.write(0, &vec![byte; LEN]);
        assert_eq!(boot(&medium, 1), (1, 1));
        assert_eq!(boot(&medium, 2), (2, 2));
    }
}

#[test]
fn a_ring_takes_the_place_of_anything_else() {
    let options = || Options::with_clock(Identity([9; 16]), clock()).sub_buffer_size(SIZE as u32);
    let [foreign, journal, store, older, damaged, more, cut] = [(); 7].map(|()| Plain::zeros(LEN));
    foreign.write(0, b"\x7fELF\x02\x01\x01\0");
    journal.write(0, b"cmjournl");
    store.write(4096, b"cmpresrv");
    older.write(4096, b"CMtRace\x1a\x01\0\0\0\x80\0\0\0");
    boot(&damaged, 2);
    for at in [0, 4096, 8192, 12288] {
        damaged.write(at + 16, &[0xee; 8]); // the tags of the roots
    }
    drop(options().shards(5).create_new(&more).unwrap().0);
    let long = Plain::zeros(2 * LEN);
    drop(options().create_new(&long).unwrap().0);
    cut.write(0, &long.bytes()[..LEN]);
    for medium in [foreign, journal, store, older, damaged, more, cut] {
        assert_eq!(boot(&medium, 1), (1, 1));
    }
}

#[test]
fn memory_without_room_is_refused() {
    let medium = Plain::zeros(4096);
    medium.write(0, b"CMtRace\x1a");
    let mut cursors = [const { Cursor::new() }; 4];
    let refused = start(&medium, Identity([1; 16]), clock(), &mut cursors).map(drop).unwrap_err();
    let is_it = matches!(refused.kind(), ErrorKind::Format(FormatError::TooSmall { .. }));
    assert!(is_it, "{refused}");
}

/// A ring at a fixed address has no other place for a new recording.
#[test]
fn the_refusal_to_replace_a_recording_names_the_way_to_erase_it() {
    let medium = Plain::zeros(LEN);
    boot(&medium, 1);
    let options = || Options::with_clock(Identity([2; 16]), clock());
    let refused = options().create_new(&medium).map(drop).unwrap_err();
    assert!(refused.error.to_string().contains("at offsets 0, 4096, 8192 and 12288"));
    for at in [0, 4096, 8192, 12288] {
        medium.store(at, 0, Ordering::Relaxed);
    }
    drop(options().create_new(&medium).unwrap());
}
