//! The four headers: finding the current one, and replacing it.

#[cfg(feature = "preserve")]
mod written;

#[cfg(feature = "preserve")]
pub(super) use written::{
    Presence, clear_next, create, damaged, is_possible_in, is_sealed_before, presence, store,
};

use super::error::{Error, ErrorKind};
use super::format::header::{BYTES, Found, GENERATION, Header, MAGIC, VERSION};
use super::format::{PAGE, headers};
use crate::format::magic::{self, Magic};
use crate::format::reread::Rereadings;
use crate::medium::Readable;

/// Returns the beginning of a journal or of a recording, if one was created in the medium. Each stands at one of the
/// first two pages, and headers of an earlier store, whose first ones were erased, can be left after it.
///
/// If one of these pages is unreadable, the magic of a store in the other one shows that the store was not erased.
pub(super) fn another_format<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
) -> Result<Option<Magic>, E> {
    let is_of_store = |at: u64| {
        let mut word = NOTHING;
        medium.read(at, &mut word).is_ok() && word == MAGIC
    };
    match magic::words(medium) {
        Err(_) if is_of_store(0) || is_of_store(PAGE) => Ok(None),
        words => Ok(magic::another(words?, MAGIC)),
    }
}

/// Bytes that the headers take.
const END: u64 = 3 * PAGE + BYTES as u64;

/// Returns the first bytes at the place of a header. They are zeros where the creation of a journal was cut off, which
/// can have written to its log, over the marks of an earlier one.
fn first_bytes<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    at: u64,
) -> Result<Magic, E> {
    let mut magic = [0; MAGIC.len()];
    medium.read(at, &mut magic)?;
    let magic = magic::finished(at, magic);
    let is_of_journal = !matches!(magic, MAGIC | NOTHING) && is_of_creation(medium)?;
    Ok(if is_of_journal { NOTHING } else { magic })
}

/// Returns true if the creation of a journal was cut off in the medium, so that later pages are those of its log.
fn is_of_creation<E: core::error::Error>(medium: &dyn Readable<Error = E>) -> Result<bool, E> {
    let mut both = [NOTHING; 2];
    for (at, word) in [0, PAGE].into_iter().zip(&mut both) {
        medium.read(at, word)?;
    }
    Ok(both == [NOTHING, magic::UNFINISHED])
}

/// The first bytes at the place of a header that was never written.
const NOTHING: Magic = [0; 8];

fn read<E: core::error::Error>(medium: &dyn Readable<Error = E>, at: u64) -> Result<Found, E> {
    let mut bytes = [0; BYTES];
    let (magic, rest) = bytes.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&first_bytes(medium, at)?);
    if *magic == MAGIC {
        medium.read(at + MAGIC.len() as u64, rest)?;
    }
    let found = Header::read(&bytes);
    // A header in the wrong place is invalid: the next one would not be written over the older one.
    let is_elsewhere = |header: &Header| !headers(header.generation).contains(&at);
    Ok(match found {
        Found::Whole(header) if is_elsewhere(&header) => Found::Damaged,
        found => found,
    })
}

/// Returns the current header.
///
/// A crash may have torn both copies of the newer header while it was written: then the older one is current. If one
/// copy of the newer header is whole, it is current: all that it refers to was durable before. A header of a later version
/// is newer than all headers of this version, as a program of this version does not write to such a store.
pub(super) fn load<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
) -> Result<Header, Error<E>> {
    let found = find(medium);
    medium.check().map_err(Error::medium)?;
    found
}

fn find<E: core::error::Error>(medium: &dyn Readable<Error = E>) -> Result<Header, Error<E>> {
    let size = medium.len();
    if size < END {
        return Err(Error(match magic::other_than(MAGIC, medium).map_err(Error::medium)? {
            Some([found, _]) => ErrorKind::NotAStore { found },
            None => ErrorKind::Truncated { size, needed: END },
        }));
    }
    if let Some(found) = another_format(medium).map_err(Error::medium)? {
        return Err(Error(ErrorKind::NotAStore { found }));
    }
    newest(medium).map_err(Error::medium)?.map_err(|why| match why {
        Found::Version(found) => Error(ErrorKind::Version { found }),
        Found::Other(found) => Error(ErrorKind::NotAStore { found }),
        Found::Damaged | Found::Whole(_) => Error(ErrorKind::Headers),
    })
}

