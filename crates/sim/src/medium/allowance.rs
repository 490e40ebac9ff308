//! The limit of the operations of a run: the way out of code that does not end.

use core::cell::Cell;

std::thread_local! {
    /// The turns of spinning loops that the run of this thread may still make, if it is one.
    static SPINS: Cell<Option<Allowance>> = const { Cell::new(None) };
}

/// The operations that a run may still make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance(u64);

impl Allowance {
    pub(super) const fn new(operations: u64) -> Self {
        Self(operations)
    }

    /// Counts an operation. Returns false if it is beyond the limit, but not to destructors that a panic runs: a second
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

/// The limit before, which is set again also if the run panics.
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
