//! A program as it runs in a machine, with its libraries: one of this system, resolved by its dynamic loader, or one
//! linked to unpacked packages.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use lose_lines_agent::Request;

use super::elf;
use super::initramfs::Initramfs;
use super::pmem::DIRECTORY;
use crate::command::find_program;

/// The directories of a machine that are hidden by its own mounts.
const HIDDEN: [&str; 5] = ["/dev", "/proc", "/sys", "/tmp", DIRECTORY];
/// The directory for files with a hidden path.
const INSTEAD: &str = "/lab/host";
/// The directory of libraries that are found before those of packages.
const FIRST: &str = "/lab/first";

/// A program with the files that it needs in a machine.
#[derive(Clone, Debug)]
pub struct HostProgram {
    /// The path of the program in the machine; for a script, that of its interpreter.
    place: PathBuf,
    /// The arguments before the given ones: those of an interpreter, and the script.
    before: Vec<String>,
    /// The loader of the program; `None` if it is static.
    loader: Option<PathBuf>,
    /// The path of each file in the machine, and here.
    files: BTreeMap<PathBuf, PathBuf>,
    /// The directories of libraries in the machine, which has no cache of the dynamic loader, except those that the
    /// loader searches anyway.
    folders: BTreeSet<String>,
}

impl HostProgram {
    /// Finds a program by its path or in `PATH`, and the libraries that it needs; for a script, its interpreter. `more`
    /// are files and directories that it uses at run time.
    pub fn find(program: &Path, more: &[PathBuf]) -> Result<Self> {
        let from = located(program)?;
        let mut found = match interpreter(&from)? {
            Some((interpreter, before)) => {
                let mut found = Self::find(Path::new(&interpreter), &[])?;
                let place = place(&from);
                found.before.extend(before);
                found.before.push(place.display().to_string());
                found.insert(place, from)?;
                found
            }
            None => Self::linked(&from)?,
        };
        for path in more {
            let path = absolute(path)?;
            if path.is_dir() {
                found.bring(&path, &place(&path))?;
            } else {
                found.add(&path, program)?;
            }
        }
        Ok(found)
    }

    /// Finds the libraries of a program.
    fn linked(from: &Path) -> Result<Self> {
        let loader = elf::links(from)?.loader;
        let place = place(from);
        let files = BTreeMap::from([(place.clone(), from.to_path_buf())]);
        let (before, folders) = (Vec::new(), BTreeSet::new());
        let mut found = Self { place, before, loader, files, folders };
        if let Some(loader) = found.loader.clone() {
            found.link(&loader, from)?;
        }
        Ok(found)
    }

    /// Adds a file, with its libraries if it is a program or a library.
    fn add(&mut self, file: &Path, program: &Path) -> Result<()> {
        if !elf::is_elf(file)? {
            return self.insert(place(file), file.to_path_buf());
        }
        let links = elf::links(file)?;
        self.library(file)?;
        let of_program = self.loader.clone().filter(|_| links.is_library);
        match links.loader.or(of_program) {
            Some(loader) => self.link(&loader, file),
            None if links.is_library => {
                bail!("{} is static: it loads no libraries", program.display())
            }
            None => Ok(()),
        }
    }

