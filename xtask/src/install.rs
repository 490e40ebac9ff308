//! Packages of Debian and Ubuntu that are installed: compilers and linkers.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use crate::absent::Lacks;
use crate::command::{Cmd, find_program};
use crate::host::fetched;

/// Options of apt: a server that does not answer ends a check, instead of the patience of whoever runs it.
const PATIENCE: &str =
    "-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=3";

/// Held while packages are installed: apt does not wait for the lock of its lists.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs packages, unless all of them are installed. Needs root or a `sudo` that asks nothing.
pub fn install(packages: &[&str]) -> Result<()> {
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
    if find_program("apt-get").is_none() {
        return Err(Lacks::Apt.error("apt-get is not there"));
    }
    let names = packages.join(" ");
    let as_root: &[&str] = match Cmd::new("id").arg("-u").read()?.trim() {
        "0" => &["env"],
        _ if Cmd::new("sudo").args(["-n", "true"]).read().is_ok() => &["sudo", "-n", "env"],
        _ => bail!(Lacks::Root.error(format_args!("installing {names} needs root"))),
    };
    let how = if as_root.len() > 1 { ", by sudo" } else { "" };
    writeln!(io::stderr(), "apt-get install {names}: a check needs it{how}")?;
    let apt = |line: &str| {
        let (program, rest) = as_root.split_first().context("no program")?;
        Cmd::new(*program)
            .args(rest.iter().copied())
            .words("LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get --quiet -o DPkg::Lock::Timeout=1800")
            .words(PATIENCE)
            .words(line)
            .read()
    };
    let line = format!("install --yes --no-install-recommends {names}");
    if apt(&line).is_ok() {
        return Ok(());
    }
    // The lists may be missing or out of date, as on a fresh machine.
    fetched(apt("update").and_then(|_| apt(&line))).map(drop)
}
