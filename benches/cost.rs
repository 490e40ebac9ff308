//! The time and the memory of work.

use crate::Outcome;
pub use cachemaint_test_support::allocated::Counting;
use cachemaint_test_support::allocated::counted;
use core::error::Error;
use std::time::Instant;

/// The cost of work in a program whose allocator is [`Counting`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Cost {
    /// The least time of a run.
    pub seconds: f64,
    /// The maximum number of bytes that a run had allocated at the same time.
    pub taken: usize,
}

impl Cost {
    /// Returns the cost of three runs.
    ///
    /// # Errors
    /// Those of the work.
    pub fn of(mut work: impl FnMut() -> Outcome) -> Result<Self, Box<dyn Error>> {
        let mut cost = Self { seconds: f64::INFINITY, taken: 0 };
        for _ in 0..3 {
            let began = Instant::now();
            let (done, [most, _]) = counted(&mut work);
            cost.seconds = cost.seconds.min(began.elapsed().as_secs_f64());
            cost.taken = cost.taken.max(most);
            done?;
        }
        Ok(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Counting};
    use core::hint::black_box;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    const MIB: usize = 1 << 20;

    /// A process keeps freed memory, so it need not grow for the next allocation.
    #[test]
    fn memory_that_one_run_takes_and_frees_is_counted() {
        for _ in 0..2 {
            drop(black_box(vec![1_u8; 16 * MIB]));
        }
        let mut runs = 0;
        let cost = Cost::of(|| {
            runs += 1;
            drop(black_box(vec![1_u8; if runs == 1 { 8 * MIB } else { MIB }]));
            Ok(())
        });
        assert_eq!(cost.unwrap().taken, 8 * MIB);
    }
}
