//! Roots: the starting points of a format, stored so that neither a crash nor the loss of one block destroys them.
//!
//! A root has four slots, at offsets 0, 4096, 8192 and 12288. Generation *g* is stored twice, in slots *g* modulo 2 and
//! *g* modulo 2 plus 2. A new generation overwrites the one before the last, under one fence, so a crash leaves the
//! last one intact. The intact slot with the highest generation counts, even if its copy is damaged.
//!
//! Each slot begins with the same 48 bytes in every format, which the `FORMAT.md` of the journal lists. Later versions
//! keep them in place, so a program recognizes an intact slot of a later version.

use super::bounds::Rereadings;
use super::error::FormatError;
use super::identity::Identity;
use super::magic::{self, Format, Magic};
use super::tag::{self, Kind};
use super::unreadable::{if_readable, is_lost};
use cachemaint::medium::{Medium, Readable};
use core::error::Error;

/// The distance between two slots: one block, which a drive may lose as a whole.
pub const BLOCK: u64 = 4096;
/// The size of all slots in bytes.
pub const BYTES: u64 = 4 * BLOCK;
/// The offsets of all slots.
const SLOTS: [u64; 4] = [0, BLOCK, 2 * BLOCK, 3 * BLOCK];
/// The number of bytes before the format-specific ones.
const HEAD: usize = 48;
const TAG: usize = 16;
const IDENTITY: usize = 24;
/// The offset of the generation in a slot.
pub const GENERATION: usize = 40;
/// All generations are below this.
pub const GENERATIONS: u64 = 1 << 63;
/// The size of the largest slot of any format.
const MOST: usize = 256;

/// A root with `OWN` format-specific bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root<const OWN: usize> {
    /// The identity of the journal, recording or store.
    pub identity: Identity,
    /// The generation, counted from 1.
    pub generation: u64,
    /// The format-specific bytes.
    pub own: [u8; OWN],
}

/// The content of one slot, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found<const OWN: usize> {
    /// A root that matches its tag.
    Whole(Root<OWN>),
    /// A root of another version, whose bytes have another meaning.
    Version(u32),
    /// Bytes that begin like a root but do not match their tag: torn, damaged or unreadable.
    Damaged,
    /// Zeros.
    Nothing,
    /// Other content, identified by its first bytes.
    Other(Magic),
}

impl<const OWN: usize> Found<OWN> {
    /// Returns the content that says more about the medium.
    fn or(self, other: Self) -> Self {
        let weight = |found: &Self| match found {
            Self::Whole(root) => (4, root.generation),
            Self::Version(version) => (3, u64::from(*version)),
            Self::Damaged => (2, 0),
            Self::Other(_) => (1, 0),
            Self::Nothing => (0, 0),
        };
        if weight(&other) > weight(&self) { other } else { self }
    }
}

/// A root as it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded<const OWN: usize> {
    /// The root.
    pub root: Root<OWN>,
    /// True for each copy that is torn or damaged.
    pub is_damaged: [bool; 2],
    /// The previous generation, if one of its copies is intact. It is `None` if this generation is the first, if a
    /// crash tore the next one, or if damage destroyed it.
    pub before: Option<Root<OWN>>,
    /// True if the slots of the previous or next generation begin with zeros.
    pub is_next_empty: bool,
}

impl<const OWN: usize> Loaded<OWN> {
    /// Returns true if a copy of this root, or both copies of another root, are torn or damaged.
    #[must_use]
    pub fn is_one_lost(&self) -> bool {
        let is_first = self.root.generation == 1 && self.is_next_empty;
        self.is_damaged != [false; 2] || self.before.is_none() && !is_first
    }
}

/// Returns the offsets of both copies of a generation.
#[must_use]
pub const fn slots(generation: u64) -> [u64; 2] {
    let first = generation % 2 * BLOCK;
    [first, first + 2 * BLOCK]
}

impl<const OWN: usize> Root<OWN> {
    const LEN: usize = HEAD + OWN;

