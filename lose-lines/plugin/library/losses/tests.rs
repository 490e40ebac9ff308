//! The model, on memories of a few lines.

use std::collections::BTreeSet;

use super::model::{Clflush, Event, Half, Model, Point};
use super::words::Memories;
use super::{Losses, Site};
use crate::decode::{Fence, Writeback};
use crate::policy::Policy;

const BASE: u64 = 0x1_0000_0000;
const USER: Site = Site { half: Half::Lower, thread: 7, at: 0x40_1000, code: 0 };
const OTHER: Site = Site { half: Half::Lower, thread: 8, at: 0x40_2000, code: 0 };
const KERNEL: Site = Site { half: Half::Upper, thread: 0, at: u64::MAX, code: 0 };

fn model() -> Model {
    Model { policy: Policy::None, follows_stores: true, ..Model::default() }
}

fn losses(model: Model) -> Losses {
    Losses::new(model, BASE, 64 * 64, Memories::of_lines(64))
}

fn address(line: u32) -> u64 {
    BASE + u64::from(line) * 64
}

/// Stores to the first word of a line.
fn store(losses: &mut Losses, line: u32, value: u64) {
    losses.memories.store(line, 0, value);
    losses.store(USER, address(line), 8, 0);
}

fn store_and_write_back(losses: &mut Losses, line: u32, value: u64) {
    store(losses, line, value);
    losses.writeback(USER, Writeback::Clwb, address(line));
}

fn after_reset(losses: &mut Losses, line: u32) -> u64 {
    losses.reset();
    losses.memories.live(line)[0]
}

#[test]
fn a_store_stays_if_it_was_written_back_and_fenced() {
    let mut losses = losses(model());
    store(&mut losses, 3, 1);
    losses.writeback(USER, Writeback::Clwb, address(3) + 63);
    losses.fence(USER, Fence::Sfence);
    assert_eq!(after_reset(&mut losses, 3), 1);
}

#[test]
fn a_store_is_lost_without_the_write_back_or_its_fence() {
    let mut losses = losses(model());
    store(&mut losses, 3, 1);
    losses.fence(USER, Fence::Sfence);
    assert_eq!(after_reset(&mut losses, 3), 0, "no write-back");
    store_and_write_back(&mut losses, 3, 1);
    assert_eq!(after_reset(&mut losses, 3), 0, "no fence");
}

#[test]
fn the_content_of_the_write_back_persists() {
    let mut losses = losses(model());
    store_and_write_back(&mut losses, 3, 1);
    store(&mut losses, 3, 2);
    losses.fence(USER, Fence::Sfence);
    assert_eq!(after_reset(&mut losses, 3), 1);
}

#[test]
fn fences_of_other_threads_and_of_the_kernel_complete_nothing() {
    for other in [OTHER, KERNEL] {
        let mut losses = losses(model());
        store_and_write_back(&mut losses, 3, 1);
        losses.fence(other, Fence::Mfence);
        assert_eq!(after_reset(&mut losses, 3), 0, "{other:?}");
    }
}

#[test]
fn a_write_back_of_equal_content_replaces_pending_older_content() {
    let mut losses = losses(model());
    store_and_write_back(&mut losses, 3, 1);
    // Back to the persisted content, and written back by another thread.
    store(&mut losses, 3, 0);
    losses.writeback(OTHER, Writeback::Clwb, address(3));
    losses.fence(OTHER, Fence::Sfence);
    losses.fence(USER, Fence::Sfence);
    assert_eq!(after_reset(&mut losses, 3), 0);
}

#[test]
fn locked_accesses_and_streaming_stores_differ_between_halves() {
    let mut losses = losses(model());
    for (site, expected) in [(USER, 0), (KERNEL, 1)] {
        store(&mut losses, 3, 1);
        losses.writeback(site, Writeback::Clwb, address(3));
        losses.locked(site);
        assert_eq!(after_reset(&mut losses, 3), expected, "locked, {site:?}");
        store(&mut losses, 5, 1);
        losses.streaming_store(site, address(5), 8);
        losses.fence(site, Fence::Sfence);
        assert_eq!(after_reset(&mut losses, 5), expected, "streaming, {site:?}");
    }
}

#[test]
fn clflush_is_completed_as_its_vendor_says() {
    let rows = [
        (Clflush::Itself, None, 1),
        (Clflush::Mfence, None, 0),
        (Clflush::Mfence, Some(Fence::Sfence), 0),
        (Clflush::Mfence, Some(Fence::Mfence), 1),
    ];
    for (clflush, fence, expected) in rows {
        let mut losses = losses(Model { clflush, ..model() });
        store(&mut losses, 3, 1);
        losses.writeback(USER, Writeback::Clflush, address(3));
        if let Some(fence) = fence {
            losses.fence(USER, fence);
        }
        assert_eq!(after_reset(&mut losses, 3), expected, "{clflush:?}, {fence:?}");
    }
}

