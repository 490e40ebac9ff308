//! The checks that a change can have broken, by the files that it touches.

use alloc::collections::BTreeSet;
use core::fmt;
use std::path::Path;

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

/// The names of the main branch: of the repository that this one is a copy of, then of this one.
const MAIN: [&str; 5] = ["origin/HEAD", "origin/main", "origin/master", "main", "master"];

/// Steps that take seconds with the products of an earlier run, and run for every change: nearly all of them read the
/// whole workspace.
const ALWAYS: [&str; 7] = ["fmt", "clippy", "doc", "package", "tree", "arrows", "interface"];

/// The beginning of every lane's name.
const EVERY_LANE: &str = "";

/// Crashes of the logs and stores on a machine.
const TRIALS: &str = "machine/x86_64/trials";
/// The same without one of their write-backs.
const LEFT_OUT: &str = "machine/x86_64/left-out";
/// The formats with words of 32 bits.
const SHORT_WORDS: &str = "cpu/i686";
/// The formats on a CPU of big endian.
const BIG_ENDIAN: &str = "cpu/qemu-s390x";

/// The first part that has a file decides; a file of no part can have broken anything.
const PARTS: [Part; 17] = [
    Part { paths: &["lab/examples/"], steps: &["test"], lanes: &["machine/x86_64/lose-c"] },
    Part {
        paths: &["examples/driver/"],
        steps: &["test", "no-std", "systems", "msrv"],
        lanes: &[],
    },
    Part {
        paths: &["examples/vm_restart/"],
        steps: &["test", "systems", "msrv"],
        lanes: &["machine/x86_64/vm-restart"],
    },
    Part {
        paths: &["tests/clients/", "capi/libpmem/"],
        steps: &["test"],
        lanes: &[
            "c/",
            SHORT_WORDS,
            "flush/aarch64/libpmemobj",
            "flush/x86_64/libpmemobj",
            "machine/aarch64/lose-libpmemobj",
            "machine/x86_64/libpmem",
            "machine/x86_64/lose-libpmemobj",
        ],
    },
    Part {
        paths: &["src/sim/", "tests/simulator", "tests/histories"],
        steps: &["test", "systems", "msrv"],
        lanes: &[SHORT_WORDS, BIG_ENDIAN],
    },
    Part {
        paths: &["tests/regressions/", "examples/", "docs/"],
        steps: &["test", "systems", "msrv"],
        lanes: &[],
    },
    Part {
        paths: &["src/journal/", "tests/journal"],
        steps: &["test", "no-std", "systems", "msrv", "loom"],
        lanes: &[
            "machine/x86_64/journal",
            TRIALS,
            LEFT_OUT,
            "flush/x86_64/max",
            SHORT_WORDS,
            BIG_ENDIAN,
        ],
    },
    Part {
        paths: &["src/recorder/", "tests/recorder"],
        steps: &["test", "no-std", "systems", "msrv", "loom"],
        lanes: &[
            "machine/x86_64/recorder",
            "machine/x86_64/tests-on-dax",
            TRIALS,
            LEFT_OUT,
            "flush/x86_64/max",
            "freestanding/",
            "cpu/",
        ],
    },
    Part {
        paths: &["src/preserve/", "tests/preserve"],
        steps: &["test", "no-std", "systems", "msrv"],
        lanes: &[
            "machine/x86_64/preserve",
            "machine/x86_64/vm-restart",
            TRIALS,
            LEFT_OUT,
            "flush/x86_64/max",
            SHORT_WORDS,
            BIG_ENDIAN,
        ],
    },
    Part {
        paths: &["src/dax/", "tests/dax", "tests/own_mount"],
        steps: &["test", "systems", "msrv", "miri", "asm"],
        lanes: &["cpu/", "machine/", "flush/"],
    },
    Part {
        paths: &["src/report/"],
        steps: &["test", "systems", "msrv"],
        lanes: &["cpu/", "machine/x86_64/cpu/", "freestanding/"],
    },
    Part {
        paths: &["cli/"],
        steps: &["test", "systems", "msrv"],
        lanes: &[
            "machine/x86_64/canary",
            "machine/x86_64/device-dax",
            "machine/x86_64/guard-holes",
            "machine/x86_64/tracer",
        ],
    },
    Part { paths: &["capi/"], steps: &["test"], lanes: &["c/", "machine/x86_64/lose-c"] },
    Part { paths: &["benches/"], steps: &["test"], lanes: &[] },
    Part { paths: &["tests/asm/"], steps: &["asm"], lanes: &[] },
    Part {
        paths: &["lab/", "tests/lab/", "xtask/src/lab/"],
        steps: &["test"],
        lanes: &[EVERY_LANE],
    },
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
        steps: &["test"],
        lanes: &[],
    },
];