/// Returns true if a header that was current is still current, and the medium has not failed: then the bytes that were read
/// before are those of its commit.
///
/// The four headers are read only if less leaves a doubt.
pub(super) fn is_current<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    header: &Header,
) -> Result<bool, Error<E>> {
    if is_last(medium, header).unwrap_or(false) {
        medium.check().map_err(Error::medium)?;
        return Ok(true);
    }
    Ok(load(medium)? == *header)
}

/// The number of words of a header up to its generation.
const WORDS: usize = GENERATION as usize / 8 + 1;

/// Returns true if the first copy of a header is whole, and neither place of the next one has a later generation, a later
/// version, or the magic of another format. A torn header with a later generation leaves a doubt, too.
///
/// Each commit stores the next header. If it was not there at a moment of the call, this one was current.
fn is_last<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    header: &Header,
) -> Result<bool, E> {
    for at in headers(header.generation + 1) {
        let mut words = [NOTHING; WORDS];
        medium.read(at, words.as_flattened_mut())?;
        let [magic, version, .., generation] = words;
        let is_of_another_format = magic::another([magic; 2], MAGIC).is_some();
        // The version is the lower half of its word.
        let is_later = magic == MAGIC && u64::from_le_bytes(version) as u32 > VERSION;
        if is_of_another_format || is_later || u64::from_le_bytes(generation) > header.generation {
            return Ok(false);
        }
    }
    let [first, _] = headers(header.generation);
    Ok(read(medium, first)? == Found::Whole(*header))
}

/// A whole header, or the reason why none is whole.
type Finding = Result<Header, Found>;

/// Returns the newest whole header, which was current at a moment of the call.
fn newest<E: core::error::Error>(medium: &dyn Readable<Error = E>) -> Result<Finding, E> {
    let mut before = None;
    let both = || {
        let now = [slot(medium, 0)?, slot(medium, 1)?];
        let is_certain = match now {
            [Ok(_), Ok(_)] => true,
            // Between two readings the writer can have replaced the header that is whole, and an opening can have erased the
            // header after it. If a second reading finds the same, it was current.
            [Ok(_), Err(_)] | [Err(_), Ok(_)] => before == Some(now),
            // Two commits may write all headers while they are read one after the other.
            [Err(one), Err(other)] => worse(one, other) != Found::Damaged,
        };
        before = Some(now);
        Ok((now, is_certain))
    };
    let ([even, odd], _) = Rereadings::BESIDE_WRITERS.until(|(_, is_certain)| *is_certain, both)?;
    Ok(newer(even, odd))
}

/// Returns the newer header of the two copies in a slot.
///
/// An unreadable copy is damaged. If both are, the header may be the newest one: an older one must not be taken for it.
fn slot<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    number: u64,
) -> Result<Finding, E> {
    let found = headers(number).map(|at| match read(medium, at)? {
        Found::Whole(header) => Ok(Ok(header)),
        why => Ok(Err(why)),
    });
    match found {
        [Err(error), Err(_)] => Err(error),
        [Ok(one), Err(_)] | [Err(_), Ok(one)] => Ok(newer(one, Err(Found::Damaged))),
        [Ok(one), Ok(other)] => Ok(newer(one, other)),
    }
}

fn newer(one: Finding, other: Finding) -> Finding {
    match (one, other) {
        (Err(Found::Version(found)), _) | (_, Err(Found::Version(found))) if found > VERSION => {
            Err(Found::Version(found))
        }
        (Ok(one), Ok(other)) if other.generation > one.generation => Ok(other),
        (Ok(header), _) | (_, Ok(header)) => Ok(header),
        (Err(one), Err(other)) => Err(worse(one, other)),
    }
}

/// Returns the finding that explains better why no header was found.
const fn worse(one: Found, other: Found) -> Found {
    match (one, other) {
        (Found::Version(_), _)
        | (Found::Damaged, Found::Other(_))
        | (_, Found::Whole(_) | Found::Other(NOTHING)) => one,
        _ => other,
    }
}
