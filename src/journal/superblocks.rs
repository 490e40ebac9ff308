//! Both superblocks: the choice of the one that holds, and its replacement.

use super::error::{Error, ErrorKind};
use super::format::geometry::{LOG, PAGE};
use super::format::superblock::{BYTES, Found, MAGIC, Superblock, VERSION};
use super::walk::first_mark;
use crate::format::identity::Identity;
use crate::format::magic::{self, Magic, UNFINISHED};
use crate::format::reread::Rereadings;
use crate::format::rewritten;
use crate::medium::{Medium, Readable};
use core::sync::atomic::Ordering::Relaxed;

/// Returns the offset of the superblock of a generation.
const fn place(generation: u64) -> u64 {
    generation % 2 * PAGE
}

/// The end of the second superblock.
pub(super) const END: u64 = PAGE + BYTES as u64;

/// Reads the places of both superblocks.
pub(super) fn found<M: Readable>(medium: &M) -> Result<[Found; 2], Error<M::Error>> {
    let (size, needed) = (medium.len(), END);
    if size < needed {
        return Err(Error::new(match magic::other_than(MAGIC, medium).map_err(Error::medium)? {
            Some([found, _]) => ErrorKind::NotAJournal { found },
            None => ErrorKind::Truncated { size, needed },
        }));
    }
    // One trim may write the first superblock while it is read, and the next trim the second one.
    let is_one_whole =
        |both: &Both| meaning(both).iter().any(|found| matches!(found, Found::Whole(_)));
    let both = Rereadings::BESIDE_WRITERS.until(is_one_whole, || read(medium));
    Ok(meaning(&both.map_err(Error::medium)?))
}

/// The bytes at both places.
type Both = [[u8; BYTES]; 2];

/// Returns the meaning of the bytes at both places. A superblock in the place of the other one is invalid: the next one
/// would be written over it, or not over the older one.
fn meaning(both: &Both) -> [Found; 2] {
    [(0, &both[0]), (PAGE, &both[1])].map(|(at, bytes)| match Superblock::read(bytes) {
        Found::Whole(superblock) if place(superblock.generation) != at => Found::Damaged,
        found => found,
    })
}

/// Reads the bytes at both places. If the magic is not that of a journal, only the bytes of the magic are read.
fn read<M: Readable>(medium: &M) -> Result<Both, M::Error> {
    let mut both = [[0; BYTES]; 2];
    for (bytes, at) in both.iter_mut().zip([0, PAGE]) {
        let magic = medium.load(at, Relaxed).to_le_bytes();
        if magic == MAGIC {
            medium.read(at, bytes)?;
        } else {
            bytes[..MAGIC.len()].copy_from_slice(&magic);
        }
    }
    medium.check()?;
    Ok(both)
}

/// The bytes at the place of a magic if no journal is there.
const NO_MAGIC: [u8; MAGIC.len()] = [0; MAGIC.len()];

/// Returns the superblock that holds. The whole journal must be in the medium.
pub(super) fn load<M: Readable>(medium: &M) -> Result<Superblock, Error<M::Error>> {
    find(medium)?.ok_or(Error::new(ErrorKind::NotAJournal { found: NO_MAGIC }))
}

/// Returns the superblock that holds, of the journal with this identity.
pub(super) fn load_of<M: Readable>(
    medium: &M,
    identity: Identity,
) -> Result<Superblock, Error<M::Error>> {
    let superblock = load(medium)?;
    if superblock.identity != identity {
        return Err(Error::new(ErrorKind::Replaced { found: superblock.identity }));
    }
    Ok(superblock)
}

/// Returns the superblock that holds in place of a `known` one of this journal, if that is another one.
pub(super) fn after<M: Readable>(
    medium: &M,
    known: &Superblock,
) -> Result<Option<Superblock>, Error<M::Error>> {
    let now = load_of(medium, known.identity)?;
    let is_after = now.is_after(known) || !now.is_same(known) && is_begun_anew(medium, known)?;
    Ok(is_after.then_some(now))
}

/// Returns true if a repair had lost the newest epochs, and has numbered them anew. It writes both superblocks. Otherwise one
/// of the two is the known one or a later one, unless it is lost.
fn is_begun_anew<M: Readable>(medium: &M, known: &Superblock) -> Result<bool, Error<M::Error>> {
    let is_earlier = |found| match found {
        Found::Whole(one) => !one.is_same(known) && !one.is_after(known),
        _ => false,
    };
    Ok(found(medium)?.into_iter().all(is_earlier))
}

/// Returns the superblock with this head: the newest one, or the one before it while a trim is under way or after it has
/// failed. If a trim overtakes the reading, returns the newest one.
pub(super) fn with_head<M: Readable>(medium: &M, head: u64) -> Result<Superblock, Error<M::Error>> {
    let newest = load(medium)?;
    if newest.head == head {
        return Ok(newest);
    }
    let older = found(medium)?.into_iter().find_map(|found| match found {
        Found::Whole(superblock) if superblock.head == head => Some(superblock),
        _ => None,
    });
    Ok(older.unwrap_or(newest))
}

