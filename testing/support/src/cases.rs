//! The number of cases that a search by chance tries.

#![expect(clippy::unwrap_used, reason = "a variable that was set by hand")]

/// The variable with the number of generated histories, and that number in a usual run.
const VARIABLE: &str = "CACHEMAINT_HISTORIES";
pub const HISTORIES: u64 = 2000;

/// Returns the number of cases to try, of so many in a usual run: the same share as of the histories, and at least one.
#[must_use]
pub fn cases(usual: u64) -> u64 {
    match std::env::var(VARIABLE) {
        Ok(number) => (usual * number.parse::<u64>().unwrap()).div_ceil(HISTORIES),
        Err(_) => usual,
    }
}
