//! The targets of the store of preserved state.

#[path = "../../../tests/preserve/claims/mod.rs"]
mod claims;
mod forge;
#[path = "../../../tests/preserve/seal.rs"]
mod seal;
mod work;

/// The medium of the claims.
mod plain {
    use crate::image::Image;

    pub(super) type Plain = Image;
}

use crate::allocation;
use crate::image::Image;
use crate::value::Missing;
use arbitrary::Arbitrary;
use claims::harm::Harm;
use claims::lives::{DATA, Step, live};
use core::ops::Range;
use forge::Edit;

/// Sizes that a store can have.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Sizes {
    Small,
    /// Space for several blobs of several chunks.
    Large,
}

impl Sizes {
    const fn bytes(self) -> usize {
        DATA + match self {
            Self::Small => 8192,
            Self::Large => 49_152,
        }
    }
}

/// A damaged store.
#[derive(Arbitrary, Debug)]
pub struct Damaged {
    sizes: Sizes,
    steps: Vec<Step>,
    harms: Vec<Harm>,
}

/// The greatest number of transactions of an input, and of operations of each. More take longer and
/// reach nothing new.
const STEPS: usize = 6;
const DEEDS: usize = 6;

fn limited(steps: &[Step]) -> Vec<Step> {
    let mut steps = steps[..steps.len().min(STEPS)].to_vec();
    steps.iter_mut().for_each(|step| step.deeds.truncate(DEEDS));
    steps
}

/// Only committed bytes are returned, and all whole ones are.
pub fn damage(input: &Damaged) {
    allocation::bounded(input.sizes.bytes() as u64, || damage_of(input));
}

fn damage_of(input: &Damaged) {
    let lived = live(input.sizes.bytes(), &limited(&input.steps));
    let mut after = lived.image.clone();
    // More of them could make up a tag together.
    input.harms.iter().take(4).for_each(|harm| harm.apply(&lived, &mut after));
    let medium = Image::new(&after);
    work::is_bounded(&medium);
    claims::damage_costs_what_it_touches_in(&medium, &lived, &after, work::open);
}

/// Any bytes.
#[derive(Arbitrary, Debug)]
pub struct Anything<'a> {
    sizes: Sizes,
    /// The history of the store, or `None` for a medium of zeros.
    store: Option<Vec<Step>>,
    /// Changes, among them correct tags.
    edits: Vec<Edit>,
    missing: Missing,
    /// Headers, histories, and the rest, if there is no store.
    bytes: &'a [u8],
}

/// Nothing panics, everything ends after bounded work, and the result of reading is consistent.
pub fn bytes(input: &Anything<'_>) {
    allocation::bounded(input.sizes.bytes() as u64, || bytes_of(input));
}

fn bytes_of(input: &Anything<'_>) {
    let lived = input.store.as_ref().map(|steps| live(input.sizes.bytes(), &limited(steps)));
    let mut image = match &lived {
        Some(lived) => lived.image.clone(),
        None => put(vec![0; input.sizes.bytes()], input.bytes),
    };
    input.edits.iter().take(16).for_each(|edit| edit.apply(lived.as_ref(), &mut image));
    image.truncate(input.missing.left(image.len()));
    let medium = Image::new(&image);
    work::is_bounded(&medium);
    claims::anything_is_read_to_an_end(&medium, work::open);
}

/// The headers, the first boots of both histories, and all that follows them.
fn put(mut image: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let places = [(0, 64), (4096, 64), (8192, 64), (12_288, 64), (16_384, 144), (20_992, 144)];
    let mut rest = bytes;
    for (at, len) in places.into_iter().chain([(DATA, image.len() - DATA)]) {
        let (part, behind) = rest.split_at(rest.len().min(len));
        image[at..at + part.len()].copy_from_slice(part);
        rest = behind;
    }
    image
}

/// Returns one of the places of words with a meaning: of headers, tables, blobs and histories. Numbers go round and
/// round.
fn meaningful(image: &[u8], number: usize) -> usize {
    let headers = [0, 4096, 8192, 12_288].map(|at| at..at + 64);
    let blobs = DATA..image.len().min(DATA + 4096);
    let histories = [16_384, 20_992].map(|at| at..at + 8);
    // Forged tables can have more words than the medium, as they overlap: these are not kept.
    let parts: Vec<_> =
        headers.into_iter().chain(seal::tables(image)).chain([blobs]).chain(histories).collect();
    let words = |part: &Range<usize>| part.len().div_ceil(8);
    let mut left = number % parts.iter().map(words).sum::<usize>();
    for part in &parts {
        if left < words(part) {
            return part.start + left * 8;
        }
        left -= words(part);
    }
    unreachable!("the number is one of a word")
}
