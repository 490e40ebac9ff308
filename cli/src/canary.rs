//! A canary: a small file that shows, after a reboot, whether that reboot kept it.
//!
//! [`plant`] writes it into a directory, and [`find`] looks for it there later. It begins with a line of JSON ([`Header`]).
//! Behind it are two patterns, so far apart that no page of one (up to 64 KiB) is a page of the other. The first is
//! persisted, as the medium allows; the second is only stored, and left dirty in the caches (or in the page cache, where the
//! file system has no DAX). Each word of a pattern has its own offset in its low half, and the number of the canary in its
//! high half. A word that is lost or misplaced is therefore evident.
//!
//! # Conclusions
//! A canary is about one past event. It does not promise anything about the next one: firmware that kept RAM once can
//! train, test or clear it another time.
//!
//! - The persisted part is there, in another boot: every event since then kept it.
//! - The part that was only stored has zeros, as before, and the other is there: it was dirty, and was dropped. A
//!   write-back is needed to survive such a reboot.
//! - The part that was only stored has other bytes, or cannot be read: the memory did not keep it. That shows nothing
//!   about dirty lines.
//! - The part that was only stored is there too: that shows nothing about dirty lines. A cache writes lines back when
//!   it needs space, and Linux writes dirty pages back after some 30 s (`vm.dirty_expire_centisecs`), at a sync and at an
//!   unmount.
//!
//! Only x86 gives a hint of the kind of reboot: the loader of the kernel that runs now ([`StartedBy`]).

use anyhow::{Context as _, ensure};
use cachemaint::dax::{Guarantee, Options};
use cachemaint::medium::{Granularity, Medium};
use core::hash::{BuildHasher as _, Hasher as _};
use core::ops::Range;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::hash::RandomState;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The file's name in the directory.
const NAME: &str = "cachemaint-canary";
const LEN: u64 = 196_608;
/// The most bytes of the header, with the newline.
const HEADER: usize = 4096;
/// The pattern that is persisted.
const PERSISTED: Range<u64> = 65_536..81_920;
/// The pattern that is only stored.
const STORED: Range<u64> = 131_072..147_456;
/// The bytes that are read at once: an error of the medium is about a sector.
const SECTOR: usize = 512;
const WORD: usize = 8;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const RELEASE: &str = "/proc/sys/kernel/osrelease";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// 1; other forms have other numbers.
    canary: u32,
    /// A random number, which differs from that of any other canary.
    number: u32,
    planted: Planted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Planted {
    at: String,
    boot: String,
    kernel: String,
    backing: String,
    device: String,
    file_system: String,
    persisted_by: String,
}

/// A canary that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Canary {
    path: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    planted: Option<Planted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_by: Option<StartedBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persisted: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    NotThere,
    /// A file of its name exists that is not a canary, or that cannot be read.
    Unreadable,
    /// Whole, and no reboot came between.
    SameBoot,
    /// Whole, in another boot.
    Kept,
    /// Whole, but the boot is unknown.
    BootUnknown,
    /// Persisted bytes are not as they were, or stored ones have neither their pattern nor zeros.
    Damaged,
}

/// A pattern, and its changed parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Part {
    bytes: u64,
    damaged_bytes: u64,
    damaged: Vec<Damage>,
}

/// A part of a pattern that has changed: from `start` up to `end`, offsets in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Damage {
    start: u64,
    end: u64,
    instead: Instead,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Instead {
    Zeros,
    OtherBytes,
    /// The part could not be read, for this reason.
    Unreadable(String),
}

/// The loader of the running kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum StartedBy {
    /// The loader reports that it is kexec.
    Kexec,
    /// Another loader, by the number of `bootloader_type`.
    Loader(u64),
    /// The architecture does not show the loader, or the file cannot be read.
    Unknown,
}

