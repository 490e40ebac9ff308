//! Files with other contents than a command expects.

use crate::printed::{stderr, stdout};
use assert_cmd::assert::Assert;
use std::fs;
use std::path::Path;

/// Checks that each command names the fault of a file of this content, and leaves the file as it
/// is.
pub(crate) fn is_refused(
    path: &Path,
    content: &[u8],
    expected: &str,
    commands: &[&[&str]],
    run: impl Fn(&[&str]) -> Assert,
) {
    fs::write(path, content).unwrap();
    for command in commands {
        let refused = run(command).code(1);
        let error = stderr(&refused);
        let named = format!("cachemaint: {}: ", path.display());
        assert!(error.starts_with(&named), "{command:?}: {error}");
        assert!(error.contains(expected), "{command:?}: {error}");
        assert!(stdout(&refused).is_empty(), "{command:?}");
        assert!(fs::read(path).unwrap() == content, "{command:?}");
    }
}
