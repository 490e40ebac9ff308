//! Damage to each class of bytes, in one copy and in both, and arbitrary bytes.

use crate::life::{later, options, why};
use crate::random::Random;
use crate::seal::{self, entries, log, positions, records, u64_at};
use cachemaint::medium::{Bytes, Medium as _, Readable as _};
use cachemaint_store::{ErrorKind, Part, Reader, Store};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::looks::Looks;
use cachemaint_test_support::plain::Plain;
use std::collections::BTreeMap;

type Blobs = BTreeMap<String, Vec<u8>>;

/// Returns a store with values, blobs of one and of several chunks, and a region. Its log was compacted.
fn lived() -> (Vec<u8>, Blobs) {
    let medium = Plain::zeros(512 << 10);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    let mut blobs = Blobs::new();
    let mut transaction = store.begin().unwrap();
    transaction.create_region("ram", 4096).unwrap();
    transaction.commit().unwrap();
    for round in 0..60_u8 {
        let mut transaction = store.begin().unwrap();
        let name = format!("blob {}", round % 7);
        let len = [10, 300, 0, 256, 257, 70_000, 4096][usize::from(round) % 7];
        let bytes: Vec<u8> = (0..len).map(|at: u32| at as u8 ^ round).collect();
        transaction.put(&name, &bytes).unwrap();
        blobs.insert(name, bytes);
        transaction.commit().unwrap();
    }
    drop(store);
    let image = medium.bytes();
    assert!(u64_at(&image, 40) > 1, "it was compacted");
    (image, blobs)
}

fn found(image: &[u8]) -> Blobs {
    let reader = Reader::open(Bytes(image)).unwrap();
    let infos = reader.entries().map(|entry| entry.unwrap().0).filter(|info| &*info.name != "ram");
    infos.map(|info| (info.name.to_string(), reader.load(&info.name).unwrap())).collect()
}

#[test]
fn damage_of_one_copy_costs_nothing_and_is_mended() {
    let (image, blobs) = lived();
    let log = log(&image).unwrap();
    let end = positions(&image).last().unwrap().end;
    for mirror in log.mirrors {
        for at in (mirror..mirror + end).step_by(13) {
            let mut harmed = image.clone();
            harmed[at] ^= 0x41;
            assert!(found(&harmed) == blobs, "byte {at}");
            let medium = Plain::new(&harmed);
            let (store, opened) = options().open(medium.clone()).unwrap();
            let [damage] = opened.mended[..] else { panic!("{:?}", opened.mended) };
            let range = damage.offset..damage.offset + damage.len;
            assert!(damage.part == Part::RecordCopy && range.contains(&(at as u64)), "{damage:?}");
            drop(store);
            assert!(found(&medium.bytes()) == blobs, "byte {at}");
            assert_eq!(options().open(medium).unwrap().1.mended, []);
        }
    }
    let newest = [0, 4096].into_iter().max_by_key(|at| u64_at(&image, at + 40)).unwrap();
    for slot in [newest, newest + 8192] {
        for at in slot..slot + 112 {
            let mut harmed = image.clone();
            harmed[at] ^= 0x41;
            assert!(found(&harmed) == blobs, "byte {at}");
            let (_, opened) = options().open(Plain::new(&harmed)).unwrap();
            assert_eq!(opened.mended[0].part, Part::Root, "byte {at}");
        }
    }
}

