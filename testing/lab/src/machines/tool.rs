//! Programs that are tested for crashes as a user tests one: by the commands `lose-lines cut` and `lose-lines drive`. C
//! programs that forget a write-back or a sync, the same without this defect, and those of this project.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines_machine::command::Cmd;
use lose_lines_machine::losses::seed_of_run;
use lose_lines_machine::transcript::Transcript;
use xtask::command::Cmd as Build;

use crate::c_programs;
use crate::lab::Lab;
use crate::lane::Lane;

const QUEUE: &str = "capi/examples/queue.c";
const FORGOTTEN: &str = "lose-lines/examples/forgotten_flush.c";
const FORGOTTEN_FSYNC: &str = "lose-lines/examples/forgotten_fsync.c";
const FORMATS: [&str; 3] = ["journal", "store", "recorder"];
/// The seeds of generated operations.
const GENERATED: [&str; 2] = ["1", "2"];

/// Exit codes of the command.
const NOTHING_LOST: i32 = 0;
const LOSS: i32 = 1;
const NOTHING_TESTED: i32 = 4;

/// The words about the line that is lost: the record, its store, and what did not follow.
const STORY: [&str; 3] =
    ["records, bytes ", "forgotten_flush.c:36 (update)", "not written back since"];

/// A use of the command: its arguments, its exit code, and words that a line must have.
struct Use {
    arguments: Vec<String>,
    code: i32,
    says: &'static [&'static str],
}

pub(super) fn lanes() -> Vec<Lane> {
    vec![
        lane("machine/x86_64/lose-c", |lab, _name| {
            let [wrong, right] = compiled(lab, FORGOTTEN)?;
            Ok(vec![
                Use { says: &STORY, ..cut(&wrong, ["update", "check"], "none", LOSS) },
                cut(&right, ["update", "check"], "torn", NOTHING_LOST),
                // It acknowledges nothing, and its check accepts everything.
                cut(Path::new("true"), ["", ""], "half", NOTHING_TESTED),
            ])
        }),
        lane("machine/x86_64/lose-c-library", |lab, name| {
            let program = c_programs::example(lab, name, QUEUE)?;
            Ok(vec![cut(&program, ["queue push 300", "queue check"], "torn", NOTHING_LOST)])
        }),
        // The forgotten sync is found on each file system; the right program is held everywhere.
        lane("machine/x86_64/lose-drive", |lab, _name| {
            let [wrong, right] = compiled(lab, FORGOTTEN_FSYNC)?;
            let drive = |program, options, code| drive(program, ["update", "check"], options, code);
            Ok(vec![
                drive(&wrong, "--states 60", LOSS),
                drive(&right, "--states 60", NOTHING_LOST),
                drive(&wrong, "--states 20 --fs xfs", LOSS),
                drive(&right, "--states 40 --fs btrfs", NOTHING_LOST),
            ])
        }),
        lane("drive/formats/ext4", |lab, _name| formats(lab, "--states 200")),
        lane("drive/formats/xfs", |lab, _name| formats(lab, "--states 100 --fs xfs")),
        lane("drive/formats/btrfs", |lab, _name| formats(lab, "--states 100 --fs btrfs")),
        lane("drive/models/ext4", |lab, _name| models(lab, "ext4")),
        lane("drive/models/xfs", |lab, _name| models(lab, "xfs")),
        lane("drive/models/btrfs", |lab, _name| models(lab, "btrfs")),
    ]
}

fn lane(name: &'static str, uses: fn(&Lab, &str) -> Result<Vec<Use>>) -> Lane {
    Lane::new(name, move |lab| {
        lab.plugin("x86_64")?;
        let (uses, tool) = (uses(lab, name)?, lab.tool()?);
        Ok(Box::new(move |log| uses.iter().try_for_each(|one| one.run(&tool, log))))
    })
}

/// Cuts the power of a program that stores and one that checks. `policy` says which lines persist by chance.
fn cut(program: &Path, does: [&str; 2], policy: &str, code: i32) -> Use {
    Use::new(&format!("cut --states 3 --jobs 2 --policy {policy}"), program, does, code)
}

/// Has a program use a drive, and checks the states that a power cut leaves.
fn drive(program: &Path, does: [&str; 2], options: &str, code: i32) -> Use {
    Use::new(&format!("drive {options}"), program, does, code)
}

