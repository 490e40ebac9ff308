//! Every verdict, over plain memory as the medium and over files.

use super::format::{Damage, HEADER, Header, Instead, LEN, PERSISTED, STORED, compare};
use super::{Canary, Found, NAME, StartedBy, examine, find, is_covered, lay, plant};
use cachemaint::Cache;
use cachemaint::medium::{Granularity, Medium, Memory, Readable, WriterLock};
use cachemaint::survival::Backing;
use cachemaint_sim::mutation::{Mutation, Setting};
use cachemaint_sim::{Effort, Exploration, Model, Simulation, Violation};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::path::Path;
use std::sync::Mutex;

const OTHER_BOOT: Option<&str> = Some("11111111-0000-4000-8000-000000000002");

fn header() -> Header {
    Header { number: 0x5eed, ..super::format::tests::header() }
}

/// Memory that records the ranges that were written back.
struct Watched<'a> {
    memory: Memory<'a>,
    writebacks: Mutex<Vec<Range<u64>>>,
}

impl Readable for Watched<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.memory.len()
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.memory.load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        Readable::read(&self.memory, at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        Readable::check(&self.memory)
    }
}

impl Medium for Watched<'_> {
    fn granularity(&self) -> Granularity {
        self.memory.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.memory.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.memory.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.memory.write(at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.writebacks.lock().unwrap().push(range);
        Ok(())
    }

    fn fence(&self) {}

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

/// Returns the bytes of a canary in memory, and the ranges of it that were written back.
fn laid() -> (Vec<u8>, Vec<Range<u64>>) {
    let words: Vec<AtomicU64> = (0..LEN / 8).map(|_| AtomicU64::new(0)).collect();
    let memory = Memory::new(&words, Cache::host().unwrap(), Backing::Ram);
    let watched = Watched { memory, writebacks: Mutex::default() };
    let Ok(()) = lay(&watched, &header());
    let mut bytes = vec![0; usize::try_from(LEN).unwrap()];
    let Ok(()) = watched.read(0, &mut bytes);
    (bytes, watched.writebacks.into_inner().unwrap())
}

fn examined(bytes: &[u8]) -> anyhow::Result<Found> {
    examine(|at, into| {
        let at = usize::try_from(at).unwrap();
        into.copy_from_slice(&bytes[at..at + into.len()]);
        Ok(())
    })
}

fn verdict(bytes: &[u8], boot: Option<&str>, started_by: StartedBy) -> serde_json::Value {
    let found = examined(bytes).unwrap();
    serde_json::to_value(Canary::found(Path::new("/mnt/x"), found, boot, started_by)).unwrap()
}

fn words(bytes: &[u8], boot: Option<&str>) -> String {
    let canary =
        Canary::found(Path::new("/mnt/x"), examined(bytes).unwrap(), boot, StartedBy::Kexec);
    let rows = canary.rows().into_iter().map(|(label, text)| format!("{label}: {text}"));
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn one_part_is_persisted_and_the_other_only_stored() {
    let (bytes, writebacks) = laid();
    assert_eq!(writebacks, [65_536..81_920, 0..512], "the header is last");
    assert_eq!(&bytes[..8], b"CMCANARY");
    // The words at 65536 and 131072 have the offsets 0x10000 and 0x20000, and the number 0x5eed.
    assert_eq!(bytes[65_536..65_544], [0, 0, 1, 0, 0xed, 0x5e, 0, 0]);
    assert_eq!(bytes[131_072..131_080], [0, 0, 2, 0, 0xed, 0x5e, 0, 0]);
    assert!(bytes[81_920..131_072].iter().all(|byte| *byte == 0));
}

#[test]
fn in_the_boot_that_it_was_planted_in_nothing_is_proved() {
    let (bytes, _) = laid();
    let found = verdict(&bytes, Some(&header().boot), StartedBy::Kexec);
    assert_eq!(found["state"], "same_boot");
    assert_eq!(found["planted"]["at"], "2023-11-14 22:13:20 UTC");
    assert_eq!(found["planted"]["persisted_by"], "cache lines");
    assert_eq!(found["started_by"], serde_json::Value::Null, "it shows nothing of this boot");
    assert!(words(&bytes, Some(&header().boot)).contains("nothing is proved yet"));
}

#[test]
fn a_kept_canary_is_reported_for_one_reboot_only() {
    let (bytes, _) = laid();
    let found = verdict(&bytes, OTHER_BOOT, StartedBy::Loader(0x72));
    assert_eq!(found["state"], "kept");
    assert_eq!(found["started_by"]["loader"], 0x72);
    assert_eq!(found["persisted"]["damaged_bytes"], 0);
    let text = words(&bytes, OTHER_BOOT);
    assert!(text.contains("all 16384 persisted bytes, in another boot"), "{text}");
    assert!(text.contains("does not show that dirty lines were kept"), "{text}");
    assert!(text.contains("started by kexec"), "{text}");
    assert!(text.contains("no promise of the next time"), "{text}");
}

/// 64 bytes of zeros at 65536 + 128, and one other byte in the word at 70000 (= 8 x 8750).
#[test]
fn damage_names_its_bytes() {
    let (mut bytes, _) = laid();
    bytes[65_664..65_728].fill(0);
    bytes[70_003] ^= 1;
    let found = verdict(&bytes, OTHER_BOOT, StartedBy::Unknown);
    assert_eq!(found["state"], "damaged");
    assert_eq!(found["persisted"]["damaged_bytes"], 72);
    assert_eq!(
        found["persisted"]["damaged"],
        serde_json::json!([
            {"start": 65_664, "end": 65_728, "instead": "zeros"},
            {"start": 70_000, "end": 70_008, "instead": "other_bytes"},
        ])
    );
    let text = words(&bytes, OTHER_BOOT);
    assert!(
        text.contains(
            "72 of 16384 persisted bytes ARE LOST OR DAMAGED: 65664-65728 (zeros), 70000"
        ),
        "{text}"
    );
    // An unchanged boot id means that no reboot took place.
    assert_eq!(verdict(&bytes, Some(&header().boot), StartedBy::Unknown)["state"], "damaged");
}

#[test]
fn many_damaged_places_are_counted() {
    let (mut bytes, _) = laid();
    for place in 0..6 {
        bytes[65_536 + place * 64] ^= 0xff;
    }
    let text = words(&bytes, OTHER_BOOT);
    assert!(text.contains("48 of 16384"), "{text}");
    assert!(text.contains("65728-65736 (other bytes), and 2 more"), "{text}");
}

#[test]
fn lost_bytes_of_the_stored_part_show_dropped_dirty_lines() {
    let (mut bytes, _) = laid();
    bytes[131_072..131_136].fill(0);
    let found = verdict(&bytes, OTHER_BOOT, StartedBy::Unknown);
    assert_eq!(found["state"], "kept");
    assert_eq!(found["stored_only"]["damaged_bytes"], 64);
    let text = words(&bytes, OTHER_BOOT);
    assert!(text.contains("64 of 16384 bytes more are gone (131072-131136 (zeros))"), "{text}");
    assert!(text.contains("a write-back is needed"), "{text}");
    // With the persisted part lost too, nothing is concluded from it.
    bytes[65_536] ^= 1;
    let text = words(&bytes, OTHER_BOOT);
    assert!(text.contains("that shows nothing about dirty lines"), "{text}");
}

/// The place of a dropped line has zeros. Here a bit has changed in the word at 131080, or a block cannot be read.
#[test]
fn damage_of_the_stored_part_shows_nothing_about_dirty_lines() {
    let (mut bytes, _) = laid();
    bytes[131_072..131_080].fill(0);
    bytes[131_081] ^= 0x10;
    let unreadable =
        Damage { start: 131_584, end: 132_096, instead: Instead::Unreadable("EIO".to_owned()) };
    let changed = examined(&bytes).unwrap();
    let lost = Found { stored: vec![unreadable], ..changed.clone() };
    let cases = [
        (
            changed,
            "16 of 16384 bytes more ARE DAMAGED: 131072-131080 (zeros), 131080-131088 (other bytes)",
        ),
        (lost, "512 of 16384 bytes more ARE DAMAGED: 131584-132096 (EIO)"),
    ];
    for (found, damage) in cases {
        let canary = Canary::found(Path::new("/mnt/x"), found, OTHER_BOOT, StartedBy::Kexec);
        let text = format!("{:?}", canary.rows());
        assert!(!text.contains("a write-back is needed") && text.contains(damage), "{text}");
        assert!(text.contains("nothing about dirty lines"), "{text}");
        assert!(text.contains("all 16384 persisted bytes, but"), "{text}");
        assert!(canary.is_bad(), "{text}");
        assert_eq!(serde_json::to_value(&canary).unwrap()["state"], "damaged");
    }
}

#[test]
fn without_a_boot_id_nothing_is_concluded() {
    let (bytes, _) = laid();
    let found = verdict(&bytes, None, StartedBy::Kexec);
    assert_eq!(found["state"], "boot_unknown");
    assert_eq!(found["started_by"], serde_json::Value::Null);
    assert!(words(&bytes, None).contains("is not known"));
}

/// The mounts are those of a host, and of a container of systemd-nspawn.
#[test]
fn a_boot_id_that_a_container_mounts_is_not_the_kernels() {
    let host = "22 28 0:20 / /proc rw,nosuid shared:12 - proc proc rw\n";
    let covered = "61 22 0:55 /id /proc/sys/kernel/random/boot_id ro - tmpfs tmpfs rw\n";
    assert!(!is_covered(host));
    assert!(is_covered(&[host, covered].concat()));
}

/// A media error is in the second block of the persisted part.
#[test]
fn bytes_that_cannot_be_read_are_damage() {
    let (bytes, _) = laid();
    let found = examine(|at, into| {
        if at == PERSISTED.start + 512 {
            return Err(io::Error::from_raw_os_error(5));
        }
        let at = usize::try_from(at).unwrap();
        into.copy_from_slice(&bytes[at..at + into.len()]);
        Ok(())
    });
    let found = found.unwrap();
    assert_eq!(found.persisted.len(), 1);
    assert_eq!((found.persisted[0].start, found.persisted[0].end), (66_048, 66_560));
    let json = serde_json::to_value(&found.persisted[0].instead).unwrap();
    assert!(json["unreadable"].as_str().unwrap().contains("os error 5"), "{json}");
    assert!(found.stored.is_empty());
    assert_eq!(STORED.end - STORED.start, 16_384);
}

#[test]
fn a_canary_is_planted_and_found_and_nothing_else_is_written() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!find(directory.path()).is_there());
    plant(directory.path()).unwrap();
    let path = directory.path().join(NAME);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 196_608);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let before = std::fs::read(&path).unwrap();
    let found = find(directory.path());
    assert!(found.is_there() && !found.is_bad(), "{found:?}");
    assert_eq!(serde_json::to_value(&found).unwrap()["state"], "same_boot");

    let why = plant(directory.path()).unwrap_err().to_string();
    assert!(why.contains("exists already") && why.contains("remove it"), "{why}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "neither reading nor refusing writes");
}

