//! The journal's targets.

#[path = "../../../crates/journal/tests/journal/claims.rs"]
mod claims;
mod forge;
mod seal;
mod work;

use crate::allocation;
use crate::bad_blocks::BadBlocks;
use crate::image::Image;
use crate::value::Missing;
use arbitrary::Arbitrary;
use cachemaint::medium::{Bytes, Medium as _, Readable as _};
use cachemaint_journal::Reader;
use claims::{Deed, Harm, LOG, Remains, Shape, live};
use forge::Edit;

/// Sizes that a journal can have.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Sizes {
    Least,
    Usual,
    Pages,
}

impl Sizes {
    const fn shape(self) -> Shape {
        match self {
            Self::Least => Shape { segment: 128, segments: 5, is_powersafe: true },
            Self::Usual => Shape { segment: 256, segments: 8, is_powersafe: true },
            Self::Pages => Shape { segment: 8192, segments: 3, is_powersafe: false },
        }
    }

    fn medium(self) -> Image {
        Image::zeros(self.shape().bytes() as usize)
    }
}

/// What happens to the roots.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Roots {
    Whole,
    CopyLost,
    NewestLost,
}

/// A damaged journal.
#[derive(Arbitrary, Debug)]
pub struct Damaged {
    sizes: Sizes,
    remains: Remains,
    trims_when_full: bool,
    roots: Roots,
    /// Bytes that cannot be read even before any damage: their first word in the log, and their number.
    bad: (u16, u8),
    deeds: Vec<Deed>,
    harms: Vec<Harm>,
}

/// The maximum number of operations in an input. More take longer and reach nothing new.
const DEEDS: usize = 48;

/// Only written records are returned, and all intact ones are.
pub fn damage(input: &Damaged) {
    allocation::bounded(input.sizes.shape().bytes(), || damage_of(input));
}

fn damage_of(input: &Damaged) {
    let (shape, medium) = (input.sizes.shape(), input.sizes.medium());
    let deeds = &input.deeds[..input.deeds.len().min(DEEDS)];
    put_remains(&input.remains, &medium, shape);
    let lived = live(&medium, shape, deeds, input.trims_when_full);
    let words = (medium.len() - LOG) / 8;
    let from = u64::from(input.bad.0) % words;
    let bad: Vec<_> = (from..words).take(input.bad.1.into()).collect();
    let range = LOG + from * 8..LOG + (from + bad.len() as u64) * 8;
    let bytes = medium.bytes();
    let unreadable = BadBlocks::new(&bytes, Some(range).filter(|range| !range.is_empty()));
    claims::bad_bytes_cost_what_they_touch(&unreadable, &lived, &bad);
    // More of them could combine to form a tag.
    let harms = input.harms.iter().take(4);
    let changed: Vec<_> = harms.flat_map(|harm| harm.apply(&medium)).collect();
    work::is_bounded(&medium);
    let claim = match input.roots {
        Roots::Whole => claims::damage_costs_what_it_touches,
        Roots::CopyLost => claims::a_copy_of_the_root_is_lost,
        Roots::NewestLost => claims::the_newest_root_is_lost,
    };
    claim(&medium, &lived, &changed);
}

/// Arbitrary bytes.
#[derive(Arbitrary, Debug)]
pub struct Anything<'a> {
    sizes: Sizes,
    remains: Remains,
    /// The history of the journal, or `None` for a medium of zeros.
    journal: Option<Vec<Deed>>,
    /// Changes, including correct tags.
    edits: Vec<Edit>,
    missing: Missing,
    /// The roots and the log, if there is no journal.
    bytes: &'a [u8],
}

/// Nothing panics, everything ends after bounded work, and the result of reading is consistent.
pub fn bytes(input: &Anything<'_>) {
    allocation::bounded(input.sizes.shape().bytes(), || bytes_of(input));
}

fn bytes_of(input: &Anything<'_>) {
    let (shape, medium) = (input.sizes.shape(), input.sizes.medium());
    put_remains(&input.remains, &medium, shape);
    match &input.journal {
        Some(deeds) => drop(live(&medium, shape, &deeds[..deeds.len().min(DEEDS)], true)),
        None => put(&medium, input.bytes),
    }
    input.edits.iter().take(16).for_each(|edit| edit.apply(&medium));
    let left = input.missing.left(medium.len() as usize);
    let medium = medium.copy(left);
    if let Ok(reader) = Reader::open(Bytes(&medium.bytes())) {
        assert!(reader.salvage().unwrap().count() < left);
    }
    work::is_bounded(&medium);
    claims::anything_is_read_to_an_end(&medium, shape);
}

/// Puts remains of something else into a medium, without excess operations of an input.
fn put_remains(remains: &Remains, medium: &Image, shape: Shape) {
    match remains {
        Remains::Journal(deeds) => {
            let deeds = deeds[..deeds.len().min(DEEDS)].to_vec();
            Remains::Journal(deeds).put(medium, shape);
        }
        other => other.put(medium, shape),
    }
}

/// The first two roots, each with its copy, then the log.
fn put(medium: &Image, bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len().min(128));
    let (second, log) = rest.split_at(rest.len().min(128));
    let log = &log[..log.len().min((medium.len() - LOG) as usize)];
    for (at, part) in [(0, first), (4096, second), (8192, first), (12288, second), (LOG, log)] {
        medium.write(at, part);
    }
}
