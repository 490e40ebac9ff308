//! The oldest kernel that the library states (`cachemaint`'s documentation, "Limits" of `dax`), by lines and by pages.

use anyhow::{Context as _, Result, ensure};

use super::guard::{SIGTERM, maps, start_guard};
use super::requests::Library as _;
use super::{
    COMMAND, DIRECTORY, LINE, Machine, PAGE, PMEM0, Records, Stage, Transcript, count, expect,
    found_again_on, make_ext4, records,
};

/// The beginning of its version.
const OLDEST: &str = "5.10.";

/// The command's files.
const JOURNAL: &str = "/mnt/journal";
const RECORDING: &str = "/mnt/recording";
const STORE: &str = "/mnt/store";

pub(super) fn outlives_a_reset(stage: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = Machine::start(&stage.kit, &stage.emulated(), log)?;
    let release = machine.read("/proc/sys/kernel/osrelease")?.unwrap_or_default();
    ensure!(release.starts_with(OLDEST), "the kernel is {release}, not {OLDEST}");

    for (options, granularity) in [("dax=always", LINE), ("dax=never", PAGE)] {
        make_ext4(&mut machine, PMEM0, options)?;
        let by_pages = granularity == PAGE;
        let written = Records { allow_pages: by_pages, ..records("/mnt/records", 7) };
        expect(&machine.persist(&written)?, granularity)?;
        write(&mut machine)?;
        // The guard takes files of DAX alone.
        if !by_pages {
            guard(&mut machine).context("the guard")?;
        }
        machine.reboot()?;
        found_again_on(&mut machine, PMEM0, options, &written)?;
        read(&mut machine).with_context(|| options)?;
        machine.unmount(DIRECTORY)?;
    }
    machine.power_off()
}

/// Writes a journal, a store and a recording by the command, and reads them.
fn write(machine: &mut Machine) -> Result<()> {
    for (line, input) in [
        (format!("journal append {JOURNAL} --create 1M"), "one\ntwo\n"),
        (format!("store save {STORE} state --create 1M"), "some state"),
        (format!("store save {STORE} grown --grow 2M"), "more state"),
        (format!("recording write {RECORDING} --create 1M --durability each-append"), "an event\n"),
    ] {
        says(machine, &line, input)?;
    }
    read(machine)
}

fn read(machine: &mut Machine) -> Result<()> {
    for (line, expected) in [
        (format!("journal read {JOURNAL}"), "two"),
        (format!("store load {STORE} state"), "some state"),
        (format!("store load {STORE} grown"), "more state"),
        (format!("recording print {RECORDING}"), "an event"),
    ] {
        let out = says(machine, &line, "")?;
        ensure!(out.contains(expected), "`{line}` printed {out:?}");
    }
    Ok(())
}

/// Runs the command, which must succeed. Returns its output.
fn says(machine: &mut Machine, line: &str, input: &str) -> Result<String> {
    let (code, out, errors) = machine.output_of(&format!("{COMMAND} {line}"), input)?;
    ensure!(code == Some(0), "`{line}` ended with {code:?}: {errors}");
    Ok(out)
}

fn guard(machine: &mut Machine) -> Result<()> {
    let guard = start_guard(machine)?;
    maps(machine, guard, JOURNAL)?;
    let statistics = machine.document_at_end(guard, SIGTERM)?;
    ensure!(count(&statistics, "/problems")? == 0, "not guarded: {statistics}");
    ensure!(count(&statistics, "/passes")? > 0, "no pass: {statistics}");
    Ok(())
}
