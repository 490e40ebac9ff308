//! The moments at which the power can be cut, and the choice among them.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Choice;
use lose_lines_machine::losses::{CALL, Cut, FENCE, STORE, WRITEBACK, number, seed_of};
use lose_lines_plugin::policy::Policy;
use lose_lines_states::Kept;

/// The moment at which the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At an event of the program: before a write-back, a fence or a system call, or after a store.
    At(Cut),
    /// After the program has ended.
    End,
}

/// The names of events.
const EVENTS: [&str; 4] = [WRITEBACK, FENCE, STORE, CALL];

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = || {
            if text == "end" {
                return Some(Self::End);
            }
            let (name, number) = text.split_once(':')?;
            let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
            let event = EVENTS.into_iter().find(|event| *event == name)?;
            Some(Self::At(Cut { event, number }))
        };
        moment().ok_or_else(|| {
            String::from("give writeback:N, fence:N, store:N or call:N with N at least 1, or end")
        })
    }
}

/// The moment as the name of a state has it.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(Cut { event, number }) => write!(f, "{event}:{number}"),
            Self::End => f.write_str("end"),
        }
    }
}

/// The user-mode events that the plugin counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub writebacks: u64,
    pub fences: u64,
    pub stores: u64,
    /// System calls that change or persist files.
    pub calls: u64,
}

impl Counts {
    /// Returns the last counts in the plugin's lines.
    pub fn of(report: &str) -> Option<Self> {
        let line = report.lines().rfind(|line| line.contains("counts half=user "))?;
        let number = |name| number(line, name);
        Some(Self {
            writebacks: number("writebacks")?,
            fences: number("fences")?,
            stores: number("stores")?,
            calls: number("calls")?,
        })
    }
}

/// A run that was not cut.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counted {
    pub counts: Counts,
    pub has_ended: bool,
    pub acknowledged: u64,
}

impl Counted {
    /// Chooses the moments, the seeds and the policies of `cuts` cuts.
    ///
    /// The run is divided into as many equal parts as there are cuts, and each part has one at a random place. Every
    /// other cut comes before a system call: these continue after a program that stores to a mapping at its start has
    /// changed to write(2) and fsync(2). The last cut comes after the end, when everything acknowledged must be there.
    pub fn cuts(&self, cuts: u64, seed: u64, policy: Policy) -> Vec<Choice> {
        let Counts { writebacks, fences, stores, calls } = self.counts;
        let during = if self.has_ended { cuts.saturating_sub(1) } else { cuts };
        let moments = (0..during).map(|part| {
            let of_lines = if writebacks + fences > 0 { writebacks + fences } else { stores };
            let is_call = of_lines == 0 || part % 2 == 1 && calls > 0;
            let total = if is_call { calls } else { of_lines };
            if total == 0 {
                return Moment::End;
            }
            let random = seed_of(&format!("{seed} moment {part}")) % total;
            let at =
                (u128::from(part) * u128::from(total) + u128::from(random)) / u128::from(during);
            let number = u64::try_from(at).unwrap_or(total) + 1;
            if is_call {
                Moment::At(Cut { event: CALL, number })
            } else if writebacks + fences == 0 {
                Moment::At(Cut { event: STORE, number })
            } else {
                Self::of_two(number, writebacks, fences)
            }
        });
        let last = (during < cuts).then_some(Moment::End);
        let seeds = (0..cuts).map(|cut| seed_of(&format!("{seed} cut {cut}")) & 0xffff_ffff);
        let choice =
            |(cut, seed)| Choice { cut, kept: Kept::Chosen { seed, keep: policy.at(seed) } };
        moments.chain(last).zip(seeds).map(choice).collect()
    }

