//! The checks that a change can have broken, by the files that it touches.

use alloc::collections::BTreeSet;
use core::fmt;

use anyhow::Result;

use crate::command::Cmd;

/// A part of the tree, and the checks of it.
struct Part {
    /// The beginnings of its paths.
    paths: &'static [&'static str],
    steps: &'static [&'static str],
    /// Lanes of the lab, by the beginnings of their names.
    lanes: &'static [&'static str],
}

/// Steps that take seconds and run for every change.
const ALWAYS: [&str; 7] = ["fmt", "clippy", "package", "tree", "arrows", "prose", "interface"];

/// The beginning of every lane's name.
const EVERY_LANE: &str = "";

/// Crashes of the logs and stores on a machine.
const TRIALS: &str = "machine/x86_64/trials";
/// The same without one of their write-backs.
const LEFT_OUT: &str = "machine/x86_64/left-out";

/// The first part that has a file decides; a file of no part can have broken anything.
const PARTS: [Part; 14] = [
    Part {
        paths: &["examples/forgotten_flush/"],
        steps: &["test"],
        lanes: &["machine/x86_64/lose-c"],
    },
    Part {
        paths: &["tests/clients/", "capi/libpmem/"],
        steps: &["test"],
        lanes: &[
            "c/",
            "flush/aarch64/libpmemobj",
            "flush/x86_64/libpmemobj",
            "machine/aarch64/lose-libpmemobj",
            "machine/x86_64/libpmem",
            "machine/x86_64/lose-libpmemobj",
        ],
    },
    Part {
        paths: &[
            "src/sim/",
            "tests/simulator",
            "tests/histories",
            "tests/regressions/",
            "examples/",
            "docs/",
        ],
        steps: &["doc", "test", "systems", "msrv"],
        lanes: &[],
    },
    Part {
        paths: &["src/journal/", "tests/journal"],
        steps: &["doc", "test", "no-std", "systems", "msrv", "loom"],
        lanes: &["machine/x86_64/journal", TRIALS, LEFT_OUT, "flush/x86_64/max"],
    },
    Part {
        paths: &["src/recorder/", "tests/recorder"],
        steps: &["doc", "test", "no-std", "systems", "msrv", "loom"],
        lanes: &["machine/x86_64/recorder", TRIALS, LEFT_OUT, "flush/x86_64/max", "cpu/"],
    },
    Part {
        paths: &["src/preserve/", "tests/preserve"],
        steps: &["doc", "test", "no-std", "systems", "msrv"],
        lanes: &[
            "machine/x86_64/preserve",
            "machine/x86_64/vm-restart",
            TRIALS,
            LEFT_OUT,
            "flush/x86_64/max",
        ],
    },
    Part {
        paths: &["src/dax/", "tests/dax", "tests/own_mount"],
        steps: &["doc", "test", "systems", "msrv", "miri", "asm"],
        lanes: &["cpu/", "machine/", "flush/"],
    },
    Part {
        paths: &["src/report/"],
        steps: &["doc", "test", "systems", "msrv"],
        lanes: &["cpu/", "machine/x86_64/cpu/", "machine/x86_64/side-by-side", "freestanding/"],
    },
    Part {
        paths: &["cli/"],
        steps: &["doc", "test", "systems", "msrv"],
        lanes: &["machine/x86_64/canary", "machine/x86_64/side-by-side", "machine/x86_64/tracer"],
    },
    Part { paths: &["capi/"], steps: &["test"], lanes: &["c/", "machine/x86_64/lose-c"] },
    Part { paths: &["benches/"], steps: &[], lanes: &[] },
    Part { paths: &["tests/asm/"], steps: &["asm"], lanes: &[] },
    Part { paths: &["tests/lab/", "xtask/src/lab/"], steps: &["test"], lanes: &[EVERY_LANE] },
    Part {
        paths: &[
            "README.md",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "LICENSE",
            "fuzz/",
            "tests/interface.txt",
            "tests/libpmem2",
        ],
        steps: &["doc", "test"],
        lanes: &[],
    },
];

/// The checks to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Affected {
    steps: BTreeSet<&'static str>,
    /// The lanes of the lab, by the beginnings of their names.
    pub(crate) lanes: BTreeSet<&'static str>,
    /// The first file that can have broken anything.
    everything: Option<String>,
}

