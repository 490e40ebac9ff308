//! Atomics in ordinary memory that threads of a workload share, beside the medium.
//!
//! A crash loses them, so the simulator keeps no history of them. But before each access another thread of
//! [`run_threads`](super::SimMedium::run_threads) may go on, as before an operation on the medium. Without that, two
//! accesses with no operation on the medium between them would be one step in every simulation, and a mistake that needs
//! another thread between them would not be found.
//!
//! Let a structure use these types where it is tested, and the standard library's elsewhere. Tests outside of its crate do
//! not have `cfg(test)`, so that takes a feature which only tests turn on:
//!
//! ```
//! #[cfg(feature = "sim")]
//! use cachemaint_sim::sync::AtomicU64;
//! #[cfg(not(feature = "sim"))]
//! use std::sync::atomic::AtomicU64;
//! ```
//!
//! Outside of a simulation's threads each access is the standard library's, after a look at a variable of the thread.
//! Within one, threads run one at a time, so that each load returns the latest store, with any ordering; loom tries the
//! others. The journal, the recorder and the store use these types where the feature `sim` is on.

use crate::medium::schedule;
use core::ops::Deref;
use core::sync::atomic::Ordering;
use std::sync::TryLockError;

/// Takes the place of [`core::hint::spin_loop`]: this thread waits until another one has done something.
///
/// # Panics
/// In a workload whose threads all wait. In other code that a simulation runs, beyond its
/// [limit of operations](super::Simulation::operations).
#[track_caller]
pub fn spin_loop() {
    schedule::pause();
}

/// Returns true on a thread of a workload, which must not sleep until another one wakes it: threads run one at a time.
#[must_use]
pub fn is_simulated() -> bool {
    schedule::is_simulated()
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[doc = concat!("[`core::sync::atomic::", stringify!($name), "`], before whose accesses another thread may go on.")]
        ///
        /// It has all methods of that type that take a shared reference. A reference to that type, kept and used again, lets
        /// no other thread go on.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(core::sync::atomic::$name);

        impl $name {
            /// Makes a value, as the standard library's.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(core::sync::atomic::$name::new(value))
            }

            /// Loads, as the standard library's.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                schedule::turn(schedule::Access::Looks);
                self.0.load(order)
            }

            /// Compares and exchanges, as the standard library's, but without spurious failures.
            ///
            /// # Errors
            /// The value that is there, if it is another one than `current`.
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
        }

        impl Deref for $name {
            type Target = core::sync::atomic::$name;

            #[track_caller]
            fn deref(&self) -> &Self::Target {
                schedule::turn(schedule::Access::Changes);
                &self.0
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);

/// A lock around a value that threads of a workload change. A thread that waits for it lets another one go on. One that
/// waits for a [`std::sync::Mutex`] does not, and the simulation stands still.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// Makes a lock that is free.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Takes the lock, has `code` use the value, and frees the lock. Another thread may go on before. A panic of `code` frees
    /// the lock too and does not poison it.
    #[track_caller]
    pub fn with_mut<R>(&self, code: impl FnOnce(&mut T) -> R) -> R {
        let mut value = loop {
            // A look: an attempt lets no other thread go on that waits.
            schedule::turn(schedule::Access::Looks);
            match self.0.try_lock() {
                Ok(value) => break value,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => spin_loop(),
            }
        };
        let result = code(&mut value);
        drop(value);
        schedule::wake();
        result
    }
}