    /// Returns an event of one of two kinds that occur about evenly in a run, each in its own proportion.
    fn of_two(number: u64, writebacks: u64, fences: u64) -> Moment {
        let share = |of: u64, number: u64| {
            let all = u128::from(writebacks + fences);
            u64::try_from(u128::from(number) * u128::from(of) / all).unwrap_or(of)
        };
        let (before, now) = (share(writebacks, number - 1), share(writebacks, number));
        if now > before {
            Moment::At(Cut { event: WRITEBACK, number: now })
        } else {
            Moment::At(Cut { event: FENCE, number: number - now })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CALL, Choice, Counted, Counts, Cut, Kept, Moment, Policy, STORE, WRITEBACK};
    use std::collections::HashSet;

    fn counted(writebacks: u64, fences: u64, stores: u64) -> Counted {
        let counts = Counts { writebacks, fences, stores, calls: 0 };
        Counted { counts, has_ended: true, acknowledged: 0 }
    }

    fn chosen(counted: &Counted, cuts: u64, seed: u64) -> Vec<Choice> {
        counted.cuts(cuts, seed, Policy::Any)
    }

    fn moments(counted: &Counted, cuts: u64, seed: u64) -> Vec<String> {
        chosen(counted, cuts, seed).iter().map(|choice| choice.cut.to_string()).collect()
    }

    #[test]
    fn the_last_counts_of_user_mode_are_read() {
        let report = "losses: counts half=user writebacks=0 clean=0 streaming=0 stores=0 fences=0 persisted=0\n\
                      losses: counts half=kernel writebacks=9 clean=0 streaming=0 stores=9 fences=9 persisted=0\n\
                      losses: loss crash=1 policy=All dirty=0 lost=0 pending=0\n\
                      losses: counts half=user writebacks=7 clean=1 streaming=2 stores=3 fences=4 persisted=5 calls=6\n\
                      losses: counts half=kernel writebacks=9 clean=0 streaming=0 stores=9 fences=9 persisted=0\n";
        assert_eq!(
            Counts::of(report),
            Some(Counts { writebacks: 7, fences: 4, stores: 3, calls: 6 })
        );
        assert_eq!(Counts::of("losses: start seed=1 policy=All\n"), None);
        assert_eq!(Counts::of("counts half=user writebacks=7 fences=x stores=1 calls=1"), None);
    }

    #[test]
    fn as_many_cuts_as_moments_are_all_moments() {
        let all = moments(&counted(3, 2, 0), 6, 1);
        let expected = ["writeback:1", "writeback:2", "writeback:3", "fence:1", "fence:2", "end"];
        let as_set = |moments: Vec<String>| moments.into_iter().collect::<HashSet<_>>();
        assert_eq!(as_set(all.clone()), as_set(expected.map(str::to_owned).to_vec()), "{all:?}");
        assert_eq!(all.last().map(String::as_str), Some("end"));
    }

    #[test]
    fn each_part_of_a_long_run_has_one_cut() {
        let endless = Counted { has_ended: false, ..counted(u64::MAX / 4, 0, 0) };
        for seed in 0..20 {
            for (part, choice) in (0..4).zip(chosen(&endless, 4, seed)) {
                let Moment::At(Cut { event: WRITEBACK, number }) = choice.cut else {
                    panic!("{choice}")
                };
                assert_eq!((number - 1) / (u64::MAX / 16), part, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_seed_chooses_the_same_cuts_and_another_seed_others() {
        let long = counted(1000, 1000, 0);
        assert_eq!(chosen(&long, 5, 7), chosen(&long, 5, 7));
        assert_ne!(moments(&long, 5, 7), moments(&long, 5, 8));
        let seed = |choice: Choice| match choice.kept {
            Kept::Chosen { seed, .. } => seed,
            Kept::AllBut(_) => panic!("{choice}"),
        };
        let seeds: HashSet<u64> = chosen(&long, 50, 7).into_iter().map(seed).collect();
        assert_eq!(seeds.len(), 50);
    }

    #[test]
    fn a_program_without_write_backs_is_cut_at_stores() {
        assert!(moments(&counted(0, 0, 9), 3, 1)[0].starts_with("store:"));
        assert_eq!(moments(&counted(0, 0, 0), 1, 1), ["end"]);
    }

    #[test]
    fn every_other_cut_comes_before_a_call_over_the_whole_run() {
        let mut mixed = counted(0, 0, 33_000);
        mixed.counts.calls = 900;
        for seed in 0..20 {
            for (part, choice) in (0..6).zip(chosen(&mixed, 7, seed)) {
                let (event, total) = [(STORE, 33_000), (CALL, 900)][part % 2];
                let Moment::At(cut) = choice.cut else { panic!("{choice}") };
                assert_eq!(
                    (cut.event, (cut.number - 1) * 6 / total),
                    (event, part as u64),
                    "{seed}"
                );
            }
        }
    }

    #[test]
    fn a_moment_is_printed_as_it_is_read() {
        let state: Choice = "fence:18:lose:295617+3".parse().unwrap();
        assert_eq!(
            (&*state.to_string(), &*state.cut.to_string()),
            ("fence:18:lose:295617+3", "fence:18")
        );
        for text in ["writeback:1", "fence:22", "store:333", "call:4444", "end"] {
            assert_eq!(text.parse::<Moment>().unwrap().to_string(), text);
        }
        for text in ["", "fence", "fence:0", "fence:-1", "load:1", "end:1", "ms:x"] {
            assert!(text.parse::<Moment>().unwrap_err().contains("writeback:N"), "{text}");
        }
    }
}
