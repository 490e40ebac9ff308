//! What the machines of one architecture are put together from: emulator, kernel, programs.

use alloc::collections::BTreeMap;
use core::cell::{OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::emulator::Emulators;
use super::initramfs::{self, Initramfs};
use super::{Lab, QUICKLY_BUILT, Unavailable, cpus};
use crate::command::Cmd;
use crate::debian::{self, Suite};

/// An architecture that machines can be had of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Architecture {
    X86,
    Arm64,
    Riscv64,
}

impl Architecture {
    /// As QEMU calls it.
    pub(super) const fn qemu(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm64 => "aarch64",
            Self::Riscv64 => "riscv64",
        }
    }

    const fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
        }
    }

    pub(super) const fn triple(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::Riscv64 => "riscv64gc-unknown-linux-gnu",
        }
    }

    /// Where its kernel is found; builds for virtual machines where there are. Debian 12's older kernel
    /// for arm64 is built without `FS_DAX`; Ubuntu's come with the modules for pmem by `generic` alone,
    /// and its mirrors have none for arm64; a kernel for riscv64 that tells user mode of Zicbom is in
    /// Debian's release to come alone.
    const fn kernel(self) -> Kernel {
        match self {
            Self::X86 => Kernel {
                suite: Suite::System,
                depending: &["linux-image-cloud-amd64", "linux-image-generic"],
            },
            Self::Arm64 => Kernel {
                suite: Suite::System,
                depending: &["linux-image-6.12-cloud-arm64", "linux-image-cloud-arm64"],
            },
            Self::Riscv64 => {
                Kernel { suite: Suite::Release("forky"), depending: &["linux-image-riscv64"] }
            }
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
            Self::Riscv64 => &[],
        }
    }

    /// What programs need to make file systems and namespaces. Kernels for arm64 also leave it to
    /// kexec(8) to read a kernel.
    const fn programs(self) -> Option<Programs> {
        match self {
            Self::X86 => Some(Programs {
                packages: &["e2fsprogs", "ndctl", "xfsprogs"],
                names: &["mke2fs", "mkfs.xfs", "ndctl"],
            }),
            Self::Arm64 => Some(Programs {
                packages: &["e2fsprogs", "ndctl", "kexec-tools"],
                names: &["mke2fs", "ndctl", "kexec"],
            }),
            Self::Riscv64 => None,
        }
    }
}

/// A kernel's packages, whose names have its version.
struct Kernel {
    suite: Suite,
    /// Packages that depend on the current version, of which the first known is asked.
    depending: &'static [&'static str],
}

/// Programs, and the packages that they come in.
struct Programs {
    packages: &'static [&'static str],
    names: &'static [&'static str],
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
    parts: RefCell<BTreeMap<Architecture, Result<Parts, Unavailable>>>,
    agents: RefCell<BTreeMap<Architecture, PathBuf>>,
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
        let mut parts = self.kits.parts.borrow_mut();
        let fetch = || self.fetch(architecture).map_err(Unavailable::because);
        parts.entry(architecture).or_insert_with(fetch).clone()
    }

    fn fetch(&self, architecture: Architecture) -> Result<Parts> {
        let Kernel { suite, depending } = architecture.kernel();
        let modules = architecture.modules();
        let mut packages = debian::kernel(self.host, architecture.debian(), suite, depending)?;
        packages.retain(|name| !modules.is_empty() || !name.starts_with("linux-modules-"));
        let kernel = debian::fetch(self.host, &packages, suite)?;

        // What is decompressed into it must not be taken for another kernel's.
        let folder = self.machines()?.join(kernel.file_name().context("a package has no name")?);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut base = Initramfs::default();
        base.modules(releases(&kernel), modules, &folder, &self.emulators()?)?;
        if let Some(Programs { packages, names }) = architecture.programs() {
            let root = debian::root(self.host, architecture.debian(), packages, Suite::System)?;
            names.iter().try_for_each(|name| base.program(&root, name))?;
            base.file("/etc/mke2fs.conf", root.join("etc/mke2fs.conf"));
        }
        let archive = folder.join("base.cpio");
        base.write(&archive)?;
        Ok(Parts { kernel: image(&kernel)?, base: archive })
    }

    /// The kit for an architecture.
    pub(super) fn kit(&self, architecture: Architecture) -> Result<Kit> {
        let emulators = self.emulators()?;
        let Parts { kernel, base } = self.parts(architecture)?;
        let agent = self.agent(architecture)?;
        Ok(Kit { architecture, emulators, kernel, base, agent, work: self.machines()? })
    }

    /// The archive with the agent, which is built once.
    fn agent(&self, architecture: Architecture) -> Result<PathBuf> {
        if let Some(agent) = self.kits.agents.borrow().get(&architecture) {
            return Ok(agent.clone());
        }
        let program = self.static_program(architecture, "cachemaint-lab-guest", "lab-guest")?;
        let archive = self.machines()?.join(format!("agent-{}.cpio", architecture.debian()));
        Initramfs::default().file("/init", program).write(&archive)?;
        self.kits.agents.borrow_mut().insert(architecture, archive.clone());
        Ok(archive)
    }

    /// A program of the workspace, built so that it needs no library where it runs.
    pub(super) fn static_program(
        &self,
        architecture: Architecture,
        package: &str,
        name: &str,
    ) -> Result<PathBuf> {
        self.cargo_static(architecture, &format!("build --release -p {package}"))?.read()?;
        Ok(self.static_folder().join(architecture.triple()).join("release").join(name))
    }

    fn static_folder(&self) -> PathBuf {
        self.work().join("static")
    }

    /// `cargo` with the words of `line`, for programs that need no library where they run.
    pub(super) fn cargo_static(&self, architecture: Architecture, line: &str) -> Result<Cmd> {
        let triple = architecture.triple();
        let compiler = cpus::compiler(self.host, triple)?;
        Ok(compiler
            .cargo(line)
            .folder(self.tree())
            .args(QUICKLY_BUILT)
            .args(["--target", triple, "--config"])
            // Stripped, as they are copied into memory at each start; a profile's `strip` is not for a
            // package that has a profile of its own, and the library has.
            .arg(format!(
                r#"target.{triple}.rustflags=["-Ctarget-feature=+crt-static","-Cstrip=symbols"]"#
            ))
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .env("CARGO_TARGET_DIR", self.static_folder().display().to_string()))
    }

    /// A folder for what machines are made of.
    fn machines(&self) -> Result<PathBuf> {
        let folder = self.work().join("machines");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// The kernel in an unpacked package of one: in `boot`, and in later releases beside its modules.
fn image(package: &Path) -> Result<PathBuf> {
    let folders = [vec![package.join("boot")], releases(package)].concat();
    let is_kernel = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    };
    folders
        .iter()
        .flat_map(|folder| entries(folder))
        .find(is_kernel)
        .with_context(|| format!("{} has no kernel", package.display()))
}

/// The folders of modules in an unpacked package, one for each release of a kernel.
fn releases(package: &Path) -> Vec<PathBuf> {
    ["lib/modules", "usr/lib/modules"]
        .into_iter()
        .flat_map(|folder| entries(&package.join(folder)))
        .collect()
}

/// What is in a folder; nothing in one that is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
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
