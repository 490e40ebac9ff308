//! The limit of a run's operations, which stops endless code.

use core::cell::Cell;

std::thread_local! {
    /// The number of turns of spinning loops that this thread's run may still make, if it has one.
    static SPINS: Cell<Option<Allowance>> = const { Cell::new(None) };
}

/// The number of operations that a run may still make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance(u64);

impl Allowance {
    pub(super) const fn new(operations: u64) -> Self {
        Self(operations)
    }

    /// Counts an operation. Returns false beyond the limit, except in destructors that a panic runs, since a second
    /// panic aborts the process.
    pub(super) fn spend(&mut self) -> bool {
        let is_within = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        is_within || std::thread::panicking()
    }
}

/// Limits the turns of spinning loops in a run.
pub(super) fn limiting_spins<T>(turns: Allowance, run: impl FnOnce() -> T) -> T {
    let _before = Before(SPINS.replace(Some(turns)));
    run()
}

/// The previous limit, which is restored even if the run panics.
struct Before(Option<Allowance>);

impl Drop for Before {
    fn drop(&mut self) {
        SPINS.set(self.0);
    }
}

/// Counts a turn of a spinning loop, if this thread has a limit.
#[track_caller]
pub(super) fn spin() {
    let Some(mut left) = SPINS.get() else { return };
    let is_within = left.spend();
    SPINS.set(Some(left));
    assert!(
        is_within,
        "more turns of a loop than the simulation allows operations: does this end?"
    );
}
