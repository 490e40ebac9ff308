//! The rules: what goes wrong when an operation meets a line, by what the line is and who wrote it last.
//!
//! [`cell`] is all of them; [`super::model`] knows lines and decides nothing. They follow from rules that Armv8 (DDI 0487),
//! Armv7 (DDI 0406C) and RISC-V ("CMO" of the unprivileged manual) share:
//!
//! 1. A line may be fetched at any time ("General behavior of the caches"; "Cache behavior"; "Memory and Caches"), so that a
//!    load may return bytes as old as the last invalidation.
//! 2. A line that was stored to may be written back at any time, as a whole, over what a device wrote meanwhile; another line
//!    never (the same sections; "Coherent Agents and Caches").
//! 3. An invalidation drops what was stored since the last write-back, unless the line was written back at any time before or
//!    by the invalidation itself (DC IVAC; DCIMVAC; "Load Values", with the third case for a write-back before it).
//! 4. Operations on one line are carried out in program order. Other observers see that after a DSB or FENCE ("Ordering and
//!    completion of data and instruction cache instructions"; "Ordering of cache and branch predictor maintenance
//!    operations"; "Memory Ordering").

/// A mistake, or an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A load of bytes that a device wrote, from a line that the CPU had fetched before.
    StaleRead,
    /// The same, from a line that was dropped before the device wrote: speculation can have fetched it in between.
    SpeculativeRead,
    /// A load of bytes that a device wrote, after a store to their line had merged with an older copy of it.
    OldBytesMerged,
    /// A dirty line covers bytes that a device wrote; its write-back overwrites them.
    WrittenOver,
    /// A device is to write to a line that is dirty, or has done so: an eviction overwrites the device's bytes.
    DirtyUnderDevice,
    /// A device is to read bytes that are only in the cache.
    DirtyAtDoorbell,
    /// A device is to access a line, or has written it, whose write-back no fence had completed.
    UnfencedAtDoorbell,
    /// A load, or a device's read, of bytes whose stores an invalidation dropped.
    BytesLost,
    /// A loop that polls read bytes that a device wrote after the invalidation; it reads again. Not a mistake.
    PollRace,
}

impl Kind {
    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaleRead => "stale-read",
            Self::SpeculativeRead => "speculative-read",
            Self::OldBytesMerged => "old-bytes-merged",
            Self::WrittenOver => "written-over",
            Self::DirtyUnderDevice => "dirty-under-device",
            Self::DirtyAtDoorbell => "dirty-at-doorbell",
            Self::UnfencedAtDoorbell => "unfenced-at-doorbell",
            Self::BytesLost => "bytes-lost",
            Self::PollRace => "poll-race",
        }
    }
}

/// An operation on a line. Maintenance meets it when it is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A CPU loads some bytes.
    Load,
    /// A CPU stores some bytes.
    Store,
    /// Writes back, without or with dropping the line.
    Clean,
    /// Drops the line.
    Invalidate,
    /// Completes maintenance.
    Fence,
    /// A device gets the bytes to read.
    DeviceReads,
    /// A device gets the bytes to write, or has written them.
    DeviceWrites,
}

/// What a line is in the CPUs' cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not fetched since it was dropped.
    Absent,
    /// Dropped or fetched by a loop that polls.
    Polled,
    /// Fetched.
    Clean,
    /// Stored to.
    Dirty,
    /// Its stores are written back, but no fence has completed that.
    Cleaning,
    /// Stored to when it was older than memory.
    Merged,
    /// The same, and written back as in `Cleaning`.
    MergedCleaning,
    /// The same, and written back or dropped, so that memory may have the old bytes.
    Old,
    /// An invalidation dropped the last stores to these bytes.
    Lost,
}

/// Who wrote the line last, as the bytes of memory and cache show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writer {
    /// The cache has all that was written.
    Cpu,
    /// Memory has bytes that the cache does not.
    Device,
}

