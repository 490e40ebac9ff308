//! Recording events.
//!
//! The state that changes with each event is private to the thread: its place in the medium and the key of its tag. The
//! medium gets one copy and one word, which is stored last.

use super::cursor::Cursor;
use super::error::{Error, ErrorKind};
use super::format::{self, Description, HEADER, Header, RECORD, SEQUENCES, TAGGED};
use super::options::Durability;
use super::recorder::Recorder;
use cachemaint::medium::{Granularity, Medium};
use cachemaint_format::error::FormatError;
use cachemaint_format::sync::fence;
use cachemaint_format::tag::{self, Keyed};
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{Ordering, compiler_fence};

/// The length up to which a payload is joined with the words before it, so that tag and copy process one range of
/// bytes.
const SHORT: usize = 48;

/// The size of a word in bytes.
const WORD: usize = 8;
/// The number of words of the longest short record, without the tag.
const WORDS: usize = (TAGGED + SHORT) / WORD;

/// The owner of a shard, which records the events of one thread.
///
/// It can be sent to another thread, but not shared. Dropping it gives the shard back.
///
/// # Signal handlers
/// A handler on the owner's thread may use the same writer. If it interrupted an event, its own event is refused with
/// [`ErrorKind::Nested`]; the interrupted event is intact. A handler that must not lose events needs its own writer,
/// claimed in advance. With page granularity and a durability that writes back, an event makes a
/// system call, so a handler must not record it.
pub struct Writer<'r, M: Medium> {
    recorder: &'r Recorder<'r, M>,
    cursor: &'r Cursor,
    shard: u32,
    /// The size of a sub-buffer.
    size: u64,
    /// True while an event is recorded on this thread.
    is_busy: Cell<bool>,
    /// The key of the tags of this sub-buffer.
    key: Keyed,
    /// The offset of this sub-buffer in the medium.
    start: Cell<u64>,
    /// The offset of the next record in this sub-buffer, or the size of a sub-buffer if none has been started.
    offset: Cell<u64>,
    /// The position of this sub-buffer.
    position: Cell<u64>,
}

impl<M: Medium> Recorder<'_, M> {
    /// Claims a shard that has no owner, for one thread. Its events follow those of its last owner.
    ///
    /// Free shards are claimed in turn, starting with shard 0. The last events of a thread that has ended therefore
    /// stay until the other free shards have been claimed.
    ///
    /// # Errors
    /// [`ErrorKind::AllShardsTaken`] if each shard has an owner.
    ///
    /// # Cost
    /// A search through the shards.
    pub fn claim(&self) -> Result<Writer<'_, M>, Error<M::Error>> {
        let shards = self.description.shards;
        let (shard, cursor) =
            self.shards.claim().ok_or(Error::new(ErrorKind::AllShardsTaken { shards }))?;
        Ok(Writer::new(self, shard, cursor))
    }
}

impl<'r, M: Medium> Writer<'r, M> {
    /// Continues after the events of the last owner.
    fn new(recorder: &'r Recorder<'r, M>, shard: u32, cursor: &'r Cursor) -> Self {
        let size = u64::from(recorder.description.sub_buffer_size);
        let writer = Self {
            recorder,
            cursor,
            shard,
            size,
            is_busy: Cell::new(false),
            key: Keyed::default(),
            start: Cell::new(0),
            offset: Cell::new(size),
            position: Cell::new(0),
        };
        let (sequence, offset) = (cursor.head() / size, cursor.head() % size);
        // At the start of a sub-buffer, the next event begins it.
        if offset > 0 {
            writer.enter(sequence, offset);
        }
        writer
    }

    /// Moves to an offset of a sub-buffer.
    fn enter(&self, sequence: u64, offset: u64) {
        let Description { generation, .. } = self.recorder.description;
        self.key.set(self.recorder.description.key(self.shard, generation, sequence));
        self.start.set(self.recorder.description.geometry().sub_buffer(self.shard, sequence));
        self.offset.set(offset);
        self.position.set(sequence * self.size);
    }

    /// Returns the shard that it owns.
    #[must_use]
    pub const fn shard(&self) -> u32 {
        self.shard
    }

    /// Records an event with the current time.
    ///
    /// When this returns, the event is in the medium. With [`EachAppend`](Durability::EachAppend), it is also
    /// persistent.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`], [`ErrorKind::TooLong`], [`ErrorKind::Nested`], [`FormatError::WornOut`]: the event is not
    /// recorded.
    /// [`FormatError::AnotherWriter`]: recording stops. Only the beginning of a sub-buffer looks for one.
    /// [`FormatError::Medium`]: the event is recorded, but its write-back failed, or the medium has failed. With
    /// [`OnRequest`](Durability::OnRequest) a failed medium is noticed when the next sub-buffer begins.
    ///
    /// # Cost
    /// Stores, a tag and a timestamp; for each sub-buffer, a 64-byte header that is persistent at once on line-granular
    /// media. The call is inlined, so that a payload of known length is copied and tagged without a loop.
    #[inline]
    pub fn record(&self, id: u16, payload: &[u8]) -> Result<(), Error<M::Error>> {
        self.recorded(|| self.recorder.clock.now(), id, payload)
    }

