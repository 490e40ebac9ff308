//! The file of a recording. An access that would end the command is an error.
//!
//! The opening of a recording can load each word of the file several times, and a guard takes much longer than a load. So
//! one guard is around the whole opening. Later accesses have guards of their own.

use crate::faults;
use cachemaint::dax::{DaxFile, Error};
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint::recorder::Recorder;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A file that several threads record into and write back. After the opening each access is guarded separately, as one of
/// the threads belongs to the library.
pub(super) struct Guarded {
    file: Arc<DaxFile>,
    /// True while the guard of the opening is around all accesses.
    is_opening: AtomicBool,
    /// The error of the first access that failed and could not return it.
    failed: Mutex<Option<Error>>,
    #[cfg(target_os = "linux")]
    guard: Option<cachemaint::dax::FaultHandler>,
}

impl Guarded {
    /// Opens or creates a recording by `open`, under one guard.
    ///
    /// The guard replaces missing bytes by zeros, from which `open` may draw a wrong conclusion. So the medium stores
    /// nothing after an access to a missing byte.
    ///
    /// # Errors
    /// That of the first access to a missing byte, or else that of `open`.
    pub(super) fn opened(
        file: &Arc<DaxFile>,
        open: impl FnOnce(Self) -> anyhow::Result<Recorder<Self>>,
    ) -> anyhow::Result<Recorder<Self>> {
        let medium = Self {
            file: Arc::clone(file),
            is_opening: AtomicBool::new(true),
            failed: Mutex::new(None),
            #[cfg(target_os = "linux")]
            guard: cachemaint::dax::FaultHandler::install().ok(),
        };
        faults::guarded(file.view(), || {
            let recorder = open(medium)?;
            // The guard of the opening is still there, so that no access is without one.
            recorder.medium().is_opening.store(false, Ordering::Relaxed);
            Ok(recorder)
        })?
    }

    pub(super) fn file(&self) -> &DaxFile {
        &self.file
    }

    /// Returns the error of an access that failed and could not return it. The events recorded since then are lost.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(faults::explained(self.file.view(), error)),
            None => Ok(()),
        }
    }

    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::unnecessary_wraps, reason = "there is no guard here")
    )]
    fn guarded<R>(&self, work: impl FnOnce(&DaxFile) -> R) -> Result<R, Error> {
        #[cfg(target_os = "linux")]
        if let Some(guard) = self.guard {
            return self.file.catch_faults(guard, work);
        }
        Ok(work(&self.file))
    }

    /// Runs `work`, which loads.
    fn loading<R>(&self, work: impl FnOnce(&DaxFile) -> R) -> Result<R, Error> {
        if self.is_opening.load(Ordering::Relaxed) {
            return Ok(work(&self.file));
        }
        self.guarded(work)
    }

    /// Runs `work`, which stores or writes back.
    ///
    /// # Errors
    /// In an opening that of an earlier access to a missing byte, after which `work` is not run.
    fn storing<R>(&self, work: impl FnOnce(&DaxFile) -> R) -> Result<R, Error> {
        if self.is_opening.load(Ordering::Relaxed) {
            // A write-back of any range, also of an empty one, fails while zeros replace bytes of the file.
            self.file.issue_writeback(0..0)?;
            return Ok(work(&self.file));
        }
        self.guarded(work)
    }

    /// Returns the result of an access that cannot return its error. The error is noted.
    fn or_noted<R: Default>(&self, result: Result<R, Error>) -> R {
        result.unwrap_or_else(|error| {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(error);
            R::default()
        })
    }
}

impl Readable for Guarded {
    type Error = Error;

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.or_noted(self.loading(|file| file.load(at, order)))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.loading(|file| file.read(at, into))?
    }

    fn check(&self) -> Result<(), Error> {
        self.file.check()
    }
}

impl Medium for Guarded {
    fn granularity(&self) -> Granularity {
        self.file.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.file.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.or_noted(self.storing(|file| file.store(at, word, order)));
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.or_noted(self.storing(|file| file.write(at, from)));
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        self.storing(|file| file.issue_writeback(range))?
    }

