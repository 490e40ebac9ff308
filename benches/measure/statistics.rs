//! Medians, and intervals that assume nothing about the distribution of times.
//!
//! The interval of a median lies between two order statistics. Of `n` independent samples, the number below the true
//! median is binomial with p = 1/2, so the k-th smallest and the k-th largest enclose it unless fewer than k samples
//! are on one side. `k` is the largest for which that happens with a probability of at most 2 × 2.5 % (H. A. David, H.
//! N. Nagaraja, *Order Statistics*, 3rd edition, §7.1; J.-Y. Le Boudec, *Performance Evaluation of Computer and
//! Communication Systems*, §2.2).
//!
//! Samples from one process on one machine are not quite independent (frequency, neighbours, page placement). An
//! interval therefore shows how well this run knows its median, not what another run would find.

use core::fmt;

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median of the samples.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
    /// The number of samples.
    pub samples: usize,
}

impl Estimate {
    /// Returns the estimate from these samples.
    ///
    /// # Errors
    /// If they are fewer than 6, or one is not a number.
    pub fn of(samples: &[f64]) -> Result<Self, NoEstimate> {
        if samples.iter().any(|sample| sample.is_nan()) {
            return Err(NoEstimate::NotANumber);
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self::of_sorted(&sorted).ok_or(NoEstimate::TooFew { samples: samples.len() })
    }

    fn of_sorted(sorted: &[f64]) -> Option<Self> {
        let rank = rank(sorted.len())?;
        let from_both_ends = |place: usize| {
            Some((*sorted.get(place)?, *sorted.get(sorted.len().checked_sub(place + 1)?)?))
        };
        let (low, high) = from_both_ends(rank - 1)?;
        let (below, above) = from_both_ends((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(below, above), low, high, samples: sorted.len() })
    }

    /// Returns the estimate of the ratios of samples that were taken in the same blocks: above 1, the subject takes
    /// longer. Samples without a counterpart are left out.
    ///
    /// # Errors
    /// Same as [`of`](Self::of).
    pub fn of_ratio(subject: &[f64], peer: &[f64]) -> Result<Self, NoEstimate> {
        let ratios: Vec<f64> =
            subject.iter().zip(peer).map(|(ours, theirs)| ours / theirs).collect();
        Self::of(&ratios)
    }

    /// Returns true if the interval reaches `goal` from above: the median is not known to be more.
    #[must_use]
    pub fn reaches(&self, goal: f64) -> bool {
        self.low <= goal
    }
}

/// The ratio of two copies of one contender. It shows whether the ratios of the same run mean anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control(Estimate);

impl Control {
    /// Two copies of one contender differ by less on an idle machine.
    const MOST: f64 = 0.05;

    /// Returns the control from the samples of both copies.
    ///
    /// # Errors
    /// Same as [`Estimate::of_ratio`].
    pub fn of(one: &[f64], other: &[f64]) -> Result<Self, NoEstimate> {
        Estimate::of_ratio(one, other).map(Self)
    }

    /// Returns true if both are equally fast within 5 %, with their interval.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.0.low >= 1.0 - Self::MOST && self.0.high <= 1.0 + Self::MOST
    }

    /// Returns the verdict about a goal: none if the copies disagree.
    #[must_use]
    pub fn verdict(&self, ratio: &Estimate, goal: f64) -> &'static str {
        match (self.agrees(), ratio.reaches(goal)) {
            (false, _) => "not judged: the machine is busy",
            (true, true) => "reached",
            (true, false) => "missed",
        }
    }
}

/// Prints the median, and the interval in brackets, with as many decimals as the precision of the format (3 by
/// default).
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { median, low, high, .. }, digits) = (self, f.precision().unwrap_or(3));
        write!(f, "{median:.digits$} ({low:.digits$}..{high:.digits$})")
    }
}

/// The reason why there is no [`Estimate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoEstimate {
    /// There are too few samples for a 95 % interval.
    TooFew {
        /// The number of samples.
        samples: usize,
    },
    /// A sample is not a number: a time or its divisor was not above 0.
    NotANumber,
}

impl fmt::Display for NoEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { samples } => {
                write!(f, "{samples} samples are too few for an interval of 95 %; 6 are the fewest")
            }
            Self::NotANumber => {
                f.write_str("a measured value is not a number; does the clock advance?")
            }
        }
    }
}

impl core::error::Error for NoEstimate {}

