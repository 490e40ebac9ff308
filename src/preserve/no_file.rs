//! The parts of a store that need files of an operating system, where there are none.

use super::open::Circumstances;
use super::stamp::Stamp;
use crate::medium::Readable;

pub(super) const fn circumstances<M: Readable>(_: &M) -> Option<Circumstances> {
    None
}

pub(super) const fn is_in_place<M: Readable>(_: &M, _: &Stamp) -> bool {
    false
}
