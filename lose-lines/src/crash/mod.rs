//! Crash tests of unmodified programs. The power of a machine is cut while the program runs, and lines that were not
//! written back are lost. Another machine with the same NVDIMM checks the state.
//!
//! The file system is made once, and the machine that made it is suspended. Each cut starts with a copy of both, so
//! cuts need no boot, are independent, and can be repeated one at a time.

mod code;
mod lost;
pub mod moments;

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use crate::agent::Request;
use crate::fewest::fewest;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use self::code::Files;
use self::lost::{Lost, Placed, Report, lost_lines};
use self::moments::{Counted, Counts, Moment};
use crate::kit::Kit;
use crate::log::Log;
use crate::losses::{Cut, Policy, number};
use crate::machine::Machine;
use crate::machine::ends::Ran;
use crate::machine::programs::{End, printed};
use crate::machine::setup::Setup;
use crate::machine::suspended::Suspended;
use crate::pmem::{Contents, DIRECTORY, make_namespace, mount_again, nvdimm_of};
use crate::program::CommandLine;

/// The file on the checking machine with the lines that the program had printed before the cut.
pub(crate) const PRINTED: &str = "/lab/printed";

/// The additional time of a machine beyond that of its program.
const BESIDES: Duration = Duration::from_secs(300);

/// The file with the physical address of the device's first byte.
const RESOURCE: &str = "/sys/block/pmem0/device/resource";

/// The number of checks for finding the fewest lost lines with which one fails.
const MOST_CHECKS: u32 = 30;

/// A program under test.
#[derive(Clone)]
pub struct CrashTest<'a> {
    pub kit: &'a Kit,
    /// The name of the machines.
    pub name: &'a str,
    pub program: CommandLine,
    /// Makes the initial state of each cut; `None` for an empty file system.
    pub prepare: Option<CommandLine>,
    /// Checks the state.
    pub check: CommandLine,
    /// Additions to the environment of all of these programs.
    pub environment: Vec<(String, String)>,
    pub policy: Policy,
    /// The lines that a cut loses regardless of the policy.
    pub lost: Vec<u32>,
    /// True if a streaming store writes its line back and needs only a fence.
    pub is_streaming_evicting: bool,
    /// The time that the program and the check may take.
    pub limit: Duration,
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
    pub losses: Vec<Lost>,
    /// The numbers of the fewest lines, as `--lose` takes them; empty unless they were searched for.
    pub fewest: Vec<u32>,
}

/// The result of a check.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The number of lines that the program had printed: what it had acknowledged.
    pub acknowledged: u64,
    /// The number of lines that had not persisted, and of those that were lost.
    pub dirty: u64,
    pub lost: u64,
    /// The complaint about the check, if it failed.
    pub failure: Option<String>,
    /// The output of the check.
    pub output: String,
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

/// The run of a program until the power was cut.
pub(crate) struct Run {
    pub(crate) ran: Ran,
    time: Duration,
    pub(crate) printed: String,
}

