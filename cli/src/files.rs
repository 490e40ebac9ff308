//! Names of files, and the open files that they lead to.

use cachemaint::dax::{DaxFile, DaxView};
use core::borrow::Borrow;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// Removes a new file that is of no use, unless another file has its name by now. The error that led here is the one to
/// report.
///
/// The file is still locked then: a process that opens it meanwhile finds no name left when it gets the lock, so it cannot
/// store anything that is removed.
#[cfg(unix)]
pub(crate) fn discard(path: &Path, file: impl Borrow<DaxFile>) {
    let own = file.borrow().file().metadata();
    let found = own.ok().zip(path.symlink_metadata().ok());
    if found.is_some_and(|(own, there)| is_same(&own, &there)) {
        drop(fs::remove_file(path));
    }
}

/// Removes a new file that is of no use. The error that led here is the one to report.
///
/// An open file cannot be removed here. As long as it is open, no other file can take its name.
#[cfg(not(unix))]
pub(crate) fn discard(path: &Path, file: impl Borrow<DaxFile>) {
    drop(file);
    drop(fs::remove_file(path));
}

/// Returns true if a name leads to an open file, also through a symbolic link or another mount.
#[cfg(unix)]
pub(crate) fn leads_to(name: &Path, file: &DaxView) -> bool {
    let found = file.file().metadata().ok().zip(name.metadata().ok());
    found.is_some_and(|(own, there)| is_same(&own, &there))
}

/// Returns true if a name leads to an open file.
#[cfg(not(unix))]
pub(crate) fn leads_to(name: &Path, file: &DaxView) -> bool {
    let found = file.path().canonicalize().ok().zip(name.canonicalize().ok());
    found.is_some_and(|(own, there)| own == there)
}

/// Returns true if both describe one file.
#[cfg(unix)]
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The standard library cannot compare files here.
#[cfg(not(unix))]
pub(crate) const fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Returns true if a file's owner is this user, or root, who can read and change all files anyway.
#[cfg(unix)]
pub(crate) fn is_own_or_of_root(owner: u32) -> bool {
    use rustix::process::{Uid, geteuid};

    [geteuid(), Uid::ROOT].map(Uid::as_raw).contains(&owner)
}

/// Returns true if an output that was seen to be other than a regular file is still the same after it was opened.
#[cfg(target_os = "linux")]
pub(crate) fn is_as_seen(seen: &Metadata, opened: &File) -> io::Result<bool> {
    let opened = opened.metadata()?;
    Ok(!opened.is_file() && is_same(seen, &opened))
}

/// Returns true if an output that was seen to be other than a regular file is not one after it was opened. Here a character
/// device such as `/dev/fd/1` can be the name of any open file, and its numbers are not those of the file.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn is_as_seen(seen: &Metadata, opened: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt as _;

    Ok(!opened.metadata()?.is_file() || seen.file_type().is_char_device())
}

/// The standard library cannot compare files here.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "other systems look at the file")]
pub(crate) const fn is_as_seen(_: &Metadata, _: &File) -> io::Result<bool> {
    Ok(true)
}

/// Returns true for a link of procfs, as `/dev/fd/3` leads to. Its open file can have another position than a new one, and
/// any name or no name.
#[cfg(unix)]
pub(crate) fn is_link_of_procfs(link: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let found = link.symlink_metadata().ok().zip(fs::metadata("/proc/self/fd").ok());
    found.is_some_and(|(link, procfs)| link.dev() == procfs.dev())
}

/// Other systems do not have procfs.
#[cfg(not(unix))]
pub(crate) const fn is_link_of_procfs(_: &Path) -> bool {
    false
}

/// Returns true for a block device, whose pages are written back later than a write returns.
#[cfg(unix)]
pub(crate) fn is_block_device(found: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;

    found.file_type().is_block_device()
}

/// Other systems do not have them as files.
#[cfg(not(unix))]
pub(crate) const fn is_block_device(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::discard;
    use cachemaint::dax::Options;

    #[test]
    fn a_new_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        discard(&path, Options::new().allow_page_granularity().create_new(&path, 4096).unwrap());
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_has_taken_the_name_of_the_new_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let [path, other] = ["file", "other"].map(|name| directory.path().join(name));
        let file = Options::new().allow_page_granularity().create_new(&path, 4096).unwrap();
        std::fs::write(&other, "other").unwrap();
        std::fs::rename(&other, &path).unwrap();
        discard(&path, file);
        assert_eq!(std::fs::read(&path).unwrap(), b"other");
    }
}
