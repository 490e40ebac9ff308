//! Two accounts, and a log of their former values: recovery undoes a transfer that has not ended.

use super::{EACH, Source, UNORDERED, assert_found, assert_safe};
use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::ViolationKind::Broken;
use cachemaint_sim::{Exploration, Failure, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// The accounts, the flag that there is something to undo, and the former values: each in a line of
/// its own.
const ACCOUNTS: [u64; 2] = [0, 64];
const VALID: u64 = 128;
const BEFORE: u64 = 192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// Recovery forgets the former values before it has restored them.
    ForgetsFirst,
    /// Recovery does not persist the restored values.
    RestoresForNow,
    /// A transfer does not persist the former values.
    LogsForNow,
    /// A transfer does not persist the former values, and recovery stores something before it looks.
    LogsForNowAndCounts,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("undo.rs") };

struct Accounts<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

impl<M: Medium> Accounts<'_, M> {
    fn transfer(&self, amount: u64) -> Result<(), M::Error> {
        let [one, other] = ACCOUNTS.map(|account| self.medium.load(account, Relaxed));
        self.medium.store(BEFORE, one, Relaxed);
        self.medium.store(BEFORE + 8, other, Relaxed);
        if !matches!(self.bug, Some(Bug::LogsForNow | Bug::LogsForNowAndCounts)) {
            self.medium.persist(BEFORE..BEFORE + 16)?;
        }
        self.medium.store(VALID, 1, Relaxed);
        self.medium.persist(VALID..VALID + 8)?;
        self.medium.store(ACCOUNTS[0], one - amount, Relaxed);
        self.medium.persist(ACCOUNTS[0]..ACCOUNTS[0] + 8)?;
        self.medium.store(ACCOUNTS[1], other + amount, Relaxed);
        self.medium.persist(ACCOUNTS[1]..ACCOUNTS[1] + 8)?;
        self.forget()
    }

    fn recover(&self) -> Result<(), M::Error> {
        if self.bug == Some(Bug::LogsForNowAndCounts) {
            self.count()?;
        }
        if self.medium.load(VALID, Relaxed) == 0 {
            return Ok(());
        }
        if self.bug == Some(Bug::ForgetsFirst) {
            self.forget()?;
            return self.restore();
        }
        self.restore()?;
        self.forget()
    }

    fn restore(&self) -> Result<(), M::Error> {
        for (account, before) in ACCOUNTS.into_iter().zip([BEFORE, BEFORE + 8]) {
            let value = self.medium.load(before, Relaxed);
            self.medium.store(account, value, Relaxed);
            if self.bug != Some(Bug::RestoresForNow) {
                self.medium.persist(account..account + 8)?;
            }
        }
        Ok(())
    }

    fn forget(&self) -> Result<(), M::Error> {
        self.medium.store(VALID, 0, Relaxed);
        self.medium.persist(VALID..VALID + 8)
    }

    /// Counts the recoveries.
    fn count(&self) -> Result<(), M::Error> {
        let at = VALID + 8;
        self.medium.store(at, self.medium.load(at, Relaxed) + 1, Relaxed);
        self.medium.persist(at..at + 8)
    }
}

fn judge(medium: &SimMedium, bug: Option<Bug>) -> Result<(), Violation> {
    Accounts { medium, bug }.recover()?;
    let [one, other] = ACCOUNTS.map(|account| medium.load(account, Relaxed));
    Violation::unless(one + other == 100, || format!("{one} and {other} are not 100"))
}

fn explore(model: Model, bug: Option<Bug>) -> Exploration {
    let prepare = |medium: &SimMedium| medium.store(ACCOUNTS[0], 100, Relaxed);
    let transfer = |medium: &SimMedium, _notes: &Notes<'_, ()>| {
        Accounts { medium, bug }.transfer(10).unwrap();
    };
    Simulation::new(model, 256)
        .zeros()
        .prepared(prepare)
        .explore(transfer, |medium, _notes| judge(medium, bug))
}

fn forgotten() -> String {
    SOURCE.at("self.medium.store(VALID, 0, Relaxed);")
}

fn restored() -> String {
    SOURCE.at("self.medium.store(account, value, Relaxed);")
}

#[test]
fn the_accounts_are_safe() {
    assert_safe(&EACH, |model| explore(model, None));
}

#[test]
fn a_missing_write_back_of_the_log_is_found() {
    let logged = SOURCE.at("self.medium.store(BEFORE, one, Relaxed);");
    let valid = SOURCE.at("self.medium.store(VALID, 1, Relaxed);");
    for bug in [Bug::LogsForNow, Bug::LogsForNowAndCounts] {
        let explore = |model| explore(model, Some(bug));
        assert_found(&EACH, explore, Broken, UNORDERED, &[("missing", &logged)]);
        let message =
            explore(Model::X86).failure.as_deref().map(ToString::to_string).unwrap_or_default();
        assert!(message.contains(&valid), "{message}");
    }
}

#[test]
fn recovery_that_forgets_before_it_restores_is_found() {
    let explore = |model| explore(model, Some(Bug::ForgetsFirst));
    let operations: [(_, &str); 2] = [("kept", &forgotten()), ("missing", &restored())];
    assert_found(&EACH, explore, Broken, UNORDERED, &operations);
    assert_eq!(explore(Model::X86).failure.as_deref().map(Failure::crashes), Some(2));
}

#[test]
fn recovery_that_does_not_persist_what_it_restores_is_found() {
    let explore = |model| explore(model, Some(Bug::RestoresForNow));
    let operations: [(_, &str); 2] = [("kept", &forgotten()), ("missing", &restored())];
    assert_found(&EACH, explore, Broken, UNORDERED, &operations);
    assert_eq!(explore(Model::X86).failure.as_deref().map(Failure::crashes), Some(2));
}