/// Returns the superblock that holds, or `None` without a journal: the places of both magics are zero and the log has no
/// mark, or a creation was cut off.
pub(super) fn find<M: Readable>(medium: &M) -> Result<Option<Superblock>, Error<M::Error>> {
    let both = found(medium)?;
    let Some(superblock) = newest(both).map_err(Error::new)? else {
        // The mark of a creation that was cut off may be torn, and those of an earlier journal be left behind it.
        if matches!(both, [_, Found::Other(UNFINISHED)]) {
            return Ok(None);
        }
        let mark = first_mark(medium, LOG).map_err(Error::medium)?;
        return if mark.is_some() { Err(Error::new(ErrorKind::Superblocks)) } else { Ok(None) };
    };
    let (size, needed) = (medium.len(), superblock.geometry.bytes());
    if size < needed {
        return Err(Error::new(ErrorKind::Truncated { size, needed }));
    }
    Ok(Some(superblock))
}

/// Returns the superblock with the higher generation. A crash may have torn the other one while it was written. A superblock
/// of a later version is newer than one of this version, as a program of this version does not write to such a journal.
fn newest<E>(both: [Found; 2]) -> Result<Option<Superblock>, ErrorKind<E>> {
    match both {
        [Found::Version(found), _] | [_, Found::Version(found)] if found > VERSION => {
            Err(ErrorKind::Version { found })
        }
        [Found::Whole(first), Found::Whole(second)] => {
            Ok(Some(if second.generation > first.generation { second } else { first }))
        }
        [Found::Whole(only), _] | [_, Found::Whole(only)] => Ok(Some(only)),
        [Found::Version(found), _] | [_, Found::Version(found)] => {
            Err(ErrorKind::Version { found })
        }
        [Found::Damaged, _] | [_, Found::Damaged] => Err(ErrorKind::Superblocks),
        [Found::Other(NO_MAGIC), Found::Other(NO_MAGIC | UNFINISHED)] => Ok(None),
        [Found::Other(NO_MAGIC), Found::Other(found)] | [Found::Other(found), Found::Other(_)] => {
            Err(ErrorKind::NotAJournal { found })
        }
    }
}

/// Returns true if one of the superblocks is lost. A crash while it was stored leaves that, damage does, and a store that
/// is under way while this reads.
pub(super) fn is_one_lost<M: Readable>(
    medium: &M,
    rereadings: Rereadings,
) -> Result<bool, M::Error> {
    rereadings.until(|is_lost| !is_lost, || is_one_lost_now(medium))
}

fn is_one_lost_now<M: Readable>(medium: &M) -> Result<bool, M::Error> {
    match meaning(&read(medium)?) {
        [Found::Whole(_), Found::Whole(_)] => Ok(false),
        // A creation writes one superblock, and zeros in the place of the other one.
        [Found::Other(NO_MAGIC), Found::Whole(Superblock { generation: FIRST, .. })] => {
            let mut other = [0; BYTES];
            medium.read(place(FIRST + 1), &mut other)?;
            medium.check()?;
            Ok(other != [0; BYTES])
        }
        _ => Ok(true),
    }
}

/// The generation of the superblock that a creation writes.
const FIRST: u64 = 1;

/// Makes a superblock durable in the place of the older one, so that a crash leaves one of the two.
pub(super) fn store<M: Medium>(medium: &M, superblock: &Superblock) -> Result<(), M::Error> {
    medium.persist_copy(&[(place(superblock.generation), &superblock.bytes())])
}

/// Issues the write-back of a superblock that was found.
pub(super) fn writeback<M: Medium>(medium: &M, superblock: &Superblock) -> Result<(), M::Error> {
    let at = place(superblock.generation);
    rewritten::writeback(medium, at..at + BYTES as u64)
}

/// Makes the first superblock and the mark at the beginning of the log durable, the magic last. A crash leaves all of
/// the journal or none of it. Its magic's place shows the creation meanwhile.
pub(super) fn create<M: Medium>(
    medium: &M,
    superblock: &Superblock,
    mark: &[u8],
) -> Result<(), M::Error> {
    let (bytes, at) = (superblock.bytes(), place(superblock.generation));
    let (magic, rest) = bytes.split_at(MAGIC.len());
    let other = place(superblock.generation + 1);
    // Zeros are written again too: they may be in the caches only, over the superblock of an overwritten journal.
    medium.persist_copy(&[(at, &UNFINISHED), (other, &NO_MAGIC)])?;
    // An old superblock without its magic would be whole again when the next one is torn in its place.
    let (other, at_rest) = (other + MAGIC.len() as u64, at + MAGIC.len() as u64);
    medium.persist_copy(&[(other, &[0; BYTES - MAGIC.len()]), (at_rest, rest), (LOG, mark)])?;
    medium.persist_copy(&[(at, magic)])
}

/// Returns the magic of a store or a recording, in which marks of a journal before it can be left. A store has copies of its
/// roots from the place of a journal's first mark on.
pub(super) fn another<M: Readable>(medium: &M) -> Result<Option<Magic>, M::Error> {
    let words = magic::words(medium)?;
    let mut copies = [Magic::default(); 2];
    for (at, copy) in [LOG, LOG + PAGE].into_iter().zip(&mut copies) {
        if medium.len() >= at + 8 {
            medium.read(at, copy)?;
        }
    }
    medium.check()?;
    let found = magic::another(words, MAGIC).or_else(|| magic::another(copies, MAGIC));
    Ok(found.filter(|_| !words.contains(&MAGIC)))
}
