//! Questions, their answers, and what could not be found out.

use alloc::string::String;
use cachemaint::family::tree::printable;

/// A question to the kernel and its answer. The path is the kernel's, without the root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Evidence {
    /// The file, attribute or call that was asked.
    pub asked: String,
    /// The answer: the value, or the reason why it is missing.
    pub answer: String,
}

impl Evidence {
    /// Returns a question and its answer, safe to print.
    pub(crate) fn new(asked: impl AsRef<str>, answer: impl AsRef<str>) -> Self {
        Self { asked: printable(asked.as_ref()), answer: printable(answer.as_ref()) }
    }
}

/// A fact that could not be determined.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Unknown {
    /// The reason: the question and its answer.
    pub reason: String,
    /// The remedy.
    pub advice: &'static str,
}

impl Unknown {
    pub(crate) fn new(asked: &str, answer: &str, advice: &'static str) -> Self {
        Self { reason: printable(&alloc::format!("{asked}: {answer}")), advice }
    }
}

impl core::fmt::Display for Unknown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}; {}", self.reason, self.advice)
    }
}

cachemaint::debug_is_display!(Unknown);

impl core::error::Error for Unknown {}

/// Serializes the number, or the object with the reason why it is missing.
#[cfg(feature = "serde")]
pub(crate) fn number_or_reason<S: serde::Serializer>(
    number: &Result<u64, Unknown>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match number {
        Ok(number) => serializer.serialize_u64(*number),
        Err(why) => serde::Serialize::serialize(why, serializer),
    }
}
