//! The library as C programs use it: exported names, the header, and calls, whose results are compared with those of
//! PMDK's library if its packages are available. `cargo xtask test` links the library and runs this program.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure is the test's")]

use cachemaint_test_support::skip::skip;
use goblin::elf::Elf;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The interface: PMDK 1.12, and the logging functions of 2.1.
const FUNCTIONS: [&str; 26] = [
    "pmem_check_version",
    "pmem_deep_drain",
    "pmem_deep_flush",
    "pmem_deep_persist",
    "pmem_drain",
    "pmem_errormsg",
    "pmem_flush",
    "pmem_has_auto_flush",
    "pmem_has_hw_drain",
    "pmem_is_pmem",
    "pmem_log_get_threshold",
    "pmem_log_set_function",
    "pmem_log_set_threshold",
    "pmem_map_file",
    "pmem_memcpy",
    "pmem_memcpy_nodrain",
    "pmem_memcpy_persist",
    "pmem_memmove",
    "pmem_memmove_nodrain",
    "pmem_memmove_persist",
    "pmem_memset",
    "pmem_memset_nodrain",
    "pmem_memset_persist",
    "pmem_msync",
    "pmem_persist",
    "pmem_unmap",
];

/// The beginnings of the lines of `calls.c` that differ from PMDK's, and the reasons.
const DIFFERENCES: [(&str, &str); 5] = [
    ("log ", "1.12 has no log functions"),
    ("no log ", "1.12 has no log functions"),
    ("messages logged", "1.12 has no log functions"),
    ("map logged", "1.12 has no log functions"),
    ("map not logged", "1.12 has no log functions"),
];

/// The environments in which the calls are compared.
const ENVIRONMENTS: [&[(&str, &str)]; 17] = [
    &[],
    &[("PMEM_IS_PMEM_FORCE", "0")],
    &[("PMEM_IS_PMEM_FORCE", "1")],
    &[("PMEM_IS_PMEM_FORCE", "2")],
    &[("PMEM_IS_PMEM_FORCE", "no")],
    &[("PMEM_IS_PMEM_FORCE", "4294967297")],
    &[("PMEM_IS_PMEM_FORCE", "99999999999999999999")],
    &[("PMEM_NO_FLUSH", "0")],
    &[("PMEM_NO_FLUSH", "1")],
    &[("PMEM_NO_CLWB", "1")],
    &[("PMEM_NO_CLWB", "1"), ("PMEM_NO_CLFLUSHOPT", "1")],
    &[("PMEM_NO_MOVNT", "1")],
    &[("PMEM_MOVNT_THRESHOLD", "0")],
    &[("PMEM_MOVNT_THRESHOLD", "99999")],
    &[("PMEM_MOVNT_THRESHOLD", "-1"), ("PMEM_AVX", "0"), ("PMEM_WC_WORKAROUND", "0")],
    &[("PMEM_MMAP_HINT", "10000000000")],
    &[("PMEM_MMAP_HINT", "no")],
];

/// Returns the folder of the linked library.
fn ours() -> PathBuf {
    match env::var_os("CACHEMAINT_LIBPMEM") {
        Some(folder) => PathBuf::from(folder),
        None => panic!(
            "CACHEMAINT_LIBPMEM is not set to the folder of the library; run `cargo xtask members`"
        ),
    }
}

/// Returns the folder of unpacked PMDK packages, if there is one.
fn packages(test: &str) -> Option<PathBuf> {
    let folder = env::var_os("CACHEMAINT_LIBPMEM_ORIGINAL").map(PathBuf::from);
    if folder.is_none() {
        skip(test, "the packages of PMDK are not there");
    }
    folder
}

/// Returns the folder of the libraries in unpacked packages.
fn libraries(packages: &Path) -> PathBuf {
    let architectures = fs::read_dir(packages.join("usr/lib")).unwrap();
    let mut folders = architectures.map(|entry| entry.unwrap().path());
    folders.find(|folder| folder.join("libpmem.so.1").exists()).unwrap()
}

/// A compiled program, and a folder for its files.
struct Program {
    folder: TempDir,
}

impl Program {
    fn compile(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = cc("-std=c11")
            .args(["-O1", "-I", "include", "-o"])
            .arg(folder.path().join("program"))
            .arg(format!("tests/programs/{name}.c"))
            .arg("-L")
            .arg(ours())
            .args(["-Wl,--as-needed", "-l:libpmem.so.1", "-lpthread", "-ldl"])
            .output()
            .unwrap();
        require_success(&output);
        Self { folder }
    }

