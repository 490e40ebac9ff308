//! The limit of the operations of a run: the way out of code that does not end.

/// The operations that a run may still make.
#[derive(Debug)]
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
