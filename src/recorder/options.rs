//! How a recording is made and opened.

use super::clock::Clock;
use super::mode::Mode;
#[cfg(feature = "std")]
use core::hash::BuildHasher;
#[cfg(feature = "std")]
use std::hash::RandomState;

/// When events are written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When somebody asks for it: [`write_back_all`](super::Recorder::write_back_all).
    OnCrash,
    /// When a sub-buffer is full: it is persistent when the next one has its first event.
    SubBuffer,
    /// Each, before [`record`](super::Writer::record) returns.
    EachAppend,
}

/// How a recording is made or opened.
///
/// At first: one shard, sub-buffers of 4096 bytes, as many as fit the medium; the oldest are overwritten;
/// written back when asked.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options {
    pub(super) identity: [u8; 16],
    pub(super) clock: Clock,
    pub(super) shards: u32,
    pub(super) sub_buffers: Option<u32>,
    pub(super) size: u32,
    pub(super) mode: Mode,
    pub(super) durability: Durability,
}

impl Options {
    /// For a file with this identity, which should be random: it tells its records from another file's.
    /// An existing file keeps its own.
    pub const fn new(identity: [u8; 16], clock: Clock) -> Self {
        Self {
            identity,
            clock,
            shards: 1,
            sub_buffers: None,
            size: 4096,
            mode: Mode::Overwrite,
            durability: Durability::OnCrash,
        }
    }

    /// For a file with a random identity and [the clock of this machine](Clock::host).
    ///
    /// The identity is as random as the keys of the standard library's hash maps
    /// ([`RandomState`](std::hash::RandomState)): files are told apart by it, it is no secret.
    ///
    /// # Cost
    /// That of [`Clock::host`].
    #[cfg(feature = "std")]
    pub fn host() -> Self {
        let half = |half: u8| RandomState::new().hash_one(half).to_le_bytes();
        let mut identity = [0; 16];
        identity[..8].copy_from_slice(&half(0));
        identity[8..].copy_from_slice(&half(1));
        Self::new(identity, Clock::host())
    }

    /// How many threads can record at a time, 1 to 4096. An existing file keeps its own.
    pub const fn shards(mut self, shards: u32) -> Self {
        self.shards = shards;
        self
    }

    /// Sub-buffers of each shard, at least 2. An existing file keeps its own.
    pub const fn sub_buffers(mut self, sub_buffers: u32) -> Self {
        self.sub_buffers = Some(sub_buffers);
        self
    }

    /// Bytes of a sub-buffer: a power of two, 256 to 1048576. An existing file keeps its own.
    ///
    /// It is the unit that is overwritten, and with [`Durability::SubBuffer`] the unit that is written back.
    pub const fn sub_buffer_size(mut self, bytes: u32) -> Self {
        self.size = bytes;
        self
    }

    /// What happens when a shard is full. An existing file keeps its own.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// When events are written back.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}
