//! Creating and opening recordings.

use super::cursor::Shards;
use super::error::{Error, ErrorKind};
use super::events;
use super::format::{BASE, Description, FORMAT, Geometry, SEQUENCES, Table};
use super::options::Options;
use super::reader::Reader;
use super::recorder::Recorder;
use cachemaint::medium::{Medium, OpenError, Readable};
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::error::FormatError;
use cachemaint_format::root;
use cachemaint_format::sync::AtomicBool;
use cachemaint_format::unreadable::{ThroughKernel, is_readable};
use cachemaint_format::writer::{self, Call, with_default_options};
use core::sync::atomic::Ordering;

/// An opened recording, and the findings.
type Opening<R, M> = Result<(R, Opened), OpenError<M, Error<<M as Readable>::Error>>>;
/// The same result before the recorder has its medium.
type Parts<'c, M> = Result<(Shards<'c>, Description, Opened), ErrorKind<<M as Readable>::Error>>;

/// The findings of creating or opening a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// True if this call created the recording.
    pub is_new: bool,
    /// True if a copy of the root was damaged. It was replaced, unless it is on a bad block.
    pub is_root_mended: bool,
}

impl<'o> Options<'o> {
    /// Creates a recording in a medium that has none.
    ///
    /// The recording is persistent when this returns. A crash during the call leaves a complete recording or none;
    /// [`open_or_create`](Self::open_or_create) then completes it if the medium held zeros. Junk and other programs'
    /// content are replaced, but never a journal or a store of this family.
    ///
    /// To replace a recording, first erase it by zeroing the words at 0, 4096, 8192 and 12288. Use another identity, or
    /// readers can return erased events.
    ///
    /// # Errors
    /// [`FormatError::Exists`] if the medium has a recording, intact, damaged or of another version.
    /// [`FormatError::Foreign`] if it has a journal or a store. [`ErrorKind::Geometry`], [`FormatError::TooSmall`],
    /// [`ErrorKind::BadEvent`], [`ErrorKind::EventsTooLong`], [`ErrorKind::FewCursors`], [`FormatError::SecondWriter`].
    /// The medium is unchanged in these cases. [`FormatError::Medium`].
    ///
    /// # Cost
    /// Writes one line of each sub-buffer, or one page with page granularity. Three fences.
    pub fn create_new<M: Medium>(self, medium: M) -> Opening<Recorder<'o, M>, M> {
        self.begin(medium, Call::CreateNew)
    }

    /// Opens the recording in a medium and continues it in new sub-buffers. Only the clock, durability, cursors and
    /// [events](Self::events) of these options apply; the file determines the others.
    ///
    /// The opening is persistent when this returns. Earlier events are only as persistent as before: a killed program
    /// leaves events in the caches. Opening a `DaxFile` makes the whole file durable; on another medium, persist the
    /// range first.
    ///
    /// A medium has at most one recorder at a time, which all threads share. A medium with a
    /// [`writer_lock`](Medium::writer_lock), such as a file, refuses a second one in this process.
    /// [`Memory`](cachemaint::medium::Memory) has none: the caller sees to one recorder, since a second one
    /// can overwrite events of the first and need not be told.
    ///
    /// # Errors
    /// Same as [`Reader::open`]; [`ErrorKind::BadEvent`], [`ErrorKind::EventsTooLong`], [`ErrorKind::OtherEvents`],
    /// [`ErrorKind::FewCursors`], [`FormatError::WornOut`], [`FormatError::SecondWriter`]. Nothing is stored before
    /// everything is read.
    ///
    /// # Cost
    /// Reads all headers of sub-buffers. Three fences.
    pub fn open<M: Medium>(self, medium: M) -> Opening<Recorder<'o, M>, M> {
        self.begin(medium, Call::Open)
    }

    /// Opens the recording in a medium, as [`open`](Self::open) does. If all root slots of the medium are zero, creates
    /// a recording, as [`create_new`](Self::create_new) does; the rest of the medium is then discarded.
    ///
    /// # Errors
    /// Those of both, except [`FormatError::Exists`]. [`FormatError::Foreign`] for another program's content, which
    /// stays.
    pub fn open_or_create<M: Medium>(self, medium: M) -> Opening<Recorder<'o, M>, M> {
        self.begin(medium, Call::OpenOrCreate)
    }

    fn begin<M: Medium>(self, medium: M, call: Call) -> Opening<Recorder<'o, M>, M> {
        let (clock, durability) = (self.clock, self.durability);
        let begun = writer::begin(&medium, FORMAT, call).map_err(ErrorKind::from);
        let begun = begun.and_then(|(is_new, lock)| {
            Ok((lock, if is_new { self.create_in(&medium)? } else { self.open_in(&medium)? }))
        });
        match begun {
            Ok((lock, (shards, description, opened))) => {
                let recorder = Recorder {
                    has_all_roots: is_readable(&medium, 0..root::BYTES),
                    medium,
                    shards,
                    description,
                    durability,
                    clock,
                    is_stopped: AtomicBool::new(false),
                    _writer: lock,
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
        let (identity, clock) = (self.identity, self.clock);
        let table = Table::of(self.events, identity);
        let description = Description::new(identity, geometry, &clock, table);
        create(medium, &description, self.events).map_err(FormatError::Medium)?;
        for (_, cursor) in shards.iter() {
            cursor.begin(0);
        }
        Ok((shards, description, Opened { is_new: true, is_root_mended: false }))
    }

    fn open_in<M: Medium>(self, medium: &M) -> Parts<'o, M> {
        events::check(self.events)?;
        let reads = ThroughKernel::buffered(medium);
        let (found, loaded) = Description::load(&reads, Rereadings::ALONE)?;
        if !self.events.is_empty() && Table::of(self.events, found.identity) != found.table {
            return Err(ErrorKind::OtherEvents);
        }
        let shards = Shards::take(self.cursors, found.shards)?;
        let newest = go_on(&Reader::of(&reads, found), &shards)?;
        medium.check().map_err(FormatError::Medium)?;
        let generation = next_generation(found.generation, newest).ok_or(FormatError::WornOut)?;
        let description = found.continued(generation, &self.clock);
        // A process that ended before its fence may have left the last root only in the caches, and the previous one is
        // overwritten next.
        loaded.root.restore(medium, FORMAT, loaded.is_damaged).map_err(FormatError::Medium)?;
        description.root().store(medium, FORMAT).map_err(FormatError::Medium)?;
        let is_root_mended = loaded.is_damaged.contains(&true);
        Ok((shards, description, Opened { is_new: false, is_root_mended }))
    }

    fn geometry<E>(&self, size: u64) -> Result<Geometry, ErrorKind<E>> {
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

with_default_options!(M, Recorder<'static, M>);

/// Returns the number of the next opening. It is higher than that of the root and those of all sub-buffers, since a
/// newer root may be damaged. Its root does not overwrite the current one.
fn next_generation(root: u64, newest: u64) -> Option<u64> {
    let next = root.max(newest).checked_add(1)?;
    let next = if (next - root).is_multiple_of(2) { next.checked_add(1)? } else { next };
    (next < root::GENERATIONS).then_some(next)
}

/// Creates a recording, so that a crash leaves a complete recording or none. Earlier content in the root slots is
/// untouched, or gone.
fn create<M: Medium>(
    medium: &M,
    description: &Description,
    events: &[(u16, &str)],
) -> Result<(), M::Error> {
    for at in (0..root::BYTES).step_by(root::BLOCK as usize) {
        medium.store(at, 0, Ordering::Relaxed);
        medium.issue_writeback(at..at + 8)?;
    }
    medium.fence()?;
    forget(medium, description.geometry())?;
    Table::write(medium, events)?;
    // Its first fence completes these write-backs before the root can be found.
    description.root().create(medium, FORMAT)
}

/// Zeroes the first words of sub-buffers, so that junk is not reported as damage, and issues their write-back. A word
/// that is already zero may be so only in the caches.
fn forget<M: Medium>(medium: &M, geometry: Geometry) -> Result<(), M::Error> {
    let is_by_pages = medium.granularity().is_by_pages();
    for at in (BASE..geometry.end()).step_by(geometry.size as usize) {
        medium.store(at, 0, Ordering::Relaxed);
        if !is_by_pages {
            medium.issue_writeback(at..at + 8)?;
        }
    }
    // One system call for all pages.
    if is_by_pages { medium.issue_writeback(BASE..geometry.end()) } else { Ok(()) }
}

/// Starts each shard after its existing events. Returns the number of the newest opening that has a sub-buffer.
fn go_on<M: Readable>(
    reader: &Reader<&M>,
    shards: &Shards<'_>,
) -> Result<u64, ErrorKind<M::Error>> {
    let size = u64::from(reader.description().sub_buffer_size);
    let mut newest_generation = 0;
    for (shard, cursor) in shards.iter() {
        let newest = reader.newest_header(shard);
        let next = newest.map_or(0, |newest| newest.sequence + 1);
        if next >= SEQUENCES {
            return Err(FormatError::WornOut.into());
        }
        cursor.begin(next * size);
        newest_generation = newest_generation.max(newest.map_or(0, |newest| newest.generation));
    }
    Ok(newest_generation)
}
