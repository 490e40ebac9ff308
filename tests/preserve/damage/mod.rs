//! Damaged stores and arbitrary bytes: what is returned was committed, what is whole is returned, nothing panics.

mod forged;

use crate::claims::harm::{Area, Harm, Kind};
use crate::claims::lives::{DATA, Deed, End, Lived, Step, kept, live, open, options};
use crate::claims::{anything_is_read_to_an_end, damage_costs_what_it_touches, found, whole};
use crate::life::why;
use crate::plain::Plain;
use crate::seal::tables;
use cachemaint::medium::{Bytes, Medium as _};
use cachemaint::preserve::{Damage, ErrorKind, Part, Reader, Snapshot, Store, Verification};
use core::ops::Range;
use forged::forged;
use proptest::prelude::*;

/// A blob with metadata, an empty one, and one that was replaced, in a store that was opened twice.
fn small() -> Lived {
    let put = |name, len, metadata| Deed::Put { name, len, metadata };
    live(
        DATA + 4096,
        &[
            Step { deeds: vec![put(0, 30, 0), put(1, 0, 0)], end: End::Reopen },
            Step { deeds: vec![put(0, 90, 1)], end: End::Commit },
        ],
    )
}

/// Blobs of several chunks.
fn large() -> Lived {
    let put = |name, len, metadata| Deed::Put { name, len, metadata };
    let deeds = vec![put(0, 300_000, 0), put(3, 70_001, 2), put(1, 65_536, 0)];
    live(DATA + 500_000, &[Step { deeds, end: End::Commit }])
}

fn bits_are_flipped(lived: &Lived, bits: impl Iterator<Item = usize>) {
    let mut image = lived.image.clone();
    for bit in bits {
        image[bit / 8] ^= 1 << (bit % 8);
        damage_costs_what_it_touches(lived, &image);
        image[bit / 8] ^= 1 << (bit % 8);
    }
}

fn bits(range: &Range<u64>) -> Range<usize> {
    range.start as usize * 8..range.end as usize * 8
}

#[test]
fn each_bit_of_headers_histories_tables_and_a_blob_is_proved() {
    let lived = small();
    let headers = [0, 4096, 8192, 12_288].map(|at| at..at + 64);
    let histories = [16_384, 16_384 + 4608].map(|at| at..at + 144);
    let all = headers.into_iter().chain(histories).chain(lived.tables());
    let all: Vec<_> = all.chain(lived.places.iter().cloned()).collect();
    bits_are_flipped(&lived, all.iter().flat_map(bits));
}

#[test]
fn a_bit_of_a_chunk_costs_that_chunk() {
    let lived = large();
    // One in some thousand bytes, and each of the last 40, where lists of tags are.
    for place in &lived.places {
        let end = place.end as usize * 8;
        bits_are_flipped(&lived, bits(place).step_by(8 * 9973 + 1));
        bits_are_flipped(&lived, (end - 40 * 8..end).step_by(5));
    }
}

#[test]
fn a_truncated_store_is_refused_or_read_as_it_was() {
    let lived = small();
    for len in (0..lived.image.len()).step_by(64) {
        damage_costs_what_it_touches(&lived, &lived.image[..len]);
    }
}

/// The reader of the message has a damaged store, and must know which blobs are left.
#[test]
fn damage_is_reported_with_its_remedy() {
    let mut lived = small();
    let (history, blob) = (16_384 + 4608, lived.places[0].start as usize);
    lived.image[history] ^= 1;
    lived.image[blob] ^= 1;
    let reader = Reader::open(Bytes(&lived.image)).unwrap();
    let error = reader.load("a").unwrap_err().to_string();
    let expected = format!(
        "the blob from its byte 0 on is damaged (90 bytes at offset {blob}); put the blob anew from where it came; \
         other blobs can still be loaded, and `verify` names those that cannot"
    );
    assert_eq!(error, expected);
    assert!(reader.load("b").unwrap().is_empty());
    let error = reader.snapshot().unwrap().history().map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("the history is damaged ("), "{error}");
    assert!(error.ends_with("; open the store to write it, which begins a new history"), "{error}");
    options().open(Plain::new(lived.image.clone())).unwrap();

    for table in lived.tables() {
        lived.image[table.start as usize] ^= 1;
    }
    let error = Reader::open(Bytes(&lived.image)).unwrap_err().to_string();
    assert!(error.starts_with("the table, in both copies, is damaged ("), "{error}");
    assert!(error.ends_with("so bring the store back from a copy"), "{error}");

    // The second blob's place is the first one's.
    let image = forged(&[], [&[], &[(0, DATA as u64)], &[]]);
    let error = options().open(Plain::new(image.clone())).unwrap_err().to_string();
    assert!(error.starts_with("an entry of the table is damaged ("), "{error}");
    let remedy = "or put the blobs that can still be loaded into a new one";
    assert!(error.ends_with(remedy), "{error}");
    assert_eq!(Reader::open(Bytes(&image)).unwrap().load("a").unwrap().len(), 30);
}

