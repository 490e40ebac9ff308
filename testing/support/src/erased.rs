//! Media without their types: tests that use them share the code that is compiled for them.

use cachemaint::medium::Medium;

/// Any medium with these errors.
pub type Erased<'m, E> = &'m (dyn Medium<Error = E> + 'm);

/// Returns a medium without its type.
pub fn erased<M: Medium>(medium: &M) -> Erased<'_, M::Error> {
    medium
}
