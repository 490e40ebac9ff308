//! The compiler's message for a kernel that has not enabled feature `privileged`.

use super::Cache;
use crate::arch::Unsupported;
use core::marker::PhantomData;

#[diagnostic::on_unimplemented(
    message = "feature `privileged` of cachemaint is not enabled",
    label = "needs `features = [\"privileged\"]` in the dependency"
)]
pub trait IsEnabled {}

/// The lifetime defers the error until a call.
#[derive(Debug)]
pub struct Feature<'a>(PhantomData<&'a ()>);

impl Cache {
    /// Compiles only with feature `privileged`:
    ///
    /// ```compile_fail,E0277
    /// let cache = unsafe { cachemaint::Cache::privileged() };
    /// ```
    ///
    /// # Errors
    /// As [`host`](Self::host).
    ///
    /// # Safety
    /// 1. None: it is never called.
    #[doc(hidden)]
    pub unsafe fn privileged() -> Result<Self, Unsupported>
    where
        for<'a> Feature<'a>: IsEnabled,
    {
        Self::host()
    }
}
