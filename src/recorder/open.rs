//! Creation and opening of recordings.

use super::events::{self, Texts};
use super::format::{
    DESCRIPTOR, DESCRIPTORS, Description, Geometry, MAGIC, MOST_ENTRIES, PAGE, SEQUENCES, TAG,
    Tables, entries_len,
};
use super::mode::Mode;
use super::options::{Options, Settings};
use super::reader::Reader;
use super::taken::Taken;
use super::{Clock, Cursor, Durability, Error, ErrorKind, Recorder};
use crate::format::{magic, rewritten, writer};
use crate::medium::{Medium, OpenError, Readable, WriterLockGuard};
use crate::sync::AtomicBool;
use core::sync::atomic::Ordering;

/// The error of an opening or a creation.
type Failed<M> = OpenError<M, Error<<M as Readable>::Error>>;

impl<C, P> Options<'_, C>
where
    C: FnOnce(u32) -> P,
    P: AsRef<[Cursor]>,
{
    /// Creates a recording in a medium that has none.
    ///
    /// The recording is persistent when this returns. A crash before that leaves a whole recording or no recording, and
    /// [`open_or_create`](Self::open_or_create) completes the creation if the medium held zeros. Junk and another
    /// program's content are replaced: after a crash they are untouched, or gone. A journal and a store of this crate
    /// are not replaced as long as the word at 0 or at 4096 shows them.
    ///
    /// # A recording to be replaced
    /// A recording is erased by zeros in the words at 0 and at 4096: after that this creates a new one. A program does so
    /// where it has no other medium, such as firmware whose ring is at a fixed address, and the recording is damaged or of
    /// another version. "A kernel's ring buffer" in `docs/logs-and-recorders.md` has the whole sequence of a boot.
    ///
    /// The remains of an erased recording in the medium are not zeroed as a whole. They do not verify any more, unless
    /// the identity is the same: then a reader returns erased events as events of the new recording. So use a new identity.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if the medium has a recording, whole or damaged or of another version.
    /// [`ErrorKind::Foreign`] if it has a journal or a store. [`ErrorKind::Geometry`], [`ErrorKind::TooSmall`],
    /// [`ErrorKind::BadEvent`], [`ErrorKind::EventsTooLong`], [`ErrorKind::FewCursors`], [`ErrorKind::CursorTaken`]. With
    /// each of these errors the medium is unchanged. [`ErrorKind::SecondWriter`]. [`ErrorKind::Medium`].
    ///
    /// # Cost
    /// The first word of each sub-buffer is read. Three fences, or four with long [tables of events](Self::events).
    pub fn create_new<M: Medium>(self, medium: M) -> Result<Recorder<M, P>, Failed<M>> {
        as_writer(medium, |medium| self.create_in(medium))
    }

    /// Opens the recording in a medium and continues it in new sub-buffers. Of these options only clock, durability,
    /// cursors and [events](Self::events) are used. The file has all others.
    ///
    /// The opening is persistent when this returns. The earlier events are as persistent as they were before, and the
    /// [durability](Self::durability) is that of later ones: a killed program leaves events in caches. Opening a
    /// `DaxFile` makes those of its file durable. Persist the range of another medium before.
    ///
    /// # One recorder
    /// A medium has one recorder at a time, which all threads or CPUs share: one of them opens the recording, and each claims
    /// a shard. A medium with a [`writer_lock`](Medium::writer_lock), such as a file, refuses a second recorder of this
    /// process. [`Memory`](crate::medium::Memory) has none: two recorders in the same words both open, and overwrite each
    /// other's events without an error.
    ///
    /// # Errors
    /// As [`Reader::open`]; [`ErrorKind::BadEvent`], [`ErrorKind::EventsTooLong`], [`ErrorKind::FewCursors`],
    /// [`ErrorKind::CursorTaken`], [`ErrorKind::WornOut`], [`ErrorKind::SecondWriter`].
    ///
    /// # Cost
    /// All headers of sub-buffers are read a few times. The newest sub-buffer of each shard is read, and those without a
    /// valid header are searched for records. So the bytes of unused ones, in the first lap of a shard, are read once. Of
    /// those with older headers the first record is read. Two fences, or three with long tables of events.
    ///
    /// # Media errors
    /// Nothing is stored before everything that an opening needs was read, and the medium has not failed.
    pub fn open<M: Medium>(self, medium: M) -> Result<Recorder<M, P>, Failed<M>> {
        as_writer(medium, |medium| self.open_in(medium))
    }

    /// Opens the recording in a medium, as [`open`](Self::open). If the words at 0 and at 4096 are zero, creates a
    /// recording, as [`create_new`](Self::create_new): the rest of the medium is discarded then.
    ///
    /// # Errors
    /// Those of both, but neither [`ErrorKind::NotFound`] nor [`ErrorKind::Exists`]. [`ErrorKind::Foreign`] for the content of
    /// another program, which stays.
    pub fn open_or_create<M: Medium>(self, medium: M) -> Result<Recorder<M, P>, Failed<M>> {
        let is_missing = match Reader::locate(&medium) {
            Err(ErrorKind::NotFound) => true,
            // Zeros that are too short for both descriptors: `create_new` reports the length that is needed.
            Err(ErrorKind::Truncated { .. }) => {
                magic::words(&medium).is_ok_and(|words| words == [[0; 8]; 2])
            }
            _ => false,
        };
        if is_missing { self.create_new(medium) } else { self.open(medium) }
    }

    fn create_in<M: Medium>(self, medium: &M) -> Result<Parts<P>, ErrorKind<M::Error>> {
        let Self { settings, cursors } = self;
        let geometry = settings.geometry(medium.len())?;
        settings.check_events()?;
        let cursors = Taken::take(cursors(geometry.shards), geometry.shards)?;
        let words @ [first, second] = magic::words(medium).map_err(ErrorKind::Medium)?;
        if words.contains(&MAGIC) {
            return Err(ErrorKind::Exists);
        }
        if magic::another(words, MAGIC).is_some() {
            return Err(ErrorKind::Foreign { first, second });
        }
        let Settings { mode, durability, .. } = settings;
        let (identity, clock) = (settings.identity(), settings.clock.at_opening());
        let tables = settings.tables(Tables::NONE, 1, &identity.0);
        let description = Description::new(1, identity, geometry, mode, &clock, tables.len());
        create(medium, &description, &tables).map_err(ErrorKind::Medium)?;
        for (_, cursor) in cursors.iter() {
            cursor.begin(0, geometry.size, 0, (0, 0));
        }
        Ok(Parts { cursors, description, durability, clock })
    }

    fn open_in<M: Medium>(self, medium: &M) -> Result<Parts<P>, ErrorKind<M::Error>> {
        self.settings.check_events()?;
        let Self { settings, cursors } = self;
        let (found, at) = Reader::locate(medium)?;
        let cursors = Taken::take(cursors(found.shards), found.shards)?;
        // The descriptor of a newer opening may be damaged. Its events must not get the names of this opening.
        let newest = found.generation.max(Reader::of(medium, found).newest_generation());
        let generation = newest.checked_add(1).ok_or(ErrorKind::WornOut)?;
        let (Description { identity, mode, .. }, geometry) = (found, found.geometry());
        let tables = settings.tables(earlier_tables(medium, &found, at), generation, &identity.0);
        let (durability, clock, len) =
            (settings.durability, settings.clock.at_opening(), tables.len());
        let description = Description::new(generation, identity, geometry, mode, &clock, len);
        // The first store comes after the last load that can end the process, by a media error.
        go_on(&Reader::of(medium, found), medium, &cursors)?;
        persist_found(medium, DESCRIPTORS[1] - at, &found).map_err(ErrorKind::Medium)?;
        publish(medium, at, &description, &tables).map_err(ErrorKind::Medium)?;
        Ok(Parts { cursors, description, durability, clock })
    }
}

