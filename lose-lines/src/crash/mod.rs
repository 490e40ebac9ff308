//! Crash tests of unmodified programs. The power of a machine is cut while the program runs, and lines that were not
//! written back are lost. Another machine with the same NVDIMM checks the state.
//!
//! The file system is made once, and the machine that made it is suspended. Each cut starts with a copy of both, so
//! cuts need no boot, are independent, and can be repeated one at a time.

pub(crate) mod code;
mod lost;
pub mod moments;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use self::code::Files;
use self::lost::{LostLines, Placed, Report, lost_lines};
use self::moments::{Counted, Counts, Moment};
use crate::check::{Failure, PRINTED, Run, Tested, Verdict, in_words};
use crate::fewest::{Needed, needed};
use crate::pool;
use crate::report::note;
use lose_lines_machine::acknowledged::Acknowledged;
use lose_lines_machine::losses::{Cut, number};
use lose_lines_machine::machine::Machine;
use lose_lines_machine::machine::agent::Mounted;
use lose_lines_machine::machine::ends::Ran;
use lose_lines_machine::machine::port::{self, Port};
use lose_lines_machine::machine::setup::Setup;
use lose_lines_machine::machine::suspended::Suspended;
use lose_lines_machine::pmem::{
    self, Contents, DIRECTORY, make_namespace, nvdimm_of, try_mount_again,
};
use lose_lines_machine::transcript::Transcript;
use lose_lines_plugin::policy::Policy;

/// The additional time of a machine beyond that of its program.
const BESIDES: Duration = Duration::from_secs(300);

/// The file with the physical address of the device's first byte.
const RESOURCE: &str = "/sys/block/pmem0/device/resource";

/// The number of checks for finding the fewest lost lines with which one fails.
const MOST_CHECKS: u32 = 30;

/// A program under test.
#[derive(Clone)]
pub struct CrashTest<'a> {
    pub test: Tested<'a>,
    pub policy: Policy,
    /// The lines that a cut loses regardless of the policy.
    pub lost: Vec<u32>,
    /// True if a streaming store writes its line back and needs only a fence.
    pub is_streaming_evicting: bool,
}

/// The settings of one emulator.
#[derive(Clone, Copy)]
struct Choices<'a> {
    seed: u64,
    policy: Policy,
    lost: &'a [u32],
    cut: Option<Cut>,
    follows_stores: bool,
}

impl Choices<'_> {
    /// The settings of a machine that keeps every line.
    const KEEPING: Self =
        Self { seed: 0, policy: Policy::All, lost: &[], cut: None, follows_stores: false };
    /// The settings of a machine that keeps every line and runs the program.
    const RUNNING: Self = Self { follows_stores: true, ..Self::KEEPING };
}

/// The result of one cut.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The chosen moment, as `--cut` takes it.
    pub moment: Moment,
    /// The seed of the losses.
    pub seed: u64,
    /// The reason why the cut came at a different moment than chosen.
    pub instead: Option<String>,
    #[serde(flatten)]
    pub checked: Checked,
    /// The lost lines if the check failed: the fewest with which it fails, if those were searched for.
    pub losses: Vec<LostLines>,
    /// The numbers of the fewest lines, as `--lose` takes them; empty unless they were searched for.
    pub fewest: Vec<u32>,
    /// True if the check fails even if no line is lost.
    pub needs_no_loss: bool,
    /// The reason why the fewest lines were not found.
    pub incomplete: Option<String>,
}

/// The result of a check.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The number of lines that the program had printed: what it had acknowledged.
    pub acknowledged: u64,
    /// The number of lines that had not persisted, and of those that were lost.
    pub dirty: u64,
    pub lost: u64,
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Checked {
    /// Returns the complaint about the check, if it failed.
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.verdict {
            Verdict::Failed(failure) => Some(failure),
            Verdict::Right | Verdict::Unmountable { .. } => None,
        }
    }
}

/// A check, with the lines that were lost before it and the files at that time.
struct Examined {
    checked: Checked,
    lost: Vec<u32>,
    placed: Placed,
}

/// The file system and the machine that each cut starts with.
pub struct Made {
    contents: Contents,
    machine: Suspended,
}

/// A machine that runs, and the lines that its program prints.
struct Running {
    machine: Machine,
    port: Port,
}

