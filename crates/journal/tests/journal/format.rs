//! The format byte by byte, computed from the documentation of `cachemaint_journal`.

use crate::claims::{LOG, reason};
use crate::life::{options, records};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint_format::tag;
use cachemaint_journal::{ErrorKind, FormatError, Opened, Position, Reader};
use cachemaint_sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering::Relaxed;

/// Three segments of 128 bytes.
const BYTES: u64 = LOG + 3 * 128;
/// The offsets of both copies of a root of an odd generation.
const ODD: [u64; 2] = [4096, 12288];
const EVEN: [u64; 2] = [0, 8192];

/// XXH3 with a seed, by an implementation that the library does not use.
fn h(seed: u64, parts: &[&[u8]]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&parts.concat(), seed)
}

const IDENTITY: [u8; 16] = [
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
];

/// Returns a key of this journal.
fn k(kind: u64, epoch: u64, place: u64) -> u64 {
    h(kind, &[&IDENTITY, &epoch.to_le_bytes(), &place.to_le_bytes()])
}

/// Returns the key of an epoch. The random words of these tests are complements, so together they have all bits.
fn key(epoch: u64) -> u64 {
    k(16, epoch, u64::MAX)
}

/// The bytes of a journal, built as documented.
struct Image(Vec<u8>);

impl Image {
    fn empty() -> Self {
        Self(vec![0; BYTES as usize])
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Puts the root of generation 1: capacity 384 = 0x180, segments of 128, alignment 8, head 0 in epoch 1, the last
    /// epoch, the end of the records before it, and the end of the acknowledged records. 120 bytes are 0x78.
    fn root(&mut self, epoch: u64, before: u8) {
        let mut root = [0; 120];
        let fields: [(usize, &[u8]); 12] = [
            (0, b"cmjournl\x05\0\0\0\x78"),
            (24, &IDENTITY),
            (40, &[1]),
            (48, &[0x80, 1]),
            (56, &[128]),
            (60, &[8]),
            (72, &[1]),
            (80, &key(1).to_le_bytes()),
            (88, &epoch.to_le_bytes()),
            (96, &key(epoch).to_le_bytes()),
            (104, &[before]),
            (112, &[before]),
        ];
        for (at, bytes) in fields {
            root[at..at + bytes.len()].copy_from_slice(bytes);
        }
        for slot in ODD {
            self.put(slot, &sealed(root, slot));
        }
    }

    /// Puts a record. `length` and `kind` are the fields of its header.
    fn record(&mut self, position: u64, key: u64, (length, kind): (u32, u32), payload: &[u8]) {
        let mut second = [0; 8];
        second[..4].copy_from_slice(&(length | kind << 24).to_le_bytes());
        // All positions are below 2^19.
        second[6..].copy_from_slice(&(position as u16 / 8).to_le_bytes());
        let tag = h(h(key, &[&second, &position.to_le_bytes()]), &[payload]);
        self.put(LOG + position, &tag.to_le_bytes());
        self.put(LOG + position + 8, &second);
        self.put(LOG + position + 16, payload);
    }

    /// Puts a mark that vouches for everything up to `distance` words before it.
    fn mark(&mut self, position: u64, epoch: u64, before: u64, distance: u32) {
        let words = [epoch, key(epoch), before, position].map(u64::to_le_bytes);
        let payload = [&IDENTITY, words.as_flattened()].concat();
        self.record(position, k(17, epoch, position), (48, 2 | (distance + 1) << 3), &payload);
    }

    /// Puts a mark at 0, the record "one" from 64 to 88, a mark at 128, and a record with the bytes 1 to 40 at 192.
    ///
    /// The first record vouches for everything before the mark, which begins 64 bytes or 8 words before it: 9 from bit
    /// 3 on. The second one vouches for everything up to 88, which is 104 bytes or 13 words before it: 14. So does its mark,
    /// 40 bytes or 5 words behind 88.
    fn log(&mut self) {
        self.mark(0, 1, 0, 0);
        self.record(64, key(1), (3, 1 | 9 << 3), b"one");
        self.mark(128, 1, 88, 5);
        let payload: Vec<u8> = (1..=40).collect();
        self.record(192, key(1), (40, 1 | 14 << 3), &payload);
    }
}

/// The offset of the confirmation word.
const CONFIRMATION: u64 = 16384;

/// The confirmation word for the last record, which ends at 248 = 31 * 8: the low 24 bits are 31.
fn confirmation() -> u64 {
    let product = u128::from(key(1) ^ 0xf8) * 0x9e37_79b9_7f4a_7c15 % (1 << 64);
    (product >> 24 << 24) as u64 + 31
}

/// Returns a root with the tag for this slot.
fn sealed(mut root: [u8; 120], slot: u64) -> [u8; 120] {
    let generation = u64::from_le_bytes(root[40..48].try_into().unwrap());
    let tag = h(h(k(1, generation, slot), &[&root[..16]]), &[&root[24..]]);
    root[16..24].copy_from_slice(&tag.to_le_bytes());
    root
}

/// Returns the whole image.
fn image() -> Vec<u8> {
    let mut image = Image::empty();
    image.root(1, 0);
    image.log();
    image.0
}

fn golden() -> SimMedium {
    let medium = Simulation::new(Model::X86, BYTES).zeros().medium();
    medium.write(0, &image());
    medium
}

#[test]
fn it_is_read_as_documented() {
    let (journal, Opened { recovered, .. }) = options().open(golden()).unwrap();
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
    let (journal, _) = options().create_new(&medium).unwrap();
    journal.append(b"one").unwrap();
    journal.append(&(1..=40).collect::<Vec<u8>>()).unwrap();
    let mut expected = image();
    expected[CONFIRMATION as usize..][..8].copy_from_slice(&confirmation().to_le_bytes());
    let mut found = vec![0; BYTES as usize];
    medium.read(0, &mut found).unwrap();
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "offset {at}: {found:#04x}, not {expected:#04x}");
    }
}

