//! The components of one architecture's machines: emulator, kernel, programs.

use core::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::architecture::Architecture;
use super::elf;
use super::emulator::{Emulated, Emulators};
use super::initramfs::{self, Initramfs};
use super::plugin::Plugin;
use super::unavailable::Unavailable;
use crate::cache::{self, Cache};
use crate::debian::{self, Package, Suite};

impl Architecture {
    /// Returns the source of the architecture's kernel, preferably a build for virtual machines. Debian 12's older
    /// arm64 kernel is built without `FS_DAX`. Only the `generic` package of Ubuntu's kernels has the pmem modules, and
    /// Ubuntu's mirrors have none for arm64. Only Debian's next release has a riscv64 kernel that reports Zicbom to
    /// user mode.
    const fn kernel(self) -> Kernel {
        match self {
            Self::X86 => {
                Kernel::Current(Suite::System, &["linux-image-cloud-amd64", "linux-image-generic"])
            }
            Self::Arm64 => Kernel::Current(
                Suite::System,
                &["linux-image-6.12-cloud-arm64", "linux-image-cloud-arm64"],
            ),
            Self::Riscv64 => Kernel::Current(Suite::Release("forky"), &["linux-image-riscv64"]),
        }
    }

    /// Returns the modules, without their dependencies: disks, pmem in all its forms, file systems.
    const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::X86 => &[
                "virtio_pci",
                "virtio_blk",
                "virtio_console",
                "crc32c_intel",
                "nfit",
                "nd_e820",
                "virtio_pmem",
                "nd_pmem",
                "dax_pmem",
                "device_dax",
            ],
            Self::Arm64 => &[
                "virtio_pci",
                "virtio_blk",
                "virtio_console",
                "nfit",
                "of_pmem",
                "virtio_pmem",
                "nd_pmem",
                "dax_pmem",
                "device_dax",
            ],
            Self::Riscv64 => &["virtio_pci", "virtio_blk", "of_pmem", "nd_pmem", "ext4"],
        }
    }

    /// Returns the file systems in modules that are loaded at the first mount, since few machines need them.
    const fn file_systems(self) -> &'static [&'static str] {
        match self {
            Self::X86 => &["xfs", "btrfs"],
            // Where this is the system's own architecture, drives are tested.
            Self::Arm64 if cfg!(target_arch = "aarch64") => &["xfs", "btrfs"],
            Self::Arm64 | Self::Riscv64 => &[],
        }
    }

    /// Returns the programs that make file systems and namespaces. On arm64, kexec(8) is also needed to read a kernel.
    const fn programs(self) -> Programs {
        match self {
            Self::X86 => Programs {
                packages: &["e2fsprogs", "ndctl", "xfsprogs", "btrfs-progs"],
                names: &["mke2fs", "mkfs.xfs", "mkfs.btrfs", "ndctl"],
            },
            Self::Arm64 if cfg!(target_arch = "aarch64") => Programs {
                packages: &["e2fsprogs", "ndctl", "xfsprogs", "btrfs-progs", "kexec-tools"],
                names: &["mke2fs", "mkfs.xfs", "mkfs.btrfs", "ndctl", "kexec"],
            },
            Self::Arm64 => Programs {
                packages: &["e2fsprogs", "ndctl", "kexec-tools"],
                names: &["mke2fs", "ndctl", "kexec"],
            },
            Self::Riscv64 => Programs { packages: &["e2fsprogs"], names: &["mke2fs"] },
        }
    }
}

/// A kernel's packages, which have its version in their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernel {
    /// The suite's current version, on which the first known one of these packages depends.
    Current(Suite, &'static [&'static str]),
    /// One version, with the programs of the system's release.
    Of(Suite, &'static [Package]),
}

/// The oldest kernel on Debian's mirrors: 5.10, from Debian 11.
const OLDEST: Kernel = Kernel::Current(Suite::Release("bullseye"), &["linux-image-cloud-amd64"]);

/// Programs, and the packages that contain them.
struct Programs {
    packages: &'static [&'static str],
    names: &'static [&'static str],
}

/// The components that a machine is started with, except its devices.
#[derive(Clone, Debug)]
pub struct Kit {
    pub architecture: Architecture,
    pub emulators: Emulators,
    pub kernel: PathBuf,
    /// Programs and modules.
    base: PathBuf,
    /// The agent by itself.
    agent: PathBuf,
    /// A directory where machines keep their disks.
    pub work: PathBuf,
    /// The plugin that makes machines lose lines, if the emulator can load it.
    pub plugin: Option<Plugin>,
}

/// The assembled kits, or the reason why one is unavailable.
#[derive(Debug)]
pub struct Kits {
    cache: Cache,
    emulated: Emulated,
    work: PathBuf,
    emulators: OnceCell<Result<Emulators, Unavailable>>,
    parts: RefCell<BTreeMap<(Architecture, Kernel), Result<Parts, Unavailable>>>,
}

