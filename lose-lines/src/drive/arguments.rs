//! The subcommand `drive`: its arguments and its test.

use core::fmt::Display;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use lose_lines::drive::Prepared;
use lose_lines::drive::flushes::{LeftOut, leave_out};
use lose_lines::drive::trials::DriveTrials;
use lose_lines::report::{Report, recording_of};
use lose_lines::trial::{Found, Wording, run, succeeds};
use lose_lines_drive::file_system::FileSystem;
use lose_lines_drive::log::DriveLog;
use lose_lines_drive::states::{Choice, Tearing, chosen, is_of};
use lose_lines_machine::transcript::Transcript;
use serde_json::json;
use tempfile::TempPath;

use crate::{Machined, Machines, Testing, Usage, kept, progress, tested};

/// The number of states, if none is given.
const STATES: usize = 200;

/// The bytes that a drive writes whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unit {
    #[value(name = "512")]
    Sector = 512,
    #[value(name = "4096")]
    Page = 4096,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Driving {
    /// The bytes that the drive writes whole, as lsblk(8) says (PHY-SEC). Longer writes can be torn.
    #[arg(long, value_enum, value_name = "BYTES", default_value_t = Unit::Sector)]
    unit: Unit,
    /// Tear blocks of ext4's journal too. Some kernels then refuse to mount the file system.
    #[arg(long)]
    tear_journal: bool,
    /// The size of the drive in MiB [default: 256, or 320 for xfs].
    #[arg(long, value_name = "MIB")]
    size: Option<usize>,
    /// If no check fails, leave out each flush in turn, and report those without which every check still succeeds.
    #[arg(long, conflicts_with = "state")]
    leave_out_flushes: bool,
    #[command(flatten)]
    pub(crate) machined: Machined,
    #[command(flatten)]
    pub(crate) testing: Testing,
}

/// The file of a recording.
struct Place {
    /// The path that the recording has if it is kept.
    name: PathBuf,
    /// Its file until then, if the user has not chosen the name.
    made: Option<TempPath>,
}

impl Place {
    fn path(&self) -> &Path {
        self.made.as_deref().unwrap_or(&self.name)
    }

    /// Keeps the recording.
    fn keep(self) -> Result<()> {
        let kept = self.made.map_or(Ok(()), |made| made.persist(self.name));
        kept.context("cannot keep the recording")
    }
}

impl Driving {
    /// Returns the file for the recording.
    fn place(&self) -> Result<Place> {
        let Testing { log, keep, .. } = &self.testing;
        if let Some(path) = log.as_ref().or(keep.as_ref()) {
            return Ok(Place { name: path.clone(), made: None });
        }
        let file = tempfile::Builder::new().prefix("lose-lines-").suffix(".log").tempfile();
        let made = Some(file.context("cannot make a recording")?.into_temp_path());
        Ok(Place { name: recording_of("drive", self.testing.name()), made })
    }

    /// Returns the file system of the drive.
    fn file_system(&self) -> Result<FileSystem, Usage> {
        let found = match &self.testing.models[..] {
            [] => Some(FileSystem::Ext4),
            [model] => FileSystem::named(&model.to_string()),
            _ => None,
        };
        found.ok_or_else(|| Usage(anyhow!("drive has one file system: ext4, xfs or btrfs")))
    }

    /// Returns the size of the drive in bytes.
    fn size(&self, file_system: FileSystem) -> Result<usize, Usage> {
        let least = file_system.least_size();
        match self.size.unwrap_or(file_system.default_size()) {
            mib if mib < least => {
                Err(Usage(anyhow!("--size {mib}: {file_system} needs at least {least} MiB here")))
            }
            mib => Ok(mib << 20),
        }
    }

    /// Returns the command that repeats a state.
    pub(crate) fn repeating(&self, log: &Path, on: FileSystem, state: impl Display) -> String {
        let unit = (self.unit == Unit::Page).then_some(["--unit", "4096"]).into_iter().flatten();
        let more = unit.chain(self.tear_journal.then_some("--tear-journal"));
        let more: Vec<_> = more.map(str::to_owned).chain(self.machined.words()).collect();
        self.testing.repeating("drive", Some(log), (on, state), &more)
    }
}

