//! Litmus tests: small programs, and the possible contents of memory after a crash at any moment.
//!
//! Each names its source. *Published*: the outcome is printed in the artifact of Cho, Lee, Raad, Kang, *Revamping
//! Hardware Persistency Models*, PLDI 2021 (`kaist-cp/rmem-persistency`, "NVM States"). *Axioms*: it follows from the
//! axioms of the same paper (`kaist-cp/view-hw`, `TsoAxiomatic.v` for x86, `Axiomatic.v` for Armv8). *SDM*, *Arm ARM*:
//! the manual's text says so. *Snapshot*: it assumes that a line is written back as it was at one moment. The papers,
//! which only order stores to one location, do not promise that: Jaaru (ASPLOS 2021) and In-Cache-Line Logging (Cohen
//! et al., ASPLOS 2019) rely on it.

use cachemaint_sim::{Machine, Model};
use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};
use std::collections::BTreeSet;

/// Places, in lines of their own unless they share a letter.
const A: u64 = 0;
const A2: u64 = 8;
const B: u64 = 64;
const C: u64 = 128;
const D: u64 = 192;
const F: u64 = 256;

/// An instruction of a thread.
#[derive(Clone, Copy, Debug)]
enum Do {
    Store(u64, u64),
    Release(u64, u64),
    Streaming(u64, u64),
    /// CLWB, CLFLUSHOPT, DC CVAP.
    Clean(u64),
    Clflush(u64),
    /// SFENCE, MFENCE, DSB.
    Fence,
    /// DMB.
    Barrier,
    /// A locked exchange, or one by LDXR and STXR.
    Exchange(u64, u64),
    /// The thread continues only if it loads this value.
    Expect(u64, u64),
    ExpectAcquire(u64, u64),
}

use Do::{Barrier, Clean, Clflush, Exchange, Expect, ExpectAcquire, Fence, Store};

/// Executes an instruction. Returns true if the thread continues.
fn step(machine: &mut Machine, thread: usize, instruction: Do) -> bool {
    let expect = |machine: &mut Machine, at, value, order: Ordering| {
        machine.load(thread, at, order) == value
    };
    match instruction {
        Store(at, value) => machine.store(thread, at, value, Relaxed),
        Do::Release(at, value) => machine.store(thread, at, value, Release),
        Do::Streaming(at, value) => machine.store_streaming(thread, at, value),
        Clean(at) => machine.writeback(thread, at..at + 8),
        Clflush(at) => machine.writeback_in_order(thread, at..at + 8),
        Fence => machine.fence(thread),
        Barrier => machine.barrier(thread),
        Exchange(at, value) => {
            machine.exchange(thread, at, value, Relaxed);
        }
        Expect(at, value) => return expect(machine, at, value, Relaxed),
        ExpectAcquire(at, value) => return expect(machine, at, value, Acquire),
    }
    true
}

/// Returns every order of the threads' instructions, as the thread of each step.
fn orders(lengths: &[usize]) -> Vec<Vec<usize>> {
    if lengths.iter().all(|length| *length == 0) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for thread in (0..lengths.len()).filter(|thread| lengths[*thread] > 0) {
        let mut rest = lengths.to_vec();
        rest[thread] -= 1;
        for mut order in orders(&rest) {
            order.insert(0, thread);
            all.push(order);
        }
    }
    all
}

/// Returns the values that the words can have after a crash, over all orders of the threads.
fn outcomes(model: Model, threads: &[&[Do]], words: &[u64]) -> BTreeSet<Vec<u64>> {
    let lengths: Vec<_> = threads.iter().map(|thread| thread.len()).collect();
    let mut all = BTreeSet::new();
    for order in orders(&lengths) {
        let mut machine = Machine::new(model, 512);
        let mut next: Vec<_> = threads.iter().map(|thread| thread.iter()).collect();
        for thread in order {
            if let Some(instruction) = next[thread].next()
                && !step(&mut machine, thread, *instruction)
            {
                next[thread] = [].iter();
            }
        }
        all.extend(machine.outcomes(words));
    }
    all
}

