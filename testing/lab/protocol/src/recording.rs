//! The properties of a recording that the host and the agent share.

use core::fmt;
use serde::{Deserialize, Serialize};

/// The number of shards in a recording.
pub const SHARDS: u32 = 2;

/// The number of sub-buffers in a shard: few, so that the oldest is soon overwritten.
pub const SUB_BUFFERS: u32 = 4;

/// The number of events in a sub-buffer of 4096 bytes: a header of 64, and 24 + 64 for each event (the format's tables
/// in `cachemaint_recorder`).
pub const OF_A_SUB_BUFFER: u64 = 45;

/// Returns the number of the oldest event that must exist if this many events of a shard are promised.
///
/// It begins the sub-buffer before that of the last promised one. The other two sub-buffers may have events that are
/// not promised: one begins with the event that promises those before it, which can be stored before the promise is
/// passed on.
#[must_use]
pub fn oldest_of(promised: u64) -> u64 {
    let sub_buffer = promised.saturating_sub(1) / OF_A_SUB_BUFFER;
    sub_buffer.saturating_sub(u64::from(SUB_BUFFERS) - 3) * OF_A_SUB_BUFFER
}

/// The time when events become persistent: the library's durabilities, and its thread that writes back at intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Persistent on request.
    OnRequest,
    /// Persistent after a pass of the thread.
    Within,
    /// Persistent at the end of their sub-buffer.
    SubBuffer,
    /// Each event persistent at once.
    EachAppend,
}

impl When {
    /// All values.
    pub const ALL: [Self; 4] = [Self::OnRequest, Self::Within, Self::SubBuffer, Self::EachAppend];
}

/// Prints the name in a path.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The findings of a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The events of each shard.
    pub shards: Vec<Events>,
    /// The number of bytes of damaged events.
    pub damaged: u64,
}

/// The events of a shard: the longest run without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The number of the oldest.
    pub first: u64,
    /// The number after the newest.
    pub next: u64,
}

#[cfg(test)]
mod tests {
    use super::oldest_of;

    #[test]
    fn promised_events_are_kept_from_the_sub_buffer_before_the_last_one() {
        // Sub-buffers begin with the events 0, 45, 90, 135, 180.
        for (promised, oldest) in [(0, 0), (1, 0), (90, 0), (91, 45), (135, 45), (200, 135)] {
            assert_eq!(oldest_of(promised), oldest, "{promised} promised");
        }
    }
}
