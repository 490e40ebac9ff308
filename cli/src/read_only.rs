//! Files that are only read: also those that another process writes meanwhile and, on 64-bit CPUs, those that this user may
//! only read.

use crate::faults;
use cachemaint::dax::{DaxFile, DaxView, Error, ErrorKind, Lock, Options};
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
                Opened::Writable(options.lock(Lock::Off).open(path)?)
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

/// The most items of one guarded call, and the bytes of output after which it ends. Each call costs as much as some items.
const TOGETHER: (usize, usize) = (256, 64 << 10);

impl ReadOnly {
    /// Replaces the content of `lines` with the output of the next items. `read` appends one item, and returns false if no
    /// other one follows; this returns false then.
    ///
    /// # Errors
    /// Those of `read` and of [`guarded`](Self::guarded). `lines` has the items before the one with the error.
    pub(crate) fn read_together(
        &self,
        lines: &mut Vec<u8>,
        mut read: impl FnMut(&mut Vec<u8>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let (mut items, mut whole, mut goes_on) = (0, 0, Ok(true));
        lines.clear();
        // One large item leaves no large buffer.
        lines.shrink_to(2 * TOGETHER.1);
        let guarded = faults::guarded_while(self.view(), || {
            whole = lines.len();
            items += 1;
            goes_on = read(lines);
            matches!(goes_on, Ok(true)) && items < TOGETHER.0 && lines.len() < TOGETHER.1
        });
        if guarded.is_err() {
            lines.truncate(whole);
        }
        guarded.and(goes_on)
    }
}

fn needs_right_to_write(error: &Error) -> bool {
    cfg!(target_pointer_width = "32") && matches!(error.kind(), ErrorKind::Unsupported)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::ReadOnly;
    use cachemaint::dax::Options;
    use core::sync::atomic::Ordering;

    #[test]
    fn items_are_read_together_up_to_a_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let read_only = ReadOnly::open(file.path()).unwrap();
        let mut lines = b"of the call before".to_vec();
        let mut reads = 0;
        let mut read = |lines: &mut Vec<u8>, line: &[u8], last: usize| {
            read_only.read_together(lines, |lines| {
                reads += 1;
                lines.extend_from_slice(line);
                Ok(reads < last)
            })
        };
        assert!(!read(&mut lines, b"line", 3).unwrap());
        assert_eq!(lines, b"linelineline");
        assert!(read(&mut lines, b"", usize::MAX).unwrap());
        assert!(read(&mut lines, &vec![0; 40 << 10], usize::MAX).unwrap());
        assert_eq!(lines.len(), 80 << 10);
        assert!(read(&mut lines, &vec![0; 1 << 20], usize::MAX).unwrap());
        assert!(!read(&mut lines, b"", 0).unwrap());
        assert!(lines.capacity() < 1 << 20);
        assert_eq!(reads, 3 + 256 + 2 + 2);
        let failed = read_only.read_together(&mut lines, |lines| {
            lines.push(b'.');
            if lines.len() < 3 { Ok(true) } else { Err(anyhow::anyhow!("damaged")) }
        });
        assert_eq!(failed.unwrap_err().to_string(), "damaged");
        assert_eq!(lines, b"...", "the items before the error");
    }

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
