//! The counter itself, on any medium.

use cachemaint::medium::Medium;
use std::sync::atomic::Ordering;
use zerocopy::little_endian::U64;
use zerocopy::{Immutable, IntoBytes};

/// The largest page there is, in bytes: whatever the granularity of the medium, the copies never
/// share a unit that a crash may tear.
const STRIDE: u64 = 64 << 10;

/// Bytes of a medium for it.
pub const LEN: u64 = 2 * STRIDE;

/// A copy of the counter, and its check.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Copy {
    value: U64,
    complement: U64,
}

/// Returns the value of a copy, if it is whole. A new medium has zeros, which are not a whole copy.
fn load<M: Medium>(medium: &M, copy: u64) -> Option<u64> {
    let value = medium.load(copy * STRIDE, Ordering::Relaxed);
    let check = medium.load(copy * STRIDE + 8, Ordering::Relaxed);
    (check == !value).then_some(value)
}

/// Returns the value that survived; 0 on a new medium. Both copies are made durable before they are used: a killed process
/// may have left the newer one in the caches, and the next increment overwrites the older one.
///
/// # Errors
/// If the medium cannot persist them.
pub fn open<M: Medium>(medium: &M) -> Result<u64, M::Error> {
    for copy in [0, STRIDE] {
        medium.persist(copy..copy + size_of::<Copy>() as u64)?;
    }
    Ok(value(medium))
}

fn value<M: Medium>(medium: &M) -> u64 {
    load(medium, 0).max(load(medium, 1)).unwrap_or(0)
}

/// Persists the next value in the copy that is older or not whole, and returns it. The counter was opened before.
///
/// # Errors
/// If the medium cannot persist it.
pub fn increment<M: Medium>(medium: &M) -> Result<u64, M::Error> {
    let next = value(medium) + 1;
    let older = u64::from(load(medium, 0) > load(medium, 1));
    let copy = Copy { value: next.into(), complement: (!next).into() };
    medium.persist_copy(&[(older * STRIDE, copy.as_bytes())])?;
    Ok(next)
}