/// Bytes of a chunk.
const CHUNK: usize = 65_536;

/// Bytes whose chunks end with their own CRC32C, as the frames of many formats do. A CRC32C over such a chunk is the same
/// whatever the rest of the chunk says.
fn framed(number: u64, chunks: &[usize]) -> Vec<u8> {
    let framed = chunks.iter().zip(number..).flat_map(|(len, number)| {
        let mut chunk = kept(number, *len as u32 - 4, 0).bytes;
        chunk.extend(crc32c::crc32c(&chunk).to_le_bytes());
        chunk
    });
    framed.collect()
}

fn put(store: &mut Store<Plain>, name: &str, bytes: &[u8]) -> usize {
    let mut transaction = store.begin().unwrap();
    transaction.put(name, bytes).unwrap();
    transaction.commit().unwrap();
    store.reader().stat(name).unwrap().unwrap().offset as usize
}

fn is_damaged_at(image: &[u8], name: &str, part: Part) {
    match Reader::open(Bytes(image)).unwrap().load(name) {
        Err(error) => {
            let ErrorKind::Damaged(damage) = error.kind() else { panic!("{error}") };
            assert_eq!(damage.part, part);
        }
        Ok(_) => panic!("{name} is taken for whole"),
    }
}

#[test]
fn bytes_of_another_blob_that_end_with_their_checksum_are_damage() {
    for chunks in [&[300][..], &[CHUNK], &[CHUNK, 300]] {
        let medium = Plain::new(vec![0; DATA + 400_000]);
        let mut store = options().create_new(medium.clone()).unwrap();
        let bytes = framed(0, chunks);
        let from = put(&mut store, "a", &bytes);
        let to = put(&mut store, "b", &framed(10, chunks));
        let mut image = medium.bytes();
        image.copy_within(from..from + bytes.len(), to);
        is_damaged_at(&image, "b", Part::Bytes { at: 0 });
        // With the list of its tags, where there is one.
        if chunks.len() > 1 {
            image.copy_within(from..from + bytes.len().next_multiple_of(8) + 8 * chunks.len(), to);
            is_damaged_at(&image, "b", Part::Tags);
        }
    }
}

#[test]
fn another_chunk_of_a_blob_that_ends_with_its_checksum_is_damage() {
    let medium = Plain::new(vec![0; DATA + 400_000]);
    let mut store = options().create_new(medium.clone()).unwrap();
    let at = put(&mut store, "a", &framed(0, &[CHUNK, CHUNK, CHUNK]));
    let mut image = medium.bytes();
    image.copy_within(at..at + CHUNK, at + CHUNK);
    is_damaged_at(&image, "a", Part::Bytes { at: CHUNK as u64 });
}

/// As if the write of the newer one had been lost.
#[test]
fn bytes_of_an_older_blob_in_the_same_place_are_damage() {
    for chunks in [&[300][..], &[CHUNK], &[CHUNK, CHUNK, 300]] {
        let medium = Plain::new(vec![0; DATA + 600_000]);
        let mut store = options().create_new(medium.clone()).unwrap();
        let older = framed(0, chunks);
        let at = put(&mut store, "a", &older);
        let before = medium.bytes();
        let mut numbers = (10..).step_by(10);
        while put(&mut store, "a", &framed(numbers.next().unwrap(), chunks)) != at {}
        let end = older.len().next_multiple_of(8);
        for (chunk, len) in (0..).step_by(CHUNK).zip(chunks) {
            let mut image = medium.bytes();
            let range = at + chunk..at + chunk + len;
            image[range.clone()].copy_from_slice(&before[range]);
            is_damaged_at(&image, "a", Part::Bytes { at: chunk as u64 });
            if chunks.len() > 1 {
                // The chunk's tag is put back, too.
                let tag = at + end + chunk / CHUNK * 8;
                image[tag..tag + 8].copy_from_slice(&before[tag..tag + 8]);
                is_damaged_at(&image, "a", Part::Tags);
            }
        }
    }
}

