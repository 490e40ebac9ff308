//! The format, byte by byte: what is documented in `cachemaint::journal`, computed by hand.

use crate::claims::{Refusal as _, reason};
use crate::life::{options, records};
use cachemaint::journal::{ErrorKind, Reader};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering::Relaxed;

/// Three segments of 128 bytes.
const BYTES: u64 = 8192 + 3 * 128;

/// XXH3 with a seed, by another implementation than the library's.
fn h(seed: u64, parts: &[&[u8]]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&parts.concat(), seed)
}

const IDENTITY: [u8; 16] = [
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
];

/// Three segments of 2^7 bytes, aligned to 2^3; two of them are the window.
const SIZES: [u8; 4] = [3, 7, 3, 2];

/// The bytes of a journal, put together by the documentation.
struct Image {
    bytes: Vec<u8>,
    key: u64,
}

impl Image {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Of generation 1, at offset 4096. Capacity 384 = 0x180, window 256, segments of 128, alignment 8; head 0 in
    /// epoch 0, which has the key 0; epoch 1 from 0 on; the first mark acknowledged, which has 64 bytes.
    fn superblock(&mut self) {
        let key = self.key.to_le_bytes();
        self.put(4096, b"cmjournl\x03\0\0\0");
        self.put(4096 + 24, &IDENTITY);
        self.put(4096 + 40, &[0x80, 1]);
        self.put(4096 + 48, &[0, 1]);
        self.put(4096 + 56, &[128]);
        self.put(4096 + 60, &[8]);
        self.put(4096 + 64, &[1]);
        self.put(4096 + 96, &[1]);
        self.put(4096 + 104, &key);
        self.put(4096 + 120, &[64]);
        seal(&mut self.bytes[4096..][..128]);
    }

    /// A record: `length` and `kind` are what its header says.
    fn record(&mut self, position: u64, key: u64, (length, kind): (u32, u32), payload: &[u8]) {
        let mut second = [0; 8];
        second[..4].copy_from_slice(&(length | kind << 24).to_le_bytes());
        // All positions are below 2^19.
        second[6..].copy_from_slice(&(position as u16 / 8).to_le_bytes());
        let tag = h(h(key, &[&second, &position.to_le_bytes()]), &[payload]);
        self.put(8192 + position, &tag.to_le_bytes());
        self.put(8192 + position + 8, &second);
        self.put(8192 + position + 16, payload);
    }

    fn mark(&mut self, position: u64, epoch: u8) {
        self.mark_with(position, epoch, SIZES);
    }

    fn mark_with(&mut self, position: u64, epoch: u8, [segments, rest @ ..]: [u8; 4]) {
        let mut payload = [0; 48];
        payload[..16].copy_from_slice(&IDENTITY);
        payload[16] = epoch;
        payload[24..32].copy_from_slice(&self.key.to_le_bytes());
        payload[32] = segments;
        payload[38..41].copy_from_slice(&rest);
        self.record(position, u64::from_le_bytes(*b"cmj mark"), (48, 2), &payload);
    }

    /// A mark at 0, the record "one" at 64, a void from 88 to the end of the segment, a mark at 128, the record of the
    /// bytes 1 to 40 at 192. Nothing behind.
    ///
    /// The first record vouches for all before it: 1 from bit 3 on; the second one for all before the void, which are
    /// 104 bytes or 13 words: 14.
    fn log(&mut self) {
        self.mark(0, 1);
        self.record(64, self.key, (3, 1 | 1 << 3), b"one");
        self.record(88, self.key, (24, 3), b"");
        self.mark(128, 1);
        let payload: Vec<u8> = (1..=40).collect();
        self.record(192, self.key, (40, 1 | 14 << 3), &payload);
    }
}

/// Puts the tag into a superblock.
fn seal(superblock: &mut [u8]) {
    let tag = h(h(0, &[&superblock[..16]]), &[&superblock[24..128]]);
    superblock[16..24].copy_from_slice(&tag.to_le_bytes());
}

/// Returns the whole image, with the key of the first epoch.
fn image(key: u64) -> Vec<u8> {
    let mut image = Image { bytes: vec![0; BYTES as usize], key };
    image.superblock();
    image.log();
    image.bytes
}

