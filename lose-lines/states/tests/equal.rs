//! States are merged if and only if no program can tell them apart: generated directories are built and listed.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use lose_lines_states::{
    Cut, Entry, Keep, Kept, Kind, Log, Model, Object, Operation, State, States,
};
use proptest::prelude::*;

/// Short names of equal lengths, in which a weak hash collides.
const NAMES: [&str; 6] = ["a", "b", "1", "2", "A", "B"];

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Link(usize, usize),
    Symlink(usize, usize),
    Rename(usize, usize),
    Exchange(usize, usize),
    Remove(usize),
    Write(usize, u8),
    Sync,
    Line,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        2 => name().prop_map(Step::Create),
        1 => (name(), name()).prop_map(|(name, to)| Step::Link(name, to)),
        2 => (name(), name()).prop_map(|(name, to)| Step::Symlink(name, to)),
        2 => (name(), name()).prop_map(|(name, to)| Step::Rename(name, to)),
        2 => (name(), name()).prop_map(|(name, to)| Step::Exchange(name, to)),
        1 => name().prop_map(Step::Remove),
        2 => (name(), 1..3_u8).prop_map(|(name, byte)| Step::Write(name, byte)),
        1 => Just(Step::Sync),
        1 => Just(Step::Line),
    ]
}

fn enter(log: &mut Log, entries: &[(&str, Option<Object>)]) {
    let entry = |(name, object): &(&str, Option<Object>)| Entry {
        directory: Object::ROOT,
        name: name.as_bytes().to_vec(),
        object: *object,
    };
    log.add(Operation::Entries(entries.iter().map(entry).collect()), 0, "enter", 0, None);
}

fn record(steps: &[Step]) -> Log {
    let mut log = Log::new();
    let mut names: BTreeMap<usize, (Object, bool)> = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Create(name) if !names.contains_key(&name) => {
                names.insert(name, (log.create(Object::ROOT, NAMES[name]), true));
            }
            Step::Symlink(name, to) if !names.contains_key(&name) => {
                let (object, kind) = (log.object(), Kind::Link(NAMES[to].into()));
                log.add(Operation::Make { object, kind, mode: 0o777 }, 0, "symlink", 0, None);
                enter(&mut log, &[(NAMES[name], Some(object))]);
                names.insert(name, (object, false));
            }
            Step::Link(name, to) if !names.contains_key(&to) => {
                let Some(of) = names.get(&name).copied() else { continue };
                log.link(Object::ROOT, NAMES[to], of.0);
                names.insert(to, of);
            }
            Step::Rename(name, to) if name != to => {
                let Some(of) = names.remove(&name) else { continue };
                log.rename((Object::ROOT, NAMES[name]), (Object::ROOT, NAMES[to]));
                names.insert(to, of);
            }
            Step::Exchange(name, to) if name != to => {
                let found = names.get(&name).copied().zip(names.get(&to).copied());
                let Some((one, other)) = found else { continue };
                enter(&mut log, &[(NAMES[name], Some(other.0)), (NAMES[to], Some(one.0))]);
                names.extend([(name, other), (to, one)]);
            }
            Step::Remove(name) if names.remove(&name).is_some() => {
                log.remove(Object::ROOT, NAMES[name]);
            }
            Step::Write(name, byte) => {
                if let Some((file, true)) = names.get(&name) {
                    log.write(*file, 0, &[byte, 0]);
                }
            }
            Step::Sync => log.sync(Object::ROOT),
            Step::Line => log.line("line"),
            _ => {}
        }
    }
    log
}

/// Everything that a check sees: of each name its kind, target or bytes, and the first name of the same file.
type Listing = BTreeMap<PathBuf, (bool, Vec<u8>, PathBuf)>;

fn listing(state: &State, folder: &Path) -> (usize, Listing) {
    state.image.build(folder).unwrap();
    let entries = fs::read_dir(folder).unwrap();
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let (mut first, mut found) = (BTreeMap::new(), Listing::new());
    for path in paths {
        let seen = fs::symlink_metadata(&path).unwrap();
        let name: PathBuf = path.file_name().unwrap().into();
        let of = first.entry(seen.ino()).or_insert_with(|| name.clone()).clone();
        let bytes = if seen.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        found.insert(name, (seen.is_symlink(), bytes, of));
    }
    (state.lines, found)
}

/// Returns at each place the state without losses, and those in which one effect is lost or kept.
fn by_hand(log: &Log, model: Model) -> Vec<State> {
    let mut states = Vec::new();
    for at in log.begun..=log.records.len() {
        let cut = Cut::new(log, model, at);
        states.push(cut.losing(&[]));
        for one in cut.kept(&Kept::Chosen { seed: 0, keep: Keep::All }) {
            states.extend([cut.losing(&[one]), cut.keeping(&[one])]);
        }
    }
    states
}

fn check(log: &Log, model: Model) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("state");
    let shown: Vec<_> =
        States::new(log, model).systematic().map(|state| listing(&state, &folder)).collect();
    let distinct: BTreeSet<_> = shown.iter().collect();
    assert_eq!(distinct.len(), shown.len(), "an equal state was shown twice");
    for state in by_hand(log, model) {
        let seen = listing(&state, &folder);
        assert!(distinct.contains(&seen), "{model} {} was merged into another", state.choice);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn states_are_merged_if_and_only_if_they_are_equal(
        steps in proptest::collection::vec(step(), 1..14)
    ) {
        let log = record(&steps);
        for model in [Model::POSIX, Model::Ext4] {
            check(&log, model);
        }
    }
}

#[test]
fn a_rename_between_short_names_an_exchange_of_links_and_a_hard_link_are_states_of_their_own() {
    let exchange = [Step::Symlink(0, 2), Step::Symlink(1, 3), Step::Line, Step::Exchange(0, 1)];
    check(&record(&exchange), Model::Ext4);
    // Two files, and one with two names.
    let linked = [Step::Create(0), Step::Create(1), Step::Remove(1), Step::Link(0, 1)];
    check(&record(&linked), Model::Ext4);
    for (old, new) in [(0, 1), (2, 3), (4, 5)] {
        let steps = [Step::Create(old), Step::Sync, Step::Rename(old, new), Step::Line];
        check(&record(&steps), Model::Ext4);
    }
}
