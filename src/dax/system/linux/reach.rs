//! The lines that the CPU writes back to each point.

use crate::system::tree::Evidence;
use crate::{Cache, Point};
use alloc::format;
use alloc::string::String;

/// The lines that the CPU writes back to each point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// The bytes of a line that it writes back to the point of coherency, where it can.
    pub(super) coherency: Option<usize>,
    /// The bytes of a line that it writes back to the point of persistence, where it can.
    pub(super) persistence: Option<usize>,
    /// True if the caller takes the point of coherency for that of persistence on this CPU.
    pub(super) coherency_accepted: bool,
}

impl Reach {
    pub(super) fn of(cache: Option<Cache>) -> Self {
        let aimed = |point| cache.and_then(|cache| cache.to(point).ok());
        let persistent = aimed(Point::Persistence);
        let is_nearer =
            |cache: Cache| cache.writeback_choice().instruction.point < Point::Persistence;
        Self {
            coherency: aimed(Point::Coherency).map(Cache::line_size),
            persistence: persistent.map(Cache::line_size),
            coherency_accepted: persistent.is_some_and(is_nearer),
        }
    }

    /// Returns the bytes of a line that the CPU writes back to a point, where it can.
    pub(super) const fn line(&self, point: Point) -> Option<usize> {
        match point {
            Point::Coherency => self.coherency,
            Point::Persistence | Point::DeepPersistence => self.persistence,
        }
    }

    /// Returns the caller's word, if he gave it.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        let asked = "Builder::accept_coherency_as_persistence";
        self.coherency_accepted.then(|| Evidence::new(asked, "the caller's word"))
    }
}

/// Returns the reason why lines are of no use for a point.
pub(super) fn cannot_reach(point: Point) -> String {
    format!("this CPU cannot write back to the point of {point}")
}

/// Returns the advice for it.
pub(super) const fn advice_to_reach(point: Point) -> &'static str {
    match point {
        Point::Coherency => "use a file on storage, or a CPU that can write back to memory",
        Point::Persistence | Point::DeepPersistence => {
            "where the platform says that memory is persistent at the point of coherency, accept that by name: \
             Options::new().cache(Cache::builder().accept_coherency_as_persistence().build()?)"
        }
    }
}
