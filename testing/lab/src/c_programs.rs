//! C programs that use `cachemaint.h` or the replacement of libpmem, built and run for each architecture.
//!
//! A lane builds the archive and the shared library for its target, installs them, and compiles the counter of
//! `capi/examples` and the programs of `capi/tests` against the installed files alone. It runs them here, or in user
//! emulation of a CPU of another architecture. The programs of `capi/libpmem/tests` run on a CPU where no instruction
//! reaches the point of persistence.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines_machine::cache::make_empty;
use lose_lines_machine::command::Cmd as Running;
use xtask::absent::Absent;
use xtask::c_development::{self, ARCHIVE, Folders};
use xtask::c_libraries::{self, CACHEMAINT, LIBPMEM};
use xtask::command::{Cmd, find_program};

use crate::cpus::{passed, run_each};
use crate::cross::{self, Linking, Ready};
use crate::lab::Lab;
use crate::lane::{Lane, Run};
use crate::targets::Model;

/// A lane: its name, its target, the emulated CPU, and what it runs.
type Facts = (&'static str, &'static str, &'static str, fn(&Kit) -> Result<Run>);

const LANES: [Facts; 3] = [
    ("capi/x86_64", "x86_64-unknown-linux-gnu", "max", header),
    ("capi/aarch64", "aarch64-unknown-linux-gnu", "neoverse-n1", header),
    ("capi/libpmem-aarch64", "aarch64-unknown-linux-gnu", "cortex-a53", libpmem),
];

/// The options of a program that wants no warning.
const WARNINGS: &str = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O2 -pthread";

/// The languages, by their options.
const C: &str = "-std=c11";
const CXX: &str = "-x c++ -std=c++17";

/// The programs, and their arguments after a folder.
const COUNTER: &str = "capi/examples/counter.c";
const PROGRAMS: [(&str, &[&str]); 5] = [
    ("capi/tests/files.c", &[]),
    ("capi/tests/caches.c", &[]),
    ("capi/tests/calls.c", &["1", "20000"]),
    ("capi/tests/forks.c", &[]),
    ("capi/tests/errors.c", &[]),
];

/// The programs of libpmem, and their arguments after a folder.
const OF_LIBPMEM: [(&str, &[&str]); 4] =
    [("short", &[]), ("calls", &[]), ("random", &["1"]), ("early", &[])];

/// PMDK's library, its header and its tool, with the libraries that these load.
const ORIGINAL: [&str; 10] = [
    "libpmem1",
    "libpmem-dev",
    "pmdk-tools",
    "libpmemobj1",
    "libpmemlog1",
    "libpmemblk1",
    "libpmempool1",
    "libndctl6",
    "libdaxctl1",
    "libkmod2",
];

pub(super) fn lanes() -> Vec<Lane> {
    let lane = |(name, triple, cpu, run): Facts| {
        Lane::new(name, move |lab| run(&Kit::new(lab, name, triple, cpu)?))
    };
    let original = Lane::new("capi/libpmem-original", beside_original);
    LANES.into_iter().map(lane).chain([original]).collect()
}

/// Builds a program of `capi/examples` for this machine and links the static library. `folder` is its folder of builds.
pub(super) fn example(lab: &Lab, folder: &str, source: &str) -> Result<PathBuf> {
    let (_, triple, cpu, _) = LANES[0];
    let kit = Kit::new(lab, folder, triple, cpu)?;
    kit.install()?;
    kit.build(None, C, source, Kind::Static)
}

/// Runs the programs that use `cachemaint.h`.
fn header(kit: &Kit) -> Result<Run> {
    kit.install()?;
    kit.check_symbols()?;
    let cxx = match cross::cxx_compiler(kit.triple) {
        Err(why) if why.is::<Absent>() => Err(why),
        cxx => Ok(cxx?),
    };
    let counters = kit.counters()?;
    let mut tests = Vec::new();
    for (source, arguments) in PROGRAMS {
        tests.extend(kit.tests(source, arguments, cxx.as_deref().ok())?);
    }
    Ok(Box::new(move |log| {
        if let Err(why) = cxx {
            writeln!(log, "no program is compiled as C++: {why:#}")?;
        }
        for (counter, wanted) in counters {
            let mut is_printed = false;
            let ending = counter.watch_in(log, |line| is_printed |= line.starts_with(&wanted))?;
            let has_passed = is_printed && ending.code == Some(0);
            ensure!(has_passed, "`{counter}` {} and must print `{wanted}`", ending.told);
        }
        passed(&run_each(&tests, log)?)
    }))
}

/// Runs the programs that use the replacement of libpmem. With `CACHEMAINT_STRICT` one ends with the report.
fn libpmem(kit: &Kit) -> Result<Run> {
    let archive = LIBPMEM.archive(&kit.linking.compiler, kit.triple, &kit.tree, &kit.target)?;
    LIBPMEM.shared(&kit.linking.cc, &archive, &kit.tree, &kit.work)?;
    let (folder, work) = (kit.tree.join("capi/libpmem"), kit.work.display());
    let programs = OF_LIBPMEM.map(|(name, arguments)| {
        let program = kit.work.join(name);
        Cmd::new(&kit.linking.cc)
            .words("-std=c11 -O2 -pthread")
            .arg(format!("-I{}", folder.join("include").display()))
            .path(folder.join(format!("tests/programs/{name}.c")))
            .args([format!("-L{work}"), format!("-Wl,-rpath,{work}")])
            .words("-l:libpmem.so.1 -o")
            .path(&program)
            .read()?;
        kit.running(&program, arguments)
    });
    let programs: Vec<Running> = programs.into_iter().collect::<Result<_>>()?;
    Ok(Box::new(move |log| {
        for program in &programs {
            let mut last = String::new();
            let ending = program.watch_in(log, |line| line.clone_into(&mut last))?;
            ensure!(ending.code == Some(0), "`{program}` {}: {last}", ending.told);
        }
        let strict = programs[0].clone().env("CACHEMAINT_STRICT", "1");
        let complaint = strict.refusal()?;
        ensure!(complaint.contains("libpmem: stores are "), "`{strict}` said: {complaint}");
        Ok(())
    }))
}

/// Runs the tests of the replacement of libpmem, which compare it with the original where that is there.
fn beside_original(lab: &Lab) -> Result<Run> {
    let original = lab.unpacked(&ORIGINAL)?.display().to_string();
    let tests = c_libraries::tests_of_libpmem(&lab.host)?;
    let tests = tests.env("CACHEMAINT_LIBPMEM_ORIGINAL", original);
    Ok(Box::new(move |log| tests.show_in(log, |_line| ())))
}

/// The means to build and to run programs for a target.
struct Kit {
    triple: &'static str,
    linking: Linking,
    /// The emulator, unless programs run here.
    emulator: Option<(Ready, &'static Model)>,
    tree: PathBuf,
    target: PathBuf,
    work: PathBuf,
}

/// A library that is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Shared,
    Static,
}

impl Kit {
    fn new(lab: &Lab, lane: &str, triple: &'static str, cpu: &str) -> Result<Self> {
        let (target, linking) = (cross::target(triple)?, cross::linking(triple)?);
        let model = target.models.iter().find(|model| model.cpu == cpu);
        let model = model.with_context(|| format!("no lane is for {cpu}"))?;
        let emulator = match linking.sysroot {
            None => None,
            Some(_) => Some((Ready::find(&lab.cache, target)?, model)),
        };
        let (tree, work) = (lab.tree().to_path_buf(), lab.work().join(lane));
        make_empty(&work)?;
        Ok(Self { triple, linking, emulator, tree, target: lab.target(), work })
    }

    fn prefix(&self) -> PathBuf {
        self.work.join("prefix")
    }

    /// Returns the folder of libraries below the prefix: for another CPU, as distributions for several have it.
    fn libdir(&self) -> &'static str {
        if self.emulator.is_some() { "lib/other" } else { "lib" }
    }

    fn libraries(&self) -> PathBuf {
        self.prefix().join(self.libdir())
    }

    /// Builds and installs `cachemaint.h` and its libraries.
    fn install(&self) -> Result<()> {
        let Linking { compiler, cc, .. } = &self.linking;
        let archive = CACHEMAINT.archive(compiler, self.triple, &self.tree, &self.target)?;
        let folders = Folders { prefix: &self.prefix(), libraries: Path::new(self.libdir()) };
        c_development::install(cc, &archive, &self.tree, folders).map(drop)
    }

    /// Checks that both libraries have the functions of the header and no other symbol.
    fn check_symbols(&self) -> Result<()> {
        let header = fs::read_to_string(self.prefix().join("include/cachemaint.h"))?;
        let mut declared = prototypes(&header);
        declared.sort_unstable();
        for (library, kind) in [(CACHEMAINT.soname, "--dynamic"), (ARCHIVE, "--extern-only")] {
            let nm = c_development::tool(&self.linking.cc, "nm")?.words(kind);
            let listed = nm.words("--defined-only --format=posix");
            let listed = listed.path(self.libraries().join(library)).read()?;
            let symbols: Vec<&str> = exported(&listed).collect();
            ensure!(symbols == declared, "{library}: {symbols:?}; declared: {declared:?}");
        }
        Ok(())
    }

    /// Builds the counter as a user does. Returns its two runs, each with the beginning of the line that it must print.
    fn counters(&self) -> Result<[(Running, String); 2]> {
        let counter = self.build(None, C, COUNTER, Kind::Shared)?;
        let run = self.start(&counter).arg(self.work.join("counted").display().to_string());
        Ok([1, 2].map(|number| (run.clone(), format!("{number} (persisted in units of "))))
    }

    /// Builds a test program with each library and in each language.
    fn tests(&self, source: &str, arguments: &[&str], cxx: Option<&str>) -> Result<Vec<Running>> {
        let c = [Kind::Shared, Kind::Static].map(|kind| self.build(None, C, source, kind));
        let cxx = cxx.map(|cxx| self.build(Some(cxx), CXX, source, Kind::Static));
        c.into_iter().chain(cxx).map(|program| self.running(&program?, arguments)).collect()
    }

    /// Builds a program with the C compiler, or with this one, and with pkg-config where it is installed.
    fn build(
        &self,
        cxx: Option<&str>,
        language: &str,
        source: &str,
        kind: Kind,
    ) -> Result<PathBuf> {
        let lib = self.libraries();
        let library = match kind {
            Kind::Static => lib.join(ARCHIVE).display().to_string(),
            Kind::Shared if find_program("pkg-config").is_some() => Cmd::new("pkg-config")
                .words("--cflags --libs cachemaint")
                .env("PKG_CONFIG_LIBDIR", lib.join("pkgconfig"))
                .read()?,
            Kind::Shared => format!("-L{} -lcachemaint", lib.display()),
        };
        let name = Path::new(source).file_stem().unwrap_or_default().display();
        let standard = language.rsplit('=').next().unwrap_or_default();
        let program = self.work.join(format!("{name}-{kind:?}-{standard}"));
        Cmd::new(cxx.unwrap_or(&self.linking.cc))
            .words(WARNINGS)
            .words(language)
            .arg(format!("-I{}", self.prefix().join("include").display()))
            .path(self.tree.join(source))
            // The library is not a source file.
            .words("-x none")
            .words(&library)
            .args([format!("-Wl,-rpath,{}", lib.display()), String::from("-o")])
            .path(&program)
            .read()?;
        Ok(program)
    }

    fn start(&self, program: &Path) -> Running {
        let program = program.display().to_string();
        match &self.emulator {
            Some((ready, model)) => ready.on(model, &program),
            None => Running::new(program).limit(60),
        }
    }

    /// Returns the run of a program with an empty folder and these arguments.
    fn running(&self, program: &Path, arguments: &[&str]) -> Result<Running> {
        let folder = program.with_extension("files");
        make_empty(&folder)?;
        let run = self.start(program).arg(folder.display().to_string());
        Ok(run.args(arguments.iter().copied()))
    }
}