/// Returns the largest `k` for which at most `k - 1` of `n` fair coins show heads with a probability of at most 2.5 %,
/// or `None` if it does not exist.
fn rank(n: usize) -> Option<usize> {
    const TAIL: f64 = 0.025;
    // Logarithms, since 2^-n leaves the range of f64 at n = 1075.
    let mut log_probability = -(n as f64) * core::f64::consts::LN_2;
    let mut cumulated = 0.0;
    for heads in 0..n {
        cumulated += log_probability.exp();
        if cumulated > TAIL {
            return (heads > 0).then_some(heads);
        }
        log_probability += ((n - heads) as f64 / (heads + 1) as f64).ln();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Control, Estimate, NoEstimate, rank};

    /// By hand: 2^-5 = 3.1 % is too much and 2^-6 = 1.6 % is not. (1 + 8) / 2^8 = 3.5 % is too much and (1 + 9) / 2^9 =
    /// 1.95 % is not.
    #[test]
    fn ranks_are_those_of_the_binomial_distribution() {
        for (n, expected) in [(0, None), (5, None), (6, Some(1)), (8, Some(1)), (9, Some(2))] {
            assert_eq!(rank(n), expected, "n = {n}");
        }
    }

    /// Le Boudec, table A.1: x(6)..x(15) of 20, x(10)..x(21) of 30, x(40)..x(61) of 100.
    #[test]
    fn ranks_are_those_of_the_published_table() {
        for (n, expected) in [(20, 6), (30, 10), (100, 40)] {
            assert_eq!(rank(n), Some(expected), "n = {n}");
        }
    }

    /// The normal approximation n/2 - 0.98 sqrt(n) is 4938 - 4902 = 4902 at n = 10000; a sum of
    /// probabilities that underflows would give another rank or none.
    #[test]
    fn many_samples_have_a_rank() {
        assert!((4901..=4903).contains(&rank(10_000).unwrap()));
    }

    #[test]
    fn the_interval_ends_at_order_statistics_whatever_the_order_of_the_samples() {
        let samples = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0];
        let estimate = Estimate::of(&samples).unwrap();
        assert_eq!(estimate, Estimate { median: 5.0, low: 2.0, high: 8.0, samples: 9 });
    }

    #[test]
    fn an_even_number_of_samples_has_the_mean_of_the_two_in_the_middle_as_median() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 5.0, 8.0, 13.0]).unwrap();
        assert_eq!(estimate, Estimate { median: 4.0, low: 1.0, high: 13.0, samples: 6 });
    }

    /// A drift that hits both of a block cancels: every ratio is 2, though the times grow tenfold.
    #[test]
    fn ratios_are_taken_block_by_block() {
        let peer: Vec<f64> = (1..=10).map(f64::from).collect();
        let subject: Vec<f64> = peer.iter().map(|time| 2.0 * time).collect();
        let ratio = Estimate::of_ratio(&subject, &peer).unwrap();
        assert_eq!(ratio, Estimate { median: 2.0, low: 2.0, high: 2.0, samples: 10 });
        assert!(ratio.reaches(2.0) && !ratio.reaches(1.99));
    }

    #[test]
    fn a_goal_is_judged_only_if_two_copies_of_one_contender_agree() {
        let ratio = Estimate { median: 1.5, low: 1.4, high: 1.6, samples: 101 };
        let one = [100.0; 30];
        for (other, of_high_goal, of_low_goal) in [
            (100.0, "reached", "missed"),
            (96.0, "reached", "missed"),
            (104.0, "reached", "missed"),
            (94.0, "not judged: the machine is busy", "not judged: the machine is busy"),
            (106.0, "not judged: the machine is busy", "not judged: the machine is busy"),
        ] {
            let control = Control::of(&one, &[other; 30]).unwrap();
            let verdicts = [2.0, 1.0].map(|goal| control.verdict(&ratio, goal));
            assert_eq!(verdicts, [of_high_goal, of_low_goal], "{other}");
        }
        // The median agrees, but its interval is wide.
        let noisy: Vec<f64> = (0..30).map(|at| 80.0 + 40.0 * f64::from(at % 3) / 2.0).collect();
        assert!(!Control::of(&one, &noisy).unwrap().agrees());
    }

    #[test]
    fn too_few_samples_and_nan_have_no_interval() {
        assert_eq!(Estimate::of(&[1.0; 5]), Err(NoEstimate::TooFew { samples: 5 }));
        assert_eq!(Estimate::of_ratio(&[0.0; 6], &[0.0; 6]), Err(NoEstimate::NotANumber));
    }
}
