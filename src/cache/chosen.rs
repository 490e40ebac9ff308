//! The choice for a process, made once.

use super::{Cache, Plan};
use crate::arch::Unsupported;

#[cfg(not(cachemaint_loom))]
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(cachemaint_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

/// A cell for the first choice that was made. A guarantee that was reported once must not change in
/// the same process, so when two threads race the first one wins and both get its choice.
///
/// The word is all there is to publish (it chooses among code), so relaxed accesses suffice.
#[derive(Debug)]
pub(super) struct Chosen {
    word: AtomicU64,
}

impl Chosen {
    /// Returns a cell without a choice.
    #[cfg(not(cachemaint_loom))]
    pub(super) const fn new() -> Self {
        Self { word: AtomicU64::new(0) }
    }

    /// Returns a cell without a choice.
    #[cfg(cachemaint_loom)]
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0) }
    }

    /// Returns the choice, if one was made.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<Cache> {
        Plan::from_word(self.word.load(Ordering::Relaxed)).map(|plan| Cache { plan })
    }

    /// Asks `detect`, and takes its answer if no other was first. A failure is not kept.
    ///
    /// # Errors
    /// The error of `detect`.
    #[cold]
    pub(super) fn choose(
        &self,
        detect: impl FnOnce() -> Result<Cache, Unsupported>,
    ) -> Result<Cache, Unsupported> {
        let mine = detect()?;
        let won = self.word.compare_exchange(
            0,
            mine.plan.to_word(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        match won {
            Ok(_) => Ok(mine),
            Err(first) => Ok(Plan::from_word(first).map_or(mine, |plan| Cache { plan })),
        }
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::Chosen;
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
            let chosen = Arc::new(Chosen::new());
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