/// The checks to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Affected {
    steps: BTreeSet<&'static str>,
    /// The lanes of the lab, by the beginnings of their names.
    pub(crate) lanes: BTreeSet<&'static str>,
    /// The reason why anything can be broken.
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
                affected.everything_may_be_broken(|| {
                    format!("{file} belongs to no part with checks of its own")
                });
            }
        }
        affected
    }

    fn everything_may_be_broken(&mut self, reason: impl FnOnce() -> String) {
        self.lanes.insert(EVERY_LANE);
        self.everything.get_or_insert_with(reason);
    }

    /// Returns the checks for all differences from the main branch, committed or not, of the repository in a folder. If
    /// it has no main branch, these are all checks.
    pub(crate) fn since_main(folder: &Path) -> Result<Self> {
        let git = |line: &str| {
            Cmd::new("git").words("-c safe.directory=*").words(line).folder(folder).read()
        };
        let base = MAIN.iter().find_map(|main| git(&format!("merge-base HEAD {main}")).ok());
        let Some(base) = base else {
            let mut affected = Self::default();
            affected
                .everything_may_be_broken(|| format!("no branch is called {}", MAIN.join(", ")));
            return Ok(affected);
        };
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
        if let Some(reason) = &self.everything {
            return write!(f, "every check: {reason}");
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
    use std::fs;
    use std::path::Path;

    use super::Affected;
    use crate::command::Cmd;
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

    /// Each of these files is compiled into, or executed by, a check elsewhere.
    #[test]
    fn a_change_runs_the_checks_of_others_that_use_the_file() {
        assert!(by(&["examples/driver/driver.rs"]).has("no-std"));
        assert!(by(&["benches/copy.rs"]).has("doc"));
        assert!(by(&["benches/contenders.rs"]).has("test"));
        for (file, lane) in [
            ("examples/vm_restart/main.rs", "machine/x86_64/vm-restart"),
            ("src/journal/append.rs", "cpu/i686"),
            ("src/preserve/format/mod.rs", "cpu/qemu-s390x/max"),
            ("src/sim/mod.rs", "cpu/i686"),
            ("src/recorder/mod.rs", "freestanding/x86_64/last-events"),
            ("src/recorder/mod.rs", "machine/x86_64/tests-on-dax"),
            ("cli/src/commands/guard/mod.rs", "machine/x86_64/guard-holes"),
            ("cli/src/commands/inspect.rs", "machine/x86_64/device-dax"),
            ("capi/libpmem/src/words.rs", "cpu/i686"),
        ] {
            let lanes = by(&[file]).lanes;
            assert!(lanes.iter().any(|beginning| lane.starts_with(beginning)), "{file}: {lane}");
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

    /// As after `git init`, without another repository.
    #[test]
    fn a_branch_differs_from_the_main_branch_of_its_repository() {
        let folder = tempfile::tempdir().unwrap();
        let git = |line: &str| {
            let me = "-c user.name=me -c user.email=me@example.org -c commit.gpgsign=false";
            Cmd::new("git").words(me).words(line).folder(folder.path()).read().unwrap()
        };
        let commit = |file: &str| {
            fs::write(folder.path().join(file), "").unwrap();
            git(&format!("add {file}"));
            git("commit -q -m it");
        };
        git("init -q -b main");
        commit("README.md");
        git("checkout -q -b change");
        commit("clippy.toml");
        let affected = Affected::since_main(folder.path()).unwrap();
        assert!(affected.to_string().contains("clippy.toml"), "{affected}");
        git("branch -q -D main");
        let affected = Affected::since_main(folder.path()).unwrap();
        assert!(affected.has("miri") && affected.to_string().contains("no branch"), "{affected}");
    }

    #[test]
    fn nothing_runs_where_nothing_has_changed() {
        assert!(!by(&[]).has("fmt"));
        assert_eq!(by(&[]).to_string(), "nothing has changed");
    }
}
