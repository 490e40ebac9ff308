//! Generated histories: they find mistakes that take several lives, and report the shortest.

use cachemaint::medium::{Medium, Readable};
use cachemaint::sim::{
    Histories, Life, Model, Searched, SimMedium, Simulation, Structure, Violation, ViolationKind,
};
use core::cell::Cell;
use core::convert::Infallible;
use core::sync::atomic::Ordering::Relaxed;

const MODELS: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

/// The first word of a medium with a log. Slots begin in the next line, each in a line of its own.
const MAGIC: u64 = 0x676f_6c20_6120_7369;
const SLOTS: u64 = 6;
const LINE: u64 = 64;
const BYTES: u64 = (1 + SLOTS) * LINE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// Recovery leaves records behind the end that a crash has kept.
    LeavesLeftovers,
    /// Recovery relies on bytes that a killed process may have left in the caches.
    TrustsCaches,
    /// A medium without a log is expected to be zeros, and anything else to be a record.
    ExpectsZeros,
    /// The log fails when it is full, and not as it should.
    PanicsWhenFull,
    /// The operation depends on the number of runs before it.
    CountsRuns,
}

/// A log of numbers.
struct Log {
    bug: Option<Bug>,
    runs: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Do {
    /// Appends so many numbers, with one fence.
    Append(u64),
    /// Begins to append a number, and leaves that unfinished.
    Begin,
}

/// The acknowledged numbers, and those that may follow them.
#[derive(Clone, Debug, Default)]
struct Numbers {
    acknowledged: Vec<u64>,
    begun: Vec<u64>,
    next: u64,
}

/// A number that is being appended: if it is dropped, its slot is made invalid.
struct Begun<'m> {
    medium: &'m SimMedium,
    slot: u64,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        // Not even its own slot.
        let Ok(()) = erase(self.medium, self.slot - 1);
    }
}

const fn place(slot: u64) -> u64 {
    (1 + slot) * LINE
}