/// What the model does, beside noting what the operation does in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing else.
    Nothing,
    /// The device's bytes count, and the line is as if it had not been older.
    Take,
    /// The store merges with old bytes.
    Merge,
    /// The stores are lost.
    Lose,
    /// Memory may have the old bytes from now on; an invalidation may also lose the stores.
    Keep,
    /// Found once: the bytes count as written back.
    Forget,
}

/// A finding, if there is one, and its consequence.
pub type Cell = (Option<Kind>, Then);

const fn found(kind: Kind, then: Then) -> Cell {
    (Some(kind), then)
}

/// Returns what is found and done.
#[must_use]
pub const fn cell(operation: Operation, line: State, last: Writer) -> Cell {
    const ROWS: [[Cell; 9]; 14] = rows();
    ROWS[2 * operation as usize + last as usize][line as usize]
}

#[rustfmt::skip]
const fn rows() -> [[Cell; 9]; 14] {
    const NONE: Cell = (None, Then::Nothing);
    const LOSE: Cell = (None, Then::Lose);
    const KEEP: Cell = (None, Then::Keep);
    const MERGE: Cell = (None, Then::Merge);
    const OVER: Cell = found(Kind::WrittenOver, Then::Take);
    const OLD: Cell = found(Kind::OldBytesMerged, Then::Take);
    const SPEC: Cell = found(Kind::SpeculativeRead, Then::Take);
    const UNDER: Cell = found(Kind::DirtyUnderDevice, Then::Take);
    const ROOM: Cell = found(Kind::DirtyUnderDevice, Then::Forget);
    const BELL: Cell = found(Kind::DirtyAtDoorbell, Then::Forget);
    const WAIT: Cell = found(Kind::UnfencedAtDoorbell, Then::Forget);
    const LATE: Cell = found(Kind::UnfencedAtDoorbell, Then::Take);
    const LOST: Cell = found(Kind::BytesLost, Then::Forget);
    const POLL: Cell = found(Kind::PollRace, Then::Take);
    const STALE: Cell = found(Kind::StaleRead, Then::Take);
    [
        // Absent Polled Clean  Dirty Cleaning Merged MergedCleaning Old Lost
        // Load of bytes that nobody but a CPU wrote (rule 3), and of a device's (1, 2).
        [NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  LOST],
        [SPEC,  POLL,  STALE, OVER,  LATE,  OLD,   OLD,   OLD,   SPEC],
        // Store (2).
        [NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE],
        [MERGE, MERGE, MERGE, NONE,  NONE,  NONE,  NONE,  NONE,  MERGE],
        // Clean (2, 4). Old bytes are a mistake once somebody loads them.
        [NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE],
        [NONE,  NONE,  NONE,  OVER,  LATE,  KEEP,  KEEP,  NONE,  NONE],
        // Invalidate (2, 3): an eviction may have overwritten the device's bytes. A write-back before it is carried out (4).
        [NONE,  NONE,  NONE,  LOSE,  NONE,  LOSE,  NONE,  NONE,  NONE],
        [NONE,  NONE,  NONE,  UNDER, LATE,  KEEP,  KEEP,  NONE,  NONE],
        // Fence (4).
        [NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE,  NONE],
        [NONE,  NONE,  NONE,  NONE,  LATE,  NONE,  NONE,  NONE,  NONE],
        // DeviceReads of bytes that nobody but a CPU wrote (3, 4), and of another device's (2).
        [NONE,  NONE,  NONE,  BELL,  WAIT,  BELL,  WAIT,  NONE,  LOST],
        [NONE,  NONE,  NONE,  BELL,  WAIT,  BELL,  WAIT,  OLD,   LOST],
        // DeviceWrites (2, 4).
        [NONE,  NONE,  NONE,  ROOM,  WAIT,  ROOM,  WAIT,  NONE,  NONE],
        [NONE,  NONE,  NONE,  ROOM,  WAIT,  ROOM,  WAIT,  NONE,  NONE],
    ]
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
