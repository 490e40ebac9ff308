//! The lanes, as tests of [`libtest_mimic`].

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use libtest_mimic::{Completion, Failed, Trial};
use lose_lines_machine::losses;
use lose_lines_machine::transcript::Transcript;
use xtask::absent::Absent;

use crate::lab::Lab;
use crate::{
    c_programs, cpus, defects, dma, file_systems, freestanding, last_events, machines, own_programs,
};

/// The lanes of each change: of another architecture, of a machine that loses lines, of an ordinary drive, of models and file
/// systems, of our own programs, of the plugin that follows write-backs, of a device that does not see the cache, and of C
/// programs. Their kind is `ci`.
const OF_EACH_CHANGE: [&str; 13] = [
    "cpu/qemu-aarch64/neoverse-n1",
    "machine/x86_64/power-cut-pmem",
    "drive/formats/ext4",
    // Not ext4: some states of its model need writes in flight that the lane rarely has.
    "states/xfs",
    "states/btrfs",
    "files/first",
    "files/journal",
    "files/store",
    "files/recorder",
    "files/save",
    "flush/x86_64/max",
    "dma/aarch64/left-out",
    "capi/x86_64",
];

/// A test on one machine. `testing/lab/LANES.md` has the claim that it proves.
pub(crate) struct Lane {
    /// `kind/name`, by which the lane is selected.
    pub(crate) name: String,
    prepare: Box<Prepare>,
}

/// Finds, fetches or builds the prerequisites of a lane. If an error is [`Absent`], the lane is ignored; any other is its
/// failure.
type Prepare = dyn FnOnce(&Lab) -> Result<Run> + Send;

/// The work of a lane. It has its own time limit.
pub(crate) type Run = Box<dyn FnOnce(&mut Transcript) -> Result<()>>;

impl Lane {
    pub(crate) fn new(
        name: impl Into<String>,
        prepare: impl FnOnce(&Lab) -> Result<Run> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), prepare: Box::new(prepare) }
    }
}

/// Returns all lanes.
pub(crate) fn lanes() -> Vec<Lane> {
    let kinds = [
        c_programs::lanes(),
        cpus::lanes(),
        freestanding::lanes(),
        last_events::lanes(),
        dma::lanes(),
        machines::lanes(),
        file_systems::lanes(),
        own_programs::lanes(),
    ];
    kinds.into_iter().flatten().collect()
}

/// Returns the tests: the lanes, and the planted defects.
pub(crate) fn trials() -> Result<Vec<Trial>> {
    let lab = Arc::new(Mutex::new(Lab::new()?));
    let seed = losses::checked_seed_of_run()?;
    let trial = |lane: Lane| {
        let kind = if OF_EACH_CHANGE.contains(&lane.name.as_str()) { "ci" } else { "" };
        let (lab, name) = (Arc::clone(&lab), lane.name.clone());
        Trial::ignorable_test(name, move || outcome(run(&lab, lane, seed))).with_kind(kind)
    };
    let lanes = lanes().into_iter().map(trial);
    Ok(lanes.chain(defects::trials(&lab)?).collect())
}

/// Returns the outcome of a test, which is ignored for a permitted reason.
pub(crate) fn outcome(ended: Result<()>) -> Result<Completion, Failed> {
    match ended {
        Ok(()) => Ok(Completion::Completed),
        Err(why) => match why.downcast_ref::<Absent>() {
            Some(absent) => Ok(Completion::ignored_with(absent)),
            None => Err(format!("{why:#}").into()),
        },
    }
}

/// Runs a lane with a log, whose end is in its error.
fn run(lab: &Mutex<Lab>, lane: Lane, seed: u64) -> Result<()> {
    let Lane { name, prepare } = lane;
    let (run, mut log) = {
        let lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = Transcript::create(lab.work(), &name)?;
        writeln!(log, "$ {}", again(&name, seed))?;
        (prepare(&lab)?, log)
    };
    let Err(why) = run(&mut log).and_then(|()| without_faults(&log)) else { return Ok(()) };
    bail!("{why:#}\nagain: {}\n{}", again(&name, seed), log.end())
}

