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
    /// Events that the shard has lost, at any time since the begin of the sub-buffer before this item.
    ///
    /// A recording counts losses by sub-buffer. So this comes after the events of the sub-buffer in which the losses were,
    /// also after events that were recorded after them. The losses of the last sub-buffer come at the end of the shard.
    ///
    /// Losses can be older if sub-buffers before this item are missing, or have lost their headers. If none before it was
    /// read, they are of any time since the recording was created.
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
    /// The number of the opening that recorded it: [`Description::generation`](crate::recorder::Description::generation)
    /// at that time.
    pub generation: u64,
    /// The offset of the event in the medium.
    pub at: u64,
    /// The id of the event.
    pub id: u16,
    /// The time of the event, in ticks of the clock of its opening.
    pub timestamp: u64,
    /// The time of the event, in nanoseconds since 1970-01-01 UTC; `None` if the clock had no wall time. Also `None` if
    /// the header before the event is lost, and neither a header beside it nor a descriptor is of its opening.
    ///
    /// It is the wall clock of the opening, plus the time that the recording's clock has counted since. So a step of the
    /// wall clock does not change it. It differs from the wall clock by such a step, by a suspend that the clock does not
    /// count, and by the error of the clock's frequency. Times of one opening go back only if a suspend restarts the
    /// counter, or if the kernel finds later that the CPUs have different counters: see
    /// [`Clock::host`](crate::recorder::Clock::host). Open the recording again then.
    pub wall: Option<u64>,
    /// The recorded bytes.
    pub payload: &'b [u8],
}

impl Event<'_> {
    /// The id of an event with the message of a panic: see
    /// [`Recorder::stop_on_panic`](crate::recorder::Recorder#method.stop_on_panic).
    pub const PANIC: u16 = 0xffff;
    /// The first id that is reserved for the format.
    pub(in crate::recorder) const RESERVED: u16 = 0xff00;
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
/// Only [`Damaged`](Self::Damaged) is a fault, of the recording or of its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkippedKind {
    /// An event at the end of a shard that was not finished, or of which a crash has kept a part.
    ///
    /// It can also be a header that was not finished, over the oldest events.
    ///
    /// This is normal beside a writer and after a crash, which loses the last events unless they were written back. It can
    /// be ignored. Damage to the last events looks the same if it came before the next opening.
    Torn,
    /// Remains of an earlier lap after the last event of a shard, in space that will be used again.
    ///
    /// This is normal in each shard that has been filled once: newer events have overwritten the oldest ones. It can be
    /// ignored.
    Stale,
    /// Events that are damaged, or that a crash has lost.
    ///
    /// Only this kind reports a fault: events in the middle are missing from the medium itself. It is normal only after a
    /// crash that loses stores which were not written back yet: see [`Durability`](crate::recorder::Durability). Such a
    /// crash can leave sub-buffers of many laps in a shard. Events of the last nine of these laps are read. It can also lose the
    /// header before events. They are read if they are of the last two laps, and of the opening that has the newest
    /// sub-buffer or one beside them, or of one of the two to four openings before the next header. Beside the header of an
    /// older lap, which the crash has left, only those of the last lap are read, and newer ones only if the first of them is
    /// whole.
    ///
    /// An opening can lose all its headers in a shard. If it is one of the last two, or the next one after that of the newest
    /// header, its events in the lap after that header are read. Openings without an event in the shard count as well: after
    /// two of them the events of one that is not this next one are not read any more, although they are still there. Later
    /// events, and those of other openings, can be overwritten by the next event of the shard. A shard without any valid
    /// header is not read.
    ///
    /// A copy that was made beside a writer, more slowly than that filled a shard, has this kind too: its parts are of
    /// different laps. The recording itself is intact. Make a copy within the machine (`cp`), and send
    /// that one. If it has such gaps as well, copy again, or end the recording first.
    Damaged,
    /// Events that were overwritten while they were read.
    ///
    /// This is normal beside a writer that is faster than this reader, and is not a fault. The missing events are not the
    /// oldest ones alone: a writer can overtake a reader again and again. In a [merged](crate::recorder::Merged) reading any
    /// events can be missing, of any shard. To read a fast recording, copy its file first (`cp`), and read the copy.
    Overwritten,
}

impl SkippedKind {
    pub(super) const fn is_damaged(self) -> bool {
        matches!(self, Self::Damaged)
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            SkippedKind::Torn => "unfinished or torn",
            SkippedKind::Stale => "left by an earlier lap",
            SkippedKind::Damaged => "damaged or lost",
            SkippedKind::Overwritten => "overwritten while they were read",
        };
        let Self { shard, at, len, .. } = self;
        write!(f, "shard {shard}: up to {len} bytes at {at} are {what}")
    }
}
