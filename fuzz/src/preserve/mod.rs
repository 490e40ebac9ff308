//! The targets of the store of preserved state.

#[path = "../../../tests/preserve/claims.rs"]
mod claims;
#[path = "../../../tests/preserve/plain.rs"]
mod plain;
#[path = "../../../tests/preserve/seal.rs"]
mod seal;

use arbitrary::Arbitrary;
use claims::{DATA, Harm, Step, live};

/// Sizes that a store can have.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Sizes {
    Small,
    /// Room for a blob of several chunks.
    Large,
}

impl Sizes {
    const fn bytes(self) -> usize {
        DATA + match self {
            Self::Small => 6144,
            Self::Large => 200_000,
        }
    }
}

/// A store that lives and is damaged.
#[derive(Arbitrary, Debug)]
pub struct Damaged {
    sizes: Sizes,
    steps: Vec<Step>,
    harms: Vec<Harm>,
}

/// What is returned was committed, and all that is whole is returned.
pub fn damage(input: &Damaged) {
    let lived = live(input.sizes.bytes(), &input.steps[..input.steps.len().min(12)]);
    let mut after = lived.image.clone();
    // More of them could make up a tag together.
    input.harms.iter().take(4).for_each(|harm| harm.apply(&lived, &mut after));
    claims::damage_costs_what_it_touches(&lived, &after);
}

/// Bytes that may be anything.
#[derive(Arbitrary, Debug)]
pub struct Anything<'a> {
    sizes: Sizes,
    /// A store that the bytes are put over, or none.
    store: Option<Vec<Step>>,
    /// Words that are put somewhere.
    patches: Vec<(u16, u64)>,
    /// Tags are made right afterwards.
    is_sealed: bool,
    /// So many bytes of the end are missing.
    missing: u16,
    /// Headers, histories, and what follows, without what is between them.
    bytes: &'a [u8],
}

/// Nothing panics, everything ends, and what is read is consistent.
pub fn bytes(input: &Anything<'_>) {
    let mut image = match &input.store {
        Some(steps) => live(input.sizes.bytes(), &steps[..steps.len().min(8)]).image,
        None => put(vec![0; input.sizes.bytes()], input.bytes),
    };
    let places: Vec<usize> = meaningful(&image).collect();
    for (place, word) in &input.patches {
        let at = places[usize::from(*place) % places.len()];
        image[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    if input.is_sealed {
        seal::seal(&mut image);
    }
    image.truncate(image.len() - usize::from(input.missing) % image.len() / 8 * 8);
    claims::anything_is_read_to_an_end(&image);
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

/// Where words are that mean something: those of headers, tables, and some of blobs.
fn meaningful(image: &[u8]) -> impl Iterator<Item = usize> {
    let headers = [0, 4096, 8192, 12_288].into_iter().flat_map(|at| (at..at + 64).step_by(8));
    let tables: Vec<usize> = seal::tables(image).flat_map(|table| table.step_by(8)).collect();
    let words = (DATA..image.len() - 7).step_by(8);
    headers.chain(tables).chain(words.take(512)).chain([16_384, 20_992])
}
