//! The behaviour of a full shard.

/// The behaviour of a full shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The oldest sub-buffer is overwritten.
    Overwrite,
    /// Events are refused and counted, until [`release`](super::Recorder::release) frees space.
    Refuse,
}

impl Mode {
    pub(super) const fn to_number(self) -> u32 {
        match self {
            Self::Overwrite => 0,
            Self::Refuse => 1,
        }
    }

    pub(super) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Overwrite),
            1 => Some(Self::Refuse),
            _ => None,
        }
    }
}
