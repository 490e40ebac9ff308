//! Planted defects: a test must notice each of the patches in `testing/defects`.
//!
//! A patch begins with the defect in words. `Test: PACKAGE PROGRAM NAME` names the test that notices it; the program of unit
//! tests is `lib`. `Shows: WORDS` quotes its failure, since a failure for another reason proves nothing. `Build: pausing` asks
//! for atomics that pause. The output of `git diff` follows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use libtest_mimic::{Completion, Failed, Trial};
use lose_lines_machine::transcript::Transcript;
use xtask::command::Cmd;
use xtask::host::Host;

use crate::lab::Lab;

/// The exit code of a program of which a test has failed.
const FAILED: i32 = 101;

/// Held while a defect is in the copy of the tree.
static PLANTED: Mutex<()> = Mutex::new(());

#[derive(Debug)]
struct Defect {
    patch: PathBuf,
    text: String,
}

/// The test that notices a defect.
#[derive(Debug)]
struct Noticing<'t> {
    package: &'t str,
    program: &'t str,
    test: &'t str,
    shows: &'t str,
    flags: &'static str,
}

/// Returns a test for each defect: it passes if the defect is noticed.
pub(crate) fn trials(lab: &Arc<Mutex<Lab>>) -> Result<Vec<Trial>> {
    let tree = lab.lock().unwrap_or_else(PoisonError::into_inner).tree().to_path_buf();
    let trial = |defect: Defect| {
        let name = defect.patch.file_stem().unwrap_or_default().to_string_lossy();
        Trial::ignorable_test(format!("defect/{name}"), move || {
            defect.noticed().map_err(|why| Failed::from(format!("{why:#}")))
        })
    };
    Ok(Defect::all(&tree)?.into_iter().map(trial).collect())
}

impl Defect {
    /// Returns the defects by their names.
    fn all(tree: &Path) -> Result<Vec<Self>> {
        let folder = tree.join("testing/defects");
        let unread = || format!("cannot read {}", folder.display());
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut patches: Vec<PathBuf> =
            entries.with_context(unread)?.iter().map(fs::DirEntry::path).collect();
        patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
        patches.sort();
        let read = |patch| {
            let text = fs::read_to_string(&patch).with_context(unread)?;
            Ok(Self { patch, text })
        };
        patches.into_iter().map(read).collect()
    }

    /// Returns the words after `key` and a colon.
    fn says(&self, key: &str) -> Result<&str> {
        let mut head = self.text.lines().take_while(|line| !line.starts_with("diff "));
        head.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
            .with_context(|| format!("{}: no line `{key}:` before the patch", self.patch.display()))
    }

    fn noticing(&self) -> Result<Noticing<'_>> {
        let words: Vec<&str> = self.says("Test")?.split(' ').collect();
        let [package, program, test] = words[..] else {
            bail!("{}: `Test:` names a package, a program and a test", self.patch.display())
        };
        let flags = match self.says("Build") {
            Ok("pausing") => "--cfg cachemaint_pausing",
            Ok(other) => bail!("{}: no build {other}", self.patch.display()),
            Err(_) => "",
        };
        Ok(Noticing { package, program, test, shows: self.says("Shows")?, flags })
    }

    /// Applies the patch to a tree, or checks that it can be.
    fn apply(&self, tree: &Path, how: &str) -> Result<()> {
        let folder = tree.parent().context("the tree has no folder")?;
        let git = Cmd::new("git").words("-c safe.directory=*").words(how).path(&self.patch);
        // In a folder of a repository git would apply only the part below that folder, without a message.
        let applied = git.folder(tree).env("GIT_CEILING_DIRECTORIES", folder).read().map(drop);
        applied.context("the patch does not fit the code: make it again")
    }

    /// Plants the defect in a copy of the tree, and runs the test that must notice it.
    fn noticed(&self) -> Result<Completion> {
        let _one_at_a_time = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
        let host = Host::new()?;
        let noticing = self.noticing()?;
        // The copy is built in its own folder: its products must not be taken for the workspace's.
        let target = host.target_dir("defects");
        let tree = target.join("tree");
        host.copy_sources(&tree)?;
        self.apply(&tree, "apply")?;
        let Noticing { package, program, test, flags, .. } = noticing;
        let running = Cmd::cargo("test --all-features").args(["-p", package]);
        let running = match program {
            "lib" => running.arg("--lib"),
            _ => running.args(["--test", program]),
        };
        let running =
            running.folder(&tree).env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "1");
        let running = if flags.is_empty() { running } else { running.env("RUSTFLAGS", flags) };
        running.clone().arg("--no-run").read()?;
        let output = running.args(["--", "--exact", test]).env("RUST_BACKTRACE", "0").output()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A lane shows only the end of its log.
        text.push_str(&Transcript::read(&target.join("lab"), test));
        noticing.judge(output.status.code(), &text)
    }
}

impl Noticing<'_> {
    /// Returns the outcome of a run of the test, which is ignored if the test is. Fails if it has not noticed the defect.
    fn judge(&self, code: Option<i32>, text: &str) -> Result<Completion> {
        let Self { test, shows, .. } = self;
        let ended =
            |how: &str| text.lines().find(|line| line.contains(&format!("{test} ... {how}")));
        if let Some((_, reason)) = ended("ignored (").and_then(|line| line.split_once("ignored ("))
        {
            return Ok(Completion::ignored_with(reason.trim_end_matches(')')));
        }
        ensure!(
            code == Some(FAILED) && ended("FAILED").is_some(),
            "{test} does not notice it: exit code {code:?}\n{text}"
        );
        ensure!(text.contains(shows), "{test} fails, but does not say \"{shows}\":\n{text}");
        Ok(Completion::Completed)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use libtest_mimic::Completion;

    use super::Defect;
    use crate::lane::lanes;

    fn tree() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
    }

    #[test]
    fn each_patch_fits_the_tree_and_names_its_test() {
        let (lanes, defects) = (lanes(), Defect::all(&tree()).unwrap());
        assert!(!defects.is_empty());
        for defect in defects {
            let noticing = defect.noticing().unwrap();
            let is_there =
                noticing.program != "lanes" || lanes.iter().any(|lane| lane.name == noticing.test);
            assert!(is_there, "{noticing:?}");
            defect.apply(&tree(), "apply --check").unwrap();
        }
    }

    #[test]
    fn a_test_that_passes_or_fails_otherwise_has_overlooked_it() {
        let text =
            "All is lost.\n\nTest: a b journal::all\nShows: lost\ndiff --git a/x b/x\nShows: c\n";
        let defect = Defect { patch: PathBuf::from("a.patch"), text: text.to_owned() };
        let judge = |code, text| defect.noticing().unwrap().judge(Some(code), text);
        let noticed = judge(101, "it is lost\ntest journal::all ... FAILED\n").unwrap();
        assert!(matches!(noticed, Completion::Completed));
        judge(0, "lost\ntest journal::all ... ok\n").err().unwrap();
        judge(101, "test journal::all ... FAILED\n").err().unwrap();
        // The program was not found, or not built.
        judge(101, "lost").err().unwrap();
        let ignored = judge(0, "test journal::all ... ignored (no-root: why)\n").unwrap();
        assert!(
            matches!(ignored, Completion::Ignored { reason: Some(why) } if why == "no-root: why")
        );
    }
}
