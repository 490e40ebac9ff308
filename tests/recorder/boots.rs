//! The start of a ring at a fixed address, with anything in its RAM.

use super::plain::{Plain, SIZE, clock, shown};
use cachemaint::medium::Medium;
use cachemaint::recorder::{Clock, Cursor, Error, ErrorKind, Identity, Options, Recorder};
use core::sync::atomic::Ordering;

/// Four shards of two sub-buffers of 4096 bytes.
const LEN: usize = 3 * 4096 + 8 * 4096;

type Ring<M> = Recorder<M, [Cursor; 4]>;

/// Continues the ring of the last boot, or creates one. `docs/logs-and-recorders.md` shows this function.
fn start<M: Medium>(
    memory: M,
    identity: Identity,
    clock: Clock,
) -> Result<Ring<M>, Error<M::Error>> {
    let options = Options::with_clock(identity, clock).shards(4);
    let options = options.cursors(|_| [const { Cursor::new() }; 4]);
    let refused = match options.open_or_create(memory) {
        Ok(ring) => return Ok(ring), // warm: the events of the last boot are in it; zeros: a new one
        Err(refused) => refused,
    };
    match refused.error.kind() {
        ErrorKind::Foreign { .. } // cold: RAM has any content
        | ErrorKind::Damaged { .. } // RAM has decayed, or other firmware has made the ring
        | ErrorKind::Version { .. }
        | ErrorKind::Truncated { .. }
        | ErrorKind::FewCursors { .. }
        | ErrorKind::WornOut => {}
        _ => return Err(refused.error),
    }
    let memory = refused.into_medium();
    for at in [0, 4096].into_iter().filter(|at| *at < memory.len()) {
        memory.store(at, 0, Ordering::Relaxed); // erases what began there: see `Options::create_new`
    }
    Ok(options.create_new(memory)?)
}

/// Starts a ring and records an event. Returns the generation and the number of events in the ring.
fn boot(medium: &Plain, identity: u8) -> (u64, usize) {
    let ring = start(medium, Identity([identity; 16]), clock()).unwrap();
    ring.claim().unwrap().record_at(1, 1, b"the valve is open").unwrap();
    (ring.description().generation, shown(&ring.reader(), 0).events.len())
}

#[test]
fn a_cold_start_creates_a_ring_and_a_warm_start_continues_it() {
    for byte in [0, 0xee] {
        let medium = Plain::new(LEN);
        medium.write(0, &vec![byte; LEN]);
        assert_eq!(boot(&medium, 1), (1, 1));
        assert_eq!(boot(&medium, 2), (2, 2));
    }
}

#[test]
fn a_ring_takes_the_place_of_a_journal_or_store() {
    for (at, magic) in [(0, b"cmjournl"), (4096, b"cmpresrv")] {
        let medium = Plain::new(LEN);
        medium.write(at, magic);
        assert_eq!(boot(&medium, 1), (1, 1));
    }
}

#[test]
fn memory_without_room_is_refused() {
    let medium = Plain::new(4096);
    medium.write(0, b"CMtRace\x1a");
    let refused = start(&medium, Identity([1; 16]), clock()).map(drop).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::TooSmall { .. }), "{refused}");
}

#[test]
fn a_damaged_ring_is_started_anew() {
    let medium = Plain::new(LEN);
    assert_eq!([boot(&medium, 1), boot(&medium, 2)], [(1, 1), (2, 2)]);
    for at in [0, 4096] {
        medium.write(at + 16, &[0xee; 8]); // the tags of the descriptors
    }
    assert_eq!(boot(&medium, 3), (1, 1));
}

#[test]
fn a_ring_of_another_version_is_started_anew() {
    let medium = Plain::new(LEN);
    medium.write(4096, b"CMtRace\x1a\x01\0\0\0\x80\0\0\0");
    assert_eq!(boot(&medium, 1), (1, 1));
}

#[test]
fn a_ring_with_more_shards_or_bytes_is_started_anew() {
    let options = Options::with_clock(Identity([9; 16]), clock()).sub_buffer_size(SIZE as u32);
    let medium = Plain::new(LEN);
    drop(options.shards(5).create_new(&medium).unwrap());
    assert_eq!(boot(&medium, 1), (1, 1));
    let long = Plain::new(2 * LEN);
    drop(options.create_new(&long).unwrap());
    let medium = Plain::new(LEN);
    medium.write(0, &long.bytes()[..LEN]);
    assert_eq!(boot(&medium, 1), (1, 1));
}

/// RAM at a fixed address has no other place for a new recording.
#[test]
fn the_refusal_to_replace_a_recording_names_the_way_to_erase_it() {
    let medium = Plain::new(LEN);
    boot(&medium, 1);
    let options = Options::with_clock(Identity([2; 16]), clock());
    let refused = options.create_new(&medium).map(drop).unwrap_err();
    assert!(refused.error.to_string().contains("zeros in the 8 bytes at 0 and at 4096"));
    for at in [0, 4096] {
        medium.store(at, 0, Ordering::Relaxed);
    }
    drop(options.create_new(&medium).unwrap());
}
