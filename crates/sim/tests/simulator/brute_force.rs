//! The simulator's results against every possible state, on random small programs.

use super::naive::{Do, Kind, LINE, Memory, Naive, Program};
use cachemaint::medium::Medium;
use cachemaint_sim::{Machine, Model, Notes, SimMedium, Simulation};
use core::cell::RefCell;
use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Returns the number of programs, which the environment can change.
pub(super) fn cases(usually: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let is_default = std::env::var_os("PROPTEST_CASES").is_none();
    let cases = if is_default { usually } else { asked.cases };
    ProptestConfig { cases, failure_persistence: None, ..asked }
}

/// Three words of one line, and one of another one.
pub(super) const WORDS: [u64; 4] = [0, 1, 2, LINE];

const MODELS: [(Kind, Model); 6] = [
    (Kind::X86, Model::X86),
    (Kind::Arm64, Model::ARM64),
    (Kind::Neutral, Model::NEUTRAL),
    (Kind::Eadr, Model::X86_EADR),
    (Kind::Pages, Model::PAGES),
    (Kind::Kept, Model::CACHES_KEPT),
];

pub(super) fn word() -> impl Strategy<Value = u64> {
    proptest::sample::select(&WORDS[..])
}

/// Returns words of one line, in ascending order, as one copy stores them.
fn copy(values: Range<u64>) -> impl Strategy<Value = Vec<(u64, u64)>> {
    (0..2_u64, values.clone(), values)
        .prop_map(|(first, one, other)| vec![(first, one), (first + 1, other)])
}

/// Returns words of one or two parts of a copy: two words in a row are one part.
fn parts(values: Range<u64>) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let part = (word(), values.clone());
    prop_oneof![copy(values), proptest::collection::vec(part, 2)]
}

/// Instructions of a machine with two threads.
fn instruction() -> impl Strategy<Value = Do> {
    prop_oneof![
        6 => (word(), 1..4_u64, any::<bool>())
            .prop_map(|(word, value, releases)| Do::Store { word, value, releases }),
        1 => copy(1..4).prop_map(|words| Do::Copy { words }),
        1 => (word(), 1..4_u64).prop_map(|(word, value)| Do::Streaming { word, value }),
        2 => (word(), any::<bool>()).prop_map(|(word, acquires)| Do::Load { word, acquires }),
        4 => word().prop_map(|word| Do::Writeback { word }),
        1 => word().prop_map(|word| Do::Clflush { word }),
        2 => Just(Do::Fence),
        1 => Just(Do::Barrier),
    ]
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    proptest::collection::vec((0..2_usize, instruction()), 1..9)
}

/// Leaves out CLFLUSH: only x86 has a write-back that takes effect in program order.
pub(super) fn without_clflush(mut program: Program) -> Program {
    for (_, instruction) in &mut program {
        if let Do::Clflush { word } = *instruction {
            *instruction = Do::Writeback { word };
        }
    }
    program
}

/// Returns the same program on the simulator's machine.
pub(super) fn machine(model: Model, program: &Program) -> Machine {
    let mut machine = Machine::new(model, 16 * LINE);
    for (thread, instruction) in program {
        let thread = *thread;
        match instruction {
            Do::Store { word, value, releases } => {
                machine.store(thread, word * 8, *value, if *releases { Release } else { Relaxed });
            }
            Do::Copy { words } => {
                let values: Vec<_> = words.iter().map(|(_, value)| *value).collect();
                machine.copy(thread, words[0].0 * 8, &values);
            }
            Do::Streaming { word, value } => machine.store_streaming(thread, word * 8, *value),
            Do::Load { word, acquires } => {
                machine.load(thread, word * 8, if *acquires { Acquire } else { Relaxed });
            }
            Do::Writeback { word } => machine.writeback(thread, word * 8..word * 8 + 8),
            Do::Clflush { word } => machine.writeback_in_order(thread, word * 8..word * 8 + 8),
            Do::Fence => machine.fence(thread),
            Do::Barrier => machine.barrier(thread),
            Do::Scattered { .. } | Do::Kill | Do::Note => {
                unreachable!("no instruction of a machine")
            }
        }
    }
    machine
}

