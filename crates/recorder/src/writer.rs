//! Recording events.
//!
//! The state that changes with each event is private to the thread: its place in the medium and the key of its tag. The
//! medium gets one copy and one word, which is stored last.

use super::clock::Pace;
use super::cursor::Cursor;
use super::error::{Error, ErrorKind};
use super::format::{self, Description, Geometry, HEADER, Header, Mode, RECORD, SEQUENCES, TAGGED};
use super::options::Durability;
use super::recorder::Recorder;
use cachemaint::medium::{Granularity, Medium};
use cachemaint_format::error::FormatError;
use cachemaint_format::sync::fence;
use cachemaint_format::tag;
use core::cell::Cell;
use core::sync::atomic::{Ordering, compiler_fence};
use core::{fmt, mem};

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
/// [`ErrorKind::Nested`] and counted as lost; the interrupted event is intact. A handler that must not lose events
/// needs its own writer, claimed in advance. With page granularity and a durability that writes back, an event makes a
/// system call, so a handler must not record it.
pub struct Writer<'r, M: Medium> {
    recorder: &'r Recorder<'r, M>,
    cursor: &'r Cursor,
    shard: u32,
    /// The size of a sub-buffer.
    size: u64,
    /// A second in ticks.
    second: u64,
    /// True while an event is recorded on this thread.
    is_busy: Cell<bool>,
    /// The key of the tags of this sub-buffer.
    key: Cell<u64>,
    /// The offset of this sub-buffer in the medium.
    start: Cell<u64>,
    /// The offset of the next record in this sub-buffer, or the size of a sub-buffer if none has been started.
    offset: Cell<u64>,
    /// The position of this sub-buffer.
    position: Cell<u64>,
    /// The wall clock at the start of this sub-buffer.
    pace: Cell<Pace>,
    /// The timestamp of the event for which the wall clock was last read.
    asked: Cell<u64>,
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
        let (shard, cursor) = self.claim_shard()?;
        Ok(Writer::new(self, shard, cursor))
    }

    /// Claims a shard that has no owner. The caller owns it until a writer of it is dropped.
    pub(super) fn claim_shard(&self) -> Result<(u32, &Cursor), Error<M::Error>> {
        let shards = self.description.shards;
        self.shards.claim().ok_or(Error::new(ErrorKind::AllShardsTaken { shards }))
    }
}

impl<'r, M: Medium> Writer<'r, M> {
    /// Continues after the events of the last owner.
    pub(super) fn new(recorder: &'r Recorder<'r, M>, shard: u32, cursor: &'r Cursor) -> Self {
        let size = u64::from(recorder.description.geometry().size);
        let ticks_per_second = recorder.description.ticks_per_second;
        let writer = Self {
            recorder,
            cursor,
            shard,
            size,
            second: ticks_per_second,
            is_busy: Cell::new(false),
            key: Cell::new(0),
            start: Cell::new(0),
            offset: Cell::new(size),
            position: Cell::new(0),
            pace: Cell::new(Pace { ticks_per_second, timestamp: 0, wall: 0 }),
            asked: Cell::new(0),
        };
        let (sequence, offset) = (cursor.head() / size, cursor.head() % size);
        // At the start of a sub-buffer, the next event begins it.
        if offset > 0 {
            writer.enter(sequence, offset);
            let start = writer.start.get();
            let [timestamp, wall] = [Header::TIMESTAMP, Header::WALL]
                .map(|field| recorder.medium.load(start + field, Ordering::Relaxed));
            writer.pace.set(Pace { ticks_per_second, timestamp, wall });
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
    /// persistent. Ids from 65280 on are reserved: a reader takes such an event for one of this crate's.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`], [`ErrorKind::Full`], [`ErrorKind::TooLong`], [`ErrorKind::Nested`],
    /// [`FormatError::WornOut`]: the event is not recorded. It is counted as lost unless recording was stopped; with
    /// [`EachAppend`](Durability::EachAppend) the count is written back, if that does not fail.
    /// [`FormatError::AnotherWriter`]: recording stops. It is noticed when the next sub-buffer begins.
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
            return Err(Error::new(self.lose(ErrorKind::Nested)));
        }
        // A signal handler on this thread sees `is_busy` during the whole event.
        let _busy = Busy(&self.is_busy);
        compiler_fence(Ordering::SeqCst);
        self.append(now(), id, payload).map_err(Error::new)
    }

    /// Records an event although recording was stopped. Only a writer that serves no other purpose may do this.
    #[cfg(feature = "std")]
    pub(super) fn record_last(&self, id: u16, payload: &[u8]) -> Result<(), ErrorKind<M::Error>> {
        self.append(self.recorder.clock.now(), id, payload)
    }

    #[inline(always)]
    fn append(&self, timestamp: u64, id: u16, payload: &[u8]) -> Result<(), ErrorKind<M::Error>> {
        let room = self.size - self.offset.get();
        // A large sub-buffer has room for a longer payload than the length field can state.
        let fits = format::record_len(payload.len()) <= room && payload.len() <= format::LONGEST;
        if !fits || self.is_wall_due(timestamp) {
            return self.append_to_next(timestamp, id, payload, fits);
        }
        self.append_here(timestamp, id, payload)
    }