/// Epoch 2 begins at 128, after the record of epoch 1, and epoch 3 at 256. Each mark states the end of the previous
/// epoch.
#[test]
fn epochs_follow_each_other_as_documented() {
    for (before, is_whole) in [(88, true), (80, false), (96, false)] {
        let mut image = Image::empty();
        image.root(3, 216);
        image.mark(0, 1, 0, 0);
        image.record(64, key(1), (3, 1 | 9 << 3), b"one");
        // A whole record of epoch 1, which the opening discarded.
        image.record(104, key(1), (8, 1), &[7; 8]);
        image.mark(128, 2, before, 0);
        image.record(192, key(2), (3, 1 | 9 << 3), b"two");
        image.mark(256, 3, 216, 0);
        image.record(320, key(3), (5, 1 | 9 << 3), b"three");
        let reader = Reader::open(Bytes(&image.0)).unwrap();
        let found = reader.verify().unwrap();
        assert_eq!(
            (found.records, found.damage.is_none()),
            if is_whole { (3, true) } else { (1, false) }
        );
        // This begins in the segment of the second record.
        assert_eq!(reader.records_from(Position(192)).unwrap().count(), 2);
    }
}

/// Changes each byte of the golden file: only written records are returned, and nothing panics.
#[test]
fn each_changed_byte_is_noticed_or_harmless() {
    for at in (4096..4096 + 120).chain(12288..12288 + 120).chain(LOG..BYTES) {
        let medium = golden();
        let word = medium.load(at & !7, Relaxed);
        medium.store(at & !7, word ^ 0x10 << (at % 8 * 8), Relaxed);
        let opened = options().open(&medium);
        if let Some(ErrorKind::Damaged(_)) = reason(&opened) {
            // The first record vouches for nothing before it, the second one and its mark for the first one and its.
            assert!((LOG..LOG + 83).contains(&at), "offset {at}");
            continue;
        }
        let (journal, Opened { recovered, .. }) = opened.unwrap();
        assert_eq!(records(&journal).unwrap().len() as u64, recovered.records);
        assert_eq!(recovered.root_lost, at < LOG, "offset {at}");
        let (expected, torn) = match at.saturating_sub(LOG) {
            _ if at < LOG => ((2, 0), false),
            83..128 | 248.. => ((2, 0), false),
            // The second mark: the second record is after the gap.
            128..192 => ((1, 1), true),
            // The bits of the last record that state its position.
            206 | 207 => ((1, 0), false),
            _ => ((1, 0), true),
        };
        assert_eq!((recovered.records, recovered.after_gap), expected, "offset {at}");
        assert_eq!(recovered.torn, torn, "offset {at}");
    }
}

