//! The ring is right with all its steps and wrong without any one of them.
//!
//! The model makes the accesses of a CPU in their order. `ring_of_threads` shows under Miri that the fences keep this
//! order where memory is weakly ordered. But neither delays a load beyond a later store, so the consumer's fence
//! between reading a message and giving its slot back rests on argument.

use crate::model::Interference;
use crate::ring::Layout;
use crate::world::{CONSUMER, Depth, Event, PRODUCER, Scenario, Step};
use proptest::prelude::*;

#[test]
fn with_all_steps_no_one_or_two_events_can_lose_or_tear_a_message() {
    Scenario::small().explore(Depth::TwoEvents).unwrap();
}

#[test]
fn with_all_steps_it_is_right_where_invalidating_discards() {
    Scenario { discards: true, ..Scenario::small() }.explore(Depth::OneEvent).unwrap();
}

/// Dirty lines beyond the range are written back, as an eviction may do at any time.
#[test]
fn with_all_steps_it_is_right_where_only_the_whole_cache_can_be_flushed() {
    Scenario { flushes_all: true, ..Scenario::small() }.explore(Depth::TwoEvents).unwrap();
}

/// Asserts that the ring without one of its steps is wrong, in some run.
#[track_caller]
fn is_wrong(scenario: &Scenario) {
    assert!(scenario.explore(Depth::TwoEvents).is_err(), "no run shows that the step is needed");
}

/// The consumer finds the former content of the slot in memory.
#[test]
fn without_write_back_of_the_message_it_is_wrong() {
    is_wrong(&Scenario::without(Step::WriteBackMessage));
}

/// The index stays in the producer's cache, so the consumer never sees the message.
#[test]
fn without_write_back_of_the_producers_index_it_is_wrong() {
    is_wrong(&Scenario::without(Step::WriteBackSent));
}

/// The producer never gets a slot back.
#[test]
fn without_write_back_of_the_consumers_index_it_is_wrong() {
    is_wrong(&Scenario::without(Step::WriteBackTaken));
}

/// The consumer goes on with the index that it has cached.
#[test]
fn without_invalidation_of_the_producers_index_it_is_wrong() {
    is_wrong(&Scenario::without(Step::InvalidateSent));
}

/// The consumer reads the message before last again, which its cache still has.
#[test]
fn without_invalidation_of_the_message_it_is_wrong() {
    is_wrong(&Scenario::without(Step::InvalidateMessage));
}

/// The producer goes on with the index that it has cached, and waits for ever.
#[test]
fn without_invalidation_of_the_consumers_index_it_is_wrong() {
    is_wrong(&Scenario::without(Step::InvalidateTaken));
}

/// The index leaves the cache by itself before the write-back of the message is complete.
#[test]
fn without_the_fence_between_message_and_index_it_is_wrong() {
    let scenario = Scenario::without(Step::FenceAfterMessage);
    scenario.run(&[]).expect("it takes an eviction at the wrong moment to see it");
    is_wrong(&scenario);
}

/// Each side writes the other's index back as it was.
#[test]
fn with_both_indices_in_one_line_it_is_wrong() {
    let layout = Layout { sent: 0, taken: 1, ..Scenario::small().layout };
    is_wrong(&Scenario { layout, ..Scenario::small() });
}

/// The consumer writes a part of the message back as it was before.
#[test]
fn with_the_consumers_index_in_the_line_of_a_slot_it_is_wrong() {
    // Words 2 and 3 are a line: the index, and the first word of the first slot.
    let layout = Layout { sent: 0, taken: 2, slots: 3, ..Scenario::small().layout };
    is_wrong(&Scenario { layout, ..Scenario::small() });
}

/// Words that one side alone writes may share a line: it holds no stores of the other side.
#[test]
fn with_the_producers_index_in_the_line_of_a_slot_it_is_right() {
    let layout = Layout { taken: 0, sent: 2, slots: 3, ..Scenario::small().layout };
    Scenario { layout, ..Scenario::small() }.explore(Depth::OneEvent).unwrap();
}

/// The larger of the two sides' granules counts: the consumer, whose lines are longer here, writes an old copy of the
/// producer's index back.
#[test]
fn padded_to_the_smaller_of_two_line_sizes_it_is_wrong() {
    let scenario = Scenario { words_per_line: [2, 4], ..Scenario::small() };
    is_wrong(&scenario);
    Scenario { layout: Layout::new(16, 2, 2), ..scenario }.explore(Depth::OneEvent).unwrap();
}

fn any_event(words: usize) -> impl Strategy<Value = Event> {
    let line = (PRODUCER..=CONSUMER, 0..words);
    prop_oneof![
        Just(Event::OtherSide),
        line.clone().prop_map(|(cpu, word)| Event::Cache(Interference::Evict { cpu, word })),
        line.prop_map(|(cpu, word)| Event::Cache(Interference::Fetch { cpu, word })),
    ]
}

fn any_scenario() -> impl Strategy<Value = Scenario> {
    let lines = prop_oneof![Just(1_usize), Just(2), Just(4), Just(8)];
    (lines.clone(), lines, 0..3_u32, any::<[bool; 2]>(), any::<u8>()).prop_map(
        |(producer, consumer, capacity, [discards, flushes_all], before_wrap)| {
            let granule = producer.max(consumer) * size_of::<u32>();
            Scenario {
                layout: Layout::new(granule, 1 << capacity, 2),
                words_per_line: [producer, consumer],
                discards,
                flushes_all,
                messages: 12,
                first: 0_u32.wrapping_sub(u32::from(before_wrap % 16)),
                without: None,
            }
        },
    )
}

proptest! {
    /// Many events, other sizes.
    #[test]
    fn with_all_steps_it_is_right_whatever_happens(
        (scenario, events) in any_scenario().prop_flat_map(|scenario| {
            let words = scenario.layout.words();
            let events = prop::collection::vec((0..400_usize, any_event(words)), 0..60);
            (Just(scenario), events)
        })
    ) {
        prop_assert!(scenario.run(&events).is_ok(), "{:?}", scenario.run(&events));
    }
}