impl CrashTest<'_> {
    /// Makes the file system and the machine that each cut starts with.
    pub fn make(&self, log: &Log) -> Result<Made> {
        ensure!(
            self.kit.plugin.is_some(),
            "this emulator cannot lose lines; QEMU 10.0, 10.1 or 10.2 is needed"
        );
        let contents = Contents::new(self.kit, &format!("{}-made", self.name))?;
        let mut setup = self.setup(&contents, Choices::KEEPING);
        for command in [&self.program, &self.check].into_iter().chain(&self.prepare) {
            command.add_to(&mut setup.files);
        }
        setup.files.text(PRINTED, "");
        let machine = Suspended::new(self.kit, &setup, log, |machine| {
            make_namespace(machine, "region0", "fsdax")?;
            machine.wait_for("/dev/pmem0")?;
            // Nothing of it is random, and no work is deferred: a repeated cut finds the same blocks.
            machine.run(
                "/bin/mke2fs -q -F -t ext4 -b 4096 -U 6c6f7365-0000-4000-8000-000000000000 -E \
                 hash_seed=6c6f7365-0000-4000-8000-000000000000,lazy_itable_init=0,lazy_journal_init=0 /dev/pmem0",
            )?;
            self.prepare(machine)
        })?;
        Ok(Made { contents, machine })
    }

    fn prepare(&self, machine: &mut Machine) -> Result<()> {
        let Some(prepare) = &self.prepare else { return Ok(()) };
        mount_again(machine)?;
        let ended = machine.run_request(&self.request(prepare, None))?;
        ensure!(ended == (Some(0), None), "the preparing program {}", in_words(ended));
        machine.unmount(DIRECTORY)
    }

    /// Runs the program without a cut and counts its events. The program and the check after it must succeed.
    pub fn count(&self, made: &Made, log: &Log) -> Result<Counted> {
        let medium = made.contents.copy(self.kit, self.name)?;
        let mut machine = self.start(made, &medium, Choices::RUNNING, log)?;
        let before = log.position()?;
        let Run { ran, time, printed } = self.run(&mut machine, self.limit, log)?;
        let has_ended = match ran {
            Ran::Ended((Some(0), _)) => true,
            Ran::Unended => false,
            Ran::Ended(end) => {
                bail!(
                    "the program {} without any cut; its output:\n{}",
                    in_words(end),
                    printed.trim_end()
                )
            }
            Ran::Cut => bail!("the emulator was killed"),
        };
        if has_ended {
            // After that nothing is lost. A process that the program left behind keeps the file system busy; it is cut,
            // too.
            drop(machine.unmount(DIRECTORY));
        }
        machine.end()?;
        let counts = Counts::of(&log.since(before)?).context("the plugin reported no counts")?;
        let Examined { checked, .. } =
            self.check(made, &medium, Choices::KEEPING, &printed, log)?;
        if let Some(why) = checked.failure {
            bail!(
                "the check {why}, although no line was lost; its output:\n{}",
                checked.output.trim_end()
            );
        }
        Ok(Counted { counts, time, has_ended })
    }

    /// Cuts the power at a moment, and checks the state that this leaves.
    fn cut(
        &self,
        made: &Made,
        (moment, seed): (Moment, u64),
        finds_fewest: bool,
        log: &Log,
    ) -> Result<Outcome> {
        let medium = made.contents.copy(self.kit, self.name)?;
        let cut = match moment {
            Moment::At(cut) => Some(cut),
            Moment::End => None,
        };
        let before = log.position()?;
        let mut machine = self.start(made, &medium, Choices { cut, ..Choices::RUNNING }, log)?;
        let Run { ran, printed, .. } = self.run(&mut machine, self.limit, log)?;
        if ran != Ran::Cut {
            // Nothing else runs before the emulator ends and the plugin reports.
            machine.end()?;
        }
        let report = Report::read(&log.since(before)?);
        let policy = if self.lost.is_empty() { self.policy } else { Policy::All };
        let choices = Choices { seed, policy, lost: &self.lost, ..Choices::KEEPING };
        let left = medium.twin(self.kit, &format!("{}-left", self.name))?;
        let Examined { checked, lost, placed } =
            self.check(made, &medium, choices, &printed, log)?;
        let mut outcome = Outcome {
            moment,
            seed,
            instead: self.instead(moment, ran),
            checked,
            losses: Vec::new(),
            fewest: Vec::new(),
        };
        if outcome.checked.failure.is_some() {
            if finds_fewest {
                outcome.fewest = self.fewest(made, &left, &lost, &printed, log)?;
            }
            let lost = if outcome.fewest.is_empty() { &lost } else { &outcome.fewest };
            let files = Files::read(self.program.files());
            outcome.losses = report.tell(lost, &placed, &files);
        }
        Ok(outcome)
    }

    /// Returns the fewest of the lost lines with which the check fails, or `None` if it does not fail with all of them,
    /// for example because only parts of lines were lost.
    fn fewest(
        &self,
        made: &Made,
        left: &Contents,
        lost: &[u32],
        printed: &str,
        log: &Log,
    ) -> Result<Vec<u32>> {
        let fails = |lost: &[u32]| {
            let medium = left.twin(self.kit, self.name)?;
            let choices = Choices { lost, ..Choices::KEEPING };
            let examined = self.check(made, &medium, choices, printed, log)?;
            anyhow::Ok(examined.checked.failure.is_some())
        };
        if fails(lost)? { fewest(lost, MOST_CHECKS, fails) } else { Ok(Vec::new()) }
    }

    /// Returns the reason why a cut did not come at its moment.
    fn instead(&self, moment: Moment, ran: Ran) -> Option<String> {
        match (moment, ran) {
            (Moment::At(_), Ran::Cut) | (Moment::End, Ran::Ended((Some(0), _))) => None,
            (_, Ran::Ended(end)) => Some(format!("the program {} before it", in_words(end))),
            _ => Some(format!("it did not come in {} s", self.limit.as_secs())),
        }
    }

    /// Checks the state of a medium after a cut.
    fn check(
        &self,
        made: &Made,
        medium: &Contents,
        choices: Choices<'_>,
        printed: &str,
        log: &Log,
    ) -> Result<Examined> {
        let before = log.position()?;
        let lines = acknowledged(printed);
        let mut machine = self.start(made, medium, choices, log)?;
        machine.write(PRINTED, lines)?;
        let memory = self.setup(medium, choices).losses.map_or(0, |losses| losses.base);
        let placed = placed(&mut machine, memory)?;
        let request = self.request(&self.check, Some(("PRINTED", PRINTED)));
        let Run { ran, printed: output, .. } = run(&mut machine, &request, self.limit, log)?;
        machine.end()?;
        let failure = match ran {
            Ran::Ended((Some(0), _)) => None,
            Ran::Ended(end) => Some(in_words(end)),
            Ran::Unended => Some(format!("did not end in {} s", self.limit.as_secs())),
            Ran::Cut => bail!("the emulator was killed"),
        };
        let report = log.since(before)?;
        let loss = report.lines().find(|line| line.starts_with("losses: loss "));
        let loss = loss.context("the plugin reported no losses")?;
        let number = |name| number(loss, name).with_context(|| format!("no {name} in {loss}"));
        let checked = Checked {
            acknowledged: count(lines),
            dirty: number("dirty")?,
            lost: number("lost")?,
            failure,
            output,
        };
        Ok(Examined { checked, lost: lost_lines(&report), placed })
    }

    /// Starts a machine with the program and the mounted medium.
    fn start(
        &self,
        made: &Made,
        medium: &Contents,
        choices: Choices<'_>,
        log: &Log,
    ) -> Result<Machine> {
        let mut machine = made.machine.resume(self.kit, &self.setup(medium, choices), log)?;
        mount_again(&mut machine)?;
        Ok(machine)
    }

    fn setup(&self, medium: &Contents, choices: Choices<'_>) -> Setup {
        let mut setup = nvdimm_of(self.kit, self.name, medium);
        setup.limit = self.limit + BESIDES;
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
        setup
    }

    fn run(&self, machine: &mut Machine, limit: Duration, log: &Log) -> Result<Run> {
        run(machine, &self.request(&self.program, None), limit, log)
    }

    fn request(&self, command: &CommandLine, more: Option<(&str, &str)>) -> Request {
        let given = self.environment.iter().map(|(name, value)| (&**name, &**value));
        command.request(&given.chain(more).collect::<Vec<_>>())
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

/// Returns the complete lines of an output. A truncated line may say less than intended.
pub(crate) fn acknowledged(printed: &str) -> &str {
    printed.rfind('\n').map_or("", |end| &printed[..=end])
}

/// Returns the number of lines.
pub(crate) fn count(lines: &str) -> u64 {
    lines.lines().map(|_line| 1).sum()
}

/// Runs a program for at most this time.
pub(crate) fn run(
    machine: &mut Machine,
    request: &Request,
    limit: Duration,
    log: &Log,
) -> Result<Run> {
    let (before, start) = (log.position()?, Instant::now());
    let ran = machine.run_for(request, limit)?;
    let time = start.elapsed();
    let log = log.since(before)?;
    // The plugin's lines follow those of the machine.
    let end = log.find("losses: start ").unwrap_or(log.len());
    Ok(Run { ran, time, printed: printed(&log[..end]) })
}

pub(crate) fn in_words(end: End) -> String {
    match end {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => String::from("ended without an exit code"),
    }
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
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, between, dirty, lost, failures } = self;
        write!(
            f,
            "cuts: {cuts}, after an acknowledgement and before the end: {between}, dirty lines lost: {lost} of {dirty}, \
             failed checks: {failures}"
        )
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
        let Self { moment, seed, instead, checked, losses, fewest } = self;
        let Checked { acknowledged, dirty, lost, failure, output } = checked;
        let instead = instead.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let cut = format!(
            "cut {} of {}, {}{instead}, seed {seed}: acknowledged {acknowledged}, {lost} of {dirty} dirty lines lost",
            which.0,
            which.1,
            moment.in_words(),
        );
        let Some(why) = failure else { return format!("{cut}, the check succeeded") };
        let output: String = output.lines().flat_map(|line| ["   | ", line, "\n"]).collect();
        let fewer = match fewest.len() as u64 {
            0 => String::new(),
            fewer if fewer == *lost => String::new(),
            fewer => format!("   the check fails with fewer lines lost, {fewer} of {lost}:\n"),
        };
        let losses = lost::in_words(losses);
        format!(
            "{cut}, the check FAILED: it {why}\n{output}{fewer}{losses}   to repeat: {repeating}"
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
    log: &Log,
    mut take: impl FnMut(usize, &Outcome) -> Result<()>,
) -> Result<Summary> {
    let mut summary = Summary::default();
    let work = Work { test, made, cuts, next: AtomicUsize::new(0), failures: AtomicUsize::new(0) };
    let (sender, outcomes) = channel();
    thread::scope(|scope| {
        for job in 0..jobs.clamp(1, cuts.len().max(1)) {
            let (work, sender) = (&work, sender.clone());
            scope.spawn(move || work.carry_out(job, &sender, log));
        }
        drop(sender);
        let (mut early, mut number) = (BTreeMap::new(), 0);
        for (place, outcome) in outcomes {
            early.insert(place, outcome);
            while let Some(outcome) = early.remove(&number) {
                number += 1;
                let outcome = outcome?;
                summary.add(&outcome);
                take(number, &outcome)?;
            }
        }
        Ok(summary)
    })
}

/// The cuts that several threads run.
struct Work<'a> {
    test: &'a CrashTest<'a>,
    made: &'a Made,
    cuts: &'a [(Moment, u64)],
    next: AtomicUsize,
    failures: AtomicUsize,
}

impl Work<'_> {
    /// Runs cuts until none is left, with this thread's own files and log.
    fn carry_out(&self, job: usize, outcomes: &Sender<(usize, Result<Outcome>)>, log: &Log) {
        let name = format!("{}-{job}", self.test.name);
        let test = CrashTest { name: &name, ..self.test.clone() };
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(cut) = self.cuts.get(place) else { return };
            let outcome = log.beside(&name).and_then(|beside| {
                let finds_fewest =
                    self.test.lost.is_empty() && self.failures.load(Ordering::Relaxed) == 0;
                let outcome = test.cut(self.made, *cut, finds_fewest, &beside);
                log.join(beside).and(outcome)
            });
            if outcome.as_ref().is_ok_and(|outcome| outcome.checked.failure.is_some()) {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
            if outcomes.send((place, outcome)).is_err() {
                return;
            }
        }
    }
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        self.cuts += 1;
        self.between += u64::from(outcome.is_between());
        self.dirty += outcome.checked.dirty;
        self.lost += outcome.checked.lost;
        self.failures += u64::from(outcome.checked.failure.is_some());
    }
}
