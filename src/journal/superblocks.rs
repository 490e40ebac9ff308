//! Both superblocks: the choice of the one that holds, and its replacement.

use super::error::{Error, ErrorKind};
use super::format::WORD;
use super::format::geometry::{LOG, PAGE};
use super::format::record::Mark;
use super::format::superblock::{BYTES, Found, MAGIC, Superblock};
use super::reader::survey;
use super::walk::{first_mark, mark_in_place};
use crate::format::magic;
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
    let mut bytes = read(medium).map_err(Error::medium)?;
    // One trim may write the first superblock while it is read, and the next trim the second one.
    for _ in 0..ATTEMPTS {
        if bytes.iter().any(|bytes| matches!(Superblock::read(bytes), Found::Whole(_))) {
            break;
        }
        let again = read(medium).map_err(Error::medium)?;
        if again == bytes {
            break;
        }
        bytes = again;
    }
    Ok(bytes.map(|bytes| Superblock::read(&bytes)))
}

/// The number of times that changing superblocks are read again.
const ATTEMPTS: u32 = 64;

/// Reads the bytes at both places. If the magic is not that of a journal, only the bytes of the magic are read.
fn read<M: Readable>(medium: &M) -> Result<[[u8; BYTES]; 2], M::Error> {
    let mut both = [[0; BYTES]; 2];
    for (bytes, at) in both.iter_mut().zip([0, PAGE]) {
        let magic = medium.load(at, Relaxed).to_le_bytes();
        if magic == MAGIC {
            medium.read(at, bytes)?;
        } else {
            bytes[..MAGIC.len()].copy_from_slice(&magic);
        }
    }
    Ok(both)
}

/// The bytes at the place of a magic before a creation has stored it.
const NO_MAGIC: [u8; MAGIC.len()] = [0; MAGIC.len()];

/// Returns the superblock that holds. The whole journal must be in the medium.
pub(super) fn load<M: Readable>(medium: &M) -> Result<Superblock, Error<M::Error>> {
    find(medium)?.ok_or(Error::new(ErrorKind::NotAJournal { found: NO_MAGIC }))
}

/// Returns the superblock that holds, or `None` without a journal: the places of both magics are zero.
pub(super) fn find<M: Readable>(medium: &M) -> Result<Option<Superblock>, Error<M::Error>> {
    let Some(superblock) = newest(found(medium)?).map_err(Error::new)? else {
        let has_records = has_records(medium).map_err(Error::medium)?;
        return if has_records { Err(Error::new(ErrorKind::Superblocks)) } else { Ok(None) };
    };
    let (size, needed) = (medium.len(), superblock.geometry.bytes());
    if size < needed {
        return Err(Error::new(ErrorKind::Truncated { size, needed }));
    }
    Ok(Some(superblock))
}

/// Returns the superblock with the higher generation. A crash may have torn the other one while it was written.
fn newest<E>(both: [Found; 2]) -> Result<Option<Superblock>, ErrorKind<E>> {
    match both {
        [Found::Whole(first), Found::Whole(second)] => {
            Ok(Some(if second.generation > first.generation { second } else { first }))
        }
        [Found::Whole(only), _] | [_, Found::Whole(only)] => Ok(Some(only)),
        [Found::Version(found), _] | [_, Found::Version(found)] => {
            Err(ErrorKind::Version { found })
        }
        [Found::Damaged, _] | [_, Found::Damaged] => Err(ErrorKind::Superblocks),
        [Found::Other(NO_MAGIC), Found::Other(NO_MAGIC)] => Ok(None),
        [Found::Other(NO_MAGIC), Found::Other(found)] | [Found::Other(found), Found::Other(_)] => {
            Err(ErrorKind::NotAJournal { found })
        }
    }
}

/// Returns true if the log of a medium without a superblock has records: both superblocks are lost. A creation that was
/// cut off leaves only a mark at the beginning of the log.
fn has_records<M: Readable>(medium: &M) -> Result<bool, M::Error> {
    let mark_end = LOG + Mark::SIZE as u64;
    let found = if medium.len() < mark_end { None } else { mark_in_place(medium, LOG)? };
    let Some((_, mark)) = found.filter(|(_, mark)| mark.geometry.bytes() <= medium.len()) else {
        // The overwritten range reaches beyond the superblocks, or the end of the medium is missing.
        return Ok(first_mark(medium, LOG + WORD)?.is_some());
    };
    let Mark { identity, epoch, geometry } = mark;
    let first = Superblock {
        identity,
        geometry,
        generation: 1,
        head: 0,
        head_epoch: epoch,
        epoch,
        epoch_start: 0,
        acknowledged: 0,
    };
    let (found, _) = survey(medium, first, &mut |_| ())?;
    Ok(found.records > 0 || found.behind > 0 || found.damage.is_some())
}

/// Makes a superblock durable in the place of the older one, so that a crash leaves one of the two.
pub(super) fn store<M: Medium>(medium: &M, superblock: &Superblock) -> Result<(), M::Error> {
    medium.persist_copy(&[(place(superblock.generation), &superblock.bytes())])
}

/// Issues the write-back of a superblock that was found.
pub(super) fn writeback<M: Medium>(medium: &M, superblock: &Superblock) -> Result<(), M::Error> {
    let at = place(superblock.generation);
    medium.writeback(at..at + BYTES as u64)
}

/// Makes the first superblock and the mark at the beginning of the log durable, the magic last. A crash leaves all of
/// the journal or none of it.
pub(super) fn create<M: Medium>(
    medium: &M,
    superblock: &Superblock,
    mark: &[u8],
) -> Result<(), M::Error> {
    let (bytes, at) = (superblock.bytes(), place(superblock.generation));
    let (magic, rest) = bytes.split_at(MAGIC.len());
    // Zeros are written again too: they may be in the caches only, over the superblocks of an overwritten journal.
    medium.persist_copy(&[(0, &NO_MAGIC), (PAGE, &NO_MAGIC)])?;
    // An old superblock without its magic would be whole again when the next one is torn in its place.
    let other = place(superblock.generation + 1) + MAGIC.len() as u64;
    let at_rest = at + MAGIC.len() as u64;
    medium.persist_copy(&[(other, &[0; BYTES - MAGIC.len()]), (at_rest, rest), (LOG, mark)])?;
    medium.persist_copy(&[(at, magic)])
}
