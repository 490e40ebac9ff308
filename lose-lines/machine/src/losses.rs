//! Machines that lose what was not written back: the memory that loses lines, the choices for each crash, and the
//! report of the emulator's plugin (`lose-lines/plugin/library/losses`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result, bail};
use rustix::fs::seek;
use rustix::io::Errno;

use lose_lines_plugin::policy::Policy;

use super::temporary::Temporary;

/// The memory that loses lines.
#[derive(Clone, Debug)]
pub enum Memory {
    /// A file that is the contents of an NVDIMM.
    File(PathBuf),
    /// A part of the machine's RAM. The file is made for one machine and removed with it.
    Ram {
        /// The size of the RAM.
        ram: u64,
        /// The place of the part in the RAM.
        offset: u64,
    },
}

/// The kinds of events of a program, by their names in the plugin.
pub const STORE: &str = "store";
pub const WRITEBACK: &str = "writeback";
pub const FENCE: &str = "fence";
pub const CALL: &str = "call";

/// The moment when the power is cut: before the n-th event of its kind in a program, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub event: &'static str,
    pub number: u64,
}

/// The losses of a machine.
#[derive(Clone, Debug)]
pub struct Losses {
    pub memory: Memory,
    /// The physical address of the memory.
    pub base: u64,
    pub size: u64,
    /// The address of the first instruction after a reset.
    pub reset: u64,
    /// Distinguishes the machines of a test.
    pub round: u64,
    /// The seed, if it is not derived from that of the run.
    pub seed: Option<u64>,
    pub policy: Policy,
    /// True if ordinary stores of user mode are followed too, which takes time. Cutting at a store needs it.
    pub follows_stores: bool,
    /// True if the plugin reports which lines are dirty at the machine's end, and which a crash loses.
    pub tells_lines: bool,
    /// The lines that a crash loses regardless of the policy.
    pub lost: Vec<u32>,
    pub cut: Option<Cut>,
    /// Additional arguments of the plugin.
    pub more: Vec<String>,
}

/// The first instruction of a PC (Intel SDM vol. 3A, 11.1.4), and of QEMU's arm64 boards with firmware, which is at
/// 0, or with a kernel; and of its riscv64 board (`hw/riscv/virt.c`, `VIRT_MROM`).
pub const RESET_OF_PC: u64 = 0xffff_fff0;
pub const RESET_OF_FIRMWARE: u64 = 0;
pub const RESET_OF_BOARD: u64 = 0x4000_0000;
pub const RESET_OF_RISCV: u64 = 0x1000;

impl Losses {
    /// Returns losses in which each crash loses some of the dirty lines. [`Policy::Any`] suits machines with
    /// many crashes.
    pub const fn new(memory: Memory, base: u64, size: u64) -> Self {
        Self {
            memory,
            base,
            size,
            reset: RESET_OF_PC,
            round: 0,
            seed: None,
            policy: Policy::Half,
            follows_stores: false,
            tells_lines: false,
            lost: Vec::new(),
            cut: None,
            more: Vec::new(),
        }
    }

    /// Returns the same for the whole RAM with the memory, of which a program can then watch any part.
    pub fn of_all_ram(self) -> Self {
        match self.memory {
            Memory::Ram { ram, offset } => Self {
                memory: Memory::Ram { ram, offset: 0 },
                base: self.base - offset,
                size: ram,
                ..self
            },
            Memory::File(_) => self,
        }
    }

    /// Returns the arguments of the plugin for a machine of this name with this CPU.
    pub fn arguments(&self, name: &str, cpu: &str, files: &Files) -> Vec<String> {
        let Files { live, persisted, out, .. } = files;
        let offset = match self.memory {
            Memory::File(_) => 0,
            Memory::Ram { offset, .. } => offset,
        };
        let mut arguments = vec![
            format!("live={}", live.display()),
            format!("offset={offset}"),
            format!("persisted={}", persisted.display()),
            format!("out={}", out.display()),
            format!("base={:#x}", self.base),
            format!("size={}", self.size),
            format!("reset={:#x}", self.reset),
            format!("seed={}", self.seed.unwrap_or_else(|| self.seed_by_name(name))),
            format!("policy={}", self.policy),
            String::from(clflush(cpu)),
        ];
        arguments.extend(self.more.iter().cloned());
        arguments.extend(self.cut.map(|Cut { event, number }| format!("cut={event}:{number}")));
        if self.follows_stores || self.cut.is_some_and(|cut| cut.event == STORE) {
            arguments.push(String::from("stores=followed"));
        }
        if self.tells_lines {
            arguments.push(String::from("lines=told"));
        }
        if !self.lost.is_empty() {
            let lines: Vec<String> = self.lost.iter().map(u32::to_string).collect();
            arguments.push(format!("lost={}", lines.join(":")));
        }
        arguments
    }

