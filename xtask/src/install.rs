//! Packages of Debian and Ubuntu that are installed: compilers and linkers.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use lose_lines::debian::PATIENCE;

use crate::command::{Cmd, find_program};
use crate::host::{NO_NETWORK, without_network};

/// Held while packages are installed: apt does not wait for the lock of its lists.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs packages, unless all of them are installed. Needs root or a `sudo` that asks nothing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let installed = |package: &&str| {
        Cmd::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .read()
            .is_ok_and(|status| status == "installed")
    };
    if packages.iter().all(installed) {
        return Ok(());
    }
    find_program("apt-get").context("apt-get is not there")?;
    let as_root: &[&str] = match Cmd::new("id").arg("-u").read()?.trim() {
        "0" => &["env"],
        _ if Cmd::new("sudo").args(["-n", "true"]).read().is_ok() => &["sudo", "-n", "env"],
        _ => bail!("installing {} needs root", packages.join(", ")),
    };
    let apt = |line: &str| {
        let (program, rest) = as_root.split_first().context("no program")?;
        Cmd::new(*program)
            .args(rest.iter().copied())
            .words("DEBIAN_FRONTEND=noninteractive apt-get --quiet -o DPkg::Lock::Timeout=1800")
            .words(PATIENCE)
            .words(line)
            .read()
    };
    let line = format!("install --yes --no-install-recommends {}", packages.join(" "));
    if apt(&line).is_ok() {
        return Ok(());
    }
    // The lists may be missing or out of date, as on a fresh machine.
    let installed = apt("update").and_then(|_| apt(&line)).map(drop);
    ensure!(installed.is_ok() || !without_network(), NO_NETWORK);
    installed
}
