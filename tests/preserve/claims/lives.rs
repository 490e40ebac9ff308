//! Lives of a store, from its creation to its bytes at the end.

use super::super::plain::Plain;
use super::harm::tags;
use cachemaint::medium::OpenError;
use cachemaint::preserve::{
    Attributes, Boot, Error, ErrorKind, Opened, Options, Store, Transaction, Verify,
};
use core::convert::Infallible;
use core::ops::Range;
use std::collections::BTreeMap;

/// The offset at which blobs and tables begin in a store with units of 64, by the documentation of the format.
pub(crate) const DATA: usize = 25_600;

/// The most bytes of a name and of metadata, which are fewer for fuzzers.
const NAME: usize = if cfg!(cachemaint_small_chunks) { 64 } else { 255 };
const METADATA: usize = if cfg!(cachemaint_small_chunks) { 64 } else { 4096 };

/// Lengths of blobs: of no chunk, of one and of several, at their boundaries and beside.
#[cfg_attr(not(fuzzing), expect(dead_code, reason = "strategies choose their own"))]
pub(crate) const LENGTHS: [u32; 16] =
    [0, 1, 8, 63, 64, 65, 128, 200, 1000, 2000, 4095, 4096, 4097, 8192, 8193, 12_000];

/// The options of each store, so that its identity is the same each time.
pub(crate) fn options() -> Options<'static> {
    Options::with_entropy([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]).unit(64)
}

/// The result of opening a store.
pub(crate) type Opening = Result<(Store<Plain>, Opened), OpenError<Plain, Error<Infallible>>>;

/// Opens a store and verifies its blobs.
pub(crate) fn open(medium: &Plain) -> Opening {
    options().verify(Verify::Always).open(medium.clone())
}

/// One operation in a transaction.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Deed {
    Put {
        name: u8,
        #[cfg_attr(fuzzing, arbitrary(with = length))]
        len: u32,
        metadata: u8,
    },
    /// A blob is put piece by piece, with an unknown length.
    Stream {
        name: u8,
        #[cfg_attr(fuzzing, arbitrary(with = length))]
        len: u32,
        metadata: u8,
    },
    Delete(u8),
    Rename(u8, u8),
    /// A region of one page, or of two.
    Region {
        name: u8,
        twice: bool,
        metadata: u8,
    },
}

#[cfg(fuzzing)]
fn length(unstructured: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<u32> {
    unstructured.choose(&LENGTHS).copied()
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum End {
    Commit,
    Abandon,
    /// The transaction is committed, and the store sealed.
    Seal,
    /// The transaction is committed, and the store opened again.
    Reopen,
}

/// A transaction.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) struct Step {
    pub(crate) deeds: Vec<Deed>,
    pub(crate) end: End,
}

/// A blob as it was put, or a region, whose bytes are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) version: u64,
    pub(crate) metadata: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_region: bool,
}

/// Blobs and regions by name.
pub(crate) type Blobs = BTreeMap<String, Kept>;

/// Short ones, one of several bytes a letter, and the longest; then many.
pub(crate) fn name(number: u8) -> String {
    match number % 36 {
        0 => "a".into(),
        1 => "b".into(),
        2 => "state/of a longer name".into(),
        3 => "äöü".into(),
        4 => "z".repeat(NAME),
        5 => "c".into(),
        many => format!("n{}", many * 7 % 31),
    }
}

/// Not two numbers have the same.
pub(crate) fn kept(number: u64, len: u32, metadata: u8) -> Kept {
    const WORDS: u64 = 16;

    // In blocks: a fuzzer counts each turn of a loop.
    let block = |block| {
        core::array::from_fn::<_, { WORDS as usize }, _>(|at| {
            noise(number, block * WORDS + at as u64).to_le_bytes()
        })
    };
    let blocks = (0..u64::from(len).div_ceil(8 * WORDS)).map(block);
    let mut bytes = blocks.collect::<Vec<_>>().into_flattened().into_flattened();
    bytes.truncate(len as usize);
    let metadata = vec![number as u8; METADATA.min(usize::from(metadata) * 16)];
    Kept { version: number, metadata, bytes, is_region: false }
}