    /// Returns the seed of a machine, derived from the seed of the run, the name and the round.
    fn seed_by_name(&self, name: &str) -> u64 {
        chance(&format!("{name} machine {}", self.round))
    }
}

/// Returns the argument for the completion of CLFLUSH, which differs between vendors. The emulator's CPUs are AMD's
/// unless they name another vendor.
fn clflush(cpu: &str) -> &'static str {
    if cpu.contains("vendor=GenuineIntel") { "clflush=itself" } else { "clflush=mfence" }
}

/// Returns a random-looking number derived from the seed of the run and these words.
fn chance(words: &str) -> u64 {
    seed_of(&format!("{} {words}", seed_of_run()))
}

/// Returns a random-looking number derived from a text.
pub fn seed_of(text: &str) -> u64 {
    // FNV-1a, which every compiler version computes alike; the standard library's hashers make no such promise.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of the hash depend only on the low bits of the bytes.
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// Returns the next random number of a test, for arbitrary moments. The seed of the run repeats them.
pub fn random(name: &str) -> u64 {
    static DRAWN: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    let mut drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    let number = drawn.entry(name.to_owned()).or_default();
    *number += 1;
    chance(&format!("{name} number {number}"))
}

/// The environment variable with the seed of a run to be repeated.
pub const SEED: &str = "LAB_SEED";

/// Returns the seed of all losses in this run: the variable, or a random number.
pub fn seed_of_run() -> u64 {
    static RUN: OnceLock<u64> = OnceLock::new();
    *RUN.get_or_init(|| {
        given_seed()
            .ok()
            .flatten()
            .unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32)
    })
}

/// Returns the seed of all losses in this run, for a reader.
///
/// # Errors
/// If the variable is not a number.
pub fn checked_seed_of_run() -> Result<u64> {
    given_seed()?;
    Ok(seed_of_run())
}

/// Returns the seed in the variable, if there is one.
fn given_seed() -> Result<Option<u64>> {
    let Ok(given) = std::env::var(SEED) else { return Ok(None) };
    let seed = given.parse().with_context(|| format!("{SEED}={given} is not a number"))?;
    Ok(Some(seed))
}

/// The files of a machine that loses lines.
#[derive(Debug)]
pub struct Files {
    /// The memory that the machine sees.
    pub live: PathBuf,
    /// The memory that has persisted.
    pub persisted: PathBuf,
    /// The lines of the plugin.
    pub out: PathBuf,
    /// The files that were made for the machine and are removed with it.
    pub temporary: Vec<Temporary>,
}

impl Files {
    /// Returns the files of the machine of this name, and makes those of its RAM.
    pub fn new(losses: &Losses, work: &Path, name: &str) -> Result<Self> {
        let out = work.join(format!("{name}.losses"));
        drop(fs::remove_file(&out));
        let mut temporary = Vec::new();
        let live = match &losses.memory {
            Memory::File(file) => file.clone(),
            Memory::Ram { ram, .. } => {
                let file = work.join(format!("{name}.ram"));
                for (path, size) in [(file.clone(), *ram), (persisted(&file), losses.size)] {
                    let path = Temporary::new(path);
                    make_sparse(&path, size)?;
                    temporary.push(path);
                }
                file
            }
        };
        Ok(Self { persisted: persisted(&live), live, out, temporary })
    }
}

/// Returns the file of the persisted memory, next to that of the memory that a machine sees.
pub fn persisted(live: &Path) -> PathBuf {
    live.with_extension("persisted")
}

/// Creates a sparse file of zeros.
pub fn make_sparse(path: &Path, size: u64) -> Result<()> {
    File::create(path)
        .and_then(|file| file.set_len(size))
        .with_context(|| format!("cannot make {}", path.display()))
}

/// Copies a file without its blocks of zeros.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    const BLOCK: usize = 64 << 10;
    let copy = || -> std::io::Result<()> {
        let (mut source, mut copy) = (File::open(from)?, File::create(to)?);
        copy.set_len(source.metadata()?.len())?;
        let mut block = vec![0; BLOCK];
        let zeros = vec![0; BLOCK];
        loop {
            let at = source.stream_position()?;
            // Most of a medium was never stored to.
            match seek(&source, rustix::fs::SeekFrom::Data(at)) {
                Err(Errno::NXIO) => return Ok(()),
                at => at?,
            };
            let at = source.stream_position()?;
            let len = source.read(&mut block)?;
            if len == 0 {
                return Ok(());
            }
            if block[..len] != zeros[..len] {
                copy.seek(SeekFrom::Start(at))?;
                copy.write_all(&block[..len])?;
            }
        }
    };
    copy().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// The beginning of the complaint about faults.
pub const INVALID: &str = "the losses of this machine are not valid: ";

