//! What the machines of one architecture are put together from: emulator, kernel, programs.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::emulator::Emulators;
use super::initramfs::{self, Initramfs};
use super::{Lab, Unavailable, cpus};
use crate::command::Cmd;
use crate::debian;

/// An architecture that machines can be had of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    X86,
    Arm64,
}

impl Architecture {
    /// As QEMU calls it.
    pub(super) const fn qemu(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    const fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    const fn triple(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Packages whose dependency is the release's current kernel, in a build for virtual machines; the
    /// first that there is. Debian 12's older kernel for arm64 is built without `FS_DAX`.
    const fn kernels(self) -> &'static [&'static str] {
        match self {
            Self::X86 => &["linux-image-cloud-amd64"],
            Self::Arm64 => &["linux-image-6.12-cloud-arm64", "linux-image-cloud-arm64"],
        }
    }

    /// Modules beyond those that they depend on: disks, pmem in all its forms, file systems.
    const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::X86 => &[
                "virtio_pci",
                "virtio_blk",
                "crc32c_intel",
                "nfit",
                "nd_e820",
                "virtio_pmem",
                "nd_pmem",
                "dax_pmem",
                "device_dax",
                "xfs",
            ],
            Self::Arm64 => &[
                "virtio_pci",
                "virtio_blk",
                "nfit",
                "of_pmem",
                "virtio_pmem",
                "nd_pmem",
                "dax_pmem",
                "device_dax",
            ],
        }
    }

    /// Packages with the programs, and these.
    const fn programs(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::X86 => (
                &["e2fsprogs", "ndctl", "xfsprogs"],
                &["sbin/mke2fs", "sbin/mkfs.xfs", "usr/bin/ndctl"],
            ),
            // Its kernel leaves reading kernel images to kexec(8).
            Self::Arm64 => (
                &["e2fsprogs", "ndctl", "kexec-tools"],
                &["sbin/mke2fs", "usr/bin/ndctl", "sbin/kexec"],
            ),
        }
    }
}

/// Everything that a machine is started with but its devices.
#[derive(Clone, Debug)]
pub(super) struct Kit {
    pub(super) architecture: Architecture,
    pub(super) emulators: Emulators,
    pub(super) kernel: PathBuf,
    /// Programs and modules.
    base: PathBuf,
    /// The agent, alone.
    agent: PathBuf,
    /// A folder for machines to keep their disks in.
    pub(super) work: PathBuf,
}

/// What was put together, or why it cannot be had.
#[derive(Debug, Default)]
pub(super) struct Kits {
    emulators: OnceCell<Result<Emulators, Unavailable>>,
    x86: OnceCell<Result<Parts, Unavailable>>,
    arm64: OnceCell<Result<Parts, Unavailable>>,
}

/// What is fetched, and does not depend on the sources that are put to the test.
#[derive(Clone, Debug)]
struct Parts {
    kernel: PathBuf,
    base: PathBuf,
}

impl Lab<'_> {
    /// The emulators.
    pub(super) fn emulators(&self) -> Result<Emulators, Unavailable> {
        let cell = &self.kits.emulators;
        cell.get_or_init(|| Emulators::fetch(self.host).map_err(Unavailable::because)).clone()
    }

    fn parts(&self, architecture: Architecture) -> Result<Parts, Unavailable> {
        let cell = match architecture {
            Architecture::X86 => &self.kits.x86,
            Architecture::Arm64 => &self.kits.arm64,
        };
        cell.get_or_init(|| self.fetch(architecture).map_err(Unavailable::because)).clone()
    }

    fn fetch(&self, architecture: Architecture) -> Result<Parts> {
        let (packages, programs) = architecture.programs();
        let root = debian::root(self.host, architecture.debian(), packages, false)?;
        let package = debian::dependency(self.host, architecture.debian(), architecture.kernels())?;
        let kernel = debian::fetch(self.host, &package, None)?;

        let folder = self.machines()?.join(architecture.debian());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut base = Initramfs::default();
        programs.iter().try_for_each(|program| base.program(&root, program))?;
        base.file("/etc/mke2fs.conf", root.join("etc/mke2fs.conf"));
        base.modules(&kernel.join("lib/modules"), architecture.modules(), &folder)?;
        let archive = folder.join("base.cpio");
        base.write(&archive)?;
        Ok(Parts { kernel: image(&kernel)?, base: archive })
    }

    /// The kit for an architecture.
    pub(super) fn kit(&self, architecture: Architecture) -> Result<Kit> {
        let emulators = self.emulators()?;
        let Parts { kernel, base } = self.parts(architecture)?;
        let agent =
            self.build_static(architecture, "build -p cachemaint-lab-guest")?.join("lab-guest");
        let work = self.machines()?;
        let archive = work.join(format!("agent-{}.cpio", architecture.debian()));
        Initramfs::default().file("/init", agent).write(&archive)?;
        Ok(Kit { architecture, emulators, kernel, base, agent: archive, work })
    }

    /// Builds programs that need no library where they run; the folder that they are in.
    pub(super) fn build_static(&self, architecture: Architecture, line: &str) -> Result<PathBuf> {
        self.cargo_static(architecture, line)?.arg("--release").read()?;
        Ok(self.work().join("static").join(architecture.triple()).join("release"))
    }

    /// `cargo` with the words of `line`, for programs that need no library where they run.
    pub(super) fn cargo_static(&self, architecture: Architecture, line: &str) -> Result<Cmd> {
        let triple = architecture.triple();
        let compiler = cpus::compiler(self.host, triple)?;
        Ok(compiler
            .cargo(line)
            .folder(self.tree())
            .args(["--target", triple, "--config"])
            .arg(format!(r#"target.{triple}.rustflags=["-Ctarget-feature=+crt-static"]"#))
            .env("CARGO_TARGET_DIR", self.work().join("static").display().to_string())
            // They are copied into memory at each start.
            .env("CARGO_PROFILE_DEV_STRIP", "symbols")
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols"))
    }

    /// A folder for what machines are made of.
    fn machines(&self) -> Result<PathBuf> {
        let folder = self.work().join("machines");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// The kernel in an unpacked package of one.
fn image(package: &Path) -> Result<PathBuf> {
    let boot = package.join("boot");
    let is_kernel = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    };
    fs::read_dir(&boot)
        .with_context(|| format!("cannot list {}", boot.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(is_kernel)
        .with_context(|| format!("{} has no kernel", boot.display()))
}

impl Kit {
    /// The initial file system of a machine that also has `more`, at a path that is only its own.
    pub(super) fn initrd(&self, more: &Initramfs, name: &str) -> Result<PathBuf> {
        let extra = self.work.join(format!("{name}.extra.cpio"));
        more.write(&extra)?;
        let joined = self.work.join(format!("{name}.initrd"));
        initramfs::join(&[&self.base, &self.agent, &extra], &joined)?;
        fs::remove_file(&extra).with_context(|| format!("cannot remove {}", extra.display()))?;
        Ok(joined)
    }
}