/// A commit that a crash undid has the generation of the one that followed, and its table the same place and length.
#[test]
fn the_table_of_a_commit_that_was_undone_is_damage() {
    let medium = Plain::new(vec![0; DATA + 4096]);
    drop(options().create_new(medium.clone()).unwrap());
    let before = medium.bytes();
    let [undone, mut image] = [1, 2].map(|byte| {
        let medium = Plain::new(before.clone());
        let (mut store, _) = options().open(medium.clone()).unwrap();
        put(&mut store, "a", &[byte; 100]);
        medium.bytes()
    });
    assert!(tables(&undone).eq(tables(&image)));
    for table in tables(&undone) {
        image[table.clone()].copy_from_slice(&undone[table]);
    }
    let opened = Reader::open(Bytes(&image));
    let is_refused = matches!(
        opened.as_ref().map_err(why),
        Err(ErrorKind::Damaged(Damage { part: Part::Table, .. }))
    );
    assert!(is_refused, "{opened:?}");
}

/// A store of two commits since its creation, and the place of the header of the last one, which damage can undo.
fn committed_twice() -> (Vec<u8>, usize) {
    let medium = Plain::new(vec![0; DATA + 4096]);
    let mut store = options().create_new(medium.clone()).unwrap();
    assert!(verified(&medium.bytes()).is_whole(), "a creation writes one header");
    put(&mut store, "a", b"kept");
    put(&mut store, "a", b"undone");
    (medium.bytes(), store.generation() as usize % 2 * 4096)
}

fn verified(image: &[u8]) -> Verification {
    Snapshot::of(&Bytes(image)).unwrap().verify(&mut |_| ()).unwrap()
}

/// Returns the damaged parts beside blobs.
fn copies(image: &[u8]) -> Vec<Part> {
    verified(image).copies.iter().map(|damage| damage.part).collect()
}

/// Without both copies of the newer header, the commit before is current.
#[test]
fn a_commit_that_damage_may_have_undone_is_reported_until_the_next_opening() {
    let (mut image, place) = committed_twice();
    let whole = Snapshot::of(&Bytes(&image)).unwrap().generation();
    assert!(verified(&image).is_whole());
    image[place + 24] ^= 1;
    assert!(copies(&image).iter().all(|part| *part == Part::Header));
    image[place + 8192 + 24] ^= 1;
    let found = verified(&image).copies;
    let [Damage { part: Part::NewerHeader, offset, len: 64, .. }] = found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(offset, place as u64);
    let medium = Plain::new(image);
    let (store, opened) = options().open(medium.clone()).unwrap();
    assert_eq!((opened.mended, store.generation()), (found, whole));
    drop(store);
    assert!(verified(&medium.bytes()).is_whole());
}

/// An opening erases the tag of the header before the current one, whose generation remains.
#[test]
fn zeros_in_both_copies_of_the_newer_header_are_reported() {
    let (image, newer) = committed_twice();
    assert_eq!(copies(&image), []);
    let magic_tag_and_all = [0..8, 16..24, 0..64];
    for zeros in magic_tag_and_all {
        let mut image = image.clone();
        for at in [newer, newer + 8192] {
            image[at + zeros.start..at + zeros.end].fill(0);
        }
        assert_eq!(copies(&image), [Part::NewerHeader], "{zeros:?}");
    }
    // One commit since the creation: the places were zeros before.
    let medium = Plain::new(vec![0; DATA + 4096]);
    put(&mut options().create_new(medium.clone()).unwrap(), "a", b"undone");
    let mut image = medium.bytes();
    for at in [0, 8192] {
        image[at..at + 8].fill(0);
    }
    assert_eq!(copies(&image), [Part::NewerHeader]);
}