/// Returns the functions in a list of symbols (`nm`, POSIX format), in order. The others are names of versions.
fn exported(listed: &str) -> impl Iterator<Item = &str> {
    let symbols = listed.lines().filter_map(|line| line.split_once(' '));
    let symbols = symbols.filter(|(_, rest)| !rest.starts_with('A'));
    symbols.map(|(symbol, _)| symbol.split('@').next().unwrap_or(symbol))
}

/// Returns the names of the header's prototypes.
fn prototypes(header: &str) -> Vec<&str> {
    let code = header.split("*/").filter_map(|part| part.split("/*").next());
    code.flat_map(|code| code.split('('))
        .filter_map(|before| before.rsplit([' ', '*', '\n']).next())
        .filter(|word| word.starts_with("cachemaint_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{exported, prototypes};

    #[test]
    fn functions_are_found_in_a_list_of_symbols_and_in_a_header() {
        let listed =
            "CACHEMAINT_0.1 A 0\ncachemaint_a@@CACHEMAINT_0.1 T 10 20\ncachemaint_b T 30 40\n";
        assert_eq!(exported(listed).collect::<Vec<_>>(), ["cachemaint_a", "cachemaint_b"]);
        let header = "/* cachemaint_c(x) */\nvoid *cachemaint_a(int x);\nint cachemaint_b(void);\n";
        assert_eq!(prototypes(header), ["cachemaint_a", "cachemaint_b"]);
    }
}
