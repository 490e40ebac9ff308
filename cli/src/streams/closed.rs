//! Which standard streams were closed when the program started. The standard library opens `/dev/null` in their place
//! before `main`, as programs do that want no stream: later, the two look alike. So this looks before, in a constructor
//! of the program (System V ABI, *Initialization and Termination Functions*).

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// For standard input and standard output.
static CLOSED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

// The section holds pointers to functions of this kind, which may ignore their arguments. `look` needs nothing that is
// initialised later.
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for (descriptor, closed) in (0..).zip(&CLOSED) {
        // SAFETY: F_GETFD takes no argument and any number for a descriptor.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        closed.store(flags == -1, Relaxed);
    }
}

/// Returns true if standard input (0) or standard output (1) was closed.
pub(super) fn was_closed(descriptor: usize) -> bool {
    CLOSED.get(descriptor).is_some_and(|closed| closed.load(Relaxed))
}
