//! Renames a file to a name that nothing has.
//!
//! | a file is renamed by the first of these that is permitted | a crash meanwhile leaves |
//! |---|---|
//! | `renameat2` with `RENAME_NOREPLACE` | one of the two names |
//! | `link`, and `unlink` of the old name | one of them, or both |
//! | an exclusively created empty file with the new name, and `rename` over it | the old name, perhaps with the empty file; or the new one |
//!
//! A kernel, a file system or a system-call filter can lack any of them. None replaces an existing file.

use super::calls::uninterrupted;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Creates an empty file, with mode 0600.
pub(crate) fn create_exclusively(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    uninterrupted(|| rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)).map(File::from)
}

/// Gives a file another name.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists), if something has that name; otherwise the error of the last method.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let or = |done, method: Method| match done {
        Ok(()) | Err(Errno::EXIST) => done,
        Err(_) => method(from, to),
    };
    Ok(or(or(rename_exclusively(from, to), link_and_unlink), claim_and_rename)?)
}

type Method = fn(&Path, &Path) -> Result<(), Errno>;

fn rename_exclusively(from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

fn link_and_unlink(from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::link(from, to)?;
    // The file is complete under its new name. Its old name does no harm.
    drop(fs::remove_file(from));
    Ok(())
}

/// Bytes that another program writes into the empty file between the two calls are lost.
fn claim_and_rename(from: &Path, to: &Path) -> Result<(), Errno> {
    drop(create_exclusively(to)?);
    rustix::fs::rename(from, to).inspect_err(|_errno| drop(fs::remove_file(to)))
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::{Method, claim_and_rename, link_and_unlink, rename_exclusively};
    use cachemaint_test_support::killed::at_each_system_call;
    use rustix::io::Errno;
    use std::fs;

    const BYTES: &[u8] = b"all of it";

    /// For each method that some file system needs.
    #[test]
    fn a_rename_that_is_cut_off_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let [to, from] = ["file", "temporary"].map(|name| directory.path().join(name));
        let methods: [(Method, bool); 3] =
            [(rename_exclusively, false), (link_and_unlink, false), (claim_and_rename, true)];
        for (method, claims) in methods {
            let was_cut_off = at_each_system_call(
                "a_rename_that_is_cut_off_loses_nothing",
                || {
                    drop(fs::remove_file(&to));
                    fs::write(&from, BYTES).unwrap();
                },
                || method(&from, &to),
                |is_finished| {
                    let [there, before] = [&to, &from].map(|path| fs::read(path).ok());
                    let is_whole = there.as_deref() == Some(BYTES);
                    let is_claimed = claims && there.as_deref() == Some(b"");
                    let is_right = there.is_none() || is_claimed;
                    assert!(is_whole || !is_finished && is_right, "{there:?}");
                    assert!(is_whole || before.as_deref() == Some(BYTES), "{before:?}");
                },
            );
            if was_cut_off {
                assert!(!from.exists(), "the temporary name is gone");
            }
            fs::write(&from, BYTES).unwrap();
            fs::write(&to, b"as it was").unwrap();
            assert_eq!(method(&from, &to), Err(Errno::EXIST));
            assert_eq!(fs::read(&to).unwrap(), b"as it was");
        }
    }
}