impl CrashTest<'_> {
    /// Makes the file system and the machine that each cut starts with.
    pub fn make(&self, log: &Transcript) -> Result<Made> {
        ensure!(
            self.test.kit.plugin.is_some(),
            "this emulator cannot lose lines; QEMU 10.0, 10.1 or 10.2 is needed"
        );
        let contents = Contents::new(self.test.kit, &format!("{}-made", self.test.name))?;
        let port = Port::new(&self.test.kit.work, &format!("{}-made", self.test.name))?;
        let setup = self.setup(&contents, Choices::KEEPING).devices(port.devices());
        let machine = Suspended::new(self.test.kit, &setup, log, |machine| {
            make_namespace(machine, "region0", "fsdax")?;
            machine.wait_for("/dev/pmem0")?;
            machine.wait_for(port::DEVICE)?;
            // Nothing of it is random, and no work is deferred: a repeated cut finds the same blocks.
            machine.run(
                "/bin/mke2fs -q -F -t ext4 -b 4096 -U 6c6f7365-0000-4000-8000-000000000000 -E \
                 hash_seed=6c6f7365-0000-4000-8000-000000000000,lazy_itable_init=0,lazy_journal_init=0 /dev/pmem0",
            )?;
            self.prepare(machine, log)
        })?;
        Ok(Made { contents, machine })
    }

    fn prepare(&self, machine: &mut Machine, log: &Transcript) -> Result<()> {
        if self.test.prepare.is_none() {
            return Ok(());
        }
        pmem::mount_again(machine)?;
        self.test.make_initial(machine, log)?;
        machine.unmount(DIRECTORY)
    }

    /// Runs the program without a cut and counts its events. The program and the check after it must succeed.
    pub fn count(&self, made: &Made, log: &Transcript) -> Result<Counted> {
        let medium = made.contents.copy(self.test.kit, self.test.name)?;
        let Running { mut machine, port } = self.start(made, &medium, Choices::RUNNING, log)?;
        let before = log.position()?;
        let ended = self.test.run(&mut machine, log)?.succeeded(self.test.may_fail)?;
        let (has_ended, time) = (ended.is_some(), ended.unwrap_or(self.test.limit));
        if has_ended {
            // After that nothing is lost. A process that the program left behind keeps the file system busy; it is cut,
            // too.
            drop(machine.unmount(DIRECTORY));
        }
        machine.end()?;
        let counts = Counts::of(&log.since(before)?).context("the plugin reported no counts")?;
        let lines = port.acknowledged()?;
        let examined = self.check(made, &medium, Choices::KEEPING, &lines, log)?;
        match examined.checked.verdict {
            Verdict::Right => Ok(Counted { counts, time, has_ended }),
            Verdict::Failed(Failure { why, output }) => bail!(
                "the check {why}, although no line was lost; its output:\n{}",
                output.trim_end()
            ),
            Verdict::Unmountable { why } => {
                bail!("the file system cannot be mounted, although no line was lost: {why}")
            }
        }
    }

    /// Cuts the power at a moment, and checks the state that this leaves.
    fn cut(
        &self,
        made: &Made,
        (moment, seed): (Moment, u64),
        finds_fewest: bool,
        log: &Transcript,
    ) -> Result<Outcome> {
        let medium = made.contents.copy(self.test.kit, self.test.name)?;
        let cut = match moment {
            Moment::At(cut) => Some(cut),
            Moment::End => None,
        };
        let before = log.position()?;
        let choices = Choices { cut, ..Choices::RUNNING };
        let Running { mut machine, port } = self.start(made, &medium, choices, log)?;
        let Run { ran, .. } = self.test.run(&mut machine, log)?;
        if ran != Ran::Cut {
            // Nothing else runs before the emulator ends and the plugin reports.
            machine.end()?;
        }
        let lines = port.acknowledged()?;
        let report = Report::read(&log.since(before)?);
        let policy = if self.lost.is_empty() { self.policy } else { Policy::All };
        let choices = Choices { seed, policy, lost: &self.lost, ..Choices::KEEPING };
        let left = medium.twin(self.test.kit, &format!("{}-left", self.test.name))?;
        let Examined { checked, lost, placed } = self.check(made, &medium, choices, &lines, log)?;
        let mut outcome = Outcome {
            moment,
            seed,
            instead: self.instead(moment, ran),
            checked,
            losses: Vec::new(),
            fewest: Vec::new(),
            needs_no_loss: false,
            incomplete: None,
        };
        if let Some(failure @ Failure { why, .. }) = outcome.checked.failure() {
            if finds_fewest || lost.is_empty() {
                note(&format!(
                    "{}, seed {seed}: the check FAILED: it {why}; searching for the fewest lost lines",
                    moment.in_words()
                ));
                match self.needed(made, &left, (&lost, failure), &lines, log) {
                    Ok(Needed::Nothing) => outcome.needs_no_loss = true,
                    Ok(Needed::Units(lines)) => outcome.fewest = lines,
                    Ok(Needed::Parts) => {}
                    Err(why) => outcome.incomplete = Some(format!("{why:#}")),
                }
            }
            let lost = if outcome.fewest.is_empty() { &lost } else { &outcome.fewest };
            if !outcome.needs_no_loss {
                let files = Files::read(self.test.program.files());
                outcome.losses = report.tell(lost, &placed, &files);
            }
        }
        Ok(outcome)
    }

    /// Returns the lines that must be lost for the check to fail in the same way.
    fn needed(
        &self,
        made: &Made,
        left: &Contents,
        (lost, first): (&[u32], &Failure),
        printed: &Acknowledged,
        log: &Transcript,
    ) -> Result<Needed<u32>> {
        needed(lost, MOST_CHECKS, |lost: &[u32]| {
            let medium = left.twin(self.test.kit, self.test.name)?;
            let choices = Choices { lost, ..Choices::KEEPING };
            let examined = self.check(made, &medium, choices, printed, log)?;
            Ok(examined.checked.failure().is_some_and(|failure| failure.kind() == first.kind()))
        })
    }

    /// Returns the reason why a cut did not come at its moment.
    fn instead(&self, moment: Moment, ran: Ran) -> Option<String> {
        match (moment, ran) {
            (Moment::At(_), Ran::Cut) | (Moment::End, Ran::Ended((Some(0), _))) => None,
            (_, Ran::Ended(end)) => Some(format!("the program {} before it", in_words(end))),
            _ => Some(format!("it did not come in {} s", self.test.limit.as_secs())),
        }
    }

    /// Checks the state of a medium after a cut.
    fn check(
        &self,
        made: &Made,
        medium: &Contents,
        choices: Choices<'_>,
        printed: &Acknowledged,
        log: &Transcript,
    ) -> Result<Examined> {
        let before = log.position()?;
        let Running { mut machine, port: _port } = self.resume(made, medium, choices, log)?;
        machine.write(PRINTED, printed.text())?;
        let (verdict, placed) = match try_mount_again(&mut machine)? {
            Mounted::Done => {
                let placed =
                    placed(&mut machine, nvdimm_of(self.test.kit, self.test.name, medium).base())?;
                (self.test.check(&mut machine, log)?.0, placed)
            }
            refused => (Verdict::unmounted(refused), Placed::default()),
        };
        machine.end()?;
        let report = log.since(before)?;
        let loss = report.lines().find(|line| line.starts_with("losses: loss "));
        let loss = loss.context("the plugin reported no losses")?;
        let number = |name| number(loss, name).with_context(|| format!("no {name} in {loss}"));
        let checked = Checked {
            acknowledged: printed.count(),
            dirty: number("dirty")?,
            lost: number("lost")?,
            verdict,
        };
        Ok(Examined { checked, lost: lost_lines(&report), placed })
    }

    /// Starts a machine with the program and the mounted medium.
    fn start(
        &self,
        made: &Made,
        medium: &Contents,
        choices: Choices<'_>,
        log: &Transcript,
    ) -> Result<Running> {
        let mut running = self.resume(made, medium, choices, log)?;
        pmem::mount_again(&mut running.machine)?;
        Ok(running)
    }

    fn resume(
        &self,
        made: &Made,
        medium: &Contents,
        choices: Choices<'_>,
        log: &Transcript,
    ) -> Result<Running> {
        let port = Port::new(&self.test.kit.work, self.test.name)?;
        let setup = self.setup(medium, choices).devices(port.devices());
        Ok(Running { machine: made.machine.resume(self.test.kit, &setup, log)?, port })
    }

    fn setup(&self, medium: &Contents, choices: Choices<'_>) -> Setup {
        let mut setup = nvdimm_of(self.test.kit, self.test.name, medium);
        self.test.add_to(&mut setup.files);
        setup.limit = self.test.limit + BESIDES;
        if let Some(losses) = &mut setup.losses {
            losses.seed = Some(choices.seed);
            losses.cut = choices.cut;
            losses.policy = choices.policy;
            losses.follows_stores = choices.follows_stores;
            losses.tells_lines = true;
            losses.lost = choices.lost.to_vec();
            if self.is_streaming_evicting {
                losses.more.push(String::from("user-streaming=evicting"));
            }
        }
        setup.with_room_for_files()
    }
}

