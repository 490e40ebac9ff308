//! The verdict on a life: from the checks within it and after its last operation.

use cachemaint::medium::Medium;
use cachemaint_sim::{Histories, Life, Model, Simulation, Structure, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// A number that each operation increments, in two words that must agree.
struct Pair {
    /// True if the second word is forgotten.
    is_broken: bool,
}

impl Structure for Pair {
    type Operation = &'static str;
    type Model = ();

    fn operations(&self, _model: &()) -> Vec<&'static str> {
        vec!["increment"]
    }

    /// A crash may leave any two numbers. A process that was not killed leaves the same one twice.
    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let medium = life.medium;
        medium.store(8, medium.load(0, Relaxed), Relaxed);
        while life.next().is_some() {
            let next = medium.load(0, Relaxed) + 1;
            medium.store(0, next, Relaxed);
            // A process that was killed within the operation does not come so far.
            if !self.is_broken {
                medium.store(8, next, Relaxed);
            }
        }
        let [one, other] = [0, 8].map(|at| medium.load(at, Relaxed));
        Violation::unless(one == other, || format!("{one} and {other}"))
    }
}

#[test]
fn a_check_behind_the_last_operation_counts() {
    for model in [Model::X86, Model::ARM64, Model::NEUTRAL] {
        let search = |is_broken| {
            let simulation = Simulation::new(model, 64).zeros();
            Histories::new(simulation).cases(50).search(&Pair { is_broken })
        };
        search(false).assert_safe();
        let broken = search(true);
        let failure = broken.failure.as_deref().expect("the second word is forgotten");
        assert_eq!(failure.violation.text, "1 and 0");
        assert_eq!(broken.lives, [["increment"]]);
    }
}