#[test]
fn a_clean_to_the_point_of_coherency_persists_where_that_suffices() {
    for (point, expected) in [(Point::Coherency, 1), (Point::Persistence, 0)] {
        let mut losses = losses(Model { point, ..model() });
        store(&mut losses, 3, 1);
        losses.writeback(USER, Writeback::Coherency, address(3));
        losses.fence(USER, Fence::Dsb);
        assert_eq!(after_reset(&mut losses, 3), expected, "{point:?}");
    }
}

#[test]
fn the_newest_line_is_the_one_that_was_stored_to_last() {
    for (policy, expected) in [(Policy::KeepOne, [0, 1]), (Policy::LoseOne, [1, 0])] {
        let mut losses = losses(Model { policy, ..model() });
        store(&mut losses, 9, 1);
        store(&mut losses, 3, 1);
        losses.reset();
        let found = [9, 3].map(|line| losses.memories.live(line)[0]);
        assert_eq!(found, expected, "{policy:?}");
    }
}

#[test]
fn whole_caches_and_evictions_persist() {
    let mut whole = losses(model());
    store(&mut whole, 3, 1);
    whole.whole_cache();
    assert_eq!(after_reset(&mut whole, 3), 1);
    let mut evicting = losses(Model { evict: 1, ..model() });
    store(&mut evicting, 3, 1);
    assert_eq!(after_reset(&mut evicting, 3), 1);
}

#[test]
fn the_power_is_cut_before_the_chosen_event() {
    let mut losses = losses(Model { cut: Some((Event::Fence, 2)), ..model() });
    for line in [3, 4] {
        store_and_write_back(&mut losses, line, 1);
        // A fence with nothing to complete does not count.
        losses.fence(OTHER, Fence::Sfence);
        assert!(!losses.is_cut());
        losses.fence(USER, Fence::Sfence);
        assert_eq!(losses.is_cut(), line == 4);
    }
    losses.reset();
    assert_eq!([3, 4].map(|line| losses.memories.live(line)[0]), [1, 0]);
}

#[test]
fn addresses_outside_are_left_alone() {
    let mut losses = losses(model());
    losses.writeback(USER, Writeback::Clwb, BASE - 1);
    losses.writeback(USER, Writeback::Clwb, BASE + 64 * 64);
    losses.store(USER, BASE - 8, 8, 0);
    losses.fence(USER, Fence::Sfence);
    losses.tell_counts();
    assert!(losses.told().contains("half=user writebacks=0 "));
}

#[test]
fn an_instruction_that_is_not_modelled_is_a_fault_within_the_memory() {
    let mut losses = losses(model());
    losses.told();
    losses.unmodelled(KERNEL, Some(BASE - 64));
    assert_eq!(losses.told(), "");
    losses.unmodelled(KERNEL, Some(BASE));
    assert!(losses.told().starts_with("fault unmodelled half=Upper"));
}

#[test]
fn a_kernel_that_starts_may_discard_what_nobody_watches_yet() {
    let mut losses = losses(Model { is_watched: true, ..model() });
    losses.told();
    losses.unmodelled(KERNEL, Some(BASE));
    assert_eq!(losses.told(), "");
    losses.watch(&[0]);
    losses.unmodelled(KERNEL, Some(BASE));
    assert!(losses.told().starts_with("fault unmodelled"));
}

#[test]
fn a_trial_crashes_before_its_event_and_keeps_its_witness() {
    let mut losses = losses(model());
    // The content of the range counts as persisted when the trial begins.
    losses.memories.store(4, 0, 9);
    losses.begin_trial(vec![8, 4, 5]);
    losses.witness(&[5]);
    losses.crash_at(3, 1);
    losses.memories.store(5, 0, 1);
    store(&mut losses, 8, 1); // Event 1.
    losses.writeback(USER, Writeback::Clwb, address(8)); // Event 2.
    losses.memories.store(5, 0, 2);
    losses.fence(USER, Fence::Sfence); // Event 3.
    losses.memories.store(5, 0, 3);
    store(&mut losses, 4, 1); // Event 4.
    losses.lose();
    assert_eq!(losses.memories.live(8)[0], 0, "it was written back and not fenced");
    assert_eq!(losses.memories.live(4)[0], 9, "the store came after the crash");
    assert_eq!(losses.memories.live(5), [2, 0, 0, 0, 0, 0, 4, 1], "4 events, and a crash");
    // The crash has made all of it persist.
    assert!(losses.memories.dirty().is_empty());
}

#[test]
fn a_trial_without_a_crash_ends_with_one() {
    let mut losses = losses(model());
    losses.begin_trial(vec![8, 5]);
    losses.witness(&[5]);
    store(&mut losses, 8, 1);
    losses.lose();
    assert_eq!(losses.memories.live(8)[0], 0);
    assert_eq!(losses.memories.live(5)[6..], [1, 0]);
}

