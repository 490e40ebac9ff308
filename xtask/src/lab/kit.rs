//! The parts of the machines of one architecture: emulator, kernel, programs.

use alloc::collections::BTreeMap;
use core::cell::{OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::architecture::Architecture;
use super::elf;
use super::emulator::Emulators;
use super::initramfs::{self, Initramfs};
use super::plugin::Plugin;
use super::sources::Sources;
use super::unavailable::Unavailable;
use crate::debian::{self, Suite};
use crate::host::Host;

impl Architecture {
    /// Returns the source of the architecture's kernel, a build for virtual machines if there is one. Debian 12's older
    /// kernel for arm64 is built without `FS_DAX`. Ubuntu's kernels come with the modules for pmem by `generic` alone,
    /// and its mirrors have none for arm64. A kernel for riscv64 that reports Zicbom to user mode is only in Debian's
    /// coming release.
    const fn kernel(self, generation: Generation) -> Kernel {
        match self {
            Self::X86 if generation.is_newer() => Kernel {
                suite: Suite::System,
                depending: &["linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"],
            },
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

    /// Returns the modules besides their dependencies: disks, pmem in all its forms, file systems; on the newer kernel the
    /// records of panics.
    const fn modules(self, generation: Generation) -> &'static [&'static str] {
        match self {
            Self::X86 if generation.is_newer() => {
                &["virtio_pci", "virtio_blk", "nfit", "nd_e820", "nd_pmem", "ramoops"]
            }
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
            Self::Riscv64 => &["virtio_pci", "virtio_blk", "of_pmem", "nd_pmem", "ext4"],
        }
    }

    /// Returns the file systems in modules that are loaded when the first one is mounted: few machines have one.
    const fn file_systems(self) -> &'static [&'static str] {
        match self {
            Self::X86 => &["xfs"],
            Self::Arm64 | Self::Riscv64 => &[],
        }
    }

    /// Returns the programs that make file systems and namespaces. Kernels for arm64 also leave it to kexec(8) to read
    /// a kernel.
    const fn programs(self) -> Programs {
        match self {
            Self::X86 => Programs {
                packages: &["e2fsprogs", "ndctl", "xfsprogs"],
                names: &["mke2fs", "mkfs.xfs", "ndctl"],
            },
            Self::Arm64 => Programs {
                packages: &["e2fsprogs", "ndctl", "kexec-tools"],
                names: &["mke2fs", "ndctl", "kexec"],
            },
            Self::Riscv64 => Programs { packages: &["e2fsprogs"], names: &["mke2fs"] },
        }
    }
}

/// The generation of a machine's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Generation {
    /// The usual one of the system's release.
    Usual,
    /// Linux 6.12 on x86, which Debian 12 has beside the usual one.
    Newer,
}

impl Generation {
    const fn is_newer(self) -> bool {
        matches!(self, Self::Newer)
    }
}

/// A kernel's packages, whose names have its version.
struct Kernel {
    suite: Suite,
    /// Packages that depend on the current version; the first known one is asked.
    depending: &'static [&'static str],
}

/// Programs, and the packages that contain them.
struct Programs {
    packages: &'static [&'static str],
    names: &'static [&'static str],
}

/// The parts that a machine is started with, except its devices.
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
    /// The plugin that makes machines lose lines, where the emulator can load it.
    pub(super) plugin: Option<Plugin>,
}

/// The parts that were put together, or the reason why one is unavailable.
#[derive(Debug, Default)]
pub(super) struct Kits {
    emulators: OnceCell<Result<Emulators, Unavailable>>,
    parts: RefCell<BTreeMap<(Architecture, Generation), Result<Parts, Unavailable>>>,
    agents: RefCell<BTreeMap<Architecture, PathBuf>>,
    plugin: OnceCell<Plugin>,
}

/// The fetched parts, which do not depend on the sources under test.
#[derive(Clone, Debug)]
struct Parts {
    kernel: PathBuf,
    base: PathBuf,
}

impl Kits {
    /// Returns the emulators.
    pub(super) fn emulators(&self, host: &Host) -> Result<Emulators, Unavailable> {
        let fetch = || Emulators::fetch(host).map_err(Unavailable::because);
        self.emulators.get_or_init(fetch).clone()
    }

    /// Returns the kit for an architecture.
    pub(super) fn kit(
        &self,
        sources: &Sources<'_>,
        architecture: Architecture,
        generation: Generation,
    ) -> Result<Kit> {
        let emulators = self.emulators(sources.host)?;
        let Parts { kernel, base } = self.parts(sources, architecture, generation)?;
        let agent = self.agent(sources, architecture)?;
        let plugin = self.plugin(sources, architecture, &emulators)?;
        Ok(Kit { architecture, emulators, kernel, base, agent, work: machines(sources)?, plugin })
    }