/// Returns the words that the simulator's machine may leave, and those that the relations allow.
fn left_and_allowed((kind, model): (Kind, Model), program: &Program) -> [BTreeSet<Vec<u64>>; 2] {
    let words = |memory: &Memory| -> Vec<u64> {
        WORDS.iter().map(|word| memory.get(word).copied().unwrap_or(0)).collect()
    };
    let images = Naive::new(kind, program).images(&Memory::new());
    let allowed = images.iter().map(|(_, memory)| words(memory)).collect();
    [machine(model, program).outcomes(&WORDS.map(|word| word * 8)), allowed]
}

proptest! {
    #![proptest_config(cases(20_000))]

    /// The machine leaves every state of two threads' programs, and no other.
    #[test]
    fn the_machine_leaves_what_the_relations_allow(program in program(), model in 0..MODELS.len()) {
        let (kind, model) = MODELS[model];
        let program = if kind == Kind::X86 { program } else { without_clflush(program) };
        let [left, allowed] = left_and_allowed((kind, model), &program);
        prop_assert_eq!(
            left, allowed, "under {}, the program {:?}: keep it among those that were met", model, program
        );
    }
}

/// A program that random testing found, one of some millions: a thread reads the streaming store of another one, and
/// then writes back a line that this one had stored to before. With a fence in between and without.
#[test]
fn programs_that_were_met_leave_what_the_relations_allow() {
    let store = |word, value| Do::Store { word, value, releases: false };
    let program = vec![
        (0, store(0, 1)),
        (0, Do::Streaming { word: LINE, value: 1 }),
        (1, Do::Load { word: LINE, acquires: false }),
        (1, Do::Writeback { word: 0 }),
        (1, Do::Fence),
        (1, store(LINE, 2)),
    ];
    let fenced = [&program[..1], &[(0, Do::Fence)], &program[1..]].concat();
    for (program, is_sure) in [(program, false), (fenced, true)] {
        let [left, allowed] = left_and_allowed((Kind::X86, Model::X86), &program);
        assert_eq!(left, allowed, "{program:?}");
        // The first word is not there, and the last store is.
        assert_eq!(!left.contains(&vec![0, 0, 0, 2]), is_sure, "{program:?}");
    }
}

/// Returns the operations of a workload or a recovery on a medium.
pub(super) fn operation(values: Range<u64>) -> impl Strategy<Value = Do> {
    prop_oneof![
        4 => (word(), values.clone(), any::<bool>())
            .prop_map(|(word, value, releases)| Do::Store { word, value, releases }),
        1 => copy(values.clone()).prop_map(|words| Do::Copy { words }),
        1 => parts(values).prop_map(|words| Do::Scattered { words }),
        3 => word().prop_map(|word| Do::Writeback { word }),
        2 => Just(Do::Fence),
    ]
}

/// A step of a recovery. Later ones depend on the last value that was read.
#[derive(Clone, Debug)]
enum Step {
    /// Reads the second of the words if the last value was more than 1, else the first.
    Read([u64; 2]),
    Perform(Do),
    /// Leaves the next step out if the last value was this one.
    SkipAfter(u64),
    /// Ends recovery if the last value was this one.
    EndAfter(u64),
}

/// A recovery: reads, operations and branches in any order.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    steps: Vec<Step>,
}

/// Recoveries store different values from workloads, so that no state of one hides a missing state of the other.
pub(super) fn recovery() -> impl Strategy<Value = Recovery> {
    let read = || [word(), word()].prop_map(Step::Read);
    let step = prop_oneof![
        3 => read(),
        4 => operation(4..6).prop_map(Step::Perform),
        1 => (0..3_u64).prop_map(Step::SkipAfter),
        2 => (0..2_u64).prop_map(Step::EndAfter),
    ];
    let first = proptest::collection::vec(read(), 0..3);
    (first, proptest::collection::vec(step, 1..7))
        .prop_map(|(first, then)| Recovery { steps: [first, then].concat() })
}

impl Recovery {
    /// Takes the steps, and returns the values that it read.
    fn run(&self, read: impl Fn(u64) -> u64, mut perform: impl FnMut(&Do)) -> Vec<u64> {
        let mut found = Vec::new();
        let mut last = 0;
        let mut steps = self.steps.iter();
        while let Some(step) = steps.next() {
            match step {
                Step::Read(words) => {
                    last = read(words[usize::from(last > 1)]);
                    found.push(last);
                }
                Step::Perform(operation) => perform(operation),
                Step::SkipAfter(value) if last == *value => drop(steps.next()),
                Step::EndAfter(value) if last == *value => break,
                Step::SkipAfter(_) | Step::EndAfter(_) => {}
            }
        }
        found
    }

