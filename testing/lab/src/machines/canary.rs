//! The command's canary: planted, reset, and shown.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    COMMAND, DAX, DIRECTORY, Machine, PMEM0, Stage, Transcript, expect_value, start_on_dax,
};

pub(super) fn after_resets(stage: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = start_on_dax(&stage.kit, &stage.emulated().with_kexec(), log)?;
    has_none(&mut machine, DIRECTORY)?;
    for directory in [DIRECTORY, "/tmp"] {
        let planted = machine.document(&plant(directory))?;
        expect_value(&planted, "/state", "same_boot")?;
        let (code, _, why) = machine.output(&plant(directory))?;
        ensure!(code == Some(3) && why.contains("already exists"), "planted twice: {why}");
    }
    let planted = says(&mut machine, DIRECTORY, 0, "same_boot")?;
    expect_value(&planted, "/planted/backing", "emulated_pmem")?;
    expect_value(&planted, "/planted/device", "pmem0")?;
    expect_value(&planted, "/planted/persisted_by", "cache lines")?;

    // Nothing is unmounted first: persisting must be enough.
    machine.kexec()?;
    let kept = kept(&mut machine, PMEM0, 0).context("after a kexec")?;
    expect_value(&kept, "/started_by", "kexec")?;
    has_none(&mut machine, "/tmp").context("tmpfs, after a kexec")?;

    machine.reboot()?;
    let lost = machine.lost_lines()?;
    ensure!((lost > 0) == machine.loses(), "{lost} lines lost");
    let kept = self::kept(&mut machine, PMEM0, lost).context("after a reset through firmware")?;
    // QEMU's `-kernel` is loader 0xB (Linux, `Documentation/arch/x86/boot.rst`).
    expect_value(&kept, "/started_by/loader", 0xb0)?;
    machine.power_off()
}

/// Returns the command that plants a canary in a directory.
fn plant(directory: &str) -> String {
    format!("{COMMAND} canary plant {directory} --json")
}

/// Checks the command's report on the canary in a directory: its state and the exit code.
fn says(machine: &mut Machine, directory: &str, code: i32, state: &str) -> Result<Value> {
    let (ended, out, errors) = show(machine, directory)?;
    ensure!(ended == Some(code), "canary show ended with {ended:?}, not {code}: {errors}");
    let document: Value = serde_json::from_str(&out).context("canary show printed no JSON")?;
    expect_value(&document, "/state", state)?;
    Ok(document)
}

fn show(machine: &mut Machine, directory: &str) -> Result<(Option<i32>, String, String)> {
    machine.output(&format!("{COMMAND} canary show {directory} --json"))
}

fn has_none(machine: &mut Machine, directory: &str) -> Result<()> {
    let (ended, out, _) = show(machine, directory)?;
    ensure!(
        ended == Some(3) && out.contains("there is no canary"),
        "canary show ended with {ended:?}: {out}"
    );
    Ok(())
}

/// Mounts a device, and checks that the persisted part of the canary there is found whole in another boot. Of the other
/// part, these lines were lost, each of 64 bytes.
fn kept(machine: &mut Machine, device: &str, lost: u64) -> Result<Value> {
    machine.wait_for(device)?;
    machine.mount(device, DIRECTORY, DAX)?;
    let kept = says(machine, DIRECTORY, 0, "kept")?;
    expect_value(&kept, "/persisted/bytes", 16_384)?;
    expect_value(&kept, "/persisted/first", Value::Null)?;
    expect_value(&kept, "/stored_only/zeros", lost * 64)?;
    Ok(kept)
}
