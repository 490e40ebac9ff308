//! The steps in M-mode.

use cachemaint::Cache;
use cachemaint::cache::Missing;
use cachemaint_lab_freestanding::{Outcome, Step};

pub(super) const STEPS: [Step; 1] = [Step { name: "privileged refused", run: privileged_refused }];

/// No register shows Zicbom to the library, so it must not claim to know: the image described the CPU.
fn privileged_refused(_cache: Cache) -> Outcome {
    // SAFETY: there is one CPU, in M-mode.
    let refused = unsafe { Cache::privileged() };
    assert_eq!(refused.map_err(|why| why.missing), Err(Missing::Permission));
    Outcome::Passed
}