    /// Adds the files below a directory, with the libraries of those that have some here.
    fn bring(&mut self, folder: &Path, to: &Path) -> Result<()> {
        let cannot = || format!("cannot list {}", folder.display());
        for entry in fs::read_dir(folder).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type().with_context(cannot)?.is_dir() {
                self.bring(&from, &to)?;
            } else if from.is_file() {
                let loader = self.loader.clone().filter(|_| elf::is_elf(&from).unwrap_or(false));
                if let Some(loader) = loader {
                    // A library that is not installed is not used here either.
                    drop(self.link(&loader, &from));
                }
                self.insert(to, from)?;
            }
        }
        Ok(())
    }

    /// Takes a program, and the libraries that it needs from the unpacked packages below `root`. A library in the
    /// directory `first` takes precedence over one of the same name in a package.
    pub fn packaged(root: &Path, program: &Path, first: &Path) -> Result<Self> {
        let name = program.file_name().context("the program has no name")?;
        let place = Path::new(INSTEAD).join(name);
        let (before, files, folders) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let mut found = Self { place: place.clone(), before, loader: None, files, folders };
        found.add_packaged(root, place, program.to_path_buf())?;
        for file in fs::read_dir(first)? {
            let file = file?;
            found.folders.insert(FIRST.to_owned());
            found.add_packaged(root, Path::new(FIRST).join(file.file_name()), file.path())?;
        }
        Ok(found)
    }

    /// Adds a file, and the libraries that it needs from unpacked packages. The loader finds them there by itself.
    fn add_packaged(&mut self, root: &Path, place: PathBuf, from: PathBuf) -> Result<()> {
        let mut wanted = vec![(place, from)];
        while let Some((place, from)) = wanted.pop() {
            if let Entry::Vacant(vacant) = self.files.entry(place) {
                wanted.extend(elf::needs(root, &from)?);
                vacant.insert(from);
            }
        }
        Ok(())
    }

    /// Adds the loader, and the libraries that it finds for a file.
    fn link(&mut self, loader: &Path, file: &Path) -> Result<()> {
        // The loader has the same path in every program.
        self.insert(loader.to_path_buf(), loader.to_path_buf())?;
        libraries(loader, file)?.iter().try_for_each(|library| self.library(library))
    }

    fn library(&mut self, from: &Path) -> Result<()> {
        let place = place(from);
        self.folders.extend(place.parent().map(|folder| folder.display().to_string()));
        self.insert(place, from.to_path_buf())
    }

    /// Adds a file. Two files cannot have one path in the machine, whose protocol has paths in UTF-8 only.
    fn insert(&mut self, place: PathBuf, from: PathBuf) -> Result<()> {
        ensure!(place.to_str().is_some(), "{} is not UTF-8; rename it", place.display());
        let is_same = |other: &PathBuf| {
            *other == from || fs::canonicalize(other).ok() == fs::canonicalize(&from).ok()
        };
        if let Some(other) = self.files.get(&place).filter(|other| !is_same(other)) {
            bail!(
                "{} and {} would have the same path in the machine, {}; rename one of them",
                other.display(),
                from.display(),
                place.display()
            );
        }
        self.files.insert(place, from);
        Ok(())
    }

    /// Adds the files to those of a machine.
    pub fn add_to(&self, files: &mut Initramfs) {
        for (place, from) in &self.files {
            files.file(&place.display().to_string(), from);
        }
    }

    /// Adds the files except the program.
    pub fn add_libraries_to(&self, files: &mut Initramfs) {
        for (place, from) in self.files.iter().filter(|(place, _)| **place != self.place) {
            files.file(&place.display().to_string(), from);
        }
    }

    /// Returns the program with arguments.
    pub fn with(self, arguments: Vec<String>) -> CommandLine {
        CommandLine { program: self, arguments }
    }

    fn environment(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let folders: Vec<&str> = self.folders.iter().map(String::as_str).collect();
        let folders = folders.join(":");
        // A machine's console counts as a terminal, but people and tests read its output.
        [("TMPDIR", DIRECTORY), ("TERM", "dumb"), ("LD_LIBRARY_PATH", &folders)]
            .iter()
            .chain(more)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}

/// A program with its arguments.
#[derive(Clone, Debug)]
pub struct CommandLine {
    program: HostProgram,
    arguments: Vec<String>,
}

/// Words that only a shell understands.
const OF_SHELLS: [&str; 8] = ["&&", "||", ";", "|", "&", ">", "<", ">>"];

impl CommandLine {
    /// Finds the program of a line, with words separated as by a shell. `more` is that of [`HostProgram::find`].
    pub fn find(line: &str, more: &[PathBuf]) -> Result<Self> {
        let words = shlex::split(line).context("a quotation mark is not closed")?;
        if let Some(word) = words.iter().find(|word| OF_SHELLS.contains(&word.as_str())) {
            bail!(
                "no shell runs this command, so {word} would be passed as an argument; write /bin/sh -c '{line}'"
            );
        }
        let mut words = words.into_iter();
        let program = words.next().context("there is no program in it")?;
        Ok(HostProgram::find(Path::new(&program), more)?.with(words.collect()))
    }

