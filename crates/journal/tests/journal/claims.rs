//! Properties that hold for a journal of any bytes. The property tests and the fuzzers in `fuzz/` check the same ones.

use cachemaint::medium::{Medium, OpenError, Readable};
use cachemaint_journal::{
    Error, ErrorKind, Group, Journal, Opened, Options, Reader, Record, Salvaged,
};
use core::fmt::Debug;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// The offset of the log.
pub(crate) const LOG: u64 = 20480;
/// Bytes of a mark, without the padding up to the alignment.
const MARK: u64 = 64;

/// An error of an operation or of an opening, both of which have a reason.
pub(crate) trait Refusal {
    type Medium;

    fn reason(&self) -> &ErrorKind<Self::Medium>;
}

impl<E> Refusal for Error<E> {
    type Medium = E;

    fn reason(&self) -> &ErrorKind<E> {
        self.kind()
    }
}

impl<M, E> Refusal for OpenError<M, Error<E>> {
    type Medium = E;

    fn reason(&self) -> &ErrorKind<E> {
        self.error.kind()
    }
}

/// Returns the reason of a refusal, or `None` if nothing was refused.
pub(crate) fn reason<T, R: Refusal>(done: &Result<T, R>) -> Option<&ErrorKind<R::Medium>> {
    done.as_ref().err().map(R::reason)
}

/// The numbers of openings after the damage.
const FIRST: u64 = 1 << 32;
const SECOND: u64 = FIRST + 1;

/// The sizes of a journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) segment: u64,
    pub(crate) segments: u64,
    pub(crate) is_powersafe: bool,
}

impl Shape {
    /// Bytes of the medium.
    pub(crate) const fn bytes(&self) -> u64 {
        LOG + self.capacity()
    }

    const fn capacity(&self) -> u64 {
        self.segments * self.segment
    }

    /// Returns the same options each time, except for the random words, which differ between openings.
    pub(crate) fn options(&self, opening: u64) -> Options {
        Options::with_entropy([0x0123_4567_89ab_cdef, opening])
            .segment(self.segment)
            .powersafe_overwrite(self.is_powersafe)
    }
}

/// An operation on a journal. It is skipped if it does not fit.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Deed {
    /// Appends a record with this number of bytes.
    Append(u8),
    /// Appends several records as a group.
    Group(Vec<u8>),
    /// Trims to one of the records, counted from the oldest one.
    Trim(u8),
    /// Closes the journal and opens it: a new epoch begins.
    Reopen,
    /// Opens it without closing it, as after a kill of the process.
    Kill,
}

/// The content of a medium before a journal is created there.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Remains {
    Nothing,
    Noise(u32),
    /// At every place, the second word of a header for that place, of this kind and length.
    Headers {
        kind: u8,
        len: u8,
    },
    /// Another journal, whose roots are overwritten.
    Journal(Vec<Deed>),
}

impl Remains {
    pub(crate) fn put<M: Medium>(&self, medium: &M, shape: Shape) {
        let words = (LOG..medium.len()).step_by(8);
        match self {
            Self::Nothing => {}
            Self::Noise(seed) => words.for_each(|at| medium.store(at, noise(*seed, at), Relaxed)),
            Self::Headers { kind, len } => words.for_each(|at| {
                // All positions are below 2^19.
                let stated = (at - LOG).saturating_sub(8) / 8;
                let word = u64::from(*len) | u64::from(kind & 7) << 24 | stated << 48;
                medium.store(at, word, Relaxed);
            }),
            Self::Journal(deeds) => {
                drop(live_from(1 << 48, medium, shape, deeds, true));
                for root in [0, 4096, 8192, 12288] {
                    medium.store(root, 0, Relaxed);
                }
            }
        }
    }
}

/// The state of a journal after its operations.
#[derive(Clone, Debug)]
pub(crate) struct Lived {
    pub(crate) shape: Shape,
    /// The oldest position that was not trimmed.
    head: u64,
    /// The records that were not trimmed.
    records: Vec<Record>,
    /// All records that were ever appended.
    ever: Vec<Record>,
}

/// Ends a journal as a kill of its process does: without the root that a drop stores.
pub(crate) fn kill<M: Medium>(medium: &M, journal: Journal<&M>) {
    let words = [0, 4096, 8192, 12288].into_iter().flat_map(|slot| (slot..slot + 128).step_by(8));
    let roots: Vec<_> = words.map(|at| (at, medium.load(at, Relaxed))).collect();
    drop(journal);
    for (at, word) in roots {
        medium.store(at, word, Relaxed);
    }
}