    /// Returns the bytes of the copy in `slot`.
    fn bytes(&self, format: Format, slot: u64) -> [u8; MOST] {
        const { assert!(Self::LEN <= MOST && Self::LEN.is_multiple_of(8)) };
        let mut bytes = [0; MOST];
        bytes[..8].copy_from_slice(&format.magic);
        bytes[8..12].copy_from_slice(&format.version.to_le_bytes());
        // At most `MOST`.
        bytes[12..TAG].copy_from_slice(&(Self::LEN as u32).to_le_bytes());
        bytes[IDENTITY..GENERATION].copy_from_slice(&self.identity.0);
        bytes[GENERATION..HEAD].copy_from_slice(&self.generation.to_le_bytes());
        bytes[HEAD..Self::LEN].copy_from_slice(&self.own);
        let tag = tag_of(&bytes[..Self::LEN], self.identity, self.generation, slot);
        bytes[TAG..IDENTITY].copy_from_slice(&tag.to_le_bytes());
        bytes
    }

    /// Reads the slot at `at`.
    fn read<E: Error>(
        medium: &dyn Readable<Error = E>,
        format: Format,
        at: u64,
    ) -> Result<Found<OWN>, E> {
        let mut bytes = [0; MOST];
        medium.read(at, &mut bytes[..HEAD])?;
        let word = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
        let number = |at| word(at).map_or(0, u64::from_le_bytes);
        let magic: Magic = word(0).unwrap_or_default();
        if magic != format.magic {
            return Ok(if magic == [0; 8] { Found::Nothing } else { Found::Other(magic) });
        }
        let (version, len) = (number(8) as u32, (number(8) >> 32) as usize);
        let (stated, generation) = (number(TAG), number(GENERATION));
        let mut identity = Identity([0; 16]);
        identity.0.copy_from_slice(&bytes[IDENTITY..GENERATION]);
        let is_possible = (1..GENERATIONS).contains(&generation) && slots(generation).contains(&at);
        if !(HEAD..=MOST).contains(&len) || !len.is_multiple_of(8) || !is_possible {
            return Ok(Found::Damaged);
        }
        medium.read(at + HEAD as u64, &mut bytes[HEAD..len])?;
        if tag_of(&bytes[..len], identity, generation, at) != stated {
            return Ok(Found::Damaged);
        }
        if version != format.version {
            return Ok(Found::Version(version));
        }
        let own = bytes[HEAD..len].try_into();
        Ok(own.map_or(Found::Damaged, |own| Found::Whole(Self { identity, generation, own })))
    }

    /// Returns the content of each slot. A slot that cannot be read counts as damaged, unless no slot can be read.
    fn all<E: Error>(
        medium: &dyn Readable<Error = E>,
        format: Format,
    ) -> Result<[Found<OWN>; 4], E> {
        let mut all = [Found::Damaged; 4];
        let mut unreadable = 0;
        for (found, at) in all.iter_mut().zip(SLOTS) {
            let read = Self::read(medium, format, at);
            match read {
                Err(error) if unreadable + 1 == SLOTS.len() => return Err(error),
                Err(_) => unreadable += 1,
                Ok(_) => {}
            }
            *found = if_readable(medium, read)?.unwrap_or(Found::Damaged);
        }
        Ok(all)
    }

    /// Returns true if no writer appears to be in the middle of a store: both copies of the highest generation are
    /// intact, and no slot is torn. Slots that were never used are zeros.
    fn is_settled(all: &[Found<OWN>; 4]) -> bool {
        let highest = all.iter().fold(Found::Nothing, |one, other| one.or(*other));
        let Found::Whole(root) = highest else { return false };
        slots(root.generation).iter().all(|at| all[(at / BLOCK) as usize] == highest)
            && !all.contains(&Found::Damaged)
    }

