//! Failures at a single moment: within an opening, and between a note and a store.

use super::{LINE, MODELS};
use cachemaint::medium::Medium;
use cachemaint_sim::{
    Histories, Life, Model, Searched, SimMedium, Simulation, Structure, Violation,
};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// A structure that a test writes down in place. The model is a number that the outside world relies on.
struct Code {
    operations: &'static [&'static str],
    open: fn(&Life<'_, Code>) -> Result<(), Violation>,
    carry_out: fn(&Life<'_, Code>, &str) -> Result<(), Violation>,
}

impl Structure for Code {
    type Operation = &'static str;
    type Model = u64;

    fn operations(&self, _model: &u64) -> Vec<&'static str> {
        self.operations.to_vec()
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        (self.open)(life)?;
        while let Some(operation) = life.next() {
            (self.carry_out)(life, operation)?;
        }
        Ok(())
    }
}

impl Code {
    /// Returns a search on two lines of zeros.
    fn histories(model: Model) -> Histories {
        Histories::new(Simulation::new(model, 2 * LINE).zeros())
    }

    fn search(&self, model: Model) -> Searched<&'static str> {
        Self::histories(model).search(self)
    }
}

/// Checks that the number in the first word is at least the one that the outside world relies on.
fn is_kept(life: &Life<'_, Code>) -> Result<(), Violation> {
    let found = life.medium.load(0, Relaxed);
    Violation::unless(found >= life.model(), || format!("{found}, not {}", life.model()))
}

/// Stores a number, and acknowledges it without a write-back.
fn put(life: &Life<'_, Code>) {
    life.medium.store(0, 1, Relaxed);
    life.note(|model| *model = 1);
}

#[track_caller]
#[expect(clippy::expect_used, reason = "an assertion")]
fn assert_lives(found: &Searched<&str>, lives: &[&[&str]]) {
    let failure = found.failure.as_deref().expect("it is there");
    assert_eq!(found.lives, lives, "{failure}");
}

/// The first opening only loads, so that no crash during it leaves anything.
#[test]
fn histories_behind_an_opening_without_a_trace_are_tried() {
    let carry_out = |life: &Life<'_, _>, _: &str| {
        put(life);
        Ok(())
    };
    let code = Code { operations: &["put"], open: is_kept, carry_out };
    assert_lives(&code.search(Model::NEUTRAL), &[&["put"]]);
}

#[test]
fn a_search_without_operations_and_traces_ends() {
    let code = Code { operations: &[], open: is_kept, carry_out: |_, _| Ok(()) };
    let found = code.search(Model::NEUTRAL);
    found.assert_safe();
}

/// The store is in the CPU's buffer while the next operation acknowledges it. After a fence it would be durable.
#[test]
fn a_store_in_the_buffer_is_lost_behind_a_note_of_the_next_operation() {
    let carry_out = |life: &Life<'_, _>, operation: &str| {
        match operation {
            "put" => life.medium.store(0, 1, Relaxed),
            "fence" => life.medium.fence().unwrap(),
            _ => {
                let number = life.medium.load(0, Relaxed);
                life.note(|model| *model = number);
            }
        }
        Ok(())
    };
    let code = Code { operations: &["put", "tell"], open: is_kept, carry_out };
    assert_lives(&code.search(Model::X86_EADR), &[&["put", "tell"]]);
    let lives = [vec!["put", "fence", "tell"]];
    let code = Code { operations: &["put", "fence", "tell"], ..code };
    Code::histories(Model::X86_EADR).replay(&code, &lives).assert_safe();
}

/// A reading changes nothing, so that no crash can come within it.
#[test]
fn a_history_that_ends_with_a_reading_is_replayed() {
    let carry_out = |life: &Life<'_, _>, operation: &str| {
        if operation == "put" {
            put(life);
        }
        Ok(())
    };
    let code = Code { operations: &["put", "get"], open: is_kept, carry_out };
    let lives = [vec!["put", "get"]];
    let found = Code::histories(Model::NEUTRAL).replay(&code, &lives);
    assert_lives(&found, &[&["put", "get"]]);
}

