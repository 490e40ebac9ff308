//! Both superblocks: which one holds, and how it is replaced.

use super::error::Error;
use super::format::geometry::PAGE;
use super::format::superblock::{BYTES, Found, MAGIC, Superblock};
use crate::medium::{Medium, Readable};

/// Where the superblock of a generation is.
const fn place(generation: u64) -> u64 {
    generation % 2 * PAGE
}

/// What is at both places.
pub(super) fn found<M: Readable>(medium: &M) -> Result<[Found; 2], Error<M::Error>> {
    let (size, needed) = (medium.len(), PAGE + BYTES as u64);
    if size < needed {
        return Err(Error::Truncated { size, needed });
    }
    let mut bytes = read(medium)?;
    // A trim may write the first one while it is read, and the next trim the second one.
    for _ in 0..ATTEMPTS {
        if bytes.iter().any(|bytes| matches!(Superblock::read(bytes), Found::Whole(_))) {
            break;
        }
        let again = read(medium)?;
        if again == bytes {
            break;
        }
        bytes = again;
    }
    Ok(bytes.map(|bytes| Superblock::read(&bytes)))
}

/// The number of times that changing superblocks are read again.
const ATTEMPTS: u32 = 64;

/// The bytes at both places.
fn read<M: Readable>(medium: &M) -> Result<[[u8; BYTES]; 2], M::Error> {
    let mut both = [[0; BYTES]; 2];
    for (bytes, at) in both.iter_mut().zip([0, PAGE]) {
        medium.read(at, bytes)?;
    }
    Ok(both)
}

/// The superblock that holds, of a journal that is in the medium as a whole.
pub(super) fn load<M: Readable>(medium: &M) -> Result<Superblock, Error<M::Error>> {
    let superblock = newest(found(medium)?)?;
    let (size, needed) = (medium.len(), superblock.geometry.bytes());
    if size < needed {
        return Err(Error::Truncated { size, needed });
    }
    Ok(superblock)
}

/// The one with the higher generation. A crash may have torn the other one, which was being written.
fn newest<E>(both: [Found; 2]) -> Result<Superblock, Error<E>> {
    match both {
        [Found::Whole(first), Found::Whole(second)] => {
            Ok(if second.generation > first.generation { second } else { first })
        }
        [Found::Whole(only), _] | [_, Found::Whole(only)] => Ok(only),
        [Found::Version(found), _] | [_, Found::Version(found)] => Err(Error::Version { found }),
        [Found::Damaged, _] | [_, Found::Damaged] => Err(Error::Superblocks),
        [Found::Other(found), Found::Other(_)] => Err(Error::NotAJournal { found }),
    }
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

/// Makes the first superblock durable: its magic last, so that a crash leaves it whole or none.
pub(super) fn create<M: Medium>(medium: &M, superblock: &Superblock) -> Result<(), M::Error> {
    let (bytes, at) = (superblock.bytes(), place(superblock.generation));
    let (magic, rest) = bytes.split_at(MAGIC.len());
    medium.persist_copy(&[(at + MAGIC.len() as u64, rest)])?;
    medium.persist_copy(&[(at, magic)])
}
