//! The counter itself, on any medium.

use cachemaint::medium::Medium;
use std::sync::atomic::Ordering;

/// The largest page there is, in bytes: whatever the granularity of the medium, the copies never
/// share a unit that a crash may tear.
const STRIDE: u64 = 64 << 10;

/// Bytes of a medium for it.
pub(crate) const LEN: u64 = 2 * STRIDE;

/// Returns the value of a copy, if it is whole. A new medium has zeros, which are not a whole copy.
fn load<M: Medium>(medium: &M, copy: u64) -> Option<u64> {
    let value = medium.load(copy * STRIDE, Ordering::Relaxed);
    let check = medium.load(copy * STRIDE + 8, Ordering::Relaxed);
    (check == !value).then_some(value)
}

/// Returns the value that survived; 0 on a new medium.
pub(crate) fn value<M: Medium>(medium: &M) -> u64 {
    load(medium, 0).max(load(medium, 1)).unwrap_or(0)
}

/// Persists the next value in the copy that is older or not whole, and returns it.
///
/// # Errors
/// If the medium cannot persist it.
pub(crate) fn increment<M: Medium>(medium: &M) -> Result<u64, M::Error> {
    let next = value(medium) + 1;
    let older = u64::from(load(medium, 0) > load(medium, 1));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&next.to_le_bytes());
    bytes[8..].copy_from_slice(&(!next).to_le_bytes());
    medium.persist_copy(&[(older * STRIDE, &bytes)])?;
    Ok(next)
}
