//! The other CPUs of a board. The first one starts them. They wait, and run a function when it asks them to.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use super::machine;

/// The maximum number of CPUs: the first one, and those with a stack.
pub const MOST: usize = 4;

/// The number of CPUs that have joined. Each stores its number at the index that it got by joining.
static JOINED: AtomicUsize = AtomicUsize::new(0);
static NUMBERS: [AtomicU32; MOST - 1] = [const { AtomicU32::new(0) }; MOST - 1];
static HAS_NUMBER: [AtomicBool; MOST - 1] = [const { AtomicBool::new(false) }; MOST - 1];

/// The address of a reference to the function to run. It is valid while fewer CPUs than all others have finished it.
static FUNCTION: AtomicUsize = AtomicUsize::new(0);
static ROUND: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// The CPUs of the machine, all of them running. Only the first one has this value: it is not `Sync`, so a function
/// that runs on the CPUs cannot begin a round within a round.
#[derive(Debug)]
pub struct Cpus {
    others: usize,
    of_the_first: PhantomData<Cell<()>>,
}

impl Cpus {
    /// Starts the other CPUs, and waits for them.
    ///
    /// # Panics
    /// If there are more than [`MOST`], or if they were started before: a CPU that starts again would run the last
    /// function, which no longer exists.
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

/// Makes the others begin a function. The reference must be valid until they have finished it.
fn begin(function: *const &(dyn Fn() + Sync)) {
    ENDED.store(0, Ordering::Relaxed);
    FUNCTION.store(function.expose_provenance(), Ordering::Relaxed);
    ROUND.fetch_add(1, Ordering::Release);
}

/// What another CPU does.
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
        // SAFETY: `begin` stored it before the round, and it is valid until this round has finished.
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
