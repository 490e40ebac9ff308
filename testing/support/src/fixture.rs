//! Machines for tests: trees of `/proc` and `/sys`, written by hand from the kernel's sources.

use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A tree in a temporary directory.
pub struct Fixture {
    root: TempDir,
}

impl Fixture {
    #[expect(clippy::new_without_default, reason = "tests write `new`")]
    #[must_use]
    pub fn new() -> Self {
        Self { root: TempDir::new().unwrap() }
    }

    /// Returns the root, which holds `proc` and `sys`.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    #[must_use]
    pub fn inside(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.inside(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Adds a symbolic link to another path in the tree.
    #[must_use]
    pub fn link(self, path: &str, to: &str) -> Self {
        let path = self.inside(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(self.inside(to), path).unwrap();
        self
    }

    /// Adds a region as the kernel shows one: a device below its bus, and a link to it below
    /// `/sys/bus/nd/devices`. `provider` is an attribute of the bus.
    #[must_use]
    pub fn region(self, number: u32, provider: Option<&str>, attributes: &[(&str, &str)]) -> Self {
        let bus = format!("sys/devices/platform/ndbus{number}");
        let device = format!("{bus}/region{number}");
        let mut tree = self.file(&format!("{device}/uevent"), "");
        if let Some(provider) = provider {
            tree = tree.file(&format!("{bus}/provider"), provider);
        }
        for (name, value) in attributes {
            tree = tree.file(&format!("{device}/{name}"), value);
        }
        tree.link(&format!("sys/bus/nd/devices/region{number}"), &device)
    }

    /// Adds a kernel, pages of 4 KiB and four caches.
    pub fn kernel_and_caches(self) -> Self {
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
            let index = format!("sys/devices/system/cpu/cpu0/cache/index{place}");
            tree = tree
                .file(&format!("{index}/level"), format!("{level}\n"))
                .file(&format!("{index}/type"), format!("{kind}\n"))
                .file(&format!("{index}/size"), format!("{size}\n"))
                .file(&format!("{index}/coherency_line_size"), "64\n");
        }
        tree
    }
}
