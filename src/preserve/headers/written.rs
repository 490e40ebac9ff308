//! Headers as their writers need them: their presence, their damage, and their replacement.

use super::{END, NOTHING, first_bytes, read, slot};
use crate::format::reread::Rereadings;
use crate::format::superblock::TAG;
use crate::medium::{Medium, Readable};
use crate::preserve::error::{Damage, Part};
use crate::preserve::format::header::{BYTES, FIRST, Found, GENERATION, Header, MAGIC, VERSION};
use crate::preserve::format::headers;
use core::convert::Infallible;

/// Returns true if a medium has room for headers.
pub(in super::super) fn is_possible_in<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
) -> bool {
    medium.len() >= END
}

/// The contents of the places of the headers, by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Presence {
    /// Zeros at all of them: no store was created.
    Nothing,
    /// Other bytes.
    Foreign,
    /// The magic of a store at one of them, whole or damaged.
    Store,
}

/// Returns the contents of the places of the headers, by their first bytes. A place that cannot be read may have any.
pub(in super::super) fn presence<E: core::error::Error>(
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
    medium.check()?;
    presence
}

/// Returns the copies of the current header that differ from it or cannot be read, and the newer header if it may be lost. A
/// commit that stores one copy after the other is waited for, for a moment.
pub(in super::super) fn damaged<E: core::error::Error>(
    medium: &dyn Readable<Error = E>,
    header: &Header,
    rereadings: Rereadings,
) -> impl Iterator<Item = Damage> {
    let damaged = || Ok::<_, Infallible>(damaged_now(medium, header));
    let Ok(found) = rereadings.until(|found| *found == [None; 3], damaged);
    found.into_iter().flatten()
}

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
        // It proves itself, and the header that it replaced is not current any more.
        Found::Version(version) if version > VERSION => false,
        Found::Damaged => !is_erased(header.generation - 1)?,
        // A creation writes the first header, and zeros in the places of the second one.
        Found::Other(NOTHING) => header.generation > FIRST || !is_erased(0)?,
        Found::Other(_) | Found::Version(_) => true,
    })
}

/// Returns true if the header before this one is whole and sealed.
pub(in super::super) fn is_sealed_before<M: Medium>(
    medium: &M,
    header: &Header,
) -> Result<bool, M::Error> {
    let before = slot(medium, header.generation + 1)?;
    medium.check()?;
    Ok(before.is_ok_and(|before| before.is_sealed && before.generation < header.generation))
}

/// Stores both copies of a header and issues their write-back.
pub(in super::super) fn store<M: Medium>(medium: &M, header: &Header) -> Result<(), M::Error> {
    put(medium, headers(header.generation), &header.bytes())
}

/// Erases the tag in the place of the next header, and issues the write-back.
///
/// A crash may have left some words of a header there, its tag among them. The next header of the same generation can
/// have the same value in each missing word: a crash while it is written would complete the old one. Without its
/// tag nothing completes it, as another header has another tag.
pub(in super::super) fn clear_next<M: Medium>(medium: &M, header: &Header) -> Result<(), M::Error> {
    put(medium, headers(header.generation + 1).map(|at| at + TAG as u64), &[0; 8])
}

/// Makes the first header durable, its magic last, so that a crash leaves the whole header or none. Everything written
/// back earlier is durable before the magic is.
///
/// The places of the second header are made zero. An earlier store can have left a header there whose magic alone was
/// overwritten, and a crash while the second header is written would complete the old one.
pub(in super::super) fn create<M: Medium>(medium: &M, header: &Header) -> Result<(), M::Error> {
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
fn put<M: Medium>(medium: &M, both: [u64; 2], bytes: &[u8]) -> Result<(), M::Error> {
    for at in both {
        medium.write(at, bytes);
    }
    both.into_iter().try_for_each(|at| medium.issue_writeback(at..at + bytes.len() as u64))
}