fn golden() -> SimMedium {
    let medium = Simulation::new(Model::X86, BYTES).zeros().medium();
    medium.write(0, &image(0x0123_4567_89ab_cdef));
    medium
}

#[test]
fn it_is_read_as_documented() {
    let (journal, recovered) = options().open(golden()).unwrap();
    assert_eq!((recovered.records, recovered.bytes), (2, 43));
    assert_eq!((recovered.head.0, recovered.end.0), (0, 248));
    assert!(!recovered.torn);
    let records = records(&journal).unwrap();
    let positions: Vec<_> = records.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [64, 192]);
    assert_eq!(records[0].payload, b"one");
    assert!((1..=40).eq(records[1].payload.iter().copied()));
    assert_eq!(journal.identity().to_string(), "efcdab89674523011032547698badcfe");
}

#[test]
fn it_is_written_as_documented() {
    let medium = Simulation::new(Model::X86, BYTES).zeros().medium();
    let journal = options().create_new(&medium).unwrap();
    journal.append(b"one").unwrap();
    journal.append(&(1..=40).collect::<Vec<u8>>()).unwrap();
    // The key is random.
    let expected = image(medium.load(4096 + 104, Relaxed));
    let mut found = vec![0; BYTES as usize];
    medium.read(0, &mut found).unwrap();
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "offset {at}: {found:#04x}, not {expected:#04x}");
    }
}

/// Records are aligned to 16 here, and this one begins at 72.
#[test]
fn a_record_off_the_alignment_is_ignored() {
    let mut image = Image { bytes: vec![0; BYTES as usize], key: 7 };
    image.superblock();
    image.bytes[4096 + 60] = 16;
    seal(&mut image.bytes[4096..][..128]);
    image.record(72, 7, (3, 1), b"one");
    let reader = Reader::open(Bytes(&image.bytes)).unwrap();
    assert_eq!(reader.salvage().count(), 0);
    image.record(80, 7, (3, 1), b"one");
    let reader = Reader::open(Bytes(&image.bytes)).unwrap();
    assert_eq!(reader.salvage().count(), 2, "a skipped range and a record");
}

/// A mark of a later epoch is at the end of the records, or at the beginning of a segment. It has the journal's identity,
/// but other sizes, as no opening writes. Each size differs once.
#[test]
fn a_mark_of_other_sizes_is_ignored() {
    for (size, other) in [4, 8, 4, 3].into_iter().enumerate() {
        for position in [64, 128, 256] {
            let mut image = Image { bytes: vec![0; BYTES as usize], key: 7 };
            image.superblock();
            image.mark(0, 1);
            let mut sizes = SIZES;
            sizes[size] = other;
            image.mark_with(position, 2, sizes);
            let verified = Reader::open(Bytes(&image.bytes)).unwrap().verify(&mut |_| ()).unwrap();
            assert_eq!(verified.damage, None, "{sizes:?} at {position}");
        }
    }
}

/// The journal is damaged: it has no mark of its own at its beginning.
#[test]
fn a_journal_with_a_mark_of_other_sizes_is_whole_after_a_repair() {
    for (size, other) in [4, 8, 4, 3].into_iter().enumerate() {
        let mut image = Image { bytes: vec![0; BYTES as usize], key: 7 };
        image.superblock();
        let mut sizes = SIZES;
        sizes[size] = other;
        // Later than the epoch that the repair begins.
        (0..3).for_each(|segment| image.mark_with(128 * segment, 3, sizes));
        let medium = Simulation::new(Model::X86, BYTES).zeros().medium();
        medium.write(0, &image.bytes);
        assert!(matches!(reason(&options().open(&medium)), Some(ErrorKind::Damaged(_))));
        drop(options().repair(&medium).unwrap());
        let verified = Reader::open(&medium).unwrap().verify(&mut |_| ()).unwrap();
        assert_eq!(verified.damage, None, "{sizes:?}");
    }
}