/// Invalid files are not opened for writing, and not removed.
#[test]
fn an_invalid_canary_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    plant(directory.path()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        (Vec::new(), "has 0 bytes, and a canary has 196608"),
        (whole[..100_000].to_vec(), "has 100000 bytes, and a canary has 196608"),
        (vec![0; 196_608], "is not a canary: its first bytes are not CMCANARY"),
        (changed(0), "is not a canary: its first bytes are not CMCANARY"),
        (changed(8), "is a canary of version 0, and this command knows version 1"),
        (changed(40), "is a canary whose header is damaged"),
    ];
    for (bytes, words) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let found = find(directory.path());
        assert!(found.is_bad(), "{found:?}");
        let text = format!("{:?}", found.rows());
        assert!(text.contains(words), "{text}");
        assert!(plant(directory.path()).unwrap_err().to_string().contains("exists already"));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_and_a_directory_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    plant(other.path()).unwrap();
    let path = directory.path().join(NAME);
    std::os::unix::fs::symlink(other.path().join(NAME), &path).unwrap();
    assert!(format!("{:?}", find(directory.path()).rows()).contains("is a symbolic link"));
    assert!(plant(directory.path()).is_err());
    std::fs::remove_file(&path).unwrap();
    // A link that leads nowhere is something too.
    std::os::unix::fs::symlink(other.path().join("nothing"), &path).unwrap();
    assert!(format!("{:?}", find(directory.path()).rows()).contains("is a symbolic link"));
    assert!(plant(directory.path()).is_err());
    assert!(!other.path().join("nothing").exists());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(format!("{:?}", find(directory.path()).rows()).contains("is not a regular file"));
    assert_eq!(super::look(&other.path().join("nothing")).unwrap(), None);
}

