//! The life of a store: its operations, the notes to the outside world, and the blobs expected afterwards.

use cachemaint::medium::{Medium, OpenError};
use cachemaint_sim::Violation;
use cachemaint_store::{Attributes, Error, ErrorKind, Options, Part, Store};
use std::collections::BTreeMap;

/// The offset at which blobs begin with units of 64, according to the documentation of the format: after the roots and
/// the log.
pub(crate) const DATA: u64 = 32_768;
/// Space for a handful of blobs, so that it is reused.
pub(crate) const BYTES: u64 = DATA + 50 * 64;

/// Returns the same options each time, as the simulator requires, with a time that is no word of zeros.
pub(crate) fn options() -> Options {
    Options::with_entropy([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210])
        .unit(64)
        .clock(|| 1_700_000_001)
}

/// Returns the options of a later time.
pub(crate) fn later() -> Options {
    options().clock(|| 1_700_000_002)
}

/// The number of the bytes of an empty blob. The next one has a byte, and so on.
pub(crate) const LEN: u64 = 1 << 20;

/// Returns the bytes of a blob by its number. All differ, also in length. Below [`LEN`], those of odd numbers are stored
/// in the record.
pub(crate) fn bytes(number: u64) -> Vec<u8> {
    let len = match number {
        LEN.. => (number - LEN) as usize,
        _ if number.is_multiple_of(2) => 256 + number as usize,
        _ => number as usize * 37 % 150,
    };
    (0..len).map(|byte| (1 + number as usize * 16 + byte) as u8).collect()
}

