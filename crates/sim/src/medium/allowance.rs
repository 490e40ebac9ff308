//! The limit of the operations of a run: the way out of code that does not end.

use core::cell::Cell;

std::thread_local! {
    /// The turns of spinning loops that the run of this thread may still make, if it is one.
    static SPINS: Cell<Option<Allowance>> = const { Cell::new(None) };
}

/// The operations that a run may still make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    left: u64,
    /// Those of destructors that a panic runs, beyond the limit: a second panic aborts the process.
    of_destructors: u64,
}

impl Allowance {
    pub(super) const fn new(operations: u64) -> Self {
        Self { left: operations, of_destructors: operations }
    }

    /// Counts an operation. Returns false if it is beyond the limit.
    pub(super) fn spend(&mut self) -> bool {
        let is_destructor = self.left == 0 && std::thread::panicking();
        let left = if is_destructor { &mut self.of_destructors } else { &mut self.left };
        let after = left.checked_sub(1);
        *left = after.unwrap_or(0);
        after.is_some()
    }
}

/// Ends code that does not end by itself. In a destructor that aborts the process, which prints no message of a panic
/// here.
#[track_caller]
#[expect(clippy::panic, clippy::print_stderr, reason = "the way out of code that does not end")]
pub(super) fn exhausted(text: &str) -> ! {
    if std::thread::panicking() {
        std::eprintln!("{text}");
    }
    panic!("{text}");
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
    if !is_within {
        exhausted("more turns of a loop than the simulation allows operations: does this end?");
    }
}
