//! C programs that use `cachemaint.h`, built and run for each architecture.
//!
//! A lane builds the archive and the shared library for its target, installs them, and compiles the counter of
//! `capi/examples` and the programs of `capi/tests` against the installed files alone. It runs them here, or in user
//! emulation of a CPU of another architecture.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines::cache::make_empty;
use lose_lines::command::Cmd as Running;
use xtask::absent::Absent;
use xtask::c_development::{self, ARCHIVE, Folders};
use xtask::c_libraries::CACHEMAINT;
use xtask::command::{Cmd, find_program};

use crate::cpus::{passed, run_each};
use crate::cross::{self, Linking, Ready};
use crate::lab::Lab;
use crate::lane::{Lane, Run};
use crate::targets::{Model, Target};

/// The architectures by name, triple and emulated CPU.
const CPUS: [[&str; 3]; 2] = [
    ["x86_64", "x86_64-unknown-linux-gnu", "max"],
    ["aarch64", "aarch64-unknown-linux-gnu", "neoverse-n1"],
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

pub(super) fn lanes() -> Vec<Lane> {
    let lane = |cpu: [&'static str; 3]| {
        let folder = format!("capi/{}", cpu[0]);
        Lane::new(folder.clone(), move |lab| prepare(lab, &folder, cpu))
    };
    CPUS.into_iter().map(lane).collect()
}

/// Builds a program of `capi/examples` for this machine and links the static library. `folder` is its folder of builds.
pub(super) fn example(lab: &Lab, folder: &str, source: &str) -> Result<PathBuf> {
    let (target, model) = model(CPUS[0])?;
    let kit = Kit::new(lab, folder, target, model)?;
    kit.build(&kit.cc, C, source, &kit.archive())
}

fn prepare(lab: &Lab, lane: &str, cpu: [&str; 3]) -> Result<Run> {
    let (target, model) = model(cpu)?;
    let kit = Kit::new(lab, lane, target, model)?;
    let cxx = match cross::cxx_compiler(target.triple) {
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

/// Returns the target and the emulated CPU of an architecture.
fn model([_, triple, cpu]: [&str; 3]) -> Result<(&'static Target, &'static Model)> {
    let target = cross::target(triple)?;
    let model = target.models.iter().find(|model| model.cpu == cpu);
    Ok((target, model.with_context(|| format!("no lane is for {cpu}"))?))
}

/// The installed files for a target, and the means to build and to run programs with them.
struct Kit {
    cc: String,
    /// The emulator, unless programs run here.
    emulator: Option<(Ready, &'static Model)>,
    tree: PathBuf,
    prefix: PathBuf,
    /// The folder of the libraries below the prefix.
    libraries: PathBuf,
    work: PathBuf,
}

impl Kit {
    fn new(lab: &Lab, lane: &str, target: &'static Target, model: &'static Model) -> Result<Self> {
        let Linking { compiler, cc, sysroot } = cross::linking(target.triple)?;
        let emulator = match sysroot {
            None => None,
            Some(_) => Some((Ready::find(&lab.host, target)?, model)),
        };
        let work = lab.work().join(lane);
        let (tree, prefix) = (lab.tree().to_path_buf(), work.join("prefix"));
        let archive = CACHEMAINT.archive(&compiler, target.triple, &tree, &lab.target())?;
        // For another CPU, as distributions for several do.
        let folder = if emulator.is_some() { "lib/other" } else { "lib" };
        let folders = Folders { prefix: &prefix, libraries: Path::new(folder) };
        c_development::install(&cc, &archive, &tree, folders)?;
        let libraries = prefix.join(folder);
        let kit = Self { cc, emulator, tree, prefix, libraries, work };
        kit.check_symbols()?;
        Ok(kit)
    }

    /// Checks that both libraries have the functions of the header and no other symbol.
    fn check_symbols(&self) -> Result<()> {
        let header = fs::read_to_string(self.prefix.join("include/cachemaint.h"))
            .context("cannot read the installed header")?;
        let mut declared = prototypes(&header);
        declared.sort_unstable();
        for (library, kind) in [(CACHEMAINT.soname, "--dynamic"), (ARCHIVE, "--extern-only")] {
            let library = self.libraries.join(library);
            let listed = c_development::tool(&self.cc, "nm")?
                .words(kind)
                .words("--defined-only --format=posix")
                .arg(library.display().to_string())
                .read()?;
            let symbols: Vec<&str> = exported(&listed).collect();
            let library = library.display();
            ensure!(symbols == declared, "{library}: {symbols:?}; declared: {declared:?}");
        }
        Ok(())
    }

    /// Builds the counter as a user does, with pkg-config where it is installed.
    /// Returns its two runs, each with the beginning of the line that it must print.
    fn counters(&self) -> Result<[(Running, String); 2]> {
        let counter = self.build(&self.cc, C, COUNTER, &self.shared()?)?;
        let file = self.folder("counter")?.join("file").display().to_string();
        Ok([1, 2].map(|number| {
            let printed = format!("{number} (persisted in units of ");
            (self.running(&counter).arg(&file), printed)
        }))
    }

    /// Builds a test program with each library and in each language.
    fn tests(&self, source: &str, arguments: &[&str], cxx: Option<&str>) -> Result<Vec<Running>> {
        let archive = self.archive();
        let mut built = vec![
            self.build(&self.cc, C, source, &self.shared()?)?,
            self.build(&self.cc, C, source, &archive)?,
        ];
        if let Some(cxx) = cxx {
            built.push(self.build(cxx, CXX, source, &archive)?);
        }
        let run = |program: PathBuf| {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            let folder = self.folder(&format!("{name}.files"))?.display().to_string();
            Ok(self.running(&program).arg(folder).args(arguments.iter().copied()))
        };
        built.into_iter().map(run).collect()
    }

    /// Returns the option that links the static library.
    fn archive(&self) -> Vec<String> {
        vec![self.libraries.join(ARCHIVE).display().to_string()]
    }

    /// Returns the options that link the shared library.
    fn shared(&self) -> Result<Vec<String>> {
        let lib = &self.libraries;
        let options = match find_program("pkg-config") {
            Some(_) => Cmd::new("pkg-config")
                .words("--cflags --libs cachemaint")
                .env("PKG_CONFIG_LIBDIR", lib.join("pkgconfig").display().to_string())
                .read()?,
            None => format!("-L{} -lcachemaint", lib.display()),
        };
        let path = format!("-Wl,-rpath,{}", lib.display());
        Ok(options.split_whitespace().map(str::to_owned).chain([path]).collect())
    }

    fn build(&self, cc: &str, language: &str, source: &str, library: &[String]) -> Result<PathBuf> {
        let name = Path::new(source).file_stem().unwrap_or_default().to_string_lossy();
        let kind = if library.len() > 1 { "shared" } else { "static" };
        let standard = language.rsplit('=').next().unwrap_or_default();
        let program = self.work.join(format!("{name}-{kind}-{standard}"));
        Cmd::new(cc)
            .words(WARNINGS)
            .words(language)
            .arg(format!("-I{}", self.prefix.join("include").display()))
            .arg(self.tree.join(source).display().to_string())
            // The library is not a source file.
            .words("-x none")
            .args(library.iter().cloned())
            .arg("-o")
            .arg(program.display().to_string())
            .read()?;
        Ok(program)
    }

    fn running(&self, program: &Path) -> Running {
        let program = program.display().to_string();
        match &self.emulator {
            Some((ready, model)) => ready.on(model, &program),
            None => Running::new(program).limit(60),
        }
    }

    /// Returns an empty folder.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        make_empty(&folder)?;
        Ok(folder)
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