    /// Loads the current root, even while a process writes.
    pub fn load<E: Error>(
        medium: &dyn Readable<Error = E>,
        format: Format,
        rereadings: Rereadings,
    ) -> Result<Loaded<OWN>, FormatError<E>> {
        let (size, needed) = (medium.len(), BYTES);
        if size < needed {
            let other = other_than(format.magic, medium).map_err(FormatError::Medium)?;
            return Err(match other {
                Some(found) => FormatError::Foreign { found },
                None => FormatError::Truncated { size, needed },
            });
        }
        let found = Self::find(medium, format, rereadings).map_err(FormatError::Medium)?;
        medium.check().map_err(FormatError::Medium)?;
        found.map_err(|found| match found {
            Found::Version(found) => FormatError::Version { found },
            Found::Other(found) => FormatError::Foreign { found },
            Found::Nothing => FormatError::Foreign { found: [0; 8] },
            Found::Damaged | Found::Whole(_) => FormatError::Roots,
        })
    }

    /// Finds the current root. The medium has at least [`BYTES`].
    ///
    /// # Errors
    /// The inner `Err` describes the content that takes the place of a root.
    fn find<E: Error>(
        medium: &dyn Readable<Error = E>,
        format: Format,
        rereadings: Rereadings,
    ) -> Result<Result<Loaded<OWN>, Found<OWN>>, E> {
        let all = || Self::all(medium, format);
        let all = rereadings.until(Self::is_settled, all)?;
        let newer = all.iter().find_map(|found| match found {
            Found::Version(version) if *version > format.version => Some(*version),
            _ => None,
        });
        let root = match all.into_iter().fold(Found::Nothing, Found::or) {
            _ if newer.is_some() => return Ok(Err(Found::Version(newer.unwrap_or(0)))),
            Found::Whole(root) => root,
            other => return Ok(Err(other)),
        };
        let in_slots = |generation| slots(generation).map(|at| all[(at / BLOCK) as usize]);
        Ok(Ok(Loaded {
            root,
            is_damaged: in_slots(root.generation).map(|found| found != Found::Whole(root)),
            before: in_slots(root.generation + 1).into_iter().find_map(|found| match found {
                Found::Whole(before) => Some(before),
                _ => None,
            }),
            is_next_empty: in_slots(root.generation + 1) == [Found::Nothing; 2],
        }))
    }

    /// Returns true if this is still the current root. The caller has ordered its reads before this call.
    pub fn is_current<E: Error>(
        &self,
        medium: &dyn Readable<Error = E>,
        format: Format,
    ) -> Result<bool, E> {
        // Bytes of other content can look like a later generation.
        let is_later = may_be_superseded(medium, self.generation)?;
        for at in slots(self.generation) {
            let found = if_readable(medium, Self::read(medium, format, at))?;
            if !is_later && found == Some(Found::Whole(*self)) {
                return Ok(true);
            }
        }
        let loaded = Self::find(medium, format, Rereadings::BESIDE_WRITERS)?;
        Ok(loaded.is_ok_and(|loaded| loaded.root == *self))
    }

    /// Fails if another writer has stored a root or other content: `is_ours` returns false for the newest root. Damage
    /// is no other writer, and neither is a root that is being stored.
    pub fn refuse_another<E: Error>(
        medium: &dyn Readable<Error = E>,
        format: Format,
        is_ours: impl Fn(&Self) -> bool,
    ) -> Result<(), FormatError<E>> {
        let found = Self::find(medium, format, Rereadings::ALONE).map_err(FormatError::Medium)?;
        // The bytes of a failed medium look like other content, too.
        medium.check().map_err(FormatError::Medium)?;
        match found {
            Ok(Loaded { root, .. }) if is_ours(&root) => Ok(()),
            Err(Found::Damaged) => Ok(()),
            _ => Err(FormatError::AnotherWriter),
        }
    }
}

/// Returns true if a later generation than this one may have been stored.
pub fn may_be_superseded<E: Error>(
    medium: &dyn Readable<Error = E>,
    generation: u64,
) -> Result<bool, E> {
    let mut is_later = false;
    for at in slots(generation + 1) {
        let mut found = [0; 8];
        let read = medium.read(at + GENERATION as u64, &mut found);
        let is_read = if_readable(medium, read)?.is_some();
        is_later |= is_read && u64::from_le_bytes(found) > generation;
    }
    Ok(is_later)
}

