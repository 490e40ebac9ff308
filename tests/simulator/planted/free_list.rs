//! Blocks: those that are free are in a list, those that are used in a table.

use super::{EACH, Source, UNORDERED, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint::sim::ViolationKind::Broken;
use cachemaint::sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// The offsets of the first free block's number, the table, and the blocks: each in a line of its
/// own.
const FREE: u64 = 0;
const TABLE: u64 = 64;
const BLOCKS: [u64; 2] = [128, 192];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A block is used before it is out of the list for good.
    TakenLate,
    /// A block is out of the list first, but that is not persisted.
    TakenForNow,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("free_list.rs") };

struct Blocks<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

impl<M: Medium> Blocks<'_, M> {
    fn take(&self, entry: u64) -> Result<(), M::Error> {
        let block = self.medium.load(FREE, Relaxed);
        let next = self.medium.load(block, Relaxed);
        if self.bug == Some(Bug::TakenLate) {
            self.enter(entry, block)?;
        }
        self.medium.store(FREE, next, Relaxed);
        if self.bug != Some(Bug::TakenForNow) {
            self.medium.persist(FREE..FREE + 8)?;
        }
        if self.bug == Some(Bug::TakenLate) { Ok(()) } else { self.enter(entry, block) }
    }

    fn enter(&self, entry: u64, block: u64) -> Result<(), M::Error> {
        let at = TABLE + entry * 8;
        self.medium.store(at, block, Relaxed);
        self.medium.persist(at..at + 8)
    }

    fn free(&self) -> Vec<u64> {
        let next = |block: &u64| Some(self.medium.load(*block, Relaxed));
        let first = self.medium.load(FREE, Relaxed);
        core::iter::successors(Some(first), next).take_while(|block| *block != 0).collect()
    }

    fn used(&self) -> Vec<u64> {
        let entries = (0..BLOCKS.len() as u64).map(|entry| TABLE + entry * 8);
        entries.map(|at| self.medium.load(at, Relaxed)).filter(|block| *block != 0).collect()
    }
}

fn all_free(medium: &SimMedium) {
    medium.store(FREE, BLOCKS[0], Relaxed);
    medium.store(BLOCKS[0], BLOCKS[1], Relaxed);
}

fn workload(medium: &SimMedium, _notes: &Notes<'_, ()>, bug: Option<Bug>) {
    for entry in 0..2 {
        Blocks { medium, bug }.take(entry).unwrap();
    }
}

/// Judges the blocks: one may be in neither, which is a leak, but not in both.
fn judge(medium: &SimMedium, _notes: &[()]) -> Result<(), Violation> {
    let blocks = Blocks { medium, bug: None };
    let (free, used) = (blocks.free(), blocks.used());
    let both = free.iter().find(|block| used.contains(block));
    Violation::unless(both.is_none(), || format!("free are {free:?}, used are {used:?}"))
}

fn explore(model: Model, bug: Option<Bug>) -> Exploration {
    Simulation::new(model, 256)
        .zeros()
        .prepared(all_free)
        .explore(|medium, notes| workload(medium, notes, bug), judge)
}

#[test]
fn the_blocks_are_safe() {
    assert_safe(&EACH, |model| explore(model, None));
}

#[test]
fn a_block_that_is_used_before_it_is_taken_is_found() {
    let used = SOURCE.at("self.medium.store(at, block, Relaxed);");
    let taken = SOURCE.at("self.medium.store(FREE, next, Relaxed);");
    let explore = |model| explore(model, Some(Bug::TakenLate));
    assert_found(&EACH, explore, Broken, UNORDERED, &[("kept", &used), ("missing", &taken)]);
}

#[test]
fn a_block_that_is_taken_for_now_is_found() {
    let used = SOURCE.at("self.medium.store(at, block, Relaxed);");
    let taken = SOURCE.at("self.medium.store(FREE, next, Relaxed);");
    let explore = |model| explore(model, Some(Bug::TakenForNow));
    assert_found(&EACH, explore, Broken, UNORDERED, &[("kept", &used), ("missing", &taken)]);
}
