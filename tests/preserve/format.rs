//! The format, byte by byte: what is documented in `cachemaint::preserve`, put together by hand. The tags were computed
//! by the reference implementation (xxHash 0.8.4).

use crate::life::{DATA, options, why};
use crate::plain::Plain;
use crate::seal::{seal, seal_header};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint::preserve::{Attributes, Error, ErrorKind, Origin, Part, Snapshot};
use cachemaint::sim::{Model, SimMedium, Simulation};
use cachemaint::survival::Backing;
use core::sync::atomic::Ordering::Relaxed;

/// Bytes of the store.
const BYTES: u64 = DATA + 74_048;
/// The offsets of the table and its copy: that of the table is below the one of the creation, which has 176 bytes, and
/// 4096 bytes lie between the two.
const TABLES: [u64; 2] = [BYTES - 192 - 320, BYTES - 192 - 320 - 4096 - 320];
/// The offset of the second blob, after the first one, which takes a unit.
const SECOND: u64 = DATA + 64;
/// The offset of the second blob's tags, after its 65542 bytes.
const TAGS_AT: u64 = SECOND + 65_544;

/// The header of generation 2, at offsets 0 and 8192, as words whose first byte is the highest.
const HEADER: [u64; 8] = [
    0x636d_7072_6573_7276,
    0x0300_0000_2001_0000,
    0x9356_5a38_c77f_0eee,
    0x0200_0000_0000_0000,
    0x4085_0100_0000_0000,
    0x4083_0100_0000_0000,
    0x0072_0100_0000_0000,
    0x4000_0000_b5aa_831f,
];

/// A header of version 1, as it was documented.
const FIRST_VERSION: [u64; 8] = [
    0x636d_7072_6573_7276,
    0x0100_0000_84d3_d1de,
    0x0200_0000_0000_0000,
    0x4085_0100_0000_0000,
    0x8082_0100_0000_0000,
    0x4081_0100_0000_0000,
    0x1801_0000_4279_f265,
    0x4000_0000_0000_0000,
];

/// The table: a blob "ab" of version 2 with the metadata "m", and a blob "c".
const TABLE: [u64; 36] = [
    0xb5aa_831f_c8a5_318a,
    0xefcd_ab89_6745_2301,
    0x1032_5476_98ba_dcfe,
    0,
    0x7483_8e2b_175b_3127,
    0x9000_0000_0200_0000,
    0x01f1_5365_0000_0000,
    0x0101_0101_0101_0101,
    0x0101_0101_0101_0101,
    0x6500_0000_0000_0000,
    0x2900_0000_0400_0000,
    0x4000_0000_0000_0000,
    0x0400_0000_0000_0000,
    0xf0de_bc9a_7856_3412,
    0x362e_3138_2e34_342d,
    0x6f66_2d73_6978_7479,
    0x2d66_6f75_722d_6279,
    0x7465_732d_6174_2d6c,
    0x6561_7374_2d73_6f2d,
    0x7468_6174_2d69_742d,
    0x6973_2d63_7574_2d6f,
    0x6666_2d62_6568_696e,
    0x0064_0000_0000_0000,
    0x0300_0000_0000_0000,
    0x0200_0000_0000_0000,
    0x0200_0000_0000_0000,
    0x01f1_5365_0000_0000,
    0x150c_54d2_7681_5294,
    0x0200_0100_6162_6d00,
    0x4064_0000_0000_0000,
    0x0600_0100_0000_0000,
    0,
    0x0200_0000_0000_0000,
    0x01f1_5365_0000_0000,
    0x6af3_e718_831d_4428,
    0x0100_0000_6300_0000,
];

/// The header of the same store with two pages below its root, as words whose first byte is the highest.
const HEADER_OF_PAGES: [u64; 8] = [
    0x636d_7072_6573_7276,
    0x0300_0000_f000_0000,
    0x241a_3dc8_66ce_da4e,
    0x0200_0000_0000_0000,
    0x4085_0100_0000_0000,
    0x4083_0100_0000_0000,
    0x0072_0100_0000_0000,
    0x4000_0000_0de5_4c8b,
];
/// The root of that store: the first word, the one with the levels, and the children. They are a page with "ab", and
/// one with the names from "c" on.
const ROOT_TAG: u64 = 0x0de5_4c8b_da77_e10a;
const ROOT_LEVELS: u64 = 0x9000_0100_0200_0000;
const CHILDREN: [u64; 8] = [
    0x8064_0100_0000_0000,
    0xc064_0100_0000_0000,
    0x0669_7427_d176_980c,
    0x3800_0000_0000_0000,
    0x0065_0100_0000_0000,
    0x4065_0100_0000_0000,
    0x4037_3906_e15e_270e,
    0x3800_0100_6300_0000,
];
/// The offset of the first of the two pages, which are there twice, after the second blob.
const PAGES: u64 = SECOND + 65_600;

