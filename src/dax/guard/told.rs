//! The statistics of a guard's passes.

use super::super::Error;
use alloc::vec::Vec;
use core::time::Duration;

/// One pass over all files.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Pass {
    /// Files that were written back.
    pub files: u64,
    /// The bytes of these files without holes; by lines also without extents that were allocated and never stored to.
    pub bytes: u64,
    /// Lines whose write-back was issued, dirty or not; none of a file that is written back by pages.
    pub lines: u64,
    /// Files and directories that it found and could not write back or look at. A reset can take any byte of them.
    /// [`problems`](Self::problems) has the reason of each in the first pass that met it, [up to a
    /// number](super#memory).
    pub outside: u64,
    /// Paths that were [added](super::Guard::add) and are not there any more
    /// ([`ErrorKind::Gone`](crate::dax::ErrorKind::Gone)). They are among [`outside`](Self::outside).
    pub gone: u64,
    /// True if names changed faster than they could be looked at. A file that was renamed meanwhile can be missing in the
    /// pass, and the next pass looks for it.
    pub is_unsettled: bool,
    /// The duration of the pass, with pauses.
    pub took: Duration,
    /// The longest time for which a stored byte of a file was not written back when this pass ended:
    /// [`Statistics::longest_interval`] is the longest one of all passes. `None` if no pass came before.
    pub interval: Option<Duration>,
    /// The files that were not written back, with the reason, each in the first pass that meets it, and again if it has
    /// been written back meanwhile. A file may be unreadable by this user, beyond the limit of open files, or not
    /// writable back by lines; its write-back may fail, or the medium may have lost bytes of it.
    pub problems: Vec<Error>,
}

/// All passes of a guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
    /// The number of passes.
    pub passes: u64,
    /// Lines whose write-back was issued, dirty or not.
    pub lines: u64,
    /// Bytes of the files in all passes, without holes.
    pub bytes: u64,
    /// Files in the last pass.
    pub files: u64,
    /// The largest [`Pass::outside`]: the number of files and directories that had no bound in one pass.
    pub outside: u64,
    /// Reported problems.
    pub problems: u64,
    /// The time of the longest pass.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "longest_pass_ns", serialize_with = "nanoseconds")
    )]
    pub longest_pass: Duration,
    /// The time of all passes, with pauses in them.
    #[cfg_attr(feature = "serde", serde(rename = "passes_ns", serialize_with = "nanoseconds"))]
    pub in_passes: Duration,
    /// The time of the CPU that passes took.
    #[cfg_attr(feature = "serde", serde(rename = "cpu_ns", serialize_with = "nanoseconds"))]
    pub cpu: Duration,
    /// The bound that was held: the longest time for which a stored byte of a file was not written back, of all files
    /// that passes have written back since the first one. It is the longest time from the beginning of a pass to the
    /// end of the next one, or more for a file that was not in each ([the rules](super#the-bound)). Zero before the
    /// second pass. [`outside`](Self::outside) counts the files that it leaves out.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "longest_interval_ns", serialize_with = "nanoseconds")
    )]
    pub longest_interval: Duration,
}

impl Statistics {
    pub(super) fn add(&mut self, pass: &Pass, cpu: Duration) {
        self.passes += 1;
        self.lines += pass.lines;
        self.bytes += pass.bytes;
        self.files = pass.files;
        self.outside = self.outside.max(pass.outside);
        self.problems += pass.problems.len() as u64;
        self.longest_pass = self.longest_pass.max(pass.took);
        self.in_passes += pass.took;
        self.cpu += cpu;
        self.longest_interval = self.longest_interval.max(pass.interval.unwrap_or_default());
    }
}

#[cfg(feature = "serde")]
fn nanoseconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
