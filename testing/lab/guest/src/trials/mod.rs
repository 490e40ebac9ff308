//! Crashes of a single program's memory, by the thousand, while its machine keeps running.
//!
//! Each trial has a few lives. In a life, the program works on a file, and notes how much was acknowledged in a
//! witness, which no crash affects. The plugin crashes the file before an event that the seed chooses
//! (`lose-lines/plugin/library/losses/trial.rs`). Then the file is judged: acknowledged work must exist. The next life continues
//! with what the crash has left.
//!
//! An instruction of the program can be omitted, by its offset. Then a trial must fail.

mod file;
mod journal;
mod recorder;
mod store;

use crate::number;
use anyhow::{Context as _, Result, bail};
use cachemaint::cache::Destination;
use cachemaint::dax::{DaxFile, Options};
use cachemaint::medium::OpenError;
use cachemaint_lab_protocol::trials::{Found, WORKS};
use core::ops::Range;
use core::sync::atomic::Ordering;
use lose_lines_mark as mark;
use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

/// The number of lives of a trial.
const LIVES: usize = 3;
/// The last possible event of a crash in lives that crash early, and very early.
const EARLY: u64 = 120;
const EARLIEST: u64 = 20;

/// Work on a file, which a crash interrupts.
pub(super) trait Work {
    /// Works until everything is done. The crash comes at some point. Each acknowledged step is noted.
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()>;

    /// Judges the file after the crash, given the acknowledgement of the last life, and takes over its state for the
    /// next life. An error describes the loss.
    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()>;
}

/// Returns the work of a trial with these random numbers.
type Start = fn(Chance) -> Box<dyn Work>;
/// The works by name, each with the size of its file.
const STARTS: [(&str, u64, Start); WORKS.len()] = [
    ("file", 64 << 10, |chance| Box::new(file::Bytes::new(chance))),
    ("journal", 40 << 10, |chance| Box::new(journal::Records::new(chance))),
    ("recorder", 64 << 10, |chance| Box::new(recorder::Recording::new(chance))),
    ("store", 256 << 10, |chance| Box::new(store::Blobs::new(chance))),
];

/// Random numbers derived from a seed (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Returns a number below a bound.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Returns a length below a bound.
    pub(super) fn len(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap_or_default()
    }
}

/// Lines that no crash affects.
pub(super) struct Witness {
    file: DaxFile,
}

impl Witness {
    const LEN: u64 = 64;

    /// Notes the number of acknowledged steps.
    pub(super) fn acknowledge(&self, steps: u64) {
        self.file.store(0, steps, Ordering::Release);
    }

    fn word(&self, at: u64) -> u64 {
        self.file.load(at, Ordering::Acquire)
    }
}

/// Runs `count` trials of a work, beginning with number `first`, and prints the findings. The instruction at offset
/// `omitted` of the program is omitted, unless that is 0.
pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let &[name, path, seed, first, count, omitted] = words else { bail!("{words:?}") };
    let [seed, first, count] = [number(seed)?, number(first)?, number(count)?];
    let (_, len, start) =
        STARTS.into_iter().find(|(known, ..)| *known == name).context("no such work")?;
    let file = map(path, len)?;
    let witness = Witness { file: map(&format!("{path}.witness"), Witness::LEN)? };
    let (base, omitted) = (base()?, number(omitted)?);
    mark::omit(if omitted == 0 { 0 } else { base + omitted });
    let found = Found { base, lives: 0, crashed: 0, failure: None };
    let mut trials = Trials { seed, events: [0; LIVES], found };
    for trial in first..first + count {
        let chance = Chance(seed ^ trial.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The first trial must not depend on earlier content.
        clear(&file, if trial == first { 0 } else { trial })?;
        trials.run_one(trial, &mut *start(chance), &file, &witness);
        // Its remains would mislead the next trial.
        if trials.found.failure.is_some() {
            break;
        }
    }
    let document = serde_json::to_string(&trials.found)?;
    writeln!(std::io::stdout(), "{document}").context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

struct Trials {
    seed: u64,
    /// The number of events in each life of the last trial, from which the next crash is chosen.
    events: [u64; LIVES],
    found: Found,
}

impl Trials {
    fn run_one(&mut self, trial: u64, work: &mut dyn Work, file: &DaxFile, witness: &Witness) {
        for life in 0..LIVES {
            let mut chance = Chance(self.seed ^ trial << 8 ^ life as u64);
            // Few events belong to a creation or an opening, which come first.
            let latest = match chance.below(4) {
                0 => EARLY,
                1 => EARLIEST,
                _ => self.events[life] + 1,
            };
            let event = chance.below(latest + 1);
            witness.acknowledge(0);
            mark::trial(range(file));
            mark::witness(range(&witness.file));
            mark::crash_at(event, chance.next());
            let lived = work.live(file, witness);
            mark::lose();
            self.found.lives += 1;
            self.events[life] = witness.word(48);
            self.found.crashed += witness.word(56);
            let acknowledged = witness.word(0);
            if let Err(why) = lived.and_then(|()| work.judge(file, acknowledged)) {
                self.found.failure = Some(format!(
                    "trial {trial}, life {life}, before event {event}, {acknowledged} acknowledged: {why:#}"
                ));
                break;
            }
        }
    }
}

/// In one of three trials, fills the file with zeros. In another one, zeros only the beginning of each page, which
/// leaves the remains of the previous trial without the formats' magics. In the third one, changes nothing.
fn clear(file: &DaxFile, number: u64) -> Result<()> {
    match number % 3 {
        0 => file.write(0, &vec![0; usize::try_from(file.len())?]),
        1 => (0..file.len()).step_by(4096).for_each(|page| file.write(page, &[0; 8])),
        _ => {}
    }
    Ok(())
}

/// Creates a log on a file with `create_new`. An earlier one is refused, and then overwritten. Returns the log, and
/// whether there was an earlier one.
fn create<'a, T, E>(
    file: &'a DaxFile,
    create_new: impl Fn(&'a DaxFile) -> Result<T, OpenError<&'a DaxFile, E>>,
) -> Result<(T, bool)>
where
    E: core::error::Error + Send + Sync + 'static,
{
    if let Ok(created) = create_new(file) {
        return Ok((created, false));
    }
    file.persist_fill(0..file.len(), 0, Destination::Unknown)?;
    Ok((create_new(file).map_err(|failed| failed.error)?, true))
}

/// Opens or creates a file of this length, and maps every page, so that the plugin finds it.
fn map(path: &str, len: u64) -> Result<DaxFile> {
    let options = Options::new().populate();
    if fs::exists(path).with_context(|| format!("cannot look for {path}"))? {
        return Ok(options.open(path)?);
    }
    Ok(options.create_new(path, len)?)
}

/// Returns the addresses at which a file is mapped.
fn range(file: &DaxFile) -> Range<*const u8> {
    let start = file.as_ptr(0).cast_const();
    start..start.wrapping_add(usize::try_from(file.len()).unwrap_or(usize::MAX))
}

/// Returns the address at which this program begins in memory.
fn base() -> Result<u64> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let first = maps.lines().find(|line| line.ends_with("/init")).context("it is not mapped")?;
    let (start, _) = first.split_once('-').context("a mapping")?;
    Ok(u64::from_str_radix(start, 16)?)
}

#[cfg(test)]
mod tests {
    use super::{STARTS, WORKS};

    #[test]
    fn the_host_asks_for_works_that_are_there() {
        assert_eq!(STARTS.map(|(name, ..)| name), WORKS);
    }
}