    /// Records an event with the caller's timestamp. The caller must ensure that timestamps do not decrease.
    ///
    /// # Errors
    /// Same as [`record`](Self::record).
    #[inline]
    pub fn record_at(
        &self,
        timestamp: u64,
        id: u16,
        payload: &[u8],
    ) -> Result<(), Error<M::Error>> {
        self.recorded(|| timestamp, id, payload)
    }

    /// Records an event with the time that `now` returns, at a point where no handler's event can come before it any
    /// more.
    #[inline(always)]
    fn recorded(
        &self,
        now: impl FnOnce() -> u64,
        id: u16,
        payload: &[u8],
    ) -> Result<(), Error<M::Error>> {
        if self.recorder.is_stopped() {
            return Err(Error::new(ErrorKind::Stopped));
        }
        if self.is_busy.replace(true) {
            return Err(Error::new(ErrorKind::Nested));
        }
        // A signal handler on this thread sees `is_busy` during the whole event.
        let _busy = Busy(&self.is_busy);
        compiler_fence(Ordering::SeqCst);
        self.append(now(), id, payload).map_err(Error::new)
    }

    #[inline(always)]
    fn append(&self, timestamp: u64, id: u16, payload: &[u8]) -> Result<(), ErrorKind<M::Error>> {
        let room = self.size - self.offset.get();
        // A large sub-buffer has room for a longer payload than the length field can state.
        let fits = format::record_len(payload.len()) <= room && payload.len() <= format::LONGEST;
        if fits {
            self.append_here(timestamp, id, payload)
        } else {
            self.append_to_next(timestamp, id, payload)
        }
    }

    /// Appends an event that does not fit into this sub-buffer.
    #[cold]
    #[inline(never)]
    fn append_to_next(
        &self,
        timestamp: u64,
        id: u16,
        payload: &[u8],
    ) -> Result<(), ErrorKind<M::Error>> {
        let written_back = self.next_sub_buffer(timestamp, payload.len())?;
        // The event is recorded even if a write-back failed.
        self.append_here(timestamp, id, payload).and(written_back.map_err(medium_failed))
    }

    #[inline(always)]
    fn append_here(
        &self,
        timestamp: u64,
        id: u16,
        payload: &[u8],
    ) -> Result<(), ErrorKind<M::Error>> {
        let offset = self.offset.get();
        self.put(offset, timestamp, id, payload);
        let len = format::record_len(payload.len());
        self.offset.set(offset + len);
        let begin = self.position.get() + offset;
        self.cursor.advance(begin + len);
        if self.recorder.durability == Durability::EachAppend {
            return self.write_back(begin + len, begin).map_err(medium_failed);
        }
        Ok(())
    }

    /// Writes a record that fits.
    #[inline(always)]
    fn put(&self, offset: u64, timestamp: u64, id: u16, payload: &[u8]) {
        let len = payload.len() as u16;
        // The offset is below the size of a sub-buffer, which is a `u32`, and the length at most `LONGEST`.
        let tagged = format::tagged(offset as u32, id, len, timestamp);
        // The place is already aligned. The mask tells the compiler so, which then omits the unaligned case.
        let at = (self.start.get() + offset) & !(WORD as u64 - 1);
        // The stores below cannot change a local variable.
        let medium = &self.recorder.medium;
        let tag = if payload.len() <= SHORT {
            let words = format::record_len(payload.len()) as usize / WORD - 1;
            let record = short_record(&tagged, payload);
            let record = &record[..words];
            medium.write(at + WORD as u64, record.as_flattened());
            self.key.of(record)
        } else {
            self.put_long(at, &tagged, payload)
        };
        // The tag is stored last: a reader that sees it also sees the rest of the record.
        medium.store(at, tag, Ordering::Release);
    }