/// The same with a confirmation word for the last record: no acknowledged record is missing without an error.
#[test]
fn each_changed_byte_of_confirmed_records_is_damage_or_harmless() {
    for at in LOG..BYTES {
        let medium = golden();
        medium.store(CONFIRMATION, confirmation(), Relaxed);
        let word = medium.load(at & !7, Relaxed);
        medium.store(at & !7, word ^ 0x10 << (at % 8 * 8), Relaxed);
        let opened = options().open(&medium);
        let damaged =
            matches!(reason(&opened), Some(ErrorKind::Damaged(damage)) if damage.evidence.0 == 248);
        // After the payloads.
        let is_harmless = matches!(at - LOG, 83..128 | 248..);
        assert_eq!(damaged, !is_harmless, "offset {at}: {opened:?}");
    }
}

/// A confirmation word with one wrong bit confirms nothing, and does not damage an intact journal.
#[test]
fn each_changed_bit_of_the_word_that_confirms_is_harmless() {
    for bit in 0..64 {
        let medium = golden();
        medium.store(CONFIRMATION, confirmation() ^ 1 << bit, Relaxed);
        let (_, Opened { recovered, .. }) = options().open(&medium).unwrap();
        assert_eq!((recovered.records, recovered.torn), (2, false), "bit {bit}");
    }
}

/// A medium below the 16384 bytes of the roots is a journal only if a slot has its magic: the first one of the golden file is
/// at offset 4096.
#[test]
fn a_medium_shorter_than_its_roots_is_truncated_only_with_the_magic() {
    for (content, expected) in [
        (&image()[..4104], FormatError::Truncated { size: 4104, needed: 16384 }),
        (&image()[..4103], FormatError::Foreign { found: [0; 8] }),
        (&image()[..4000], FormatError::Foreign { found: [0; 8] }),
        (b"cmjournl", FormatError::Truncated { size: 8, needed: 16384 }),
        (b"cmjourn", FormatError::Foreign { found: *b"cmjourn\0" }),
        (b"c", FormatError::Foreign { found: *b"c\0\0\0\0\0\0\0" }),
        (b"a short text", FormatError::Foreign { found: *b"a short " }),
        (b"cm-store", FormatError::Foreign { found: *b"cm-store" }),
    ] {
        let refused = ErrorKind::from(Reader::open(Bytes(content)).unwrap_err().error);
        assert_eq!(refused, ErrorKind::Format(expected), "{content:?}");
    }
}

#[test]
fn a_missing_or_truncated_journal_is_refused() {
    let refused = |medium: &SimMedium| options().open(medium).unwrap_err().to_string();
    let empty = Simulation::new(Model::X86, BYTES).zeros().medium();
    assert!(refused(&empty).starts_with("there is no journal: the medium begins with zeros"));
    empty.write(0, b"PK\x03\x04 and so on");
    assert!(refused(&empty).starts_with("this is not a journal: it begins with PK\\x03\\x04 and"));
    let short = Simulation::new(Model::X86, BYTES - 8).medium();
    short.write(0, &image()[..BYTES as usize - 8]);
    assert!(refused(&short).starts_with("the journal needs 20864 bytes, but only 20856 are there"));
    let exists = options().create_new(golden());
    assert!(matches!(reason(&exists), Some(ErrorKind::Format(FormatError::Exists))));
}

/// Returns the root of the golden file for a slot, after a change of its version or generation.
fn with(slot: u64, change: impl Fn(&mut [u8; 120])) -> [u8; 120] {
    let mut root = image()[4096..][..120].try_into().unwrap();
    change(&mut root);
    sealed(root, slot)
}

/// Each slot in turn has another version, as if a later program had stored the newest root.
#[test]
fn a_root_of_a_later_version_is_refused() {
    for (slot, generation) in [(0, 2), (4096, 1), (8192, 2), (12288, 1)] {
        for (version, is_refused) in [(6, true), (4, false)] {
            let medium = golden();
            let other = with(slot, |root| (root[8], root[40]) = (version, generation));
            medium.write(slot, &other);
            let opened = options().open(&medium).map(drop);
            match reason(&opened) {
                Some(ErrorKind::Format(FormatError::Version { found: 6, .. })) if is_refused => {}
                None if !is_refused => {}
                _ => panic!("{opened:?}"),
            }
        }
    }
}