/// Asserts the outcomes; `states` has a digit for each word.
#[track_caller]
fn check(model: Model, threads: &[&[Do]], words: &[u64], states: &str) {
    let expected: BTreeSet<Vec<u64>> = states
        .split_whitespace()
        .map(|state| {
            state
                .chars()
                .map(|digit| u64::from(digit == '1') + 2 * u64::from(digit == '2'))
                .collect()
        })
        .collect();
    assert_eq!(outcomes(model, threads, words), expected, "under {model}");
}

/// Returns all states of `words` words that are 0 or 1, except some.
fn all_but(words: usize, without: &str) -> String {
    let without: Vec<_> = without.split_whitespace().collect();
    let states = (0..1_usize << words).map(|state| format!("{state:0words$b}"));
    states.filter(|state| !without.contains(&state.as_str())).collect::<Vec<_>>().join(" ")
}

const EACH: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

/// Asserts the outcomes under x86, arm64 and the neutral model.
#[track_caller]
fn check_each(threads: &[&[Do]], words: &[u64], states: &str) {
    for model in EACH {
        check(model, threads, words, states);
    }
}

// Common to all architectures.

#[test]
fn stores_of_different_lines_persist_in_any_order() {
    // Published: COMMIT_WEAK. Axioms for x86.
    check_each(&[&[Store(A, 1), Store(B, 1)]], &[A, B], "00 01 10 11");
}

#[test]
fn a_write_back_without_a_fence_orders_nothing() {
    // Published: COMMIT_WEAK_OPT. x86: SDM, CLWB ("not ordered with … writes to other lines").
    check_each(&[&[Store(A, 1), Clean(A), Store(B, 1)]], &[A, B], "00 01 10 11");
}

#[test]
fn a_write_back_and_a_fence_persist() {
    // Published: COMMIT1. x86: axioms.
    check_each(&[&[Store(A, 1), Clean(A), Fence, Store(B, 1)]], &[A, B], "00 10 11");
}

#[test]
fn a_fence_before_the_write_back_completes_nothing() {
    // Axioms.
    check_each(&[&[Store(A, 1), Fence, Clean(A), Store(B, 1)]], &[A, B], "00 01 10 11");
}

#[test]
fn a_write_back_before_the_store_has_nothing_of_it() {
    // Axioms. SDM, CLWB: not ordered with younger writes to the line.
    check_each(&[&[Clean(A), Store(A, 1), Fence, Store(B, 1)]], &[A, B], "00 01 10 11");
}

#[test]
fn one_fence_completes_several_write_backs() {
    // Axioms.
    let program = [Store(A, 1), Store(B, 1), Clean(A), Clean(B), Fence, Store(C, 1)];
    check_each(&[&program], &[A, B, C], "000 010 100 110 111");
}

#[test]
fn a_word_is_never_older_than_what_was_persisted() {
    // Axioms: coherence.
    check_each(&[&[Store(A, 1), Store(A, 2)]], &[A], "0 1 2");
    let program = [Store(A, 1), Clean(A), Fence, Store(A, 2), Store(B, 1)];
    check_each(&[&program], &[A, B], "00 10 11 20 21");
    // The write-back has the stores before it.
    let program = [Store(A, 1), Clean(A), Store(A, 2), Fence, Store(B, 1)];
    check_each(&[&program], &[A, B], "00 10 11 20 21");
}

#[test]
fn a_store_of_another_thread_is_written_back_by_who_loaded_it() {
    // Published: COMMIT2, COMMIT2_OPT.
    let writer = [Store(A, 1)];
    let fenced = [Expect(A, 1), Clean(A), Fence, Store(B, 1)];
    check_each(&[&writer, &fenced], &[A, B], "00 10 11");
    let not_fenced = [Expect(A, 1), Clean(A), Store(B, 1)];
    check_each(&[&writer, &not_fenced], &[A, B], "00 01 10 11");
}

#[test]
fn a_fence_of_another_thread_completes_nothing() {
    // Axioms. Arm ARM, B2.6: the DSB of the CPU that executed the maintenance.
    let writer = [Store(A, 1), Clean(A)];
    let reader = [Expect(A, 1), Fence, Store(B, 1)];
    check_each(&[&writer, &reader], &[A, B], "00 01 10 11");
}

#[test]
fn loading_a_store_does_not_persist_it() {
    // Axioms.
    let reader = [Expect(A, 1), Store(B, 1)];
    check_each(&[&[Store(A, 1)], &reader], &[A, B], "00 01 10 11");
}