/// A recorder without its medium.
struct Parts<P> {
    cursors: Taken<P>,
    description: Description,
    durability: Durability,
    clock: Clock,
}

impl<P> Parts<P> {
    fn recorder<M>(self, medium: M, writer: Option<WriterLockGuard>) -> Recorder<M, P> {
        let Self { cursors, description, durability, clock } = self;
        let is_stopped = AtomicBool::new(false);
        Recorder { medium, cursors, description, durability, clock, is_stopped, _writer: writer }
    }
}

/// Opens the recording in a medium as its one writer.
fn as_writer<M: Medium, P>(
    medium: M,
    open: impl FnOnce(&M) -> Result<Parts<P>, ErrorKind<M::Error>>,
) -> Result<Recorder<M, P>, Failed<M>> {
    let writer = writer::lock(&medium, ErrorKind::SecondWriter);
    match writer.and_then(|writer| Ok((writer, open(&medium)?))) {
        Ok((writer, parts)) => Ok(parts.recorder(medium, writer)),
        Err(kind) => Err(OpenError::new(medium, Error::new(kind))),
    }
}

/// Constructors with the default options: see [`Options`] for others.
#[cfg(feature = "std")]
impl<M: Medium> Recorder<M> {
    /// Creates a recording in a medium that has none: see [`Options::create_new`].
    ///
    /// # Errors
    /// As there.
    pub fn create_new(medium: M) -> Result<Self, Failed<M>> {
        Options::new().create_new(medium)
    }

