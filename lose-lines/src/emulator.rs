//! QEMU's whole-machine emulators, from packages, unpacked into the cache.
//!
//! They come with all the libraries that they need, and run with these. Nothing is installed, and nothing depends on
//! this system's libraries.

use core::fmt::Display;
use std::env::consts::ARCH;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::cache::Cache;
use crate::command::Cmd;
use crate::debian;

/// The version of QEMU that emulates every architecture correctly.
pub const CURRENT: u32 = 10;

/// The architectures to emulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulated {
    /// A PC.
    Pc,
    /// All of [`Architecture`](crate::architecture::Architecture).
    Every,
}

impl Emulated {
    /// Returns the packages to unpack: the emulators (releases differ in which package has the last one), the firmware,
    /// and the tools for flattened device trees and compressed modules.
    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Pc => &[PACKAGE, "xz-utils", "zstd"],
            Self::Every => &[
                PACKAGE,
                "qemu-system-arm",
                "qemu-system-riscv64",
                "qemu-efi-aarch64",
                "opensbi",
                "device-tree-compiler",
                "xz-utils",
                "zstd",
            ],
        }
    }
}

/// The package with the version that counts for all emulators.
const PACKAGE: &str = "qemu-system-x86";

/// The folders in which QEMU looks for firmware.
const DATA: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// The directories of the emulators' libraries. Debian 13 has no other `lib`, so only the second one exists there.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// The directory of QEMU's own modules. Ubuntu's QEMU has its accelerator in one. QEMU looks next to its executable,
/// which is the loader here.
const MODULES: &str = "usr/lib/x86_64-linux-gnu/qemu";

/// A root file system with emulators in it.
#[derive(Clone, Debug)]
pub struct Emulators(Packages);

/// The unpacked packages of one root file system, whose programs run with their own libraries.
#[derive(Clone, Debug)]
pub struct Packages {
    root: PathBuf,
    /// The dynamic loader in it.
    loader: PathBuf,
}

impl Packages {
    pub fn below(root: PathBuf) -> Result<Self> {
        // The link `lib64` is absolute and would lead to this system's loader, which may be from another release than
        // the library.
        let loader = LIBRARIES
            .into_iter()
            .map(|folder| root.join(folder).join("ld-linux-x86-64.so.2"))
            .find(|file| file.is_file())
            .with_context(|| format!("{} has no dynamic loader", root.display()))?;
        Ok(Self { root, loader })
    }

    /// Returns a program, run with the libraries of its packages.
    pub fn program(&self, path: &str) -> Cmd {
        Cmd::new(self.loader.display().to_string())
            .arg("--library-path")
            .arg(LIBRARIES.map(|folder| self.file(folder)).join(":"))
            .arg(self.file(path))
    }

    /// Returns the path of a file.
    pub fn file(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }
}

impl Emulators {
    /// Fetches the emulators. An error states why they are not available.
    pub fn fetch(cache: &Cache, emulated: Emulated) -> Result<Self> {
        ensure!(ARCH == "x86_64", "the emulators need x86_64, but this machine is {ARCH}");
        let suite = debian::offering(cache, PACKAGE, CURRENT);
        let root =
            debian::root(cache, "amd64", emulated.packages(), suite).context("no emulator")?;
        Packages::below(root).map(Self).context("no emulator")
    }

    /// Returns `qemu-system-ARCHITECTURE`, without a display, defaults or the user's configuration.
    pub fn system(&self, architecture: &str) -> Cmd {
        let data = DATA.iter().flat_map(|folder| [String::from("-L"), self.file(folder)]);
        self.program(&format!("usr/bin/qemu-system-{architecture}"))
            .env("QEMU_MODULE_DIR", self.file(MODULES))
            .args(data)
            .words("-no-user-config -nodefaults -display none")
    }

    /// Returns a program of the packages, run with their libraries.
    pub fn program(&self, path: &str) -> Cmd {
        self.0.program(path)
    }

    /// Returns the path of a file of the packages.
    pub fn file(&self, path: &str) -> String {
        self.0.file(path)
    }
}

/// Returns a text as the value of an emulator's option. A comma ends a value unless it is doubled.
pub fn value(text: impl Display) -> String {
    text.to_string().replace(',', ",,")
}