/// One operation of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    /// Puts a blob: its name, and the number of its bytes.
    Put(&'static str, u64),
    /// Puts a blob piece by piece.
    Stream(&'static str, u64),
    /// Puts a blob with so much metadata that the log has space for only one.
    Wide(&'static str, u64),
    /// Begins to put a blob piece by piece, and fails in the middle.
    Fail(&'static str, u64),
    Delete(&'static str),
    Rename(&'static str, &'static str),
}

/// Transactions.
pub(crate) type Life = &'static [&'static [Do]];

/// A note of a result that the outside world has learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The store exists.
    Created,
    /// The number of transactions that may be committed.
    Begun(usize),
    /// The number of transactions that are committed.
    Committed(usize),
}

/// Blobs by name.
pub(crate) type Blobs = BTreeMap<String, Vec<u8>>;

/// Returns the blobs after this number of transactions.
pub(crate) fn after(life: &[&[Do]], transactions: usize) -> Blobs {
    let mut blobs = Blobs::new();
    for what in life[..transactions].iter().copied().flatten() {
        match *what {
            Do::Put(name, number) | Do::Stream(name, number) | Do::Wide(name, number) => {
                blobs.insert(name.to_owned(), bytes(number));
            }
            Do::Fail(..) => {}
            Do::Delete(name) => {
                blobs.remove(name);
            }
            Do::Rename(from, to) => {
                let renamed = blobs.remove(from).unwrap();
                blobs.insert(to.to_owned(), renamed);
            }
        }
    }
    blobs
}

/// Does the transactions from `first` on, with a note before and after each.
pub(crate) fn work<M: Medium>(
    store: &mut Store<M>,
    life: &[&[Do]],
    first: usize,
    tell: impl Fn(Note),
) -> Result<(), Error<M::Error>> {
    for (number, transaction) in life.iter().enumerate().skip(first) {
        tell(Note::Begun(number + 1));
        commit(store, transaction)?;
        tell(Note::Committed(number + 1));
    }
    Ok(())
}

pub(crate) fn commit<M: Medium>(
    store: &mut Store<M>,
    transaction: &[Do],
) -> Result<u64, Error<M::Error>> {
    let mut begun = store.begin()?;
    for what in transaction {
        match *what {
            Do::Put(name, number) => begun.put(attributes(name, number), &bytes(number))?,
            Do::Stream(name, number) => {
                let len = bytes(number).len() as u64;
                begun.put_with(attributes(name, number), len, |writer| {
                    bytes(number).chunks(7).try_for_each(|piece| writer.append(piece))
                })?;
            }
            Do::Fail(name, number) => {
                let bytes = bytes(number);
                let failed =
                    begun.put_with(attributes(name, number), bytes.len() as u64, |writer| {
                        writer.append(&bytes[..bytes.len() / 2])?;
                        Err::<(), Option<Error<M::Error>>>(None)
                    });
                assert!(matches!(failed, Err(None)));
            }
            Do::Wide(name, number) => {
                begun.put(attributes(name, number).metadata(&[7; 1240]), &bytes(number))?;
            }
            Do::Delete(name) => begun.delete(name)?,
            Do::Rename(from, to) => begun.rename(from, to)?,
        }
    }
    begun.commit()
}

/// Returns attributes whose version is the number of the blob's bytes.
fn attributes(name: &str, number: u64) -> Attributes<'_> {
    Attributes::new(name).version(number)
}

/// Opens the store, verifies everything, and reads it.
pub(crate) fn open<M: Medium>(medium: M) -> Result<(Store<M>, Blobs), Opening<M::Error>> {
    let (store, opened) = options().verify().open(medium).map_err(|failed| failed.error)?;
    let verification = opened.verification.unwrap();
    if !verification.damaged.is_empty() {
        return Err(Opening::Damaged(format!("{:?}", verification.damaged)));
    }
    // A root or record that was being written may exist in only one copy.
    let is_copy = |part| matches!(part, Part::Root | Part::RecordCopy);
    if !opened.mended.iter().all(|damage| is_copy(damage.part)) {
        return Err(Opening::Damaged(format!("{:?}", opened.mended)));
    }
    let found = blobs(&store)?;
    Ok((store, found))
}

/// Returns the reason why an opening failed.
pub(crate) fn why<M, E>(failed: &OpenError<M, Error<E>>) -> &ErrorKind<E> {
    failed.error.kind()
}

pub(crate) fn blobs<M: Medium>(store: &Store<M>) -> Result<Blobs, Error<M::Error>> {
    store.list().map(|info| Ok((info.name.to_string(), store.load(&info.name)?))).collect()
}

/// The reason why a store was not opened as expected.
#[derive(Debug)]
pub(crate) enum Opening<E: core::fmt::Display> {
    Store(Error<E>),
    Damaged(String),
}

impl<E: core::fmt::Display> From<Error<E>> for Opening<E> {
    fn from(error: Error<E>) -> Self {
        Self::Store(error)
    }
}

impl<E: core::error::Error + 'static> From<Opening<E>> for Violation {
    fn from(opening: Opening<E>) -> Self {
        match opening {
            Opening::Store(error) => error.into(),
            Opening::Damaged(text) => Self::broken(text),
        }
    }
}

/// Returns the numbers of transactions that must and may have been committed according to the notes.
pub(crate) fn expected(notes: &[Note]) -> Option<(usize, usize)> {
    notes.iter().fold(None, |expected: Option<(usize, usize)>, note| match *note {
        Note::Created => Some((0, 0)),
        Note::Begun(number) => expected.map(|(least, _)| (least, number)),
        Note::Committed(number) => Some((number, number)),
    })
}

/// Checks that the blobs are those after a number of transactions that the notes allow.
pub(crate) fn judge(life: &[&[Do]], found: &Blobs, notes: &[Note]) -> Result<(), Violation> {
    let (least, most) = expected(notes).unwrap_or((0, 0));
    if (least..=most).any(|number| after(life, number) == *found) {
        return Ok(());
    }
    let lengths: Vec<_> = found.iter().map(|(name, bytes)| (name, bytes.len())).collect();
    let text = format!("{lengths:?}, not what is there after {least} to {most} transactions");
    let is_earlier = (0..least).any(|number| after(life, number) == *found);
    Err(if is_earlier { Violation::lost(text) } else { Violation::broken(text) })
}
