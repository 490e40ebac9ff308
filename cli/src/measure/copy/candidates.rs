//! What a policy can choose from: the ways to copy to a target and make it durable.

use core::fmt;

pub use crate::measure::streaming::Width;

/// One way: how whole lines are stored, and how they are written back before the last fence. Parts of
/// lines at the ends are always stored by ordinary stores and written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "benches choose their own")]
pub struct Candidate {
    /// How lines are stored.
    pub stores: Stores,
    /// What lines are written back with, or only the parts of lines at the ends.
    pub writeback: Instruction,
    /// When whole lines are written back.
    pub when: When,
}

/// How whole lines are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the instruction set has these")]
pub enum Stores {
    /// Through the cache.
    Ordinary(Width),
    /// With a non-temporal hint: MOVNTI, MOVNTDQ, VMOVNTDQ.
    Streaming(Width),
    /// MOVDIR64B: a whole line past the cache.
    Direct,
}

/// What writes a line back and takes SFENCE to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the instruction set has these")]
pub enum Instruction {
    /// CLWB.
    Clwb,
    /// CLFLUSHOPT.
    Clflushopt,
}

/// When whole lines are written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between them")]
pub enum When {
    /// Not at all: the fence is to do.
    Never,
    /// Each as soon as it is stored.
    EachLine,
    /// In a pass of their own.
    Pass {
        /// After so many bytes, a multiple of the line; `None`: after all.
        bytes: Option<usize>,
        /// With an SFENCE between the stores and the pass.
        fence_before: bool,
    },
}

/// What both vendors' tables were measured with: the pass finds all lines in the first level's cache.
const CHUNK: Option<usize> = Some(4 << 10);

impl Candidate {
    /// The candidates of a CPU whose widest store is `widest`, and whose best write-back is
    /// `writeback`.
    #[must_use]
    pub fn all(widest: Width, writeback: Instruction) -> Vec<Self> {
        use Stores::{Direct, Ordinary, Streaming};
        let of = |stores, when| Self { stores, writeback, when };
        let pass = |bytes, fence_before| When::Pass { bytes, fence_before };
        let widths = || Width::ALL.into_iter().filter(|width| width.bytes() <= widest.bytes());
        let vectors = || widths().filter(|width| *width != Width::Bytes8);

        let mut all: Vec<Self> =
            vectors().map(|width| of(Ordinary(width), When::EachLine)).collect();
        all.push(of(Ordinary(widest), pass(CHUNK, false)));
        if writeback == Instruction::Clwb {
            let (stores, when) = (Ordinary(widest), When::EachLine);
            all.push(Self { stores, writeback: Instruction::Clflushopt, when });
        }
        all.extend(widths().map(|width| of(Streaming(width), When::Never)));
        all.push(of(Direct, When::Never));
        all.push(of(Streaming(widest), pass(None, false)));
        all.push(of(Streaming(widest), pass(CHUNK, true)));
        all.push(of(Streaming(widest), pass(None, true)));
        all
    }

    /// Whether what it copied is durable wherever the target was.
    ///
    /// Ordinary stores are ordered before a write-back of their own line. Streaming stores are too if a
    /// fence is between; else it takes the vendor's promise that they leave nothing in the cache.
    #[must_use]
    pub const fn is_durable(self, vendor_promises_eviction: bool) -> bool {
        match self.stores {
            Stores::Ordinary(_) => !matches!(self.when, When::Never),
            Stores::Streaming(_) | Stores::Direct => {
                vendor_promises_eviction
                    || matches!(self.when, When::Pass { fence_before: true, .. })
            }
        }
    }
}

/// Short, for tables: `st` ordinary, `nt` streaming, `dir` direct stores with their bytes; `+clwb` a
/// write-back of each line (`+clfo`: by CLFLUSHOPT); `+clwb/4K` a pass after each 4 KiB; `|clwb/4K` the
/// same with a fence before it.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stores {
            Stores::Ordinary(width) => write!(f, "st{}", width.bytes())?,
            Stores::Streaming(width) => write!(f, "nt{}", width.bytes())?,
            Stores::Direct => f.write_str("dir64")?,
        }
        let instruction = match self.writeback {
            Instruction::Clwb => "clwb",
            Instruction::Clflushopt => "clfo",
        };
        match self.when {
            When::Never => Ok(()),
            When::EachLine => write!(f, "+{instruction}"),
            When::Pass { bytes, fence_before } => {
                let sign = if fence_before { '|' } else { '+' };
                write!(f, "{sign}{instruction}/")?;
                match bytes {
                    None => f.write_str("all"),
                    Some(bytes @ 0..1024) => write!(f, "{bytes}"),
                    Some(bytes) => write!(f, "{}K", bytes >> 10),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Instruction, Stores, When, Width};

    fn named(name: &str) -> Candidate {
        let all = Candidate::all(Width::Bytes64, Instruction::Clwb);
        all.into_iter().find(|candidate| candidate.to_string() == name).unwrap()
    }

    #[test]
    fn names_tell_all_candidates_apart_and_fit_their_column() {
        for writeback in [Instruction::Clwb, Instruction::Clflushopt] {
            let mut names: Vec<String> =
                Candidate::all(Width::Bytes64, writeback).iter().map(ToString::to_string).collect();
            assert!(names.iter().all(|name| name.len() <= 14), "{names:?}");
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn no_candidate_stores_wider_than_the_cpu_does_but_by_movdir64b() {
        for candidate in Candidate::all(Width::Bytes16, Instruction::Clflushopt) {
            match candidate.stores {
                Stores::Ordinary(width) | Stores::Streaming(width) => assert!(width.bytes() <= 16),
                Stores::Direct => {}
            }
            assert_eq!(candidate.writeback, Instruction::Clflushopt);
        }
    }

    /// Intel SDM vol. 1, §10.4.6.2 promises the eviction; without it a fence must come between.
    #[test]
    fn streaming_stores_are_durable_by_the_vendors_promise_or_by_a_fence_and_a_pass() {
        for (name, promised, not) in [
            ("st16+clwb", true, true),
            ("st64+clwb/4K", true, true),
            ("nt64", true, false),
            ("nt64+clwb/all", true, false),
            ("nt64|clwb/all", true, true),
            ("dir64", true, false),
        ] {
            let durable = [true, false].map(|promise| named(name).is_durable(promise));
            assert_eq!(durable, [promised, not], "{name}");
        }
    }

    #[test]
    fn ordinary_stores_without_a_write_back_are_never_durable() {
        let (stores, writeback) = (Stores::Ordinary(Width::Bytes16), Instruction::Clwb);
        let candidate = Candidate { stores, writeback, when: When::Never };
        assert!(!candidate.is_durable(true));
    }
}