    /// Adds the files that it needs to those of a machine.
    pub fn add_to(&self, files: &mut Initramfs) {
        self.program.add_to(files);
    }

    /// Returns the files here.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.program.files.values().cloned()
    }

    /// Returns the request to run it on the file system under test.
    pub fn request(&self, environment: &[(&str, &str)]) -> Request {
        Request::Run {
            program: self.program.place.display().to_string(),
            arguments: [&self.program.before[..], &self.arguments].concat(),
            environment: self.program.environment(environment),
            directory: Some(DIRECTORY.to_owned()),
            output: None,
        }
    }
}

/// Returns the absolute path of a program, which may be found in `PATH`.
pub fn located(program: &Path) -> Result<PathBuf> {
    if program.is_file() {
        return absolute(program);
    }
    let is_name = program.components().count() == 1;
    let found = is_name.then(|| find_program(program)).flatten();
    found.with_context(|| {
        format!("there is no program {}; name an existing file", program.display())
    })
}

/// Returns the interpreter of a script, by its path or its name, and its arguments: `#!PATH [ARGUMENT]`, or
/// `#!/usr/bin/env NAME` (execve(2), env(1)).
fn interpreter(script: &Path) -> Result<Option<(String, Vec<String>)>> {
    let mut first = Vec::new();
    let read = File::open(script)
        .and_then(|file| BufReader::new(file.take(256)).read_until(b'\n', &mut first));
    read.with_context(|| format!("cannot read {}", script.display()))?;
    let Some(line) = first.strip_prefix(b"#!") else { return Ok(None) };
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut program = words.next();
    if program.as_deref().is_some_and(|program| program.ends_with("/env")) {
        program = words.find(|word| word != "-S");
    }
    let program =
        program.with_context(|| format!("{}: no interpreter follows #!", script.display()));
    Ok(Some((program?, words.collect())))
}

fn absolute(file: &Path) -> Result<PathBuf> {
    let path = env::current_dir().context("there is no working directory")?.join(file);
    Ok(path.components().filter(|part| part.as_os_str() != ".").collect())
}

/// Returns the path of a file in the machine: the same path, unless it is hidden there.
fn place(from: &Path) -> PathBuf {
    let is_hidden = HIDDEN.iter().any(|folder| from.starts_with(folder));
    match from.file_name() {
        Some(name) if is_hidden => Path::new(INSTEAD).join(name),
        _ => from.to_path_buf(),
    }
}

/// Returns the libraries that this system's loader finds for a file. Nothing in the file is executed.
fn libraries(loader: &Path, file: &Path) -> Result<Vec<PathBuf>> {
    let list = Command::new(loader).arg("--list").arg(file).output();
    let list = list.with_context(|| {
        format!("cannot start {}, the loader of {}", loader.display(), file.display())
    })?;
    if !list.status.success() {
        let why = String::from_utf8_lossy(&list.stderr);
        bail!(
            "{}; install the library, or name its directory in LD_LIBRARY_PATH",
            why.trim_end_matches(": No such file or directory\n").trim_end()
        );
    }
    Ok(listed(&String::from_utf8_lossy(&list.stdout)))
}

