//! The library's test programs in the lab, and the CPUs that each of their tests runs on.
//!
//! Emulation is slow, so a test runs where its result can differ, and no more often:
//!
//! | scope | tests | runs on |
//! |---|---|---|
//! | [`Model`](Scope::Model) | those that execute maintenance, fences, block stores or counter instructions, or read identity and line size | every CPU model |
//! | [`Architecture`](Scope::Architecture) | besides, those of system calls, signals, mappings, locks and the kernel's files | arm64; the scopes below and the step `test` have them too |
//! | [`Files`](Scope::Files) | those of files | a file system with DAX |
//! | [`BigEndian`](Scope::BigEndian) | besides, those of formats and readers | one big-endian CPU |
//! | [`Everything`](Scope::Everything) | besides, those that depend on the size of words at most | words of 32 bits on this CPU |
//!
//! `cargo xtask lab --whole`, a part of `full`, gives each CPU more: the tests of its architecture to each model, and
//! everything to one CPU of each architecture. System calls hardly differ between architectures, so that few of them have
//! these tests in the step `lab`.

use alloc::collections::BTreeMap;
use core::cell::RefCell;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::command::Cmd;
use crate::run::skipping;
use crate::targets::{every_feature, features_of_instructions, has_formats};

/// The tests that run on a CPU, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Model,
    /// The tests of a model, on the one CPU of its architecture to which a whole run gives everything.
    Sample,
    /// The programs of the next scope, with some of their tests.
    Files,
    Architecture,
    /// The programs of the next scope, without the tests that are the same for each order of bytes.
    BigEndian,
    Everything,
}

/// The variables by which the tests try fewer cases: emulation is some twenty times slower, and the native run tries all.
pub(super) const FEWER_CASES: [(&str, &str); 2] =
    [("PROPTEST_CASES", "16"), ("CACHEMAINT_HISTORIES", "100")];

/// The unit tests.
const LIBRARY: &str = "cachemaint";

/// The programs whose tests depend on the CPU model, and the prefixes of these tests; all tests if the list is empty.
const ON_EACH_MODEL: [(&str, &[&str]); 3] = [
    (LIBRARY, &["arch::", "cache::", "coherence::", "medium::", "recorder::clock"]),
    ("chosen_here", &[]),
    ("coherence", &["shared_with_a_device", "ring_of_threads"]),
];

/// The programs whose tests depend on the architecture.
const ON_EACH_ARCHITECTURE: [&str; 9] = [
    LIBRARY,
    "chosen_here",
    "coherence",
    "dax",
    "dax_faults",
    "dax_killed",
    "dax_processes",
    "dax_size_limit",
    "recorder",
];

/// The programs that depend on the order and size of words at most. An emulator on x86 has the order of accesses of x86, so
/// that it shows no other.
const ON_SOME_WORDS: [&str; 6] =
    ["dax_address_limit", "examples", "journal", "preserve", "recorder_allocation", "simulator"];

/// The programs with tests of files, and the prefixes of these tests; all tests if the list is empty.
const WITH_FILES: [(&str, &[&str]); 7] = [
    (LIBRARY, &["dax::"]),
    ("dax", &[]),
    ("dax_faults", &[]),
    ("dax_killed", &[]),
    ("dax_processes", &[]),
    ("dax_size_limit", &[]),
    ("recorder", &["recorder::files::", "recorder::processes::"]),
];

/// Tests that are the same on every CPU and for each order of bytes: pure functions over recorded machines, plans and
/// models, and threads whose order of accesses is the emulating CPU's.
const SAME_EVERYWHERE: [&str; 5] = [
    "copy::tests::recording::",
    "overtaken::",
    "report::tests",
    "ring_on_model",
    "arch::lines::tests::every_small_range_is_covered_once",
];

/// More tests that are the same on every CPU with one order of bytes: readers of damaged formats, and the simulator.
const SAME_ON_EVERY_CPU: [&str; 3] = ["damage::", "format::", "sim::"];

/// More tests that are the same for each order of bytes: mutation runs and litmus tests of the simulator, whose values
/// are compared as wholes. Others are about the reading of the second copy, about the room that is left, and about
/// the ends of chunks.
const SAME_FOR_EACH_ORDER: [&str; 6] = [
    "full::",
    "simulator::hash_table::",
    "simulator::litmus::",
    "simulator::planted::producers::",
    "unreadable::",
    "uses::blobs_of_any_size",
];

/// Tests of files that take half a minute in an emulator. They are about limits of mappings and names of files.
/// Others cut off the creation and growth of structures in files: that of the files
/// themselves is tried on each medium.
const SAME_ON_EVERY_MEDIUM: [&str; 6] = [
    "a_cut_file_with_more_pages_than_mappings_is_an_error",
    "a_journal_whose_creation_is_cut_off_can_be_created_or_opened",
    "a_recording_whose_creation_is_cut_off_can_be_created_or_opened",
    "a_store_that_is_cut_off_while_it_grows_keeps_its_blobs",
    "a_store_whose_creation_is_cut_off_can_be_created_or_opened",
    "guard::nothing_outside_of_the_tree_is_opened_while_links_are_exchanged",
];