/// Returns the words of a record, the last of which proves the others. None is zero: numbers begin with 1.
fn record(slot: u64, number: u64) -> [u64; 3] {
    [slot + 1, number, (slot + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.rotate_left(17)]
}

fn load(medium: &SimMedium, slot: u64) -> [u64; 3] {
    [0, 8, 16].map(|word| medium.load(place(slot) + word, Relaxed))
}

fn write(medium: &SimMedium, slot: u64, words: [u64; 3]) {
    for (at, word) in (place(slot)..).step_by(8).zip(words) {
        medium.store(at, word, Relaxed);
    }
}

fn erase(medium: &SimMedium, slot: u64) -> Result<(), Infallible> {
    write(medium, slot, [0; 3]);
    medium.persist(place(slot)..place(slot) + 24)
}

fn append(medium: &SimMedium, first: u64, numbers: &[u64]) -> Result<(), Infallible> {
    for (slot, number) in (first..).zip(numbers) {
        assert!(slot < SLOTS, "no slot");
        write(medium, slot, record(slot, *number));
        medium.issue_writeback(place(slot)..place(slot) + 24)?;
    }
    medium.fence();
    Ok(())
}

impl Log {
    const fn new(bug: Option<Bug>) -> Self {
        Self { bug, runs: Cell::new(0) }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Returns the number in a slot.
    fn number(&self, medium: &SimMedium, slot: u64) -> Option<u64> {
        let found = load(medium, slot);
        let is_record = if self.has(Bug::ExpectsZeros) {
            found[2] != 0
        } else {
            found == record(slot, found[1])
        };
        is_record.then_some(found[1])
    }

    /// Returns the numbers that are there.
    fn open(&self, medium: &SimMedium) -> Result<Vec<u64>, Infallible> {
        if medium.load(0, Relaxed) != MAGIC {
            if !self.has(Bug::ExpectsZeros) {
                (0..SLOTS).try_for_each(|slot| erase(medium, slot))?;
            }
            medium.store(0, MAGIC, Relaxed);
            medium.persist(0..8)?;
            return Ok(Vec::new());
        }
        let found: Vec<_> = (0..SLOTS).map_while(|slot| self.number(medium, slot)).collect();
        let end = found.len() as u64;
        if !self.has(Bug::TrustsCaches) {
            medium.persist(0..place(end))?;
        }
        if !self.has(Bug::LeavesLeftovers) {
            let is_left = |slot: &u64| load(medium, *slot) != [0; 3];
            (end..SLOTS).filter(is_left).try_for_each(|slot| erase(medium, slot))?;
        }
        Ok(found)
    }
}

impl Structure for Log {
    type Operation = Do;
    type Model = Numbers;

    fn operations(&self, model: &Numbers) -> Vec<Do> {
        let left = SLOTS - model.acknowledged.len() as u64;
        let fits = |operation: &Do| match operation {
            Do::Append(count) => *count <= left || self.has(Bug::PanicsWhenFull),
            Do::Begin => left > 0 && left < SLOTS,
        };
        [Do::Append(1), Do::Append(2), Do::Append(4), Do::Begin].into_iter().filter(fits).collect()
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let medium = life.medium;
        let mut found = self.open(medium)?;
        let Numbers { mut acknowledged, begun, .. } = life.model();
        let most: Vec<_> = acknowledged.iter().chain(&begun).copied().collect();
        let text = || format!("{found:?}, not {acknowledged:?} and the first of {begun:?}");
        if !found.starts_with(&acknowledged) {
            return Err(Violation::lost(text()));
        }
        Violation::unless(most.starts_with(&found), text)?;
        acknowledged.clone_from(&found);
        life.note(|model| *model = Numbers { acknowledged, begun: Vec::new(), ..*model });
        let mut handles = Vec::new();
        while let Some(operation) = life.next() {
            self.runs.set(self.runs.get() + 1);
            let end = found.len() as u64;
            let Do::Append(count) = operation else {
                medium.store(place(end), end, Relaxed);
                handles.push(Begun { medium, slot: end });
                continue;
            };
            let first = life.model().next + 1;
            let is_odd = self.has(Bug::CountsRuns) && self.runs.get() % 2 == 1;
            let numbers: Vec<_> = (first..first + count + u64::from(is_odd)).collect();
            life.note(|model| {
                model.begun = (first..first + count).collect();
                model.next += count;
            });
            append(medium, end, &numbers)?;
            life.note(|model| model.acknowledged.append(&mut model.begun));
            found.extend(numbers);
        }
        Ok(())
    }

    fn simpler(&self, operation: &Do) -> Vec<Do> {
        match operation {
            Do::Append(count) => {
                [1, 2].into_iter().filter(|less| less < count).map(Do::Append).collect()
            }
            Do::Begin => vec![Do::Append(1)],
        }
    }
}

fn histories(model: Model) -> Histories {
    Histories::new(Simulation::new(model, BYTES)).all(4_000).by_chance(2_000, 7)
}

fn search(model: Model, bug: Option<Bug>) -> Searched<Do> {
    histories(model).search(&Log::new(bug))
}

/// Asserts that it is found, and that these are the shortest lives that lead to it.
#[track_caller]
#[expect(clippy::expect_used, reason = "an assertion")]
fn assert_found(model: Model, bug: Bug, kind: ViolationKind, lives: &[&[Do]]) {
    let found = search(model, Some(bug));
    let failure = found.failure.as_deref().expect("it is there");
    assert_eq!(failure.violation.kind, kind, "{failure}");
    assert_eq!(found.lives, lives, "{failure}");
}

#[test]
fn a_correct_log_is_safe_in_every_history() {
    for model in MODELS {
        let found = histories(model).all(40_000).search(&Log::new(None));
        found.assert_safe();
        assert!(found.length >= Some(2), "{found}");
        assert!(found.states > found.histories && found.histories > 1_000, "{found}");
    }
}

/// A crash keeps the second of two records, and the next life puts one in front of it. Where words of a line are not
/// ordered, a crash keeps all words of a record but the first, and the first store of the next life completes it.
#[test]
fn a_leftover_of_an_earlier_life_is_found() {
    for (model, first) in [(Model::X86, 2), (Model::ARM64, 1), (Model::NEUTRAL, 1)] {
        let lives: &[&[Do]] = &[&[Do::Append(first)], &[Do::Append(1)]];
        assert_found(model, Bug::LeavesLeftovers, ViolationKind::Broken, lives);
    }
}

/// A process that was killed leaves a record in the caches, the next one reads it, and the power is lost.
#[test]
fn a_record_read_and_then_lost_is_found() {
    for model in MODELS {
        assert_found(model, Bug::TrustsCaches, ViolationKind::Lost, &[&[Do::Append(1)], &[]]);
    }
}

#[test]
fn a_medium_is_not_zeros_unless_that_is_asked_for() {
    // The second opening takes the remains of the first one for records.
    assert_found(Model::X86, Bug::ExpectsZeros, ViolationKind::Broken, &[&[]]);
    let zeros = Simulation::new(Model::X86, BYTES).zeros();
    let log = Log::new(Some(Bug::ExpectsZeros));
    Histories::new(zeros).all(4_000).search(&log).assert_safe();
}

#[test]
fn a_panic_is_a_failure_with_the_operations_before_it() {
    let found = search(Model::X86, Some(Bug::PanicsWhenFull));
    let failure = found.failure.as_deref().expect("seven numbers do not fit");
    assert_eq!(failure.violation.kind, ViolationKind::Panicked);
    let count = |one: &Do| if let Do::Append(count) = one { *count } else { 0 };
    let [life] = &*found.lives else { panic!("more lives than one: {failure}") };
    let numbers: u64 = life.iter().map(count).sum();
    assert!((7..=8).contains(&numbers), "{failure}");
    assert!(failure.to_string().contains("no slot"), "{failure}");
}

#[test]
fn a_nondeterministic_operation_is_reported() {
    let found = search(Model::X86, Some(Bug::CountsRuns));
    assert!(found.failure.is_some(), "{found}");
}

#[test]
fn the_same_seed_finds_the_same() {
    let found = |seed| {
        let histories = histories(Model::NEUTRAL).all(0).by_chance(2_000, seed);
        let found = histories.search(&Log::new(Some(Bug::LeavesLeftovers)));
        found.failure.as_deref().expect("it is there").to_string()
    };
    assert_eq!(found(3), found(3));
    assert!(found(3).contains(" of seed 3;"), "{}", found(3));
}

#[test]
fn a_history_that_failed_fails_again_and_not_when_it_is_mended() {
    let lives = [vec![Do::Append(2)], vec![Do::Append(1)]];
    let again = |bug| histories(Model::X86).replay(&Log::new(bug), &lives);
    let failed = again(Some(Bug::LeavesLeftovers));
    assert!(failed.failure.is_some(), "{failed}");
    assert_eq!(failed.lives, lives);
    let mended = again(None);
    mended.assert_safe();
    assert!(mended.histories > 0, "{mended}");
}

#[test]
fn a_report_names_each_life_and_what_was_lost() {
    let found = search(Model::X86, Some(Bug::LeavesLeftovers));
    let report = found.failure.as_deref().expect("it is there").to_string();
    for text in [
        "recovery broke an invariant: ",
        "in a history of 3 lives under the model x86",
        "life 1: [Append(2)], the power is lost during the last of them",
        "life 2: [Append(1)], ",
        "life 3: fails at its opening",
        "life 1 up to the loss of power:",
        "LOST",
        "\nfound by chance, number ",
    ] {
        assert!(report.contains(text), "{text}:\n{report}");
    }
}

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

    /// Returns a search of all short histories.
    fn all(&self, model: Model) -> Searched<&'static str> {
        Self::histories(model).by_chance(0, 0).search(self)
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
    assert_lives(&code.all(Model::NEUTRAL), &[&["put"]]);
}

#[test]
fn a_search_without_operations_and_traces_ends() {
    let code = Code { operations: &[], open: is_kept, carry_out: |_, _| Ok(()) };
    let found = code.all(Model::NEUTRAL);
    found.assert_safe();
    assert_eq!(found.histories, 0, "{found}");
}

/// The store is in the CPU's buffer while the next operation acknowledges it. Behind a fence it would be durable.
#[test]
fn a_store_in_the_buffer_is_lost_behind_a_note_of_the_next_operation() {
    let carry_out = |life: &Life<'_, _>, operation: &str| {
        match operation {
            "put" => life.medium.store(0, 1, Relaxed),
            "fence" => life.medium.fence(),
            _ => {
                let number = life.medium.load(0, Relaxed);
                life.note(|model| *model = number);
            }
        }
        Ok(())
    };
    let code = Code { operations: &["put", "tell"], open: is_kept, carry_out };
    assert_lives(&code.all(Model::X86_EADR), &[&["put", "tell"]]);
    let lives = [vec!["put", "fence", "tell"]];
    let code = Code { operations: &["put", "fence", "tell"], ..code };
    Code::histories(Model::X86_EADR).by_chance(0, 0).replay(&code, &lives).assert_safe();
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
    assert_lives(&found, &[&["put"]]);
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

/// Writes the next generation in the older slot, though the newer one may be in the caches only.
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
        assert_lives(&code.all(model), &[&[], &[], &[]]);
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
        assert_lives(&code.all(model), &[&["put", "put"], &[]]);
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
        assert_lives(&code(early).all(model), &[&["lease"]]);
        let again = Code::histories(model).by_chance(0, 0);
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
        let again = Code::histories(model).by_chance(0, 0);
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
        assert_lives(&code.all(model), &[&["put"]]);
    }
}
