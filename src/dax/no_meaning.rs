//! Systems whose errors get the words of their kind.

use super::error::ErrorKind;
use alloc::borrow::Cow;
use std::io;
use std::path::Path;

pub(super) const fn meaning(
    _: &Path,
    _: &'static str,
    _: &io::Error,
    kind: ErrorKind,
) -> (ErrorKind, Option<Cow<'static, str>>) {
    (kind, None)
}