/// Creates a journal as opening 0, does all operations and kills it. With `trims`, a full journal is trimmed to its
/// newer half.
pub(crate) fn live<M: Medium>(medium: &M, shape: Shape, deeds: &[Deed], trims: bool) -> Lived {
    live_from(0, medium, shape, deeds, trims)
}

fn live_from<M: Medium>(
    mut number: u64,
    medium: &M,
    shape: Shape,
    deeds: &[Deed],
    trims: bool,
) -> Lived {
    let mut lived = Lived { shape, head: 0, records: Vec::new(), ever: Vec::new() };
    let (mut journal, _) = shape.options(number).create_new(medium).unwrap();
    for deed in deeds {
        number += 1;
        match deed {
            Deed::Reopen => {
                lived.learn(&journal);
                drop(journal);
                journal = shape.options(number).open(medium).unwrap().0;
            }
            Deed::Kill => {
                lived.learn(&journal);
                kill(medium, journal);
                journal = shape.options(number).open(medium).unwrap().0;
            }
            Deed::Trim(part) => {
                lived.learn(&journal);
                let count = lived.records.len();
                if let Some(record) = lived.records.get(count * usize::from(*part) / 256) {
                    journal.trim(record.end).unwrap();
                }
            }
            _ => loop {
                let appended = deed.append(&journal, number);
                match reason(&appended) {
                    Some(ErrorKind::Full { .. }) if trims => {
                        lived.learn(&journal);
                        let count = lived.records.len();
                        let Some(record) = lived.records.get(count / 2) else { break };
                        journal.trim(record.end).unwrap();
                    }
                    None | Some(ErrorKind::Full { .. } | ErrorKind::TooLong { .. }) => break,
                    Some(_) => appended.unwrap(),
                }
            },
        }
    }
    lived.learn(&journal);
    kill(medium, journal);
    lived
}

impl Deed {
    fn append<M: Medium>(&self, journal: &Journal<M>, number: u64) -> Result<(), Error<M::Error>> {
        let payload = |len: u8| number.to_le_bytes().into_iter().cycle().take(len.into());
        match self {
            Self::Append(len) => {
                journal.append(&payload(*len).collect::<Vec<_>>())?;
            }
            Self::Group(lengths) => {
                let mut group = Group::new();
                for len in lengths {
                    group.push(&payload(*len).collect::<Vec<_>>());
                }
                journal.append_group(&mut group)?;
            }
            Self::Trim(_) | Self::Reopen | Self::Kill => {}
        }
        Ok(())
    }
}

impl Lived {
    fn learn<M: Medium>(&mut self, journal: &Journal<M>) {
        self.head = journal.head().0;
        self.records = records(journal).unwrap();
        let known = self.ever.last().map(|record| record.end);
        let is_new = |record: &&Record| known.is_none_or(|end| record.position >= end);
        self.ever.extend(self.records.iter().filter(is_new).cloned());
    }

    /// Returns the changed words of the log as flags.
    fn flags(&self, changed: &[u64]) -> Vec<bool> {
        let mut flags = vec![false; (self.shape.capacity() / 8) as usize];
        for word in changed {
            flags[*word as usize] = true;
        }
        flags
    }

    /// Returns true if one of the changed words is in a range of positions.
    fn touches(&self, range: Range<u64>, changed: &[bool]) -> bool {
        range.step_by(8).any(|at| changed[(at % self.shape.capacity() / 8) as usize])
    }

    /// Returns true if a record is unchanged, and so is the mark of its segment.
    fn is_whole(&self, record: &Record, changed: &[bool]) -> bool {
        let (position, end) = (record.position.0, record.end.0);
        let mark = position - position % self.shape.segment;
        !self.touches(position..end, changed) && !self.touches(mark..mark + MARK, changed)
    }

    /// Returns the records that are whole after these words of the log have changed.
    fn whole(&self, changed: &[bool]) -> Vec<Record> {
        self.records.iter().filter(|record| self.is_whole(record, changed)).cloned().collect()
    }
}

/// A change of words of the log. Places are counted in words, modulo the log.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Harm {
    Bit {
        at: u16,
        bit: u8,
    },
    Zeros {
        at: u16,
        words: u8,
    },
    /// Words derived from the seed. Freely chosen words could forge checksums.
    Noise {
        at: u16,
        words: u8,
        seed: u32,
    },
    /// The words of another place in the log.
    Copy {
        from: u16,
        at: u16,
        words: u8,
    },
}

