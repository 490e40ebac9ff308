//! What a machine or its distribution may lack, so that a check is skipped. Any other error fails its check, also an
//! installation that was tried and failed.
//!
//! With `CI` set, a check is skipped only for a reason that the job lists in `CACHEMAINT_ABSENT`.

use core::fmt;
use std::env;

use anyhow::anyhow;

/// The variable with the reasons of a job, separated by spaces: those below, and kinds of `skips`.
const LIST: &str = "CACHEMAINT_ABSENT";

/// Returns true if this reason may skip something here.
pub fn is_listed(reason: &str) -> bool {
    env::var_os("CI").is_none() || has(&env::var(LIST).unwrap_or_default(), reason)
}

fn has(list: &str, reason: &str) -> bool {
    list.split_whitespace().any(|listed| listed == reason)
}

/// The reason to skip a check, by which it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// The distribution's Rust has one compiler and one target.
    Rustup,
    /// Packages are installed by root, or by a sudo that asks nothing.
    Root,
    /// Packages come from Debian or Ubuntu.
    Apt,
    /// Nothing can be downloaded here.
    Network,
    /// The distribution has no cross compiler for the architecture.
    CrossCompiler,
    /// The distribution's emulator is too old.
    Emulator,
    /// Only Debian has the kernel.
    DebianKernel,
    /// The archive removes older versions of its packages.
    OldPackage,
    /// The emulators are programs for x86-64.
    X86,
    /// The CPU or its kernel runs no programs of 32 bits.
    Words32,
    /// A container may have no FUSE, no loop devices or not the file system.
    LoopDevice,
    /// Goldens belong to the compiler that they name.
    Compiler,
}

impl Lacks {
    /// Returns the error that skips a check for this reason, or fails it where the job does not list the reason.
    pub fn error(self, detail: impl fmt::Display) -> anyhow::Error {
        if is_listed(&self.to_string()) {
            return Absent { lacks: self, detail: format!("{detail:#}") }.into();
        }
        anyhow!("{detail:#} (to skip this, name {self} in {LIST})")
    }
}

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rustup => "no-rustup",
            Self::Root => "no-root",
            Self::Apt => "no-apt",
            Self::Network => "no-network",
            Self::CrossCompiler => "no-cross-compiler",
            Self::Emulator => "other-emulator",
            Self::DebianKernel => "no-debian-kernel",
            Self::OldPackage => "no-old-package",
            Self::X86 => "not-x86-64",
            Self::Words32 => "no-32-bit-programs",
            Self::LoopDevice => "no-loop-device",
            Self::Compiler => "other-compiler",
        })
    }
}

/// A check that is skipped.
#[derive(Clone, Debug)]
pub struct Absent {
    pub lacks: Lacks,
    pub detail: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.lacks, self.detail)
    }
}

impl core::error::Error for Absent {}

#[cfg(test)]
mod tests {
    use super::has;

    #[test]
    fn a_list_has_whole_reasons() {
        assert!(has("container no-root", "no-root"));
        assert!(!has("container no-root", "root") && !has("", "no-root"));
    }
}