/// Tests of the above kinds that would take minutes in an emulator. They are crashes of the logs on a simulated medium
/// (some of these tests also read the library's sources) and trees of random shapes or of hundreds of pages. Others open
/// a store or recording anew for each of its bits, bytes, blocks or pages, or after each system call of a killed process.
/// Others count the looks at files of some MiB, or fail each write-back in turn, or have a simulated cache of thousands of
/// dirty lines. Other tests read and write their formats. A ring's steps, and those of a writer that overtakes a reader,
/// are enumerated on models without an instruction of a CPU.
const TOO_LONG: [&str; 22] = [
    "blocks::a_lost_block",
    "crashes::",
    "creation::each_format_is_created_wherever",
    "damage::a_bit_of_a_chunk_costs_that_chunk",
    "damage::each_bit_of_headers_histories_tables_and_a_blob_is_proved",
    "events::a_damaged_page_costs_no_event",
    "format::each_changed_byte_is_noticed_or_harmless",
    "histories::",
    "many_dirty_lines_are_written_back_at_once",
    "overtaken::a_writer_that_stands_in_one_header_and_then_in_another_one",
    "overtaken::events_that_a_writer_overwrites_between_two_loads",
    "regions::a_copy_of_a_process_that_is_killed_at_its_fence_is_an_error",
    "rewritten::records_that_an_opening_finds_after_a_failed_write_back",
    "ring_on_model",
    "simulator::recorder",
    "stores::a_store_",
    "tree::a_blob_put_in_place_of_a_removed_page_is_found",
    "tree::damage_of_one_copy_of_any_page_loses_nothing_and_of_both_what_is_below",
    "tree::forged::pages_with_more_bytes_than_the_medium_are_refused_with_bounded_work",
    "tree::it_is_a_map_whatever_is_split_and_merged",
    "tree::tests::each_page_has_the_children_that_are_below_it",
    "work::",
];

/// The targets with lanes of a wider scope than that of a model: one build of the library serves all.
const WITH_WIDER_SCOPES: [&str; 3] =
    ["x86_64-unknown-linux-gnu", "i686-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The programs of [`ON_SOME_WORDS`] that cargo builds with a format or the simulator alone.
const OF_FORMATS: [&str; 3] = ["journal", "preserve", "simulator"];

impl Scope {
    /// Returns the scope of the same CPU in a whole run.
    fn widened(self) -> Self {
        match self {
            Self::Model => Self::Architecture,
            Self::Sample
            | Self::Files
            | Self::Architecture
            | Self::BigEndian
            | Self::Everything => Self::Everything,
        }
    }

    /// Returns the words with which cargo enables what the programs' tests need. The rest takes two thirds of the
    /// library's compilation.
    fn features(self, triple: &str) -> &'static str {
        if self <= Self::Sample && !WITH_WIDER_SCOPES.contains(&triple) {
            features_of_instructions(triple)
        } else {
            every_feature(triple)
        }
    }

    /// Returns the words with which cargo builds the programs, for a target with formats or without them.
    fn targets(self, has_formats: bool) -> Vec<&'static str> {
        let names: Vec<&str> = match self {
            Self::Model | Self::Sample => ON_EACH_MODEL.iter().map(|(name, _)| *name).collect(),
            Self::Files | Self::Architecture => ON_EACH_ARCHITECTURE.to_vec(),
            Self::BigEndian | Self::Everything => {
                [&ON_EACH_ARCHITECTURE[..], &ON_SOME_WORDS[..]].concat()
            }
        };
        let is_built = |name: &&str| has_formats || !OF_FORMATS.contains(name);
        let others = names.into_iter().filter(|name| *name != LIBRARY).filter(is_built);
        ["--lib"].into_iter().chain(others.flat_map(|name| ["--test", name])).collect()
    }

    /// Returns the arguments of a program, or none if no test of it is to run.
    fn arguments(self, program: &str) -> Option<Vec<&'static str>> {
        match self {
            Self::Model | Self::Sample => {
                let tests = of(&ON_EACH_MODEL, program)?.iter().copied();
                Some(
                    tests
                        .chain(skipping(SAME_EVERYWHERE.iter().chain(&SAME_ON_EVERY_CPU)))
                        .collect(),
                )
            }
            Self::Files => {
                let tests = of(&WITH_FILES, program)?.iter().copied();
                let skipped = SAME_ON_EVERY_MEDIUM.iter().chain(&TOO_LONG).chain(&SAME_EVERYWHERE);
                Some(tests.chain(skipping(skipped)).collect())
            }
            Self::Architecture => ON_EACH_ARCHITECTURE.contains(&program).then(|| {
                skipping(SAME_EVERYWHERE.iter().chain(&SAME_ON_EVERY_CPU).chain(&TOO_LONG))
            }),
            Self::BigEndian => {
                Some(skipping(SAME_EVERYWHERE.iter().chain(&SAME_FOR_EACH_ORDER).chain(&TOO_LONG)))
            }
            Self::Everything => Some(skipping(&TOO_LONG)),
        }
    }
}