    /// Returns the values that it reads on a medium.
    fn run_on(&self, medium: &SimMedium) -> Vec<u64> {
        let read = |word: u64| medium.load(word * 8, Relaxed);
        self.run(read, |operation| perform(medium, operation, || {}))
    }

    /// Returns the values that it reads in a memory, and its operations.
    fn run_in(&self, memory: &Memory) -> (Vec<u64>, Program) {
        let memory = RefCell::new(memory.clone());
        let mut program = Program::new();
        let read = |word| memory.borrow().get(&word).copied().unwrap_or(0);
        let found = self.run(read, |operation| {
            memory.borrow_mut().extend(stored(operation));
            program.push((0, operation.clone()));
        });
        (found, program)
    }
}

/// Returns the words that an operation stores.
fn stored(operation: &Do) -> Vec<(u64, u64)> {
    match operation {
        Do::Store { word, value, .. } => vec![(*word, *value)],
        Do::Copy { words } | Do::Scattered { words } => words.clone(),
        _ => Vec::new(),
    }
}

pub(super) fn perform(medium: &SimMedium, operation: &Do, note: impl FnOnce()) {
    let bytes = |words: &[(u64, u64)]| -> Vec<u8> {
        words.iter().flat_map(|(_, value)| value.to_le_bytes()).collect()
    };
    match operation {
        Do::Store { word, value, releases } => {
            medium.store(word * 8, *value, if *releases { Release } else { Relaxed });
        }
        Do::Copy { words } => medium.write(words[0].0 * 8, &bytes(words)),
        Do::Scattered { words } => {
            let in_a_row = |one: &(u64, u64), next: &(u64, u64)| one.0 + 1 == next.0;
            let parts = words.chunk_by(in_a_row).map(|part| (part[0].0 * 8, bytes(part)));
            let parts: Vec<_> = parts.collect();
            let parts: Vec<_> = parts.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
            medium.copy_unfenced(&parts).unwrap();
        }
        Do::Load { word, acquires } => {
            medium.load(word * 8, if *acquires { Acquire } else { Relaxed });
        }
        Do::Writeback { word } => medium.issue_writeback(word * 8..word * 8 + 8).unwrap(),
        Do::Fence => medium.fence().unwrap(),
        Do::Barrier => medium.order_observed(),
        Do::Kill => medium.killed(),
        Do::Note => note(),
        _ => unreachable!("no operation of a medium"),
    }
}

pub(super) fn work_on(medium: &SimMedium, workload: &Program, notes: &Notes<'_, ()>) {
    for (_, operation) in workload {
        perform(medium, operation, || notes.add(()));
    }
}

/// Returns the program with each copy that is written back in instructions.
fn expand(kind: Kind, program: &Program) -> Program {
    let mut all = Program::new();
    for (thread, operation) in program {
        all.push((*thread, operation.clone()));
        if let Do::Scattered { words } = operation
            && matches!(kind, Kind::X86 | Kind::Arm64 | Kind::Neutral | Kind::Pages)
        {
            let writeback = |(word, _): &_| (*thread, Do::Writeback { word: *word });
            all.extend(words.iter().map(writeback));
        }
    }
    all
}

/// A result of recovery: the notes that were made, and the values that were read.
pub(super) type Found = BTreeSet<(usize, Vec<u64>)>;

/// Returns the results by brute force: every memory, every crash of recovery, every memory again.
fn brute_force(kind: Kind, workload: &Program, recovery: &Recovery) -> Found {
    let mut all = Found::new();
    let workload = expand(kind, workload);
    for (notes, memory) in Naive::new(kind, &workload).images(&Memory::new()) {
        let (found, then) = recovery.run_in(&memory);
        all.insert((notes, found));
        let then = expand(kind, &then);
        for (_, memory) in Naive::new(kind, &then).images(&memory) {
            all.insert((notes, recovery.run_in(&memory).0));
        }
    }
    all
}

pub(super) fn simulated(model: Model, workload: &Program, recovery: &Recovery) -> Found {
    let all = RefCell::new(Found::new());
    let outcome = Simulation::new(model, 16 * LINE).zeros().explore(
        |medium, notes| work_on(medium, workload, notes),
        |medium, notes| {
            all.borrow_mut().insert((notes.len(), recovery.run_on(medium)));
            Ok(())
        },
    );
    outcome.assert_safe();
    assert!(outcome.is_exhaustive());
    all.into_inner()
}