    /// Opens the recording in a medium and continues it: see [`Options::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(medium: M) -> Result<Self, Failed<M>> {
        Options::new().open(medium)
    }

    /// Opens the recording in a medium, or creates a recording in an empty medium: see [`Options::open_or_create`].
    ///
    /// # Errors
    /// As there.
    pub fn open_or_create(medium: M) -> Result<Self, Failed<M>> {
        Options::new().open_or_create(medium)
    }
}

impl Settings<'_> {
    fn geometry<E>(&self, len: u64) -> Result<Geometry, ErrorKind<E>> {
        let (shards, size) = (self.shards, self.size);
        let sub_buffers = match self.sub_buffers {
            Some(sub_buffers) => sub_buffers,
            // A medium without space for two is refused as too short for two.
            None => Geometry::fitting(shards, size, len).max(2),
        };
        let geometry = Geometry { shards, sub_buffers, size };
        if let Some(fault) = geometry.fault() {
            return Err(ErrorKind::Geometry(fault));
        }
        let needed = geometry.len().unwrap_or(u64::MAX);
        if len < needed { Err(ErrorKind::TooSmall { len, needed }) } else { Ok(geometry) }
    }
}

impl Settings<'_> {
    /// Checks the table of events.
    fn check_events<E>(&self) -> Result<(), ErrorKind<E>> {
        for (place, (id, text)) in self.events.iter().enumerate() {
            let is_second = self.events[..place].iter().any(|(other, _)| other == id);
            let second = is_second.then_some("another entry has the same id");
            if let Some(what) = events::fault(*id, text).or(second) {
                return Err(ErrorKind::BadEvent { id: *id, what });
            }
        }
        let (len, most) = (entries_len(self.events), MOST_ENTRIES);
        if len > most { Err(ErrorKind::EventsTooLong { len, most }) } else { Ok(()) }
    }

    /// Adds the table of events, if there is one, to those of earlier openings.
    fn tables(&self, mut earlier: Tables, generation: u64, identity: &[u8; 16]) -> Tables {
        if !self.events.is_empty() {
            earlier.add(self.events, generation);
            earlier.seal(identity);
        }
        earlier
    }
}

/// Returns the tables in the page of the description that counts. If they are damaged, returns those in the page at `at`,
/// which is overwritten next: they lack only the last opening.
fn earlier_tables<M: Medium>(medium: &M, found: &Description, at: u64) -> Tables {
    let read = |page, of: &Description| Some(Texts::read(medium, page, of)?.tables());
    let other = || {
        let other = Reader::descriptor(medium, at).ok()?.ok()?;
        if other.identity == found.identity { read(at, &other) } else { None }
    };
    let earlier = read(DESCRIPTORS[1] - at, found);
    let is_damaged = earlier.is_none() && found.tables > 0;
    if is_damaged { other() } else { earlier }.unwrap_or(Tables::NONE)
}

