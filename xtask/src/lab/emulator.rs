//! QEMU's emulators of whole machines, from Debian's packages, unpacked into the cache.
//!
//! They come with every library that they need, and run with these, so that nothing is installed and
//! nothing depends on what this system has.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::Cmd;
use crate::debian;
use crate::host::Host;

/// What the emulators are unpacked from: the emulators, the firmware, and the flattened device
/// trees' compiler.
const PACKAGES: [&str; 6] = [
    "qemu-system-x86",
    "qemu-system-arm",
    "qemu-system-riscv",
    "qemu-efi-aarch64",
    "opensbi",
    "device-tree-compiler",
];

/// Where QEMU looks for firmware.
const DATA: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// A root file system with emulators in it.
#[derive(Clone, Debug)]
pub(super) struct Emulators {
    root: PathBuf,
}

impl Emulators {
    /// Fetches them; an error is the reason why they are not to be had.
    pub(super) fn fetch(host: &Host) -> Result<Self> {
        let root = debian::root(host, "amd64", &PACKAGES, true).context("no emulator")?;
        Ok(Self { root })
    }

    /// `qemu-system-ARCHITECTURE`, without a display, defaults or a configuration of the user's.
    pub(super) fn system(&self, architecture: &str) -> Cmd {
        let data = DATA.iter().flat_map(|folder| [String::from("-L"), self.file(folder)]);
        self.program(&format!("usr/bin/qemu-system-{architecture}"))
            .args(data)
            .words("-no-user-config -nodefaults -display none")
    }

    /// A program of theirs, run with their libraries.
    pub(super) fn program(&self, path: &str) -> Cmd {
        let libraries = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
        Cmd::new(self.file("lib64/ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(libraries.map(|folder| self.file(folder)).join(":"))
            .arg(self.file(path))
    }

    /// A file of theirs.
    pub(super) fn file(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }
}
