//! New files, which get their name when they are whole.
//!
//! | file system | before | the name is given by | a crash before that leaves |
//! |---|---|---|---|
//! | with unnamed files (Linux: ext4, xfs, btrfs, tmpfs and others) | no name | `linkat` | nothing |
//! | others, and where `linkat` is refused | a temporary name beside it | [`naming`] | a file of the temporary name |
//!
//! Neither replaces a file that is there.

use super::files::{self, directory_of, path_of, unnamed_in};
use crate::dax::error::{Error, ErrorKind};
use crate::dax::lock::OpenFile;
use crate::system::naming::{self, create_exclusively};
use alloc::format;
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// The number of temporary names that are tried. Killed processes of the same id may have left some.
const ATTEMPTS: u32 = 1000;

/// An empty file, and then a whole one, on its way to its name.
#[derive(Debug)]
pub(in crate::dax) struct NewFile {
    pub(in crate::dax) file: OpenFile,
    /// The name that it has by now; `None` if it has none.
    name: Option<PathBuf>,
}

impl NewFile {
    /// Creates an empty file that can get the name, with mode 0600. Until then it has a temporary name, if
    /// `is_named` or if there is no other way.
    ///
    /// # Errors
    /// If the name is taken, so that no file is filled in vain. [`give_name`](Self::give_name) decides.
    pub(in crate::dax) fn create(path: &Path, is_named: bool) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(Errno::EXIST.into());
        }
        let directory = directory_of(path);
        let unnamed = if is_named { None } else { Self::without_name(directory) };
        unnamed.map_or_else(|| Self::with_temporary_name(directory), Ok)
    }

    /// `None` where there are no such files, or where they could not get a name. The reason does not matter: the other
    /// method finds it out, too.
    fn without_name(directory: &Path) -> Option<Self> {
        let file = unnamed_in(directory).ok()?;
        path_of(&file).symlink_metadata().ok()?;
        Some(Self { file: OpenFile::new(file), name: None })
    }

    fn with_temporary_name(directory: &Path) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let name = directory.join(format!(".cachemaint-{}-{number}", process::id()));
            match create_exclusively(&name) {
                Err(Errno::EXIST) if number < ATTEMPTS => number += 1,
                Err(errno) => return Err(errno.into()),
                Ok(file) => return Ok(Self { file: OpenFile::new(file), name: Some(name) }),
            }
        }
    }

    /// Gives it the name, unless something else has that. A crash leaves it with the name or without.
    ///
    /// # Errors
    /// [`files::LINK`] is the call, if the file has no name, and gets none.
    pub(in crate::dax) fn give_name(&mut self, path: &Path) -> Result<(), Error> {
        let (call, given) = if let Some(temporary) = &self.name {
            ("rename", naming::rename(temporary, path))
        } else {
            let own = path_of(self.file.file());
            let linked = rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW);
            (files::LINK, linked.map_err(io::Error::from))
        };
        given.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::os(path, call, &error),
            _ if call == files::LINK => {
                Error::new(path, ErrorKind::Os { call, errno: files::number(&error) })
            }
            _ => Error::os(path, call, &error),
        })?;
        self.name = Some(path.to_path_buf());
        Ok(())
    }

    /// Removes the name, unless something else has it by now. The file is still locked then: a process that opens it
    /// meanwhile finds no name left when it gets the lock.
    pub(in crate::dax) fn discard(self) {
        let Some(name) = &self.name else { return };
        if files::is_name_of(name, &self.file) {
            // The error that led here is the one to report.
            drop(fs::remove_file(name));
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::{NewFile, directory_of};
    use crate::dax::ErrorKind;
    use alloc::string::String;
    use alloc::vec::Vec;
    use cachemaint_test_support::skip::skip;
    use std::fs;
    use std::io::{self, Write};
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
        let mut starts: Vec<Start> =
            alloc::vec![|directory| NewFile::with_temporary_name(directory).ok()];
        match NewFile::without_name(directory) {
            Some(_) => starts.push(NewFile::without_name),
            None => skip(test, "the file system has no unnamed files"),
        }
        starts
    }

    fn filled(start: Start, directory: &Path) -> NewFile {
        let new = start(directory).unwrap();
        new.file.file().write_all(BYTES).unwrap();
        new
    }

    #[test]
    fn a_new_file_gets_its_name_whole_and_private() {
        let (directory, path) = place();
        for start in starts("a_new_file_gets_its_name_whole_and_private", directory.path()) {
            let mut new = filled(start, directory.path());
            assert!(!path.exists());
            new.give_name(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), BYTES);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(names(directory.path()), ["file"], "no other name is left");
            new.discard();
            assert!(names(directory.path()).is_empty());
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
                let early = NewFile::create(taken, false).unwrap_err();
                assert_eq!(early.kind(), io::ErrorKind::AlreadyExists);
                let mut new = filled(start, directory.path());
                let error = new.give_name(taken).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Exists), "{error}");
                new.discard();
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
