//! The bytes of a store, built by hand from the documentation of the format.

use crate::life::{later, options};
use cachemaint::medium::Bytes;
use cachemaint_store::{Attributes, ErrorKind, FormatError, Reader};
use cachemaint_test_support::plain::Plain;
use twox_hash::XxHash3_64;

/// The size of the store in bytes.
const SIZE: usize = 65_536;
/// The offset of the blob "cd", after the four mirrors.
pub(crate) const BLOB: u64 = 32_768;

const IDENTITY: [u8; 16] = [
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
];

fn key(epoch: u64, place: u64, kind: u64) -> u64 {
    let words = [epoch, place].map(u64::to_le_bytes);
    XxHash3_64::oneshot_with_seed(kind, &[&IDENTITY[..], words.as_flattened()].concat())
}

fn tag(key: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(key, bytes)
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Puts a record into both mirrors, and returns its tag.
fn put_record(
    image: &mut [u8],
    at: usize,
    salt: u64,
    before: u64,
    number: u64,
    kind: u8,
    body: &[u8],
) -> u64 {
    let len = (40 + body.len()).next_multiple_of(64);
    let mut record = words(&[0, before, number, 1_700_000_002, len as u64]);
    record[36] = kind;
    record[38..].copy_from_slice(&salt.to_le_bytes()[..2]);
    record.extend(body);
    record.resize(len, 0);
    let tag = tag(key(salt, at as u64, 2), &record[8..]);
    record[..8].copy_from_slice(&tag.to_le_bytes());
    for mirror in [16_384, 20_480] {
        image[mirror + at..][..len].copy_from_slice(&record);
    }
    tag
}

fn put_root(image: &mut [u8], salt: u64) {
    for slot in [4096, 12_288] {
        let mut root = b"cm-store".to_vec();
        root.extend(8_u32.to_le_bytes());
        root.extend(112_u32.to_le_bytes());
        root.extend([0; 8]);
        root.extend(IDENTITY);
        root.extend(words(&[1, 64, 4096, 16_384, 20_480, 24_576, 28_672, salt, 64]));
        let key = key(1, slot as u64, 1);
        let tag = tag(tag(key, &root[..16]), &root[24..]);
        root[16..24].copy_from_slice(&tag.to_le_bytes());
        image[slot..][..112].copy_from_slice(&root);
    }
}

/// Returns a store with a value and a blob, after one commit.
pub(crate) fn by_hand() -> Vec<u8> {
    let mut image = vec![0; SIZE];
    // The space was empty before.
    let salt = tag(key(1, 0, 6), &words(&[0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]));
    put_root(&mut image, salt);
    let first = put_record(&mut image, 0, salt, 0, 1, 3, &words(&[SIZE as u64]));

    let bytes: Vec<u8> = (0..300_u32).map(|at| at as u8).collect();
    image[BLOB as usize..][..300].copy_from_slice(&bytes);
    let mut body = vec![2, 2, 1, 0, 0, 0, 0, 0];
    body.extend(words(&[2, 3, 0, 0, 2, 1_700_000_002]));
    body.extend(b"abmxyz\0\0");
    body.extend([1, 2, 0, 0, 0, 0, 0, 0]);
    let blob = tag(key(2, BLOB, 3), &bytes);
    body.extend(words(&[0, 300, BLOB, blob, 2, 1_700_000_002]));
    body.extend(b"cd\0\0\0\0\0\0");
    put_record(&mut image, 64, salt, first, 2, 1, &body);
    image
}

#[test]
fn a_store_has_the_documented_bytes() {
    let medium = Plain::zeros(SIZE);
    let (mut store, _) = later().create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put(Attributes::new("ab").version(2).metadata(b"m"), b"xyz").unwrap();
    let bytes: Vec<u8> = (0..300_u32).map(|at| at as u8).collect();
    transaction.put("cd", &bytes).unwrap();
    transaction.commit().unwrap();
    let (found, expected) = (medium.bytes(), by_hand());
    for at in (0..SIZE).step_by(8) {
        assert_eq!(found[at..at + 8], expected[at..at + 8], "bytes {at} and on");
    }
}

#[test]
fn the_documented_bytes_are_read() {
    let image = by_hand();
    let bytes = Bytes(&image);
    let snapshot = Reader::open(bytes).unwrap();
    assert_eq!((snapshot.commit_number(), snapshot.size()), (2, SIZE as u64));
    let mut found = [0; 3];
    let blob = snapshot.blob("ab").unwrap();
    blob.read_at(0, &mut found).unwrap();
    assert_eq!((found, blob.info().version, blob.info().offset), (*b"xyz", 2, 0));
    assert_eq!(snapshot.metadata("ab").unwrap().unwrap(), b"m");
    assert_eq!(snapshot.stat("cd").unwrap().unwrap().range(), BLOB..BLOB + 300);
    let (store, opened) = options().open(Plain::new(&image)).unwrap();
    assert_eq!(store.load("cd").unwrap()[299], 43);
    assert_eq!(opened.mended, []);
}

#[test]
fn another_version_is_refused() {
    for version in [7_u32, 9] {
        let mut image = by_hand();
        for slot in [4096, 12_288] {
            image[slot + 8..slot + 12].copy_from_slice(&version.to_le_bytes());
            crate::seal::seal_root(&mut image, slot);
        }
        let refused = Reader::open(Bytes(&image)).map(drop).unwrap_err();
        let ErrorKind::Format(FormatError::Version { found, .. }) = *refused.error.kind() else {
            panic!("{refused}")
        };
        assert_eq!(found, version);
        assert!(options().open_or_create(Plain::new(&image)).is_err());
    }
}
