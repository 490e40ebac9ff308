//! Making a recording, and opening one.

use super::format::{DESCRIPTOR, DESCRIPTORS, Description, Geometry, PAGE, SEQUENCES, TAG};
use super::mode::Mode;
use super::options::Options;
use super::reader::Reader;
use super::{Cursor, Error, Recorder};
use crate::medium::Medium;
use crate::sync::AtomicBool;
use core::sync::atomic::Ordering;

impl Options {
    /// Makes a recording in a medium, over whatever is in it, and allocates what is kept of its shards.
    ///
    /// # Errors
    /// As [`create_in`](Self::create_in).
    #[cfg(feature = "std")]
    pub fn create<M: Medium>(self, medium: M) -> Result<Recorder<M>, Error<M::Error>> {
        let shards = self.shards.min(super::format::MOST_SHARDS);
        self.create_in(medium, (0..shards).map(|_| Cursor::new()).collect())
    }

    /// Opens a recording to go on with it, and allocates what is kept of its shards.
    ///
    /// # Errors
    /// As [`open_in`](Self::open_in).
    #[cfg(feature = "std")]
    pub fn open<M: Medium>(self, medium: M) -> Result<Recorder<M>, Error<M::Error>> {
        let shards = Reader::open(&medium)?.description().shards();
        self.open_in(medium, (0..shards).map(|_| Cursor::new()).collect())
    }

    /// Makes a recording in a medium, over whatever is in it; nothing is allocated. It is persistent when this
    /// returns.
    ///
    /// What was recorded into the medium before is not zeroed: it does not verify any more, unless the identity
    /// is the same, so take a new one.
    ///
    /// # Errors
    /// [`Error::Geometry`], [`Error::Short`], [`Error::FewCursors`]; what the medium has.
    pub fn create_in<M: Medium, C: AsRef<[Cursor]>>(
        self,
        medium: M,
        cursors: C,
    ) -> Result<Recorder<M, C>, Error<M::Error>> {
        let geometry = self.geometry(medium.len())?;
        let description = Description::new(1, self.identity, geometry, self.mode, &self.clock);
        let [first, second] = DESCRIPTORS;
        forget(&medium, geometry);
        // One that was there before may count more openings than the new one. Without its tag no part of it
        // completes a torn one that is written over it later.
        let tag = second + TAG;
        medium.store(tag, 0, Ordering::Relaxed);
        medium.writeback(tag..tag + 8).map_err(Error::Medium)?;
        publish(&medium, first, &description)?;
        let recorder = self.recorder(medium, cursors, description)?;
        for cursor in recorder.cursors() {
            cursor.begin(0, 0, (0, 0));
        }
        Ok(recorder)
    }

    /// Opens a recording to go on with it, in new sub-buffers; nothing is allocated. Of these options only
    /// clock and durability count, the rest is the file's.
    ///
    /// That it was opened is persistent when this returns. What was in it is as persistent as it was.
    ///
    /// # Errors
    /// As [`Reader::open`]; [`Error::FewCursors`], [`Error::WornOut`].
    ///
    /// # Cost
    /// All headers of sub-buffers are read.
    pub fn open_in<M: Medium, C: AsRef<[Cursor]>>(
        self,
        medium: M,
        cursors: C,
    ) -> Result<Recorder<M, C>, Error<M::Error>> {
        // The one that counts may not be persistent yet, and the other one is overwritten.
        for at in DESCRIPTORS {
            let is_there = medium.len() >= at + DESCRIPTOR as u64;
            if is_there {
                medium.writeback(at..at + DESCRIPTOR as u64).map_err(Error::Medium)?;
            }
        }
        medium.fence();
        let reader = Reader::open(&medium)?;
        let (found, at) = (*reader.description(), reader.other_place());
        let generation = found.generation.checked_add(1).ok_or(Error::WornOut)?;
        let description =
            Description::new(generation, found.identity, found.geometry, found.mode, &self.clock);
        publish(&medium, at, &description)?;
        let recorder = self.recorder(medium, cursors, description)?;
        recorder.go_on()?;
        Ok(recorder)
    }

    fn geometry<E>(&self, len: u64) -> Result<Geometry, Error<E>> {
        let (shards, size) = (self.shards, self.size);
        let sub_buffers = match self.sub_buffers {
            Some(sub_buffers) => sub_buffers,
            // What does not even fit two is too short for two.
            None => Geometry::fitting(shards, size, len).max(2),
        };
        let geometry = Geometry { shards, sub_buffers, size };
        if let Some(fault) = geometry.fault() {
            return Err(Error::Geometry(fault));
        }
        let needed = geometry.len().unwrap_or(u64::MAX);
        if len < needed { Err(Error::Short { len, needed }) } else { Ok(geometry) }
    }

    fn recorder<M: Medium, C: AsRef<[Cursor]>>(
        &self,
        medium: M,
        cursors: C,
        description: Description,
    ) -> Result<Recorder<M, C>, Error<M::Error>> {
        let (given, shards) = (cursors.as_ref().len(), description.shards());
        if given < shards as usize {
            return Err(Error::FewCursors { cursors: given, shards });
        }
        Ok(Recorder {
            medium,
            cursors,
            description,
            durability: self.durability,
            clock: self.clock,
            is_stopped: AtomicBool::new(false),
        })
    }
}

/// Takes away by what another recording's sub-buffers begin, so that they are not taken for damaged ones. If a
/// crash brings them back, they do not verify all the same.
fn forget<M: Medium>(medium: &M, geometry: Geometry) {
    for shard in 0..geometry.shards {
        let slots =
            (0..u64::from(geometry.sub_buffers)).map(|slot| geometry.sub_buffer(shard, slot));
        for at in slots.chain([Geometry::loss(shard)]) {
            if medium.load(at, Ordering::Relaxed) != 0 {
                medium.store(at, 0, Ordering::Relaxed);
            }
        }
    }
}

/// Writes a descriptor and makes it, and what was written back before, persistent.
fn publish<M: Medium>(
    medium: &M,
    at: u64,
    description: &Description,
) -> Result<(), Error<M::Error>> {
    debug_assert!(at == 0 || at == PAGE, "a descriptor has a page of its own");
    medium.write(at, &description.to_bytes());
    medium.persist(at..at + DESCRIPTOR as u64).map_err(Error::Medium)
}

impl<M: Medium, C: AsRef<[Cursor]>> Recorder<M, C> {
    /// Begins behind what is in the file.
    fn go_on(&self) -> Result<(), Error<M::Error>> {
        let (reader, geometry) =
            (Reader::of(&self.medium, self.description), self.description.geometry);
        for (shard, cursor) in (0..).zip(self.cursors()) {
            let next = reader.newest(shard).map_or(0, |newest| newest.sequence() + 1);
            if next >= SEQUENCES {
                return Err(Error::WornOut);
            }
            let released = match self.description.mode {
                Mode::Refuse => next.saturating_sub(u64::from(geometry.sub_buffers)),
                Mode::Overwrite => 0,
            };
            let lost_word = self.medium.load(Geometry::loss(shard), Ordering::Relaxed);
            let lost = (reader.lost(shard), lost_word);
            cursor.begin(next * u64::from(geometry.size), released, lost);
        }
        Ok(())
    }
}

/// What is in the medium, to be read.
impl<M: Medium, C: AsRef<[Cursor]>> Recorder<M, C> {
    /// Reads what has been recorded, while recording goes on.
    pub const fn reader(&self) -> Reader<&M> {
        Reader::of(&self.medium, self.description)
    }
}
