//! The tree under test, and the programs built from it, which lanes share.

use alloc::collections::BTreeMap;
use core::cell::RefCell;
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result};
use lose_lines_machine::architecture::Architecture;
use lose_lines_machine::cache::{self, Cache};
use lose_lines_machine::debian::{self, Package, Suite};
use lose_lines_machine::elf;
use lose_lines_machine::emulator::{Emulated, Emulators};
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::kit::{Kernel, Kit, Kits};
use lose_lines_machine::plugin::Plugin;
use xtask::absent::Lacks;
use xtask::command::{Cmd, find_program};
use xtask::host::{Host, fetched};
use xtask::toolchain::Compiler;

use crate::cross;
use crate::programs::{Programs, Scope};

pub(crate) struct Lab {
    pub(crate) host: Host,
    pub(crate) cache: Cache,
    work: PathBuf,
    kits: Kits,
    /// The archives with the agent.
    agents: RefCell<BTreeMap<Architecture, PathBuf>>,
}

impl Lab {
    pub(crate) fn new() -> Result<Self> {
        let host = Host::new()?;
        let work = host.target_dir("lab");
        cache::make(&work)?;
        let cache = Cache::of_user()?;
        Ok(Self {
            kits: Kits::new(cache.clone(), Emulated::Every, work.join("machines")),
            host,
            cache,
            work,
            agents: RefCell::default(),
        })
    }

    /// Returns the workspace under test.
    pub(crate) fn tree(&self) -> &Path {
        self.host.root()
    }

    /// Returns the folder of builds and logs.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Returns cargo's folder. Programs for several machines share it, as they differ in target or profile.
    pub(crate) fn target(&self) -> PathBuf {
        self.work.join("target")
    }

    /// Returns `cargo` with the words of `line`, in the workspace under test.
    pub(crate) fn cargo(&self, compiler: &Compiler, line: &str) -> Cmd {
        compiler.cargo(line).folder(self.tree()).env("CARGO_TARGET_DIR", self.target())
    }

    /// Returns the same for programs that need no library on the machine that runs them, in a folder of their own.
    pub(crate) fn cargo_static(&self, triple: &str, line: &str) -> Result<Cmd> {
        Ok(self
            .cargo_static_with(triple, line, "symbols")?
            .env("CARGO_TARGET_DIR", self.work.join("static")))
    }

    /// Returns the same with the sections that the linker strips. The programs are stripped, as they are copied into memory
    /// at each start. A profile's `strip` does not apply to a package that has a profile of its own, as the library has.
    fn cargo_static_with(&self, triple: &str, line: &str, stripped: &str) -> Result<Cmd> {
        let compiler = cross::linking(triple)?.compiler;
        Ok(self.cargo(&compiler, line).arg("--config").arg(format!(
            r#"target.{triple}.rustflags=["-Ctarget-feature=+crt-static","-Cstrip={stripped}"]"#
        )))
    }

    /// Returns the programs of a scope, linked statically, so that they run in machines too, and on this one.
    pub(crate) fn static_tests(&self, triple: &str, scope: Scope) -> Result<Programs> {
        Programs::build(triple, scope, |line| self.cargo_static(triple, line))
    }

    /// Returns the command `cachemaint` for machines, which needs no library there.
    pub(crate) fn command(&self) -> Result<PathBuf> {
        let triple = Architecture::X86.triple();
        self.cargo_static(triple, "build -p cachemaint-cli")?.read()?;
        Ok(self.work.join("static").join(triple).join("debug/cachemaint"))
    }

    /// Builds the command `lose-lines` for this machine.
    pub(crate) fn tool(&self) -> Result<PathBuf> {
        Cmd::cargo("build -p lose-lines").read()?;
        Ok(self.host.target_dir("debug").join("lose-lines"))
    }

    /// Returns the emulators of whole machines.
    pub(crate) fn emulators(&self) -> Result<Emulators> {
        for_x86()?;
        fetched(self.kits.emulators().map_err(Error::from))
    }

    /// Returns the plugin of an architecture's emulator, which follows write-backs and loses lines.
    pub(crate) fn plugin(&self, architecture: &str) -> Result<Plugin> {
        let emulator = self.emulators()?.system(architecture);
        cross::current(&emulator)?;
        Plugin::fits(&emulator)?;
        cache::make(self.kits.work())?;
        Plugin::in_folder(self.kits.work())
    }

