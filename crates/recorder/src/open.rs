//! Creation and opening of recordings.

use super::cursor::Shards;
use super::error::{Error, ErrorKind};
use super::events;
use super::format::{Description, FORMAT, Geometry, Mode, SEQUENCES, Table};
use super::options::Options;
use super::reader::Reader;
use super::recorder::Recorder;
use cachemaint::medium::{Granularity, Medium, OpenError, Readable};
use cachemaint_format::error::FormatError;
use cachemaint_format::reread::Rereadings;
use cachemaint_format::root;
use cachemaint_format::sync::AtomicBool;
use cachemaint_format::writer;
use core::sync::atomic::Ordering;

/// The result of an opening or a creation.
type Result<'c, M> =
    core::result::Result<(Recorder<'c, M>, Opened), OpenError<M, Error<<M as Readable>::Error>>>;
/// The result before the recorder has its medium.
type Parts<'c, M> =
    core::result::Result<(Shards<'c>, Description, Opened), ErrorKind<<M as Readable>::Error>>;

/// The findings when a recording was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// True if this call has created the recording.
    pub is_new: bool,
    /// True if a copy of the root was damaged. It has been replaced.
    pub is_root_mended: bool,
}

impl<'o> Options<'o> {
    /// Creates a recording in a medium that has none.
    ///
    /// The recording is persistent when this returns. A crash before that leaves a whole recording or no recording:
    /// [`open_or_create`](Self::open_or_create) completes it if the medium held zeros. Junk and another program's content are
    /// replaced, but no journal and no store of this family.
    ///
    /// To replace a recording, erase it by zeros in the words at 0, 4096, 8192 and 12288 first, and give another identity, or
    /// a reader returns erased events.
    ///
    /// # Errors
    /// [`FormatError::Exists`] if the medium has a recording, whole or damaged or of another version.
    /// [`FormatError::Foreign`] if it has a journal or a store. [`ErrorKind::Geometry`], [`FormatError::TooSmall`],
    /// [`ErrorKind::BadEvent`], [`ErrorKind::EventsTooLong`], [`ErrorKind::FewCursors`], [`FormatError::SecondWriter`]. The
    /// medium is unchanged then. [`FormatError::Medium`].
    ///
    /// # Cost
    /// One line of each sub-buffer is written, by pages one page. Three fences.
    pub fn create_new<M: Medium>(self, medium: M) -> Result<'o, M> {
        self.by_one_writer(medium, Self::create_in)
    }

    /// Opens the recording in a medium and continues it in new sub-buffers. Of these options only clock, durability,
    /// cursors and [events](Self::events) are used. The file has all others.
    ///
    /// The opening is persistent when this returns. Earlier events are as persistent as before: a killed program leaves events
    /// in caches. Opening a `DaxFile` makes those of its file durable; persist the range of another medium before.
    ///
    /// A medium has one recorder at a time, which all threads share. A medium with a [`writer_lock`](Medium::writer_lock), such
    /// as a file, refuses a second one of this process. [`Memory`](cachemaint::medium::Memory) has none: two recorders there
    /// overwrite each other's events without an error.
    ///
    /// # Errors
    /// As [`Reader::open`]; [`ErrorKind::BadEvent`], [`ErrorKind::EventsTooLong`], [`ErrorKind::OtherEvents`],
    /// [`ErrorKind::FewCursors`], [`FormatError::WornOut`], [`FormatError::SecondWriter`]. Nothing is stored before all is
    /// read.
    ///
    /// # Cost
    /// All headers of sub-buffers are read. Three fences.
    pub fn open<M: Medium>(self, medium: M) -> Result<'o, M> {
        self.by_one_writer(medium, Self::open_in)
    }

    /// Opens the recording in a medium, as [`open`](Self::open). If the medium has zeros in the places of all roots, creates
    /// a recording, as [`create_new`](Self::create_new): the rest of the medium is discarded then.
    ///
    /// # Errors
    /// Those of both, but not [`FormatError::Exists`]. [`FormatError::Foreign`] for the content of another program, which
    /// stays.
    pub fn open_or_create<M: Medium>(self, medium: M) -> Result<'o, M> {
        self.by_one_writer(medium, |options, medium| {
            let is_missing = root::is_missing(medium).map_err(FormatError::Medium)?;
            if is_missing { options.create_in(medium) } else { options.open_in(medium) }
        })
    }

    /// Opens the recording in a medium as its one writer.
    fn by_one_writer<M: Medium>(
        self,
        medium: M,
        open: impl FnOnce(Self, &M) -> Parts<'o, M>,
    ) -> Result<'o, M> {
        let (clock, durability) = (self.clock, self.durability);
        let writer = writer::lock(&medium, FormatError::SecondWriter.into());
        match writer.and_then(|writer| Ok((writer, open(self, &medium)?))) {
            Ok((writer, (shards, description, opened))) => {
                let recorder = Recorder {
                    medium,
                    shards,
                    description,
                    durability,
                    clock,
                    is_stopped: AtomicBool::new(false),
                    _writer: writer,
                };
                Ok((recorder, opened))
            }
            Err(kind) => Err(OpenError::new(medium, Error::new(kind))),
        }
    }

    fn create_in<M: Medium>(self, medium: &M) -> Parts<'o, M> {
        let geometry = self.geometry(medium.len())?;
        events::check(self.events)?;
        let shards = Shards::take(self.cursors, geometry.shards)?;
        root::refuse_existing(medium, FORMAT)?;
        let (identity, clock) = (self.identity, self.clock);
        let table = Table::of(self.events, identity);
        let description = Description::new(identity, geometry, self.mode, &clock, table);
        create(medium, &description, self.events).map_err(FormatError::Medium)?;
        for (_, cursor) in shards.iter() {
            cursor.begin(0, 0, (0, 0));
        }
        Ok((shards, description, Opened { is_new: true, is_root_mended: false }))
    }

    fn open_in<M: Medium>(self, medium: &M) -> Parts<'o, M> {
        events::check(self.events)?;
        let (found, loaded) = Description::load(medium, Rereadings::ALONE)?;
        if !self.events.is_empty() && Table::of(self.events, found.identity) != found.table {
            return Err(ErrorKind::OtherEvents);
        }
        let shards = Shards::take(self.cursors, found.shards)?;
        let newest = go_on(&Reader::of(medium, found), &shards)?;
        // The first store comes after the last load that can end the process, by a media error.
        medium.check().map_err(FormatError::Medium)?;
        let generation = next_generation(found.generation, newest).ok_or(FormatError::WornOut)?;
        let description = found.continued(generation, &self.clock);
        // A process that ended before its fence may have left the last root in the caches alone, and the one before it is
        // overwritten next.
        loaded.root.restore(medium, FORMAT, loaded.is_damaged).map_err(FormatError::Medium)?;
        description.root().store(medium, FORMAT).map_err(FormatError::Medium)?;
        let is_root_mended = loaded.is_damaged.contains(&true);
        Ok((shards, description, Opened { is_new: false, is_root_mended }))
    }

    fn geometry<E>(&self, size: u64) -> core::result::Result<Geometry, ErrorKind<E>> {
        let geometry = Geometry::chosen(self.shards, self.sub_buffers, self.size, size);
        if let Some(fault) = geometry.fault() {
            return Err(ErrorKind::Geometry(fault));
        }
        let needed = geometry.len().unwrap_or(u64::MAX);
        if size < needed {
            return Err(FormatError::TooSmall { size, needed }.into());
        }
        Ok(geometry)
    }
}

