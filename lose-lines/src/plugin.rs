//! The emulator plugin that finds missing write-backs and loses lines (`lose-lines/plugin`): its file, its arguments, and its
//! output.

use core::iter;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;

use super::emulator::value;
use super::unavailable::Unavailable;
use crate::command::Cmd;

/// The minor releases of QEMU 10 with a plugin interface that the plugin supports: 10.0 has version 4; 10.1 and 10.2
/// have version 5, which only adds to it (`include/qemu/qemu-plugin.h`).
const MINOR_VERSIONS: core::ops::RangeInclusive<u32> = 0..=2;

/// The plugin, compiled by `build.rs`.
const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.so"));

/// The effect of a streaming store in the plugin's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// The store leaves the line dirty.
    Ordinary,
    /// The store leaves the line written back but not fenced.
    Evicting,
}

impl Streaming {
    const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Evicting => "evicting",
        }
    }
}

/// The plugin, built.
#[derive(Clone, Debug)]
pub struct Plugin {
    library: PathBuf,
}

impl Plugin {
    /// Writes the plugin into a folder.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let library = folder.join("plugin.so");
        if fs::read(&library).is_ok_and(|there| there == BYTES) {
            return Ok(Self { library });
        }
        // An emulator of another process may have another version's plugin open.
        let write = || {
            let mut new = NamedTempFile::new_in(folder)?;
            new.write_all(BYTES)?;
            new.persist(&library).map_err(|error| error.error)
        };
        write().map(drop).with_context(|| format!("cannot write {}", library.display()))?;
        Ok(Self { library })
    }

    /// Returns the additions to an emulator's command line; verdicts are written to `out`. The guest has one CPU and
    /// lines of 64 bytes.
    ///
    /// The library relies only on SFENCE and MFENCE, so x86 locked accesses do not count as fences here: any lock that
    /// a program takes would hide a missing fence of the library.
    pub fn arguments(&self, streaming: Streaming, cpu: &str, out: &Path) -> [String; 2] {
        self.with(&[
            format!("streaming={}", streaming.name()),
            String::from("locked=ordinary"),
            String::from(clflush(cpu)),
            format!("out={}", out.display()),
        ])
    }

    /// Returns the additions to an emulator's command line that load the plugin with these arguments.
    pub fn with(&self, arguments: &[String]) -> [String; 2] {
        let library = value(self.library.display());
        let words: Vec<String> = iter::once(library).chain(arguments.iter().map(value)).collect();
        [String::from("-plugin"), words.join(",")]
    }

    /// Checks that this emulator can load the plugin.
    pub fn fits(emulator: &Cmd) -> Result<(), Unavailable> {
        let fits = || {
            let text = emulator.clone().arg("--version").read()?;
            let (major, minor) =
                version(&text).with_context(|| format!("no version in {text:?}"))?;
            ensure!(
                major == 10 && MINOR_VERSIONS.contains(&minor),
                "QEMU {major}.{minor} has a different plugin interface from QEMU 10.0"
            );
            Ok(())
        };
        fits().map_err(Unavailable::because)
    }
}

/// Returns the argument for the completion of CLFLUSH, which differs between vendors. The emulator's CPUs are AMD's
/// unless they name another vendor.
pub fn clflush(cpu: &str) -> &'static str {
    if cpu.contains("vendor=GenuineIntel") { "clflush=itself" } else { "clflush=mfence" }
}

/// Returns 10 and 0 for `QEMU emulator version 10.0.2 (Debian …)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("version ")?;
    let mut numbers = rest.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The plugin's observations between two marks: one line of its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The number that the program passed.
    pub id: u64,
    pub stores: u64,
    pub streaming: u64,
    pub writebacks: u64,
    pub fences: u64,
    /// The number of lines that were stored to and not written back.
    pub dirty_lines: u64,
    /// The number of lines that were written back without a later fence.
    pub unfenced_lines: u64,
}

impl Verdict {
    /// Parses one line.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("verdict ")?.split(' ');
        let mut number = |name: &str| {
            let (is, value) = words.next()?.split_once('=')?;
            if is == name { value.parse().ok() } else { None }
        };
        let verdict = Self {
            id: number("id")?,
            stores: number("stores")?,
            streaming: number("streaming")?,
            writebacks: number("writebacks")?,
            fences: number("fences")?,
            dirty_lines: number("dirty_lines")?,
            unfenced_lines: number("unfenced_lines")?,
        };
        words.next().is_none().then_some(verdict)
    }

    /// Returns every verdict in the file that the plugin wrote.
    pub fn read(out: &Path) -> Result<Vec<Self>> {
        let text = fs::read_to_string(out)
            .with_context(|| format!("the plugin did not write {}", out.display()))?;
        text.lines()
            .map(|line| Self::parse(line).with_context(|| format!("no verdict: {line:?}")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, PathBuf, Plugin, Streaming, Verdict, clflush, version};

    const LINE: &str =
        "verdict id=7 stores=64 streaming=2 writebacks=63 fences=1 dirty_lines=1 unfenced_lines=3";

    #[test]
    fn a_verdict_is_read_word_by_word() {
        let verdict = Verdict {
            id: 7,
            stores: 64,
            streaming: 2,
            writebacks: 63,
            fences: 1,
            dirty_lines: 1,
            unfenced_lines: 3,
        };
        assert_eq!(Verdict::parse(LINE), Some(verdict));
    }

    #[test]
    fn an_invalid_verdict_is_rejected() {
        for line in [
            "",
            "verdict id=7 but nothing is watched",
            "verdict id=7 stores=64",
            &LINE.replace("id=", "number="),
            &LINE.replace("=63", "=many"),
            &format!("{LINE} and=1"),
            &LINE[1..],
        ] {
            assert_eq!(Verdict::parse(line), None, "{line}");
        }
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        let plugin = Plugin { library: PathBuf::from("/a,b/plugin.so") };
        assert_eq!(
            plugin.arguments(Streaming::Evicting, "max", Path::new("/c,d")),
            [
                "-plugin",
                "/a,,b/plugin.so,streaming=evicting,locked=ordinary,clflush=mfence,out=/c,,d"
            ]
        );
    }

    #[test]
    fn clflush_needs_mfence_unless_the_cpu_has_the_name_of_intel() {
        assert_eq!(clflush("max,-clwb,-clflushopt"), "clflush=mfence");
        assert_eq!(clflush("max,vendor=GenuineIntel,-svm"), "clflush=itself");
    }

    #[test]
    fn the_version_is_found() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(version(text), Some((10, 0)));
        assert_eq!(version("QEMU emulator"), None);
    }
}