/// Checks that none of the plugin's lines is a fault: an instruction that is not modelled and invalidates every verdict
/// on the machine.
pub fn check(report: &str) -> Result<()> {
    let faults: Vec<&str> = report.lines().filter(|line| line.starts_with("fault ")).collect();
    if !faults.is_empty() {
        bail!("{INVALID}{}", faults.join("; "));
    }
    Ok(())
}

/// Returns the number of lines that the crashes in a report lost. One reset can execute the reset vector more than
/// once, which counts as crashes without losses.
pub fn lost_lines(report: &str) -> u64 {
    let crashes = report.lines().filter(|line| line.starts_with("loss "));
    crashes.filter_map(|line| number(line, "lost")).sum()
}

/// Returns the number after `NAME=` in a line of the plugin.
pub fn number(line: &str, name: &str) -> Option<u64> {
    let value = |word: &str| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    line.split_whitespace().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::{Cut, Files, Losses, Memory, STORE, check, copy_sparse, lost_lines};
    use std::fs;
    use std::path::{Path, PathBuf};

    #[test]
    fn a_machine_is_described_to_the_plugin() {
        let memory = Memory::Ram { ram: 1 << 30, offset: 4096 };
        let cut = Some(Cut { event: "fence", number: 3 });
        let losses = Losses { cut, ..Losses::new(memory, 1 << 32, 8192) };
        let files = Files {
            live: PathBuf::from("/live"),
            persisted: PathBuf::from("/persisted"),
            out: PathBuf::from("/out"),
            temporary: Vec::new(),
        };
        let arguments = losses.arguments("a", "max", &files);
        for expected in [
            "live=/live",
            "offset=4096",
            "base=0x100000000",
            "size=8192",
            "cut=fence:3",
            "policy=half",
        ] {
            assert!(arguments.iter().any(|argument| argument == expected), "{arguments:?}");
        }
        let follows = |arguments: &[String]| arguments.contains(&String::from("stores=followed"));
        assert!(!follows(&arguments), "{arguments:?}");
        for losses in [
            Losses { follows_stores: true, ..losses.clone() },
            Losses { cut: Some(Cut { event: STORE, number: 1 }), ..losses.clone() },
        ] {
            assert!(follows(&losses.arguments("a", "max", &files)), "{losses:?}");
        }
        let told = Losses { tells_lines: true, lost: vec![3, 5], ..losses.clone() };
        let arguments = told.arguments("a", "max", &files);
        assert!(["lines=told", "lost=3:5"].iter().all(|one| arguments.contains(&(*one).into())));
        let other = Losses { round: 1, ..losses.clone() };
        assert_ne!(losses.seed_by_name("a"), other.seed_by_name("a"));
        assert_ne!(losses.seed_by_name("a"), losses.seed_by_name("b"));
        assert_eq!(losses.seed_by_name("a"), losses.seed_by_name("a"));
        let chosen = Losses { seed: Some(7), ..losses.clone() }.arguments("a", "max", &files);
        assert!(chosen.iter().any(|argument| argument == "seed=7"), "{chosen:?}");
        assert_eq!(super::persisted(Path::new("/x/a.medium")), Path::new("/x/a.persisted"));
    }

    #[test]
    fn the_files_of_a_machine_go_with_it_and_if_one_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let losses = Losses::new(Memory::Ram { ram: 8192, offset: 4096 }, 1 << 32, 4096);
        let lens = |files: &Files| {
            [&files.live, &files.persisted].map(|file| file.metadata().unwrap().len())
        };
        let files = Files::new(&losses, folder.path(), "a").unwrap();
        assert_eq!(lens(&files), [8192, 4096]);
        drop(files);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // A directory is in the place of the second file.
        fs::create_dir(folder.path().join("a.persisted")).unwrap();
        let why = Files::new(&losses, folder.path(), "a").unwrap_err();
        assert!(why.to_string().contains("a.persisted"), "{why}");
        assert!(!folder.path().join("a.ram").exists());
    }

    #[test]
    fn the_lines_of_all_crashes_are_counted() {
        let report = "loss crash=1 policy=Half dirty=3 lost=2 pending=0\n\
                      loss crash=2 policy=Half dirty=9 lost=5 pending=0\ncounts half=user lost=9\n";
        assert_eq!(lost_lines(report), 7);
        assert_eq!(lost_lines("start seed=1"), 0);
    }

    #[test]
    fn a_copy_has_the_same_bytes_and_no_blocks_of_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let mut bytes = vec![0; 300_001];
        (bytes[70_000], bytes[299_999]) = (1, 2);
        fs::write(&from, &bytes).unwrap();
        fs::write(&to, "an older and another file").unwrap();
        copy_sparse(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), bytes);
    }

    #[test]
    fn faults_are_errors() {
        check("start seed=1 policy=Half\nloss crash=1\n").unwrap();
        let why = check("start seed=1\nfault unmodelled half=Lower at=0x1\n").unwrap_err();
        assert!(why.to_string().contains("fault unmodelled"), "{why}");
    }
}
