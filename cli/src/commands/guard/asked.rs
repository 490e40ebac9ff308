//! The goals of a guard, as they are written on the command line.

use crate::commands::time;
use core::str::FromStr;
use core::time::Duration;

/// A time that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Within(pub(super) Duration);

impl FromStr for Within {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        time::parse(text).map(Self).ok_or("say a time such as 10ms or 1s")
    }
}

/// Percent of one CPU's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cpu(f64);

impl Cpu {
    pub(super) fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Cpu {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
        let percent = percent.filter(|percent| (0.01..=100.0).contains(percent));
        percent.map(Self).ok_or("say a share such as 5% or 0.5%, of 100% at most")
    }
}

#[cfg(test)]
mod tests {
    use super::{Cpu, Within};
    use core::time::Duration;

    #[test]
    fn times_and_shares_are_read() {
        assert_eq!("10ms".parse(), Ok(Within(Duration::from_millis(10))));
        assert_eq!("1s".parse(), Ok(Within(Duration::from_secs(1))));
        assert_eq!("5%".parse(), Ok(Cpu(5.0)));
        assert_eq!("0.5".parse(), Ok(Cpu(0.5)));
        for wrong in ["", "0ms", "-1s", "10", "x"] {
            assert!(wrong.parse::<Within>().is_err(), "{wrong}");
        }
        for wrong in ["", "%", "0%", "101%", "-1", "NaN", "inf"] {
            assert!(wrong.parse::<Cpu>().is_err(), "{wrong}");
        }
    }
}
