//! `cachemaint store seal`.

use super::{heading, named, open, print_commit, row, verdict, visible};
use crate::commands::inspect;
use cachemaint::dax::Guarantee;
use cachemaint::survival::{Backing, Event, Stage};
use cachemaint_store::Info;
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Make everything as durable as the medium allows, before a planned reboot
///
/// The store notes the seal, so that the next opening need not verify all of it, unless an earlier opening found damage that is
/// not mended yet. Saving or removing a blob breaks the seal. The blobs are not read: `store verify` finds damage before. The
/// report shows for each kind of reboot whether the blobs survive it, and why.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

const COMMAND_LINE: &str = "/proc/cmdline";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let mut writable = open(path)?;
    let commit = writable.store.seal().map_err(|error| named(path, error))?;
    let guarantee = writable.file.guarantee();
    let listed: Vec<_> = writable.store.list().collect();
    let dirty: Vec<_> = listed.iter().filter(|info| info.is_dirty).map(|info| &info.name).collect();
    let survival = inspect::cells(guarantee);
    let facts = json!({"dirty_regions": dirty, "survival": survival, "guarantee": guarantee});
    print_commit(arguments.json, path, commit, facts, |out| print(out, commit, &listed, guarantee))
}

fn print(
    out: &mut impl Write,
    commit: u64,
    listed: &[Info],
    guarantee: &Guarantee,
) -> io::Result<()> {
    row(out, "sealed", format!("by commit {commit}"))?;
    for info in listed.iter().filter(|info| info.is_dirty) {
        let name = visible(info.name.as_bytes());
        row(
            out,
            "dirty",
            format!("{name}: its bytes can be of different moments; only its program can seal it"),
        )?;
    }
    row(out, "backing", guarantee.backing)?;
    for &event in Event::ALL {
        let statement = guarantee.survives(Stage::DeepPersisted, event);
        writeln!(out)?;
        heading(out, &format!("{event}: {}", statement.answer))?;
        row(out, "because", statement.text)?;
        row(out, "source", verdict::source(&statement))?;
    }
    if guarantee.backing == Backing::EmulatedPmem {
        writeln!(out)?;
        let line = fs::read_to_string(COMMAND_LINE).unwrap_or_default();
        row(out, "next kernel", next_kernel(&line))?;
    }
    Ok(())
}

/// Returns the parameters of this kernel that the next kernel needs, too.
fn next_kernel(command_line: &str) -> String {
    let is_map = |word: &&str| word.starts_with("memmap=") || word.starts_with("reserve_mem=");
    let words: Vec<&str> = command_line.split_whitespace().filter(is_map).collect();
    if words.is_empty() {
        return format!(
            "{COMMAND_LINE} has neither memmap= nor reserve_mem=, so the memory map of the firmware or the \
             hypervisor sets this memory aside; it must do so for the next kernel too"
        );
    }
    format!(
        "give it what this one was given: {} ({COMMAND_LINE}; `kexec --reuse-cmdline` does)",
        words.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::next_kernel;

    /// Of Linux Documentation/admin-guide/kernel-parameters.txt.
    #[test]
    fn the_next_kernel_must_be_given_the_same_map() {
        let line = "quiet memmap=4G!12G nomemmap=1 reserve_mem=12M:4096:trace ro\n";
        let words = next_kernel(line);
        assert!(words.contains(": memmap=4G!12G reserve_mem=12M:4096:trace ("), "{words}");
        assert!(next_kernel("quiet ro").contains("neither memmap= nor reserve_mem="));
    }
}