/// Returns the places of the files on a medium that a machine has mounted. `memory` is the medium's physical address.
fn placed(machine: &mut Machine, memory: u64) -> Result<Placed> {
    let resource = machine.read(RESOURCE)?.with_context(|| format!("no {RESOURCE}"))?;
    let start = resource.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let start = start.with_context(|| format!("{RESOURCE} is {resource}"))?;
    let device = start.saturating_sub(memory);
    Ok(Placed { device, extents: machine.extents(DIRECTORY)? })
}

/// The results of all cuts.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    pub cuts: u64,
    /// The cuts between a printed line and the program's end.
    pub between: u64,
    pub dirty: u64,
    pub lost: u64,
    pub failures: u64,
    /// The states whose file system could not be mounted.
    pub not_mounted: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, between, dirty, lost, failures, not_mounted } = self;
        write!(
            f,
            "cuts: {cuts}, after an acknowledgement and before the end: {between}, dirty lines lost: {lost} of {dirty}, \
             failed checks: {failures}"
        )?;
        if *not_mounted > 0 { write!(f, ", not mounted: {not_mounted}") } else { Ok(()) }
    }
}

impl Outcome {
    /// Returns true if the cut came between a printed line and the program's end.
    fn is_between(&self) -> bool {
        self.checked.acknowledged > 0 && self.moment != Moment::End && self.instead.is_none()
    }

