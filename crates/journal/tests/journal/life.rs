//! The operations of a journal's life, the notes of their results, and the state that they require afterwards.

pub(crate) use crate::claims::{LOG, records};
use cachemaint::medium::Medium;
use cachemaint_journal::{Error, Group, Journal, Options, Position, Record};
use cachemaint_sim::Violation;
use core::ops::Range;

/// Segments of two or three short records.
pub(crate) const SEGMENT: u64 = 128;
/// A medium with five of them.
pub(crate) const BYTES: u64 = LOG + 5 * SEGMENT;

/// A medium for three segments of twice that size, in which a mark can be on two lines.
pub(crate) const WIDE: u64 = LOG + 3 * 2 * SEGMENT;

/// Returns the same options each time, as the simulator requires.
pub(crate) fn options() -> Options {
    Options::with_entropy([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]).segment(SEGMENT)
}

/// Returns the payload of a record by its number. All payloads differ, also in length.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let len = 3 + number as usize * 5 % 13;
    (0..len).map(|byte| 1 + number as u8 * 16 + byte as u8).collect()
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    /// Appends a record.
    Append(u64),
    /// Appends several records as a group, from this one on.
    Group(u64, u64),
    /// Trims everything before this record.
    Trim(u64),
}

/// A note of a result that the outside world has learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The journal exists.
    Created,
    /// Records up to and including this one may exist.
    Begun(u64),
    /// All records before this one are acknowledged.
    Acknowledged(u64),
    /// Records before this one may be trimmed.
    Trimming(u64),
    /// Records before this one are trimmed.
    Trimmed(u64),
    /// A reader has read exactly these.
    Read(Range<u64>),
}

/// Does one operation, with a note before and after it.
pub(crate) fn apply<M: Medium>(
    journal: &Journal<M>,
    what: Do,
    tell: impl Fn(Note),
) -> Result<(), Error<M::Error>> {
    match what {
        Do::Append(number) => {
            tell(Note::Begun(number + 1));
            journal.append(&payload(number))?;
            tell(Note::Acknowledged(number + 1));
        }
        Do::Group(first, count) => {
            let mut group = Group::new();
            (first..first + count).for_each(|number| group.push(&payload(number)));
            tell(Note::Begun(first + count));
            journal.append_group(&mut group)?;
            tell(Note::Acknowledged(first + count));
        }
        Do::Trim(number) => {
            let position = position_of(journal, number)?;
            tell(Note::Trimming(number));
            journal.trim(position)?;
            tell(Note::Trimmed(number));
        }
    }
    Ok(())
}

/// Does the operations in turn until one fails.
pub(crate) fn work<M: Medium>(
    journal: &Journal<M>,
    life: &[Do],
    tell: impl Fn(Note),
) -> Result<(), Error<M::Error>> {
    life.iter().try_for_each(|what| apply(journal, *what, &tell))
}

/// Returns the position at which a record begins, or will begin.
fn position_of<M: Medium>(journal: &Journal<M>, number: u64) -> Result<Position, Error<M::Error>> {
    let all = records(journal)?;
    let found = all.iter().find(|record| record.payload == payload(number));
    Ok(found.map_or(journal.end(), |record| record.position))
}

/// The records that must exist according to the notes, and those that may.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) is_created: bool,
    /// The range of the possible oldest records.
    first: (u64, u64),
    /// The range of the possible ends.
    end: (u64, u64),
}

pub(crate) fn expected(notes: &[Note]) -> Expected {
    let mut expected = Expected::default();
    for note in notes {
        match note.clone() {
            Note::Created => expected.is_created = true,
            Note::Begun(end) => expected.end.1 = end,
            Note::Acknowledged(end) => expected.end = (end, end),
            Note::Trimming(first) => expected.first.1 = first,
            Note::Trimmed(first) => expected.first = (first, first),
            Note::Read(Range { start, end }) => {
                expected = Expected { is_created: true, first: (start, start), end: (end, end) };
            }
        }
    }
    expected
}

/// Checks that the records are whole, in order, and a range that the notes allow.
pub(crate) fn judge(records: &[Record], notes: &[Note]) -> Result<(), Violation> {
    let Expected { first, end, .. } = expected(notes);
    let fits = |from: u64, to: u64| {
        (from..to).map(payload).eq(records.iter().map(|record| record.payload.clone()))
    };
    let is_there =
        [first.0, first.1].into_iter().any(|from| (end.0..=end.1).any(|to| fits(from, to)));
    let found: Vec<_> = records.iter().map(|record| record.payload[0] / 16).collect();
    let text = format!("{found:?}, not {first:?} to {end:?}");
    match is_there {
        true => Ok(()),
        false if records.len() as u64 + first.1 < end.0 => Err(Violation::lost(text)),
        false => Err(Violation::broken(text)),
    }
}
