//! The format, byte by byte: what is documented in `cachemaint::journal`, computed by hand.

use crate::life::{options, records};
use cachemaint::journal::{Error, Reader};
use cachemaint::medium::Medium;
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering::Relaxed;

/// Three segments of 128 bytes.
const BYTES: u64 = 8192 + 3 * 128;

/// The superblock of generation 1, at offset 4096, as words whose first byte is the highest. Identity
/// 01234567..3210; capacity 384, window 256, segments of 128, alignment 8; head 0 in epoch 0; epoch 1 from 0 on.
const SUPERBLOCK: [u64; 16] = [
    0x636d_6a6f_7572_6e6c,
    0x0100_0000_6242_fe39,
    0xefcd_ab89_6745_2301,
    0x1032_5476_98ba_dcfe,
    0x8001_0000_0000_0000,
    0x0001_0000_0000_0000,
    0x8000_0000_0800_0000,
    0x0100_0000_0000_0000,
    0,
    0,
    0x0100_0000_0000_0000,
    0,
    0x0000_0000_2cdc_c847,
    0,
    0,
    0,
];

/// The log: a mark at 0, the record "one" at 64, a void from 88 to the end of the segment, a mark at 128, the
/// record of the bytes 1 to 40 at 192. Nothing behind.
const LOG: [u64; 48] = [
    0xdb88_9905_3000_0002,
    0,
    0xefcd_ab89_6745_2301,
    0x1032_5476_98ba_dcfe,
    0x0100_0000_0000_0000,
    0x2cdc_c847_0703_0200,
    0x8001_0000_0000_0000,
    0,
    0x959b_bd94_0300_0001,
    0x4000_0000_0000_0000,
    0x6f6e_6500_0000_0000,
    0x37b5_f6f7_1800_0003,
    0x5800_0000_0000_0000,
    0,
    0,
    0,
    0x3549_e068_3000_0002,
    0x8000_0000_0000_0000,
    0xefcd_ab89_6745_2301,
    0x1032_5476_98ba_dcfe,
    0x0100_0000_0000_0000,
    0x2cdc_c847_0703_0200,
    0x8001_0000_0000_0000,
    0,
    0x4a19_f5f6_2800_0001,
    0xc000_0000_0000_0000,
    0x0102_0304_0506_0708,
    0x090a_0b0c_0d0e_0f10,
    0x1112_1314_1516_1718,
    0x191a_1b1c_1d1e_1f20,
    0x2122_2324_2526_2728,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
];

fn golden() -> SimMedium {
    let medium = Simulation::new(Model::x86(), BYTES).medium();
    let words =
        SUPERBLOCK.iter().zip((4096..).step_by(8)).chain(LOG.iter().zip((8192..).step_by(8)));
    words.for_each(|(word, at)| medium.store(at, word.swap_bytes(), Relaxed));
    medium
}

#[test]
fn it_is_read_as_documented() {
    let (journal, recovered) = options().open(golden()).unwrap();
    assert_eq!((recovered.records, recovered.bytes), (2, 43));
    assert_eq!((recovered.head.get(), recovered.end.get()), (0, 248));
    assert!(!recovered.torn);
    let records = records(&journal).unwrap();
    let positions: Vec<_> = records.iter().map(|record| record.position.get()).collect();
    assert_eq!(positions, [64, 192]);
    assert_eq!(records[0].payload, b"one");
    assert!((1..=40).eq(records[1].payload.iter().copied()));
    assert_eq!(journal.identity().to_string(), "efcdab89674523011032547698badcfe");
}

#[test]
fn it_is_written_as_documented() {
    let medium = Simulation::new(Model::x86(), BYTES).medium();
    let journal = options().create(&medium).unwrap();
    journal.append(b"one").unwrap();
    journal.append(&(1..=40).collect::<Vec<u8>>()).unwrap();
    let expected = golden();
    for at in (0..BYTES).step_by(8) {
        let (found, expected) = (medium.load(at, Relaxed), expected.load(at, Relaxed));
        assert_eq!(found, expected, "offset {at}: {found:#018x}, not {expected:#018x}");
    }
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
                // What is in use: the mark and the first record, the void's header, the second mark and record.
                let first = 8192 + 88;
                let second = 8192 + 248;
                let is_void = (first + 16..8192 + 128).contains(&at);
                let expected = if at < first {
                    0
                } else if is_void || at >= second {
                    2
                } else {
                    1
                };
                assert_eq!(records.len(), expected, "offset {at}");
            }
            Err(Error::NotAJournal { .. }) => assert!((4096..4104).contains(&at), "offset {at}"),
            Err(Error::Superblocks) => assert!((4104..4224).contains(&at), "offset {at}"),
            Err(error) => panic!("offset {at}: {error}"),
        }
    }
}

#[test]
fn what_is_no_journal_or_not_all_of_one_is_refused() {
    let refused = |medium: &SimMedium| options().open(medium).unwrap_err().to_string();
    let empty = Simulation::new(Model::x86(), BYTES).medium();
    assert!(refused(&empty).starts_with("there is no journal, only zeros"));
    empty.write(0, b"PK\x03\x04 and so on");
    assert!(
        refused(&empty)
            .starts_with("no journal: it begins with PK\\x03\\x04 and instead of cmjournl")
    );
    let short = Simulation::new(Model::x86(), BYTES - 8).medium();
    let mut bytes = [0; 128];
    golden().read(4096, &mut bytes).unwrap();
    short.write(4096, &bytes);
    assert!(refused(&short).starts_with("the journal has 8576 bytes, but only 8568 are there"));
    let tiny = Simulation::new(Model::x86(), 4000).medium();
    assert!(matches!(options().open(&tiny), Err(Error::Truncated { size: 4000, needed: 4224 })));

    // Version 2, with the checksum that it has then.
    let later = golden();
    bytes[8] = 2;
    let mut rest = bytes[..12].to_vec();
    rest.extend_from_slice(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
    later.write(4096, &bytes);
    assert!(refused(&later).starts_with("the journal has version 2 of its format"));

    assert!(matches!(options().create(golden()), Err(Error::Exists)));
}

/// By the documentation generations are below 2^63. Nobody counts so far: such a superblock is forged.
#[test]
fn after_the_last_generation_nothing_is_opened_or_trimmed() {
    const LAST: u64 = (1 << 63) - 1;
    let medium = golden();
    let mut bytes = [0; 128];
    medium.read(4096, &mut bytes).unwrap();
    bytes[56..64].copy_from_slice(&(LAST - 1).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    // An even generation is the first.
    medium.write(0, &bytes);

    let (journal, recovered) = options().open(&medium).unwrap();
    assert_eq!(recovered.records, 2);
    let refused = journal.trim(recovered.end);
    assert!(matches!(refused, Err(Error::WornOut)), "{refused:?}");
    drop(journal);

    let image = |medium: &SimMedium| {
        let mut image = vec![0; BYTES as usize];
        medium.read(0, &mut image).unwrap();
        image
    };
    let before = image(&medium);
    let refused = options().open(&medium);
    assert!(matches!(refused, Err(Error::WornOut)), "{refused:?}");
    assert!(image(&medium) == before);
    assert_eq!(Reader::open(&medium).unwrap().records().count(), 2);
}
