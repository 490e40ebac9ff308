//! `cachemaint canary`: a small file that shows, after a reboot, whether that reboot kept it.
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

use super::text::{self, heading, row};
use crate::failure::{damaged, unprinted};
use crate::output::removed;
use anyhow::{Context as _, bail, ensure};
use cachemaint::dax::Options;
use cachemaint::medium::{Granularity, Medium};
use cachemaint_inspect::FileReport;
use core::hash::{BuildHasher as _, Hasher as _};
use core::ops::Range;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::hash::RandomState;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

/// Plant a file that shows what a reboot keeps
///
/// Plant a canary, reset the machine or kexec, mount the file system, and show the canary. One part of it was persisted and
/// one only stored; the report shows how much of each is still there. This is one observation, not a promise. To test the
/// part that was only stored, reset within seconds: the kernel writes it back after about 30 s.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Write the file `cachemaint-canary` (192 KiB) to a directory
    ///
    /// This needs Linux. In a container with its own boot id (systemd-nspawn, LXC), the command refuses.
    Plant(Place),
    /// Show how much of a canary is still there
    ///
    /// The exit code is 1 if persisted bytes are lost or damaged, and 3 if there is no canary. Remove the file
    /// `cachemaint-canary` when you no longer need it.
    Show(Place),
}

