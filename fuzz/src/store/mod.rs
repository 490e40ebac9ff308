//! The store's targets.

#[path = "../../../crates/store/tests/store/seal.rs"]
mod seal;

use crate::allocation;
use crate::image::Image;
use crate::value::Missing;
use arbitrary::Arbitrary;
use cachemaint::medium::Readable;
use cachemaint_store::{Attributes, Content, ErrorKind, Info, Options, Reader};
use std::collections::BTreeMap;

/// The size of a store in bytes: the smallest log, and some space.
const BYTES: usize = 64 << 10;

/// One operation in a transaction.
#[derive(Arbitrary, Clone, Debug)]
enum Deed {
    Put { name: u8, len: u16, metadata: u8 },
    Delete(u8),
    Rename(u8, u8),
    Region(u8),
    Commit,
    Seal,
    Reopen,
}

/// A change to a store's bytes.
#[derive(Arbitrary, Clone, Debug)]
enum Edit {
    /// Anywhere.
    Word { at: u16, word: u64 },
    /// In a root, the head of a record or an entry.
    Field { place: u16, word: u64, bits: bool },
    /// Correct tags.
    Seal,
}

/// A damaged store.
#[derive(Arbitrary, Debug)]
pub struct Damaged {
    deeds: Vec<Deed>,
    /// The places and the bits to flip.
    flips: Vec<(u16, u8)>,
}

/// Arbitrary bytes.
#[derive(Arbitrary, Debug)]
pub struct Anything<'a> {
    /// The history of the store, or `None` for a medium of other bytes.
    store: Option<Vec<Deed>>,
    edits: Vec<Edit>,
    missing: Missing,
    bytes: &'a [u8],
}

fn options() -> Options {
    Options::with_entropy([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]).unit(64)
}

fn name(number: u8) -> String {
    format!("n{}", number % 12)
}

fn content(number: u8, len: u16) -> Vec<u8> {
    (0..len % 9000).map(|at| number.wrapping_mul(31) ^ at.to_le_bytes()[0]).collect()
}

/// The blobs of a store, by name.
type Blobs = BTreeMap<String, Vec<u8>>;

/// Creates a store, applies the operations and drops it, which closes it. Returns its bytes, and its blobs after the
/// last commit.
fn live(deeds: &[Deed]) -> (Vec<u8>, Blobs) {
    let medium = Image::new(&vec![0; BYTES]);
    let mut store = options().create_new(medium.clone()).unwrap().0;
    let mut last = Blobs::new();
    let mut rest = deeds.iter().take(40).peekable();
    while rest.peek().is_some() {
        let mut blobs = last.clone();
        let mut transaction = store.begin().unwrap();
        let mut end = None;
        for deed in rest.by_ref() {
            match *deed {
                Deed::Put { name: of, len, metadata } => {
                    let metadata = vec![of; usize::from(metadata % 64)];
                    let (name, bytes) = (name(of), content(of, len));
                    let attributes = Attributes::new(&name).metadata(&metadata);
                    if transaction.put(attributes, &bytes).is_ok() {
                        blobs.insert(name, bytes);
                    }
                }
                Deed::Delete(of) => {
                    if transaction.delete(&name(of)).is_ok() {
                        blobs.remove(&name(of));
                    }
                }
                Deed::Rename(from, to) => {
                    if transaction.rename(&name(from), &name(to)).is_ok()
                        && let Some(moved) = blobs.remove(&name(from))
                    {
                        blobs.insert(name(to), moved);
                    }
                }
                Deed::Region(of) => drop(transaction.create_region(&name(of), 4096)),
                Deed::Commit | Deed::Seal | Deed::Reopen => {
                    end = Some(deed);
                    break;
                }
            }
        }
        transaction.commit().unwrap();
        last = blobs;
        match end {
            Some(Deed::Seal) => drop(store.seal().unwrap()),
            Some(Deed::Reopen) => {
                drop(store);
                store = options().open(medium.clone()).unwrap().0;
            }
            _ => {}
        }
    }
    drop(store);
    (medium.bytes(), last)
}

/// The last acknowledged value is returned, or an error names it, unless both mirrors of the last record are damaged.
pub fn damage(input: &Damaged) {
    allocation::bounded(BYTES as u64, || damage_of(input));
}