    fn fence(&self) {
        self.file.fence();
    }

    fn order_observed(&self) {
        self.file.order_observed();
    }

    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.storing(|file| file.copy_unfenced(parts))?
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        self.file.writer_lock()
    }
}

// The guard refuses to be installed on other architectures.
#[cfg(test)]
#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod tests {
    use super::Guarded;
    use crate::killed::note_system_calls;
    use cachemaint::dax::{self, DaxFile, FaultHandler};
    use cachemaint::medium::{Medium as _, Readable as _};
    use cachemaint::recorder::{Options, Recorder};
    use core::sync::atomic::Ordering::Relaxed;
    use rustix::param::page_size;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;
    use tempfile::TempDir;

    fn open(directory: &TempDir) -> Arc<DaxFile> {
        let path = directory.path().join("file");
        Arc::new(dax::Options::new().allow_page_granularity().open(path).unwrap())
    }

    /// Creates a recording of one shard with an event in its first sub-buffer. Returns the bytes of the file.
    fn recording(directory: &TempDir, len: usize) -> (PathBuf, Vec<u8>) {
        let path = directory.path().join("file");
        let file = dax::Options::new().allow_page_granularity();
        let file = file.create_new(&path, len as u64).unwrap();
        let recorder = Options::new().sub_buffer_size(256).create_new(file).unwrap();
        recorder.claim().unwrap().record(1, b"the valve is open").unwrap();
        drop(recorder);
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    }

    fn continued(medium: Guarded) -> anyhow::Result<Recorder<Guarded>> {
        Options::new().open(medium).map_err(|failed| failed.error.into())
    }

    /// The sub-buffers begin at byte 12288 (module `recorder`, the format). Each one without a header is searched at each word
    /// for the records of several openings.
    #[test]
    fn an_opening_that_searches_each_word_makes_few_system_calls() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut bytes) = recording(&directory, 1 << 18);
        bytes[12288 + 256..].fill(1);
        let words = (bytes.len() - 12288 - 256) / 8;
        fs::write(path, bytes).unwrap();
        // A child that is forked while another test installs it would wait for ever.
        FaultHandler::install().unwrap();
        let test = "an_opening_that_searches_each_word_makes_few_system_calls";
        let mut calls = 0;
        let act = || Guarded::opened(&open(&directory), continued).map(drop);
        let noted = note_system_calls(test, act, |_| calls += 1);
        assert!(!noted || calls < words / 50, "{calls} calls for {words} words");
    }

    #[test]
    fn an_opening_of_a_cut_file_is_refused_and_stores_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (path, before) = recording(&directory, 16 * page_size());
        let (file, cut) = (open(&directory), 8 * page_size());
        file.file().set_len(cut as u64).unwrap();
        let error = Guarded::opened(&file, continued).map(drop).unwrap_err().to_string();
        let expected = format!(
            "{}: an access at offset {cut} failed, as the file was cut to {cut} bytes while it was open; ",
            path.display()
        );
        assert!(error.starts_with(&expected), "{error}");
        assert!(fs::read(path).unwrap() == before[..cut], "the file has changed");
    }

    #[test]
    fn an_opening_that_has_read_a_missing_byte_stores_nothing_in_other_pages() {
        let directory = tempfile::tempdir().unwrap();
        let (path, before) = recording(&directory, 16 * page_size());
        let (file, cut) = (open(&directory), 8 * page_size());
        file.file().set_len(cut as u64).unwrap();
        let opened = Guarded::opened(&file, |medium| {
            assert_eq!(medium.load(cut as u64, Relaxed), 0);
            medium.store(0, 7, Relaxed);
            medium.write(8, &[7; 16]);
            medium.copy_unfenced(&[(24, &[7; 8])]).unwrap_err();
            medium.issue_writeback(0..8).unwrap_err();
            continued(medium)
        });
        assert!(opened.is_err());
        assert!(fs::read(path).unwrap() == before[..cut], "the file has changed");
    }
}