/// Returns the first word of every slot. Bytes after the end of the medium are zeros.
pub fn words<E: Error>(medium: &dyn Readable<Error = E>) -> impl Iterator<Item = Result<Magic, E>> {
    SLOTS.into_iter().map(|at| {
        let mut word = [0; 8];
        let len = medium.len().saturating_sub(at).min(8) as usize;
        if len > 0 {
            medium.read(at, &mut word[..len])?;
        }
        Ok(word)
    })
}

/// For a medium that is too short for its roots: returns `None` if a slot has this magic, so that the medium was truncated.
/// Otherwise returns the magic of another format in a slot, or the first word.
fn other_than<E: Error>(
    magic: Magic,
    medium: &dyn Readable<Error = E>,
) -> Result<Option<Magic>, E> {
    let first = words(medium).next().transpose()?.unwrap_or_default();
    let is_truncated = words(medium).flatten().any(|word| word == magic);
    let another = || words(medium).flatten().find(|word| magic::name(*word).is_some());
    Ok((!is_truncated).then(|| another().unwrap_or(first)))
}

impl<const OWN: usize> Root<OWN> {
    /// Stores this generation over the one before the last. It is durable on return. The last one stays unchanged. A slot
    /// that cannot be read is left out, unless neither can.
    ///
    /// # Errors
    /// If the medium fails. A later opening then finds either generation.
    pub fn store<M: Medium>(&self, medium: &M, format: Format) -> Result<(), M::Error> {
        let [one, other] = slots(self.generation);
        self.store_in(
            medium,
            format,
            match [one, other].map(|at| is_lost(medium, at)) {
                [false, true] => [one, one],
                [true, false] => [other, other],
                _ => [one, other],
            },
        )
    }

    /// Stores the last generation once more, the damaged copy first: a process that ended before its fence may have
    /// left it only in the caches. A slot that cannot be read is left out.
    ///
    /// # Errors
    /// If the medium fails.
    pub fn restore<M: Medium>(
        &self,
        medium: &M,
        format: Format,
        is_damaged: [bool; 2],
    ) -> Result<(), M::Error> {
        let mut order = slots(self.generation);
        if is_damaged[1] {
            order.reverse();
        }
        for at in order.into_iter().filter(|at| !is_lost(medium, *at)) {
            self.store_in(medium, format, [at, at])?;
        }
        Ok(())
    }

    fn store_in<M: Medium>(
        &self,
        medium: &M,
        format: Format,
        places: [u64; 2],
    ) -> Result<(), M::Error> {
        let both = places.map(|at| (at, self.bytes(format, at)));
        let parts = [&both[0], &both[1]].map(|(at, bytes)| (*at, &bytes[..Self::LEN]));
        put(medium, parts)?;
        medium.fence()
    }

    /// Stores the first root in a medium without one. It is durable on return. A crash leaves the whole root or none:
    /// the medium then still begins with zeros, or with its other content.
    ///
    /// # Errors
    /// If the medium fails.
    pub fn create<M: Medium>(&self, medium: &M, format: Format) -> Result<(), M::Error> {
        let [one, other] = slots(self.generation + 1);
        put(medium, [(one, &[0; HEAD]), (other, &[0; HEAD])])?;
        let both = slots(self.generation).map(|at| (at, self.bytes(format, at)));
        let without_magic = both.map(|(at, mut bytes)| {
            bytes[..8].fill(0);
            (at, bytes)
        });
        put(
            medium,
            [0, 1].map(|copy| (without_magic[copy].0, &without_magic[copy].1[..Self::LEN])),
        )?;
        medium.fence()?;
        put(medium, [0, 1].map(|copy| (both[copy].0, &both[copy].1[..8])))?;
        medium.fence()
    }
}

/// Writes both copies and issues their write-back. With page granularity, the first is durable before the second is
/// written, since a drive may lose the block that it is writing.
fn put<M: Medium>(medium: &M, both: [(u64, &[u8]); 2]) -> Result<(), M::Error> {
    let issue = |(at, bytes): (u64, &[u8])| medium.issue_writeback(at..at + bytes.len() as u64);
    let is_by_pages = medium.granularity().is_by_pages();
    for (at, bytes) in both {
        medium.write(at, bytes);
        if is_by_pages {
            issue((at, bytes))?;
        }
    }
    if is_by_pages { Ok(()) } else { both.into_iter().try_for_each(issue) }
}