fn damage_of(input: &Damaged) {
    let (mut image, last) = live(&input.deeds);
    let whole = image.clone();
    for (at, bit) in input.flips.iter().take(4) {
        image[usize::from(*at)] ^= 1 << (bit % 8);
    }
    if is_last_record_lost(&whole, &image) {
        return;
    }
    let medium = Image::new(&image);
    let is_last_or_damaged = |found: Result<Vec<u8>, ErrorKind<_>>, bytes: &Vec<u8>| match found {
        Ok(found) => found == *bytes,
        Err(error) => matches!(error, ErrorKind::Damaged(_)),
    };
    if let Ok(snapshot) = Reader::open(&medium) {
        for (name, bytes) in &last {
            let found = snapshot.load(name).map_err(ErrorKind::from);
            assert!(is_last_or_damaged(found, bytes), "a reader: {name}");
        }
        let mut names = snapshot.entries();
        let is_there =
            |info: &Info| info.content == Content::Region || last.contains_key(&*info.name);
        assert!(
            names.all(|entry| entry.is_ok_and(|(info, _)| is_there(&info))) || !is_whole(&snapshot)
        );
    }
    if let Ok((store, _)) = options().verify().open(medium) {
        for (name, bytes) in &last {
            let found = store.load(name).map_err(ErrorKind::from);
            assert!(is_last_or_damaged(found, bytes), "a writer: {name}");
        }
    }
}

/// Returns true if the last record is damaged in both mirrors.
fn is_last_record_lost(whole: &[u8], image: &[u8]) -> bool {
    let (Some(log), Some(last)) = (seal::log(whole), seal::positions(whole).pop()) else {
        return true;
    };
    let differs = |mirror: &usize| {
        let record = mirror + last.start..mirror + last.end;
        whole[record.clone()] != image[record]
    };
    log.mirrors.iter().all(differs)
}

fn is_whole<R: Readable>(reader: &Reader<R>) -> bool {
    reader.verify().is_ok_and(|found| found.is_whole())
}

/// Nothing panics, and everything ends after bounded work.
pub fn bytes(input: &Anything<'_>) {
    allocation::bounded(BYTES as u64, || bytes_of(input));
}

fn bytes_of(input: &Anything<'_>) {
    let mut image = match &input.store {
        Some(deeds) => live(deeds).0,
        None => {
            let mut image = vec![0; BYTES];
            let len = input.bytes.len().min(BYTES);
            image[..len].copy_from_slice(&input.bytes[..len]);
            image
        }
    };
    input.edits.iter().take(16).for_each(|edit| edit.apply(&mut image));
    image.truncate(input.missing.left(image.len()));
    let medium = Image::new(&image);
    let most = 200 * (medium.len() + BYTES as u64);
    let (_, looks) = medium.cost(|medium| {
        let Ok(snapshot) = Reader::open(medium) else { return };
        drop(snapshot.verify());
        snapshot.entries().for_each(drop);
    });
    assert!(looks <= most, "{looks} bytes were read");
    let (opened, looks) = medium.cost(|medium| options().verify().open(medium.clone()));
    assert!(looks <= most, "{looks} bytes were read");
    let Ok((mut store, _)) = opened else { return };
    let Ok(mut transaction) = store.begin() else { return };
    for (name, len) in [("new", 1000), ("value", 10)] {
        match transaction.put(name, &vec![1; len]).map_err(ErrorKind::from) {
            Ok(()) | Err(ErrorKind::Full { .. } | ErrorKind::OtherContent { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    if transaction.commit().is_ok() {
        let names = store.list().count();
        drop(store);
        assert_eq!(options().open(medium).unwrap().0.list().count(), names);
    }
}

impl Edit {
    fn apply(&self, image: &mut [u8]) {
        match *self {
            Self::Word { at, word } => seal::put(image, at.into(), word),
            Self::Field { place, word, bits } => {
                let mut places: Vec<usize> = [0, 4096, 8192, 12_288]
                    .into_iter()
                    .flat_map(|slot| (1..13).map(move |word| slot + word * 8))
                    .collect();
                if let Some(log) = seal::log(image) {
                    for mirror in log.mirrors {
                        for record in seal::records(image, mirror, log.capacity) {
                            places.extend((0..8).map(|word| record.start + word * 8));
                            for entry in seal::entries(image, &record) {
                                places.extend((0..8).map(|word| entry + word * 8));
                            }
                        }
                    }
                }
                let at = places[usize::from(place) % places.len()];
                let old = seal::u64_at(image, at);
                seal::put(image, at, if bits { old ^ word } else { word });
            }
            Self::Seal => seal::seal(image),
        }
    }
}