    /// Returns the result for a reader. `which` is the number of the cut and that of all; `repeating` is the command
    /// that repeats it.
    pub fn in_words(&self, which: (usize, usize), repeating: &str) -> String {
        let Self { moment, seed, instead, checked, losses, fewest, needs_no_loss, incomplete } =
            self;
        let Checked { acknowledged, dirty, lost, verdict } = checked;
        let instead = instead.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let cut = format!(
            "cut {} of {}, {}{instead}, seed {seed}: acknowledged {acknowledged}, {lost} of {dirty} dirty lines lost",
            which.0,
            which.1,
            moment.in_words(),
        );
        let Failure { why, .. } = match verdict {
            Verdict::Right => return format!("{cut}, the check succeeded"),
            Verdict::Unmountable { why } => {
                return format!(
                    "{cut}, the file system was NOT MOUNTED: {why}\n   to repeat: {repeating}"
                );
            }
            Verdict::Failed(failure) => failure,
        };
        let output = checked.failure().map(Failure::shown).unwrap_or_default();
        let needed = match fewest.len() as u64 {
            _ if *needs_no_loss => String::from(
                "   the check fails even if no line is lost: the file system's metadata or data of write(2) were not synced \
                 (fsync; for a mapping MAP_SYNC, or msync)\n",
            ),
            0 => String::new(),
            fewer if fewer == *lost => String::new(),
            fewer => format!("   the check fails with fewer lines lost, {fewer} of {lost}:\n"),
        };
        let losses = lost::in_words(losses);
        let incomplete = incomplete.as_ref().map_or_else(String::new, |why| {
            format!("   the fewest lost lines were not found: {why}\n")
        });
        format!(
            "{cut}, the check FAILED: it {why}\n{output}{needed}{losses}{incomplete}   to repeat: {repeating}"
        )
    }
}

/// Runs cuts, this many in parallel, and passes on their results in order, with numbers from 1. For the first failing
/// one, searches for the fewest lost lines with which it fails.
pub fn cut_all(
    test: &CrashTest<'_>,
    made: &Made,
    cuts: &[(Moment, u64)],
    jobs: usize,
    log: &Transcript,
    mut take: impl FnMut(usize, &Outcome) -> Result<()>,
) -> Result<Summary> {
    let (mut summary, has_failed) = (Summary::default(), AtomicBool::new(false));
    pool::in_order(
        cuts.iter(),
        jobs,
        |job| Ok(format!("{}-{job}", test.test.name)),
        |name, cut| {
            let beside = log.beside(name)?;
            let finds_fewest = test.lost.is_empty() && !has_failed.load(Ordering::Relaxed);
            let tested = Tested { name, ..test.test.clone() };
            let test = CrashTest { test: tested, ..test.clone() };
            let outcome = test.cut(made, *cut, finds_fewest, &beside);
            log.join(beside)?;
            let outcome = outcome?;
            if outcome.checked.failure().is_some() {
                has_failed.store(true, Ordering::Relaxed);
            }
            Ok(outcome)
        },
        |place, outcome| {
            summary.add(&outcome);
            take(place + 1, &outcome)
        },
    )?;
    Ok(summary)
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        let Checked { dirty, lost, verdict, .. } = &outcome.checked;
        self.cuts += 1;
        self.between += u64::from(outcome.is_between());
        self.dirty += dirty;
        self.lost += lost;
        self.failures += u64::from(matches!(verdict, Verdict::Failed(_)));
        self.not_mounted += u64::from(matches!(verdict, Verdict::Unmountable { .. }));
    }
}