/// The opening reads nothing, so that the crash shows its states to an operation.
#[test]
fn a_loss_that_only_an_operation_reads_is_shrunk_and_replayed() {
    let open = |life: &Life<'_, _>| {
        life.note(|_| ());
        Ok(())
    };
    let carry_out = |life: &Life<'_, _>, operation: &str| match operation {
        "put" => {
            put(life);
            Ok(())
        }
        _ => is_kept(life),
    };
    let code = Code { operations: &["put", "get"], open, carry_out };
    let found = Code::histories(Model::NEUTRAL).search(&code);
    assert_lives(&found, &[&["put"], &["get"]]);
    let again = Code::histories(Model::NEUTRAL).replay(&code, &found.lives);
    assert_lives(&again, &[&["put"], &["get"]]);
}

/// Returns the generation in one of two slots, unless it is torn.
fn generation(medium: &SimMedium, slot: u64) -> Option<u64> {
    let [found, proof] = [0, 8].map(|word| medium.load(slot * LINE + word, Relaxed));
    (found == !proof).then_some(found)
}

/// Writes the next generation in the older slot, although the newer one may only be in the caches.
fn replaces(life: &Life<'_, Code>) -> Result<(), Violation> {
    let medium = life.medium;
    let newest = generation(medium, 0).max(generation(medium, 1));
    Violation::unless(newest.is_some() || life.model() == 0, || "both are torn".into())?;
    let next = newest.unwrap_or(0) + 1;
    let at = next % 2 * LINE;
    medium.store(at, next, Relaxed);
    medium.store(at + 8, !next, Relaxed);
    medium.persist(at..at + 16)?;
    life.note(|model| *model = next);
    Ok(())
}

/// The first life makes a slot persistent. The second is killed with the other one in the caches. The third replaces
/// the first slot when the power is lost.
#[test]
fn a_kill_within_an_opening_and_a_loss_of_power_in_the_next_are_tried() {
    let code = Code { operations: &[], open: replaces, carry_out: |_, _| Ok(()) };
    for model in MODELS {
        assert_lives(&code.search(model), &[&[], &[], &[]]);
    }
}

/// The first life has two operations, of which the second is killed. The next one loses the power at its opening;
/// openings before that replace nothing.
#[test]
fn a_kill_within_an_operation_and_a_loss_of_power_at_the_opening_are_tried() {
    let open = |life: &Life<'_, _>| {
        let newest = generation(life.medium, 0).max(generation(life.medium, 1));
        if newest == Some(1) || life.model() == 0 { Ok(()) } else { replaces(life) }
    };
    let carry_out = |life: &Life<'_, _>, _: &str| replaces(life);
    let code = Code { operations: &["put"], open, carry_out };
    for model in MODELS {
        assert_lives(&code.search(model), &[&["put", "put"], &[]]);
    }
}

/// Opens a word that other processes honour: it outlives a kill, and a loss of power ends it. A reader may know of it once
/// it is stored, and not before.
fn honours(life: &Life<'_, Code>) -> Result<(), Violation> {
    if life.is_after_kill {
        return is_kept(life);
    }
    life.note(|model| *model = 0);
    life.medium.store(0, 0, Relaxed);
    Ok(())
}

#[test]
fn a_kill_between_a_note_and_the_next_store_is_tried() {
    let early = |life: &Life<'_, _>, _: &str| {
        life.note(|model| *model = 1);
        life.medium.store(0, 1, Relaxed);
        Ok(())
    };
    let in_time = |life: &Life<'_, _>, _: &str| {
        put(life);
        Ok(())
    };
    let code = |carry_out| Code { operations: &["lease"], open: honours, carry_out };
    for model in MODELS {
        assert_lives(&code(early).search(model), &[&["lease"]]);
        let again = Code::histories(model);
        assert_lives(&again.replay(&code(early), &[vec!["lease"]]), &[&["lease"]]);
        Code::histories(model).search(&code(in_time)).assert_safe();
    }
}

