//! The reason to skip a test.

use core::fmt;

/// The reason why a test cannot be run on this machine: a prerequisite is missing.
#[derive(Clone, Debug)]
pub struct Unavailable(String);

impl Unavailable {
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub fn because(why: anyhow::Error) -> Self {
        Self(format!("{why:#}"))
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Unavailable {}
