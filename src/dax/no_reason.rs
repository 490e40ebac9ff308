//! Systems where a failed access ends the process.

use super::latch::{FailedAccess, Failure};
use super::mapping::Mapping;
use std::fs::File;

pub(super) const fn reason(_: &File, _: &Mapping, _: u64, access: FailedAccess) -> Failure {
    Failure::Access(access)
}
