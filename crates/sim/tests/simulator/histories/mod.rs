//! Generated histories: they find mistakes that need several lives, and report the shortest.

mod moments;

use cachemaint::medium::Medium;
use cachemaint_sim::{
    BadBlock, Histories, Life, Model, Searched, SimMedium, Simulation, Structure, Violation,
    ViolationKind,
};
use core::sync::atomic::AtomicU64;
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
    runs: AtomicU64,
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
        erase(self.medium, self.slot - 1).unwrap();
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

fn erase(medium: &SimMedium, slot: u64) -> Result<(), BadBlock> {
    write(medium, slot, [0; 3]);
    medium.persist(place(slot)..place(slot) + 24)
}

fn append(medium: &SimMedium, first: u64, numbers: &[u64]) -> Result<(), BadBlock> {
    for (slot, number) in (first..).zip(numbers) {
        assert!(slot < SLOTS, "no slot");
        write(medium, slot, record(slot, *number));
        medium.issue_writeback(place(slot)..place(slot) + 24)?;
    }
    medium.fence().unwrap();
    Ok(())
}

impl Log {
    const fn new(bug: Option<Bug>) -> Self {
        Self { bug, runs: AtomicU64::new(0) }
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
    fn open(&self, medium: &SimMedium) -> Result<Vec<u64>, BadBlock> {
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
            self.runs.fetch_add(1, Relaxed);
            let end = found.len() as u64;
            let Do::Append(count) = operation else {
                medium.store(place(end), end, Relaxed);
                handles.push(Begun { medium, slot: end });
                continue;
            };
            let first = life.model().next + 1;
            let is_odd = self.has(Bug::CountsRuns) && self.runs.load(Relaxed) % 2 == 1;
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
}

fn histories(model: Model) -> Histories {
    Histories::new(Simulation::new(model, BYTES)).seed(7)
}

fn search(model: Model, bug: Option<Bug>) -> Searched<Do> {
    histories(model).search(&Log::new(bug))
}

/// Asserts that the bug is found, and that these are the shortest lives that lead to it.
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
        let found = histories(model).search(&Log::new(None));
        found.assert_safe();
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

/// A process that was killed leaves a record, or the mark of the log, in the caches; the next one reads it, and the power is
/// lost.
#[test]
fn a_record_read_and_then_lost_is_found() {
    for model in MODELS {
        let found = search(model, Some(Bug::TrustsCaches));
        let failure = found.failure.as_deref().expect("it is there");
        assert_eq!(failure.violation.kind, ViolationKind::Lost, "{failure}");
        assert_eq!(found.lives.len(), 2, "{failure}");
        assert_eq!(found.lives.concat(), [Do::Append(1)], "{failure}");
    }
}

#[test]
fn a_medium_is_not_zeros_unless_that_is_asked_for() {
    // The second opening takes the remains of the first one for records.
    assert_found(Model::X86, Bug::ExpectsZeros, ViolationKind::Broken, &[&[]]);
    let zeros = Simulation::new(Model::X86, BYTES).zeros();
    let log = Log::new(Some(Bug::ExpectsZeros));
    Histories::new(zeros).search(&log).assert_safe();
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
        let found =
            histories(Model::NEUTRAL).seed(seed).search(&Log::new(Some(Bug::LeavesLeftovers)));
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
        "\nlife 1:\n",
        "LOST",
        "\nfound as number ",
    ] {
        assert!(report.contains(text), "{text}:\n{report}");
    }
}