/// Returns the files in the output of a loader: `NAME => FILE (ADDRESS)` or `FILE (ADDRESS)` on each line.
fn listed(output: &str) -> Vec<PathBuf> {
    let file = |line: &str| {
        let found = line.split_once(" => ").map_or(line, |(_, found)| found).trim();
        let (file, _address) = found.rsplit_once(" (")?;
        file.starts_with('/').then(|| PathBuf::from(file))
    };
    output.lines().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::{HostProgram, Request, listed, place};
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Outputs of glibc 2.36 and of musl 1.2.3.
    #[test]
    fn libraries_are_read_from_the_output_of_each_loader() {
        let glibc = "\tlinux-vdso.so.1 (0x00007f2d78b96000)\n\
                     \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2d7899d000)\n\
                     \t/lib64/ld-linux-x86-64.so.2 (0x00007f2d78b98000)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(listed(glibc), expected.map(PathBuf::from));
        let musl = "\t/lib/ld-musl-x86_64.so.1 (0x7f1)\n\tlib a.so => /opt/lib a.so (0x7f2)\n\
                    \tlibc.so => /lib/ld-musl-x86_64.so.1 (0x7f1)\n";
        let loader = "/lib/ld-musl-x86_64.so.1";
        assert_eq!(listed(musl), [loader, "/opt/lib a.so", loader].map(PathBuf::from));
        assert!(listed("\tstatically linked\n").is_empty());
    }

    #[test]
    fn a_file_has_its_own_path_unless_the_machine_hides_it() {
        assert_eq!(place(Path::new("/usr/bin/sqlite3")), Path::new("/usr/bin/sqlite3"));
        assert_eq!(place(Path::new("/tmp/build/a")), Path::new("/lab/host/a"));
        assert_eq!(place(Path::new("/mntx/a")), Path::new("/mntx/a"));
    }

    #[test]
    fn a_script_is_run_by_its_interpreter_with_the_folders_that_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let [script, inner] = ["script", "tree/inner"].map(|name| folder.path().join(name));
        fs::create_dir_all(inner.join("most")).unwrap();
        fs::write(inner.join("most/data"), "1").unwrap();
        for (line, before) in [("#!/bin/sh -e", &["-e"][..]), ("#!/usr/bin/env sh", &[])] {
            fs::write(&script, format!("{line}\necho\n")).unwrap();
            let found = HostProgram::find(&script, &[folder.path().join("tree")]).unwrap();
            let command = found.with(vec![String::from("x")]);
            let Request::Run { program, arguments, .. } = command.request(&[]) else { panic!() };
            assert!(program.ends_with("/sh"), "{program}");
            assert_eq!(arguments, [before, &["/lab/host/script", "x"]].concat());
            let files: Vec<_> = command.program.files.keys().collect();
            assert!(files.contains(&&PathBuf::from("/lab/host/tree/inner/most/data")), "{files:?}");
        }
    }

    #[test]
    fn two_files_for_one_path_and_names_that_are_not_utf8_are_refused() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["a", "b"].map(|name| folder.path().join(name).join("conf"));
        for file in [&one, &other] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "1").unwrap();
        }
        let find = |brought: &[&PathBuf]| {
            let brought: Vec<PathBuf> = brought.iter().map(|path| (*path).clone()).collect();
            HostProgram::find(Path::new("/bin/sh"), &brought)
        };
        find(&[&one, &one]).unwrap();
        let why = find(&[&one, &other]).unwrap_err().to_string();
        assert!(why.contains("a/conf") && why.contains("b/conf"), "{why}");
        let name = folder.path().join("c").join(OsStr::from_bytes(b"\xff"));
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::write(&name, "1").unwrap();
        let why = find(&[&folder.path().join("c")]).unwrap_err().to_string();
        assert!(why.contains("is not UTF-8"), "{why}");
    }

    #[test]
    fn a_file_that_is_missing_or_not_a_program_is_refused_by_name() {
        let why = |path: &Path| HostProgram::find(path, &[]).unwrap_err().to_string();
        assert!(why(Path::new("/nowhere/program")).contains("/nowhere/program"));
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "echo\n").unwrap();
        assert!(why(&script).contains("is not an ELF file"), "{}", why(&script));
        // The header of a program for arm64 (ELF, e_machine 183).
        let mut header = [0_u8; 64];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (header[16], header[18], header[20], header[52]) = (2, 183, 1, 64);
        fs::write(&script, header).unwrap();
        assert!(why(&script).contains("AARCH64"), "{}", why(&script));
    }
}