/// Creates a recording, so that a crash leaves a whole recording or no recording. Both magics are made zero first, and
/// the first magic is stored at the end.
fn create<M: Medium>(
    medium: &M,
    description: &Description,
    tables: &Tables,
) -> Result<(), M::Error> {
    let [first, second] = DESCRIPTORS;
    for at in DESCRIPTORS {
        medium.store(at, 0, Ordering::Relaxed);
        medium.issue_writeback(at..at + 8)?;
    }
    medium.fence();
    forget(medium, description.geometry())?;
    // An erased recording may have left a second descriptor with a higher generation. Without its tag no part of it
    // can complete a torn descriptor that is written over it later.
    medium.store(second + TAG, 0, Ordering::Relaxed);
    medium.issue_writeback(second + TAG..second + TAG + 8)?;
    write_tables(medium, first, tables)?;
    let bytes = description.to_bytes();
    let (magic, rest) = bytes.split_at(8);
    medium.persist_copy(&[(first + 8, rest)])?;
    medium.persist_copy(&[(first, magic)])
}

/// Zeroes the first words of sub-buffers and counts of lost events, so that junk is not reported as damage, and issues
/// their write-back.
fn forget<M: Medium>(medium: &M, geometry: Geometry) -> Result<(), M::Error> {
    let (mut start, mut end) = (u64::MAX, 0);
    for shard in 0..geometry.shards {
        let slots =
            (0..u64::from(geometry.sub_buffers)).map(|slot| geometry.sub_buffer(shard, slot));
        for at in slots.chain([Geometry::loss(shard)]) {
            if medium.load(at, Ordering::Relaxed) != 0 {
                medium.store(at, 0, Ordering::Relaxed);
                (start, end) = (start.min(at), end.max(at + 8));
            }
        }
    }
    if start < end { medium.issue_writeback(start..end) } else { Ok(()) }
}

/// Makes the descriptor that counts and its tables persistent, since the other ones are overwritten next.
fn persist_found<M: Medium>(medium: &M, page: u64, found: &Description) -> Result<(), M::Error> {
    let rest = PAGE - DESCRIPTOR as u64;
    let tables = u64::from(found.tables).next_multiple_of(8).min(rest);
    rewritten::writeback(medium, page..page + DESCRIPTOR as u64 + tables)?;
    medium.fence();
    Ok(())
}

/// Writes a descriptor. Makes it and all earlier write-backs persistent.
fn publish<M: Medium>(
    medium: &M,
    at: u64,
    description: &Description,
    tables: &Tables,
) -> Result<(), M::Error> {
    debug_assert!(at == 0 || at == PAGE, "a descriptor has a page of its own");
    write_tables(medium, at, tables)?;
    medium.write(at, &description.to_bytes());
    medium.persist(at..at + DESCRIPTOR as u64)
}

/// Writes the tables of events into the page of a descriptor, and issues their write-back. The tables have a tag of their
/// own, so they may become persistent before or after the descriptor.
fn write_tables<M: Medium>(medium: &M, page: u64, tables: &Tables) -> Result<(), M::Error> {
    if tables.is_empty() {
        return Ok(());
    }
    medium.copy_unfenced(&[(page + DESCRIPTOR as u64, tables.bytes())])
}

/// Begins each shard after the events that it has.
fn go_on<M: Medium, P: AsRef<[Cursor]>>(
    reader: &Reader<&M>,
    medium: &M,
    cursors: &Taken<P>,
) -> Result<(), ErrorKind<M::Error>> {
    let description = reader.description();
    let (geometry, mode) = (description.geometry(), description.mode);
    for (shard, cursor) in cursors.iter() {
        let end = reader.end(shard);
        let next = end.div_ceil(geometry.size.into());
        if next >= SEQUENCES {
            return Err(ErrorKind::WornOut);
        }
        let released = match mode {
            Mode::Refuse => next.saturating_sub(u64::from(geometry.sub_buffers)),
            Mode::Overwrite => 0,
        };
        let lost_word = medium.load(Geometry::loss(shard), Ordering::Relaxed);
        let lost = (reader.counted_as_lost(shard), lost_word);
        cursor.begin(end, geometry.size, released, lost);
    }
    medium.check().map_err(ErrorKind::Medium)
}

/// Reading of the recorded events.
impl<M: Medium, C: AsRef<[Cursor]>> Recorder<M, C> {
    /// Returns a reader of the recorded events. Recording can continue meanwhile.
    pub const fn reader(&self) -> Reader<&M> {
        Reader::of(&self.medium, self.description)
    }
}
