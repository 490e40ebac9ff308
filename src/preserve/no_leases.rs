//! Leases where there is no operating system: none.

use core::ops::Range;

#[derive(Debug, Default)]
pub(super) struct Leases {}

#[expect(clippy::unused_self, reason = "there are some elsewhere")]
impl Leases {
    pub(super) const fn first_in(&self, _: &Range<u64>) -> Option<Range<u64>> {
        None
    }
}

#[derive(Debug, Default)]
pub(super) struct Held {}

impl Held {
    pub(super) const fn of_store(_: &Leases) -> Self {
        Self {}
    }
}
