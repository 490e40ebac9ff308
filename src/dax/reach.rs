//! The lines that the CPU writes back to each point.

use crate::medium::Domain;
use crate::{Cache, Point};
use alloc::format;
use alloc::string::String;

/// The lines that the CPU writes back to each point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The line size for write-backs to the point of coherency, if the CPU can reach it.
    pub coherency: Option<usize>,
    /// The line size for write-backs to the point of persistence, if the CPU can reach it.
    pub persistence: Option<usize>,
    /// True if the caller accepts the point of coherency as the point of persistence on this CPU.
    pub coherency_accepted: bool,
}

impl Reach {
    /// Returns the reach of a handle; nothing without one.
    #[must_use]
    pub fn of(cache: Option<Cache>) -> Self {
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

    /// Returns the line size for write-backs to memory of this domain, if the CPU can reach it.
    pub(super) const fn line(&self, domain: Domain) -> Option<usize> {
        match (domain, self.persistence) {
            (Domain::None, _) | (Domain::CpuCaches, None) => self.coherency,
            (_, persistence) => persistence,
        }
    }
}

/// Returns the reason why lines cannot be written back to a point.
pub(super) fn cannot_reach(point: Point) -> String {
    format!("this CPU cannot write back to the point of {point}")
}

/// Returns the advice if lines cannot be written back to a point.
pub(super) const fn advice_to_reach(point: Point) -> &'static str {
    match point {
        Point::Coherency => "use a file on storage, or a CPU that can write back to memory",
        Point::Persistence | Point::DeepPersistence => {
            "if the platform says that memory is persistent at the point of coherency, accept that: \
             Options::new().cache(Cache::builder().accept_coherency_as_persistence().build()?)"
        }
    }
}
