//! A cache that is made once and used everywhere.

use super::Cache;
use crate::arch::Unsupported;
use core::fmt;
use core::num::NonZeroU64;

#[cfg(not(cachemaint_loom))]
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(cachemaint_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

/// A static cell for a [`Cache`] that is set once. A kernel makes its handle at boot and keeps it here for functions that
/// receive no handle as an argument. A program calls [`Cache::host`] instead.
///
/// ```
/// use cachemaint::{Cache, OnceCache};
///
/// static CACHE: OnceCache = OnceCache::new();
///
/// /// Is called by a driver that knows no cache: an implementation of a trait without `self`.
/// fn release(buffer: &[u8]) {
///     CACHE.get().expect("set at boot").writeback(buffer);
/// }
///
/// # fn main() -> Result<(), cachemaint::Unsupported> {
/// let cache = Cache::host()?; // in a kernel `Cache::privileged`
/// CACHE.set(cache).expect("boot runs once");
/// release(&[7; 64]);
/// # Ok(())
/// # }
/// ```
///
/// A known board needs no cell: [`Cache::from_facts`] is `const`. The type exists on targets with 64-bit atomics.
///
/// # Cost
/// [`get`](Self::get) is one relaxed load and a branch.
pub struct OnceCache {
    word: OnceWord,
}

/// A word that is set once. It is all there is to publish (it chooses among code), so relaxed accesses suffice.
pub(super) struct OnceWord {
    word: AtomicU64,
}

impl OnceWord {
    #[cfg(not(cachemaint_loom))]
    pub(super) const fn new() -> Self {
        Self { word: AtomicU64::new(0) }
    }

    #[cfg(cachemaint_loom)]
    fn new() -> Self {
        Self { word: AtomicU64::new(0) }
    }

    /// Returns the word, if one was set.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.word.load(Ordering::Relaxed))
    }

    /// Sets the word, unless one was set before, which it returns.
    pub(super) fn set(&self, word: NonZeroU64) -> Result<(), NonZeroU64> {
        let set = self.word.compare_exchange(0, word.get(), Ordering::Relaxed, Ordering::Relaxed);
        set.map(drop).map_err(|first| NonZeroU64::new(first).unwrap_or(word))
    }
}

impl OnceCache {
    /// Returns an empty cell.
    #[cfg(not(cachemaint_loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { word: OnceWord::new() }
    }

    /// Returns an empty cell.
    #[cfg(cachemaint_loom)]
    pub(super) fn new() -> Self {
        Self { word: OnceWord::new() }
    }

    /// Returns the cache, if one was set.
    #[inline(always)]
    pub fn get(&self) -> Option<Cache> {
        self.word.get().map(|word| Cache { word })
    }

    /// Sets the cache. The first one stays, since a guarantee that was reported must not change.
    ///
    /// # Errors
    /// If a cache was set before, by any thread: that cache.
    pub fn set(&self, cache: Cache) -> Result<(), Cache> {
        self.word.set(cache.word).map_err(|word| Cache { word })
    }

    /// Asks `detect`, and keeps its answer unless another thread was first. A failure is not kept.
    ///
    /// # Errors
    /// The error of `detect`.
    #[cold]
    pub(super) fn choose(
        &self,
        detect: impl FnOnce() -> Result<Cache, Unsupported>,
    ) -> Result<Cache, Unsupported> {
        let mine = detect()?;
        Ok(self.set(mine).err().unwrap_or(mine))
    }
}

#[cfg(not(cachemaint_loom))]
impl Default for OnceCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for OnceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCache").field(&self.get()).finish()
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::OnceCache;
    use crate::arch::Facts;
    use crate::arch::modelled::{WRITEBACK, WRITEBACK_INVALIDATE};
    use crate::cache::Cache;
    use loom::sync::Arc;
    use std::vec::Vec;

    fn with_lines_of(bytes: usize) -> Cache {
        let facts = Facts::new(bytes).unwrap();
        // SAFETY: the modelled back end has these instructions and no lines.
        unsafe { Cache::from_facts(facts.with(WRITEBACK).with(WRITEBACK_INVALIDATE)) }.unwrap()
    }

    /// CPUs of one machine can differ: threads that detect on two of them must get one answer.
    #[test]
    fn racing_threads_get_one_choice_and_keep_it() {
        loom::model(|| {
            let chosen = Arc::new(OnceCache::new());
            let threads: Vec<_> = [64, 128]
                .into_iter()
                .map(|bytes| {
                    let chosen = Arc::clone(&chosen);
                    loom::thread::spawn(move || chosen.choose(|| Ok(with_lines_of(bytes))))
                })
                .collect();
            let answers: Vec<_> =
                threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
            assert_eq!(answers[0], answers[1]);
            assert_eq!(chosen.get(), Some(answers[0]));
        });
    }
}
