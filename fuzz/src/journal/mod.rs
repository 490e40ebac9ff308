//! The targets of the journal.

#[path = "../../../tests/journal/claims.rs"]
mod claims;
mod seal;

use arbitrary::Arbitrary;
use cachemaint::Cache;
use cachemaint::journal::Reader;
use cachemaint::medium::{Bytes, Medium as _, Memory};
use claims::{Deed, Harm, LOG, Shape, live};
use core::sync::atomic::AtomicU64;

/// Sizes that a journal can have.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Sizes {
    Least,
    Usual,
    Aligned,
}

impl Sizes {
    const fn shape(self) -> Shape {
        match self {
            Self::Least => Shape { segment: 128, segments: 5, alignment: 8 },
            Self::Usual => Shape { segment: 256, segments: 8, alignment: 8 },
            Self::Aligned => Shape { segment: 512, segments: 4, alignment: 64 },
        }
    }
}

/// What becomes of the superblocks.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Superblocks {
    Whole,
    NewerLost,
    BothLost,
}

/// A journal that lives and is damaged.
#[derive(Arbitrary, Debug)]
pub struct Damaged {
    sizes: Sizes,
    trims_when_full: bool,
    superblocks: Superblocks,
    deeds: Vec<Deed>,
    harms: Vec<Harm>,
}

/// What is returned was written, and all that is whole is returned.
pub fn damage(input: &Damaged) {
    let shape = input.sizes.shape();
    let words = words(shape.bytes());
    let Some(medium) = memory(&words) else { return };
    let lived = live(&medium, shape, &input.deeds, input.trims_when_full);
    // More of them could make up a checksum together.
    let harms = input.harms.iter().take(4);
    let changed: Vec<_> = harms.flat_map(|harm| harm.apply(&medium)).collect();
    let claim = match input.superblocks {
        Superblocks::Whole => claims::damage_costs_what_it_touches,
        Superblocks::NewerLost => claims::the_newer_superblock_is_lost,
        Superblocks::BothLost => claims::superblocks_are_made_anew,
    };
    claim(&medium, &lived, &changed);
}

/// Bytes that may be anything.
#[derive(Arbitrary, Debug)]
pub struct Anything<'a> {
    /// A journal that the bytes are put over, or none.
    journal: Option<(Sizes, Vec<Deed>)>,
    /// Words that are put somewhere.
    patches: Vec<(u16, u64)>,
    /// Checksums are made right afterwards.
    is_sealed: bool,
    /// So many bytes of the end are missing.
    missing: u16,
    /// Both superblocks and the log, without what is between them.
    bytes: &'a [u8],
}

/// Nothing panics, everything ends, and what is read is consistent.
pub fn bytes(input: &Anything<'_>) {
    let shape = input.journal.as_ref().map_or(Sizes::Usual, |(sizes, _)| *sizes).shape();
    let words = words(shape.bytes());
    let Some(medium) = memory(&words) else { return };
    match &input.journal {
        Some((_, deeds)) => drop(live(&medium, shape, deeds, true)),
        None => put(&medium, input.bytes),
    }
    for (place, word) in &input.patches {
        medium.write(spread(*place, shape.bytes()), &word.to_le_bytes());
    }
    if input.is_sealed {
        seal::seal(&medium);
    }
    let left = words.len() - usize::from(input.missing) % words.len();
    let mut image = vec![0; left * 8];
    let Ok(()) = medium.read(0, &mut image);
    if let Ok(reader) = Reader::open(Bytes(&image)) {
        assert!(reader.salvage().count() < image.len());
    }
    let Some(medium) = memory(&words[..left]) else { return };
    claims::anything_is_read_to_an_end(&medium, shape);
}

/// Both superblocks, then the log.
fn put(medium: &Memory<'_>, bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len().min(128));
    let (second, log) = rest.split_at(rest.len().min(128));
    let log = &log[..log.len().min((medium.len() - LOG) as usize)];
    for (at, part) in [(0, first), (4096, second), (LOG, log)] {
        medium.write(at, part);
    }
}

/// The offset of one of the words that mean something.
fn spread(place: u16, bytes: u64) -> u64 {
    match u64::from(place) * 8 {
        at @ 0..128 => at,
        at @ 128..256 => at - 128 + 4096,
        at => LOG + (at - 256) % (bytes - LOG),
    }
}

fn words(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

/// Nothing, on a CPU without cache maintenance.
fn memory(words: &[AtomicU64]) -> Option<Memory<'_>> {
    Some(Memory::new(words, Cache::host().ok()?))
}
