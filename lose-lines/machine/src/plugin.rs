//! The emulator plugin that finds missing write-backs and loses lines (`lose-lines-plugin`): its file, its arguments, and its
//! output.

use core::iter;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines_plugin::LIBRARY;
use tempfile::NamedTempFile;

use super::emulator::value;
use super::losses::number;
use super::unavailable::Unavailable;
use crate::command::Cmd;

/// The minor releases of QEMU 10 with a plugin interface that the plugin supports: 10.0 has version 4; 10.1 and 10.2
/// have version 5, which only adds to it (`include/qemu/qemu-plugin.h`).
const MINOR_VERSIONS: core::ops::RangeInclusive<u32> = 0..=2;

/// The plugin, built.
#[derive(Clone, Debug)]
pub struct Plugin {
    library: PathBuf,
}

impl Plugin {
    /// Writes the plugin into a folder.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let library = folder.join("plugin.so");
        if fs::read(&library).is_ok_and(|there| there == LIBRARY) {
            return Ok(Self { library });
        }
        // An emulator of another process may have another version's plugin open.
        let write = || {
            let mut new = NamedTempFile::new_in(folder)?;
            new.write_all(LIBRARY)?;
            new.persist(&library).map_err(|error| error.error)
        };
        write().map(drop).with_context(|| format!("cannot write {}", library.display()))?;
        Ok(Self { library })
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
            ensure!(!LIBRARY.is_empty(), "the emulator's plugin runs on x86-64 only");
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

/// Returns 10 and 0 for `QEMU emulator version 10.0.2 (Debian …)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("version ")?;
    let mut numbers = rest.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The lines of a program's range that a crash could lose, and what the program had done between two marks: one line of
/// the plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The number that the program passed.
    pub id: u64,
    /// The number of lines that were stored to and not written back.
    pub dirty: u64,
    /// The number of lines that were written back without a later fence.
    pub unfenced: u64,
    pub writebacks: u64,
    pub streaming: u64,
    pub fences: u64,
}

impl Left {
    /// Returns what the plugin's lines say at each mark.
    pub fn in_lines(lines: &str) -> Vec<Self> {
        let left = |line: &str| {
            let line = line.strip_prefix("left ")?;
            Some(Self {
                id: number(line, "id")?,
                dirty: number(line, "dirty")?,
                unfenced: number(line, "unfenced")?,
                writebacks: number(line, "writebacks")?,
                streaming: number(line, "streaming")?,
                fences: number(line, "fences")?,
            })
        };
        lines.lines().filter_map(left).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Left, version};

    #[test]
    fn what_is_left_is_read() {
        let lines = "start seed=1\nleft id=7 dirty=1 unfenced=2 writebacks=3 streaming=4 fences=5\nleft id=x\n";
        let expected =
            Left { id: 7, dirty: 1, unfenced: 2, writebacks: 3, streaming: 4, fences: 5 };
        assert_eq!(Left::in_lines(lines), [expected]);
    }

    #[test]
    fn the_version_is_in_the_first_line() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright (c)";
        assert_eq!(version(text), Some((10, 0)));
        assert_eq!(version("QEMU"), None);
    }
}