/// An opening that a crash cuts off has erased the tags.
#[test]
fn a_lost_header_is_reported_after_an_opening_that_was_cut_off() {
    let (mut image, newer) = committed_twice();
    for at in [newer, newer + 8192] {
        image[at + 48] ^= 1;
        image[at + 16..at + 24].fill(0);
    }
    assert_eq!(copies(&image), [Part::NewerHeader]);
}

/// The bytes of a header of which some came to be durable.
fn header(old: &[u8], new: &[u8], at: usize, durable: usize) -> Vec<u8> {
    [&new[at..at + durable], &old[at + durable..at + 64]].concat()
}

/// A crash in a commit may leave one copy of the header and not the other. The next opening commits to the same place.
/// If a second crash tears that commit, too, the opening after it must still find the state of the first opening.
#[test]
fn a_state_opened_after_a_crash_survives_another_one() {
    let medium = Plain::new(vec![0; DATA + 4096]);
    let mut store = options().create_new(medium.clone()).unwrap();
    for number in 0..2_u8 {
        let mut transaction = store.begin().unwrap();
        transaction.put("a", &[number; 100]).unwrap();
        transaction.commit().unwrap();
    }
    let before = medium.bytes();
    let mut transaction = store.begin().unwrap();
    transaction.put("b", &[7; 100]).unwrap();
    let generation = transaction.commit().unwrap();
    let after = medium.bytes();
    let lengths = [0, 24, 64];
    let places = |generation: u64| [0, 8192].map(|copy| generation as usize % 2 * 4096 + copy);
    for durable in lengths.into_iter().flat_map(|one| lengths.map(|other| [one, other])) {
        let mut crashed = after.clone();
        for (at, durable) in places(generation).into_iter().zip(durable) {
            crashed[at..at + 64].copy_from_slice(&header(&before, &after, at, durable));
        }
        let medium = Plain::new(crashed);
        let there = found(&Snapshot::of(&Bytes(&medium.bytes())).unwrap());
        let generation = options().open(medium.clone()).unwrap().0.generation();
        let opened = medium.bytes();
        // Each copy begins with the bytes of the opening that became durable. The rest is from before the opening.
        for again in lengths.into_iter().flat_map(|one| lengths.map(|other| [one, other])) {
            let mut image = opened.clone();
            for ((at, durable), again) in places(generation).into_iter().zip(durable).zip(again) {
                let old = header(&before, &after, at, durable);
                let torn = [&opened[at..at + again], &old[again..]].concat();
                image[at..at + 64].copy_from_slice(&torn);
            }
            let image = Bytes(&image);
            let snapshot =
                Snapshot::of(&image).unwrap_or_else(|why| panic!("{durable:?}, {again:?}: {why}"));
            assert_eq!(found(&snapshot), there, "{durable:?}, then {again:?}");
        }
    }
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let area = prop_oneof![
        2 => Just(Area::Headers),
        2 => Just(Area::Tables),
        1 => Just(Area::History),
        3 => any::<u8>().prop_map(Area::Blob),
        1 => Just(Area::Anywhere),
    ];
    let len = prop_oneof![1..200_u16, any::<u16>()];
    let kind = prop_oneof![
        4 => any::<u8>().prop_map(Kind::Bit),
        3 => len.clone().prop_map(Kind::Zeros),
        3 => len.clone().prop_map(Kind::Ones),
        3 => (len.clone(), any::<u32>()).prop_map(|(len, seed)| Kind::Noise(len, seed)),
        2 => (len, any::<u32>()).prop_map(|(len, from)| Kind::Copy(len, from)),
        1 => Just(Kind::Cut),
    ];
    let harm = (area, any::<u32>(), kind).prop_map(|(area, at, kind)| Harm { area, at, kind });
    proptest::collection::vec(harm, 1..4)
}

