//! The text that reproduces a failure, in one line.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// The input that reproduces a failure: the order of threads, and for each crash its moment and the state that it left.
/// It is text, by `Display` and `FromStr`, and is valid as long as workload and recovery do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub(crate) schedule: Vec<u32>,
    pub(crate) crashes: Vec<ReplayedCrash>,
}

/// A crash, and the values that recovery then found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplayedCrash {
    pub(crate) cut: u32,
    pub(crate) notes: usize,
    pub(crate) taken: Vec<u32>,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", numbers(&self.schedule))?;
        self.crashes.iter().try_for_each(|crash| {
            write!(f, "/{}:{}:{}", crash.cut, crash.notes, numbers(&crash.taken))
        })
    }
}

/// Writes numbers; equal ones in a row are one with their count: `1.0x500.2`.
fn numbers(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|one, next| one == next).map(|run| match run {
        [one] => one.to_string(),
        [one, ..] => format!("{one}x{}", run.len()),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(".")
}

/// The most numbers of a kind in a text, which is more than a simulation allows operations.
const LONGEST: u32 = 1 << 24;

/// The text is not a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoReplay {
    part: String,
}

impl fmt::Display for NoReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a part of a replay: copy the whole text behind `replay: `",
            self.part
        )
    }
}

impl core::error::Error for NoReplay {}

impl FromStr for Replay {
    type Err = NoReplay;

    fn from_str(text: &str) -> Result<Self, NoReplay> {
        let mut parts = text.trim().split('/');
        let first = parts.next().unwrap_or_default();
        let schedule =
            first.strip_prefix('t').ok_or_else(|| NoReplay { part: first.to_owned() })?;
        let schedule = parse_numbers(schedule)?;
        let crashes = parts.map(parse_crash).collect::<Result<_, _>>()?;
        Ok(Self { schedule, crashes })
    }
}

fn parse_crash(part: &str) -> Result<ReplayedCrash, NoReplay> {
    let wrong = || NoReplay { part: part.to_owned() };
    let fields: Vec<_> = part.split(':').collect();
    let [cut, notes, taken] = fields[..] else { return Err(wrong()) };
    let cut = cut.parse().map_err(|_error| wrong())?;
    let notes = notes.parse().map_err(|_error| wrong())?;
    Ok(ReplayedCrash { cut, notes, taken: parse_numbers(taken)? })
}

fn parse_numbers(text: &str) -> Result<Vec<u32>, NoReplay> {
    let mut numbers = Vec::new();
    for run in text.split('.').filter(|_| !text.is_empty()) {
        let (number, count) = run.split_once('x').unwrap_or((run, "1"));
        let parsed = number.parse().ok().zip(count.parse().ok());
        let (number, count): (u32, u32) = parsed
            .filter(|(_, count)| *count <= LONGEST)
            .ok_or_else(|| NoReplay { part: text.to_owned() })?;
        numbers.extend((0..count).map(|_| number));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::{Replay, ReplayedCrash};
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn a_replay_is_read_as_it_was_written() {
        let crash = |cut, notes, taken| ReplayedCrash { cut, notes, taken };
        let crashes = vec![crash(7, 1, vec![0, 2, 1]), crash(3, 1, vec![])];
        let replay = Replay { schedule: vec![1, 0], crashes };
        assert_eq!(replay.to_string(), "t1.0/7:1:0.2.1/3:1:");
        assert_eq!(replay.to_string().parse(), Ok(replay));
    }

    /// A replay that replays nothing would always pass.
    #[test]
    fn an_invalid_replay_is_refused_by_its_part() {
        for (text, part) in
            [("", ""), ("1/2:0:", "1"), ("t/7:0", "7:0"), ("t/7:0:1:9", "7:0:1:9"), ("tx", "x")]
        {
            let error = text.parse::<Replay>().unwrap_err().to_string();
            assert!(
                error.starts_with(&alloc::format!("`{part}` is not a part")),
                "{text}: {error}"
            );
        }
    }
}
