//! One core for the whole measurement: a thread that moves leaves its lines in another core's cache.
//!
//! The work runs on its own pinned thread. The caller's thread is not pinned, so nothing has to be undone. The list of
//! cores is read once beforehand, since a pinned thread sees only its own.

use core::fmt;
use core_affinity::CoreId;
use std::collections::BTreeSet;
use std::fs;

/// Runs `work` on a thread that is pinned to the last core that this process may use (the first ones get the most
/// interrupts), and returns the result.
///
/// # Errors
/// If the list of cores cannot be read, or pinning is refused.
///
/// # Panics
/// If `work` panics.
pub fn pinned<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, PinError> {
    let core = available()?.last().copied().ok_or(PinError::Unknown)?;
    let on_the_core = || pin(core).map(|()| work());
    std::thread::scope(|scope| match scope.spawn(on_the_core).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Returns the cores that the calling thread may use.
///
/// # Errors
/// If the system does not list them.
pub fn available() -> Result<Vec<usize>, PinError> {
    let cores = core_affinity::get_core_ids().ok_or(PinError::Unknown)?;
    Ok(cores.iter().map(|core| core.id).collect())
}

/// Returns the first of these CPUs for each core: the CPUs of one core share its nearest caches. If the system does not
/// show which CPUs share a core, each counts as one.
#[must_use]
pub fn one_of_each_core(cpus: &[usize]) -> Vec<usize> {
    one_of_each(cpus, siblings)
}

fn one_of_each(cpus: &[usize], siblings: impl Fn(usize) -> Option<String>) -> Vec<usize> {
    let mut cores = BTreeSet::new();
    let is_first = |cpu: &usize| siblings(*cpu).is_none_or(|siblings| cores.insert(siblings));
    cpus.iter().copied().filter(is_first).collect()
}

/// Returns the list of CPUs on a core, which is the same for each of them (Linux,
/// `Documentation/ABI/stable/sysfs-devices-system-cpu`).
fn siblings(cpu: usize) -> Option<String> {
    fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
        .ok()
}

/// Pins the calling thread to a core, for the rest of its life.
///
/// # Errors
/// If the system refuses.
pub fn pin(core: usize) -> Result<(), PinError> {
    let pinned = core_affinity::set_for_current(CoreId { id: core });
    if pinned { Ok(()) } else { Err(PinError::Refused { core }) }
}

/// The reason why a thread was not pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinError {
    /// The system does not list its cores.
    Unknown,
    /// The system refused.
    Refused {
        /// The requested core.
        core: usize,
    },
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the system does not say which CPU cores there are"),
            Self::Refused { core } => {
                write!(f, "the system refuses to pin a thread to CPU core {core}")
            }
        }
    }
}

impl core::error::Error for PinError {}

#[cfg(test)]
mod tests {
    use super::{one_of_each, pinned};

    /// On some machines Linux numbers the CPUs of a core far apart, on others consecutively.
    #[test]
    fn threads_at_once_get_cores_and_not_two_cpus_of_one() {
        let of = |lists: &'static [&str]| move |cpu: usize| Some(lists[cpu].to_owned());
        assert_eq!(one_of_each(&[0, 1], of(&["0-1", "0-1"])), [0]);
        assert_eq!(one_of_each(&[0, 1, 2, 3], of(&["0,2", "1,3", "0,2", "1,3"])), [0, 1]);
        assert_eq!(one_of_each(&[1, 2, 3], of(&["0,2", "1,3", "0,2", "1,3"])), [1, 2]);
        assert_eq!(one_of_each(&[0, 1], |_| None), [0, 1]);
    }

    /// A caller that stayed pinned would measure the next time on one core only.
    #[test]
    fn the_thread_is_pinned_and_the_caller_is_not() {
        let cores = || core_affinity::get_core_ids().map(|ids| ids.len());
        let before = cores();
        assert_eq!(pinned(cores), Ok(Some(1)));
        assert_eq!(cores(), before);
    }
}