/// Constructors with the default options: see [`Options`] for others.
#[cfg(feature = "std")]
impl<M: Medium> Recorder<'static, M> {
    /// Creates a recording in a medium that has none: see [`Options::create_new`].
    ///
    /// # Errors
    /// As there.
    pub fn create_new(medium: M) -> Result<'static, M> {
        Options::new().create_new(medium)
    }

    /// Opens the recording in a medium and continues it: see [`Options::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(medium: M) -> Result<'static, M> {
        Options::new().open(medium)
    }

    /// Opens the recording in a medium, or creates a recording in an empty medium: see [`Options::open_or_create`].
    ///
    /// # Errors
    /// As there.
    pub fn open_or_create(medium: M) -> Result<'static, M> {
        Options::new().open_or_create(medium)
    }
}

/// Returns the number of the next opening: after that of the root, and after those of all sub-buffers, since a newer root may
/// be damaged. Its root is not stored over the one that counts.
fn next_generation(root: u64, newest: u64) -> Option<u64> {
    let next = root.max(newest).checked_add(1)?;
    let next = if (next - root).is_multiple_of(2) { next.checked_add(1)? } else { next };
    (next < root::GENERATIONS).then_some(next)
}

/// Creates a recording, so that a crash leaves a whole recording or no recording. What was in the place of its roots is
/// untouched, or gone.
fn create<M: Medium>(
    medium: &M,
    description: &Description,
    events: &[(u16, &str)],
) -> core::result::Result<(), M::Error> {
    for at in (0..root::BYTES).step_by(root::BLOCK as usize) {
        medium.store(at, 0, Ordering::Relaxed);
        medium.issue_writeback(at..at + 8)?;
    }
    medium.fence()?;
    forget(medium, description.geometry())?;
    Table::write(medium, events)?;
    // Its first fence completes these write-backs, before the root can be found.
    description.root().create(medium, FORMAT)
}

/// Zeroes the first words of sub-buffers and counts of lost events, so that junk is not reported as damage, and issues
/// their write-back. A word that is zero already may be so in the caches alone.
fn forget<M: Medium>(medium: &M, geometry: Geometry) -> core::result::Result<(), M::Error> {
    let is_by_pages = matches!(medium.granularity(), Granularity::Page(_));
    for shard in 0..geometry.shards {
        let slots =
            (0..u64::from(geometry.sub_buffers)).map(|slot| geometry.sub_buffer(shard, slot));
        for at in slots.chain([Geometry::loss(shard)]) {
            medium.store(at, 0, Ordering::Relaxed);
            if !is_by_pages {
                medium.issue_writeback(at..at + 8)?;
            }
        }
    }
    // One system call for all pages.
    if is_by_pages { medium.issue_writeback(Geometry::loss(0)..geometry.end()) } else { Ok(()) }
}

/// Begins each shard after the events that it has. Returns the number of the newest opening that has a sub-buffer.
fn go_on<M: Medium>(
    reader: &Reader<&M>,
    shards: &Shards<'_>,
) -> core::result::Result<u64, ErrorKind<M::Error>> {
    let description = reader.description();
    let (geometry, mode) = (description.geometry(), description.mode);
    let mut newest_generation = 0;
    for (shard, cursor) in shards.iter() {
        let newest = reader.newest_header(shard);
        let next = newest.map_or(0, |newest| newest.sequence() + 1);
        if next >= SEQUENCES {
            return Err(FormatError::WornOut.into());
        }
        let released = match mode {
            Mode::Refuse => next.saturating_sub(u64::from(geometry.sub_buffers)),
            Mode::Overwrite => 0,
        };
        let word = reader.loss_word(shard);
        let lost = (reader.counted_as_lost(shard, newest.as_ref()), word);
        cursor.begin(next * u64::from(geometry.size), released, lost);
        newest_generation = newest_generation.max(newest.map_or(0, |newest| newest.generation));
    }
    Ok(newest_generation)
}