/// Another process is killed in the operation before.
#[test]
fn a_kill_of_another_process_is_not_counted_as_a_change() {
    let carry_out = |life: &Life<'_, _>, _: &str| {
        life.medium.store(64, 1, Relaxed);
        life.medium.killed();
        life.note(|model| *model = 1);
        life.medium.store(0, 1, Relaxed);
        Ok(())
    };
    let code = Code { operations: &["lease"], open: honours, carry_out };
    for model in MODELS {
        let again = Code::histories(model);
        assert_lives(&again.replay(&code, &[vec!["lease"]]), &[&["lease"]]);
    }
}

/// The kill comes behind the only store and before the note: the next process finds a number that the model does not
/// have.
#[test]
fn a_kill_between_a_store_and_the_next_note_is_tried() {
    let open = |life: &Life<'_, _>| {
        let found = life.medium.load(0, Relaxed);
        let is_known = !life.is_after_kill || found == life.model();
        Violation::unless(is_known, || format!("{found}, not {}", life.model()))?;
        life.note(|model| *model = found);
        Ok(())
    };
    let carry_out = |life: &Life<'_, _>, _: &str| {
        put(life);
        Ok(())
    };
    let code = Code { operations: &["put"], open, carry_out };
    for model in MODELS {
        assert_lives(&code.search(model), &[&["put"]]);
    }
}

const WORDS: core::ops::Range<u64> = 0..7;

/// Fails in one state of 128: with the first of the words lost, and all others kept.
fn rare() -> Code {
    let open = |life: &Life<'_, _>| {
        let words: Vec<_> = WORDS.map(|word| life.medium.load(8 * word, Relaxed)).collect();
        let is_torn = words[0] == 0 && words[1..].iter().all(|word| *word == 1);
        Violation::unless(!is_torn, || format!("{words:?}"))
    };
    let carry_out = |life: &Life<'_, _>, operation: &str| {
        if operation == "note" {
            life.note(|model| *model += 1);
            return Ok(());
        }
        WORDS.for_each(|word| life.medium.store(8 * word, 1, Relaxed));
        life.medium.persist(0..8 * WORDS.end)?;
        Ok(())
    };
    Code { operations: &["set", "note"], open, carry_out }
}

#[test]
fn a_history_that_fails_in_a_rare_state_fails_again() {
    let code = rare();
    for seed in 0..5 {
        let histories = Code::histories(Model::NEUTRAL).seed(seed);
        let found = histories.search(&code);
        let again = histories.replay(&code, &found.lives);
        assert_lives(&again, &[&["set"]]);
        assert_eq!(again.lives, found.lives, "seed {seed}");
        let report = found.failure.map(|failure| failure.to_string());
        assert!(report.is_some_and(|report| !report.contains("may not find it")));
    }
}

/// Counts its lives, and fails in only one of them. A crash leaves more states than are opened systematically.
struct FailsOnce(AtomicU64);

impl Structure for FailsOnce {
    type Operation = ();
    type Model = ();

    fn operations(&self, _model: &()) -> Vec<()> {
        vec![()]
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let before = self.0.fetch_add(1, Relaxed);
        Violation::unless(before != 499, || "once".into())?;
        WORDS.for_each(|word| _ = life.medium.load(8 * word, Relaxed));
        while life.next().is_some() {
            WORDS.for_each(|word| life.medium.store(8 * word, 1, Relaxed));
        }
        Ok(())
    }
}

#[test]
fn a_failure_that_does_not_come_again_is_reported_after_a_bounded_number_of_lives() {
    let once = FailsOnce(AtomicU64::new(0));
    let found = Code::histories(Model::NEUTRAL).search(&once);
    let report = found.failure.map(|failure| failure.to_string());
    assert!(report.is_some_and(|report| report.contains("a replay may not find it")));
    let lives = once.0.into_inner();
    assert!(lives < 200_000, "{lives} lives");
}