impl Harm {
    /// Makes the change, and returns the changed words.
    pub(crate) fn apply<M: Medium>(&self, medium: &M) -> Vec<u64> {
        let count = (medium.len() - LOG) / 8;
        let place = |at: u16| u64::from(at) % count;
        let word = |at: u64| medium.load(LOG + at % count * 8, Relaxed);
        let new: Vec<(u64, u64)> = match *self {
            Self::Bit { at, bit } => vec![(place(at), word(place(at)) ^ 1 << (bit % 64))],
            Self::Zeros { at, words } => {
                (place(at)..).take(words.into()).map(|at| (at, 0)).collect()
            }
            Self::Noise { at, words, seed } => {
                (place(at)..).take(words.into()).map(|at| (at, noise(seed, at))).collect()
            }
            Self::Copy { from, at, words } => {
                let copied = (place(from)..).map(word);
                (place(at)..).zip(copied).take(words.into()).collect()
            }
        };
        let is_change = |(at, new): &(u64, u64)| *at < count && word(*at) != *new;
        let changes: Vec<_> = new.into_iter().filter(is_change).collect();
        for (at, new) in &changes {
            medium.store(LOG + at * 8, *new, Relaxed);
        }
        changes.into_iter().map(|(at, _)| at).collect()
    }
}