#[test]
fn a_store_persisted_before_a_message_stays() {
    // Axioms.
    let writer = [Store(A, 1), Clean(A), Fence, Store(F, 1)];
    let reader = [Expect(F, 1), Store(B, 1)];
    check_each(&[&writer, &reader], &[A, F, B], "000 100 101 110 111");
}

#[test]
fn a_fence_before_the_write_back_takes_up_what_another_thread_stored() {
    // Published: COMMIT_OPT, with values 1; FOB, with the barriers. Axioms for DSB (x86 needs none).
    let writer = [Store(A, 1), Fence, Store(F, 1)];
    let reader = [Expect(F, 1), Fence, Clean(A), Clean(F), Fence, Store(C, 1)];
    check_each(&[&writer, &reader], &[A, F, C], "000 100 010 110 111");
}

#[test]
fn two_threads_that_write_each_other_back_persist_one_of_both() {
    // Published: FLUSH_MCA. x86: axioms.
    let one = [Store(A, 1), Fence, Clean(B), Fence, Store(C, 1)];
    let other = [Store(B, 1), Fence, Clean(A), Fence, Store(D, 1)];
    check_each(&[&one, &other], &[A, B, C, D], &all_but(4, "0011"));
}

#[test]
fn a_write_back_overtakes_a_store_that_is_still_buffered() {
    // Axioms: the same without the first fences.
    let one = [Store(A, 1), Clean(B), Fence, Store(C, 1)];
    let other = [Store(B, 1), Clean(A), Fence, Store(D, 1)];
    check_each(&[&one, &other], &[A, B, C, D], &all_but(4, ""));
}

#[test]
fn a_write_back_has_its_whole_line() {
    // Axioms: maintenance is by line. The neutral model does not know its size, and has no order in it.
    let program = [Store(A, 1), Store(A2, 1), Clean(A), Fence, Store(C, 1)];
    check(Model::NEUTRAL, &[&program], &[A, A2, C], "000 010 100 101 110 111");
    check(Model::ARM64, &[&program], &[A, A2, C], "000 010 100 110 111");
    // Snapshot.
    check(Model::X86, &[&program], &[A, A2, C], "000 100 110 111");
}

// x86.

#[test]
fn x86_persists_stores_of_one_line_in_order() {
    // Snapshot. By the axioms 01 is allowed too, as the neutral model has it.
    let program = [Store(A, 1), Store(A2, 1)];
    check(Model::X86, &[&program], &[A, A2], "00 10 11");
    check(Model::NEUTRAL, &[&program], &[A, A2], "00 01 10 11");
}

#[test]
fn x86_clflush_is_ordered_with_later_stores() {
    // Axioms; SDM, CLFLUSH. AMD's manual calls it weakly ordered: `writeback` is for that.
    let x86 = Model::X86;
    check(x86, &[&[Store(A, 1), Clflush(A), Store(B, 1)]], &[A, B], "00 10 11");
    check(x86, &[&[Store(A, 1), Clflush(B), Store(C, 1)]], &[A, C], "00 01 10 11");
    let program = [Store(A, 1), Store(B, 1), Clflush(A), Clflush(B), Store(C, 1)];
    check(x86, &[&program], &[A, B, C], "000 010 100 110 111");
    let writer = [Store(A, 1), Clflush(A), Store(F, 1)];
    let reader = [Expect(F, 1), Store(B, 1)];
    check(x86, &[&writer, &reader], &[A, F, B], "000 100 101 110 111");
}

#[test]
fn x86_locked_instructions_complete_write_backs() {
    // Axioms; SDM, CLWB ("ordered with … locked read-modify-write"), before their own store.
    let program = [Store(A, 1), Clean(A), Exchange(F, 1), Store(B, 1)];
    check(Model::X86, &[&program], &[A, B, F], "000 100 101 110 111");
    let writer = [Store(A, 1), Clean(A), Exchange(F, 1)];
    let reader = [Expect(F, 1), Store(B, 1)];
    check(Model::X86, &[&writer, &reader], &[A, F, B], "000 100 101 110 111");
}

#[test]
fn x86_another_threads_locked_instruction_completes_nothing() {
    // Axioms: a lock that is released by a plain store.
    let writer = [Store(A, 1), Clean(A), Store(F, 2)];
    let reader = [Expect(F, 2), Exchange(F, 3), Store(B, 1)];
    check(Model::X86, &[&writer, &reader], &[A, B], "00 01 10 11");
}

