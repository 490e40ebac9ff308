//! The other CPUs of a board: they are started by the first one, wait, and run a function when it asks.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use super::machine;

/// The most CPUs: the first one, and those with a stack.
pub const MOST: usize = 4;

/// The CPUs that have joined. Each has put its number at the place that it got by that.
static JOINED: AtomicUsize = AtomicUsize::new(0);
static NUMBERS: [AtomicU32; MOST - 1] = [const { AtomicU32::new(0) }; MOST - 1];
static HAS_NUMBER: [AtomicBool; MOST - 1] = [const { AtomicBool::new(false) }; MOST - 1];

/// The function to run: the address of a reference to it. It is valid while the count of the others that have ended it
/// is below their number.
static FUNCTION: AtomicUsize = AtomicUsize::new(0);
static ROUND: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// The CPUs of the machine, all of them running. The first one alone has it: it is not `Sync`, so no function that runs
/// on them can begin a round within a round.
#[derive(Debug)]
pub struct Cpus {
    others: usize,
    of_the_first: PhantomData<Cell<()>>,
}

impl Cpus {
    /// Starts the other CPUs, and waits for them.
    ///
    /// # Panics
    /// If there are more than [`MOST`], or if they have been started: a CPU that starts again would run the last
    /// function, which is gone.
    #[must_use]
    pub fn start() -> Self {
        assert_eq!(JOINED.load(Ordering::Relaxed), 0, "the CPUs are started once");
        let others = machine::start_others();
        assert!(others < MOST, "{others} other CPUs, and stacks for {}", MOST - 1);
        for has_number in &HAS_NUMBER[..others] {
            wait_until(|| has_number.load(Ordering::Acquire));
        }
        Self { others, of_the_first: PhantomData }
    }

    /// Returns the numbers of all CPUs, this one first.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let others = NUMBERS[..self.others].iter();
        let own = core::iter::once(machine::own_number());
        own.chain(others.map(|number| number.load(Ordering::Relaxed)))
    }

    /// Runs a function on every CPU, and waits for all.
    pub fn run(&self, function: &(dyn Fn() + Sync)) {
        begin(&raw const function);
        function();
        wait_until(|| ENDED.load(Ordering::Acquire) == self.others);
    }

    /// Runs a function on every other CPU, and waits for none.
    pub fn run_on_others(&self, function: &'static &'static (dyn Fn() + Sync)) {
        begin(function);
    }
}

/// Has the others begin a function. The reference is valid until they have ended it.
fn begin(function: *const &(dyn Fn() + Sync)) {
    ENDED.store(0, Ordering::Relaxed);
    FUNCTION.store(function.expose_provenance(), Ordering::Relaxed);
    ROUND.fetch_add(1, Ordering::Release);
}

/// The life of another CPU.
pub(super) extern "C" fn joined() -> ! {
    machine::catch_exceptions_too();
    let place = JOINED.fetch_add(1, Ordering::Relaxed);
    if let (Some(number), Some(has_number)) = (NUMBERS.get(place), HAS_NUMBER.get(place)) {
        number.store(machine::own_number(), Ordering::Relaxed);
        has_number.store(true, Ordering::Release);
    }
    let mut round = 0;
    loop {
        wait_until(|| ROUND.load(Ordering::Acquire) != round);
        round += 1;
        let function = FUNCTION.load(Ordering::Relaxed);
        let function = ptr::with_exposed_provenance::<&(dyn Fn() + Sync)>(function);
        // SAFETY: `begin` has stored it before the round, and it is valid until this one has ended.
        let function = unsafe { *function };
        function();
        ENDED.fetch_add(1, Ordering::Release);
    }
}

pub(super) fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        core::hint::spin_loop();
    }
}