pub(crate) fn drive(request: &Driving) -> Result<u8> {
    let testing = &request.testing;
    testing.needs_log()?;
    let state: Option<Choice> = testing.state()?;
    let recorded = testing.log.as_deref().map(DriveLog::read).transpose()?;
    let file_system =
        recorded.as_ref().map_or_else(|| request.file_system(), |log| Ok(log.file_system))?;
    let size = recorded.as_ref().map_or_else(|| request.size(file_system), |log| Ok(log.size))?;
    let place = request.place()?;
    let mut is_complete = testing.log.is_some();
    tested("drive", testing, |report| {
        let found = Machines::new()?.finish(|machines| {
            let Machines { kit, name, log, .. } = machines;
            let test = request.machined.tested(testing, kit, name)?;
            progress("starting a machine");
            let prepared = Prepared::new(&test, file_system, size, log)?;
            let recorded = if let Some(recorded) = recorded {
                recorded
            } else {
                let run = prepared.record(place.path(), log)?;
                let recorded = DriveLog::read(place.path())?;
                let (writes, flushes, lines) = recorded.counts();
                let counts =
                    [("writes", writes), ("flushes", flushes), ("acknowledgements", lines)];
                let counts = counts.map(|(name, count)| (name, count as u64));
                report.recorded((run.end, run.time), &counts, &BTreeSet::new())?;
                run.accept(&test)?;
                is_complete = true;
                recorded
            };
            let logs: Vec<Transcript> = (0..testing.machines())
                .map(|number| log.beside(&format!("{name}-{number}")))
                .collect::<Result<_>>()?;
            let image = testing.keep.as_ref().map(|path| {
                let mut image = path.clone().into_os_string();
                image.push(".image");
                PathBuf::from(image)
            });
            let trials = DriveTrials {
                test: &test,
                prepared: &prepared,
                log: &recorded,
                tearing: Tearing::of(&recorded, request.unit as usize, request.tear_journal),
                logs: &logs,
                image: image.map(|path| (path, OnceLock::new())),
            };
            let found = checked(request, &trials, state, &place.name, report)?;
            logs.into_iter().try_for_each(Transcript::remove)?;
            Ok(found)
        });
        // Without a verdict, its states can be checked when the reason is gone.
        if !(report.needs_recording() || found.is_err() && is_complete) {
            return found;
        }
        let kept = kept(&place.name);
        place.keep()?;
        found.map_err(|why| if is_complete { why.context(kept) } else { why })
    })
}

/// Checks the states of a recording, and reports them.
fn checked(
    request: &Driving,
    trials: &DriveTrials<'_>,
    state: Option<Choice>,
    path: &Path,
    report: &mut Report,
) -> Result<Found> {
    let (log, testing) = (trials.log, &request.testing);
    if let Some(state) = state.as_ref().filter(|state| !is_of(state, log)) {
        bail!(Usage(anyhow!("the recording has no state {state}; pass a state of this recording")));
    }
    let is_given = state.is_some();
    let states = match state {
        Some(state) => vec![state],
        None => chosen(log, testing.states(STATES), report.seed, request.machined.policy),
    };
    if !is_given && log.end().is_some() {
        succeeds(trials.without_loss()?)?;
    }
    let wording = Wording {
        model: log.file_system.to_string(),
        warning: None,
        repeating: &|choice| request.repeating(path, log.file_system, choice),
    };
    let built = states.len();
    let limits = (built, testing.machines());
    let found = run(trials, trials.distinct(states), limits, &wording, report)?;
    if request.leave_out_flushes && found.failed == 0 {
        flushes(trials, report)?;
    }
    wording.summary(
        &found,
        (&format!("{built} states built"), &json!({ "states": built })),
        report,
    )?;
    Ok(found)
}

/// Leaves out each flush in turn, and reports those without which every check succeeds.
fn flushes(trials: &DriveTrials<'_>, report: &Report) -> Result<()> {
    let (mut left_out, mut missed) = (0, 0);
    leave_out(trials, |LeftOut { event, acknowledged, is_missed }| {
        left_out += 1;
        if *is_missed {
            missed += 1;
            return Ok(());
        }
        let line = trials.log.lines_before(*event).last().unwrap_or_default();
        let text = format!(
            "every check succeeds without the flush of event {event}, after the line {line:?}"
        );
        let document = json!({ "flush": event, "acknowledged": acknowledged });
        report.say("flush_not_needed", &text, &document)
    })?;
    let text = format!("flushes left out one at a time: {left_out}, needed by a check: {missed}");
    report.say("flushes", &text, &json!({ "left_out": left_out, "needed": missed }))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::Driving;
    use crate::{Cli, Task};

    fn parsed(line: &str) -> Driving {
        match Cli::try_parse_from(shlex::split(line).unwrap()).unwrap().task {
            Task::Drive(drive) => *drive,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_drive_that_is_too_small_for_its_file_system_is_refused() {
        let size = |line: &str| {
            let drive = parsed(&format!("lose-lines drive {line} --check a b"));
            let file_system = drive.file_system().map_err(|why| why.to_string())?;
            drive.size(file_system).map_err(|why| why.to_string())
        };
        assert!(size("--size 8").unwrap_err().contains("at least 16"));
        assert_eq!(size("--size 16"), Ok(16 << 20));
        assert!(size("--fs xfs --size 256").is_err());
        for other in ["--fs posix", "--fs ext4 --fs xfs"] {
            assert!(size(other).unwrap_err().contains("ext4, xfs or btrfs"));
        }
    }

    #[test]
    fn two_recordings_have_two_names() {
        let request = parsed("lose-lines drive a b");
        let [one, other] = [request.place().unwrap(), request.place().unwrap()];
        assert_ne!(one.path(), other.path());
    }
}