    /// Writes a record without its tag. Returns the tag.
    fn put_long(&self, at: u64, tagged: &[u8; TAGGED], payload: &[u8]) -> u64 {
        let medium = &self.recorder.medium;
        let (words, rest) = payload.as_chunks::<8>();
        let words = words.as_flattened();
        let mut tag = tag::Running::new(self.key.seed());
        tag.append(tagged);
        tag.append(words);
        medium.write(at + WORD as u64, tagged);
        medium.write(at + RECORD, words);
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            tag.append(&last);
            medium.write(at + RECORD + words.len() as u64, &last);
        }
        tag.finish()
    }

    /// Begins the next sub-buffer, for an event that does not fit into this one. Returns a failure of the write-back;
    /// the sub-buffer has begun even then.
    fn next_sub_buffer(
        &self,
        timestamp: u64,
        payload: usize,
    ) -> Result<Result<(), M::Error>, ErrorKind<M::Error>> {
        let Recorder { medium, description, durability, .. } = self.recorder;
        let cursor = self.cursor;
        let most = description.geometry().largest_payload();
        if payload > most {
            return Err(ErrorKind::TooLong { len: payload, most });
        }
        let head = cursor.head();
        let sequence = head.div_ceil(self.size);
        if sequence >= SEQUENCES {
            return Err(FormatError::WornOut.into());
        }
        if self.recorder.has_another() {
            return Err(FormatError::AnotherWriter.into());
        }
        let written_back = match durability {
            Durability::SubBuffer => self.write_back(head, head),
            // Each earlier event was written back, or its failed write-back is retried with the next event's.
            Durability::OnRequest | Durability::EachAppend => medium.check(),
        };
        cursor.skip(head, sequence * self.size);
        let begun = self.begin(sequence, timestamp, head % self.size);
        Ok(written_back.and(begun))
    }

    /// Writes the header of a sub-buffer. From then on, earlier records of the slot do not verify.
    ///
    /// The header is persistent before the first record; otherwise a crash could lose it, and all the records with it.
    /// With page granularity, the system writes it back with the page of the first records, which saves a system call
    /// for each sub-buffer.
    fn begin(&self, sequence: u64, timestamp: u64, end_before: u64) -> Result<(), M::Error> {
        let Recorder { medium, description, .. } = self.recorder;
        let Description { identity, generation, .. } = *description;
        let pace = self.recorder.clock.pace();
        let wall = if pace.wall == 0 { 0 } else { pace.wall_at(timestamp) };
        let header = Header {
            magic: Header::MAGIC,
            shard: self.shard,
            sequence,
            timestamp,
            wall,
            ticks_per_second: pace.ticks_per_second,
            end_before,
            generation,
            tag: 0,
        };
        let start = description.geometry().sub_buffer(self.shard, sequence);
        // A reader that sees this header sees all earlier records, and one that sees a later record sees this header.
        fence(Ordering::Release);
        medium.write(start, &header.sealed(identity));
        fence(Ordering::Release);
        self.enter(sequence, HEADER);
        match medium.granularity() {
            Granularity::Page(_) => Ok(()),
            Granularity::Byte | Granularity::Line(_) => medium.persist(start..start + HEADER),
        }
    }

    /// Makes everything before a position persistent. The event in progress begins at `own`. Earlier bytes may have
    /// been stored by another thread: the last owner of the shard, or one that sent the writer here.
    fn write_back(&self, head: u64, own: u64) -> Result<(), M::Error> {
        let Recorder { medium, description, .. } = self.recorder;
        if self.cursor.done() < own {
            medium.order_observed();
        }
        for range in description.geometry().ranges(self.shard, self.cursor.done()..head) {
            medium.issue_writeback(range)?;
        }
        medium.fence()?;
        self.cursor.written_back_by_owner(head);
        Ok(())
    }
}

const fn medium_failed<E>(error: E) -> ErrorKind<E> {
    ErrorKind::Format(FormatError::Medium(error))
}

/// An event in progress on this thread, even if the clock or the medium panics.
struct Busy<'w>(&'w Cell<bool>);

impl Drop for Busy<'_> {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.0.set(false);
    }
}

/// Returns the words of a record after its tag, and zeros after them.
///
/// The words are copied one by one. Loading bytes that were just stored in smaller pieces would wait until all earlier
/// stores are done, including those of the last event (Intel Optimization Reference Manual, "Store-to-Load-Forwarding
/// Restriction on Size and Alignment").
#[inline(always)]
fn short_record(tagged: &[u8; TAGGED], payload: &[u8]) -> [[u8; WORD]; WORDS] {
    let mut record = [[0; WORD]; WORDS];
    let (words, rest) = payload.as_chunks();
    let from = tagged.as_chunks().0.iter().chain(words);
    for (to, from) in record.iter_mut().zip(from) {
        *to = *from;
    }
    if !rest.is_empty() {
        record[tagged.len() / WORD + words.len()][..rest.len()].copy_from_slice(rest);
    }
    record
}

impl<M: Medium> Drop for Writer<'_, M> {
    fn drop(&mut self) {
        self.recorder.shards.give_back(self.cursor);
    }
}

impl<M: Medium> fmt::Debug for Writer<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("shard", &self.shard)
            .field("durability", &self.recorder.durability)
            .finish_non_exhaustive()
    }
}