/// The history: the creation.
const HISTORY: [u64; 18] = [
    0x0100_0000_0000_0000,
    0x0100_0000_0000_0000,
    0x01f1_5365_0000_0000,
    0x0101_0101_0101_0101,
    0x0101_0101_0101_0101,
    0x6500_0000_0000_0000,
    0x2900_0000_0400_0000,
    0x4000_0000_0000_0000,
    0x0400_0000_0000_0000,
    0xf0de_bc9a_7856_3412,
    0x362e_3138_2e34_342d,
    0x6f66_2d73_6978_7479,
    0x2d66_6f75_722d_6279,
    0x7465_732d_6174_2d6c,
    0x6561_7374_2d73_6f2d,
    0x7468_6174_2d69_742d,
    0x6973_2d63_7574_2d6f,
    0x6666_2d62_6568_696e,
];

/// The tags of the second blob's two chunks.
const TAGS: [u64; 2] = [0x97e9_d93f_e635_ad21, 0x6b94_6139_3be4_36aa];

/// The second blob: a chunk and six bytes.
fn second() -> Vec<u8> {
    (0..65_542_u32).map(|at| ((1 + at * 7) % 251) as u8).collect()
}

/// The store, put together by hand.
pub(crate) fn by_hand() -> Vec<u8> {
    let mut image = vec![0; BYTES as usize];
    let mut put = |at: u64, words: &[u64]| {
        for (place, word) in image[at as usize..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    };
    put(0, &HEADER);
    put(8192, &HEADER);
    // An opening erases the tag of the header before, of generation 1.
    for at in [4096, 12_288] {
        put(at, &[HEADER[0], HEADER[1], 0, 1 << 56]);
    }
    put(TABLES[0], &TABLE);
    put(TABLES[1], &TABLE);
    put(16_384, &HISTORY);
    put(TAGS_AT, &TAGS);
    image[DATA as usize..][..3].copy_from_slice(b"one");
    image[SECOND as usize..][..65_542].copy_from_slice(&second());
    image
}

/// The store with the same blobs and pages below the root, put together by hand.
fn pages_by_hand() -> Vec<u8> {
    let mut image = by_hand();
    let mut put = |at: u64, words: &[u64]| {
        for (place, word) in image[at as usize..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    };
    for header in [0, 8192] {
        put(header, &HEADER_OF_PAGES);
    }
    for root in TABLES {
        put(root, &[ROOT_TAG]);
        put(root + 40, &[ROOT_LEVELS]);
        put(root + 176, &CHILDREN);
        put(root + 240, &[0; 6]);
    }
    for copy in [0, 64] {
        put(PAGES + copy, &TABLE[22..29]);
        put(PAGES + 128 + copy, &TABLE[29..]);
    }
    image
}

fn medium() -> SimMedium {
    Simulation::new(Model::X86, BYTES).zeros().medium()
}

fn bytes_at(medium: &SimMedium, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let Ok(()) = medium.read(at, &mut bytes);
    bytes
}

#[test]
fn a_store_is_written_as_documented() {
    let medium = medium();
    let mut store = options().create_new(&medium).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put(Attributes::new("ab").version(2).metadata(b"m"), b"one").unwrap();
    transaction.put("c", &second()).unwrap();
    assert_eq!(transaction.commit().unwrap(), 2);

    let expected = by_hand();
    let parts = [
        (0, 64),
        (8192, 64),
        (16_384, 144),
        (TABLES[0], 288),
        (TABLES[1], 288),
        (DATA, 64),
        (SECOND, 65_600),
    ];
    for (at, len) in parts {
        let expected = &expected[at as usize..][..len];
        assert!(bytes_at(&medium, at, len) == expected, "{len} bytes at {at}");
    }
}

/// On a big-endian CPU, too.
#[test]
fn a_store_built_by_hand_is_read() {
    let image = by_hand();
    let bytes = Bytes(&image);
    let snapshot = Snapshot::of(&bytes).unwrap();
    assert_eq!((snapshot.generation(), snapshot.size(), snapshot.blobs()), (2, BYTES, 2));
    assert!(!snapshot.is_sealed());
    assert_eq!(snapshot.identity().to_string(), "efcdab89674523011032547698badcfe");
    let stamp = snapshot.stamp();
    assert_eq!((stamp.backing, stamp.unsafe_shutdowns), (Backing::PmemAdr, Some(3)));
    assert_eq!(stamp.kernel(), "6.18.44-of-sixty-four-bytes-at-least-so-that-it-is-cut-off-behin");

    let first = snapshot.find("ab").unwrap().unwrap();
    assert_eq!((first.version, first.len, first.generation, first.offset), (2, 3, 2, DATA));
    assert_eq!(snapshot.metadata(&first, &mut [0; 8]).unwrap(), b"m");
    let mut one = [0; 3];
    snapshot.blob("ab").unwrap().read_at(0, &mut one).unwrap();
    assert_eq!(&one, b"one");
    let mut many = vec![0; 65_542];
    snapshot.blob("c").unwrap().read_at(0, &mut many).unwrap();
    assert!(many == second());
    let boots: Vec<_> = snapshot.history().unwrap().map(Result::unwrap).collect();
    assert_eq!(boots.len(), 1);
    assert_eq!((boots[0].generation, boots[0].opened, boots[0].origin), (1, 1, Origin::Unknown));
    assert_eq!(boots[0].stamp, *stamp);
}

/// By the byte of the history's boot, in this boot.
#[test]
fn a_verification_that_is_due_is_done() {
    for is_due in [false, true] {
        let mut image = by_hand();
        image[16_384 + 14] = is_due.into();
        seal(&mut image);
        let (_, opened) = options().open(Plain::new(image)).unwrap();
        assert!(opened.verdict.is_same_boot());
        assert_eq!(opened.verification.is_some(), is_due);
    }
}

#[test]
fn pages_that_were_put_together_by_hand_are_read() {
    let whole = pages_by_hand();
    // Any copy will do.
    for lost in [None, Some(PAGES), Some(PAGES + 64), Some(PAGES + 128), Some(PAGES + 192)] {
        let mut image = whole.clone();
        if let Some(at) = lost {
            image[at as usize + 55] ^= 1;
        }
        let bytes = Bytes(&image);
        let snapshot = Snapshot::of(&bytes).unwrap();
        let names: Vec<_> = snapshot.entries().map(|info| info.unwrap().name.to_string()).collect();
        assert_eq!(names, ["ab", "c"]);
        let first = snapshot.find("ab").unwrap().unwrap();
        assert_eq!(snapshot.metadata(&first, &mut [0; 8]).unwrap(), b"m");
        assert_eq!(snapshot.find("b").unwrap(), None);
        let mut many = vec![0; 65_542];
        snapshot.blob("c").unwrap().read_at(0, &mut many).unwrap();
        assert!(many == second());
        let found = snapshot.verify(&mut |_| ()).unwrap();
        assert_eq!((found.whole, found.pages.len()), (2, 0));
        let copies: Vec<_> = found.copies.iter().map(|copy| (copy.part, copy.offset)).collect();
        assert_eq!(copies, Vec::from_iter(lost.map(|at| (Part::TableCopy, at))));
    }
}

#[test]
fn an_invalid_or_newer_store_is_refused() {
    let refused = |image: &[u8]| Snapshot::of(&Bytes(image)).map(|_| ()).unwrap_err();
    assert!(matches!(
        refused(&[0; 100]).kind(),
        ErrorKind::Truncated { size: 100, needed: 12_352, .. }
    ));
    assert!(
        matches!(refused(b"a text").kind(), ErrorKind::NotAStore { found, .. } if found == b"a text\0\0")
    );
    assert!(matches!(
        refused(&vec![0; 20_000]).kind(),
        ErrorKind::NotAStore { found: [0, 0, 0, 0, 0, 0, 0, 0], .. }
    ));
    let mut other = by_hand();
    other[..8].copy_from_slice(b"cmjournl");
    other[8192..8200].copy_from_slice(b"cmjournl");
    assert!(
        matches!(refused(&other).kind(), ErrorKind::NotAStore { found, .. } if found == b"cmjournl")
    );
    // Another version proves itself as this one does.
    let mut newer = by_hand();
    for at in [0, 8192] {
        newer[at + 8] = 4;
        seal_header(&mut newer[at..at + 64]);
    }
    assert!(matches!(refused(&newer).kind(), ErrorKind::Version { found: 4, .. }));
    assert!(refused(&newer).to_string().contains("version 4"));
    let mut first = by_hand();
    for (at, word) in [0, 8192].into_iter().flat_map(|copy| (copy..).step_by(8).zip(FIRST_VERSION))
    {
        first[at..at + 8].copy_from_slice(&word.to_be_bytes());
    }
    assert!(matches!(refused(&first).kind(), ErrorKind::Version { found: 1, .. }));
    let cut = by_hand();
    let error = refused(&cut[..TABLES[1] as usize]);
    assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{error}");
}

/// The later version has made the last commit. Its header can be torn in one copy.
#[test]
fn a_last_commit_of_a_later_version_is_refused() {
    let mut image = {
        let medium = Plain::new(vec![0; BYTES as usize]);
        let mut store = options().create_new(medium.clone()).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.put("a", b"one").unwrap();
        assert_eq!(transaction.commit().unwrap(), 2);
        medium.bytes()
    };
    let torn = |image: &mut [u8], at: usize| image[at + 30] ^= 1;
    let version = |image: &mut [u8], at: usize, version| {
        image[at + 8] = version;
        seal_header(&mut image[at..at + 64]);
    };
    let whole = image.clone();
    // Version 1 proves nothing: one damaged byte is enough for it.
    for at in [0, 8192] {
        version(&mut image, at, 1);
    }
    assert_eq!(Snapshot::of(&Bytes(&image)).unwrap().generation(), 1);
    for (later, lost) in
        [(&[0, 8192][..], None), (&[0], None), (&[0], Some(8192)), (&[8192], Some(0))]
    {
        let mut image = whole.clone();
        for at in later {
            version(&mut image, *at, 4);
        }
        if let Some(at) = lost {
            torn(&mut image, at);
        }
        let read = Snapshot::of(&Bytes(&image)).map(|_| ()).unwrap_err();
        assert!(matches!(read.kind(), ErrorKind::Version { found: 4, .. }), "{later:?}: {read}");
        let medium = Plain::new(image.clone());
        let opened = options().open(medium.clone()).map(|_| ());
        assert!(
            matches!(opened.as_ref().map_err(why), Err(ErrorKind::Version { found: 4, .. })),
            "{later:?}: {opened:?}"
        );
        assert!(medium.bytes() == image, "{later:?}");
    }
}

/// Its header can have another number in the place of the generation.
#[test]
fn a_commit_is_not_current_after_one_of_a_later_version() {
    let medium = Plain::new(by_hand());
    let snapshot = Snapshot::of(&medium).unwrap();
    assert!(snapshot.is_current().unwrap());
    let mut header = medium.bytes()[..64].to_vec();
    header[8] = 4;
    header[24..32].fill(0);
    seal_header(&mut header);
    medium.write(4096, &header);
    let error = snapshot.is_current().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Version { found: 4, .. }), "{error}");
}

