//! A stack: a list of nodes, and the place of the first.

use super::{EACH, Source, UNORDERED, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint::sim::ViolationKind::{Broken, Panicked};
use cachemaint::sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// The offset of the first node's place; nodes are lines: a value, and the place of the next.
const FIRST: u64 = 0;
const A: u64 = 64;
const B: u64 = 128;
const C: u64 = 192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// The stack refers to a node before there is one.
    PublishFirst,
    /// A node is not written back: its former next node is still there.
    NodeNotPersisted,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("stack.rs") };

struct Stack<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

impl<M: Medium> Stack<'_, M> {
    fn push(&self, node: u64, value: u64) -> Result<(), M::Error> {
        let next = self.medium.load(FIRST, Relaxed);
        if self.bug == Some(Bug::PublishFirst) {
            self.set_first(node)?;
        }
        let bytes = [value.to_le_bytes(), next.to_le_bytes()].concat();
        self.medium.write(node, &bytes);
        if self.bug != Some(Bug::NodeNotPersisted) {
            self.medium.persist(node..node + 16)?;
        }
        if self.bug == Some(Bug::PublishFirst) { Ok(()) } else { self.set_first(node) }
    }

    fn pop(&self) -> Result<u64, M::Error> {
        let node = self.medium.load(FIRST, Relaxed);
        self.set_first(self.medium.load(node + 8, Relaxed))?;
        Ok(node)
    }

    fn set_first(&self, node: u64) -> Result<(), M::Error> {
        self.medium.store(FIRST, node, Relaxed);
        self.medium.persist(FIRST..FIRST + 8)
    }

    fn values(&self) -> Vec<u64> {
        let mut values = Vec::new();
        let mut node = self.medium.load(FIRST, Relaxed);
        while node != 0 {
            values.push(self.medium.load(node, Relaxed));
            node = self.medium.load(node + 8, Relaxed);
        }
        values
    }
}

/// Stores the stack that the workload finds: A, then B.
fn two_nodes(medium: &SimMedium) {
    let stack = Stack { medium, bug: None };
    stack.push(B, 1).unwrap();
    stack.push(A, 2).unwrap();
}

/// Lets a third node come and go, then two change their places: without a crash the list has no
/// cycle.
fn workload(medium: &SimMedium, bug: Option<Bug>) {
    let stack = Stack { medium, bug };
    stack.push(C, 3).unwrap();
    stack.pop().unwrap();
    let (first, second) = (stack.pop().unwrap(), stack.pop().unwrap());
    stack.push(first, 4).unwrap();
    stack.push(second, 5).unwrap();
}

/// The contents that the stack may have at any time.
const VALUES: [&[u64]; 6] = [&[2, 1], &[3, 2, 1], &[1], &[], &[4], &[5, 4]];

fn explore(
    model: Model,
    bug: Option<Bug>,
    judge: impl Fn(&[u64]) -> Result<(), Violation>,
) -> Exploration {
    Simulation::new(model, 256).zeros().prepared(two_nodes).operations(100).explore(
        |medium, _notes: &Notes<'_, ()>| workload(medium, bug),
        |medium, _notes| judge(&Stack { medium, bug: None }.values()),
    )
}

fn is_one_of_them(values: &[u64]) -> Result<(), Violation> {
    Violation::unless(VALUES.contains(&values), || format!("the values are {values:?}"))
}

#[test]
fn the_stack_is_safe() {
    assert_safe(&EACH, |model| explore(model, None, is_one_of_them));
}

#[test]
fn a_node_that_is_published_before_its_data_is_found() {
    // The crash comes between the two.
    let published = SOURCE.at("self.medium.store(FIRST, node, Relaxed);");
    let node = SOURCE.at("self.medium.write(node, &bytes);");
    let explore = |model| explore(model, Some(Bug::PublishFirst), is_one_of_them);
    let operations: [(_, &str); 2] = [("kept", &published), ("missing", &node)];
    assert_found(&EACH, explore, Broken, UNORDERED, &operations);
}

#[test]
fn a_node_that_is_lost_and_makes_recovery_endless_is_found() {
    // B has A for its next; A still has its former next, B.
    let node = SOURCE.at("self.medium.write(node, &bytes);");
    let first = SOURCE.at("self.medium.store(FIRST, node, Relaxed);");
    let explore = |model| explore(model, Some(Bug::NodeNotPersisted), |_values| Ok(()));
    let operations: [(_, &str); 2] = [("kept", &first), ("missing", &node)];
    assert_found(&EACH, explore, Panicked, UNORDERED, &operations);
}
