//! The results of reading: events, and gaps between them.

use core::fmt;

/// An event, or a gap between events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found<'b> {
    /// An event.
    Event(Event<'b>),
    /// Bytes that do not verify.
    Skipped(Skipped),
}

/// An event with a verified record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'b> {
    /// The shard that recorded it.
    pub shard: u32,
    /// The sequence number of its sub-buffer.
    pub sequence: u64,
    /// The number of the opening that recorded it: [`Description::generation`](crate::Description::generation) at that
    /// time.
    pub generation: u64,
    /// The offset of the event in the medium.
    pub at: u64,
    /// The id of the event.
    pub id: u16,
    /// The time of the event, in ticks of the clock of its opening.
    pub timestamp: u64,
    /// The time of the event, in nanoseconds since 1970-01-01 UTC; `None` if the clock had no wall time.
    ///
    /// It is the wall clock at the start of the sub-buffer, plus the time since then on the recording's clock. See the
    /// limits of [`Clock::host`](crate::Clock::host).
    pub wall: Option<u64>,
    /// The recorded bytes.
    pub payload: &'b [u8],
}

/// Bytes of a sub-buffer that do not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The shard.
    pub shard: u32,
    /// The sequence number of the sub-buffer, if known.
    pub sequence: Option<u64>,
    /// The offset of the bytes in the medium.
    pub at: u64,
    /// The largest possible number of bytes.
    pub len: u64,
    /// The reason why they were skipped.
    pub kind: SkippedKind,
}

/// The reason why bytes do not verify.
///
/// Only [`Damaged`](Self::Damaged) is a fault, of the recording or of its copy. Bytes after the last event of a shard
/// are not reported: they are an unfinished event, and remains of an earlier lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkippedKind {
    /// The slot of the next sub-buffer, which was just being started: over the oldest one, or in the first lap after
    /// the newest one.
    ///
    /// This is normal after a crash, which can leave part of a header. Damage to the header of the oldest or the newest
    /// sub-buffer looks the same.
    Torn,
    /// Events that are damaged or unreadable, or that a crash has lost.
    ///
    /// This is normal after a crash that loses stores which were not yet written back; see
    /// [`Durability`](crate::Durability). It is also normal in a copy that took longer than a writer needed to fill a
    /// shard. Copy on the same machine first (`cp`), then send that copy.
    Damaged,
    /// Events that were overwritten while they were read.
    ///
    /// This is normal if a process writes faster than this reader reads: any events of any shard can be missing. To
    /// read a fast recording, copy its file first (`cp`) and read the copy.
    Overwritten,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            SkippedKind::Torn => "unfinished or torn",
            SkippedKind::Damaged => "damaged, unreadable or lost",
            SkippedKind::Overwritten => "overwritten while they were read",
        };
        let Self { shard, at, len, .. } = self;
        write!(f, "shard {shard}: up to {len} bytes at {at} are {what}")
    }
}