/// According to the documentation, generations are below 2^63. No real journal counts that far, so the root is forged.
#[test]
fn after_the_last_generation_nothing_is_opened_or_trimmed() {
    const LAST: u64 = (1 << 63) - 1;
    let medium = golden();
    for slot in EVEN {
        let last = with(slot, |root| root[40..48].copy_from_slice(&(LAST - 1).to_le_bytes()));
        medium.write(slot, &last);
    }

    let (journal, Opened { recovered, .. }) = options().open(&medium).unwrap();
    assert_eq!(recovered.records, 2);
    let refused = journal.trim(recovered.end);
    assert!(
        matches!(reason(&refused), Some(ErrorKind::Format(FormatError::WornOut))),
        "{refused:?}"
    );
    drop(journal);

    let image = |medium: &SimMedium| {
        let mut image = vec![0; BYTES as usize];
        medium.read(0, &mut image).unwrap();
        image
    };
    let before = image(&medium);
    let refused = options().open(&medium);
    assert!(
        matches!(reason(&refused), Some(ErrorKind::Format(FormatError::WornOut))),
        "{refused:?}"
    );
    assert!(image(&medium) == before);
    assert_eq!(Reader::open(&medium).unwrap().records().unwrap().count(), 2);
}

/// So are numbers of epochs. The last one has no record yet.
#[test]
fn after_the_last_epoch_nothing_is_opened() {
    let medium = golden();
    medium.write(LOG, &[0; 3 * 128]);
    for slot in ODD {
        let last = ((1_u64 << 63) - 1).to_le_bytes();
        medium.write(slot, &with(slot, |root| root[88..96].copy_from_slice(&last)));
    }
    let refused = options().open(&medium);
    let is_worn_out = matches!(reason(&refused), Some(ErrorKind::Format(FormatError::WornOut)));
    assert!(is_worn_out, "{refused:?}");
}

/// The bounds of XXH3, where it changes its method: 16, 128, 240 and blocks of 1024 bytes. A running tag has a buffer of
/// 256 bytes.
#[test]
fn tags_are_those_of_another_implementation() {
    let bytes: Vec<u8> = (0..5000_u32).map(|number| (number * 31 / 8) as u8).collect();
    let near = |bound: usize| bound - 1..bound + 2;
    for len in (0..260).chain([512, 1024, 2048, 4096].into_iter().flat_map(near)) {
        let (bytes, seed) = (&bytes[..len], 0x0123_4567_89ab_cdef);
        assert_eq!(tag::of(seed, bytes), h(seed, &[bytes]), "{len}");
        for cut in [0, 1, len / 2, len] {
            let mut running = tag::Running::new(seed);
            let (one, other) = bytes.split_at(cut.min(len));
            running.append(one);
            running.append(other);
            assert_eq!(running.finish(), h(seed, &[bytes]), "{len}, cut at {cut}");
        }
    }
}

/// Positions are below 2^63, too. The log has 3 segments of 128 bytes.
#[test]
fn no_record_is_appended_at_the_last_position() {
    let medium = golden();
    for slot in ODD {
        // The head, the end of the records before the epoch, and the end of the acknowledged records.
        let last = ((1_u64 << 63) - 6 * 128).to_le_bytes();
        let last = with(slot, |root| {
            for at in [64, 104, 112] {
                root[at..at + 8].copy_from_slice(&last);
            }
        });
        medium.write(slot, &last);
    }

    let (journal, _) = options().open(&medium).unwrap();
    let mut kept = 0;
    let refused = loop {
        let trimmed = match journal.append(b"record") {
            Ok(Position(position)) => {
                // As documented, with numbers of 128 bits.
                let words = u128::from(position / 8);
                let product = (words >> 16) * 0x9e37_79b9_7f4a_7c15;
                let mixed = product % (1 << 64) / (1 << 48);
                let at = LOG + position % (3 * 128) + 8;
                assert_eq!(u128::from(medium.load(at, Relaxed) >> 48), (words ^ mixed) % (1 << 16));
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
    assert!(
        matches!(reason(&refused), Some(ErrorKind::Format(FormatError::WornOut))),
        "{refused:?}"
    );
    drop(journal);
    let (_, Opened { recovered, .. }) = options().open(&medium).unwrap();
    assert_eq!(recovered.records, kept);
}
