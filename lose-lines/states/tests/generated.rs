//! Generated histories: what was synced is in every state, a state without losses is what a plain file system has, and
//! each state is found to be one.

use std::collections::BTreeMap;

use lose_lines_states::{Keep, Kept, Log, Model, Object, Operation, Posix, States, Synced, member};
use proptest::prelude::*;

const FILES: usize = 2;

const MODELS: [Model; 6] = [
    Model::POSIX,
    Model::Posix(Posix { block: 512, garbage: true, steps: true }),
    Model::Ext4,
    Model::OrderedExt4,
    Model::Xfs,
    Model::Btrfs,
];

/// A step of a history, on one of the files.
#[derive(Clone, Debug)]
enum Step {
    Write { file: usize, at: usize, len: usize, byte: u8 },
    Resize { file: usize, size: usize },
    Zero { file: usize, at: usize, len: usize },
    Sync { file: usize, is_data: bool },
    Close { file: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0..FILES;
    prop_oneof![
        5 => (file.clone(), 0..12_000_usize, 1..6000_usize, 1..=255_u8)
            .prop_map(|(file, at, len, byte)| Step::Write { file, at, len, byte }),
        2 => (file.clone(), 0..14_000_usize).prop_map(|(file, size)| Step::Resize { file, size }),
        1 => (file.clone(), 0..9000_usize, 1..6000_usize)
            .prop_map(|(file, at, len)| Step::Zero { file, at, len }),
        2 => (file.clone(), any::<bool>())
            .prop_map(|(file, is_data)| Step::Sync { file, is_data }),
        1 => file.prop_map(|file| Step::Close { file }),
    ]
}

/// Files as a file system without cuts has them.
type Plain = [Vec<u8>; FILES];

fn apply(plain: &mut Plain, step: &Step) {
    match *step {
        Step::Write { file, at, len, byte } => {
            let content = &mut plain[file];
            content.resize(content.len().max(at + len), 0);
            content[at..at + len].fill(byte);
        }
        Step::Resize { file, size } => plain[file].resize(size, 0),
        Step::Zero { file, at, len } => {
            let content = &mut plain[file];
            let end = (at + len).min(content.len());
            content[at.min(end)..end].fill(0);
        }
        Step::Sync { .. } | Step::Close { .. } => {}
    }
}

fn record(log: &mut Log, files: &[Object], step: &Step) {
    let mut add = |operation| log.add(operation, 0, "step", 0, None);
    match *step {
        Step::Write { file, at, len, byte } => log.write(files[file], at as u64, &vec![byte; len]),
        Step::Resize { file, size } => log.resize(files[file], size as u64),
        Step::Zero { file, at, len } => {
            add(Operation::Zero { file: files[file], at: at as u64, len: len as u64 });
        }
        Step::Sync { file, is_data } => {
            let part = if is_data { Synced::Data } else { Synced::All };
            add(Operation::Sync { object: files[file], part });
        }
        Step::Close { file } => add(Operation::Close { file: files[file] }),
    }
}

const NAMES: [&str; FILES] = ["0", "1"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn states_are_members_have_what_was_synced_and_without_losses_are_plain(
        steps in proptest::collection::vec(step(), 1..14),
        seed in any::<u64>(),
    ) {
        let mut log = Log::new();
        let files: Vec<_> = NAMES.iter().map(|name| log.create(Object::ROOT, name)).collect();
        log.begin();
        let mut plain = Plain::default();
        // By the number of records: all files, and the one that has just been synced.
        let mut expected: BTreeMap<usize, (Plain, Option<usize>)> = BTreeMap::new();
        for step in &steps {
            apply(&mut plain, step);
            record(&mut log, &files, step);
            let synced = if let Step::Sync { file, .. } = step { Some(*file) } else { None };
            expected.insert(log.records.len(), (plain.clone(), synced));
        }
        let folder = tempfile::tempdir().unwrap();
        let built = folder.path().join("state");
        for model in MODELS {
            let chosen = States::new(&log, model).count(60).seed(seed);
            for state in States::new(&log, model).systematic().chain(chosen) {
                if state.choice.cut % 4 == 0 {
                    state.image.build(&built).unwrap();
                    let found = member(&log, model, &built, 0).unwrap();
                    prop_assert_eq!(found, Ok(()), "{} {}", model, state.choice);
                }
                let Some((plain, synced)) = expected.get(&state.choice.cut) else { continue };
                let is_whole = matches!(state.choice.kept, Kept::Chosen { keep: Keep::All, .. });
                for (file, name) in NAMES.iter().enumerate() {
                    if is_whole || *synced == Some(file) {
                        let found = state.image.read(name);
                        prop_assert_eq!(
                            found.as_ref(), Some(&plain[file]), "{} {} of file {}", model, state.choice, file
                        );
                    }
                }
            }
        }
    }
}
