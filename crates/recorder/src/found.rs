//! The results of reading: events, and the gaps between them.

use core::fmt;

/// An event, or a gap between events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found<'b> {
    /// An event.
    Event(Event<'b>),
    /// Bytes that do not verify.
    Skipped(Skipped),
    /// Events that the shard has lost, at any time since the begin of the sub-buffer before this item, or earlier if
    /// sub-buffers before it are missing. It comes after all events of that sub-buffer.
    Lost {
        /// The shard that lost them.
        shard: u32,
        /// The number of lost events.
        events: u64,
    },
}

/// An event whose record has verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'b> {
    /// The shard that it was recorded in.
    pub shard: u32,
    /// The sequence number of its sub-buffer.
    pub sequence: u64,
    /// The number of the opening that recorded it: [`Description::generation`](crate::Description::generation)
    /// at that time.
    pub generation: u64,
    /// The offset of the event in the medium.
    pub at: u64,
    /// The id of the event.
    pub id: u16,
    /// The time of the event, in ticks of the clock of its opening.
    pub timestamp: u64,
    /// The time of the event, in nanoseconds since 1970-01-01 UTC; `None` if the clock had no wall time.
    ///
    /// It is the wall clock at the begin of the sub-buffer, plus the time that the recording's clock has counted since. If
    /// the wall clock is set, a new sub-buffer begins within a second. See the limits of [`Clock::host`](crate::Clock::host).
    pub wall: Option<u64>,
    /// The recorded bytes.
    pub payload: &'b [u8],
}

impl Event<'_> {
    /// The id of an event with the message of a panic: see
    /// [`Recorder::stop_on_panic`](crate::Recorder#method.stop_on_panic).
    pub const PANIC: u16 = 0xffff;
    /// The first id that is reserved for the format.
    pub(crate) const RESERVED: u16 = 0xff00;
}

/// Bytes of a sub-buffer that do not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The shard.
    pub shard: u32,
    /// The sequence number of the sub-buffer, if it is known.
    pub sequence: Option<u64>,
    /// The offset of the bytes in the medium.
    pub at: u64,
    /// The number of bytes, at most.
    pub len: u64,
    /// The reason why they are skipped.
    pub kind: SkippedKind,
}

/// The reason why bytes do not verify.
///
/// Only [`Damaged`](Self::Damaged) is a fault, of the recording or of its copy. Bytes after the last event of a shard are not
/// reported: an event that was not finished, and remains of an earlier lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkippedKind {
    /// The place of the next sub-buffer of a shard, which was being begun there: over the oldest one, or in the first lap
    /// behind the newest one.
    ///
    /// This is normal after a crash, which can leave a part of a header. Damage to the header of the oldest or the newest
    /// sub-buffer looks the same.
    Torn,
    /// Events that are damaged, that cannot be read, or that a crash has lost.
    ///
    /// This is normal after a crash that loses stores which were not written back yet: see
    /// [`Durability`](crate::Durability). It is normal too in a copy that was made beside a writer, more slowly than
    /// that filled a shard. Copy within the machine (`cp`), and send that copy.
    Damaged,
    /// Events that were overwritten while they were read.
    ///
    /// This is normal beside a writer that is faster than this reader: any events can be missing, of any shard. To read a fast
    /// recording, copy its file first (`cp`), and read the copy.
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