/// A record of epoch 1 ends with its segment. The next segment is of epoch 0, which no journal writes. Epoch 2 begins
/// behind both.
#[test]
fn records_from_the_end_of_the_last_one_are_none() {
    let mut image = Image { bytes: vec![0; BYTES as usize], key: 7 };
    image.superblock();
    image.bytes[4096 + 96] = 2;
    image.bytes[4096 + 112..][..2].copy_from_slice(&[0, 1]);
    seal(&mut image.bytes[4096..][..128]);
    image.mark(0, 1);
    image.record(64, 7, (48, 1 | 1 << 3), &[1; 48]);
    image.mark(128, 0);
    image.record(192, 7, (48, 1 | 7 << 3), &[2; 48]);
    image.mark(256, 2);
    let reader = Reader::open(Bytes(&image.bytes)).unwrap();
    let mut records = reader.records();
    let first = records.next().unwrap().unwrap();
    assert_eq!((first.end.0, &first.payload[..]), (128, &[1; 48][..]));
    let damaged = records.next().unwrap();
    assert!(matches!(reason(&damaged), Some(ErrorKind::Damaged(_))), "{damaged:?}");
    let damaged = reader.records_from(first.end).unwrap().next().unwrap();
    assert!(matches!(reason(&damaged), Some(ErrorKind::Damaged(_))), "{damaged:?}");
}

/// Every single byte of the golden file is changed: nothing is read that was not written, and nothing panics.
#[test]
fn each_changed_byte_is_noticed_or_harmless() {
    for at in (4096..4096 + 128).chain(8192..BYTES) {
        let medium = golden();
        let word = medium.load(at & !7, Relaxed);
        medium.store(at & !7, word ^ 0x10 << (at % 8 * 8), Relaxed);
        match options().open(&medium) {
            Ok((journal, recovered)) => {
                let records = records(&journal).unwrap();
                assert_eq!(records.len() as u64, recovered.records);
                let is_harmless = (8192 + 83..8192 + 88).contains(&at)
                    || (8192 + 104..8192 + 128).contains(&at)
                    || at >= 8192 + 248;
                let expected = match at - 8192 {
                    _ if is_harmless => (2, 0),
                    // The void, and the second mark: the second record is behind.
                    88..192 => (1, 1),
                    _ => (1, 0),
                };
                assert_eq!((records.len(), recovered.behind), expected, "offset {at}");
                // Of the last record nothing may be left that names its position.
                let is_named = !(8192 + 206..8192 + 208).contains(&at);
                assert_eq!(recovered.torn, !is_harmless && is_named, "offset {at}");
            }
            Err(refused) => {
                let harmed = match refused.reason() {
                    // The first record vouches for the mark before it, the second one for the first.
                    ErrorKind::Damaged(_) => 8192..8192 + 83,
                    ErrorKind::NotAJournal { .. } => 4096..4104,
                    ErrorKind::Superblocks => 4104..4224,
                    _ => panic!("offset {at}: {refused}"),
                };
                assert!(harmed.contains(&at), "offset {at}");
            }
        }
    }
}

#[test]
fn a_missing_or_truncated_journal_is_refused() {
    let refused = |medium: &SimMedium| options().open(medium).unwrap_err().to_string();
    let empty = Simulation::new(Model::X86, BYTES).zeros().medium();
    assert!(refused(&empty).starts_with("the medium has no journal: it begins with zeros"));
    empty.write(0, b"PK\x03\x04 and so on");
    assert!(
        refused(&empty).starts_with(
            "this is not a journal: it begins with PK\\x03\\x04 and instead of cmjournl; open another medium, or \
             repair this one if it was a journal"
        )
    );
    let short = Simulation::new(Model::X86, BYTES - 8).medium();
    let mut bytes = [0; 128];
    golden().read(4096, &mut bytes).unwrap();
    short.write(4096, &bytes);
    assert!(refused(&short).starts_with("the journal has 8576 bytes, but only 8568 are there"));
    let tiny = Simulation::new(Model::X86, 4000).zeros().medium();
    assert!(matches!(
        reason(&options().open(&tiny)),
        Some(ErrorKind::Truncated { size: 4000, needed: 4224, .. })
    ));
    tiny.write(0, b"a short text");
    assert!(
        matches!(reason(&options().open(&tiny)), Some(ErrorKind::NotAJournal { found, .. }) if found == b"a short ")
    );

    let later = golden();
    bytes[8] = 4;
    seal(&mut bytes);
    later.write(4096, &bytes);
    assert!(refused(&later).starts_with("the journal has version 4 of its format"));
    // Of the first version, which had its checksum elsewhere.
    bytes[8] = 1;
    later.write(4096, &bytes);
    assert!(refused(&later).starts_with("the journal has version 1 of its format"));

    assert!(matches!(reason(&options().create_new(golden())), Some(ErrorKind::Exists)));
}