pub(super) fn workload() -> impl Strategy<Value = Program> {
    let step = prop_oneof![8 => operation(1..4), 1 => Just(Do::Note)];
    proptest::collection::vec(step.prop_map(|step| (0, step)), 1..7)
}

proptest! {
    #![proptest_config(cases(10_000))]

    /// The results of recovery after a crash, and after a crash during recovery: the same as by brute force.
    #[test]
    fn nothing_that_recovery_can_find_is_left_out(
        workload in workload(),
        recovery in recovery(),
        model in 0..MODELS.len(),
    ) {
        let (kind, model) = MODELS[model];
        let expected = brute_force(kind, &workload, &recovery);
        prop_assert_eq!(simulated(model, &workload, &recovery), expected, "under {}", model);
    }
}

/// Returns every order of the operations of two threads.
fn orders(one: &[Do], other: &[Do]) -> Vec<Program> {
    let (Some((first, rest)), Some((second, others))) = (one.split_first(), other.split_first())
    else {
        let of = |thread, operations: &[Do]| {
            operations.iter().cloned().map(move |o| (thread, o)).collect()
        };
        let last: [Program; 2] = [of(0, one), of(1, other)];
        return vec![last.concat()];
    };
    let before = |step: (usize, Do), mut program: Program| {
        program.insert(0, step);
        program
    };
    let by_one = orders(rest, other).into_iter().map(|program| before((0, first.clone()), program));
    let by_other =
        orders(one, others).into_iter().map(|program| before((1, second.clone()), program));
    by_one.chain(by_other).collect()
}

/// Returns the same operations, with each copy whole and split into words: other threads can continue in its middle.
fn torn(operations: &[Do]) -> Vec<Vec<Do>> {
    let Some((first, rest)) = operations.split_first() else { return vec![Vec::new()] };
    let mut variants = vec![vec![first.clone()]];
    if let Do::Copy { words } = first {
        variants.push(words.iter().map(|word| Do::Copy { words: vec![*word] }).collect());
    }
    let rest = torn(rest);
    let with_rest = |first: Vec<Do>| rest.iter().map(move |rest| [&first[..], rest].concat());
    variants.into_iter().flat_map(with_rest).collect()
}

/// Operations of a thread, each one event: a copy that is written back is several.
fn thread() -> impl Strategy<Value = Vec<Do>> {
    let step = prop_oneof![
        4 => operation(1..4).prop_filter("several events", |step| !matches!(step, Do::Scattered { .. })),
        2 => (word(), any::<bool>()).prop_map(|(word, acquires)| Do::Load { word, acquires }),
        1 => Just(Do::Note),
    ];
    proptest::collection::vec(step, 1..4)
}

proptest! {
    #![proptest_config(cases(2000))]

    /// Two threads in every order: the same words after a crash as by brute force over all orders.
    #[test]
    fn no_order_of_threads_is_left_out(one in thread(), other in thread(), model in 0..MODELS.len()) {
        let (kind, model) = MODELS[model];
        let mut expected = Found::new();
        let both = torn(&one).into_iter().flat_map(|one| {
            torn(&other).into_iter().flat_map(move |other| orders(&one, &other))
        });
        for program in both {
            for (notes, memory) in Naive::new(kind, &program).images(&Memory::new()) {
                let words = WORDS.iter().map(|word| memory.get(word).copied().unwrap_or(0));
                expected.insert((notes, words.collect()));
            }
        }
        let found = RefCell::new(Found::new());
        let outcome = Simulation::new(model, 16 * LINE).zeros().preemptions(8).explore(
            |medium, notes| {
                let perform = |operation: &Do| perform(medium, operation, || notes.add(()));
                let run = |operations: &[Do]| operations.iter().for_each(perform);
                medium.run_threads(&[&|| run(&one), &|| run(&other)]);
            },
            |medium, notes| {
                let words = WORDS.iter().map(|word| medium.load(word * 8, Relaxed)).collect();
                found.borrow_mut().insert((notes.len(), words));
                Ok(())
            },
        );
        outcome.assert_safe();
        prop_assert_eq!(found.into_inner(), expected, "under {}", model);
    }
}
