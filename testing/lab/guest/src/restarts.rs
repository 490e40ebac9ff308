//! The example `vm_restart`, which a lane starts again after each event.

#[expect(dead_code, reason = "a program of its own begins with the arguments of its process")]
#[path = "../../../../examples/vm_restart/main.rs"]
mod vm_restart;

use crate::number;
use anyhow::{Result, anyhow};
use std::process::ExitCode;

/// Runs the example with this many MiB of RAM.
pub(crate) fn run(path: &str, mib: &str) -> Result<ExitCode> {
    vm_restart::run(path, number(mib)? << 20).map_err(|error| anyhow!("{error}"))?;
    Ok(ExitCode::SUCCESS)
}