/// The downloaded components.
#[derive(Clone, Debug)]
struct Parts {
    kernel: PathBuf,
    base: PathBuf,
}

impl Kits {
    /// Returns kits for machines that keep their disks in the directory `work`.
    pub fn new(cache: Cache, emulated: Emulated, work: PathBuf) -> Self {
        Self { cache, emulated, work, emulators: OnceCell::new(), parts: RefCell::default() }
    }

    /// Returns the directory for the components of machines.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Returns the emulators.
    pub fn emulators(&self) -> Result<Emulators, Unavailable> {
        let fetch = || Emulators::fetch(&self.cache, self.emulated).map_err(Unavailable::because);
        self.emulators.get_or_init(fetch).clone()
    }

    /// Returns the kit for an architecture, with an archive of the agent.
    pub fn kit(&self, architecture: Architecture, agent: PathBuf) -> Result<Kit> {
        self.kit_of(architecture, architecture.kernel(), agent)
    }

    /// Returns the x86 kit with the oldest available kernel.
    pub fn oldest_kit(&self, agent: PathBuf) -> Result<Kit> {
        self.kit_of(Architecture::X86, OLDEST, agent)
    }

    /// Returns a kit with this kernel.
    pub fn kit_of(
        &self,
        architecture: Architecture,
        kernel: Kernel,
        agent: PathBuf,
    ) -> Result<Kit> {
        let emulators = self.emulators()?;
        let Parts { kernel, base } = self.parts(architecture, kernel)?;
        let plugin = match Plugin::fits(&emulators.system(architecture.qemu())) {
            Ok(()) => Some(Plugin::in_folder(&self.work)?),
            Err(_) => None,
        };
        let work = self.work.clone();
        Ok(Kit { architecture, emulators, kernel, base, agent, work, plugin })
    }

    fn parts(&self, architecture: Architecture, kernel: Kernel) -> Result<Parts, Unavailable> {
        let mut parts = self.parts.borrow_mut();
        let fetch = || self.fetch(architecture, kernel).map_err(Unavailable::because);
        parts.entry((architecture, kernel)).or_insert_with(fetch).clone()
    }

    fn fetch(&self, architecture: Architecture, kernel: Kernel) -> Result<Parts> {
        let cache = &self.cache;
        let debian = architecture.debian();
        let (packages, suite, programs_from) = match kernel {
            Kernel::Current(suite, depending) => {
                (debian::kernel(cache, debian, suite, depending)?, suite, suite)
            }
            Kernel::Of(suite, packages) => {
                (debian::of_version(packages, debian), suite, Suite::System)
            }
        };
        let kernel = debian::fetch(cache, &packages, suite)?;

        // A module decompressed into this directory must not be taken for another kernel's.
        let name = kernel.file_name().context("a package has no name")?;
        let folder = self.work.join(name);
        cache::make(&folder)?;
        let mut base = Initramfs::default();
        let emulators = self.emulators()?;
        let known = elf::Modules::below(releases(&kernel), &folder, &emulators)?;
        base.modules("/lab/modules", &known, architecture.modules())?;
        for name in architecture.file_systems() {
            base.modules(&format!("/lab/modules-{name}"), &known, &[name])?;
        }
        let Programs { packages, names } = architecture.programs();
        let root = debian::root(cache, debian, packages, programs_from)?;
        names.iter().try_for_each(|name| base.program(&root, name))?;
        base.file("/etc/mke2fs.conf", root.join("etc/mke2fs.conf"));
        let archive = folder.join("base.cpio");
        base.write(&archive)?;
        Ok(Parts { kernel: image(&kernel)?, base: archive })
    }
}

/// Returns the kernel in an unpacked package: in `boot`, or in later releases next to its modules.
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

/// Returns the directories of modules in an unpacked package, one for each kernel release.
fn releases(package: &Path) -> Vec<PathBuf> {
    ["lib/modules", "usr/lib/modules"]
        .into_iter()
        .flat_map(|folder| entries(&package.join(folder)))
        .collect()
}

/// Returns the entries of a directory, or none if it does not exist.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

impl Kit {
    /// Returns the plugin for a test that needs it.
    pub fn plugin(&self) -> Result<&Plugin> {
        self.plugin.as_ref().context("the emulator cannot load the plugin")
    }

    /// Writes the initial file system of a machine that also has `more`, to its own path.
    pub fn initrd(&self, more: &Initramfs, name: &str) -> Result<PathBuf> {
        let extra = self.work.join(format!("{name}.extra.cpio"));
        more.write(&extra)?;
        let joined = self.work.join(format!("{name}.initrd"));
        initramfs::join(&[&self.base, &self.agent, &extra], &joined)?;
        fs::remove_file(&extra).with_context(|| format!("cannot remove {}", extra.display()))?;
        Ok(joined)
    }
}
