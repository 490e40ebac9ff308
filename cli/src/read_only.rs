//! Files that are only read: also those that this user may only read, and those that another process writes meanwhile.

use crate::faults;
use cachemaint::dax::{DaxView, Error, Options};
use std::path::Path;

/// A view whose faulting loads are errors and do not end the process.
pub(crate) struct ReadOnly {
    view: DaxView,
}

impl ReadOnly {
    /// Opens a file of any granularity: reading does not need a guarantee.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { view: Options::new().allow_page_granularity().view(path)? })
    }

    pub(crate) const fn view(&self) -> &DaxView {
        &self.view
    }

    /// Runs `work`, and makes an error of an access that would have ended the process: the file was cut
    /// meanwhile, or its medium has lost bytes.
    pub(crate) fn guarded<R>(&self, work: impl FnOnce() -> R) -> anyhow::Result<R> {
        faults::guarded(&self.view, work)
    }
}

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
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