    /// Returns the kit for an architecture.
    pub(crate) fn kit(&self, architecture: Architecture) -> Result<Kit> {
        if architecture != Architecture::X86 {
            with_debian_kernels()?;
        }
        self.emulators()?;
        fetched(self.kits.kit(architecture, self.agent(architecture)?))
    }

    /// Returns such a kit whose machines lose lines.
    pub(crate) fn losing_kit(&self, architecture: Architecture) -> Result<Kit> {
        self.plugin(architecture.qemu())?;
        self.kit(architecture)
    }

    /// Returns the kit with the oldest kernel.
    pub(crate) fn oldest_kit(&self) -> Result<Kit> {
        with_debian_kernels()?;
        self.emulators()?;
        fetched(self.kits.oldest_kit(self.agent(Architecture::X86)?))
    }

    /// Returns a kit with a kernel of one version, which the archive may have removed.
    pub(crate) fn kit_of(
        &self,
        architecture: Architecture,
        suite: Suite,
        packages: &'static [Package],
    ) -> Result<Kit> {
        with_debian_kernels()?;
        self.emulators()?;
        let missing = debian::missing(&self.cache, packages, architecture.debian(), suite);
        if let Some(name) = fetched(missing)? {
            return Err(Lacks::OldPackage.error(format_args!("the archive has no {name} any more")));
        }
        let kernel = Kernel::Of(suite, packages);
        fetched(self.kits.kit_of(architecture, kernel, self.agent(architecture)?))
    }

    /// Returns the archive with the agent, which is built once.
    fn agent(&self, architecture: Architecture) -> Result<PathBuf> {
        if let Some(agent) = self.agents.borrow().get(&architecture) {
            return Ok(agent.clone());
        }
        cache::make(self.kits.work())?;
        let triple = architecture.triple();
        let line = "build --release -p cachemaint-lab-guest";
        self.cargo_static_with(triple, line, "none")?
            .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
            .read()?;
        let program = self.target().join(triple).join("release/lab-guest");
        let file = |kind| agent_file(self.kits.work(), architecture, kind);
        let [archive, init] = [file("cpio"), file("init")];
        // Each start of a machine unpacks the agent.
        let bytes = fs::read(&program).with_context(|| format!("{}", program.display()))?;
        fs::write(&init, elf::without_symbols(bytes)?)?;
        fs::copy(&program, file("symbols"))?;
        Initramfs::default().file("/init", init).write(&archive)?;
        self.agents.borrow_mut().insert(architecture, archive.clone());
        Ok(archive)
    }

    /// Returns packages of this release of Debian or Ubuntu, unpacked, with those that they need.
    pub(crate) fn packages(&self, architecture: &str, packages: &[&str]) -> Result<PathBuf> {
        for_x86()?;
        fetched(debian::root(&self.cache, architecture, packages, Suite::System))
    }

    /// Returns packages of this release of Debian, of one architecture, unpacked without those that they need.
    pub(crate) fn unpacked(&self, packages: &[&str]) -> Result<PathBuf> {
        fetched(debian::fetch(&self.cache, packages, Suite::System))
    }
}

/// Returns a file of the agent in the folder of machines.
pub(crate) fn agent_file(machines: &Path, architecture: Architecture, kind: &str) -> PathBuf {
    machines.join(format!("agent-{}.{kind}", architecture.debian()))
}

/// Checks that this machine runs the emulators, which are packages for it.
fn for_x86() -> Result<()> {
    if ARCH != "x86_64" {
        return Err(Lacks::X86.error(format_args!("this machine is {ARCH}")));
    }
    match find_program("apt-get") {
        Some(_) => Ok(()),
        None => Err(Lacks::Apt.error("apt-get is not there")),
    }
}

/// Checks that this system is Debian: others have no kernel for some machines (os-release(5)).
fn with_debian_kernels() -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if release.lines().any(|line| line == "ID=debian") {
        return Ok(());
    }
    Err(Lacks::DebianKernel.error("this system is not Debian"))
}
