//! The description of a recording: its root.

use super::table::Table;
use super::{FORMAT, Geometry, place};
use crate::clock::{Clock, Pace, TimeSource};
use cachemaint::medium::Readable;
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::root::{self, Loaded};
use cachemaint_format::tag::{self, Kind};

/// The recorder's own bytes in a root.
const OWN: usize = 72;
pub(crate) type Root = root::Root<OWN>;

/// The description of a recording in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The number of the last opening for recording. Creation is 1, and each opening has a higher number.
    pub generation: u64,
    /// A random number that distinguishes its records from those of another file.
    pub identity: Identity,
    /// The number of threads that can record at the same time.
    pub shards: u32,
    /// The number of sub-buffers of each shard.
    pub sub_buffers: u32,
    /// The size of each sub-buffer in bytes.
    pub sub_buffer_size: u32,
    /// The source of the timestamps of the last opening.
    pub time_source: TimeSource,
    /// The ticks per second of these timestamps.
    pub ticks_per_second: u64,
    /// A timestamp of the last opening, and the wall clock at that time in nanoseconds since 1970-01-01 UTC.
    pub anchor: (u64, u64),
    /// The system's boot id at the last opening, or zeros if unknown.
    pub boot_id: [u8; 16],
    /// The texts of events.
    pub(crate) table: Table,
}

impl Description {
    /// Describes a new recording.
    pub(crate) fn new(identity: Identity, geometry: Geometry, clock: &Clock, table: Table) -> Self {
        let Geometry { shards, sub_buffers, size: sub_buffer_size } = geometry;
        let Pace { ticks_per_second, timestamp, wall } = clock.pace();
        Self {
            generation: 1,
            identity,
            shards,
            sub_buffers,
            sub_buffer_size,
            time_source: clock.source(),
            ticks_per_second,
            anchor: (timestamp, wall),
            boot_id: clock.boot_id(),
            table,
        }
    }

    /// Describes the same recording for a later opening.
    pub(crate) fn continued(self, generation: u64, clock: &Clock) -> Self {
        let new = Self::new(self.identity, self.geometry(), clock, self.table);
        Self { generation, ..new }
    }

    #[inline]
    pub(crate) const fn geometry(&self) -> Geometry {
        let Self { shards, sub_buffers, sub_buffer_size: size, .. } = *self;
        Geometry { shards, sub_buffers, size }
    }

    pub(crate) fn root(&self) -> Root {
        let own = Fields {
            shards: self.shards,
            sub_buffers: self.sub_buffers,
            size: self.sub_buffer_size,
            source: self.time_source.to_number(),
            texts_len: self.table.len,
            texts_tag: self.table.tag,
            ticks_per_second: self.ticks_per_second,
            timestamp: self.anchor.0,
            wall: self.anchor.1,
            boot_id: self.boot_id,
        };
        Root { identity: self.identity, generation: self.generation, own: own.to_bytes() }
    }

    /// Returns the description in a root, if this version could have written it.
    fn of(root: &Root) -> Option<Self> {
        let Root { identity, generation, own } = *root;
        let fields = Fields::from_bytes(&own);
        let Fields { shards, sub_buffers, size, ticks_per_second, timestamp, wall, .. } = fields;
        let geometry = Geometry { shards, sub_buffers, size };
        let is_possible = geometry.fault().is_none() && ticks_per_second > 0;
        is_possible.then_some(Self {
            generation,
            identity,
            shards,
            sub_buffers,
            sub_buffer_size: size,
            time_source: TimeSource::from_number(fields.source)?,
            ticks_per_second,
            anchor: (timestamp, wall),
            boot_id: fields.boot_id,
            table: Table { len: fields.texts_len, tag: fields.texts_tag },
        })
    }

    /// Loads the description of the recording in a medium. The medium must have all of the recording's bytes.
    pub(crate) fn load<S: Readable>(
        source: &S,
        rereadings: Rereadings,
    ) -> Result<(Self, Loaded<OWN>), FormatError<S::Error>> {
        let loaded = Root::load(source, FORMAT, rereadings)?;
        let description = Self::of(&loaded.root).ok_or(FormatError::Roots)?;
        let (size, needed) = (source.len(), description.geometry().len().unwrap_or(u64::MAX));
        if size < needed {
            return Err(FormatError::Truncated { size, needed });
        }
        Ok((description, loaded))
    }

    /// Returns the key of the tags of a sub-buffer's records.
    pub(crate) fn key(&self, shard: u32, generation: u64, sequence: u64) -> u64 {
        tag::key(self.identity, generation, place(shard, sequence), Kind::Event)
    }
}

layout! {
    struct Fields: 72 {
        0 shards: u32,
        4 sub_buffers: u32,
        /// The size of a sub-buffer.
        8 size: u32,
        12 source: u32,
        16 texts_len: u64,
        24 texts_tag: u64,
        32 ticks_per_second: u64,
        40 timestamp: u64,
        48 wall: u64,
        56 boot_id: [u8; 16],
    }
}
