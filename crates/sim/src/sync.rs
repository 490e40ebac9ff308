//! Atomics in ordinary memory for the threads of a workload, in addition to the medium.
//!
//! A crash loses them, so the simulator keeps no history of them. But before each access another thread of
//! [`run_threads`](super::SimMedium::run_threads) may continue, as before an operation on the medium. Otherwise two
//! accesses without an operation on the medium between them would be one step in every simulation, and a mistake that
//! needs another thread between them would not be found.
//!
//! Use these types in a structure under test, and the standard library's otherwise. Tests outside the structure's crate
//! do not see its `cfg(test)`, so this needs a feature that only tests enable:
//!
//! ```
//! #[cfg(feature = "sim")]
//! use cachemaint_sim::sync::AtomicU64;
//! #[cfg(not(feature = "sim"))]
//! use std::sync::atomic::AtomicU64;
//! ```
//!
//! Outside a simulation's threads each access is the standard library's, after a check of a thread-local variable. In a
//! simulation, threads run one at a time, so each load returns the latest store, whatever the ordering; use loom for
//! weaker outcomes. The journal, the recorder and the store use these types if the feature `sim` is on.

use crate::medium::schedule;
use core::ops::Deref;
use core::sync::atomic::Ordering;
use std::sync::TryLockError;

/// Replaces [`core::hint::spin_loop`]: this thread waits until another one has done something.
///
/// # Panics
/// In a workload, if all threads wait. In other code of a simulation, beyond its [limit of
/// operations](super::Simulation::operations).
#[track_caller]
pub fn spin_loop() {
    schedule::pause();
}

/// Returns true on a thread of a workload, which must not sleep until another one wakes it, since threads run one at a
/// time.
#[must_use]
pub fn is_simulated() -> bool {
    schedule::is_simulated()
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[doc = concat!("[`core::sync::atomic::", stringify!($name), "`]: threads may switch before each access.")]
        ///
        /// It has all methods of that type that take a shared reference. Accesses through a kept reference to that type
        /// let no other thread continue.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(core::sync::atomic::$name);

        impl $name {
            /// Makes a value, like the standard library's.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(core::sync::atomic::$name::new(value))
            }

            /// Loads, like the standard library's.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                schedule::turn(schedule::Access::Looks);
                self.0.load(order)
            }

            /// Compares and exchanges, like the standard library's, but without spurious failures.
            ///
            /// # Errors
            /// The stored value, if it differs from `current`.
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

/// A lock around a value that threads of a workload change. A thread that waits for it lets another one continue. A
/// thread that waits for a [`std::sync::Mutex`] does not, and the simulation hangs.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// Makes a free lock.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Takes the lock, lets `code` use the value, and frees the lock. Another thread may continue first. A panic in
    /// `code` frees the lock without poisoning it.
    #[track_caller]
    pub fn with_mut<R>(&self, code: impl FnOnce(&mut T) -> R) -> R {
        let mut value = loop {
            // A look, since an attempt does not let waiting threads continue.
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
