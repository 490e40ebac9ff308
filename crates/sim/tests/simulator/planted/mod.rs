//! Deliberate bugs, each in a small structure of a kind found in practice.
//!
//! A structure is written once, against [`Medium`](cachemaint::medium::Medium); its bug is a value. Without one it is
//! safe under each model that it is made for. With one the simulator must find it, and name the cause and its operations.

mod bucket;
mod causes;
mod counters;
mod mailbox;
mod messages;
mod producers;
mod published;

use cachemaint_sim::{Exploration, Failure, Model, ViolationKind};

/// The models for x86, arm64 and every architecture: code that is correct under one is correct there.
const EACH: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

/// The beginnings of causes.
const ACKNOWLEDGED: &str = "acknowledged before it was persistent";
const UNORDERED: &str = "two stores without an order";

/// The source of a module, in which the lines of operations are looked up: none is written down twice.
struct Source {
    file: &'static str,
    text: &'static str,
}

impl Source {
    /// Returns the file and line of the only line with this text, as messages name them.
    #[track_caller]
    fn at(&self, operation: &str) -> String {
        let is_it = |(_, line): &(usize, &str)| line.trim() == operation;
        let found: Vec<_> = (1..).zip(self.text.lines()).filter(is_it).collect();
        assert_eq!(found.len(), 1, "`{operation}` is not exactly one line of {}", self.file);
        format!("{}:{}:", self.file, found[0].0)
    }
}

/// Asserts that without a bug all is explored, and nothing fails.
#[track_caller]
fn assert_safe(models: &[Model], explore: impl Fn(Model) -> Exploration) {
    for model in models {
        let found = explore(*model);
        found.assert_safe();
        assert!(found.is_exhaustive(), "{found}");
    }
}

/// Asserts that a bug is found under each model, of this kind, with this cause and the places of its operations.
#[track_caller]
fn assert_found(
    models: &[Model],
    explore: impl Fn(Model) -> Exploration,
    kind: ViolationKind,
    cause: &str,
    operations: &[(&str, &str)],
) {
    for model in models {
        let found = explore(*model);
        assert!(found.failure.is_some(), "not found: {found}");
        found
            .failure
            .as_deref()
            .into_iter()
            .for_each(|failure| check(failure, kind, cause, operations));
    }
}

#[track_caller]
fn check(failure: &Failure, kind: ViolationKind, cause: &str, operations: &[(&str, &str)]) {
    assert_eq!(failure.violation.kind, kind, "{failure}");
    let message = failure.to_string();
    assert!(message.is_ascii(), "{message}");
    let found = failure.cause.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(found.starts_with(cause), "not `{cause}`:\n{failure}");
    for (role, place) in operations {
        let is_it = |line: &str| line.trim().starts_with(role) && line.contains(place);
        assert!(found.lines().any(is_it), "{role} is not at {place}:\n{failure}");
    }
}
