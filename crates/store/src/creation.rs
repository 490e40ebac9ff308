//! The log of a new store.

use crate::append::{compaction, first_capacity};
use crate::error::{Error, Part};
use crate::format::{FORMAT, LINE, PAGE, Places, Root, data, is_unit, needed, new_salt};
use crate::log::Log;
use crate::space;
use crate::store::{Store, Writer};
use crate::table::{Names, State, Table};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use core::sync::atomic::Ordering::Relaxed;

/// The sizes of a new store, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measures {
    unit: u64,
    size: u64,
    /// Bytes of a mirror of the log.
    capacity: u64,
}

impl Measures {
    /// Returns the sizes of a store that fills a medium.
    pub(crate) fn of<M: Medium>(medium: &M, unit: Option<u64>) -> Result<Self, Error<M::Error>> {
        let at_once = medium.granularity().bytes() as u64;
        let unit = unit.unwrap_or(LINE.max(at_once.next_power_of_two()));
        if !is_unit(unit) {
            return Err(Error::invalid(
                "a unit must be a power of two from 64 to 2^30 bytes",
                unit,
            ));
        }
        let size = Readable::len(medium) / unit * unit;
        let capacity = first_capacity(size, unit);
        let needed = data(unit.max(PAGE)) + 4 * capacity;
        if size < needed {
            let size = Readable::len(medium);
            return Err(Error::format(FormatError::TooSmall { size, needed }));
        }
        Ok(Self { unit, size, capacity })
    }
}

/// Creates a store in a medium without one, durable on return.
pub(crate) fn create<M: Medium>(
    medium: &Arc<M>,
    writer: Writer,
    measures: Measures,
    entropy: [u64; 2],
    clock: fn() -> u64,
) -> Result<Store<M>, Error<M::Error>> {
    let Measures { unit, size, capacity } = measures;
    let identity = Identity::from_entropy(entropy);
    let begin = data(unit.max(PAGE));
    let [current, other] =
        [0, 2].map(|area| [0, 1].map(|mirror| begin + (area + mirror) * capacity));
    // If the entropy is always the same, the first record of an earlier store here still makes a difference.
    let there = medium.try_load(current[0], Relaxed).unwrap_or(0);
    let salt = new_salt(identity, 1, there, entropy);
    let state = State { number: 1, seconds: clock(), size, ..State::default() };
    let mut table = Table { state, ..Table::default() };
    let (bytes, at, tag) = compaction(identity, salt, &table);
    let end = bytes.len() as u64;
    table.state = State { at, end, tag, ..table.state };
    let places = Places { unit, capacity, current, other, salt, end };
    let root = Root { identity, generation: 1, own: places.bytes() };
    for at in current {
        medium.write(at, &bytes);
        medium.issue_writeback(at..at + bytes.len() as u64).map_err(Error::medium)?;
    }
    // Its first fence completes these write-backs before the root can be found.
    root.create(&**medium, FORMAT).map_err(Error::medium)?;
    Store::new(Arc::clone(medium), writer, Log { root, places }, table, entropy, clock)
}

impl<M: Medium> Store<M> {
    /// Returns a store in a medium. All its bytes must be there, and none may be used twice.
    pub(crate) fn new(
        medium: Arc<M>,
        writer: Writer,
        log: Log,
        table: Table,
        entropy: [u64; 2],
        clock: fn() -> u64,
    ) -> Result<Self, Error<M::Error>> {
        if needed(table.bytes) > log.places.capacity {
            let (offset, len) = (log.places.current[0], log.places.capacity);
            return Err(Error::damaged(Part::Table, offset, len));
        }
        let space = space::of_log(&log, &table)?;
        Ok(Self {
            medium,
            writer,
            log,
            table,
            space,
            in_use: BTreeMap::new(),
            clock,
            entropy,
            has_failed: false,
            buffer: Vec::new(),
            spare: Names::default(),
        })
    }
}
