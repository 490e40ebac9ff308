//! The emulator's part in losses: words for its command line, its files, and the plugin's report.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{Kit, Setup};
use crate::emulator::value;
use crate::losses::{self, Files, Losses, Memory};
use crate::plugin::Plugin;
use crate::temporary::Temporary;

/// Words for a kernel with memory that loses lines. It does not write back dirty pages by itself, which would hide what
/// a program has forgotten (Linux, `Documentation/admin-guide/sysctl/vm.rst`, `dirty_writeback_centisecs`).
pub(super) const KERNEL: &str = "sysctl.vm.dirty_writeback_centisecs=0";

/// The words and files of an emulator whose machine loses lines.
pub(super) struct Losing {
    /// Added to the board.
    pub(super) board: &'static str,
    pub(super) words: Vec<String>,
    /// The files that are removed with the machine.
    pub(super) temporary: Vec<Temporary>,
    pub(super) report: PathBuf,
}

impl Losing {
    /// Returns the emulator's part in the losses of a setup, if there are any and the emulator can load the plugin.
    pub(super) fn of(setup: &Setup, kit: &Kit) -> Result<Option<Self>> {
        match (&setup.losses, &kit.plugin) {
            (Some(losses), Some(plugin)) => Self::new(losses, plugin, kit, setup).map(Some),
            _ => Ok(None),
        }
    }

    fn new(losses: &Losses, plugin: &Plugin, kit: &Kit, setup: &Setup) -> Result<Self> {
        let name = &setup.name;
        let files = Files::new(losses, &kit.work, name)?;
        let mut words = plugin.with(&losses.arguments(name, &setup.cpu, &files)).to_vec();
        let Files { live, out, temporary, .. } = files;
        let board = match losses.memory {
            Memory::File(_) => "",
            Memory::Ram { ram, .. } => {
                let path = value(live.display());
                let object =
                    format!("memory-backend-file,id=ram,share=on,mem-path={path},size={ram}");
                words.extend([String::from("-object"), object]);
                ",memory-backend=ram"
            }
        };
        Ok(Self { board, words, temporary, report: out })
    }
}

/// The plugin's lines about one machine.
pub(super) struct Report {
    pub(super) file: PathBuf,
    pub(super) log: File,
}

impl Report {
    /// Returns the plugin's lines so far.
    pub(super) fn text(&self) -> Result<String> {
        let text = fs::read_to_string(&self.file);
        text.with_context(|| format!("the plugin did not write {}", self.file.display()))
    }

    /// Returns the number of lines that the crashes lost.
    pub(super) fn lost_lines(&self) -> Result<u64> {
        Ok(losses::lost_lines(&self.text()?))
    }

    /// Appends the lines to the log, followed by the complaint about faults.
    ///
    /// # Errors
    /// If one of them is a fault, or the plugin wrote none.
    pub(super) fn take(mut self) -> Result<()> {
        let text = self.text()?;
        drop(fs::remove_file(&self.file));
        for line in text.lines() {
            writeln!(self.log, "losses: {line}")?;
        }
        let judged = losses::check(&text);
        if let Err(why) = &judged {
            // The line in the log is the only sign of faults if no caller gets the error.
            writeln!(self.log, "losses: {why}")?;
        }
        judged
    }
}
