//! The library's test programs in the lab, and the CPUs that each of their tests runs on. Emulation is slow, so a test runs
//! where its result can differ:
//!
//! | scope | tests | runs on |
//! |---|---|---|
//! | [`Instructions`](Scope::Instructions) | those that execute maintenance, fences, block stores or counter instructions, or read identity and line size | every CPU model |
//! | [`Files`](Scope::Files) | those of files | a file system with DAX |
//! | [`Everything`](Scope::Everything) | all but the slow ones | one model of arm64, one big-endian CPU, and words of 32 bits on this CPU |

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xtask::command::Cmd;
use xtask::packages::{every_feature, published_for};

/// The tests that run on a CPU.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    Instructions,
    Files,
    Everything,
}

/// The variables by which the tests try fewer cases: emulation is some twenty times slower, and the native run tries all.
pub(super) const FEWER_CASES: [(&str, &str); 2] =
    [("PROPTEST_CASES", "16"), ("CACHEMAINT_HISTORIES", "100")];

/// The unit tests.
const LIBRARY: &str = "cachemaint";

/// Programs, each with the prefixes of its tests; all tests if the list is empty.
type Selected = [(&'static str, &'static [&'static str])];

const INSTRUCTIONS: &Selected = &[
    (LIBRARY, &["arch::", "cache::", "coherence::", "medium::"]),
    ("chosen_here", &[]),
    ("coherence", &["shared_with_a_device", "ring_of_threads"]),
];

const FILES: &Selected = &[
    (LIBRARY, &["dax::"]),
    ("dax", &[]),
    ("dax_faults", &[]),
    ("dax_killed", &[]),
    ("dax_processes", &[]),
    ("dax_size_limit", &[]),
];

/// Programs with loop devices, with calls that emulators do not pass on, and with tests that would take emulators minutes.
const NATIVE: [&str; 3] = ["dax_failed", "simulated", "simulator"];

/// Tests that would take minutes in an emulator, and depend neither on the CPU nor on the order and size of words: crashes
/// on simulated media, enumerations on models, and structures that are opened anew for each of their bytes.
const SLOW: [&str; 22] = [
    "a_cut_file_with_more_pages_than_mappings_is_an_error",
    "blocks::a_lost_block",
    "copy::tests::recording::",
    "crashes::",
    "creation",
    "cut_off",
    "damage::",
    "every_small_range_is_covered_once",
    "events::a_damaged_page_costs_no_event",
    "format::each_changed_byte_is_noticed_or_harmless",
    "full::",
    "many_dirty_lines_are_written_back_at_once",
    "overtaken::",
    "regions::a_copy_of_a_process_that_is_killed_at_its_fence_is_an_error",
    "report::tests",
    "rewritten::",
    "ring_on_model",
    "stores::a_store_",
    "tree::",
    "unreadable::",
    "uses::blobs_of_any_size",
    "work::",
];

impl Scope {
    /// Returns the programs of a scope, or none for all.
    fn selected(self) -> Option<&'static Selected> {
        match self {
            Self::Instructions => Some(INSTRUCTIONS),
            Self::Files => Some(FILES),
            Self::Everything => None,
        }
    }

    /// Returns the words with which cargo builds the programs.
    fn targets(self, triple: &str) -> Vec<&'static str> {
        let Some(selected) = self.selected() else {
            return published_for(triple).chain(["--lib", "--tests"]).collect();
        };
        let programs = selected.iter().map(|(name, _)| *name).filter(|name| *name != LIBRARY);
        let named = programs.flat_map(|name| ["--test", name]);
        ["-p", LIBRARY, "--lib"].into_iter().chain(named).collect()
    }

    /// Returns the arguments of a program, or none if no test of it is to run.
    fn arguments(self, program: &str) -> Option<Vec<&'static str>> {
        let tests: &[&str] = match self.selected() {
            Some(selected) => selected.iter().find(|(name, _)| *name == program)?.1,
            None if NATIVE.contains(&program) => return None,
            None => &[],
        };
        let skips = SLOW.iter().flat_map(|name| ["--skip", *name]);
        Some(tests.iter().copied().chain(skips).collect())
    }
}

/// A built test program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The name in the manifest; for unit tests, the library's.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The test programs of a scope.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    scope: Scope,
    programs: Vec<Program>,
}

impl Programs {
    /// Builds the programs that run in a scope, with `cargo` for a target.
    pub(super) fn build(
        triple: &str,
        scope: Scope,
        cargo: impl FnOnce(&str) -> Result<Cmd>,
    ) -> Result<Self> {
        let cargo = cargo(&format!("test {} {LISTED}", every_feature(triple)))?;
        let programs = built(&cargo.args(scope.targets(triple)).read()?);
        ensure!(!programs.is_empty(), "cargo built no tests");
        Ok(Self { scope, programs })
    }

    /// Returns each program that has something to run, with its arguments.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Program, Vec<&'static str>)> {
        self.programs
            .iter()
            .filter_map(|program| Some((program, self.scope.arguments(&program.name)?)))
    }

    /// Returns the program with this name.
    pub(super) fn named(&self, name: &str) -> Result<&Program> {
        let found = self.programs.iter().find(|program| program.name == name);
        found.with_context(|| format!("cargo built no {name}"))
    }
}

/// The words with which cargo builds tests and lists them as JSON. It prints the compiler's messages as text.
pub(super) const LISTED: &str = "--no-run --message-format json-render-diagnostics";

/// Returns the test programs that messages of cargo's are about.
pub(super) fn built(messages: &str) -> Vec<Program> {
    messages.lines().filter_map(program).collect()
}

/// Returns the test program that a message of cargo's is about (The Cargo Book, "External tools").
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message.pointer("/profile/test")?.as_bool()?;
    let name = message.pointer("/target/name")?.as_str()?.to_owned();
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    is_test.then_some(Program { name, path })
}

#[cfg(test)]
mod tests {
    use super::{FILES, INSTRUCTIONS, LIBRARY, program};
    use std::path::Path;

    #[test]
    fn a_program_that_is_named_is_there() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
        let named = INSTRUCTIONS.iter().chain(FILES).map(|(name, _)| *name);
        for name in named.filter(|name| *name != LIBRARY) {
            let folder = tests.join(name).join("main.rs");
            assert!(tests.join(format!("{name}.rs")).is_file() || folder.is_file(), "{name}");
        }
    }

    #[test]
    fn a_program_is_a_test_with_an_executable() {
        let message = |test: bool, executable: &str| {
            format!(
                r#"{{"reason": "compiler-artifact", "target": {{"name": "{LIBRARY}"}},
                    "profile": {{"test": {test}}}, "executable": {executable}}}"#
            )
        };
        assert_eq!(program(&message(true, r#""/a/b""#)).unwrap().name, LIBRARY);
        assert!(program(&message(false, r#""/a/b""#)).is_none());
        assert!(program(&message(true, "null")).is_none());
        assert!(program(r#"{"reason": "build-finished", "success": true}"#).is_none());
    }
}
