//! The options of a recording.

use super::clock::Clock;
use super::cursor::Cursor;
use cachemaint_format::identity::Identity;
#[cfg(feature = "std")]
use cachemaint_format::identity::entropy;

/// The time at which the events of an opening are written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Only on request, by [`write_back_all`](super::Recorder::write_back_all), which a [`Within`](super::Within), a
    /// panic hook or a signal handler may call. Events survive the end of the process in any case.
    OnRequest,
    /// After each full sub-buffer: it is persistent when the next one gets its first event.
    SubBuffer,
    /// After each event, before [`record`](super::Writer::record) returns.
    EachAppend,
}

/// The options for creating or opening a recording.
///
/// The defaults are one shard, and as many sub-buffers as fit into the medium. They have 64 KiB if each shard has space
/// for eight, otherwise less, down to 4 KiB. The oldest sub-buffers are overwritten, and events are written back on
/// request.
///
/// A new recording never overwrites another one: [`create_new`](Self::create_new) refuses a medium with a recording.
#[derive(Debug)]
#[must_use]
pub struct Options<'o> {
    pub(super) identity: Identity,
    pub(super) clock: Clock,
    pub(super) shards: u32,
    pub(super) sub_buffers: Option<u32>,
    pub(super) size: Option<u32>,
    pub(super) durability: Durability,
    pub(super) events: &'o [(u16, &'o str)],
    pub(super) cursors: Option<&'o mut [Cursor]>,
}

impl<'o> Options<'o> {
    /// Returns the defaults, with [this machine's clock](Clock::host), which determines the cost. Each new recording
    /// gets a random identity of the quality of the standard library's hash map keys
    /// ([`RandomState`](std::hash::RandomState)): it distinguishes files, and is not a secret.
    #[cfg(feature = "std")]
    pub fn new() -> Self {
        Self::with_clock(Identity::from_entropy(entropy()), Clock::host())
    }

    /// Returns the defaults with the caller's identity and clock, for machines without an operating system. Without the
    /// feature `alloc`, [`cursors`](Self::cursors) are needed as well.
    ///
    /// The identity must be random and unique to one recording: with a constant one, erased events reappear in the next
    /// recording. Firmware takes it from a random number generator (RDRAND, RNDR, Zkr), or combines the board's serial
    /// number with a stored boot count; a cycle counter is not enough. An existing file keeps its own identity.
    pub const fn with_clock(identity: Identity, clock: Clock) -> Self {
        Self {
            identity,
            clock,
            shards: 1,
            sub_buffers: None,
            size: None,
            durability: Durability::OnRequest,
            events: &[],
            cursors: None,
        }
    }

    /// Provides the memory for cursors, at least one for each shard, instead of allocating it.
    ///
    /// ```
    /// # use cachemaint_recorder::{Clock, Cursor, Identity, Options};
    /// # let (identity, clock) = (Identity([7; 16]), Clock::from_function(|| 0, 1, || 0));
    /// let mut cursors = [const { Cursor::new() }; 2];
    /// let options = Options::with_clock(identity, clock).shards(2).cursors(&mut cursors);
    /// ```
    pub const fn cursors(mut self, cursors: &'o mut [Cursor]) -> Self {
        self.cursors = Some(cursors);
        self
    }

    /// Sets the number of threads that can record at the same time, 1 to 4096. An existing file keeps its own.
    pub const fn shards(mut self, shards: u32) -> Self {
        self.shards = shards;
        self
    }

    /// Sets the number of sub-buffers of each shard, at least 2. An existing file keeps its own.
    pub const fn sub_buffers(mut self, sub_buffers: u32) -> Self {
        self.sub_buffers = Some(sub_buffers);
        self
    }

    /// Sets the size of a sub-buffer in bytes: a power of two, 256 to 1048576. An existing file keeps its own.
    ///
    /// A sub-buffer is the unit of overwriting and, with [`Durability::SubBuffer`], the unit of write-back. With any
    /// durability each costs a fence: one in about 1,600 events of 16 bytes with 64 KiB, one in 100 with 4 KiB.
    pub const fn sub_buffer_size(mut self, bytes: u32) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Sets the names of events and the types of their fields. They are kept in the file, so `cachemaint recording print` and
    /// [`Reader::event_table`](super::Reader::event_table) can show them without the program.
    ///
    /// The file keeps the texts of its creation for its whole life. A later opening gives the same ones in the same
    /// order, or none. If a program's events change, it must record into a new file.
    ///
    /// Each entry is an event id and a text: the name, or `NAME: FIELD=TYPE FIELD=TYPE …`. The fields are
    /// read from the payload in this order, without gaps. Names are printable ASCII characters other than space and
    /// `=`. A text has at most 512 bytes.
    ///
    /// | type | bytes of the payload |
    /// |---|---|
    /// | `u8`, `u16`, `u32`, `u64` | an unsigned integer, little-endian |
    /// | `i8`, `i16`, `i32`, `i64` | a signed integer in two's complement, little-endian |
    /// | `f32`, `f64` | an IEEE 754 number, little-endian |
    /// | `str` | the rest of the payload, in UTF-8; must be the last field |
    ///
    /// ```
    /// # use cachemaint::medium::{Medium, Readable};
    /// # use cachemaint_recorder::{Error, Found, Options, Value};
    /// const EVENTS: &[(u16, &str)] = &[(3, "opened: valve=u32 note=str"), (4, "closed")];
    ///
    /// # #[cfg(feature = "std")]
    /// # fn record<M: Medium>(medium: M) -> Result<(), Error<M::Error>> {
    /// let (recorder, _opened) = Options::new().events(EVENTS).open_or_create(medium)?;
    /// recorder.claim()?.record(3, &[&7_u32.to_le_bytes()[..], b"by hand"].concat())?;
    ///
    /// // Any program can read it: `cachemaint recording print` prints `opened valve=7 note=by hand`.
    /// let reader = recorder.reader();
    /// let table = reader.event_table()?;
    /// let mut buffer = vec![0; reader.largest_payload()];
    /// if let Some(Found::Event(event)) = reader.events().read_next(&mut buffer)? {
    ///     let (name, fields) = table.describe(&event).unwrap();
    ///     let fields: Vec<_> = fields.collect();
    ///     assert_eq!(name, "opened");
    ///     assert_eq!(fields, [("valve", Value::Unsigned(7)), ("note", Value::Text(b"by hand"))]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// All texts together may have 4096 bytes, less 4 for each.
    ///
    /// # Errors
    /// From the opening: [`ErrorKind::OtherEvents`](super::ErrorKind::OtherEvents),
    /// [`ErrorKind::EventsTooLong`](super::ErrorKind::EventsTooLong),
    /// [`ErrorKind::BadEvent`](super::ErrorKind::BadEvent).
    pub const fn events(mut self, events: &'o [(u16, &'o str)]) -> Self {
        self.events = events;
        self
    }

    /// Sets when events are written back.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

#[cfg(feature = "std")]
impl Default for Options<'_> {
    fn default() -> Self {
        Self::new()
    }
}
