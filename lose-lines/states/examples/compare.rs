//! Compares a model with a file system: a program of generated operations, and a check that each state that the file
//! system is in after a cut is one of the model's.
//!
//! ```sh
//! lose-lines files --keep log --check true -- compare run 1
//! lose-lines drive --bring log --check "compare member log ext4" -- compare run 1
//! ```
//!
//! `compare forget 1` is the same program without its syncs: the check fails.

use core::time::Duration;
use std::collections::{BTreeMap, HashSet};
use std::env;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;

use lose_lines_states::{Log, Model, Random, States, member};

/// Names of files and directories: few, so that operations meet.
const FILES: [&str; 6] = ["a", "b", "c", "d/a", "d/b", "e/a"];
const DIRECTORIES: [&str; 3] = [".", "d", "e"];

/// The number of operations of a run.
const STEPS: u8 = 60;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["run", seed] => run(seed.parse()?, true).map(|()| ExitCode::SUCCESS),
        ["forget", seed] => run(seed.parse()?, false).map(|()| ExitCode::SUCCESS),
        ["accept"] => Ok(ExitCode::SUCCESS),
        ["member", log, model] => is_member(Path::new(log), model.parse()?),
        ["fingerprint", log, model] => {
            let code = is_member(Path::new(log), model.parse()?)?;
            writeln!(io::stdout(), "state {}", fingerprint(Path::new("."))?)?;
            // The state without losses must succeed.
            let is_end = printed()? == load(Path::new(log))?.lines_before(usize::MAX).count();
            Ok(if is_end { code } else if code == ExitCode::SUCCESS { 3.into() } else { code })
        }
        ["share", log, model, count, shown] => {
            share(Path::new(log), model.parse()?, count.parse()?, Path::new(shown))
        }
        _ => Err("compare run SEED | forget SEED | accept | member LOG MODEL | fingerprint LOG MODEL | share LOG MODEL COUNT FILE".into()),
    }
}

/// Returns one of these.
fn one<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len())]
}

/// Returns a place or a length: often at the border of a block or a sector.
fn place(random: &mut Random) -> u64 {
    match random.below(3) {
        0 => below(random, 4) * 4096,
        1 => below(random, 24) * 512,
        _ => below(random, 12_000),
    }
}

fn below(random: &mut Random, limit: u64) -> u64 {
    random.number() % limit
}

/// Runs the operations, and prints a line after each sync, even if it is left out.
fn run(seed: u64, syncs: bool) -> Result<(), Box<dyn Error>> {
    let (mut random, writes_back) = (Random(seed), env::var_os("WRITE_BACK").is_some());
    if writes_back {
        // The kernel writes back what is older than 10 ms, every 10 ms.
        for name in ["dirty_expire_centisecs", "dirty_writeback_centisecs"] {
            fs::write(Path::new("/proc/sys/vm").join(name), "1")?;
        }
    }
    for name in ["d", "e"] {
        fs::create_dir(name)?;
    }
    for number in 1..=STEPS {
        // An error is part of the run: it is the same everywhere.
        let is_synced = step(&mut random, number, syncs).unwrap_or(false);
        if is_synced {
            writeln!(io::stdout(), "{number}")?;
        }
        if writes_back {
            sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Returns true if it was a sync.
fn step(random: &mut Random, number: u8, syncs: bool) -> io::Result<bool> {
    let (name, other, directory) =
        (one(random, &FILES), one(random, &FILES), one(random, &DIRECTORIES));
    let (at, len) = (place(random), usize::try_from(place(random).max(1)).unwrap_or(1));
    let open = || OpenOptions::new().write(true).open(name);
    match random.below(20) {
        0..6 => OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(name)?
            .write_all_at(&vec![number; len], at)?,
        6..8 => {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(name)?
                .write_all(&vec![number; len])?;
        }
        8 => fs::write(name, vec![number; len])?,
        9..11 => open()?.set_len(at)?,
        11..13 => fs::rename(name, other)?,
        13 => fs::remove_file(name)?,
        14 => fs::hard_link(name, other)?,
        15 => fs::rename("d", "e")?,
        choice => {
            let file = if choice < 19 { open()? } else { File::open(directory)? };
            match choice {
                _ if !syncs => {}
                18 => file.sync_data()?,
                _ => file.sync_all()?,
            }
            return Ok(true);
        }
    }
    Ok(false)
}

fn load(log: &Path) -> io::Result<Log> {
    Log::load(BufReader::new(File::open(log)?))
}

/// Returns the number of lines that the program had printed before the cut.
fn printed() -> Result<usize, Box<dyn Error>> {
    Ok(fs::read(env::var("PRINTED")?)?.split(|byte| *byte == b'\n').count() - 1)
}

fn is_member(log: &Path, model: Model) -> Result<ExitCode, Box<dyn Error>> {
    let lines = printed()?;
    let Err(nearest) = member(&load(log)?, model, Path::new("."), lines)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let differences = nearest.differences.join(", ");
    writeln!(
        io::stdout(),
        "{model} cannot make it after {lines} lines; nearest is cut {}: {differences}",
        nearest.cut
    )?;
    Ok(ExitCode::FAILURE)
}

/// Returns a number that is equal for equal directories.
fn fingerprint(root: &Path) -> io::Result<u64> {
    let (mut left, mut all) = (vec![PathBuf::new()], BTreeMap::new());
    while let Some(below) = left.pop() {
        for entry in fs::read_dir(root.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                if path != Path::new("lost+found") {
                    left.push(path.clone());
                    all.insert(path, Vec::new());
                }
            } else {
                all.insert(path, fs::read(entry.path())?);
            }
        }
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes.len().to_le_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (path, bytes) in all {
        add(path.as_os_str().as_bytes());
        add(&bytes);
    }
    Ok(hash)
}

/// Says how many of the model's states are among the fingerprints of a file, one a line.
fn share(log: &Path, model: Model, count: usize, shown: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let log = load(log)?;
    let shown = fs::read_to_string(shown)?;
    let shown: HashSet<u64> = shown.lines().map(str::parse).collect::<Result<_, _>>()?;
    let folder = env::temp_dir().join(format!("compare-{}", std::process::id()));
    let mut states = HashSet::new();
    let chosen = States::new(&log, model).count(count);
    for state in States::new(&log, model).systematic().chain(chosen) {
        state.image.build(&folder)?;
        states.insert(fingerprint(&folder)?);
    }
    fs::remove_dir_all(&folder)?;
    let both = states.intersection(&shown).count();
    writeln!(
        io::stdout(),
        "{model}: {} states of the model, {} of the drive, {both} of both",
        states.len(),
        shown.len()
    )?;
    Ok(ExitCode::SUCCESS)
}
