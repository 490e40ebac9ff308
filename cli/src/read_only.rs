//! Files that are looked at, and that nothing is written to: also those that this user may only read, and
//! those that another process writes meanwhile.

use cachemaint::dax::{DaxView, Error, Options};
use std::path::Path;

/// A view, and what keeps its loads from ending the process.
pub(crate) struct ReadOnly {
    view: DaxView,
    #[cfg(target_os = "linux")]
    guard: Option<cachemaint::dax::FaultGuard>,
}

impl ReadOnly {
    /// Opens a file, whatever it gets: what is read needs no guarantee.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            view: Options::new().allow_page_granularity().view(path)?,
            // Not on all architectures: a file that is cut meanwhile ends the command there.
            #[cfg(target_os = "linux")]
            guard: cachemaint::dax::FaultGuard::install().ok(),
        })
    }

    pub(crate) const fn view(&self) -> &DaxView {
        &self.view
    }

    /// Runs `work`, and makes an error of an access that would have ended the process: the file was cut
    /// meanwhile, or its medium has lost bytes.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "there is no guard here")
    )]
    pub(crate) fn guarded<R>(&self, work: impl FnOnce() -> R) -> Result<R, Error> {
        #[cfg(target_os = "linux")]
        if let Some(guard) = self.guard {
            return self.view.guarded(guard, |_| work());
        }
        Ok(work())
    }
}

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::ReadOnly;
    use cachemaint::dax::ErrorKind;
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
        assert!(
            matches!(error.kind(), ErrorKind::Shorter { size: 4096, needed: 1_048_576 }),
            "{error}"
        );
    }
}