/// The last record is the exception: nothing after it shows that it existed.
#[test]
fn damage_of_both_copies_is_reported_unless_the_record_is_the_last() {
    let (image, blobs) = lived();
    let (log, positions) = (log(&image).unwrap(), positions(&image));
    let (last, others) = positions.split_last().unwrap();
    let harm = |record: &core::ops::Range<usize>| {
        let mut harmed = image.clone();
        for mirror in log.mirrors {
            harmed[mirror + record.start + 45] ^= 1;
        }
        harmed
    };
    for record in others {
        let harmed = harm(record);
        let bytes = Bytes(&harmed);
        let snapshot = Reader::open(bytes).unwrap();
        let (mut known, mut errors) = (0, 0);
        for entry in snapshot.entries() {
            match entry.map_err(ErrorKind::from) {
                Ok((info, _)) => {
                    known += 1;
                    if let Some(bytes) = blobs.get(&*info.name) {
                        let mut found = vec![0; info.len as usize];
                        snapshot.blob(&info.name).unwrap().read_at(0, &mut found).unwrap();
                        assert!(found == *bytes);
                    }
                }
                Err(ErrorKind::Damaged(damage)) => {
                    errors += 1;
                    assert_eq!(damage.part, Part::Record);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(errors == 1 && known <= 8, "{known} and {errors}");
        for name in blobs.keys() {
            // The blob is unchanged or not known.
            let is_known = snapshot.stat(name).map(|info| info.map(|info| info.len));
            assert!(is_known.is_err() || is_known == Ok(Some(blobs[name].len() as u64)));
        }
        assert_eq!(snapshot.verify().unwrap().records.len(), 1);
        let refused = options().open(Plain::new(&harmed)).unwrap_err();
        let is_told =
            matches!(why(&refused), ErrorKind::Damaged(found) if found.part == Part::Record);
        assert!(is_told, "{refused}");
    }
    let before = u64_at(&image, log.mirrors[0] + last.start + 16) - 1;
    assert_eq!(Reader::open(Bytes(&harm(last))).unwrap().commit_number(), before);
    let (store, _) = options().open(Plain::new(&harm(last))).unwrap();
    assert_eq!(store.commit_number(), before + 1, "the opening follows the commit before");
}

/// It is the end of the log for an opening, but its reader knows better.
#[test]
fn the_reader_of_a_lost_last_commit_verifies_a_gap() {
    let (image, _) = lived();
    let (log, last) = (log(&image).unwrap(), positions(&image).pop().unwrap());
    let medium = Plain::new(&image);
    let reader = Reader::open(medium.clone()).unwrap();
    for at in [0, 8, 20, 33, 45, 63] {
        for mirror in log.mirrors {
            medium.write((mirror + last.start + at) as u64, &[image[mirror + last.start + at] ^ 1]);
        }
        let found = reader.verify().unwrap();
        let [gap] = found.records[..] else { panic!("{found:?}") };
        assert_eq!((gap.part, gap.len), (Part::Record, last.len() as u64));
        assert_eq!(gap.offset, (log.mirrors[0] + last.start) as u64);
        for mirror in log.mirrors {
            medium.write((mirror + last.start + at) as u64, &[image[mirror + last.start + at]]);
        }
        assert!(reader.verify().unwrap().is_whole());
    }
}

#[test]
fn damage_of_a_blob_costs_the_blob() {
    let (image, blobs) = lived();
    let reader = Reader::open(Bytes(&image)).unwrap();
    for name in blobs.keys() {
        let info = reader.stat(name).unwrap().unwrap();
        if info.len <= 256 {
            continue;
        }
        let mut harmed = image.clone();
        harmed[info.offset as usize + info.len as usize - 1] ^= 1;
        let bytes = Bytes(&harmed);
        let loaded = Reader::open(bytes).unwrap().load(name).map_err(ErrorKind::from);
        let Err(ErrorKind::Damaged(damage)) = loaded else { panic!("{loaded:?}") };
        let at = (info.len - 1) / 65_536 * 65_536;
        assert_eq!(damage.part, Part::Bytes { at });
        let (_, opened) = options().verify().open(Plain::new(&harmed)).unwrap();
        let found = opened.verification.unwrap();
        assert_eq!((found.damaged.len(), &*found.damaged[0].0), (1, &**name));
    }
    // The tags of a blob of several chunks.
    let info = reader.stat("blob 5").unwrap().unwrap();
    let mut harmed = image.clone();
    harmed[info.offset as usize + 70_000] ^= 1;
    let loaded = Reader::open(Bytes(&harmed)).unwrap().load("blob 5").map_err(ErrorKind::from);
    assert!(matches!(loaded, Err(ErrorKind::Damaged(found)) if found.part == Part::Tags));
}

fn put(store: &mut Store<Plain>, name: &str, bytes: &[u8]) -> u64 {
    let mut transaction = store.begin().unwrap();
    transaction.put(name, bytes).unwrap();
    transaction.commit().unwrap()
}

/// Returns a store whose last commit replaces two blobs and deletes one, with its number and the offset of the first
/// blob.
fn replaced() -> (Plain, Store<Plain>, u64, usize) {
    let medium = Plain::zeros(64 << 10);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    for name in ["a", "b", "c"] {
        put(&mut store, name, &[1; 1000]);
    }
    let mut transaction = store.begin().unwrap();
    transaction.put("a", &[2; 1000]).unwrap();
    transaction.put("b", &[2; 10]).unwrap();
    transaction.delete("c").unwrap();
    let number = transaction.commit().unwrap();
    let at = store.stat("a").unwrap().offset as usize;
    (medium, store, number, at)
}

/// A process is killed right after a commit, power is cut and a blob of the commit is damaged. Whoever asks finds the
/// commit with a damaged blob: a reader before any opening, an opening, and after an opening that was killed.
#[test]
fn a_commit_stands_whatever_happens_to_its_blobs() {
    let (medium, store, number, at) = replaced();
    let mut image = medium.bytes();
    drop(store);
    image[at + 999] ^= 1;
    for opening in 0..3 {
        let reader = Reader::open(Bytes(&image)).unwrap();
        assert_eq!(reader.commit_number(), number + opening);
        assert!(reader.stat("c").unwrap().is_none());
        let loaded = reader.load("a").map_err(ErrorKind::from);
        assert!(matches!(loaded, Err(ErrorKind::Damaged(_))), "{loaded:?}");
        assert_eq!(reader.load("b").unwrap(), [2; 10]);
        assert_eq!(&*reader.verify().unwrap().damaged[0].0, "a");
        let medium = Plain::new(&image);
        let (store, opened) = options().verify().open(medium.clone()).unwrap();
        assert_eq!(opened.verification.unwrap().damaged.len(), 1);
        image = medium.bytes();
        drop(store);
    }
}

/// All four slots are older and whole, because the writes of the newest root were lost.
#[test]
fn roots_that_are_older_than_the_log_are_noticed() {
    let medium = Plain::zeros(64 << 10);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    let mut before;
    loop {
        before = medium.bytes();
        put(&mut store, "a", &before[..200]);
        if medium.bytes()[..16_384] != before[..16_384] {
            break;
        }
    }
    put(&mut store, "a", b"acknowledged");
    drop(store);
    let mut image = medium.bytes();
    image[..16_384].copy_from_slice(&before[..16_384]);
    let is_told = |error: &ErrorKind<_>| matches!(error, ErrorKind::Damaged(found) if found.part == Part::NewerRoot);
    let refused = Reader::open(Bytes(&image)).unwrap_err();
    assert!(is_told(refused.error.kind()), "{refused}");
    let refused = options().open(Plain::new(&image)).unwrap_err();
    assert!(is_told(why(&refused)), "{refused}");
}

/// The random words are always the same, as in some firmware. The roots are zeroed, and the same operations are
/// repeated.
#[test]
fn a_store_that_is_created_again_has_nothing_of_the_one_before() {
    let medium = Plain::zeros(64 << 10);
    // Up to the third log. Its records are the same each time.
    let live = |commits: u8| {
        let (mut store, _) = options().create_new(medium.clone()).unwrap();
        let mut blobs = Blobs::new();
        for number in 0..commits {
            let name = (number % 5).to_string();
            put(&mut store, &name, &[number; 100]);
            blobs.insert(name, vec![number; 100]);
        }
        drop(store);
        let image = medium.bytes();
        let number = Reader::open(Bytes(&image)).unwrap().commit_number();
        assert!(number == 1 + u64::from(commits) && found(&image) == blobs, "{commits} commits");
        let (_, opened) = options().open(medium.clone()).unwrap();
        assert_eq!(opened.mended, []);
        for slot in [0, 4096, 8192, 12_288] {
            medium.write(slot, &[0; 4096]);
        }
    };
    for commits in [30, 12, 1, 0, 20, 8] {
        live(commits);
    }
}

/// Both copies of the newest root are damaged, after commits that followed it.
#[test]
fn a_lost_root_does_not_bring_an_older_store_back() {
    let (mut image, _) = lived();
    let newest = [0, 4096].into_iter().max_by_key(|at| u64_at(&image, at + 40)).unwrap();
    for slot in [newest, newest + 8192] {
        image[slot..slot + 112].fill(0xa5);
    }
    let refused = options().open(Plain::new(&image)).unwrap_err();
    assert!(matches!(why(&refused), ErrorKind::Damaged(_)), "{refused}");
}

/// A power cut during a commit that made the log grow: the mark in the old log was not durable. Its space is free
/// afterwards.
#[test]
fn a_log_that_was_left_by_growth_does_not_come_back() {
    let medium = Plain::zeros(256 << 10);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    put(&mut store, "a", b"old");
    let mut image = medium.bytes();
    let (mut before, mut grown) = (log(&image).unwrap(), log(&image).unwrap());
    let mut first = 0;
    for number in 0.. {
        (before, first) = (grown, u64_at(&image, grown.mirrors[0]));
        put(&mut store, &format!("{number:0100}"), &[7; 200]);
        image = medium.bytes();
        grown = log(&image).unwrap();
        if grown.capacity > before.capacity {
            break;
        }
    }
    for mirror in before.mirrors {
        assert_ne!(u64_at(&image, mirror), first);
        seal::put(&mut image, mirror, first);
    }
    let medium = Plain::new(&image);
    let (mut store, _) = options().open(medium.clone()).unwrap();
    put(&mut store, "a", b"new");
    drop(store);
    let mut image = medium.bytes();
    let newest = [0, 4096].into_iter().max_by_key(|at| u64_at(&image, at + 40)).unwrap();
    for slot in [newest, newest + 8192] {
        image[slot..slot + 112].fill(0xa5);
    }
    let refused = Reader::open(Bytes(&image)).map(drop).unwrap_err();
    let is_told =
        matches!(refused.error.kind(), ErrorKind::Damaged(found) if found.part == Part::NewerRoot);
    assert!(is_told, "{refused}");
}

/// Wrong numbers that are likely to reveal defects.
const WRONG: [u64; 10] = [0, 1, 64, 4095, 4096, 1 << 31, 1 << 32, 1 << 62, u64::MAX - 63, u64::MAX];

/// Changes a field of a root, a record or an entry. The tags may be corrected afterwards.
fn forge(random: &mut Random, image: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let mut places = vec![4096 + 8, 8192 + 8];
        places.extend(
            (0..8).flat_map(|word| [0, 4096, 8192, 12_288].map(|slot| slot + 40 + word * 8)),
        );
        if let Some(log) = log(image) {
            for record in records(image, log.mirrors[random.below(2)], log.capacity) {
                places.extend((0..5).map(|word| record.start + word * 8));
                let entries = entries(image, &record);
                places.extend(entries.iter().flat_map(|at| (0..8).map(move |word| at + word * 8)));
            }
        }
        let at = random.one_of(&places);
        let word = match random.below(3) {
            0 => random.one_of(&WRONG),
            1 => u64_at(image, at) ^ 1 << random.below(64),
            _ => u64_at(image, random.one_of(&places)),
        };
        seal::put(image, at, word);
    }
    if !random.once_in(4) {
        seal::seal(image);
    }
    if random.once_in(8) {
        image.truncate(random.below(image.len()));
    }
}

/// Reads and writes whatever the image contains, and checks that the work is bounded.
fn use_anything(image: &[u8]) {
    let looks = Looks::new(image);
    let len = looks.len() + 65_536;
    let bounded = |what: &str, times| {
        let taken = looks.taken();
        assert!(taken <= times * len, "{what} looked at {taken} of {len} bytes");
    };
    let snapshot = Reader::open(&looks);
    bounded("opening", 16);
    if let Ok(snapshot) = snapshot {
        let infos: Vec<_> = snapshot.entries().flatten().map(|(info, _)| info).collect();
        bounded("a list", 16);
        drop(snapshot.verify());
        bounded("a verification", 48);
        for info in infos.iter().take(4) {
            if let Ok(blob) = snapshot.blob(&info.name)
                && blob.info().len <= looks.len()
            {
                let mut bytes = vec![0; blob.info().len as usize];
                drop(blob.read_at(0, &mut bytes));
            }
            bounded("a blob", 2000);
        }
    }
    let medium = Plain::new(image);
    let Ok((mut store, _)) = later().verify().open(medium.clone()) else { return };
    let Ok(mut transaction) = store.begin() else { return };
    drop(transaction.put("new", &[1; 1000]));
    drop(transaction.put("value", &[1; 10]));
    if transaction.commit().is_ok() {
        let before: Vec<_> = store.list().collect();
        drop(store);
        let (store, _) = options().open(medium).unwrap();
        assert_eq!(store.list().count(), before.len());
    }
}

/// Each read returns the last acknowledged value or an error that names it, unless both mirrors of the last record are
/// damaged.
#[test]
fn whatever_is_damaged_no_older_value_is_returned() {
    let (image, blobs) = lived();
    let (log, records) = (log(&image).unwrap(), positions(&image));
    let infos: Vec<_> =
        Reader::open(Bytes(&image)).unwrap().entries().map(|it| it.unwrap().0).collect();
    for seed in 0..cases(5000) {
        let mut random = Random(seed);
        let mut harmed = image.clone();
        for _ in 0..=random.below(4) {
            // The roots, the last records in both mirrors, and the blobs.
            let at = match random.below(4) {
                0 => random.below(4) * 4096 + random.below(112),
                1 | 2 => {
                    let record = &records[records.len() - 1 - random.below(3)];
                    log.mirrors[random.below(2)] + record.start + random.below(record.len())
                }
                _ => {
                    let info = &infos[random.below(infos.len())];
                    info.offset as usize + random.below(info.len.max(1) as usize)
                }
            };
            harmed[at] ^= 1 << random.below(8);
        }
        let last = records.last().unwrap();
        let is_harmed = |mirror: &usize| {
            harmed[mirror + last.start..mirror + last.end]
                != image[mirror + last.start..mirror + last.end]
        };
        if log.mirrors.iter().all(is_harmed) {
            continue;
        }
        let Ok(reader) = Reader::open(Bytes(&harmed)) else { continue };
        for (name, bytes) in &blobs {
            let is_right = reader.load(name).is_ok_and(|found| found == *bytes);
            let is_named = reader
                .load(name)
                .map_err(ErrorKind::from)
                .is_err_and(|error| matches!(error, ErrorKind::Damaged(_)));
            assert!(is_right || is_named, "seed {seed}: {name}");
        }
        let entries: Result<Vec<_>, _> = reader.entries().collect();
        assert!(entries.is_err() || entries.unwrap().len() == infos.len(), "seed {seed}");
    }
}

#[test]
fn anything_is_read_to_an_end_with_bounded_work() {
    let (image, _) = lived();
    let image = &image[..200 << 10];
    for seed in 0..cases(3000) {
        let mut random = Random(seed);
        let mut forged = image.to_vec();
        forge(&mut random, &mut forged);
        use_anything(&forged);
    }
}

/// Each blob is damaged.
#[test]
fn a_verification_reads_everything_once_however_much_is_damaged() {
    let medium = Plain::zeros(2 << 20);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    for number in 0..1000 {
        transaction.put(&number.to_string(), &[7; 300]).unwrap();
    }
    transaction.commit().unwrap();
    let places: Vec<_> = store.list().map(|info| info.offset as usize).collect();
    drop(store);
    let mut image = medium.bytes();
    for at in places {
        image[at] ^= 1;
    }
    let looks = Looks::new(&image);
    let reader = Reader::open(&looks).unwrap();
    looks.taken();
    assert_eq!(reader.verify().unwrap().damaged.len(), 1000);
    let taken = looks.taken();
    assert!(taken <= 4 * looks.len(), "{taken} of {} bytes", looks.len());
}
