//! The list of all lanes.

use std::io::{self, Write as _};

use anyhow::Result;

use super::lane::Lane;
use super::{c_programs, cpus, freestanding, last_events, libpmem, machines, selftest};

pub(super) fn lanes() -> Vec<Lane> {
    let groups = [
        c_programs::lanes(),
        libpmem::lanes(),
        cpus::lanes(),
        freestanding::lanes(),
        last_events::lanes(),
        selftest::lanes(),
        machines::lanes(),
    ];
    groups.into_iter().flatten().collect()
}

/// Prints the lanes with their claims.
pub(super) fn list() -> Result<()> {
    let lanes = lanes();
    let width = lanes.iter().map(|lane| lane.name.len()).max().unwrap_or(0);
    for lane in lanes {
        let long = if lane.is_long { " (long)" } else { "" };
        writeln!(io::stdout(), "{:width$}  {}{long}", lane.name, lane.proves)?;
    }
    Ok(())
}
