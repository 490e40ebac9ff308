//! The kernel of the machine.

use cachemaint_adapters::non_coherent::{Memory, NonCoherent};
use cachemaint_device::{Cpu, Machine, Seed};
use core::alloc::Layout;
use core::ptr::{self, NonNull};
use std::cell::RefCell;
use std::rc::Rc;

const LINE: usize = 64;

thread_local! {
    /// The machine of this thread's run: adapters have no `self`.
    static MACHINE: RefCell<Option<Rc<Machine<'static>>>> = const { RefCell::new(None) };
}

/// Memory of the machine.
struct Arena {
    changes_types: bool,
}

static ARENA: Arena = Arena { changes_types: true };
/// A kernel that leaves everything cacheable.
static CACHEABLE: Arena = Arena { changes_types: false };

/// Runs a scenario on a new machine.
pub(crate) fn run(seed: Seed, scenario: impl FnOnce(&Machine<'static>)) {
    /// The machine ends with the run, also by a panic.
    struct Running;
    impl Drop for Running {
        fn drop(&mut self) {
            MACHINE.take();
        }
    }
    let machine = Rc::new(Machine::new(LINE, seed));
    MACHINE.set(Some(Rc::clone(&machine)));
    let _running = Running;
    scenario(&machine);
}

/// Returns the caches and the memory of the running machine.
pub(crate) fn machine() -> NonCoherent<Cpu<'static>> {
    NonCoherent { cache: current().cpu(0), memory: &ARENA }
}

/// Returns the same with a kernel that claims to change the type of pages, but does not.
pub(crate) fn cacheable_machine() -> NonCoherent<Cpu<'static>> {
    NonCoherent { memory: &CACHEABLE, ..machine() }
}

/// Returns the running machine.
pub(crate) fn current() -> Rc<Machine<'static>> {
    MACHINE.with_borrow(Option::clone).expect("within a run")
}

// SAFETY: (1) the machine allocates zeros that are contiguous to its devices; (2) addresses are the same; (3) the machine has
// one mapping; the other kernel is wrong on purpose.
unsafe impl Memory for Arena {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        Some(current().alloc(layout))
    }

    unsafe fn free(&self, start: NonNull<u8>, _: Layout) {
        current().dealloc(start);
    }

    fn to_device(&self, start: NonNull<u8>) -> u64 {
        start.as_ptr().expose_provenance() as u64
    }

    fn to_cpu(&self, start: u64) -> NonNull<u8> {
        let start = usize::try_from(start).expect("an address of this process");
        NonNull::new(ptr::with_exposed_provenance_mut(start)).expect("not null")
    }

    unsafe fn set_cacheable(&self, start: NonNull<u8>, len: usize, cacheable: bool) -> bool {
        if self.changes_types {
            current().set_cacheable(start, len, cacheable);
        }
        true
    }
}
