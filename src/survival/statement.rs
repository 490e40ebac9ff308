//! A statement with its source and certainty.

/// The certainty of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Certainty {
    /// A manual, a specification or documentation promises it.
    Documented,
    /// The named source code does it; no source promises that it stays so.
    ReadInSource,
    /// A measurement showed it, on the machine that the source names.
    Measured,
    /// No source says it: it is the safe assumption.
    Assumed,
}

impl Certainty {
    /// Returns the word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::ReadInSource => "read in source code",
            Self::Measured => "measured",
            Self::Assumed => "assumed",
        }
    }
}

impl core::fmt::Display for Certainty {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// An answer as a value and in words, with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statement<T> {
    /// The answer.
    pub is: T,
    /// The answer in words, with its condition if it has one.
    pub text: &'static str,
    /// The source of the claim.
    pub source: &'static str,
    /// The certainty of the answer.
    pub certainty: Certainty,
}

impl<T> Statement<T> {
    pub(crate) const fn documented(is: T, text: &'static str, source: &'static str) -> Self {
        Self { is, text, source, certainty: Certainty::Documented }
    }

    pub(crate) const fn read(is: T, text: &'static str, source: &'static str) -> Self {
        Self { is, text, source, certainty: Certainty::ReadInSource }
    }

    pub(crate) const fn measured(is: T, text: &'static str, source: &'static str) -> Self {
        Self { is, text, source, certainty: Certainty::Measured }
    }

    pub(crate) const fn assumed(is: T, text: &'static str, source: &'static str) -> Self {
        Self { is, text, source, certainty: Certainty::Assumed }
    }
}
