//! The parts of a machine that a test chooses, and its disk.
use core::time::Duration;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use lose_lines_plugin::policy::Policy;

use crate::emulator::value;
use crate::initramfs::{self, Initramfs};
use crate::losses::{Cut, Losses};

/// The parts of a machine.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The name of the test, used in the names of the machine's files.
    pub name: String,
    /// `q35,nvdimm=on`
    pub board: String,
    /// `max,-clwb`
    pub cpu: String,
    pub cpus: u32,
    /// `768M,slots=2,maxmem=4G`
    pub memory: String,
    /// Additional words of the emulator's command line.
    pub devices: Vec<String>,
    /// Words added to the kernel's command line.
    pub command_line: String,
    /// Files that only this machine has.
    pub files: Initramfs,
    /// True if its disk has the kernel and its initial file system, for a kexec.
    pub can_kexec: bool,
    /// The losses of its memory, if the emulator can load the plugin.
    pub losses: Option<Losses>,
    /// The maximum run time of the machine, about three times that on a slow and busy host: only a hanging machine
    /// reaches it.
    pub limit: Duration,
}

impl Setup {
    pub fn new(name: &str, board: &str, memory: &str) -> Self {
        Self {
            name: name.replace('/', "-"),
            board: board.to_owned(),
            cpu: String::from("max"),
            cpus: 1,
            memory: memory.to_owned(),
            devices: Vec::new(),
            command_line: String::new(),
            files: Initramfs::default(),
            can_kexec: false,
            losses: None,
            limit: Duration::from_secs(1800),
        }
    }

    pub fn cpu(mut self, cpu: &str) -> Self {
        cpu.clone_into(&mut self.cpu);
        self
    }

    /// Adds words to the kernel's command line.
    pub fn kernel(mut self, words: &str) -> Self {
        words.clone_into(&mut self.command_line);
        self
    }

    pub fn devices<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.devices.extend(words.into_iter().map(Into::into));
        self
    }

    /// Makes the machine lose lines of its memory that were not written back.
    pub fn losing(mut self, losses: Losses) -> Self {
        self.losses = Some(losses);
        self
    }

    /// Sets which dirty lines a crash keeps, if the machine loses lines.
    pub fn policy(mut self, policy: Policy) -> Self {
        if let Some(losses) = &mut self.losses {
            losses.policy = policy;
        }
        self
    }

    /// Makes the machine keep every line.
    pub fn keeping(self) -> Self {
        Self { losses: None, ..self }
    }

    /// Numbers the machine among those of its test, and chooses the moment at which it ends. Its clock jumps by decades
    /// from that of the previous machine, back or forth.
    pub fn round(&self, round: u64, cut: Option<Cut>) -> Self {
        let clock = ["2001-09-09T01:46:40", "2037-01-19T03:14:07"][usize::from(round % 2 == 1)];
        let mut setup = self.clone().devices(["-rtc", &format!("base={clock}")]);
        if let Some(losses) = &mut setup.losses {
            (losses.round, losses.cut) = (round, cut);
        }
        setup
    }

    /// Returns the physical address of the memory that loses lines; 0 if there is none.
    pub fn base(&self) -> u64 {
        self.losses.as_ref().map_or(0, |losses| losses.base)
    }

    /// Gives the machine memory for its own files, which are in its initial file system: packed and unpacked.
    pub fn with_room_for_files(mut self) -> Self {
        let extra = self.files.size().div_ceil(1 << 20) * 3;
        let (size, slots) =
            self.memory.split_at(self.memory.find(',').unwrap_or(self.memory.len()));
        if let Some(mib) = size.strip_suffix('M').and_then(|mib| mib.parse::<u64>().ok()) {
            self.memory = format!("{}M{slots}", mib + extra);
        }
        self
    }

    pub fn with_kexec(mut self) -> Self {
        self.can_kexec = true;
        self
    }
}

/// Writes kernel and initial file system end to end, padded to whole sectors.
pub(super) fn make_disk(kernel: &Path, initrd: &Path, image: &Path) -> Result<(u64, u64)> {
    initramfs::join(&[kernel, initrd], image)?;
    let len = |path: &Path| -> Result<u64> {
        Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
    };
    let (kernel, initrd) = (len(kernel)?, len(initrd)?);
    fs::OpenOptions::new()
        .write(true)
        .open(image)
        .and_then(|file| file.set_len((kernel + initrd).next_multiple_of(512)))
        .with_context(|| format!("cannot write {}", image.display()))?;
    Ok((kernel, initrd))
}

/// Returns the value of `-drive` for a raw image.
pub fn drive(image: &Path, more: &str) -> String {
    format!("format=raw,file={},{more}", value(image.display()))
}

#[cfg(test)]
mod tests {
    use super::Setup;

    #[test]
    fn a_machine_has_memory_for_its_files() {
        let mut setup = Setup::new("a", "q35", "512M,slots=2,maxmem=4G");
        assert_eq!(setup.clone().with_room_for_files().memory, "512M,slots=2,maxmem=4G");
        setup.files.text("/lab/a", "x".repeat(10 << 20));
        assert_eq!(setup.with_room_for_files().memory, "542M,slots=2,maxmem=4G");
    }
}