/// Returns the prefixes of a program's tests.
fn of<'t>(programs: &[(&str, &'t [&'t str])], program: &str) -> Option<&'t [&'t str]> {
    programs.iter().find(|(name, _)| *name == program).map(|(_, tests)| *tests)
}

/// A built test program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The name in the manifest; for the unit tests, the library's.
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

/// The programs that were built.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// The programs by their target and scope.
    programs: RefCell<BTreeMap<(String, Scope), Vec<Program>>>,
    /// True if every scope is the next one.
    is_whole: bool,
}

impl Built {
    pub(super) fn new(is_whole: bool) -> Self {
        Self { is_whole, ..Self::default() }
    }

    /// Builds the programs that run in a scope, for a target. `built_for` ends with its triple; `cargo` is called with
    /// the words to build them.
    pub(super) fn build(
        &self,
        built_for: &str,
        scope: Scope,
        cargo: impl FnOnce(&str) -> Result<Cmd>,
    ) -> Result<Programs> {
        let scope = if self.is_whole { scope.widened() } else { scope };
        let is_enough = |(name, built): &(String, Scope)| name == built_for && *built >= scope;
        if let Some((_, programs)) = self.programs.borrow().iter().find(|(key, _)| is_enough(key)) {
            return Ok(Programs { scope, programs: programs.clone() });
        }
        let triple = built_for.rsplit(' ').next().unwrap_or(built_for);
        let features = scope.features(triple);
        let line = format!("test -p cachemaint {features} --no-run --message-format json");
        let messages = cargo(&line)?.args(scope.targets(has_formats(triple))).read()?;
        let programs = built(&messages);
        ensure!(!programs.is_empty(), "cargo built no tests");
        self.programs.borrow_mut().insert((built_for.to_owned(), scope), programs.clone());
        Ok(Programs { scope, programs })
    }
}

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
    use std::path::Path;

    use super::{LIBRARY, ON_EACH_ARCHITECTURE, ON_EACH_MODEL, Scope, WITH_FILES, program};

    #[test]
    fn a_wider_scope_has_every_program_of_a_narrower_one() {
        for (name, _) in ON_EACH_MODEL.into_iter().chain(WITH_FILES) {
            assert!(ON_EACH_ARCHITECTURE.contains(&name), "{name}");
            assert!(Scope::Architecture.arguments(name).is_some());
            assert!(Scope::Everything.arguments(name).is_some());
        }
    }

    #[test]
    fn programs_beyond_a_scope_are_neither_built_nor_run() {
        assert_eq!(Scope::Model.arguments("simulator"), None);
        assert_eq!(Scope::Architecture.arguments("simulator"), None);
        assert!(!Scope::Architecture.targets(true).contains(&"simulator"));
        assert!(Scope::Everything.targets(true).contains(&"simulator"));
    }

    /// Cargo refuses a program by its name if it needs a feature that is not enabled.
    #[test]
    fn a_target_without_formats_gets_no_program_that_needs_one() {
        let manifest = include_str!("../../../Cargo.toml");
        let tests = manifest.split("[[").filter_map(|table| table.strip_prefix("test]]\n"));
        let of_features: Vec<&str> = tests
            .filter(|table| table.contains("required-features"))
            .filter_map(|table| table.strip_prefix("name = \"")?.split('"').next())
            .collect();
        assert!(of_features.contains(&"journal"), "{of_features:?}");
        for scope in [Scope::Model, Scope::Files, Scope::BigEndian, Scope::Everything] {
            let built = scope.targets(false);
            assert!(built.iter().all(|name| !of_features.contains(name)), "{built:?}");
        }
    }

    #[test]
    fn a_whole_run_has_more_tests_on_every_cpu() {
        assert_eq!(Scope::Model.widened(), Scope::Architecture);
        assert_eq!(Scope::Sample.widened(), Scope::Everything);
        assert_eq!(Scope::Files.widened(), Scope::Everything);
        assert_eq!(Scope::Architecture.widened(), Scope::Everything);
    }

    #[test]
    fn every_program_runs_somewhere_in_the_lab_or_is_known_to_run_natively() {
        // Loop devices and calls that emulators do not pass on, and tests that would take emulators minutes.
        let natively = ["dax_failed", "histories"];
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests");
        for entry in tests.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.file_stem().unwrap().to_str().unwrap();
                let is_in_lab = Scope::Everything.targets(true).contains(&name);
                assert_ne!(is_in_lab, natively.contains(&name), "{name}");
            }
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
