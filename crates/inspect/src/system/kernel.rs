//! The kernel and its pages, from `/proc`.

use crate::Unknown;
use alloc::string::String;
use cachemaint::family::tree::{Attribute, Tree, printable};
use std::path::Path;

/// The running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Kernel {
    /// The name of the kernel: `Linux`.
    pub name: String,
    /// The release of the kernel: `6.12.0-amd64`.
    pub release: String,
}

const OSTYPE: &str = "/proc/sys/kernel/ostype";
pub(crate) const OSRELEASE: &str = "/proc/sys/kernel/osrelease";
const AUXV: &str = "/proc/self/auxv";
/// `include/uapi/linux/auxvec.h`.
const AT_PAGESZ: usize = 6;
const WORD: usize = size_of::<usize>();

/// Returns the name and release of the kernel.
pub(crate) fn kernel(tree: &Tree) -> Result<Kernel, Unknown> {
    let name = tree.read(Path::new(OSTYPE));
    let release = tree.read(Path::new(OSRELEASE));
    match (&name, &release) {
        (Attribute::Value(name), Attribute::Value(release)) => {
            Ok(Kernel { name: printable(name), release: printable(release) })
        }
        (Attribute::Value(_), other) => Err(Unknown::new(OSRELEASE, &other.describe(), MOUNT_PROC)),
        (other, _) => Err(Unknown::new(OSTYPE, &other.describe(), MOUNT_PROC)),
    }
}

const MOUNT_PROC: &str = "on Linux mount /proc; this crate cannot ask other systems";

/// Returns the size of a page in bytes, from the auxiliary vector: pairs of words, a kind and a
/// value.
pub(crate) fn page_size(tree: &Tree) -> Result<u64, Unknown> {
    let bytes = tree
        .read_bytes(Path::new(AUXV))
        .map_err(|attribute| Unknown::new(AUXV, &attribute.describe(), MOUNT_PROC))?;
    let mut words = bytes.chunks_exact(WORD).map(|word| {
        let mut bytes = [0; WORD];
        bytes.copy_from_slice(word);
        usize::from_ne_bytes(bytes)
    });
    while let (Some(kind), Some(value)) = (words.next(), words.next()) {
        if kind == AT_PAGESZ && value.is_power_of_two() {
            return Ok(value as u64);
        }
    }
    Err(Unknown::new(AUXV, "has no AT_PAGESZ", "ask sysconf(_SC_PAGESIZE)"))
}
