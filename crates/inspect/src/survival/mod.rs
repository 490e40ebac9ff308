//! The survival table: what each event keeps, as a pure function.
//!
//! Its rows are the backings, its columns the events. Each cell has an answer for bytes that were only stored, that
//! were persisted, and that were deep persisted. Persisted bytes were written back and fenced (with eADR only fenced),
//! or `msync`ed if the granularity is a page. Deep-persisted bytes were written back in any case, and the kernel has
//! flushed the medium's own buffers. A cell states the promise, not the usual outcome, with its reason and source ([`survives`]).

mod table;

use cachemaint::medium::{Backing, Domain};
use cachemaint::report::Statement;

pub use table::survives;

/// Returns the backing of a file that is mapped directly from memory of this domain.
#[must_use]
pub const fn backing_of(domain: Domain) -> Backing {
    match domain {
        Domain::CpuCaches => Backing::PmemEadr,
        Domain::MemoryController => Backing::PmemAdr,
        Domain::CxlGpf => Backing::CxlGpf,
        Domain::Cxl => Backing::Cxl,
        Domain::HostFlush => Backing::VirtioPmem,
        Domain::None => Backing::EmulatedPmem,
        _ => Backing::PmemUnknown,
    }
}

/// An event that can lose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Event {
    /// The process is killed or crashes. The table assumes a file with a name. A file without one (memfd, `O_TMPFILE`)
    /// ends with its last descriptor, whatever backs it; `FileReport::survives` accounts for that.
    ProcessCrash,
    /// The kernel starts another kernel without going through firmware, after a crash (kdump) or on request.
    Kexec,
    /// A reset or reboot through firmware, without losing power.
    WarmReboot,
    /// Power is lost.
    PowerLoss,
}

impl Event {
    /// All events, the mildest first.
    pub const ALL: &'static [Self] =
        &[Self::ProcessCrash, Self::Kexec, Self::WarmReboot, Self::PowerLoss];

    /// Returns a short name for the event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessCrash => "process crash",
            Self::Kexec => "kexec, kdump",
            Self::WarmReboot => "warm reboot",
            Self::PowerLoss => "power loss",
        }
    }
}

impl core::fmt::Display for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

impl From<Event> for &'static str {
    fn from(event: Event) -> Self {
        event.name()
    }
}

/// The stage that bytes have reached on their way to the medium when an event happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Stage {
    /// Only stored: dirty in a CPU cache or in the page cache.
    Stored,
    /// Persisted, and the call has returned: the domain that keeps the bytes at power loss has accepted them.
    Persisted,
    /// Deep persisted by `deep_persist`: the lines were written back, with eADR too, and the kernel has flushed the
    /// medium's own buffers. If the region has flush hints, nothing depends on stored energy any more; otherwise the
    /// kernel has nothing to flush.
    DeepPersisted,
}

impl Stage {
    /// All stages, the weakest first.
    pub const ALL: &'static [Self] = &[Self::Stored, Self::Persisted, Self::DeepPersisted];

    /// Returns a short name for the stage.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Persisted => "persisted",
            Self::DeepPersisted => "deep persisted",
        }
    }
}

impl core::fmt::Display for Stage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// The fate of bytes in an event, as far as a source promises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Survival {
    /// The bytes survive, as the platform claims.
    Yes,
    /// The bytes are lost, or must be assumed lost.
    No,
    /// The bytes may survive; no source promises it.
    NotPromised,
    /// The bytes survive if this condition holds.
    If(Condition),
}

/// A condition that was not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Condition {
    /// The name for programs, in snake case. It does not change.
    pub code: &'static str,
    /// The condition in words, to follow *if*.
    pub text: &'static str,
}

impl Condition {
    #[doc(hidden)]
    #[must_use]
    pub const fn given(code: &'static str, text: &'static str) -> Self {
        Self { code, text }
    }
}

impl core::fmt::Display for Condition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.text)
    }
}

impl core::fmt::Display for Survival {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Yes => f.pad("yes"),
            Self::No => f.pad("no"),
            Self::NotPromised => f.pad("not promised"),
            Self::If(condition) => write!(f, "if {condition}"),
        }
    }
}

/// The error of a requirement that is not met: the condition or the reason, and what to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmet {
    /// The event that persisted bytes must survive.
    pub event: Event,
    /// The answer.
    pub statement: Statement<Survival>,
}

impl Unmet {
    /// Returns the condition that was not accepted, if there is one.
    #[must_use]
    pub const fn condition(&self) -> Option<Condition> {
        match self.statement.answer {
            Survival::If(condition) => Some(condition),
            _ => None,
        }
    }
}

impl core::fmt::Display for Unmet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { event, statement: Statement { answer, text, .. } } = self;
        match answer {
            Survival::If(Condition { code, text: condition }) => {
                return write!(
                    f,
                    "persisted data survives {event} only if {condition} ({text}); if you have checked this, accept {code}"
                );
            }
            Survival::No => write!(f, "persisted data does not survive {event}: {text}")?,
            _ => write!(f, "nothing promises that persisted data survives {event}: {text}")?,
        }
        f.write_str("; use one of these media: ")?;
        let mut separator = "";
        for backing in Backing::ALL {
            match survives(*backing, Stage::Persisted, *event).answer {
                Survival::Yes => write!(f, "{separator}{backing}")?,
                Survival::If(Condition { code, .. }) => {
                    write!(f, "{separator}{backing} (accept {code})")?;
                }
                _ => continue,
            }
            separator = "; ";
        }
        Ok(())
    }
}

cachemaint::debug_is_display!(Unmet);

impl core::error::Error for Unmet {}
