//! C programs, tested for crashes as a user tests one: by the command `lose-lines cut`. One forgets a write-back, the same
//! program without this defect passes, and so does one that uses `cachemaint.h`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::command::{Cmd, find_program};
use crate::lab::Lab;
use crate::lab::c_programs;
use crate::lab::lane::Lane;
use crate::report::Finding;
use lose_lines::architecture::Architecture;
use lose_lines::cache;
use lose_lines::log::Log;
use lose_lines::losses::seed_of_run;
use lose_lines::unavailable::Unavailable;

const QUEUE: &str = "capi/examples/queue.c";
const FORGOTTEN: &str = "lose-lines/examples/forgotten_flush.c";
const FORGOTTEN_FSYNC: &str = "lose-lines/examples/forgotten_fsync.c";

/// Exit codes of the command.
const NOTHING_LOST: i32 = 0;
const LOSS: i32 = 1;
const NOTHING_TESTED: i32 = 4;

/// A program with its arguments to store and to check, the lines that persist by chance, and the exit code of the command.
type Test = (PathBuf, [&'static str; 2], &'static str, i32);

/// The words about the line that is lost: the record, its store, and what did not follow.
const STORY: [&str; 3] =
    ["lost: records, bytes ", "forgotten_flush.c:36 (update)", "not written back since"];

pub(super) fn lanes() -> Vec<Lane> {
    let proves = "power cuts find a forgotten write-back in an unmodified C program and name its store; the corrected program passes";
    let library = "a C program that persists with `cachemaint.h` keeps every acknowledged record across power cuts";
    vec![
        lane("machine/x86_64/lose-c", proves, |lab, _name| {
            let arguments = ["update", "check"];
            Ok(vec![
                (lab.compiled(FORGOTTEN, "wrong", &[])?, arguments, "none", LOSS),
                (lab.compiled(FORGOTTEN, "right", &["-DRIGHT"])?, arguments, "torn", NOTHING_LOST),
                // It acknowledges nothing, and its check accepts everything.
                (PathBuf::from("true"), ["", ""], "half", NOTHING_TESTED),
            ])
        }),
        lane("machine/x86_64/lose-c-library", library, |lab, name| {
            let program = c_programs::example(lab, name, QUEUE)?;
            Ok(vec![(program, ["queue push 300", "queue check"], "torn", NOTHING_LOST)])
        }),
        drive_lane(),
    ]
}

/// The forgotten sync is found on each file system; the right program is held everywhere.
fn drive_lane() -> Lane {
    let proves = "a forgotten fsync of a directory is found in states of an ordinary drive; the corrected program passes";
    Lane::new("machine/x86_64/lose-drive", proves, move |lab| {
        lab.can_lose_lines(Architecture::X86)?;
        let wrong = lab.compiled(FORGOTTEN_FSYNC, "wrong", &[])?;
        let right = lab.compiled(FORGOTTEN_FSYNC, "right", &["-DRIGHT"])?;
        let tool = lab.tool()?;
        Ok(Box::new(move |log| {
            let runs = [
                (&wrong, "--states 60", LOSS),
                (&right, "--states 60", NOTHING_LOST),
                (&wrong, "--states 20 --fs xfs", LOSS),
                (&right, "--states 40 --fs btrfs", NOTHING_LOST),
            ];
            runs.iter().try_for_each(|(program, options, code)| {
                let (mut summary, program) = (String::new(), program.display().to_string());
                let ending = Cmd::new(tool.display().to_string())
                    .words("drive --seed")
                    .arg(seed_of_run().to_string())
                    .words(options)
                    .args(["--check", &format!("{program} check"), &program, "update"])
                    .watch_in(log, |line| line.clone_into(&mut summary))?;
                ensure!(
                    ending.code == Some(*code),
                    "{program} {options} {}: {summary}",
                    ending.told
                );
                Ok::<_, anyhow::Error>(())
            })?;
            Ok(Finding::from(runs.len()))
        }))
    })
}

fn lane(name: &'static str, proves: &str, tests: fn(&Lab<'_>, &str) -> Result<Vec<Test>>) -> Lane {
    Lane::new(name, proves, move |lab| {
        lab.can_lose_lines(Architecture::X86)?;
        let tests = tests(lab, name)?;
        let tool = lab.tool()?;
        Ok(Box::new(move |log| {
            tests.iter().try_for_each(|test| cut(&tool, test, log))?;
            Ok(Finding::from(tests.len()))
        }))
    })
}

fn cut(tool: &Path, (program, [stores, checks], policy, code): &Test, log: &mut Log) -> Result<()> {
    let (mut summary, program) = (String::new(), program.display().to_string());
    let mut has_story = false;
    let ending = Cmd::new(tool.display().to_string())
        .words("cut --cuts 3 --jobs 2 --seed")
        .arg(seed_of_run().to_string())
        .args(["--policy", policy, "--check", &format!("{program} {checks}")])
        .arg(&*program)
        .words(stores)
        .watch_in(log, |line| {
            has_story |= STORY.iter().all(|words| line.contains(words));
            line.clone_into(&mut summary);
        })?;
    ensure!(ending.code == Some(*code), "{program} {}: {summary}", ending.told);
    ensure!(has_story == (*code == LOSS), "the loss is named: {has_story}");
    let has_dirty = !summary.contains("lost: 0 of 0");
    ensure!(has_dirty || *code == NOTHING_TESTED, "no line was dirty at a cut: {summary}");
    Ok(())
}

impl Lab<'_> {
    /// Builds the command `lose-lines`.
    pub(super) fn tool(&self) -> Result<PathBuf> {
        Cmd::cargo("build -p lose-lines").read()?;
        Ok(self.sources.host.target_dir("debug").join("lose-lines"))
    }

    /// Compiles the program with the compiler of this system.
    fn compiled(&self, source: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
        if find_program("cc").is_none() {
            return Err(Unavailable::because(anyhow!("there is no C compiler `cc`")).into());
        }
        let stem = Path::new(source).file_stem().context("the program has no name")?;
        cache::make(self.sources.work())?;
        let program = self.sources.work().join(format!("{}-{name}", stem.display()));
        Cmd::new("cc")
            .words("-O2 -g -Wall -Wextra -Werror")
            .args(options.iter().copied())
            .arg(self.sources.tree().join(source).display().to_string())
            .args(["-o", &program.display().to_string()])
            .read()?;
        Ok(program)
    }
}