    /// Runs the program with the library in a folder. Its first argument is an empty folder.
    fn run(&self, library: &Path, environment: &[(&str, &str)], argument: Option<u32>) -> String {
        let output = self.output(library, environment, argument);
        require_success(&output);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing is to be reported");
        String::from_utf8(output.stdout).unwrap()
    }

    fn output(
        &self,
        library: &Path,
        environment: &[(&str, &str)],
        argument: Option<u32>,
    ) -> Output {
        let empty = tempfile::tempdir_in(self.folder.path()).unwrap();
        Command::new(self.folder.path().join("program"))
            .env("LD_LIBRARY_PATH", paths(library))
            .envs(environment.iter().copied())
            .arg(empty.path())
            .args(argument.map(|argument| argument.to_string()))
            .output()
            .unwrap()
    }
}

/// Returns the folders in which to search for libraries: the given one, and those of PMDK's own dependencies.
fn paths(library: &Path) -> String {
    let others = env::var_os("CACHEMAINT_LIBPMEM_ORIGINAL").map(PathBuf::from);
    let others = others.map(|packages| libraries(&packages).display().to_string());
    format!("{}:{}", library.display(), others.unwrap_or_default())
}

/// Returns the C compiler for a language.
fn cc(language: &str) -> Command {
    let mut command = Command::new("cc");
    command.args(language.split(' ')).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command
}

fn require_success(output: &Output) {
    let (shown, complaint) = (&output.stdout, &output.stderr);
    assert!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(shown),
        String::from_utf8_lossy(complaint)
    );
}

/// Returns the exported functions of a library with their versions.
fn exports(library: &Path) -> BTreeMap<String, String> {
    let bytes = fs::read(library.join("libpmem.so.1")).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.soname, Some("libpmem.so.1"));
    let versions: BTreeMap<u16, &str> = elf
        .verdef
        .iter()
        .flatten()
        .map(|version| {
            let name = version.iter().next().unwrap().vda_name;
            (version.vd_ndx, elf.dynstrtab.get_at(name).unwrap())
        })
        .collect();
    let versym = elf.versym.as_ref().unwrap();
    let symbols = elf.dynsyms.iter().enumerate();
    symbols
        .filter(|(_, symbol)| symbol.is_function() && !symbol.is_import())
        .map(|(number, symbol)| {
            let name = elf.dynstrtab.get_at(symbol.st_name).unwrap();
            let version = versions[&versym.get_at(number).unwrap().version()];
            (String::from(name), String::from(version))
        })
        .collect()
}

#[test]
fn the_exported_names_are_those_of_the_interface() {
    let exports = exports(&ours());
    let names: BTreeSet<&str> = exports.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(FUNCTIONS));
    assert!(exports.values().all(|version| version == "LIBPMEM_1.0"), "{exports:?}");
}

#[test]
fn every_name_of_the_original_is_exported_with_its_version() {
    let Some(packages) = packages("every_name_of_the_original_is_exported_with_its_version") else {
        return;
    };
    let (ours, theirs) = (exports(&ours()), exports(&libraries(&packages)));
    assert!(theirs.len() >= 23, "{theirs:?}");
    for (name, version) in theirs {
        assert_eq!(ours.get(&name), Some(&version), "{name}");
    }
}

#[test]
fn the_header_has_the_functions_and_values_of_the_interface() {
    let theirs = env::var_os("CACHEMAINT_LIBPMEM_ORIGINAL").map(PathBuf::from);
    let theirs = theirs.map(|packages| packages.join("usr/include"));
    for folder in [Some(PathBuf::from("include")), theirs].into_iter().flatten() {
        for language in ["-std=c11", "-x c++ -std=c++17"] {
            let output = cc(language)
                .args(["-fsyntax-only", "tests/programs/header.c", "-I"])
                .arg(&folder)
                .output()
                .unwrap();
            require_success(&output);
        }
    }
}

#[test]
fn copies_have_the_bytes_of_the_c_library() {
    let program = Program::compile("calls");
    for environment in ENVIRONMENTS {
        let lines = program.run(&ours(), environment, None);
        let copies: Vec<&str> = lines.lines().filter(|line| line.contains("copies")).collect();
        assert_eq!(copies.len(), 129);
        assert!(
            copies.iter().all(|line| line.ends_with(": 0 wrong")),
            "{environment:?}: {copies:#?}"
        );
    }
}

