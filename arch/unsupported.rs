//! The reasons why an operation is missing.

/// The kind of thing that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// The architecture has no such operation at this privilege level.
    Operation,
    /// The CPU, or the hypervisor's view of it, lacks the instruction.
    Instruction,
    /// The CPU has the instruction, but an erratum requires another one.
    Erratum,
    /// No present instruction reaches the point.
    Point,
    /// The CPU reports an impossible line size, in bytes.
    LineSize(u32),
    /// There is no known operating system to ask for permission.
    Permission,
    /// The requested instruction does not belong to this architecture, or this machine lacks it.
    Choice,
}

/// An operation that this machine does not offer: the missing part, the reason, and the remedy.
///
/// `{:?}` prints the text of `{}`, so that a `main` that returns the error shows the user what to do.
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
    /// Returns the missing part, the reason, and the remedy as one value.
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
