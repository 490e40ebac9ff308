//! Violations: the defects in the result of a recovery.

use super::shown;
use crate::machine::Place;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::AssertUnwindSafe;
use std::panic;
use std::sync::Once;

/// The kind of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViolationKind {
    /// Recovery returned an error.
    Error,
    /// Recovery panicked, exceeded its limit of operations, or used the medium in a thread that it started.
    Panicked,
    /// An invariant does not hold.
    Broken,
    /// A noted fact, of which the outside world had learned, is missing.
    Lost,
    /// Recovery behaved differently although the medium gave the same answers.
    Differs,
    /// Without a crash, the workload panicked, behaved differently in another run, or used the medium in a thread that
    /// [`run_threads`](crate::SimMedium::run_threads) did not start.
    Workload,
}

/// A defect in the result of a recovery. Any error becomes one by `?`, so this type cannot implement
/// [`Error`](core::error::Error) itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The kind of the defect.
    pub kind: ViolationKind,
    /// The description, without the kind.
    pub text: String,
}

impl Violation {
    /// Returns a violation for a broken invariant.
    pub fn broken(what: impl Into<String>) -> Self {
        Self { kind: ViolationKind::Broken, text: what.into() }
    }

    /// Returns a violation for a missing noted fact, of which the outside world had learned.
    pub fn lost(what: impl Into<String>) -> Self {
        Self { kind: ViolationKind::Lost, text: what.into() }
    }

    /// Fails with a broken invariant unless the condition holds.
    ///
    /// # Errors
    /// If it does not hold.
    pub fn unless(holds: bool, what: impl FnOnce() -> String) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::broken(what())) }
    }

    pub(crate) fn differs() -> Self {
        let text = "another run, with the same answers from the medium, read other words: it may depend only on the \
                    medium and the notes";
        Self { kind: ViolationKind::Differs, text: text.into() }
    }

    /// Returns a violation for a recovery that behaved differently on the initial medium.
    pub(crate) fn kept() -> Self {
        let text = "on the medium as it is before the workload, without notes, it made other operations or had \
                    another result before the exploration than at its end: it may keep nothing from run to run";
        Self { kind: ViolationKind::Differs, text: text.into() }
    }

    /// Returns the same violation as one of the workload.
    pub(crate) fn in_workload(self) -> Self {
        Self { kind: ViolationKind::Workload, ..self }
    }

    /// Returns a violation for an unknown thread that used the medium.
    pub(crate) fn foreign(place: Place) -> Self {
        let text = format!(
            "the operation at {} was made by a thread that `run_threads` did not start: let it start all threads that \
             use the medium",
            shown(place)
        );
        Self { kind: ViolationKind::Panicked, text }
    }

    /// Returns a violation for a workload that differs with the same order of its threads.
    pub(crate) fn workload_differs() -> Self {
        let text = "another run, with the same order of threads, made other operations or stored other values: it \
                    may depend only on the medium";
        Self { kind: ViolationKind::Workload, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ViolationKind::Error => "recovery returned an error: ",
            ViolationKind::Panicked => "recovery panicked: ",
            ViolationKind::Broken => "recovery broke an invariant: ",
            ViolationKind::Lost => "acknowledged data are lost: ",
            ViolationKind::Differs => "recovery is not deterministic: ",
            ViolationKind::Workload => "the workload failed: ",
        })?;
        f.write_str(&self.text)
    }
}

impl<E: core::error::Error> From<E> for Violation {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self { kind: ViolationKind::Error, text }
    }
}

std::thread_local! {
    /// True if panics of this thread are expected.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
    /// The message of the last expected panic, and its place.
    static SAID: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs code in which panics are findings: they are not printed, but returned with their place. For this, a panic hook
/// is set once; it passes all other panics to the previous hook.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, Violation> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_QUIET.get() {
                SAID.set(said(info));
            } else {
                before(info);
            }
        }));
    });
    let was_quiet = IS_QUIET.replace(true);
    SAID.set(None);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    IS_QUIET.set(was_quiet);
    result.map_err(|payload| {
        let text = match (message(payload.as_ref()), SAID.take()) {
            (Some(message), Some((said, place))) if said == message => {
                format!("{message} ({place})")
            }
            // The code has handled a panic after this one, or has resumed another one.
            (message, _) => message.unwrap_or_else(|| "no message".into()),
        };
        Violation { kind: ViolationKind::Panicked, text }
    })
}

/// Panics with a message that names the places itself, so a run does not add the place of this panic.
#[track_caller]
#[expect(clippy::panic, reason = "the panic of a thread goes on")]
pub(crate) fn raise(text: String) -> ! {
    if IS_QUIET.get() {
        SAID.set(None);
        panic::resume_unwind(Box::new(text));
    }
    panic!("{text}");
}

fn said(info: &panic::PanicHookInfo<'_>) -> Option<(String, String)> {
    Some((message(info.payload())?, info.location()?.to_string()))
}

fn message(payload: &(dyn core::any::Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
}

#[cfg(test)]
mod tests {
    use super::quietly;
    use alloc::boxed::Box;
    use std::panic::{catch_unwind, resume_unwind};

    #[test]
    fn the_text_is_of_the_panic_that_ended_the_run() {
        let violation = quietly(|| {
            let _handled = catch_unwind(|| panic!("an old one"));
            resume_unwind(Box::new("the real one"));
        });
        assert_eq!(violation.unwrap_err().text, "the real one");
        let _handled = quietly(|| catch_unwind(|| panic!("handled by the run before")));
        let violation = quietly(|| resume_unwind(Box::new("handled by the run before")));
        assert_eq!(violation.unwrap_err().text, "handled by the run before");
        let violation = quietly(|| panic!("with its place")).unwrap_err();
        assert!(violation.text.starts_with("with its place (crates/sim/src"), "{violation}");
    }
}