#[test]
fn calls_have_the_results_of_the_original() {
    let Some(packages) = packages("calls_have_the_results_of_the_original") else { return };
    let program = Program::compile("calls");
    for environment in ENVIRONMENTS {
        let run = |library: &Path| -> Vec<String> {
            let lines = program.run(library, environment, None);
            let is_same =
                |line: &&str| !DIFFERENCES.iter().any(|(start, _)| line.starts_with(start));
            lines.lines().filter(is_same).map(String::from).collect()
        };
        let (ours, theirs) = (run(&ours()), run(&libraries(&packages)));
        assert!(theirs.len() > 200, "{theirs:#?}");
        let pairs = ours.iter().zip(&theirs);
        let differences: Vec<_> = pairs.filter(|(ours, theirs)| ours != theirs).collect();
        assert!(differences.is_empty(), "{environment:?}: {differences:#?}");
        assert_eq!(ours.len(), theirs.len());
    }
}

#[test]
fn random_calls_have_the_results_of_a_model() {
    let program = Program::compile("random");
    for seed in 1..=8 {
        program.run(&ours(), &[], Some(seed));
    }
    // The model is right if the original agrees with it.
    let Some(packages) = packages("random_calls_have_the_results_of_a_model") else { return };
    for seed in 1..=3 {
        program.run(&libraries(&packages), &[], Some(seed));
    }
}

#[test]
fn a_forked_child_uses_the_library_whatever_threads_its_parent_has() {
    let program = Program::compile("forks");
    program.run(&ours(), &[], None);
}

#[test]
fn a_fork_waits_for_no_thread_that_changes_the_list_of_mappings() {
    let program = Program::compile("held");
    for is_registered_after in [0, 1] {
        program.run(&ours(), &[], Some(is_registered_after));
    }
}

#[test]
fn a_signal_handler_that_interrupts_a_call_can_call_and_fork() {
    let program = Program::compile("signals");
    for forks in [0, 1] {
        program.run(&ours(), &[], Some(forks));
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_signal_handler_at_any_instruction_of_a_call_can_call() {
    Program::compile("steps").run(&ours(), &[], None);
}

#[test]
fn space_is_allocated_by_pieces_if_it_cannot_be_had_at_once() {
    Program::compile("allocation").run(&ours(), &[], None);
}

#[test]
fn a_log_function_gets_the_name_of_the_library_and_each_message() {
    Program::compile("logged").run(&ours(), &[], None);
}

#[test]
fn an_address_in_the_environment_is_ignored_without_proc() {
    let program = Program::compile("hidden");
    let hint = [("PMEM_MMAP_HINT", "10000000000")];
    if !program.run(&ours(), &hint, None).is_empty() {
        skip("an_address_in_the_environment_is_ignored_without_proc", "/proc cannot be hidden");
    }
}

#[test]
fn a_thread_that_never_calls_the_library_keeps_its_stack() {
    let program = Program::compile("stacks");
    program.run(&ours(), &[], None);
}

#[test]
fn a_cancelled_thread_finishes_its_call() {
    Program::compile("cancelled").run(&ours(), &[], None);
}

#[test]
fn a_library_that_is_unloaded_leaves_nothing_behind() {
    let program = Program::compile("reload");
    program.run(&ours(), &[], None);
}

#[test]
fn a_call_before_the_constructor_works() {
    let program = Program::compile("early");
    for environment in [&[][..], &[("CACHEMAINT_STRICT", "1")]] {
        program.run(&ours(), environment, None);
    }
}

#[test]
fn the_tool_of_the_original_creates_and_checks_pools() {
    let test = "the_tool_of_the_original_creates_and_checks_pools";
    let Some(packages) = packages(test) else { return };
    let tool = packages.join("usr/bin/pmempool");
    for force in ["0", "1"] {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &str, pool: &str| {
            let output = Command::new(&tool)
                .env("LD_LIBRARY_PATH", paths(&ours()))
                .env("PMEM_IS_PMEM_FORCE", force)
                .args(arguments.split(' '))
                .arg(folder.path().join(pool))
                .output()
                .unwrap();
            require_success(&output);
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        };
        for (create, pool) in
            [("create obj", "obj"), ("create log", "log"), ("create blk 512", "blk")]
        {
            run(create, pool);
            run("check", pool);
            run("info", pool);
        }
    }
}
