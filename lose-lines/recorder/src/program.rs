//! A program's start, and the reasons why it fails.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Error, anyhow};
use goblin::elf::Elf;
use rustix::fs::{Access, access};

/// Returns the program that the kernel starts for another one: of a script, or the loader.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let bytes = fs::read(program).ok()?;
    if let Some(line) = bytes.strip_prefix(b"#!") {
        let mut words = line.split(|byte| b" \t\n".contains(byte)).filter(|word| !word.is_empty());
        return words.next().map(|word| OsStr::from_bytes(word).into());
    }
    Elf::parse(&bytes).ok()?.interpreter.map(PathBuf::from)
}

/// Returns the error of a program that was not executed.
pub(super) fn failure(program: &Path, code: i32) -> Error {
    let shown = program.display();
    let error = io::Error::from_raw_os_error(code);
    let Some(wrong) = [Some(program.to_path_buf()), interpreter(program)]
        .into_iter()
        .flatten()
        .find(|path| access(path, Access::EXEC_OK).is_err())
    else {
        return anyhow!("cannot start {shown}: {error}");
    };
    let wrong_shown = wrong.display();
    let of = if wrong == program { String::new() } else { format!(", which {shown} needs") };
    if wrong.exists() {
        anyhow!("cannot start {shown}: {wrong_shown}{of} is not executable; chmod +x it")
    } else {
        anyhow!("cannot start {shown}: {wrong_shown}{of} does not exist; install it")
    }
}

/// Returns the number of bytes that a recording may hold: a quarter of the memory that is left. States have the bytes
/// too.
pub(super) fn room() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = field.and_then(|field| field.split_whitespace().next()?.parse::<u64>().ok());
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let all = [available.map(|number| number << 10), group, limit];
    all.into_iter().flatten().min().unwrap_or(u64::MAX) / 4
}
