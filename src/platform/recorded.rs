//! Machines for tests: recorded CPUs, and trees of `/proc` and `/sys` written by hand after the
//! kernel's sources.

#[path = "../../tests/cpus/arm64.rs"]
#[expect(dead_code, reason = "the source of each value is for readers")]
pub(crate) mod arm64;
#[path = "../../tests/cpus/x86.rs"]
#[expect(dead_code, reason = "the source of each value is for readers")]
pub(crate) mod x86;

use super::tree::Tree;
use super::{Cpu, aarch64, x86 as cpuid};
use crate::arch::{self, Architecture};
use alloc::vec::Vec;
use raw_cpuid::CpuIdResult;
use std::path::Path;
use tempfile::TempDir;

/// One CPUID leaf: leaf, subleaf, EAX to EDX.
pub(crate) type Leaf = (u32, u32, [u32; 4]);

/// A reader of these leaves; others read as zeros.
pub(crate) fn reader(leaves: &[Leaf]) -> impl Fn(u32, u32) -> CpuIdResult + Clone {
    move |leaf, subleaf| {
        let found = leaves.iter().find(|row| row.0 == leaf && row.1 == subleaf);
        let [eax, ebx, ecx, edx] = found.map_or([0; 4], |row| row.2);
        CpuIdResult { eax, ebx, ecx, edx }
    }
}

pub(crate) fn x86_cpu(leaves: &[Leaf]) -> Cpu {
    cpuid::read(&reader(leaves))
}

pub(crate) fn arm64_cpu(machine: &arm64::Machine) -> Cpu {
    aarch64::read(aarch64::Words {
        ctr_el0: machine.ctr_el0,
        hwcap: machine.hwcap,
        hwcap2: machine.hwcap2,
        midr_el1: Some(machine.midr_el1),
    })
}

/// Every recorded machine.
pub(crate) fn all() -> Vec<(&'static str, &'static Architecture, Cpu)> {
    let x86 = x86::MACHINES
        .iter()
        .map(|machine| (machine.name, &arch::x86::ARCHITECTURE, x86_cpu(machine.cpuid)));
    let arm64 = arm64::MACHINES
        .iter()
        .map(|machine| (machine.name, &arch::aarch64::ARCHITECTURE, arm64_cpu(machine)));
    x86.chain(arm64).collect()
}

/// A tree in a temporary directory.
pub(crate) struct Fixture {
    root: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { root: TempDir::new().unwrap() }
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::at(self.root.path())
    }

    pub(crate) fn inside(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.inside(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    #[cfg(unix)]
    fn link(self, path: &str, to: &str) -> Self {
        let path = self.inside(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(Path::new(to), path).unwrap();
        self
    }

    /// A region as the kernel shows one: a device below its bus, and a link to it below
    /// `/sys/bus/nd/devices`. `provider` is an attribute of the bus.
    #[cfg(unix)]
    pub(crate) fn region(
        self,
        number: u32,
        provider: Option<&str>,
        attributes: &[(&str, &str)],
    ) -> Self {
        let bus = alloc::format!("sys/devices/platform/ndbus{number}");
        let device = alloc::format!("{bus}/region{number}");
        let mut tree = self.file(&alloc::format!("{device}/uevent"), "");
        if let Some(provider) = provider {
            tree = tree.file(&alloc::format!("{bus}/provider"), provider);
        }
        for (name, value) in attributes {
            tree = tree.file(&alloc::format!("{device}/{name}"), value);
        }
        tree.link(
            &alloc::format!("sys/bus/nd/devices/region{number}"),
            &alloc::format!("../../../devices/platform/ndbus{number}/region{number}"),
        )
    }

    /// A kernel, pages of 4 KiB and four caches.
    pub(crate) fn kernel_and_caches(self) -> Self {
        let words = [3_usize, 0x40, 6, 4096, 0, 0].map(usize::to_ne_bytes).concat();
        let mut tree = self
            .file("proc/sys/kernel/ostype", "Linux\n")
            .file("proc/sys/kernel/osrelease", "6.12.48+deb13-cloud-amd64\n")
            .file("proc/self/auxv", words);
        let caches = [
            ("1", "Data", "48K"),
            ("1", "Instruction", "32K"),
            ("2", "Unified", "2048K"),
            ("3", "Unified", "107520K"),
        ];
        for (place, (level, kind, size)) in caches.into_iter().enumerate() {
            let index = alloc::format!("sys/devices/system/cpu/cpu0/cache/index{place}");
            tree = tree
                .file(&alloc::format!("{index}/level"), alloc::format!("{level}\n"))
                .file(&alloc::format!("{index}/type"), alloc::format!("{kind}\n"))
                .file(&alloc::format!("{index}/size"), alloc::format!("{size}\n"))
                .file(&alloc::format!("{index}/coherency_line_size"), "64\n");
        }
        tree
    }
}
