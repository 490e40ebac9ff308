//! Answers with their source and certainty.

/// The certainty of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Certainty {
    /// A manual, a specification or other documentation promises it.
    Documented,
    /// The named source code does it; nothing promises that it stays so.
    ReadInSource,
    /// A measurement showed it, on the machine that the source names.
    Measured,
    /// No source says it; it is the safe assumption.
    Assumed,
}

impl Certainty {
    /// Returns the certainty in words.
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
    pub answer: T,
    /// The answer in words, with its condition if it has one.
    pub text: &'static str,
    /// The source of the claim.
    pub source: &'static str,
    /// The certainty of the answer.
    pub certainty: Certainty,
}

/// The answer with its condition if it has one, the reason in words, and the source.
impl<T: core::fmt::Display> core::fmt::Display for Statement<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {} ({})", self.answer, self.text, self.source)
    }
}

impl<T> Statement<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn documented(answer: T, text: &'static str, source: &'static str) -> Self {
        Self { answer, text, source, certainty: Certainty::Documented }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn read(answer: T, text: &'static str, source: &'static str) -> Self {
        Self { answer, text, source, certainty: Certainty::ReadInSource }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn measured(answer: T, text: &'static str, source: &'static str) -> Self {
        Self { answer, text, source, certainty: Certainty::Measured }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn assumed(answer: T, text: &'static str, source: &'static str) -> Self {
        Self { answer, text, source, certainty: Certainty::Assumed }
    }
}
