//! A machine whose RAM is a region of a store, within a machine that is started anew: the example `vm_restart`.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::{Machine, Stage, Transcript, emulated_with, mount_again, start_on_dax};

/// The MiB of emulated pmem.
const PMEM: u64 = 320;

/// The file of the inner machine, and the MiB of its RAM. Each run takes 1000 steps.
const MONITOR: &str = "/init vm-restart /mnt/machine 128";

/// The events, as the library names them.
const KEXEC: &str = "kexec";
const WARM_REBOOT: &str = "reboot through firmware";

pub(super) fn restarts(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let setup = emulated_with(name, 1536, PMEM).with_kexec();
    let mut machine = start_on_dax(kit, &setup, log)?;
    let booted = monitor(&mut machine, log)?;
    ensure!(booted[0].starts_with("booted after "), "{booted:?}");
    let address = booted.get(1).filter(|line| line.starts_with("its RAM begins at 0x"));
    let address = address.context("its RAM has no physical address")?.clone();
    let has_resumed = |lines: &[String], origin: &str, steps: u64| {
        let event = format!("since the last time: {origin}");
        let step = format!(", at step {steps}");
        lines[0] == event && lines[1].ends_with(&step) && lines[2] == address
    };

    machine.kexec()?;
    mount_again(&mut machine)?;
    let resumed = monitor(&mut machine, log)?;
    ensure!(has_resumed(&resumed, KEXEC, 1000), "after a kexec: {resumed:?}");

    machine.reboot()?;
    mount_again(&mut machine)?;
    let resumed = monitor(&mut machine, log)?;
    ensure!(has_resumed(&resumed, WARM_REBOOT, 2000), "after a reset: {resumed:?}");
    machine.power_off()
}

/// Runs the example and returns its lines.
fn monitor(machine: &mut Machine, log: &mut Transcript) -> Result<Vec<String>> {
    let (code, output, errors) = machine.output(MONITOR)?;
    writeln!(log, "{output}{errors}")?;
    ensure!(code == Some(0), "{code:?}: {errors}");
    let lines: Vec<String> = output.lines().map(str::to_owned).collect();
    ensure!(lines.len() >= 2, "{output}");
    Ok(lines)
}