fn steps(most: u32) -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![3 => 0..300_u32, 1 => 60_000..70_000_u32, 1 => 0..=300_000_u32];
    let put = (0..6_u8, len.prop_map(move |len| len.min(most)), 0..3_u8);
    let deed = prop_oneof![
        5 => put.clone().prop_map(|(name, len, metadata)| Deed::Put { name, len, metadata }),
        2 => put.prop_map(|(name, len, metadata)| Deed::Stream { name, len, metadata }),
        1 => (0..6_u8).prop_map(Deed::Delete),
        1 => (0..6_u8, 0..6_u8).prop_map(|(from, to)| Deed::Rename(from, to)),
        1 => (0..6_u8, any::<bool>(), 0..3_u8)
            .prop_map(|(name, twice, metadata)| Deed::Region { name, twice, metadata }),
    ];
    let end = prop_oneof![
        4 => Just(End::Commit),
        1 => Just(End::Abandon),
        1 => Just(End::Seal),
        1 => Just(End::Reopen),
    ];
    let step = (proptest::collection::vec(deed, 0..5), end);
    proptest::collection::vec(step.prop_map(|(deeds, end)| Step { deeds, end }), 1..6)
}

fn harmed(lived: &Lived, harms: &[Harm]) -> Vec<u8> {
    let mut image = lived.image.clone();
    for harm in harms {
        harm.apply(lived, &mut image);
    }
    image
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_costs_what_it_touches_and_nothing_else(steps in steps(300_000), harms in harms()) {
        let lived = live(DATA + 600_000, &steps);
        damage_costs_what_it_touches(&lived, &harmed(&lived, &harms));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn so_it_is_in_a_small_store(steps in steps(300), harms in harms()) {
        let lived = live(DATA + 4096, &steps);
        damage_costs_what_it_touches(&lived, &harmed(&lived, &harms));
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(
        steps in steps(300),
        patches in proptest::collection::vec((0..DATA + 4096, any::<[u8; 8]>()), 0..8),
        start: prop::sample::Index,
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        is_store: bool,
    ) {
        let mut image = live(DATA + 4096, &steps).image;
        if !is_store {
            let at = start.index(image.len());
            let bytes = &bytes[..bytes.len().min(image.len() - at)];
            image[at..at + bytes.len()].copy_from_slice(bytes);
        }
        for (at, patch) in patches {
            let len = patch.len().min(image.len() - at);
            image[at..at + len].copy_from_slice(&patch[..len]);
        }
        anything_is_read_to_an_end(&Plain::new(image), open);
    }
}

/// A commit stores the words of the next header one after the other, over those of the header before.
#[test]
fn a_snapshot_is_current_until_a_copy_of_the_next_header_is_whole() {
    let put = |name| Deed::Put { name, len: 30, metadata: 0 };
    let steps = [0, 1, 2, 3].map(|name| Step { deeds: vec![put(name)], end: End::Commit });
    let [before, after] = [3, 4].map(|steps_done| live(DATA + 8192, &steps[..steps_done]).image);
    for copies in [[0, 8192], [8192, 0]] {
        let medium = Plain::new(before.clone());
        let snapshot = Snapshot::of(&medium).unwrap();
        let generation = snapshot.generation();
        let next = (generation + 1) % 2 * 4096;
        // The rest of the commit comes before its header.
        medium.write(DATA as u64, &after[DATA..]);
        let mut findings = vec![true];
        for place in copies.map(|copy| next + copy) {
            for word in (0..8).rev() {
                let at = place + 8 * word;
                medium.write(at, &after[at as usize..][..8]);
                let last = Snapshot::of(&medium).map(|last| last.generation());
                let is_last = last.is_ok_and(|last| last == generation);
                assert_eq!(snapshot.is_current().unwrap(), is_last, "word {word} at {place}");
                findings.push(is_last);
            }
        }
        // The words before the tag can be those of the header before.
        assert!(findings[5] && !findings[8], "{findings:?}");
        assert!(findings.is_sorted_by(|before, after| before >= after), "{findings:?}");
    }
}

#[test]
fn nothing_is_damaged_where_nothing_was_harmed() {
    for lived in [small(), large()] {
        damage_costs_what_it_touches(&lived, &lived.image);
        anything_is_read_to_an_end(&Plain::new(lived.image.clone()), open);
        let blobs = found(&Snapshot::of(&Bytes(&lived.image)).unwrap());
        assert_eq!(blobs, whole(&lived.last));
    }
}
