//! Damaged journals and arbitrary bytes: what is returned was appended, what is whole is returned, nothing panics.

use crate::life::{options, records};
use cachemaint::journal::{Error, Reader, Record, Salvaged};
use cachemaint::medium::Medium;
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use proptest::prelude::*;

/// Eight segments of 256 bytes.
const BYTES: u64 = 8192 + 8 * 256;

/// What is done to the bytes.
#[derive(Clone, Debug)]
enum Harm {
    Bit { at: u64, bit: u32 },
    Zeros { at: u64, words: u64 },
    Words { at: u64, words: Vec<u64> },
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || 0..(BYTES - 8192) / 8;
    prop_oneof![
        (at(), 0..64_u32).prop_map(|(at, bit)| Harm::Bit { at, bit }),
        (at(), 1..40_u64).prop_map(|(at, words)| Harm::Zeros { at, words }),
        (at(), proptest::collection::vec(any::<u64>(), 1..20))
            .prop_map(|(at, words)| Harm::Words { at, words }),
    ]
}

impl Harm {
    /// The words of the log that are changed, by their offsets, and what they are changed to.
    fn words(&self, medium: &SimMedium) -> Vec<(u64, u64)> {
        let word = |at: u64| medium.load(8192 + at * 8, Relaxed);
        let changed: Vec<(u64, u64)> = match self {
            Self::Bit { at, bit } => vec![(*at, word(*at) ^ 1 << bit)],
            Self::Zeros { at, words } => (*at..at + words).map(|at| (at, 0)).collect(),
            Self::Words { at, words } => (*at..).zip(words.iter().copied()).collect(),
        };
        let is_there = |at: u64| at < (BYTES - 8192) / 8;
        changed.into_iter().filter(|(at, new)| is_there(*at) && word(*at) != *new).collect()
    }
}

/// A journal with several epochs that may have been round the ring, its records, and where epochs begin.
fn journal(lengths: &[Vec<u8>], trims: bool) -> (SimMedium, Vec<Record>, Vec<u64>) {
    let medium = Simulation::new(Model::x86(), BYTES).medium();
    let options = || options().segment(256).window(512);
    drop(options().create(&medium).unwrap());
    let (mut number, mut marks) = (0, Vec::new());
    for epoch in lengths {
        let (journal, _) = options().open(&medium).unwrap();
        marks.push(journal.end().get() - MARK);
        for len in epoch {
            number += 1_u64;
            let payload: Vec<u8> =
                number.to_le_bytes().into_iter().cycle().take((*len).into()).collect();
            loop {
                match journal.append(&payload) {
                    Err(Error::Full { .. }) if trims => {
                        let all = records(&journal).unwrap();
                        journal.trim(all[all.len() / 2].end).unwrap();
                    }
                    Ok(_) | Err(Error::Full { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    let all = records(&options().open(&medium).unwrap().0).unwrap();
    (medium, all, marks)
}

fn lengths() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(0..120_u8, 1..20), 1..4)
}

/// Bytes of a mark.
const MARK: u64 = 64;

/// Whether one of the changed words is in a range of positions.
fn touches(range: Range<u64>, changed: &[(u64, u64)]) -> bool {
    let mut words = range.step_by(8).map(|at| at % (BYTES - 8192) / 8);
    words.any(|word| changed.iter().any(|(at, _)| *at == word))
}

/// Whether a record is as it was, and so are the marks before it in its segment.
fn is_whole(record: &Record, marks: &[u64], changed: &[(u64, u64)]) -> bool {
    let (position, end) = (record.position.get(), record.end.get());
    let segment = position - position % 256;
    let before = marks.iter().copied().filter(|mark| (segment..position).contains(mark));
    let mut marks = before.chain([segment]);
    !touches(position..end, changed) && !marks.any(|mark| touches(mark..mark + MARK, changed))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_costs_what_it_touches_and_nothing_else(
        lengths in lengths(),
        trims: bool,
        harms in proptest::collection::vec(harm(), 1..4),
    ) {
        let (medium, written, marks) = journal(&lengths, trims);
        let mut changed = Vec::new();
        for harm in harms {
            let words = harm.words(&medium);
            for (at, new) in &words {
                medium.store(8192 + at * 8, *new, Relaxed);
            }
            changed.extend(words);
        }
        let reader = Reader::open(&medium).unwrap();
        let whole: Vec<_> =
            written.iter().filter(|record| is_whole(record, &marks, &changed)).cloned().collect();

        // The prefix: records up to the first that is touched, or nothing after a mark that is.
        let read: Vec<_> = reader.records().map_while(Result::ok).collect();
        prop_assert!(written.starts_with(&read), "{read:?} of {written:?}");
        let verified = reader.verify(&mut |_| ()).unwrap();
        prop_assert_eq!(verified.records, read.len() as u64);

        // Everything that is whole.
        let salvaged: Vec<_> = reader
            .salvage()
            .filter_map(|item| match item.unwrap() {
                Salvaged::Record(record) => Some(record),
                Salvaged::Skipped(_) => None,
            })
            .collect();
        prop_assert!(whole.iter().all(|record| salvaged.contains(record)), "{salvaged:?} of {whole:?}");
        prop_assert!(salvaged.iter().all(|record| written.contains(record)));

        // A repair keeps what was salvaged, and more can be appended.
        if verified.damage.is_some() {
            prop_assert!(matches!(options().open(&medium), Err(Error::Damaged(_))));
        }
        let (journal, _) = options().repair(&medium).unwrap();
        let kept = records(&journal).unwrap();
        let expected = if verified.damage.is_some() { &salvaged } else { &read };
        prop_assert_eq!(&kept, expected);
        drop(journal);
        let (_, again) = options().open(&medium).unwrap();
        prop_assert_eq!(again.records, kept.len() as u64);
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(
        words in proptest::collection::vec(any::<u64>(), 0..600),
        log in proptest::collection::vec(prop_oneof![any::<u64>(), 0..2048_u64, Just(1 << 56 | 24 << 32)], 256),
        is_formatted: bool,
    ) {
        let medium = Simulation::new(Model::x86(), BYTES).medium();
        if is_formatted {
            drop(options().segment(256).window(512).create(&medium).unwrap());
            log.iter().zip((8192..).step_by(8)).for_each(|(word, at)| medium.store(at, *word, Relaxed));
        } else {
            words.iter().zip((0..).step_by(8)).for_each(|(word, at)| medium.store(at, *word, Relaxed));
        }
        if let Ok(reader) = Reader::open(&medium) {
            prop_assert_eq!(reader.records().flatten().count(), 0);
            prop_assert!(reader.salvage().count() < 300);
            reader.verify(&mut |_| ()).unwrap();
        }
        drop(options().repair(&medium));
    }
}
