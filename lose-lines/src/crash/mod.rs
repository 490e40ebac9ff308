//! Crash tests of unmodified programs. The power of a machine is cut while the program runs, and lines that were not
//! written back are lost. Another machine with the same NVDIMM checks the state.
//!
//! The file system is made once, and the machine that made it is suspended. Each cut starts with a copy of both, so
//! cuts need no boot, are independent, and can be repeated one at a time.

pub(crate) mod code;
mod lost;
pub mod moments;

use core::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use self::code::Files;
use self::lost::{Placed, Report, lost_lines};
use self::moments::{Counted, Counts, Moment};
use crate::check::{PRINTED, Run, Tested, Verdict, Whole, in_words, unended};
use crate::fewest::{Needed, needed};
use crate::trial::{Checked, Failed, Lost, Reason, Trial, Trials, succeeds};
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
use lose_lines_states::Kept;

/// The additional time of a machine beyond that of its program.
const BESIDES: Duration = Duration::from_secs(300);

/// The file with the physical address of the device's first byte.
const RESOURCE: &str = "/sys/block/pmem0/device/resource";

/// The number of checks for finding the fewest lost lines with which one fails.
const MOST_CHECKS: u32 = 30;

/// The name of a state: a moment, and the lines that persist.
pub type Choice = lose_lines_states::Choice<Policy, Moment>;

/// A program under test.
#[derive(Clone)]
pub struct CrashTest<'a> {
    pub test: Tested<'a>,
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

/// A check, with the lines that were dirty and lost before it, and the files at that time.
struct Examined {
    verdict: Verdict,
    dirty: usize,
    lost: Vec<u32>,
    placed: Placed,
}

/// What a cut leaves for an explanation.
pub struct Left {
    medium: Contents,
    printed: Acknowledged,
    report: Report,
    lost: Vec<u32>,
    placed: Placed,
    /// The reason why the cut came at another moment than the chosen one.
    instead: Option<String>,
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

    /// Runs the program without a cut, and counts its events. If it succeeds, the check after it must succeed too.
    pub fn count(&self, made: &Made, log: &Transcript) -> Result<(Whole, Counted)> {
        let medium = made.contents.copy(self.test.kit, self.test.name)?;
        let Running { mut machine, port } = self.start(made, &medium, Choices::RUNNING, log)?;
        let before = log.position()?;
        let run = self.test.run(&mut machine, log)?.whole()?;
        run.accept(&self.test)?;
        let has_ended = run.end.is_some();
        if has_ended {
            // After that nothing is lost. A process that the program left behind keeps the file system busy; it is cut,
            // too.
            drop(machine.unmount(DIRECTORY));
        }
        machine.end()?;
        let counts = Counts::of(&log.since(before)?).context("the plugin reported no counts")?;
        let lines = port.acknowledged()?;
        succeeds(self.check(made, &medium, Choices::KEEPING, &lines, log)?.verdict)?;
        Ok((run, Counted { counts, has_ended, acknowledged: lines.count() }))
    }