    /// Returns the plugin.
    fn plugin(
        &self,
        sources: &Sources<'_>,
        architecture: Architecture,
        emulators: &Emulators,
    ) -> Result<Option<Plugin>> {
        if Plugin::fits(&emulators.system(architecture.qemu())).is_err() {
            return Ok(None);
        }
        if let Some(plugin) = self.plugin.get() {
            return Ok(Some(plugin.clone()));
        }
        let plugin = Plugin::build(sources)?;
        Ok(Some(self.plugin.get_or_init(|| plugin).clone()))
    }

    fn parts(
        &self,
        sources: &Sources<'_>,
        architecture: Architecture,
        generation: Generation,
    ) -> Result<Parts, Unavailable> {
        let mut parts = self.parts.borrow_mut();
        let fetch = || self.fetch(sources, architecture, generation).map_err(Unavailable::because);
        parts.entry((architecture, generation)).or_insert_with(fetch).clone()
    }

    fn fetch(
        &self,
        sources: &Sources<'_>,
        architecture: Architecture,
        generation: Generation,
    ) -> Result<Parts> {
        let host = sources.host;
        let Kernel { suite, depending } = architecture.kernel(generation);
        let modules = architecture.modules(generation);
        let mut packages = debian::kernel(host, architecture.debian(), suite, depending)?;
        packages.retain(|name| !modules.is_empty() || !name.starts_with("linux-modules-"));
        let kernel = debian::fetch(host, &packages, suite)?;

        // A module that is decompressed into the folder must not be taken for another kernel's.
        let name = kernel.file_name().context("a package has no name")?;
        let folder = machines(sources)?.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut base = Initramfs::default();
        let emulators = self.emulators(host)?;
        let known = elf::Modules::below(releases(&kernel), &folder, &emulators)?;
        base.modules("/lab/modules", &known, modules)?;
        for name in architecture.file_systems() {
            base.modules(&format!("/lab/modules-{name}"), &known, &[name])?;
        }
        let Programs { packages, names } = architecture.programs();
        let root = debian::root(host, architecture.debian(), packages, suite)?;
        names.iter().try_for_each(|name| base.program(&root, name))?;
        base.file("/etc/mke2fs.conf", root.join("etc/mke2fs.conf"));
        // Both generations can be one kernel.
        let archive = folder.join(if generation.is_newer() { "newer.cpio" } else { "base.cpio" });
        base.write(&archive)?;
        Ok(Parts { kernel: image(&kernel)?, base: archive })
    }

    /// Returns the archive with the agent, which is built once.
    fn agent(&self, sources: &Sources<'_>, architecture: Architecture) -> Result<PathBuf> {
        if let Some(agent) = self.agents.borrow().get(&architecture) {
            return Ok(agent.clone());
        }
        let program = sources.static_program_with_symbols(
            architecture,
            "cachemaint-lab-guest",
            "lab-guest",
        )?;
        let folder = machines(sources)?;
        let [archive, init, symbols] = ["cpio", "init", "symbols"]
            .map(|kind| folder.join(format!("agent-{}.{kind}", architecture.debian())));
        // Each start of a machine unpacks the agent.
        let bytes = fs::read(&program).with_context(|| format!("{}", program.display()))?;
        fs::write(&init, elf::without_symbols(bytes)?)?;
        fs::copy(&program, symbols)?;
        Initramfs::default().file("/init", init).write(&archive)?;
        self.agents.borrow_mut().insert(architecture, archive.clone());
        Ok(archive)
    }
}

/// Returns the folder for the parts of machines.
fn machines(sources: &Sources<'_>) -> Result<PathBuf> {
    let folder = sources.work().join("machines");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Returns the kernel in an unpacked package: in `boot`, and in later releases beside its modules.
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

/// Returns the folders of modules in an unpacked package, one for each release of a kernel.
fn releases(package: &Path) -> Vec<PathBuf> {
    ["lib/modules", "usr/lib/modules"]
        .into_iter()
        .flat_map(|folder| entries(&package.join(folder)))
        .collect()
}

/// Returns the entries of a folder; none if the folder does not exist.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

impl Kit {
    /// Returns the plugin of a lane that needs it.
    pub(super) fn plugin(&self) -> Result<&Plugin> {
        self.plugin.as_ref().context("the emulator cannot load the plugin")
    }

    /// Returns the agent with its symbols.
    pub(super) fn symbols(&self) -> PathBuf {
        self.agent.with_extension("symbols")
    }

    /// Returns the address at which the agent is linked: 0 for one that runs at any place.
    pub(super) fn linked_at(&self) -> Result<u64> {
        let file = self.symbols();
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        elf::first_address(&bytes).with_context(|| file.display().to_string())
    }

    /// Writes the initial file system of a machine that also has `more`, at a path of its own.
    pub(super) fn initrd(&self, more: &Initramfs, name: &str) -> Result<PathBuf> {
        let extra = self.work.join(format!("{name}.extra.cpio"));
        more.write(&extra)?;
        let joined = self.work.join(format!("{name}.initrd"));
        initramfs::join(&[&self.base, &self.agent, &extra], &joined)?;
        fs::remove_file(&extra).with_context(|| format!("cannot remove {}", extra.display()))?;
        Ok(joined)
    }
}