/// Steele, Lea and Flood's `SplitMix64`.
pub(super) fn noise(seed: u64, at: u64) -> u64 {
    let state = (seed << 32 | at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Does it, to the blobs too; what was refused is done to neither.
pub(crate) fn apply(
    deed: &Deed,
    number: u64,
    transaction: &mut Transaction<'_, Plain>,
    blobs: &mut Blobs,
) -> Result<(), Error<Infallible>> {
    match *deed {
        Deed::Put { name: of, len, metadata } | Deed::Stream { name: of, len, metadata } => {
            let (name, kept) = (name(of), kept(number, len, metadata));
            let attributes = Attributes::new(&name).version(kept.version).metadata(&kept.metadata);
            if matches!(deed, Deed::Put { .. }) {
                transaction.put(attributes, &kept.bytes)?;
            } else {
                transaction.put_with(attributes, kept.bytes.len() as u64, |writer| {
                    kept.bytes.chunks(5000).try_for_each(|piece| writer.append(piece))
                })?;
            }
            blobs.insert(name, kept);
        }
        Deed::Delete(of) => {
            transaction.delete(&name(of))?;
            blobs.remove(&name(of)).unwrap();
        }
        Deed::Rename(from, to) => {
            transaction.rename(&name(from), &name(to))?;
            let renamed = blobs.remove(&name(from)).unwrap();
            assert_eq!(blobs.insert(name(to), renamed), None);
        }
        Deed::Region { name: of, twice, metadata } => {
            let (name, kept) = (name(of), Kept { is_region: true, ..kept(number, 0, metadata) });
            let attributes = Attributes::new(&name).version(kept.version).metadata(&kept.metadata);
            transaction.create_region(attributes, if twice { 8192 } else { 4096 })?;
            blobs.insert(name, kept);
        }
    }
    Ok(())
}

/// The image of a store after all steps, and the contents expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Lived {
    pub(crate) image: Vec<u8>,
    pub(super) generation: u64,
    pub(crate) last: Blobs,
    /// The commit before.
    pub(super) before: Blobs,
    pub(super) history: Vec<Boot>,
    /// Each blob with all that belongs to it.
    pub(crate) places: Vec<Range<u64>>,
}

/// Creates a store of so many bytes and does all steps. Those without room are skipped.
pub(crate) fn live(bytes: usize, steps: &[Step]) -> Lived {
    let medium = Plain::zeros(bytes);
    let mut store = options().create_new(medium.clone()).unwrap();
    let (mut last, mut before) = (Blobs::new(), Blobs::new());
    for (step, number) in steps.iter().zip((0..).step_by(100)) {
        let (mut blobs, generation) = (last.clone(), store.generation());
        let mut transaction = store.begin().unwrap();
        for (deed, number) in step.deeds.iter().zip(number..) {
            match apply(deed, number, &mut transaction, &mut blobs) {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Full { .. }
                            | ErrorKind::NotFound { .. }
                            | ErrorKind::NameTaken { .. }
                            | ErrorKind::NotABlob { .. }
                    ) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if matches!(step.end, End::Abandon) {
            continue;
        }
        if transaction.commit().unwrap() > generation {
            before = core::mem::replace(&mut last, blobs);
        }
        match step.end {
            End::Commit | End::Abandon => continue,
            End::Seal => drop(store.seal().unwrap()),
            End::Reopen => {
                drop(store);
                store = options().open(medium.clone()).unwrap().0;
            }
        }
        before.clone_from(&last);
    }
    let snapshot = store.snapshot().unwrap();
    let history = snapshot.history().unwrap().map(Result::unwrap).collect();
    let infos = snapshot.entries().map(Result::unwrap);
    let places = infos.map(|info| info.offset..tags(&info).end).collect();
    Lived { image: medium.bytes(), generation: store.generation(), last, before, history, places }
}
