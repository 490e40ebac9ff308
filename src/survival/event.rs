//! The events that a machine can meet.

/// An event that can lose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Event {
    /// The process is killed or crashes. The table assumes a file that has a name. One without (memfd, `O_TMPFILE`)
    /// ends with its last descriptor, whatever backs it; the guarantee of an open file accounts for that.
    ProcessCrash,
    /// The kernel starts another one without firmware, after a crash (kdump) or on request.
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

    /// Returns the event in a few words.
    pub(crate) const fn name(self) -> &'static str {
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
