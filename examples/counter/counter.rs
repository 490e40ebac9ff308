//! The counter itself, on any medium.

use cachemaint::medium::Medium;
use std::sync::atomic::Ordering;
use zerocopy::little_endian::U64;
use zerocopy::{Immutable, IntoBytes};

/// The distance of the copies: the largest possible page, so that they never share a unit that a crash may tear,
/// whatever the granularity.
const STRIDE: u64 = 64 << 10;

/// The size of a medium for the counter, in bytes.
pub const LEN: u64 = 2 * STRIDE;

/// A copy of the counter, and its check.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Copy {
    value: U64,
    complement: U64,
}

/// Returns the value of a copy, if the copy is intact. A new medium has zeros, which are not an intact copy.
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

/// Persists the next value in the older or damaged copy, and returns it. The counter must have been opened before.
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