    /// Cuts the power at a moment, and checks the state that this leaves.
    fn cut(
        &self,
        made: &Made,
        (number, choice): (usize, Choice),
        log: &Transcript,
    ) -> Result<Checked<Choice, Left>> {
        let medium = made.contents.copy(self.test.kit, self.test.name)?;
        let cut = match choice.cut {
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
        let printed = port.acknowledged()?;
        let report = Report::read(&log.since(before)?);
        let choices = match &choice.kept {
            Kept::Chosen { seed, keep } => {
                Choices { seed: *seed, policy: *keep, ..Choices::KEEPING }
            }
            Kept::AllBut(lost) => Choices { lost, ..Choices::KEEPING },
        };
        // An explanation begins with the same medium.
        let left = medium.twin(self.test.kit, &format!("{}-left-{number}", self.test.name))?;
        let examined = self.check(made, &medium, choices, &printed, log)?;
        let Examined { verdict, dirty, lost, placed } = examined;
        let (acknowledged, instead) = (printed.count(), self.instead(choice.cut, ran));
        let trial = Trial {
            is_between: acknowledged > 0 && choice.cut != Moment::End && instead.is_none(),
            choice,
            acknowledged: usize::try_from(acknowledged).unwrap_or(usize::MAX),
            pending: dirty,
            lost: lost.len(),
            depends_on_clock: false,
        };
        let evidence = Left { medium: left, printed, report, lost, placed, instead };
        Ok(Checked { trial, verdict, evidence })
    }

    /// Returns the reason why a cut did not come at its moment.
    fn instead(&self, moment: Moment, ran: Ran) -> Option<String> {
        match (moment, ran) {
            (Moment::At(_), Ran::Cut) | (Moment::End, Ran::Ended((Some(0), _))) => None,
            (_, Ran::Ended(end)) => Some(in_words(end)),
            _ => Some(unended(self.test.limit)),
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
        let dirty = number(loss, "dirty").with_context(|| format!("no lines in {loss}"))?;
        let dirty = usize::try_from(dirty)?;
        Ok(Examined { verdict, dirty, lost: lost_lines(&report), placed })
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

/// The cuts of a test.
pub struct Cuts<'a> {
    pub test: CrashTest<'a>,
    pub made: &'a Made,
    pub log: &'a Transcript,
}

impl Trials for Cuts<'_> {
    type Choice = Choice;
    /// The number of the cut distinguishes its files.
    type State = (usize, Choice);
    type Checker = String;
    type Evidence = Left;
    const UNITS: &'static str = "dirty lines";

    fn checker(&self, number: usize) -> Result<String> {
        Ok(format!("{}-{number}", self.test.test.name))
    }

    fn check(&self, checker: &mut String, state: Self::State) -> Result<Checked<Choice, Left>> {
        let name: &str = checker;
        let beside = self.log.beside(name)?;
        let test = Tested { name, ..self.test.test.clone() };
        let cut = CrashTest { test, ..self.test.clone() }.cut(self.made, state, &beside);
        self.log.join(beside)?;
        cut
    }

    fn reason(
        &self,
        Failed { trial, failure: first, evidence, .. }: &Failed<Choice, Left>,
    ) -> Result<Reason<Choice>> {
        let Self { test, made, log } = self;
        let Left { medium, printed, report, lost, placed, instead } = evidence;
        let mut failure = first.clone();
        let needed = needed(lost, MOST_CHECKS, |lost: &[u32]| {
            let medium = medium.twin(test.test.kit, test.test.name)?;
            let choices = Choices { lost, ..Choices::KEEPING };
            match test.check(made, &medium, choices, printed, log)?.verdict {
                Verdict::Failed(found) if found.kind() == first.kind() => {
                    failure = found;
                    anyhow::Ok(true)
                }
                _ => Ok(false),
            }
        })?;
        let (mut choice, mut cause) = (trial.choice.clone(), Vec::new());
        cause.extend(
            instead.as_ref().map(|how| format!("the cut did not come there: the program {how}")),
        );
        let lost = match needed {
            Needed::Nothing => {
                choice.kept = Kept::Chosen { seed: 0, keep: Policy::All };
                cause.push(String::from(
                    "the check fails even if nothing is lost: the file system's metadata or data of write(2) were not synced \
                     (fsync; for a mapping MAP_SYNC, or msync)",
                ));
                Vec::new()
            }
            Needed::Units(fewest) => {
                choice.kept = Kept::AllBut(fewest.clone());
                fewest
            }
            Needed::Parts => lost.clone(),
        };
        let files = Files::read(test.test.program.files());
        let lost = report.tell(&lost, placed, &files).into_iter();
        let lost = lost.map(|lost| Lost { what: lost.to_string(), facts: json!(lost) }).collect();
        Ok(Reason { choice, failure, lost, cause })
    }
}