#[test]
fn x86_loads_are_ordered_with_later_write_backs() {
    // Axioms: message passing, then a write-back of the announced word.
    let writer = [Store(A, 1), Store(F, 1)];
    let reader = [Expect(F, 1), Clean(A), Fence, Store(B, 1)];
    check(Model::X86, &[&writer, &reader], &[A, F, B], "000 010 100 101 110 111");
}

#[test]
fn x86_threads_of_one_line() {
    // Axioms, and snapshot for the needs of the line's other store.
    let writer = [Store(A, 1)];
    let other = [Store(A2, 1), Clean(A2), Fence, Store(C, 1)];
    check(Model::X86, &[&writer, &other], &[A, A2, C], "000 010 011 100 110 111");
}

#[test]
fn x86_streaming_stores_persist_in_any_order_until_a_fence() {
    // SDM vol. 1, 10.4.6.2: weakly ordered. Also within a line.
    for other in [A2, B] {
        let program = [Do::Streaming(A, 1), Do::Streaming(other, 1)];
        check(Model::X86, &[&program], &[A, other], "00 01 10 11");
        let program = [Do::Streaming(A, 1), Fence, Do::Streaming(other, 1)];
        check(Model::X86, &[&program], &[A, other], "00 10 11");
    }
    check(Model::X86, &[&[Do::Streaming(A, 1), Do::Streaming(A, 2)]], &[A], "0 1 2");
    check(Model::X86, &[&[Do::Streaming(A, 1), Store(B, 1)]], &[A, B], "00 01 10 11");
}

#[test]
fn x86_a_streaming_store_announces_no_store_before_it_without_a_fence() {
    // SDM vol. 3A, 9.2.2: writes are in order with other writes, but for streaming stores. So the store to A can be in
    // the writer's buffer still when the reader writes its line back.
    let reader = [Expect(F, 1), Clean(A), Fence, Store(B, 1)];
    let writer = [Store(A, 1), Do::Streaming(F, 1)];
    check(Model::X86, &[&writer, &reader], &[A, F, B], &all_but(3, ""));
    let writer = [Store(A, 1), Fence, Do::Streaming(F, 1)];
    check(Model::X86, &[&writer, &reader], &[A, F, B], &all_but(3, "001 011"));
}

#[test]
fn x86_streaming_stores_that_stay_in_the_cache_need_a_write_back() {
    // Measured on AMD family 26: the line stays in L1.
    let stays = Model::X86.streaming_stores_stay();
    check(stays, &[&[Do::Streaming(A, 1), Fence, Store(B, 1)]], &[A, B], "00 01 10 11");
    let written_back = [Do::Streaming(A, 1), Fence, Clean(A), Fence, Store(B, 1)];
    check(stays, &[&written_back], &[A, B], "00 10 11");
    // No manual orders CLWB with an older streaming store of its line.
    let not_fenced = [Do::Streaming(A, 1), Clean(A), Fence, Store(B, 1)];
    check(stays, &[&not_fenced], &[A, B], "00 01 10 11");
}

#[test]
fn eadr_keeps_what_is_visible() {
    // Px86 with persistent caches: persistence is visibility, and that is in total store order.
    let eadr = Model::X86_EADR;
    check(eadr, &[&[Store(A, 1), Store(B, 1)]], &[A, B], "00 10 11");
    check(eadr, &[&[Do::Streaming(A, 1), Store(B, 1)]], &[A, B], "00 01 10 11");
    check(eadr, &[&[Do::Streaming(A, 1), Fence, Store(B, 1)]], &[A, B], "00 10 11");
}

#[test]
fn an_event_that_keeps_the_caches_leaves_what_was_executed() {
    let kept = Model::CACHES_KEPT;
    check(kept, &[&[Store(A, 1), Store(B, 1)]], &[A, B], "00 10 11");
    check(kept, &[&[Store(A2, 1), Store(A, 1), Clean(A)]], &[A, A2], "00 01 11");
}

