//! Bytes that a program stores and never flushes, with a guard that writes them back.

use super::file::{Bytes, Step};
use super::{Chance, Witness, Work};
use anyhow::{Result, ensure};
use cachemaint::dax::guard::Guard;
use cachemaint::dax::{DaxFile, FaultHandler};

/// The bytes, and the guard of the file. A step is acknowledged when a pass has ended that began after it.
pub(super) struct Guarded {
    bytes: Bytes,
    path: String,
    guard: Option<Guard>,
}

impl Guarded {
    pub(super) fn new(chance: Chance, path: &str) -> Self {
        Self { bytes: Bytes::new(chance), path: path.to_owned(), guard: None }
    }
}

impl Work for Guarded {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        let guard = match &mut self.guard {
            Some(guard) => guard,
            none => {
                let mut guard = Guard::new(FaultHandler::install()?);
                guard.add(&self.path)?;
                none.insert(guard)
            }
        };
        self.bytes.live_by(file, witness, |step: &Step| {
            file.write(step.range.start as u64, &step.bytes);
            let pass = guard.pass();
            ensure!(pass.problems.is_empty(), "{:?}", pass.problems);
            Ok(())
        })
    }

    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        self.bytes.judge(file, acknowledged)
    }
}