/// Writes a canary into a directory. A canary that could not be written is removed.
pub(crate) fn plant(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    ensure!(cfg!(target_os = "linux"), "{shown}: a canary needs Linux, which identifies its boots");
    ensure!(directory.is_dir(), "{shown}: is not a directory; name one that exists");
    let path = directory.join(NAME);
    ensure!(
        fs::symlink_metadata(&path).is_err(),
        "{}: exists already; read it by `cachemaint inspect {shown}`, or remove it to plant another",
        path.display()
    );
    // Before anything is made: a canary without them could never show anything.
    let (boot, kernel) = (boot()?, read(RELEASE)?);
    let file = Options::new().allow_page_granularity().create_new(&path, LEN)?;
    let header = Header::new(file.guarantee(), boot, kernel);
    // Without a header the remaining file is not a canary.
    lay(&file, &header).inspect_err(|_| drop(fs::remove_file(&path)))
}

/// Reads the boot id of the kernel.
fn boot() -> anyhow::Result<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    ensure!(
        !is_covered(&mounts),
        "{BOOT} is an id of this container, which changes without a reboot; plant the canary outside of the container"
    );
    read(BOOT)
}

/// Returns true if another file is mounted over the boot id, by the list of mounts (`proc_pid_mountinfo(5)`, field 5).
/// systemd-nspawn (`setup_boot_id`) and LXC (`lxc_setup_boot_id`) mount a new id each time that a container starts.
fn is_covered(mounts: &str) -> bool {
    mounts.lines().any(|mount| mount.split(' ').nth(4) == Some(BOOT))
}

fn read(path: &str) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {path}: mount /proc"))?;
    Ok(text.trim().to_owned())
}

impl Header {
    fn new(guarantee: &Guarantee, boot: String, kernel: String) -> Self {
        let seconds = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let at = i64::try_from(seconds).ok().and_then(|second| Timestamp::from_second(second).ok());
        let backing = serde_json::to_value(guarantee.backing).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let number = RandomState::new().build_hasher().finish() as u32;
        Self {
            canary: 1,
            // The words of a pattern are never zero.
            number: number.max(1),
            planted: Planted {
                at: at
                    .map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
                    .unwrap_or_default(),
                boot,
                kernel,
                backing: backing.as_str().unwrap_or_default().to_owned(),
                device: guarantee.device.clone(),
                file_system: guarantee.file_system.clone(),
                persisted_by: match guarantee.granularity {
                    Granularity::Byte => "a fence alone",
                    Granularity::Line(_) => "cache lines",
                    Granularity::Page(_) => "msync",
                }
                .to_owned(),
            },
        }
    }

    fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let header = serde_json::from_slice::<Self>(line).ok().filter(|header| header.canary == 1);
        header.context(
            "is not a canary, or planting it was interrupted, or its header is damaged; look what it is, and remove it to \
             plant one",
        )
    }
}

/// Writes the parts. The header comes last: without it there is no canary.
fn lay<M: Medium<Error: Send + Sync + 'static>>(medium: &M, header: &Header) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(header)?;
    line.push(b'\n');
    ensure!(line.len() <= HEADER, "the names of the file system and its device are too long");
    // Copies are made of whole words.
    line.resize(line.len().next_multiple_of(WORD), 0);
    let persisted = pattern(header.number, PERSISTED);
    medium.persist_copy(&[(PERSISTED.start, &persisted)])?;
    medium.write(STORED.start, &pattern(header.number, STORED));
    medium.persist_copy(&[(0, &line)])?;
    Ok(())
}

/// Returns the pattern of a range, whose ends are multiples of 8.
fn pattern(number: u32, range: Range<u64>) -> Vec<u8> {
    let words = range.step_by(WORD).map(|at| u64::from(number) << 32 | at);
    words.flat_map(u64::to_le_bytes).collect()
}

/// Looks for a canary in a directory. The file is opened for reading only.
pub(crate) fn find(directory: &Path) -> Canary {
    let path = directory.join(NAME);
    let text = fs::read_to_string("/proc/sys/kernel/bootloader_type");
    let started_by = StartedBy::of(&text.unwrap_or_default());
    let mut found = look(&path).map_or_else(
        |why| Canary { reason: Some(format!("{why:#}")), ..Canary::new(State::Unreadable) },
        // Without its id the kind of boot stays unknown, and the canary reports that.
        |found| {
            found.map_or(Canary::new(State::NotThere), |found| {
                found.verdict(boot().ok(), started_by)
            })
        },
    );
    found.path = path.to_string_lossy().into_owned();
    found
}