fn tag_of(bytes: &[u8], identity: Identity, generation: u64, slot: u64) -> u64 {
    let key = tag::key(identity, generation, slot, Kind::Root);
    tag::of(tag::of(key, &bytes[..TAG]), &bytes[IDENTITY..])
}

#[cfg(test)]
#[cfg(not(cachemaint_loom))]
mod tests {
    use super::{BLOCK, BYTES, Format, FormatError, Found, Identity, Loaded, Root, slots};
    use crate::bounds::Rereadings;
    use alloc::vec::Vec;
    use cachemaint::medium::{Bytes, Memory};
    use cachemaint_test_support::bad_blocks::{BadBlocks, Lost};
    use cachemaint_test_support::refused::host_or_refused;
    use core::sync::atomic::AtomicU64;

    const FORMAT: Format = Format { magic: *b"rootroot", version: 3, name: "root" };

    fn root(generation: u64) -> Root<16> {
        Root { identity: Identity([7; 16]), generation, own: [generation as u8; 16] }
    }

    /// Returns the bytes of a medium in which the generations up to `last` were stored one after the other.
    fn stored(last: u64) -> Vec<u8> {
        let mut bytes = alloc::vec![0; BYTES as usize];
        for generation in 1..=last {
            for at in slots(generation) {
                let from = root(generation).bytes(FORMAT, at);
                bytes[at as usize..][..64].copy_from_slice(&from[..64]);
            }
        }
        bytes
    }

    fn load(bytes: &[u8]) -> Result<Loaded<16>, Found<16>> {
        let Ok(loaded) = Root::find(&Bytes(bytes), FORMAT, Rereadings::ALONE);
        loaded
    }

    #[test]
    fn the_highest_whole_generation_counts() {
        let [mut one, mut two] = [stored(1), stored(8)];
        assert_eq!(load(&one).map(|loaded| loaded.root), Ok(root(1)));
        assert_eq!(load(&two).map(|loaded| loaded.root), Ok(root(8)));
        let [first, copy] = slots(8).map(|at| at as usize);
        two[first + 50] ^= 1;
        let loaded = load(&two).unwrap();
        assert_eq!((loaded.root, loaded.is_damaged), (root(8), [true, false]));
        assert!(loaded.before.is_some());
        two[copy + 50] ^= 1; // torn by a crash, or damaged
        let loaded = load(&two).unwrap();
        assert_eq!((loaded.root, loaded.is_damaged), (root(7), [false; 2]));
        assert!(loaded.before.is_none());
        one[slots(1)[1] as usize] ^= 1;
        assert_eq!(load(&one).unwrap().is_damaged, [false, true]);
    }

    #[test]
    fn a_slot_that_cannot_be_read_is_damaged_and_the_others_count() {
        let bytes = stored(8);
        let block = |at: u64| at..at + BLOCK;
        let [own, other] = [8, 7].map(slots);
        for (bad, is_damaged) in [
            (&other[..], [false, false]),
            (&[own[0], other[1]], [true, false]),
            (&[own[1], other[0], other[1]], [false, true]),
        ] {
            let medium = BadBlocks::new(&bytes, bad.iter().copied().map(block));
            let loaded = Root::<16>::load(&medium, FORMAT, Rereadings::ALONE).unwrap();
            assert_eq!((loaded.root, loaded.is_damaged), (root(8), is_damaged));
            assert_eq!(root(8).is_current(&medium, FORMAT), Ok(true), "{bad:?}");
            assert_eq!(root(6).is_current(&medium, FORMAT), Ok(false), "{bad:?}");
        }
        let medium = BadBlocks::new(&bytes, own.map(block));
        assert_eq!(root(7).is_current(&medium, FORMAT), Ok(true));
        let medium = BadBlocks::new(&bytes, [0, 1, 2, 3].map(|slot| block(slot * BLOCK)));
        let failed = Root::<16>::load(&medium, FORMAT, Rereadings::ALONE);
        assert_eq!(failed, Err(FormatError::Medium(Lost)));
    }