/// Returns the command that runs a lane with the same choices.
pub(crate) fn again(name: &str, seed: u64) -> String {
    let variable = losses::SEED;
    format!("{variable}={seed} cargo test -p cachemaint-lab-tests -- --exact '{name}'")
}

/// Fails if a machine that the lane dropped had faults.
fn without_faults(log: &Transcript) -> Result<()> {
    match log.text()?.lines().find(|line| line.contains(losses::INVALID)) {
        Some(fault) => bail!("{fault}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use lose_lines_machine::losses;
    use lose_lines_machine::transcript::Transcript;
    use xtask::command::Cmd;

    use super::{OF_EACH_CHANGE, Trial, lanes, trials, without_faults};

    #[test]
    fn a_lane_that_drops_a_machine_with_faults_fails() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Transcript::create(folder.path(), "a/lane").unwrap();
        writeln!(log, "losses: loss crash=1").unwrap();
        without_faults(&log).unwrap();
        let fault = losses::check("fault unmodelled half=Lower at=0x1").unwrap_err();
        writeln!(log, "losses: {fault}").unwrap();
        let why = without_faults(&log).unwrap_err().to_string();
        assert!(why.contains("fault unmodelled half=Lower at=0x1"), "{why}");
    }

    #[test]
    fn the_page_of_the_lanes_has_a_claim_of_each() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("LANES.md");
        let page = fs::read_to_string(page).unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let listed: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
        let lanes = lanes();
        let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        let has = |name: &&str, listed: &&str| {
            name.starts_with(listed) && listed.ends_with('/') || name == listed
        };
        let unlisted = names.iter().filter(|name| !listed.iter().any(|one| has(name, one)));
        assert!(unlisted.clone().next().is_none(), "{:?}", unlisted.collect::<Vec<_>>());
        let gone = listed.iter().filter(|one| !names.iter().any(|name| has(name, one)));
        assert!(gone.clone().next().is_none(), "{:?}", gone.collect::<Vec<_>>());
    }

    #[test]
    fn names_are_unique_and_those_of_each_change_are_there() {
        let lanes = lanes();
        let names: BTreeSet<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        assert_eq!(names.len(), lanes.len());
        assert!(OF_EACH_CHANGE.iter().all(|name| names.contains(name)));
    }

    /// A name in a command `cargo test -p cachemaint-lab-tests -- NAME` of a document selects a test, and a kind only its own.
    #[test]
    fn each_name_in_a_document_selects_what_it_says() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let git = Cmd::new("git").words("-c safe.directory=* ls-files -- *.md").folder(&tree);
        let mut names: Vec<String> = trials().unwrap().iter().map(name_and_kind).collect();
        names.push(String::from("LANE"));
        let mut count = 0;
        for page in git.read().unwrap().lines() {
            let text = fs::read_to_string(tree.join(page)).unwrap_or_default();
            for line in text.split("-p cachemaint-lab-tests -- ").skip(1) {
                let mut words = line.split([' ', '`', '\n']).map(|word| word.trim_matches('\''));
                let word = words.find(|word| !word.starts_with("--")).unwrap();
                let mut selected = names.iter().filter(|name| name.contains(word)).peekable();
                assert!(selected.peek().is_some(), "{page}: {word}");
                assert!(!word.ends_with('/') || selected.all(|name| name.starts_with(word)));
                count += 1;
            }
        }
        assert!(count > 5, "{count} commands were found");
    }

    fn name_and_kind(trial: &Trial) -> String {
        if trial.kind().is_empty() {
            trial.name().to_owned()
        } else {
            format!("{} [{}]", trial.name(), trial.kind())
        }
    }
}