#[test]
fn a_canary_wants_a_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(plant(file.path()).unwrap_err().to_string().contains("is not a directory"));
    assert!(plant(Path::new("/no/such/directory")).is_err());
}

/// Plants a canary and looks for the persisted part, after every crash that leaves all words but one as they were
/// stored last: all states would be too many.
fn explore(simulation: Simulation) -> Exploration {
    let planted = header();
    simulation.effort(Effort::Deviations(1)).crashes_in_recovery(0).explore(
        |medium, notes| {
            let Ok(()) = lay(medium, &planted);
            notes.add("planted");
        },
        |medium, notes| {
            let mut bytes = [0; HEADER];
            let Ok(()) = medium.read(0, &mut bytes);
            let header = match Header::decode(&bytes) {
                Ok(header) => header,
                Err(_) if notes.is_empty() => return Ok(()),
                Err(error) => return Err(Violation::lost(error.to_string())),
            };
            let mut part = vec![0; usize::try_from(PERSISTED.end - PERSISTED.start).unwrap()];
            let Ok(()) = medium.read(PERSISTED.start, &mut part);
            let mut damaged = Vec::new();
            compare(header.number, PERSISTED.start, &part, &mut damaged);
            Violation::unless(damaged.is_empty(), || format!("{damaged:?}"))
        },
    )
}

/// A canary whose planting was cut must not show that the machine lost persisted bytes.
#[test]
fn a_canary_with_a_header_has_all_that_it_persisted() {
    let media = [Model::X86, Model::ARM64, Model::NEUTRAL, Model::X86_EADR, Model::PAGES];
    for model in media {
        explore(Simulation::new(model, LEN)).assert_safe();
    }
}

#[test]
fn a_canary_planted_without_a_write_back_or_fence_is_caught() {
    let scenario = |setting: &Setting| explore(setting.simulation(LEN));
    Mutation::new().only_in("canary").run(&[&scenario]).assert_none();
}
