//! QEMU's whole-machine emulators, from packages, unpacked into the cache.
//!
//! They come with all the libraries that they need, and run with these. Nothing is installed, and nothing depends on
//! this system's libraries.

use core::fmt::Display;
use std::env::consts::ARCH;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::command::Cmd;
use crate::debian;

/// The version of QEMU that emulates every architecture correctly.
pub const CURRENT: u32 = 10;

/// The architectures to emulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulated {
    /// That of this system.
    Host,
    /// All of [`Architecture`].
    Every,
}

impl Emulated {
    /// Returns the packages to unpack: the emulators (releases differ in which package has the last one), the firmware,
    /// and the tools for flattened device trees and compressed modules.
    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Host => &[PACKAGE, "xz-utils", "zstd"],
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

/// The package with the version that counts for all emulators: that of this system's own machine.
const PACKAGE: &str =
    if cfg!(target_arch = "aarch64") { "qemu-system-arm" } else { "qemu-system-x86" };

/// The dynamic loader of this system's programs.
const LOADER: &str =
    if cfg!(target_arch = "aarch64") { "ld-linux-aarch64.so.1" } else { "ld-linux-x86-64.so.2" };

/// The folder of this system's libraries.
const TRIPLE: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-linux-gnu" } else { "x86_64-linux-gnu" };

/// The folders in which QEMU looks for firmware.
const DATA: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// The directories of the emulators' libraries. Debian 13 has no other `lib`, so only the second one exists there.
const LIBRARIES: [&str; 2] = ["lib", "usr/lib"];

/// The directory of QEMU's own modules. Ubuntu's QEMU has its accelerator in one. QEMU looks next to its executable,
/// which is the loader here.
const MODULES: &str = "qemu";

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
            .map(|folder| root.join(folder).join(TRIPLE).join(LOADER))
            .find(|file| file.is_file())
            .with_context(|| format!("{} has no dynamic loader", root.display()))?;
        Ok(Self { root, loader })
    }

    /// Returns a program, run with the libraries of its packages.
    pub fn program(&self, path: &str) -> Cmd {
        Cmd::new(self.loader.display().to_string())
            .arg("--library-path")
            .arg(LIBRARIES.map(|folder| self.file(&format!("{folder}/{TRIPLE}"))).join(":"))
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
        let host = Architecture::HOST;
        let host = host
            .filter(|host| emulated == Emulated::Host || *host == Architecture::X86)
            .with_context(|| format!("there are no packages of these emulators for {ARCH}"))?;
        let suite = debian::offering(cache, PACKAGE, CURRENT);
        let root = debian::root(cache, host.debian(), emulated.packages(), suite)
            .context("no emulator")?;
        Packages::below(root).map(Self).context("no emulator")
    }

    /// Returns `qemu-system-ARCHITECTURE`, without a display, defaults or the user's configuration.
    pub fn system(&self, architecture: &str) -> Cmd {
        self.plain_system(architecture).words("-no-user-config -nodefaults -display none")
    }

    /// Returns `qemu-system-ARCHITECTURE`, for a command line of the user's.
    pub fn plain_system(&self, architecture: &str) -> Cmd {
        let data = DATA.iter().flat_map(|folder| [String::from("-L"), self.file(folder)]);
        self.program(&format!("usr/bin/qemu-system-{architecture}"))
            .env("QEMU_MODULE_DIR", self.file(&format!("usr/lib/{TRIPLE}/{MODULES}")))
            .args(data)
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
