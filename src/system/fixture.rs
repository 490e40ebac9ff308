//! Machines for tests: trees of `/proc` and `/sys`, written by hand from the kernel's sources.

use super::tree::Tree;
use tempfile::TempDir;

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

    /// Adds a symbolic link to another path in the tree.
    pub(crate) fn link(self, path: &str, to: &str) -> Self {
        let path = self.inside(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(self.inside(to), path).unwrap();
        self
    }

    /// Adds a region as the kernel shows one: a device below its bus, and a link to it below
    /// `/sys/bus/nd/devices`. `provider` is an attribute of the bus.
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
        tree.link(&alloc::format!("sys/bus/nd/devices/region{number}"), &device)
    }

    /// Adds a kernel, pages of 4 KiB and four caches.
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