impl Affected {
    fn by(files: impl IntoIterator<Item = String>) -> Self {
        let mut affected = Self::default();
        for file in files {
            let has_it = |part: &&Part| part.paths.iter().any(|path| file.starts_with(path));
            affected.steps.extend(ALWAYS);
            if let Some(part) = PARTS.iter().find(has_it) {
                affected.steps.extend(part.steps);
                affected.lanes.extend(part.lanes);
            } else {
                affected.lanes.insert(EVERY_LANE);
                affected.everything = affected.everything.or(Some(file));
            }
        }
        affected
    }

    /// Returns the checks for all differences from the branch that this one will be merged into, committed or not.
    pub(crate) fn since_main() -> Result<Self> {
        let git = |line: &str| Cmd::new("git").words("-c safe.directory=*").words(line).read();
        // A branch that was pushed is its own upstream.
        let base = ["origin/HEAD", "origin/main", "@{upstream}"]
            .into_iter()
            .find_map(|branch| git(&format!("merge-base HEAD {branch}")).ok())
            .unwrap_or_else(|| String::from("HEAD"));
        let changed = git(&format!("diff --name-only --no-renames {}", base.trim()))?;
        let new = git("ls-files --others --exclude-standard")?;
        Ok(Self::by(changed.lines().chain(new.lines()).map(str::to_owned)))
    }

    /// Returns true if the step is to run.
    pub(crate) fn has(&self, step: &str) -> bool {
        let is_lab = step == "lab" && !self.lanes.is_empty();
        self.everything.is_some() || self.steps.contains(step) || is_lab
    }
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.everything {
            return write!(f, "every check: {file} belongs to no part with checks of its own");
        }
        if self.steps.is_empty() {
            return f.write_str("nothing has changed");
        }
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(" ");
        write!(f, "steps: {}\nlanes: {}", list(&self.steps), list(&self.lanes))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Affected;
    use crate::planted::Planted;

    fn by(files: &[&str]) -> Affected {
        Affected::by(files.iter().map(|file| (*file).to_owned()))
    }

    #[test]
    fn a_change_of_one_part_runs_the_checks_of_that_part() {
        let journal = by(&["src/journal/append.rs"]);
        assert!(journal.has("test") && journal.has("loom") && journal.has("lab"));
        assert!(!journal.has("miri") && !journal.lanes.contains(""));
        assert!(journal.lanes.contains("machine/x86_64/journal"));
    }

    #[test]
    fn a_new_list_of_the_interface_runs_its_check_and_no_lane() {
        let interface = by(&["tests/interface.txt"]);
        assert!(interface.has("interface") && !interface.has("lab") && !interface.has("miri"));
    }

    /// A defect that a check is known to notice is a change that can have broken it.
    #[test]
    fn a_change_like_a_planted_defect_runs_the_check_that_notices_it() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for patch in Planted::all(&tree.join("tests/lab/planted")).unwrap() {
            let (lane, affected) = (patch.says("Lane").unwrap(), Affected::by(patch.files()));
            let is_run = affected.lanes.iter().any(|beginning| lane.starts_with(beginning));
            assert!(is_run, "{}: {lane}", patch.name());
        }
    }

    #[test]
    fn changes_of_several_parts_add_up() {
        let both = by(&["README.md", "tests/asm/codegen.rs"]);
        assert!(both.has("doc") && both.has("asm") && both.has("fmt"));
        assert!(!both.has("lab") && !both.has("miri"));
    }

    #[test]
    fn a_file_of_no_part_runs_everything() {
        for file in ["arch/mod.rs", "src/lib.rs", "Cargo.lock", ".ci/run", "xtask/src/run.rs"] {
            let affected = by(&["src/sim/mod.rs", file]);
            assert!(affected.has("miri") && affected.lanes.contains(""), "{file}");
            assert!(affected.to_string().contains(file));
        }
    }

    #[test]
    fn nothing_runs_where_nothing_has_changed() {
        assert!(!by(&[]).has("fmt"));
        assert_eq!(by(&[]).to_string(), "nothing has changed");
    }
}
