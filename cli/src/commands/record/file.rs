//! The file of a recording. An access that would end the command is an error.

use crate::faults;
use cachemaint::dax::{DaxFile, Error};
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// A file that several threads record into and write back. Each access is guarded separately, as one of the threads
/// belongs to the library.
pub(super) struct Guarded {
    file: Arc<DaxFile>,
    /// The error of the first access that failed and could not return it.
    failed: Mutex<Option<Error>>,
    #[cfg(target_os = "linux")]
    guard: Option<cachemaint::dax::FaultHandler>,
}

impl Guarded {
    pub(super) fn new(file: Arc<DaxFile>) -> Self {
        Self {
            file,
            failed: Mutex::new(None),
            #[cfg(target_os = "linux")]
            guard: cachemaint::dax::FaultHandler::install().ok(),
        }
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

    fn guarded_or_noted<R: Default>(&self, work: impl FnOnce(&DaxFile) -> R) -> R {
        self.guarded(work).unwrap_or_else(|error| {
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
        self.guarded_or_noted(|file| file.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.guarded(|file| file.read(at, into))?
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
        self.guarded_or_noted(|file| file.store(at, word, order));
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.guarded_or_noted(|file| file.write(at, from));
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        self.guarded(|file| file.issue_writeback(range))?
    }

    fn fence(&self) {
        self.file.fence();
    }

    fn order_observed(&self) {
        self.file.order_observed();
    }

    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.guarded(|file| file.copy_unfenced(parts))?
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        self.file.writer_lock()
    }
}