#[derive(clap::Args)]
struct Place {
    /// The directory of the canary
    directory: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Place { directory, json } = match &arguments.command {
        Command::Plant(place) => {
            plant(&place.directory)?;
            place
        }
        Command::Show(place) => place,
    };
    let canary = find(directory)?;
    let path = directory.join(NAME);
    let printed = text::print(*json, &text::Document::of(&path, &canary), |out| {
        heading(out, "Canary")?;
        canary.rows().into_iter().try_for_each(|(label, text)| row(out, label, text))
    });
    match arguments.command {
        Command::Plant(_) => printed.with_context(|| unprinted("the canary is planted"))?,
        Command::Show(_) => printed?,
    }
    Ok(if canary.is_bad() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

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

/// A canary that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Canary {
    state: State,
    planted: Planted,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_by: Option<StartedBy>,
    persisted: Part,
    stored_only: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Whole, and no reboot came between.
    SameBoot,
    /// Whole, in another boot.
    Kept,
    /// Whole, but the boot is unknown.
    BootUnknown,
    /// Persisted bytes are not as they were, or stored ones have neither their pattern nor zeros.
    Damaged,
}

/// The bytes of a pattern, by what is there now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Part {
    bytes: u64,
    zeros: u64,
    other: u64,
    unreadable: u64,
    /// The offset in the file of the first byte that has changed.
    first: Option<u64>,
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
fn plant(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    ensure!(cfg!(target_os = "linux"), "{shown}: a canary needs Linux, which identifies its boots");
    ensure!(directory.is_dir(), "{shown}: is not a directory; name one that exists");
    let path = directory.join(NAME);
    ensure!(
        fs::symlink_metadata(&path).is_err(),
        "{}: already exists; show it with `cachemaint canary show {shown}`, or remove it to plant a new one",
        path.display()
    );
    // Before anything is made: a canary without them could never show anything.
    let (boot, kernel) = (boot()?, read(RELEASE)?);
    let file = Options::new().allow_page_granularity().create_new(&path, LEN)?;
    let header = Header::new(&FileReport::of(file.view())?, boot, kernel);
    // Without a header the remaining file is not a canary.
    lay(&file, &header).map_err(|error| removed(&path, error))
}

/// Reads the boot id of the kernel.
fn boot() -> anyhow::Result<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    ensure!(
        !is_covered(&mounts),
        "{BOOT} is an id of this container, which changes without a reboot; plant the canary outside the container"
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
    fn new(report: &FileReport, boot: String, kernel: String) -> Self {
        let seconds = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let backing = serde_json::to_value(report.backing).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let number = RandomState::new().build_hasher().finish() as u32;
        Self {
            canary: 1,
            // The words of a pattern are never zero.
            number: number.max(1),
            planted: Planted {
                at: text::time(seconds).unwrap_or_default(),
                boot,
                kernel,
                backing: backing.as_str().unwrap_or_default().to_owned(),
                device: report.device.clone(),
                file_system: report.file_system.clone(),
                persisted_by: match report.granularity {
                    Granularity::Byte => "a fence",
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
        header.ok_or_else(|| {
            damaged(
                "is not a canary, was planted only in part, or has a damaged header; check the file, and remove it \
                 to plant a new one",
            )
        })
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
fn find(directory: &Path) -> anyhow::Result<Canary> {
    let path = directory.join(NAME);
    let text = fs::read_to_string("/proc/sys/kernel/bootloader_type");
    let started_by = StartedBy::of(&text.unwrap_or_default());
    let found = look(&path).with_context(|| path.display().to_string())?;
    // Without its id the kind of boot stays unknown, and the canary reports that.
    Ok(found.verdict(boot().ok(), started_by))
}

/// The contents of a canary that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    header: Header,
    persisted: Part,
    stored: Part,
}

fn look(path: &Path) -> anyhow::Result<Found> {
    let named = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("there is no canary; plant one (`cachemaint canary plant`)")
        }
        named => named.context("cannot be examined")?,
    };
    // Only a regular file is opened: the opening of some devices has effects.
    ensure!(named.is_file(), "is not a regular file; remove it to plant a canary");
    if named.len() != LEN {
        let len = named.len();
        let why = "it was truncated, or is another file; remove it to plant a new one";
        return Err(damaged(format_args!("has {len} bytes instead of {LEN}: {why}")));
    }
    let file = File::open(path).context(
        "cannot be opened; if its mode forbids that, run this as the user who planted it",
    )?;
    examine(|at, into| {
        let mut file = &file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(into)
    })
}

/// Reads a canary through `read`, which fills a buffer from an offset on.
fn examine(read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> anyhow::Result<Found> {
    let mut bytes = [0; HEADER];
    read(0, &mut bytes)
        .map_err(|error| damaged(format_args!("its header cannot be read: {error}")))?;
    let header = Header::decode(&bytes)?;
    let part = |range: Range<u64>| {
        let mut part = Part { bytes: range.end - range.start, ..Part::default() };
        for sector in range.step_by(SECTOR) {
            let mut bytes = [0; SECTOR];
            if read(sector, &mut bytes).is_err() {
                part.unreadable += SECTOR as u64;
                part.first.get_or_insert(sector);
                continue;
            }
            let expected = pattern(header.number, sector..sector + SECTOR as u64);
            let words = bytes.chunks(WORD).zip(expected.chunks(WORD));
            for (at, (found, _)) in (sector..)
                .step_by(WORD)
                .zip(words)
                .filter(|(_, (found, expected))| found != expected)
            {
                let changed = if found == [0; WORD] { &mut part.zeros } else { &mut part.other };
                *changed += WORD as u64;
                part.first.get_or_insert(at);
            }
        }
        part
    };
    Ok(Found { persisted: part(PERSISTED), stored: part(STORED), header })
}

impl Found {
    /// Returns the verdict in the boot of this id.
    fn verdict(self, boot: Option<String>, started_by: StartedBy) -> Canary {
        let Self { header: Header { planted, .. }, persisted, stored } = self;
        let state = match &boot {
            _ if persisted.changed() > 0 || stored.other + stored.unreadable > 0 => State::Damaged,
            None => State::BootUnknown,
            Some(boot) if *boot == planted.boot => State::SameBoot,
            Some(_) => State::Kept,
        };
        Canary {
            state,
            started_by: boot.is_some_and(|boot| boot != planted.boot).then_some(started_by),
            planted,
            persisted,
            stored_only: stored,
        }
    }
}

impl Part {
    const fn changed(&self) -> u64 {
        self.zeros + self.other + self.unreadable
    }

    /// Returns the changed bytes: `64 zeros, 8 other bytes; the first at offset 65664`.
    fn change(&self) -> String {
        let kinds =
            [(self.zeros, "zeros"), (self.other, "other bytes"), (self.unreadable, "unreadable")];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let kinds: Vec<_> = kinds.map(|(count, kind)| format!("{count} {kind}")).collect();
        format!("{}; the first at offset {}", kinds.join(", "), self.first.unwrap_or_default())
    }
}

impl StartedBy {
    /// The loader's type, which only x86 shows, is in the high bits; 0xD is kexec (`Documentation/arch/x86/boot.rst`,
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
            Self::Kexec => "started by kexec, so no firmware ran just before it".to_owned(),
            Self::Loader(number) => {
                format!(
                    "started by a boot loader (bootloader_type {number:#x}), most likely through firmware"
                )
            }
            Self::Unknown => {
                "a kexec, a reset and a loss of power cannot be told apart here".to_owned()
            }
        }
    }
}

impl Canary {
    const fn is_bad(&self) -> bool {
        matches!(self.state, State::Damaged)
    }

    /// Returns the report: labels and texts.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let Planted { at, boot, kernel, backing, device, file_system, persisted_by } =
            &self.planted;
        let planted = format!(
            "{at} on {device} ({file_system}, {backing}), persisted by {persisted_by}; kernel {kernel}, boot {boot}"
        );
        let mut rows = vec![
            ("planted", planted),
            ("persisted", self.about_persisted()),
            ("only stored", self.about_stored()),
        ];
        if let Some(started_by) = &self.started_by {
            rows.push(("this boot", started_by.words()));
            let once = "one observation, not a promise for the next time: `cachemaint inspect` shows the promises";
            rows.push(("this is", once.to_owned()));
        }
        rows
    }

    fn about_persisted(&self) -> String {
        let Part { bytes, .. } = self.persisted;
        if self.persisted.changed() > 0 {
            let (changed, change) = (self.persisted.changed(), self.persisted.change());
            return format!("{changed} of {bytes} bytes ARE LOST OR DAMAGED ({change})");
        }
        let so = match self.state {
            State::SameBoot => {
                "but in the boot in which it was planted: nothing is proved yet. Reset the machine or kexec, mount the file system, and show the canary again"
            }
            State::Kept => "in another boot: every event since then preserved them",
            State::BootUnknown => {
                "but it is unknown whether this is another boot: show the canary outside a container, with /proc mounted"
            }
            State::Damaged => "but not all bytes that were only stored",
        };
        format!("all {bytes} bytes are there, {so}")
    }

    fn about_stored(&self) -> String {
        let Part { bytes, .. } = self.stored_only;
        let changed = self.stored_only.changed();
        let shows = match self.state {
            State::SameBoot if changed == 0 => {
                "the caches are coherent. The kernel writes them back after about 30 s, so reset at once to see if a reset drops dirty lines"
            }
            _ if changed == 0 => {
                "this does not show that dirty lines were kept: the caches, the kernel, a sync or an unmount may have written them back earlier"
            }
            State::Kept => "dirty lines were dropped, so data must be written back to survive this",
            State::Damaged if self.persisted.changed() == 0 => {
                "a dropped line would leave zeros, so the memory itself lost these bytes; this shows nothing about dirty lines"
            }
            _ => "this shows nothing about dirty lines",
        };
        match changed {
            0 => format!("all {bytes} bytes are there; {shows}"),
            _ => format!(
                "{changed} of {bytes} bytes are lost ({}): {shows}",
                self.stored_only.change()
            ),
        }
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
        for words in ["does not show that dirty lines were kept", "not a promise for the next time"]
        {
            assert!(text.contains(words), "{text}");
        }
        let (found, text) = verdict(&bytes, None);
        assert_eq!(found["state"], "boot_unknown");
        assert!(text.contains("it is unknown whether this is another boot"), "{text}");
    }

    /// 64 bytes of zeros at 65536 + 128, and one other byte in the word at 70000 (= 8 x 8750).
    #[test]
    fn damage_of_the_persisted_part_names_its_bytes() {
        let mut bytes = laid();
        bytes[65_664..65_728].fill(0);
        bytes[70_003] ^= 1;
        let (found, text) = verdict(&bytes, OTHER);
        assert_eq!(found["state"], "damaged");
        let persisted =
            json!({"bytes": 16_384, "zeros": 64, "other": 8, "unreadable": 0, "first": 65_664});
        assert_eq!(found["persisted"], persisted);
        let expected = "72 of 16384 bytes ARE LOST OR DAMAGED (64 zeros, 8 other bytes; the first at offset 65664)";
        assert!(text.contains(expected), "{text}");
    }

    /// The place of a dropped line has zeros; a changed bit or a bad sector shows nothing about lines.
    #[test]
    fn zeros_of_the_stored_part_show_dropped_lines_and_other_bytes_do_not() {
        let mut bytes = laid();
        bytes[131_072..131_136].fill(0);
        let (found, text) = verdict(&bytes, OTHER);
        assert_eq!((&found["state"], &found["stored_only"]["zeros"]), (&json!("kept"), &json!(64)));
        assert!(text.contains("dirty lines were dropped, so data must be written back"), "{text}");
        bytes[131_137] ^= 0x10;
        let (found, text) = verdict(&bytes, OTHER);
        assert_eq!(found["state"], "damaged");
        assert!(text.contains("shows nothing about dirty lines"), "{text}");
        assert!(text.contains("all 16384 bytes are there, but"), "{text}");
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
        let persisted = found.unwrap().persisted;
        assert_eq!(
            (persisted.unreadable, persisted.changed(), persisted.first),
            (512, 512, Some(66_048))
        );
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

    /// A canary whose planting was interrupted must not show that the machine lost persisted bytes.
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