#[test]
fn pages_are_written_back_at_any_time_and_by_a_write_back_with_its_fence() {
    // POSIX msync with MS_SYNC: nothing orders the writes before. Rule 1 of `Medium`: durable after the fence.
    let pages = Model::PAGES;
    check(pages, &[&[Store(A, 1), Store(B, 1)]], &[A, B], "00 01 10 11");
    // One page holds both.
    let program = [Store(A, 1), Store(B, 1), Clean(A), Fence, Store(C, 1)];
    check(pages, &[&program], &[A, B, C], "000 010 100 110 111");
    let unfenced = [Store(A, 1), Store(B, 1), Clean(A), Store(C, 1)];
    check(pages, &[&unfenced], &[A, B, C], &all_but(3, ""));
    // No store goes past the page cache.
    check(pages, &[&[Do::Streaming(A, 1), Fence, Store(B, 1)]], &[A, B], "00 01 10 11");
}

// arm64.

#[test]
fn arm64_persists_plain_stores_of_one_line_in_any_order() {
    // Axioms.
    check(Model::ARM64, &[&[Store(A, 1), Store(A2, 1)]], &[A, A2], "00 01 10 11");
}

#[test]
fn arm64_persists_ordered_stores_of_one_line_in_order() {
    // Snapshot. By the axioms 01 is allowed too.
    let released = [Store(A, 1), Do::Release(A2, 1)];
    check(Model::ARM64, &[&released], &[A, A2], "00 10 11");
    let barrier = [Store(A, 1), Barrier, Store(A2, 1)];
    check(Model::ARM64, &[&barrier], &[A, A2], "00 10 11");
    // A release does not order the accesses after it.
    let late = [Do::Release(A, 1), Store(A2, 1)];
    check(Model::ARM64, &[&late], &[A, A2], "00 01 10 11");
}

#[test]
fn arm64_barriers_complete_no_write_back() {
    // Axioms; Arm ARM, D7.5.9.15: a DMB is not sufficient.
    let arm64 = Model::ARM64;
    check(arm64, &[&[Store(A, 1), Clean(A), Barrier, Store(B, 1)]], &[A, B], "00 01 10 11");
    check(arm64, &[&[Store(A, 1), Clean(A), Do::Release(B, 1)]], &[A, B], "00 01 10 11");
    check(arm64, &[&[Store(A, 1), Clean(A), Exchange(F, 1), Store(B, 1)]], &[A, B], "00 01 10 11");
    let program = [Store(A, 1), Clean(A), Barrier, Store(B, 1), Clean(B), Fence, Store(C, 1)];
    check(arm64, &[&program], &[A, B, C], "000 010 100 110 111");
}

#[test]
fn arm64_acquire_does_not_order_a_later_write_back() {
    // Axioms; Arm ARM, D7.5.9.15: any order relative to loads of other lines, unless a full DMB or DSB.
    let writer = [Store(A, 1), Do::Release(F, 1)];
    let reader = [ExpectAcquire(F, 1), Clean(A), Fence, Store(B, 1)];
    check(Model::ARM64, &[&writer, &reader], &[A, F, B], &all_but(3, ""));
    let barrier = [ExpectAcquire(F, 1), Barrier, Clean(A), Fence, Store(B, 1)];
    check(Model::ARM64, &[&writer, &barrier], &[A, F, B], "000 010 100 101 110 111");
}

#[test]
fn arm64_loads_of_the_line_are_ordered_with_its_write_back() {
    // Axioms, and snapshot for the needs of the loaded store.
    let reader = [Expect(A2, 1), Clean(A2), Fence, Store(C, 1)];
    let ordered = [Store(A, 1), Barrier, Store(A2, 1)];
    check(Model::ARM64, &[&ordered, &reader], &[A, A2, C], "000 100 110 111");
    let plain = [Store(A, 1), Store(A2, 1)];
    check(Model::ARM64, &[&plain, &reader], &[A, A2, C], "000 010 011 100 110 111");
}

#[test]
fn arm64_order_passes_through_other_lines_and_threads() {
    // Snapshot and the order of observation: a release that another thread acquires.
    let writer = [Store(A, 1), Do::Release(F, 1)];
    let reader = [ExpectAcquire(F, 1), Store(A2, 1)];
    check(Model::ARM64, &[&writer, &reader], &[A, A2], "00 10 11");
    let relaxed = [Expect(F, 1), Store(A2, 1)];
    check(Model::ARM64, &[&writer, &relaxed], &[A, A2], "00 01 10 11");
}
