//! The relation of timestamps to the wall clock.

/// The relation of timestamps to the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Not 0.
    pub(crate) ticks_per_second: u64,
    pub(crate) timestamp: u64,
    /// The wall clock at that timestamp, or 0 if unknown.
    pub(crate) wall: u64,
}

impl Pace {
    pub(crate) const SECOND: u64 = 1_000_000_000;

    /// Returns the wall clock at a timestamp, or the nanoseconds since the anchor if it is unknown.
    #[inline]
    pub(crate) fn wall_at(&self, timestamp: u64) -> u64 {
        match timestamp.checked_sub(self.timestamp) {
            Some(ticks) => self.wall.saturating_add(self.nanoseconds(ticks)),
            None => self.wall.saturating_sub(self.nanoseconds(self.timestamp - timestamp)),
        }
    }

    fn nanoseconds(&self, ticks: u64) -> u64 {
        if let Some(product) = ticks.checked_mul(Self::SECOND) {
            return product / self.ticks_per_second;
        }
        let product = u128::from(ticks) * u128::from(Self::SECOND);
        u64::try_from(product / u128::from(self.ticks_per_second)).unwrap_or(u64::MAX)
    }
}