#[test]
fn an_instruction_that_is_left_out_has_no_effect() {
    let mut losses = losses(model());
    let second = Site { at: USER.at + 4, ..USER };
    for (omitted, expected) in [(USER.at, 0), (second.at, 0), (0, 1), (1, 1)] {
        losses.omit(omitted);
        losses.begin_trial(vec![3]);
        losses.memories.set(3, &[0; 8]);
        store_and_write_back(&mut losses, 3, 1);
        losses.fence(second, Fence::Sfence);
        losses.lose();
        assert_eq!(losses.memories.live(3)[0], expected, "{omitted:#x}");
    }
    let told = losses.told();
    assert!(told.contains("site at=0x401000 event=writeback\n"), "{told}");
    assert!(told.contains("site at=0x401004 event=fence\n"), "{told}");
}

#[test]
fn content_that_was_written_back_may_be_what_a_crash_leaves() {
    let left: BTreeSet<u64> = (0..2000)
        .map(|seed| {
            let mut losses = losses(Model { policy: Policy::Any, seed, ..model() });
            store(&mut losses, 3, 1);
            losses.writeback(USER, Writeback::Clwb, address(3)); // Can persist at any time from here on.
            store(&mut losses, 3, 2);
            after_reset(&mut losses, 3)
        })
        .collect();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_trial_may_leave_content_that_was_written_back() {
    let left: BTreeSet<(u64, u64)> = (0..2000)
        .map(|seed| {
            let mut losses = losses(Model { policy: Policy::Any, ..model() });
            losses.begin_trial(vec![3, 4]);
            losses.crash_at(0, seed);
            store_and_write_back(&mut losses, 3, 1);
            store(&mut losses, 3, 2);
            store(&mut losses, 4, 1);
            losses.lose();
            (losses.memories.live(3)[0], losses.memories.live(4)[0])
        })
        .collect();
    assert!(left.contains(&(1, 1)), "{left:?}");
}

#[test]
fn a_witness_is_not_the_newest_line() {
    for (policy, expected) in [(Policy::KeepOne, [0, 1]), (Policy::LoseOne, [1, 0])] {
        let mut losses = losses(Model { policy, ..model() });
        losses.begin_trial(vec![8, 4]);
        losses.witness(&[5]);
        store(&mut losses, 8, 1);
        store(&mut losses, 4, 1);
        store(&mut losses, 5, 1); // acknowledged
        losses.lose();
        assert_eq!([8, 4].map(|line| losses.memories.live(line)[0]), expected, "{policy:?}");
    }
}

#[test]
fn a_seed_repeats_a_trial_wherever_the_file_is() {
    let left = |lines: [u32; 4]| {
        let mut losses = losses(Model { policy: Policy::Half, ..model() });
        losses.begin_trial(lines.to_vec());
        losses.crash_at(0, 7);
        for line in lines {
            store(&mut losses, line, 1);
        }
        losses.lose();
        lines.map(|line| losses.memories.live(line)[0])
    };
    let first = left([1, 2, 3, 4]);
    for start in [10, 20, 30, 40, 50] {
        assert_eq!(left([start, start + 1, start + 2, start + 3]), first, "{start}");
    }
}

#[test]
fn streamed_bytes_are_not_in_a_write_back_before_their_fence() {
    let mut losses = losses(model());
    losses.memories.store(3, 0, 1);
    losses.store(USER, address(3), 8, 0);
    losses.streaming_store(USER, address(3), 8);
    // No SFENCE here: the bytes may still be in a write-combining buffer.
    losses.writeback(USER, Writeback::Clwb, address(3));
    losses.fence(USER, Fence::Sfence);
    assert_eq!(after_reset(&mut losses, 3), 0);
}

#[test]
fn streaming_stores_are_followed_though_others_are_not() {
    let model = Model { follows_stores: false, ..model() };
    assert!(model.follows(true, Half::Upper));
    assert!(!model.follows(false, Half::Lower));
}

#[test]
fn dirty_lines_are_told_with_the_code_that_left_them_so() {
    let mut losses = losses(Model { tells_lines: true, ..model() });
    let by = |code| Site { code, ..USER };
    for at in [0x11, 0x22, 0x33, 0x44] {
        assert!(losses.lacks_code(at));
        losses.add_code(at, at - 1, &[0xa0, 0x0b]);
    }
    assert!(!losses.lacks_code(0x11));
    for (line, at) in [(1, 0x11), (2, 0x22), (3, 0x33), (5, 0x11)] {
        losses.memories.store(line, 0, 1);
        losses.store(by(at), address(line), 8, 0x99);
    }
    losses.writeback(by(0x44), Writeback::Clwb, address(5));
    losses.fence(USER, Fence::Sfence);
    for line in [2, 3] {
        losses.writeback(by(0x44), Writeback::Clwb, address(line));
    }
    // Line 3 is stored to again.
    losses.memories.store(3, 0, 2);
    losses.store(by(0x33), address(3), 8, 0x99);
    losses.told();
    losses.tell_dirty();
    assert_eq!(
        losses.told().lines().collect::<Vec<_>>(),
        [
            "dirty line=1 stored=17 caller=153 writtenback=0",
            "dirty line=2 stored=34 caller=153 writtenback=68",
            "dirty line=3 stored=51 caller=153 writtenback=0",
            "code at=17 start=16 bytes=a00b",
            "code at=34 start=33 bytes=a00b",
            "code at=51 start=50 bytes=a00b",
            "code at=68 start=67 bytes=a00b",
        ]
    );
    losses.reset();
    let told = losses.told();
    assert_eq!(told.matches("lost line=").count(), 3, "{told}");
}

#[test]
fn chosen_lines_are_lost_and_no_other() {
    let mut losses = losses(Model { policy: Policy::All, lost: BTreeSet::from([2]), ..model() });
    store(&mut losses, 1, 1);
    store(&mut losses, 2, 1);
    losses.reset();
    assert_eq!([1, 2].map(|line| losses.memories.live(line)[0]), [1, 0]);
}

#[test]
fn the_power_is_cut_before_a_call_of_another_thread_than_the_first() {
    let mut losses = losses(Model { cut: Some((Event::Call, 2)), ..model() });
    losses.call(USER);
    losses.call(OTHER);
    losses.call(USER);
    assert!(!losses.is_cut());
    losses.call(OTHER);
    assert!(losses.is_cut());
    losses.tell_counts();
    assert!(losses.told().contains("half=user writebacks=0 clean=0 streaming=0 stores=0 fences=0 persisted=0 evicted=0 omitted=0 calls=2"));
}

#[test]
fn a_store_that_is_not_followed_replaces_streamed_bytes() {
    let mut losses = losses(Model { follows_stores: false, ..model() });
    losses.memories.store(3, 0, 1);
    losses.memories.store(3, 1, 1);
    losses.streaming_store(USER, address(3), 16);
    losses.memories.store(3, 1, 2);
    losses.writeback(USER, Writeback::Clwb, address(3));
    losses.fence(USER, Fence::Sfence);
    losses.reset();
    assert_eq!(losses.memories.live(3)[..2], [0, 2]);
}

#[test]
fn a_fence_drains_them_and_an_ordinary_store_replaces_them() {
    for ordinary in [false, true] {
        let mut losses = losses(model());
        losses.memories.store(3, 0, 1);
        losses.store(USER, address(3), 8, 0);
        losses.streaming_store(USER, address(3), 8);
        assert!(losses.is_pending());
        if ordinary {
            store(&mut losses, 3, 1);
        } else {
            losses.fence(USER, Fence::Sfence);
        }
        losses.writeback(USER, Writeback::Clwb, address(3));
        losses.fence(USER, Fence::Sfence);
        assert_eq!(after_reset(&mut losses, 3), 1);
    }
}

#[test]
fn what_is_left_of_a_range_is_told() {
    let mut losses = losses(model());
    // Dirty before the mark, and outside.
    store(&mut losses, 1, 7);
    store(&mut losses, 9, 7);
    losses.told();
    let range = [1, 2, 3, 4];
    losses.watch(&range);
    let left = |losses: &mut Losses, number| {
        losses.tell_left(number, &range);
        losses.told()
    };
    assert_eq!(
        left(&mut losses, 0),
        "left id=0 dirty=0 unfenced=0 writebacks=0 streaming=0 fences=0\n"
    );
    store(&mut losses, 1, 8);
    store_and_write_back(&mut losses, 2, 8);
    store_and_write_back(&mut losses, 3, 8);
    // Stored to between write-back and fence.
    store(&mut losses, 3, 9);
    assert_eq!(
        left(&mut losses, 1),
        "left id=1 dirty=2 unfenced=1 writebacks=2 streaming=0 fences=0\n"
    );
    // A kernel that interrupts the program completes nothing.
    losses.fence(KERNEL, Fence::Mfence);
    losses.fence(USER, Fence::Sfence);
    losses.fence(USER, Fence::Sfence);
    assert_eq!(
        left(&mut losses, 2),
        "left id=2 dirty=2 unfenced=0 writebacks=2 streaming=0 fences=2\n"
    );
    // Back to what has persisted, but the older content may follow.
    store_and_write_back(&mut losses, 4, 5);
    store(&mut losses, 4, 0);
    losses.writeback(OTHER, Writeback::Clwb, address(4));
    assert!(left(&mut losses, 3).contains("dirty=2 unfenced=1"));
}
