//! Copies by streaming stores that no fence has ordered: other threads find them late, and they arrive after the stores
//! of other threads.

use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::{
    Exploration, Histories, Life, Model, SimMedium, Simulation, Structure, Violation,
    ViolationKind, sync,
};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const EACH: [Model; 5] =
    [Model::X86, Model::ARM64, Model::NEUTRAL, Model::X86_EADR, Model::CACHES_KEPT];

/// The way in which a thread copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    Unordered,
    UnorderedAndFenced,
    Unfenced,
}

#[expect(unsafe_code, reason = "the promise of the copy is under test")]
fn copy(medium: &SimMedium, at: u64, value: u8, way: Copy) {
    let bytes = [value; 16];
    if way == Copy::Unfenced {
        return medium.copy_unfenced(&[(at, &bytes)]).unwrap();
    }
    // SAFETY: no code is unsound on a simulated medium.
    unsafe { medium.copy_unordered(&[(at, &bytes)]) }.unwrap();
    if way == Copy::UnorderedAndFenced {
        medium.fence().unwrap();
    }
}

const SPACE: u64 = 64;
const WHOLE: u64 = u64::from_ne_bytes([2; 8]);

/// A thread copies to a free space and gives it back. Another one takes the space over, and keeps its own copy there.
fn hands_on(model: Model, way: Copy) -> Exploration {
    Simulation::new(model, 128).zeros().explore(
        |medium, notes| {
            let is_taken = sync::Mutex::new(false);
            let gives_back = || {
                is_taken.with_mut(|is_taken| {
                    if !*is_taken {
                        copy(medium, SPACE, 1, way);
                    }
                });
            };
            let keeps = || {
                is_taken.with_mut(|is_taken| *is_taken = true);
                medium.persist_copy(&[(SPACE, &[2; 16])]).unwrap();
                notes.add(());
            };
            medium.run_threads(&[&gives_back, &keeps]);
        },
        |medium, notes| {
            let found = [0, 8].map(|at| medium.load(SPACE + at, Relaxed));
            let is_kept = notes.is_empty() || found == [WHOLE; 2];
            if is_kept { Ok(()) } else { Err(Violation::lost(format!("{found:x?}"))) }
        },
    )
}

#[test]
fn a_copy_without_a_fence_arrives_behind_the_stores_of_others() {
    for model in EACH {
        let found = hands_on(model, Copy::Unordered);
        let failure = found.failure.unwrap_or_else(|| panic!("{model}"));
        assert_eq!(failure.violation.kind, ViolationKind::Lost, "{failure}");
        for way in [Copy::UnorderedAndFenced, Copy::Unfenced] {
            hands_on(model, way).assert_safe();
        }
    }
}

/// A thread copies and then sets a flag. Another one that finds the flag is sure to find the copy only if a fence was
/// in between.
#[test]
fn a_copy_without_a_fence_is_found_late() {
    let explore = |model, way| {
        Simulation::new(model, 128).zeros().explore(
            |medium, _notes| {
                let sets = || {
                    copy(medium, SPACE, 2, way);
                    medium.store(0, 1, Release);
                };
                let looks = || {
                    if medium.load(0, Acquire) == 1 {
                        let mut found = [0; 16];
                        medium.read(SPACE, &mut found).unwrap();
                        assert_eq!(found, [2; 16], "late");
                    }
                };
                medium.run_threads(&[&sets, &looks]);
                // The end of a thread orders everything that it did.
                assert_eq!(medium.load(SPACE, Relaxed), WHOLE);
            },
            |_medium, _notes: &[()]| Ok(()),
        )
    };
    for model in EACH {
        let failure = explore(model, Copy::Unordered).failure.unwrap_or_else(|| panic!("{model}"));
        assert!(failure.violation.text.contains("late"), "{failure}");
        for way in [Copy::UnorderedAndFenced, Copy::Unfenced] {
            explore(model, way).assert_safe();
        }
    }
}

/// A thread finds its own stores in their order.
#[test]
fn a_thread_that_overwrites_its_copy_keeps_what_came_last() {
    for model in EACH {
        let explored = Simulation::new(model, 128).zeros().explore(
            |medium, _notes| {
                let writes = || {
                    copy(medium, SPACE, 1, Copy::Unordered);
                    medium.store(SPACE, WHOLE, Relaxed);
                    assert_eq!(medium.load(SPACE, Relaxed), WHOLE);
                };
                let beside = || medium.store(SPACE + 8, 3, Relaxed);
                medium.run_threads(&[&writes, &beside]);
                assert_eq!(medium.load(SPACE, Relaxed), WHOLE);
            },
            |_medium, _notes: &[()]| Ok(()),
        );
        explored.assert_safe();
    }
}

/// A counter that two threads increment, in histories.
struct Counter {
    has_lock: bool,
}

impl Counter {
    fn increment(&self, medium: &SimMedium, lock: &sync::Mutex<()>) {
        let increment = || {
            let next = medium.load(0, Relaxed) + 1;
            medium.store(0, next, Relaxed);
            medium.order_observed();
            medium.persist(0..8).unwrap();
        };
        if self.has_lock { lock.with_mut(|()| increment()) } else { increment() }
    }
}

impl Structure for Counter {
    type Operation = &'static str;
    /// The count that is acknowledged, and that which is under way.
    type Model = (u64, u64);

    fn operations(&self, _model: &(u64, u64)) -> Vec<&'static str> {
        vec!["two"]
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let medium = life.medium;
        medium.persist(0..8)?;
        let (found, (done, begun)) = (medium.load(0, Relaxed), life.model());
        Violation::unless((done..=begun).contains(&found), || format!("{found}: {done}, {begun}"))?;
        life.note(|model| *model = (found, found));
        while life.next().is_some() {
            let lock = sync::Mutex::new(());
            let one = || {
                life.note(|(_, begun)| *begun += 1);
                self.increment(medium, &lock);
                life.note(|(done, _)| *done += 1);
            };
            medium.run_threads(&[&one, &one]);
        }
        Ok(())
    }
}

#[test]
fn threads_of_a_history_meet_each_other() {
    for model in EACH {
        let histories = || Histories::new(Simulation::new(model, 64).zeros()).cases(300);
        histories().search(&Counter { has_lock: true }).assert_safe();
        let without = Counter { has_lock: false };
        let broken = histories().search(&without);
        assert_eq!(broken.lives, [["two"]], "{broken}");
        assert!(histories().replay(&without, &broken.lives).failure.is_some());
    }
}
