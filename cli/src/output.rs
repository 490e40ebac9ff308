//! Files that commands make.

use crate::failure::{followed, os};
use crate::signals;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A file on its way to its name. Until it is complete, it has another name in the same directory: a signal that ends the
/// command, and a failure, remove it. A command that is killed leaves it.
pub(crate) struct Unfinished<'a> {
    path: &'a Path,
    temporary: PathBuf,
    made: Arc<OnceLock<()>>,
}

/// The files that a new one may replace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaces {
    Any,
    None,
}

impl<'a> Unfinished<'a> {
    /// Makes the file by `create`, which gets the name for the time being.
    pub(crate) fn create<T>(
        path: &'a Path,
        create: impl FnOnce(&Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        let mut temporary = path.as_os_str().to_owned();
        // Random: process 1 of each container has the same number.
        let number = RandomState::new().build_hasher().finish();
        temporary.push(format!(".{number:016x}.unfinished"));
        let temporary = PathBuf::from(temporary);
        let new = Self { path, temporary, made: Arc::default() };
        let (made, removed) = (Arc::clone(&new.made), new.temporary.clone());
        // Before the file is there: a signal right after its creation must find the handler. If no thread is to be had for
        // one, a signal leaves the file.
        drop(signals::handle(move |signal| {
            made.wait();
            drop(fs::remove_file(removed));
            signals::end_by(signal);
        }));
        let created = create(&new.temporary)?;
        new.made.get_or_init(|| ());
        Ok((new, created))
    }

    /// Gives the file its name when `work` has succeeded, and removes it otherwise.
    pub(crate) fn complete<T>(
        self,
        replaces: Replaces,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let done = work().and_then(|done| self.rename(replaces).map(|()| done));
        done.map_err(|error| removed(&self.temporary, error))
    }

    fn rename(&self, replaces: Replaces) -> anyhow::Result<()> {
        let Self { path, temporary, .. } = self;
        let renamed = match replaces {
            Replaces::Any => fs::rename(temporary, path),
            #[cfg(target_os = "linux")]
            Replaces::None => cachemaint::family::naming::rename(temporary, path),
            // A link takes no other file's place, as a rename would.
            #[cfg(not(target_os = "linux"))]
            Replaces::None => {
                fs::hard_link(temporary, path).and_then(|()| fs::remove_file(temporary))
            }
        };
        renamed.map_err(|error| os(path, "rename", &error))?;
        #[cfg(unix)]
        match File::open(directory_of(path)) {
            // Who may not read the directory cannot sync it. New files can be made there all the same.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            opened => opened
                .and_then(|directory| sync(&directory))
                .map_err(|error| os(path, "fsync of its directory", &error))?,
        }
        Ok(())
    }
}

/// Removes a file that could not be completed. The error names the file if it stays.
pub(crate) fn removed(path: &Path, error: anyhow::Error) -> anyhow::Error {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            let path = path.display();
            followed(
                &error,
                format_args!("{path} is unfinished, and cannot be removed ({why}): remove it"),
            )
        }
        _ => error,
    }
}

/// Syncs a file or a directory. A file system without syncs is accepted.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(unix)]
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::{Replaces, Unfinished};

    #[test]
    fn a_leftover_of_a_process_with_the_same_number_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let create = || Unfinished::create(&path, |name| Ok(File::create_new(name)?)).unwrap().0;
        // A process that is killed leaves its file.
        let _killed = create();
        create().complete(Replaces::Any, || Ok(())).unwrap();
        assert!(path.exists());
    }
}