/// Has each of this project's formats use a drive.
fn formats(lab: &Lab, options: &str) -> Result<Vec<Use>> {
    Build::cargo("build -p cachemaint-examples --example power_cut").read()?;
    let program = lab.host.target_dir("debug").join("examples/power_cut");
    let uses = FORMATS.map(|format| {
        let [run, check] = ["run", "check"].map(|does| format!("{format} {does}"));
        drive(&program, [&run, &check], options, NOTHING_LOST)
    });
    Ok(uses.into())
}

/// Has generated operations use a drive, and holds its states against the model of the file system. Those of a program that
/// forgets its syncs must be refused.
fn models(lab: &Lab, file_system: &str) -> Result<Vec<Use>> {
    Build::cargo("build -p lose-lines-states --example compare").read()?;
    let program = lab.host.target_dir("debug").join("examples/compare");
    let mut uses = Vec::new();
    for seed in GENERATED {
        let log = lab.work().join(format!("generated-{file_system}-{seed}"));
        if log.exists() {
            fs::remove_file(&log)?;
        }
        let log = log.display();
        let record = format!("files --states 60 --model {file_system} --keep {log}");
        let run = format!("run {seed}");
        let accepts = format!("member {log} {file_system}");
        // Recorded on this system: the check of a state is none of the lane's matter.
        uses.push(Use::new(&record, &program, [&run, "accept"], NOTHING_LOST));
        let options =
            format!("drive --fs {file_system} --states 60 --env WRITE_BACK=1 --bring {log}");
        uses.push(Use::new(&options, &program, [&run, &accepts], NOTHING_LOST));
        let forget = format!("forget {seed}");
        uses.push(Use::new(&options, &program, [&forget, &accepts], LOSS));
    }
    Ok(uses)
}

impl Use {
    fn new(options: &str, program: &Path, [stores, checks]: [&str; 2], code: i32) -> Self {
        let (seed, program) = (seed_of_run().to_string(), program.display().to_string());
        let check = format!("{program} {checks}");
        let more = ["--seed", &seed, "--check", &check, "--", &program];
        let arguments = options.split_whitespace().chain(more);
        let arguments = arguments.chain(stores.split_whitespace()).map(str::to_owned).collect();
        Self { arguments, code, says: &[] }
    }

    fn run(&self, tool: &Path, log: &mut Transcript) -> Result<()> {
        let (mut summary, mut is_said) = (String::new(), self.says.is_empty());
        let mut count = None;
        let cmd = Cmd::new(tool.display().to_string()).args(self.arguments.iter().cloned());
        let ending = cmd.watch_in(log, |line| {
            is_said |= self.says.iter().all(|words| line.contains(words));
            count = tested(line).or(count);
            line.clone_into(&mut summary);
        })?;
        ensure!(ending.code == Some(self.code), "`{cmd}` {}: {summary}", ending.told);
        ensure!(is_said, "`{cmd}` does not say {:?}", self.says);
        let count = count.with_context(|| format!("`{cmd}` has no summary: {summary}"))?;
        ensure!(count > 0 || self.code == NOTHING_TESTED, "nothing was tested: {summary}");
        Ok(())
    }
}

/// Returns the number of dirty lines at the cuts, or of distinct states, from a summary.
fn tested(line: &str) -> Option<u64> {
    let (states, more) = line.split_once(" distinct states failed")?;
    let lines = more.split_once(" dirty lines lost").map(|(lines, _)| lines);
    lines.unwrap_or(states).rsplit(' ').next()?.parse().ok()
}

/// Compiles a program with the compiler of this system: with its defect, and without it.
fn compiled(lab: &Lab, source: &str) -> Result<[PathBuf; 2]> {
    let stem = Path::new(source).file_stem().context("the program has no name")?.display();
    let program = |name, option| {
        let program = lab.work().join(format!("{stem}-{name}"));
        let cc = Build::new("cc").words("-O2 -g -Wall -Wextra -Werror").words(option);
        cc.path(lab.tree().join(source)).arg("-o").path(&program).read()?;
        Ok(program)
    };
    program("wrong", "").and_then(|wrong| Ok([wrong, program("right", "-DRIGHT")?]))
}

#[cfg(test)]
mod tests {
    use super::tested;

    #[test]
    fn a_summary_says_how_much_was_tested() {
        let files = "ext4: 0 of 12 distinct states failed; 9 states are after an acknowledgement; seed 1; 60 states built";
        let cut = files.replace("60 states built", "0 of 7 dirty lines lost");
        assert_eq!([files, &cut].map(tested), [Some(12), Some(7)]);
        assert_eq!(tested(&cut.replace('7', "0")), Some(0));
        assert_eq!(tested("lose-lines: the summary has other words"), None);
    }
}