    #[test]
    fn each_byte_of_a_slot_counts() {
        let bytes = stored(1);
        for at in 0..64 {
            let mut bytes = bytes.clone();
            for slot in slots(1) {
                bytes[slot as usize + at] ^= 0x10;
            }
            let expected = if at < 8 {
                Found::Other(bytes[4096..4104].try_into().unwrap())
            } else {
                Found::Damaged
            };
            assert_eq!(load(&bytes).map(drop), Err(expected), "byte {at}");
        }
    }

    #[test]
    fn a_copy_in_another_slot_is_damaged() {
        let mut bytes = stored(1);
        bytes.copy_within(4096..4096 + 64, 3 * 4096);
        assert_eq!(load(&bytes).unwrap().is_damaged, [false, true]);
    }

    #[test]
    fn a_later_version_is_newer_than_each_root_of_this_one() {
        let mut bytes = stored(8);
        let later = root(9).bytes(Format { version: 4, ..FORMAT }, slots(9)[0]);
        bytes[slots(9)[0] as usize..][..64].copy_from_slice(&later[..64]);
        assert_eq!(load(&bytes), Err(Found::Version(4)));
    }

    /// Returns an image whose first slot has this size and generation, and the right tag.
    fn slot(len: usize, generation: u64) -> Vec<u8> {
        let mut bytes = alloc::vec![0; BYTES as usize];
        bytes[..8].copy_from_slice(b"rootroot");
        bytes[8..12].copy_from_slice(&4_u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&(len as u32).to_le_bytes());
        bytes[40..48].copy_from_slice(&generation.to_le_bytes());
        let tag = super::tag_of(&bytes[..len], Identity([0; 16]), generation, 0);
        bytes[16..24].copy_from_slice(&tag.to_le_bytes());
        bytes
    }

    #[test]
    fn a_slot_has_48_to_256_bytes_and_a_generation_from_1_to_2_to_the_63() {
        const LAST: u64 = (1 << 63) - 2;
        for (len, generation) in [(48, 2), (56, 2), (256, 2), (256, LAST)] {
            assert_eq!(load(&slot(len, generation)), Err(Found::Version(4)), "{len} {generation}");
        }
        for (len, generation) in [(40, 2), (52, 2), (264, 2), (64, 0), (64, 1), (64, 1 << 63)] {
            assert_eq!(load(&slot(len, generation)), Err(Found::Damaged), "{len} {generation}");
        }
    }

    #[test]
    fn a_root_is_created_stored_and_restored() {
        let Some(cache) = host_or_refused() else { return };
        let words: Vec<_> = (0..BYTES / 8).map(|_| AtomicU64::new(0)).collect();
        let memory = Memory::new(&words, cache, cachemaint::medium::Backing::Ram);
        let load = || {
            let Ok(loaded) = Root::<16>::find(&memory, FORMAT, Rereadings::ALONE);
            loaded
        };
        assert_eq!(load(), Err(Found::Nothing));
        let Ok(()) = root(1).create(&memory, FORMAT);
        assert_eq!(load().map(|loaded| loaded.root), Ok(root(1)));
        let Ok(()) = root(2).store(&memory, FORMAT);
        let Ok(true) = root(2).is_current(&memory, FORMAT) else { panic!("it is current") };
        let Ok(false) = root(1).is_current(&memory, FORMAT) else { panic!("it is not current") };
        memory.write(slots(2)[1] + 20, b"damage");
        let damaged = load().unwrap();
        assert_eq!(damaged.is_damaged, [false, true]);
        let Ok(()) = root(2).restore(&memory, FORMAT, damaged.is_damaged);
        assert_eq!(
            load().unwrap(),
            Loaded {
                root: root(2),
                is_damaged: [false; 2],
                before: Some(root(1)),
                is_next_empty: false,
            }
        );
        assert_eq!(slots(3), [BLOCK, 3 * BLOCK]);
    }
}