/// Steele, Lea and Flood's `SplitMix64`.
fn noise(seed: u32, at: u64) -> u64 {
    let state = (u64::from(seed) << 32 | at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

pub(crate) fn records<M: Medium>(journal: &Journal<M>) -> Result<Vec<Record>, Error<M::Error>> {
    journal.records()?.collect()
}

fn salvaged<M: Readable>(medium: &M) -> Vec<Record>
where
    M::Error: Debug,
{
    let is_record = |item| match item {
        Salvaged::Record(record) => Some(record),
        Salvaged::Skipped(_) => None,
    };
    let reader = Reader::open(medium).unwrap();
    reader.salvage().unwrap().filter_map(|item| is_record(item.unwrap())).collect()
}

/// Checks that each returned record was written, that each whole record is salvaged, and that an undamaged journal can
/// be used.
pub(crate) fn damage_costs_what_it_touches<M: Medium>(medium: &M, lived: &Lived, changed: &[u64]) {
    let written = &lived.records;
    let changed = &lived.flags(changed);
    let whole = lived.whole(changed);
    let reader = Reader::open(medium).unwrap();

    // Everything before the first changed word is returned.
    let read: Vec<_> = reader.records().unwrap().map_while(Result::ok).collect();
    assert!(written.starts_with(&read), "{read:?} of {written:?}");
    let before = |record: &&Record| !lived.touches(lived.head..record.end.0, changed);
    assert!(written.iter().take_while(before).count() <= read.len(), "{read:?} of {written:?}");
    let verified = reader.verify().unwrap();
    assert_eq!(verified.records, read.len() as u64);
    assert!(
        read.len() == written.len() || verified.damage.is_some(),
        "{verified:?} of {written:?}"
    );

    // Every whole record is salvaged.
    let salvaged = salvaged(medium);
    assert!(whole.iter().all(|record| salvaged.contains(record)), "{salvaged:?} of {whole:?}");
    assert!(salvaged.iter().all(|record| written.contains(record)), "{salvaged:?} of {written:?}");

    let before = bytes(medium);
    let opened = lived.shape.options(FIRST).open(medium).map(drop);
    assert_eq!(opened.is_err(), verified.damage.is_some());
    if opened.is_ok() {
        return goes_on(medium, lived.shape, &read);
    }
    assert!(matches!(reason(&opened), Some(ErrorKind::Damaged(_))));
    assert!(bytes(medium) == before, "nothing is written to a damaged journal");
}

/// Checks that unreadable bytes cost only the records in them, and that no record is missing silently. `bad` are the
/// unreadable words of the log.
pub(crate) fn bad_bytes_cost_what_they_touch<M: Readable>(medium: &M, lived: &Lived, bad: &[u64])
where
    M::Error: Debug,
{
    let written = &lived.records;
    let reader = Reader::open(medium).unwrap();
    let (mut read, mut is_told) = (Vec::new(), false);
    for record in reader.records().unwrap() {
        match record {
            Ok(record) => read.push(record),
            Err(error) => is_told = matches!(error.kind(), ErrorKind::Damaged(_)),
        }
    }
    assert!(written.starts_with(&read), "{read:?} of {written:?}");
    assert!(is_told || read.len() == written.len(), "{read:?} of {written:?}");
    let verified = reader.verify().unwrap();
    assert_eq!((verified.records, verified.damage.is_some()), (read.len() as u64, is_told));

    let whole = lived.whole(&lived.flags(bad));
    let salvaged = salvaged(medium);
    assert!(whole.iter().all(|record| salvaged.contains(record)), "{salvaged:?} of {whole:?}");
    assert!(salvaged.iter().all(|record| written.contains(record)), "{salvaged:?} of {written:?}");
}

/// The offsets of both copies of the newest root, according to the documentation of the format.
fn newest_root<M: Medium>(medium: &M) -> [u64; 2] {
    let [first, second] = [0, 4096].map(|slot| medium.load(slot + 40, Relaxed));
    let slot = if second > first { 4096 } else { 0 };
    [slot, slot + 8192]
}

/// Checks that one copy of the newest root suffices, and that the next opening stores the other one again.
pub(crate) fn a_copy_of_the_root_is_lost<M: Medium>(medium: &M, lived: &Lived, changed: &[u64]) {
    let copy = newest_root(medium)[changed.len() % 2];
    medium.store(copy + 72, !medium.load(copy + 72, Relaxed), Relaxed);
    let reader = Reader::open(medium).unwrap();
    assert!(reader.verify().unwrap().root_lost);
    damage_costs_what_it_touches(medium, lived, changed);
}

/// Checks that, without both copies of the newest root, only written records are returned, and that a record
/// acknowledged before that root was stored is not lost silently.
pub(crate) fn the_newest_root_is_lost<M: Medium>(medium: &M, lived: &Lived, changed: &[u64]) {
    for copy in newest_root(medium) {
        medium.store(copy + 24, !medium.load(copy + 24, Relaxed), Relaxed);
    }
    let Ok(reader) = Reader::open(medium) else {
        assert!(lived.shape.options(FIRST).open(medium).is_err());
        return;
    };
    let verified = reader.verify().unwrap();
    assert!(verified.root_lost);
    let read: Vec<_> = reader.records().unwrap().map_while(Result::ok).collect();
    let is_known = |record: &Record| lived.ever.contains(record);
    assert!(read.iter().all(is_known) && salvaged(medium).iter().all(is_known), "{read:?}");
    if changed.is_empty() && verified.damage.is_none() {
        let end = read.last().map_or(0, |last| last.end.0);
        let missing = lived.records.iter().find(|record| record.position.0 >= end);
        assert_eq!(missing, None, "{verified:?}");
        goes_on(medium, lived.shape, &read);
    }
}

fn bytes<M: Medium>(medium: &M) -> Vec<u64> {
    (0..medium.len()).step_by(8).map(|at| medium.load(at, Relaxed)).collect()
}

/// Checks that a journal that can be opened is undamaged, keeps its records and accepts new ones.
fn goes_on<M: Medium>(medium: &M, shape: Shape, kept: &[Record]) {
    let (journal, Opened { recovered, .. }) = shape.options(FIRST).open(medium).unwrap();
    assert_eq!(recovered.records, kept.len() as u64);
    let verified = Reader::open(medium).unwrap().verify().unwrap();
    assert_eq!((verified.damage, verified.after_gap, verified.root_lost), (None, 0, false));
    let appended = journal.append(b"more");
    drop(journal);
    let (journal, _) = shape.options(SECOND).open(medium).unwrap();
    let found = records(&journal).unwrap();
    assert!(found.starts_with(kept));
    match appended {
        Ok(position) => assert_eq!(found.last().map(|last| last.position), Some(position)),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}"),
    }
}

/// Checks that any bytes are read to an end, and that a journal in them is consistent: every record that is read is
/// also salvaged, and a journal that opens accepts appends.
pub(crate) fn anything_is_read_to_an_end<M: Medium>(medium: &M, shape: Shape) {
    // A record has at least 16 bytes.
    let most = medium.len() / 16;
    let mut read = Vec::new();
    if let Ok(reader) = Reader::open(medium) {
        read.extend(reader.records().unwrap().map_while(Result::ok));
        assert!(read.len() as u64 <= most);
        assert_eq!(reader.verify().unwrap().records, read.len() as u64);
        assert!(reader.salvage().unwrap().count() as u64 <= 2 * most + 1);
        assert!(salvaged(medium).starts_with(&read));
        for (number, record) in read.iter().enumerate() {
            for (position, from) in [(record.position, number), (record.end, number + 1)] {
                let records = reader.records_from(position).unwrap();
                let found: Vec<_> = records.map_while(Result::ok).collect();
                assert!(found == read[from..], "{position:?}: {found:?} of {read:?}");
            }
        }
    }
    let opened = shape.options(FIRST).open(medium).map(drop);
    match reason(&opened) {
        None => goes_on(medium, shape, &read),
        Some(ErrorKind::Damaged(_) | ErrorKind::Format(_)) => {}
        Some(_) => opened.unwrap(),
    }
}
