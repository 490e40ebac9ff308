//! The reasons why an operation is missing.

/// The kind of thing that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// The architecture has no such operation at this privilege level.
    Operation,
    /// The CPU, or the hypervisor's view of it, lacks the instruction.
    Instruction,
    /// The CPU has the instruction, and an erratum of it says to use another one.
    Erratum,
    /// No instruction that is present reaches the point.
    Point,
    /// The line size that the CPU reports cannot be one. In bytes.
    LineSize(u32),
    /// No operating system that this crate knows can be asked for permission.
    Permission,
    /// The instruction asked for is not one of this architecture, or not on this machine.
    Choice,
}

/// An operation that this machine does not offer: the missing part, the reason, and the remedy.
///
/// `{:?}` prints the text of `{}`, so that a `main` which returns the error shows the user what to
/// do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsupported {
    /// The kind of thing that is missing.
    pub missing: Missing,
    /// The reason why it is missing.
    pub reason: &'static str,
    /// Advice to the caller.
    pub advice: &'static str,
}

impl Unsupported {
    /// States the missing part, the reason, and the remedy.
    #[must_use]
    pub(crate) const fn new(missing: Missing, reason: &'static str, advice: &'static str) -> Self {
        Self { missing, reason, advice }
    }
}

impl core::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason)?;
        if let Missing::LineSize(bytes) = self.missing {
            write!(f, " (found {bytes} bytes)")?;
        }
        write!(f, "; {}", self.advice)
    }
}

impl core::fmt::Debug for Unsupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Unsupported {}