    /// Returns true if a second has passed since the wall clock was last read, or if the counter has restarted.
    #[inline(always)]
    fn is_wall_due(&self, timestamp: u64) -> bool {
        timestamp.wrapping_sub(self.asked.get()) >= self.second
    }

    /// Appends an event that does not fit into this sub-buffer, or before which the wall clock must be read. If the
    /// clock was set, a new sub-buffer begins, unless the shard is full.
    #[cold]
    #[inline(never)]
    fn append_to_next(
        &self,
        timestamp: u64,
        id: u16,
        payload: &[u8],
        fits: bool,
    ) -> Result<(), ErrorKind<M::Error>> {
        if fits && !(self.is_wall_set(timestamp) && self.obstacle(self.next_sequence()).is_none()) {
            return self.append_here(timestamp, id, payload);
        }
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
        let tagged = format::tagged(offset as u32, id, len, timestamp);
        // The place is already aligned. The mask tells the compiler so, which then omits the unaligned case.
        let at = (self.start.get() + offset) & !(WORD as u64 - 1);
        // The stores below cannot change a local variable.
        let medium = &self.recorder.medium;
        let tag = if payload.len() <= SHORT {
            let words = format::record_len(payload.len()) as usize / WORD - 1;
            let record = short_record(&tagged, payload);
            let record = record[..words].as_flattened();
            medium.write(at + WORD as u64, record);
            tag::of(self.key.get(), record)
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
        let mut tag = tag::Running::new(self.key.get());
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
    #[cold]
    #[inline(never)]
    fn next_sub_buffer(
        &self,
        timestamp: u64,
        payload: usize,
    ) -> Result<Result<(), M::Error>, ErrorKind<M::Error>> {
        let Recorder { medium, description, durability, .. } = self.recorder;
        let cursor = self.cursor;
        let most = description.geometry().largest_payload();
        if payload > most {
            return Err(self.lose(ErrorKind::TooLong { len: payload, most }));
        }
        let (head, sequence) = (cursor.head(), self.next_sequence());
        if let Some(why) = self.obstacle(sequence) {
            return Err(self.lose(why));
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

    /// Returns true if the wall clock was set by a second or more since the start of this sub-buffer.
    fn is_wall_set(&self, timestamp: u64) -> bool {
        self.asked.set(timestamp);
        let (then, now) = (self.pace.get(), self.recorder.clock.pace());
        let expected = if then.wall == 0 { 0 } else { then.wall_at(now.timestamp) };
        now.wall != 0 && now.wall.abs_diff(expected) >= Pace::SECOND
    }

    fn next_sequence(&self) -> u64 {
        self.cursor.head().div_ceil(self.size)
    }

    /// Returns the reason why a sub-buffer cannot be started.
    fn obstacle(&self, sequence: u64) -> Option<ErrorKind<M::Error>> {
        let description = &self.recorder.description;
        if sequence >= SEQUENCES {
            return Some(FormatError::WornOut.into());
        }
        let is_full = description.mode == Mode::Refuse
            && sequence >= self.cursor.released() + u64::from(description.sub_buffers);
        is_full.then_some(ErrorKind::Full)
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
            second_word: sequence | end_before << 40,
            timestamp,
            wall,
            ticks_per_second: pace.ticks_per_second,
            lost: self.cursor.lost(),
            generation,
            tag: 0,
        };
        let start = description.geometry().sub_buffer(self.shard, sequence);
        // A reader that sees this header sees all earlier records, and one that sees a later record sees this header.
        fence(Ordering::Release);
        medium.write(start, &header.sealed(identity));
        fence(Ordering::Release);
        self.enter(sequence, HEADER);
        self.asked.set(timestamp);
        self.pace.set(Pace { timestamp, wall, ..pace });
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

    /// Counts a lost event, also in the file. Returns the reason, even if the count cannot be made persistent.
    #[cold]
    fn lose(&self, why: ErrorKind<M::Error>) -> ErrorKind<M::Error> {
        let Recorder { medium, description, durability, .. } = self.recorder;
        self.cursor.lose();
        // The write-back compares with this word, not with the cursor's count: a signal handler on this thread can
        // count a loss between the load of the count and the store.
        let at = Geometry::loss(self.shard);
        let mut lost = self.cursor.lost();
        loop {
            medium.store(at, description.loss_word(self.shard, lost), Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            let stored = mem::replace(&mut lost, self.cursor.lost());
            if stored == lost {
                break;
            }
        }
        if *durability != Durability::EachAppend {
            return why;
        }
        // The event is refused in any case. An error of the medium would mean that it is recorded. The word stays due
        // for `write_back_all`, which returns the failure if it recurs.
        drop(medium.persist(at..at + 8));
        why
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