/// The contents of a canary that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    header: Header,
    persisted: Part,
    stored: Part,
}

fn look(path: &Path) -> anyhow::Result<Option<Found>> {
    let named = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        named => named.context("cannot be examined")?,
    };
    // Only a regular file is opened: the opening of some devices has effects.
    ensure!(named.is_file(), "is not a regular file; remove it to plant a canary");
    ensure!(
        named.len() == LEN,
        "has {} bytes, and a canary has {LEN}: it was cut, or is another file; remove it to plant another",
        named.len()
    );
    let file = File::open(path).context(
        "cannot be opened; if its mode forbids that, run this as the user who planted it",
    )?;
    examine(|at, into| {
        let mut file = &file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(into)
    })
    .map(Some)
}

/// Reads a canary through `read`, which fills a buffer from an offset on.
fn examine(read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> anyhow::Result<Found> {
    let mut bytes = [0; HEADER];
    read(0, &mut bytes).context("its header cannot be read")?;
    let header = Header::decode(&bytes)?;
    let part = |range: Range<u64>| {
        let mut damaged: Vec<Damage> = Vec::new();
        let mut add = |start: u64, len: usize, instead: Instead| {
            let end = start + len as u64;
            match damaged.last_mut() {
                Some(last) if last.end == start && last.instead == instead => last.end = end,
                _ => damaged.push(Damage { start, end, instead }),
            }
        };
        for sector in range.clone().step_by(SECTOR) {
            let mut bytes = [0; SECTOR];
            if let Err(error) = read(sector, &mut bytes) {
                add(sector, SECTOR, Instead::Unreadable(error.to_string()));
                continue;
            }
            let expected = pattern(header.number, sector..sector + SECTOR as u64);
            let words = bytes.chunks(WORD).zip(expected.chunks(WORD));
            for (at, (found, expected)) in (sector..).step_by(WORD).zip(words) {
                if found == [0; WORD] {
                    add(at, WORD, Instead::Zeros);
                } else if found != expected {
                    add(at, WORD, Instead::OtherBytes);
                }
            }
        }
        let damaged_bytes = damaged.iter().map(|damage| damage.end - damage.start).sum();
        Part { bytes: range.end - range.start, damaged_bytes, damaged }
    };
    Ok(Found { persisted: part(PERSISTED), stored: part(STORED), header })
}

impl Found {
    /// Returns the verdict in the boot of this id.
    fn verdict(self, boot: Option<String>, started_by: StartedBy) -> Canary {
        let Self { header: Header { planted, .. }, persisted, stored } = self;
        let is_of_zeros = stored.damaged.iter().all(|damage| damage.instead == Instead::Zeros);
        let state = match &boot {
            _ if persisted.damaged_bytes > 0 || !is_of_zeros => State::Damaged,
            None => State::BootUnknown,
            Some(boot) if *boot == planted.boot => State::SameBoot,
            Some(_) => State::Kept,
        };
        Canary {
            started_by: boot.is_some_and(|boot| boot != planted.boot).then_some(started_by),
            planted: Some(planted),
            persisted: Some(persisted),
            stored_only: Some(stored),
            ..Canary::new(state)
        }
    }
}

impl Part {
    /// Returns the damaged bytes: `65536-66048 (zeros)`. The first four ranges are named.
    fn damage(&self) -> String {
        const NAMED: usize = 4;
        let named = self.damaged.iter().take(NAMED).map(|Damage { start, end, instead }| {
            let instead = match instead {
                Instead::Zeros => "zeros",
                Instead::OtherBytes => "other bytes",
                Instead::Unreadable(why) => why,
            };
            format!("{start}-{end} ({instead})")
        });
        let text = named.collect::<Vec<_>>().join(", ");
        match self.damaged.len().saturating_sub(NAMED) {
            0 => text,
            more => format!("{text}, and {more} more"),
        }
    }
}

impl StartedBy {
    /// The loader's type, which x86 alone shows, is in the high bits; 0xD is kexec (`Documentation/arch/x86/boot.rst`,
    /// `type_of_loader`).
    fn of(text: &str) -> Self {
        const KEXEC: u64 = 0xd;
        match text.trim().parse::<u64>() {
            Ok(number) if number >> 4 == KEXEC => Self::Kexec,
            Ok(number) => Self::Loader(number),
            Err(_) => Self::Unknown,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Kexec => "the running kernel was started by kexec, as its loader says, so no \
                            firmware ran before it; of earlier starts nothing is known"
                .to_owned(),
            Self::Loader(number) => format!(
                "the running kernel was started by another loader than kexec (bootloader_type \
                 {number:#x}), so most likely through firmware; whether the power was off, and what \
                 came before, does not show"
            ),
            Self::Unknown => "a kexec, a reset through firmware and a loss of power cannot be \
                              distinguished here"
                .to_owned(),
        }
    }
}

impl Canary {
    const fn new(state: State) -> Self {
        Self {
            path: String::new(),
            state,
            reason: None,
            planted: None,
            started_by: None,
            persisted: None,
            stored_only: None,
        }
    }

    /// Returns true if the canary is there.
    pub(crate) fn is_there(&self) -> bool {
        self.state != State::NotThere
    }

    /// Returns true if the canary is damaged or unreadable.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.state, State::Damaged | State::Unreadable)
    }

    /// Returns the report: labels and texts.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if let Some(reason) = &self.reason {
            rows.push(("found", format!("{} {reason}", self.path)));
        }
        if let Some(planted) = &self.planted {
            let Planted { at, boot, kernel, backing, device, file_system, persisted_by } = planted;
            rows.push((
                "planted",
                format!(
                    "{at} on {device} ({file_system}, {backing}), persisted by {persisted_by}; kernel {kernel}, boot \
                     {boot}"
                ),
            ));
        }
        if let (Some(persisted), Some(stored)) = (&self.persisted, &self.stored_only) {
            rows.push(("found", self.about_persisted(persisted)));
            rows.push(("only stored", self.about_stored(persisted, stored)));
        }
        if let Some(started_by) = &self.started_by {
            rows.push(("this boot", started_by.words()));
            let once = "what happened once, and no promise of the next time: the table says what is promised";
            rows.push(("This is", once.to_owned()));
        }
        rows
    }

    fn about_persisted(&self, persisted: &Part) -> String {
        let bytes = persisted.bytes;
        match self.state {
            _ if persisted.damaged_bytes > 0 => format!(
                "{} of {bytes} persisted bytes ARE LOST OR DAMAGED: {}",
                persisted.damaged_bytes,
                persisted.damage()
            ),
            State::SameBoot => format!(
                "all {bytes} persisted bytes, in the boot that it was planted in: nothing is proved \
                 yet. Reset the machine or kexec, mount the file system, and inspect again"
            ),
            State::Kept => format!(
                "all {bytes} persisted bytes, in another boot: what happened since then kept them"
            ),
            State::BootUnknown => format!(
                "all {bytes} persisted bytes; whether it is another boot is not known: make \
                 {BOOT} readable, and inspect outside of containers"
            ),
            State::Damaged | State::NotThere | State::Unreadable => {
                format!("all {bytes} persisted bytes, but not all of those that were only stored")
            }
        }
    }

    fn about_stored(&self, persisted: &Part, stored: &Part) -> String {
        let Part { bytes, damaged_bytes, .. } = stored;
        if *damaged_bytes == 0 {
            return match self.state {
                State::SameBoot => format!(
                    "{bytes} bytes more, there too: the caches are coherent. The kernel writes them back \
                     after some 30 s, so reset at once to see whether a reset drops dirty lines"
                ),
                _ => format!(
                    "{bytes} bytes more, there too. That does not show that dirty lines were kept: the \
                     caches, the kernel, a sync or an unmount may have written them back before"
                ),
            };
        }
        let shows = match self.state {
            State::Kept => "dirty lines were dropped, and a write-back is needed to survive that",
            State::Damaged if persisted.damaged_bytes == 0 => {
                "a dropped line leaves zeros, so the memory did not keep these bytes, which shows nothing about dirty lines"
            }
            _ => "that shows nothing about dirty lines",
        };
        format!("{damaged_bytes} of {bytes} bytes more are gone ({}): {shows}", stored.damage())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Found, HEADER, Header, LEN, PERSISTED, Planted, STORED, StartedBy, examine, is_covered,
        lay, pattern,
    };
    use cachemaint::medium::Readable as _;
    use cachemaint_sim::mutation::{Mutation, Setting};
    use cachemaint_sim::{Effort, Exploration, Model, Simulation, Violation};
    use serde_json::{Value, json};
    use std::io;

    const BOOT: &str = "0b7e9a2c-0000-4000-8000-000000000001";

    fn header() -> Header {
        let text = |text: &str| text.to_owned();
        Header {
            canary: 1,
            number: 0x5eed,
            planted: Planted {
                at: text("2023-11-14 22:13:20 UTC"),
                boot: text(BOOT),
                kernel: text("6.1.0-56-cloud-amd64"),
                backing: text("emulated_pmem"),
                device: text("pmem0"),
                file_system: text("ext4"),
                persisted_by: text("cache lines"),
            },
        }
    }

    /// Returns the bytes of a canary.
    fn laid() -> Vec<u8> {
        let medium = Simulation::new(Model::CACHES_KEPT, LEN).medium();
        lay(&medium, &header()).unwrap();
        let mut bytes = vec![0; usize::try_from(LEN).unwrap()];
        medium.read(0, &mut bytes).unwrap();
        bytes
    }

    fn examined(bytes: &[u8]) -> Found {
        let found = examine(|at, into| {
            let at = usize::try_from(at).unwrap();
            into.copy_from_slice(&bytes[at..at + into.len()]);
            Ok(())
        });
        found.unwrap()
    }

    fn verdict(bytes: &[u8], boot: Option<&str>) -> (Value, String) {
        let canary = examined(bytes).verdict(boot.map(str::to_owned), StartedBy::Kexec);
        let rows = canary.rows().into_iter().map(|(label, text)| format!("{label}: {text}"));
        let text = rows.collect::<Vec<_>>().join("\n");
        (serde_json::to_value(canary).unwrap(), text)
    }

    const OTHER: Option<&str> = Some("11111111-0000-4000-8000-000000000002");

    /// Offset 65536 is `0x0001_0000`, in the low half of a word; the number is in the high half.
    #[test]
    fn each_word_of_a_pattern_names_its_place() {
        let bytes = laid();
        assert_eq!(bytes[65_536..65_544], [0, 0, 1, 0, 0xed, 0x5e, 0, 0]);
        assert_eq!(bytes[131_072..131_080], [0, 0, 2, 0, 0xed, 0x5e, 0, 0]);
    }

    #[test]
    fn a_whole_canary_proves_something_in_another_boot_alone() {
        let bytes = laid();
        let (found, text) = verdict(&bytes, Some(BOOT));
        assert_eq!((&found["state"], found.get("started_by")), (&json!("same_boot"), None));
        assert_eq!(found["planted"]["persisted_by"], "cache lines");
        assert!(text.contains("nothing is proved yet"), "{text}");
        let (found, text) = verdict(&bytes, OTHER);
        assert_eq!((&found["state"], &found["started_by"]), (&json!("kept"), &json!("kexec")));
        for words in ["does not show that dirty lines were kept", "no promise of the next time"] {
            assert!(text.contains(words), "{text}");
        }
        let (found, text) = verdict(&bytes, None);
        assert_eq!(found["state"], "boot_unknown");
        assert!(text.contains("is not known"), "{text}");
    }

    /// 64 bytes of zeros at 65536 + 128, and one other byte in the word at 70000 (= 8 x 8750).
    #[test]
    fn damage_of_the_persisted_part_names_its_bytes() {
        let mut bytes = laid();
        bytes[65_664..65_728].fill(0);
        bytes[70_003] ^= 1;
        let (found, text) = verdict(&bytes, OTHER);
        assert_eq!(
            (&found["state"], &found["persisted"]["damaged_bytes"]),
            (&json!("damaged"), &json!(72))
        );
        let damaged = json!([
            {"start": 65_664, "end": 65_728, "instead": "zeros"},
            {"start": 70_000, "end": 70_008, "instead": "other_bytes"},
        ]);
        assert_eq!(found["persisted"]["damaged"], damaged);
        let expected =
            "72 of 16384 persisted bytes ARE LOST OR DAMAGED: 65664-65728 (zeros), 70000";
        assert!(text.contains(expected), "{text}");
    }

    /// The place of a dropped line has zeros; a changed bit or a bad sector shows nothing about lines.
    #[test]
    fn zeros_of_the_stored_part_show_dropped_lines_and_other_bytes_do_not() {
        let mut bytes = laid();
        bytes[131_072..131_136].fill(0);
        let (found, text) = verdict(&bytes, OTHER);
        assert_eq!(
            (&found["state"], &found["stored_only"]["damaged_bytes"]),
            (&json!("kept"), &json!(64))
        );
        assert!(text.contains("dirty lines were dropped, and a write-back is needed"), "{text}");
        bytes[131_137] ^= 0x10;
        let (found, text) = verdict(&bytes, OTHER);
        assert_eq!(found["state"], "damaged");
        assert!(text.contains("shows nothing about dirty lines"), "{text}");
        assert!(text.contains("all 16384 persisted bytes, but"), "{text}");
    }

    #[test]
    fn bytes_that_cannot_be_read_are_damage() {
        let bytes = laid();
        let found = examine(|at, into| {
            if at == PERSISTED.start + 512 {
                return Err(io::Error::from_raw_os_error(5));
            }
            let at = usize::try_from(at).unwrap();
            into.copy_from_slice(&bytes[at..at + into.len()]);
            Ok(())
        });
        let json = serde_json::to_value(found.unwrap().persisted).unwrap();
        assert_eq!(
            (&json["damaged_bytes"], &json["damaged"][0]["start"]),
            (&json!(512), &json!(66_048))
        );
        assert!(json["damaged"][0]["instead"]["unreadable"].is_string(), "{json}");
    }

    /// The mounts are those of a host, and of a container of systemd-nspawn.
    #[test]
    fn a_boot_id_that_a_container_mounts_is_not_the_kernels() {
        let host = "22 28 0:20 / /proc rw,nosuid shared:12 - proc proc rw\n";
        let covered = "61 22 0:55 /id /proc/sys/kernel/random/boot_id ro - tmpfs tmpfs rw\n";
        assert!(!is_covered(host) && is_covered(&[host, covered].concat()));
    }

    /// `type_of_loader` is 0xD0 of kexec, 0x72 of GRUB (`arch/x86/boot.rst`).
    #[test]
    fn kexec_is_distinguished_from_other_loaders() {
        assert_eq!(StartedBy::of("208\n"), StartedBy::Kexec);
        assert_eq!(StartedBy::of("114\n"), StartedBy::Loader(0x72));
        assert_eq!(StartedBy::of("\n"), StartedBy::Unknown);
    }

    /// Plants a canary and looks for the persisted part, after every crash that leaves all words but one as they were
    /// stored last: all states would be too many.
    fn explore(simulation: Simulation) -> Exploration {
        simulation.effort(Effort::Deviations(1)).crashes_in_recovery(0).explore(
            |medium, notes| {
                lay(medium, &header()).unwrap();
                notes.add("planted");
            },
            |medium, notes| {
                let mut bytes = [0; HEADER];
                medium.read(0, &mut bytes).unwrap();
                if let Err(error) = Header::decode(&bytes) {
                    return Violation::unless(notes.is_empty(), || error.to_string());
                }
                let mut part = vec![0; usize::try_from(PERSISTED.end - PERSISTED.start).unwrap()];
                medium.read(PERSISTED.start, &mut part).unwrap();
                let is_whole = part == pattern(header().number, PERSISTED);
                Violation::unless(is_whole, || "persisted bytes are lost".to_owned())
            },
        )
    }

    /// A canary whose planting was cut must not show that the machine lost persisted bytes.
    #[test]
    fn a_canary_with_a_header_has_all_that_it_persisted() {
        for model in [Model::X86, Model::ARM64, Model::NEUTRAL, Model::X86_EADR, Model::PAGES] {
            explore(Simulation::new(model, LEN)).assert_safe();
        }
        let scenario = |setting: &Setting| explore(setting.simulation(LEN));
        Mutation::new().only_in("canary").run(&[&scenario]).assert_none();
        assert_eq!(STORED.end - STORED.start, 16_384);
    }
}
