//! Files that are only read: also those that another process writes meanwhile and, on 64-bit CPUs, those that this user may
//! only read.

use crate::faults;
use cachemaint::dax::{DaxFile, DaxView, Error, ErrorKind, Lock, NotSupported, Options};
use std::path::Path;

/// A file whose faulting loads are errors and do not end the process.
pub(crate) struct ReadOnly {
    opened: Opened,
}

enum Opened {
    View(DaxView),
    /// A file that is open for writing, on a 32-bit CPU, and that is not written.
    Writable(DaxFile),
}

impl ReadOnly {
    /// Opens a file of any granularity: reading does not need a guarantee.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let options = Options::new().allow_page_granularity();
        let opened = match options.view(path) {
            Err(error) if needs_right_to_write(&error) => {
                Opened::Writable(options.lock(Lock::None).open(path)?)
            }
            viewed => Opened::View(viewed?),
        };
        Ok(Self { opened })
    }

    pub(crate) const fn view(&self) -> &DaxView {
        match &self.opened {
            Opened::View(view) => view,
            Opened::Writable(file) => file.view(),
        }
    }

    /// Runs `work`, and makes an error of an access that would have ended the process: the file was cut
    /// meanwhile, or its medium has lost bytes.
    pub(crate) fn guarded<R>(&self, work: impl FnOnce() -> R) -> anyhow::Result<R> {
        faults::guarded_reading(self.view(), work)
    }
}

fn needs_right_to_write(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotSupported(NotSupported::NoReadOnlyWords))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::ReadOnly;
    use cachemaint::dax::Options;
    use core::sync::atomic::Ordering;

    /// A 32-bit CPU needs the right to write for it.
    #[test]
    fn a_file_is_read_beside_its_writer_on_every_cpu() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let writer = Options::new().allow_page_granularity().create_new(&path, 4096).unwrap();
        writer.store(8, 42, Ordering::Relaxed);
        let read_only = ReadOnly::open(&path).unwrap();
        assert_eq!(read_only.view().load(8, Ordering::Relaxed), 42);
    }
}

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod fault_tests {
    use super::ReadOnly;
    use core::sync::atomic::Ordering;

    /// Without a guard the test would end by SIGBUS.
    #[test]
    fn a_file_that_is_cut_while_it_is_read_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let read_only = ReadOnly::open(file.path()).unwrap();
        let last = || read_only.view().load((1 << 20) - 8, Ordering::Relaxed);
        assert_eq!(read_only.guarded(last).unwrap(), 0);
        file.as_file().set_len(4096).unwrap();
        let error = read_only.guarded(last).unwrap_err();
        let page = (1 << 20) - rustix::param::page_size();
        let expected = format!(
            "{}: an access at offset {page} failed, as the file was cut to 4096 bytes while it was open; ",
            file.path().display()
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
