//! New files, which get their name once they are complete.
//!
//! | file system | before | named by | a crash before that leaves |
//! |---|---|---|---|
//! | with unnamed files (Linux: ext4, xfs, btrfs, tmpfs and others) | no name | `linkat` | nothing |
//! | others, and where `linkat` is refused | a temporary name in the same directory | [`naming`] | a file with the temporary name |
//!
//! Neither replaces an existing file.

use super::super::Failed;
use super::files::{self, directory_of, path_of, unnamed_in};
use crate::system::naming::{self, create_exclusively};
use alloc::format;
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process;

/// The number of temporary names that are tried. Killed processes of the same id may have left some.
const ATTEMPTS: u32 = 1000;

/// An empty file, and its temporary name if it has one.
pub(in crate::dax) type NewFile = (File, Option<PathBuf>);

/// Creates an empty file with mode 0600, which can get the name. It has a temporary name if `is_named`, or if there is
/// no other way.
///
/// # Errors
/// If the name is taken, so that no file is filled in vain. The final check is in [`give_name`].
pub(in crate::dax) fn create(path: &Path, is_named: bool) -> Result<NewFile, Failed> {
    let failed = |errno: Errno| Failed::new("open", &errno.into());
    if path.symlink_metadata().is_ok() {
        return Err(failed(Errno::EXIST));
    }
    let directory = directory_of(path);
    let unnamed = if is_named { None } else { without_name(directory) };
    unnamed.map_or_else(|| with_temporary_name(directory), Ok).map_err(failed)
}

/// Returns an unnamed file; `None` if there are none, or if they could not get a name. The reason does not matter,
/// since the other method meets it too.
fn without_name(directory: &Path) -> Option<NewFile> {
    let file = unnamed_in(directory).ok()?;
    path_of(&file).symlink_metadata().ok()?;
    Some((file, None))
}

fn with_temporary_name(directory: &Path) -> Result<NewFile, Errno> {
    let mut number = 0;
    loop {
        let name = directory.join(format!(".cachemaint-{}-{number}", process::id()));
        match create_exclusively(&name) {
            Err(Errno::EXIST) if number < ATTEMPTS => number += 1,
            created => return created.map(|file| (file, Some(name))),
        }
    }
}

/// Gives a new file its name, unless something else has that name. A crash leaves the file either with or without it.
///
/// # Errors
/// The call is [`files::LINK`] if the file is unnamed and cannot get a name.
pub(in crate::dax) fn give_name(
    file: &File,
    temporary: Option<&Path>,
    path: &Path,
) -> Result<(), Failed> {
    if let Some(temporary) = temporary {
        return naming::rename(temporary, path).map_err(|error| Failed::new("rename", &error));
    }
    let linked = rustix::fs::linkat(CWD, path_of(file), CWD, path, AtFlags::SYMLINK_FOLLOW);
    linked.map_err(|errno| Failed::new(files::LINK, &errno.into()))
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::{NewFile, create, directory_of, give_name, with_temporary_name, without_name};
    use alloc::string::String;
    use alloc::vec::Vec;
    use cachemaint_test_support::skip::skip;
    use rustix::io::Errno;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use tempfile::TempDir;

    const BYTES: &[u8] = b"all of it";

    fn place() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        (directory, path)
    }

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    type Start = fn(&Path) -> Option<NewFile>;

    /// With a temporary name, and without one where the file system has such files.
    fn starts(test: &str, directory: &Path) -> Vec<Start> {
        let mut starts: Vec<Start> = alloc::vec![|directory| with_temporary_name(directory).ok()];
        match without_name(directory) {
            Some(_) => starts.push(without_name),
            None => skip(test, "the file system has no unnamed files"),
        }
        starts
    }

    fn filled(start: Start, directory: &Path) -> NewFile {
        let mut new = start(directory).unwrap();
        new.0.write_all(BYTES).unwrap();
        new
    }

    #[test]
    fn a_new_file_gets_its_name_whole_and_private() {
        let (directory, path) = place();
        for start in starts("a_new_file_gets_its_name_whole_and_private", directory.path()) {
            let (file, temporary) = filled(start, directory.path());
            assert!(!path.exists());
            give_name(&file, temporary.as_deref(), &path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), BYTES);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(names(directory.path()), ["file"], "no other name is left");
            fs::remove_file(&path).unwrap();
        }
    }

    /// A link that leads nowhere takes the name as well.
    #[test]
    fn a_name_that_is_taken_is_refused_and_stays() {
        let (directory, path) = place();
        let link = directory.path().join("link");
        fs::write(&path, b"as it was").unwrap();
        symlink("nowhere", &link).unwrap();
        for start in starts("a_name_that_is_taken_is_refused_and_stays", directory.path()) {
            for taken in [&path, &link] {
                let exists = Errno::EXIST.raw_os_error();
                assert_eq!(create(taken, false).unwrap_err().errno, exists);
                let (file, temporary) = filled(start, directory.path());
                let failed = give_name(&file, temporary.as_deref(), taken).unwrap_err();
                assert_eq!(failed.errno, exists);
                drop(temporary.map(fs::remove_file));
                assert_eq!(names(directory.path()).len(), 2);
            }
            assert_eq!(fs::read(&path).unwrap(), b"as it was");
            assert!(!link.exists());
        }
    }

    #[test]
    fn a_name_without_a_directory_is_in_the_current_one() {
        assert_eq!(directory_of(Path::new("file")), Path::new("."));
        assert_eq!(directory_of(Path::new("in/file")), Path::new("in"));
        assert_eq!(directory_of(Path::new("/file")), Path::new("/"));
    }
}
