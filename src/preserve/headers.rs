//! The four headers: finding the current one, and replacing it.

#[cfg(feature = "preserve")]
use super::error::{Damage, Part};
use super::error::{Error, ErrorKind};
use super::format::header::{BYTES, Found, Header, MAGIC};
#[cfg(feature = "preserve")]
use super::format::header::{FIRST, GENERATION};
use super::format::{PAGE, headers};
use crate::format::magic::{self, Magic};
use crate::format::reread::Rereadings;
#[cfg(feature = "preserve")]
use crate::format::superblock::TAG;
#[cfg(feature = "preserve")]
use crate::medium::Medium;
use crate::medium::Readable;
#[cfg(feature = "preserve")]
use core::convert::Infallible;

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

/// Returns true if a medium has room for headers.
#[cfg(feature = "preserve")]
pub(super) fn is_possible_in<E: core::error::Error>(medium: &dyn Readable<Error = E>) -> bool {
    medium.len() >= END
}

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
/// copy of the newer header is whole, it is current: all that it refers to was durable before.
pub(super) fn load<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
) -> Result<Header, Error<E>> {
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

/// The contents of the places of the headers, by their first bytes.
#[cfg(feature = "preserve")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Zeros at all of them: no store was created.
    Nothing,
    /// Other bytes.
    Foreign,
    /// The magic of a store at one of them, whole or damaged.
    Store,
}

/// Returns the contents of the places of the headers, by their first bytes. A place that cannot be read may have any.
#[cfg(feature = "preserve")]
pub(super) fn presence<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
) -> Result<Presence, E> {
    let mut presence = Ok(Presence::Nothing);
    for at in [0, 1].into_iter().flat_map(headers) {
        match first_bytes(medium, at) {
            Ok(MAGIC) => return Ok(Presence::Store),
            Ok(NOTHING) => {}
            Ok(_) => presence = presence.and(Ok(Presence::Foreign)),
            Err(error) => presence = presence.and(Err(error)),
        }
    }
    presence
}

/// Returns the copies of the current header that differ from it or cannot be read, and the newer header if it may be lost. A
/// commit that stores one copy after the other is waited for, for a moment.
#[cfg(feature = "preserve")]
pub(super) fn damaged<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    header: &Header,
    rereadings: Rereadings,
) -> impl Iterator<Item = Damage> {
    let damaged = || Ok::<_, Infallible>(damaged_now(medium, header));
    let Ok(found) = rereadings.until(|found| *found == [None; 3], damaged);
    found.into_iter().flatten()
}

#[cfg(feature = "preserve")]
fn damaged_now<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    header: &Header,
) -> [Option<Damage>; 3] {
    let mut found = [None; 3];
    let [first, copy, newer] = &mut found;
    for (at, damage) in headers(header.generation).into_iter().zip([first, copy]) {
        if !read(medium, at).is_ok_and(|found| found == Found::Whole(*header)) {
            *damage = Some(Damage { part: Part::Header, offset: at, len: BYTES as u64 });
        }
    }
    let others = headers(header.generation + 1);
    // One that cannot be read may be lost.
    if others.iter().all(|at| is_lost(medium, *at, header).unwrap_or(true)) {
        *newer = Some(Damage { part: Part::NewerHeader, offset: others[0], len: BYTES as u64 });
    }
    found
}

/// Returns true if a header of a later generation may have been at a place of the one after `header`, and is torn or
/// damaged now. An opening [erases](clear_next) the tag of the header before `header`.
#[cfg(feature = "preserve")]
fn is_lost<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    at: u64,
    header: &Header,
) -> Result<bool, E> {
    let found = read(medium, at)?;
    let is_erased = |generation: u64| -> Result<bool, E> {
        let mut words = [[0; 8]; 2];
        for (at, word) in [at + TAG as u64, at + GENERATION].into_iter().zip(&mut words) {
            medium.read(at, word)?;
        }
        Ok(words == [[0; 8], generation.to_le_bytes()])
    };
    Ok(match found {
        Found::Whole(_) => false,
        Found::Damaged => !is_erased(header.generation - 1)?,
        // A creation writes the first header, and zeros in the places of the second one.
        Found::Other(NOTHING) => header.generation > FIRST || !is_erased(0)?,
        Found::Other(_) | Found::Version(_) => true,
    })
}

/// Stores both copies of a header and issues their write-back.
#[cfg(feature = "preserve")]
pub(super) fn store<M: Medium>(medium: &M, header: &Header) -> Result<(), M::Error> {
    put(medium, headers(header.generation), &header.bytes())
}

/// Erases the tag in the place of the next header, and issues the write-back.
///
/// A crash may have left some words of a header there, its tag among them. The next header of the same generation can
/// have the same value in each missing word: a crash while it is written would complete the old one. Without its
/// tag nothing completes it, as another header has another tag.
#[cfg(feature = "preserve")]
pub(super) fn clear_next<M: Medium>(medium: &M, header: &Header) -> Result<(), M::Error> {
    put(medium, headers(header.generation + 1).map(|at| at + TAG as u64), &[0; 8])
}

/// Makes the first header durable, its magic last, so that a crash leaves the whole header or none. Everything written
/// back earlier is durable before the magic is.
///
/// The places of the second header are made zero. An earlier store can have left a header there whose magic alone was
/// overwritten, and a crash while the second header is written would complete the old one.
#[cfg(feature = "preserve")]
pub(super) fn create<M: Medium>(medium: &M, header: &Header) -> Result<(), M::Error> {
    let (both, bytes) = (headers(header.generation), header.bytes());
    let (magic, rest) = bytes.split_at(MAGIC.len());
    let mut without_magic = [0; BYTES];
    without_magic[MAGIC.len()..].copy_from_slice(rest);
    put(medium, headers(header.generation + 1), &[0; BYTES])?;
    put(medium, both, &without_magic)?;
    medium.fence();
    put(medium, both, magic)?;
    medium.fence();
    Ok(())
}

/// Uses ordinary stores, as the bytes are a line or less.
#[cfg(feature = "preserve")]
fn put<M: Medium>(medium: &M, both: [u64; 2], bytes: &[u8]) -> Result<(), M::Error> {
    for at in both {
        medium.write(at, bytes);
    }
    both.into_iter().try_for_each(|at| medium.issue_writeback(at..at + bytes.len() as u64))
}