/// A header in another's place would be written over in the place of the other generation's.
#[test]
fn a_header_in_anothers_place_is_none() {
    let mut image = by_hand();
    let header = image[..64].to_vec();
    image[..64].fill(0);
    image[8192..8256].fill(0);
    image[4096..4160].copy_from_slice(&header);
    assert!(matches!(
        Snapshot::of(&Bytes(&image)).as_ref().map_err(Error::kind),
        Err(ErrorKind::Headers)
    ));
}

/// The first copy is the last thing in it.
#[test]
fn a_store_whose_end_is_cut_off_is_read_by_the_copy_of_the_table_that_is_left() {
    let image = by_hand();
    let bytes = Bytes(&image[..TABLES[0] as usize + 8]);
    let snapshot = Snapshot::of(&bytes).unwrap();
    let mut one = [0; 3];
    snapshot.blob("ab").unwrap().read_at(0, &mut one).unwrap();
    assert_eq!(&one, b"one");
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    assert_eq!((verification.whole, verification.damaged.len()), (2, 0));
    let [copy] = verification.copies[..] else { panic!("{verification:?}") };
    assert_eq!((copy.part, copy.offset, copy.len), (Part::TableCopy, TABLES[0], 288));
}

#[test]
fn either_copy_of_header_and_table_will_do() {
    for lost in [0, 8192, TABLES[0], TABLES[1]] {
        let medium = medium();
        for (at, word) in (0..).step_by(8).zip(by_hand().chunks_exact(8)) {
            let word = u64::from_le_bytes(*word.first_chunk().unwrap());
            medium.store(at, word, Relaxed);
        }
        medium.store(lost + 16, 7, Relaxed);
        let (store, opened) = options().open(&medium).unwrap();
        assert_eq!(opened.mended.len(), 1, "{lost}");
        assert_eq!(opened.mended[0].offset, lost);
        let verification = store.snapshot().unwrap().verify(&mut |_| ()).unwrap();
        assert!(verification.is_whole(), "{verification:?}");
        assert_eq!(verification.whole, 2);
    }
}