/// The later version has trimmed the journal last.
#[test]
fn a_newer_superblock_of_a_later_version_is_refused() {
    let medium = golden();
    drop(options().open(&medium).unwrap());
    let images = [0, 4096].map(|at| {
        let mut bytes = [0; 128];
        let Ok(()) = medium.read(at, &mut bytes);
        (at, bytes)
    });
    for (at, whole) in images {
        let mut bytes = whole;
        bytes[8] = 4;
        seal(&mut bytes);
        medium.write(at, &bytes);
        let [opened, repaired] =
            [options().open(&medium).map(drop), options().repair(&medium).map(drop)]
                .map(|result| result.unwrap_err().error);
        for error in [opened, repaired] {
            assert!(matches!(error.kind(), ErrorKind::Version { found: 4, .. }), "{error}");
        }
        let mut after = [0; 128];
        let Ok(()) = medium.read(at, &mut after);
        assert_eq!(after, bytes);
        // Version 1 proves nothing: one damaged byte is enough for it.
        bytes[8] = 1;
        medium.write(at, &bytes);
        assert!(Reader::open(&medium).is_ok());
        medium.write(at, &whole);
    }
}

/// By the documentation generations are below 2^63. A real journal never counts that far: the superblock is forged.
#[test]
fn after_the_last_generation_nothing_is_opened_or_trimmed() {
    const LAST: u64 = (1 << 63) - 1;
    let medium = golden();
    let mut bytes = [0; 128];
    medium.read(4096, &mut bytes).unwrap();
    bytes[64..72].copy_from_slice(&(LAST - 1).to_le_bytes());
    seal(&mut bytes);
    // An even generation is the first.
    medium.write(0, &bytes);

    let (journal, recovered) = options().open(&medium).unwrap();
    assert_eq!(recovered.records, 2);
    let refused = journal.trim(recovered.end);
    assert!(matches!(reason(&refused), Some(ErrorKind::WornOut)), "{refused:?}");
    drop(journal);

    let image = |medium: &SimMedium| {
        let mut image = vec![0; BYTES as usize];
        medium.read(0, &mut image).unwrap();
        image
    };
    let before = image(&medium);
    let refused = options().open(&medium);
    assert!(matches!(reason(&refused), Some(ErrorKind::WornOut)), "{refused:?}");
    assert!(image(&medium) == before);
    assert_eq!(Reader::open(&medium).unwrap().records().count(), 2);
}

/// Positions are below 2^63, too. The log has 3 segments of 128 bytes.
#[test]
fn no_record_is_appended_at_the_last_position() {
    let medium = golden();
    let mut bytes = [0; 128];
    medium.read(4096, &mut bytes).unwrap();
    // The head, the beginning of the epoch, and the end of the acknowledged records.
    for at in [72, 112, 120] {
        bytes[at..at + 8].copy_from_slice(&((1_u64 << 63) - 6 * 128).to_le_bytes());
    }
    seal(&mut bytes);
    medium.write(4096, &bytes);

    let (journal, _) = options().open(&medium).unwrap();
    let mut kept = 0;
    let refused = loop {
        let trimmed = match journal.append(b"record") {
            Ok(_) => {
                kept += 1;
                continue;
            }
            Err(full) => {
                assert!(matches!(full.kind(), ErrorKind::Full { .. }), "{full}");
                journal.trim(journal.end())
            }
        };
        if trimmed.is_err() {
            break trimmed;
        }
        kept = 0;
    };
    assert!(matches!(reason(&refused), Some(ErrorKind::WornOut)), "{refused:?}");
    drop(journal);
    let (_, recovered) = options().open(&medium).unwrap();
    assert_eq!(recovered.records, kept);
}
