//! A guard of a file with holes: a program stores to them through an ordinary mapping and never flushes. Only the
//! running kernel knows the blocks that the file gets for these stores, until the guard makes them durable.

use core::time::Duration;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    COMMAND, DIRECTORY, Machine, PMEM0, Stage, Transcript, WITHOUT_COMMITS, count, make_ext4,
    mount_again,
};

/// `SIGTERM` (signal(7)).
pub(super) const SIGTERM: i32 = 15;

/// The CPU time after which passes of a guard of some bytes have ended that began meanwhile, in ticks: a second. A pass
/// takes 10 ms in emulation.
const PASSES: u64 = 100;

const FILE: &str = "/mnt/sparse";
const LEN: u64 = 1 << 30;
/// Bytes from one store to the next.
const APART: u64 = (32 << 20) + 8;
/// The most that a store to a hole may allocate at once: a huge page (Linux, `fs/dax.c`, `dax_iomap_pmd_fault`).
const GIVEN: u64 = 2 << 20;

pub(super) fn holes(stage: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = Machine::start(&stage.kit, &stage.emulated(), log)?;
    make_ext4(&mut machine, PMEM0, WITHOUT_COMMITS)?;
    let storing = machine.start_beside(&format!("/init store-to-holes {FILE} {LEN}"), &[])?;
    let places: Vec<u64> = (0..LEN / APART).map(|number| number * APART).collect();
    let (before, later) = places.split_at(places.len() / 2);
    store(&mut machine, storing, before)?;

    let guard = start_guard(&mut machine)?;
    // It syncs a file with holes, and does not map it.
    make_passes(&mut machine, guard)?;
    store(&mut machine, storing, later)?;
    let statistics = machine.document_at_end(guard, SIGTERM).context("the guard")?;
    writeln!(log, "guard: {statistics}")?;
    ensure!(count(&statistics, "/problems")? == 0, "not guarded: {statistics}");
    let (passes, lines) = (count(&statistics, "/passes")?, count(&statistics, "/lines")?);
    // If the passes covered the holes as well, each pass would take all lines of the file.
    ensure!(lines <= passes * places.len() as u64 * GIVEN / 64, "{lines} lines in {passes} passes");

    machine.reboot()?;
    mount_again(&mut machine)?;
    let wanted: Vec<String> = places.iter().map(u64::to_string).collect();
    let (code, found, errors) =
        machine.output(&format!("/init find-in-holes {FILE} {}", wanted.join(" ")))?;
    ensure!(code == Some(0), "the file cannot be read: {errors}");
    let found: Vec<&str> = found.lines().collect();
    ensure!(found == wanted, "of {} stores {} are there", wanted.len(), found.len());
    machine.power_off()
}

/// Waits until passes of a guard have ended that began meanwhile.
fn make_passes(machine: &mut Machine, guard: u32) -> Result<()> {
    let enough = cpu_time(machine, guard)? + PASSES;
    wait("the guard makes too few passes", || Ok(cpu_time(machine, guard)? >= enough))
}

/// Returns the CPU time that a program has had, in ticks (Linux, `Documentation/filesystems/proc.rst`, `utime` and `stime`).
fn cpu_time(machine: &mut Machine, program: u32) -> Result<u64> {
    let stat = machine.read(&format!("/proc/{program}/stat"))?.unwrap_or_default();
    // The name, in brackets, may have spaces.
    let (_, numbers) = stat.rsplit_once(')').context("the guard has ended")?;
    let times = numbers.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(times.sum::<Result<u64, _>>()?)
}

fn store(machine: &mut Machine, storing: u32, places: &[u64]) -> Result<()> {
    for place in places {
        let stored = machine.tell(storing, &place.to_string())?;
        ensure!(stored == place.to_string(), "the program stored at {stored:?}, not {place}");
    }
    Ok(())
}

/// Starts a guard of the file system.
pub(super) fn start_guard(machine: &mut Machine) -> Result<u32> {
    machine.start_beside(&format!("{COMMAND} guard {DIRECTORY} --within 10ms --json"), &[])
}

/// Waits until a guard has mapped a file, or one below a folder.
pub(super) fn maps(machine: &mut Machine, guard: u32, path: &str) -> Result<()> {
    wait(&format!("the guard does not find {path}"), || {
        let maps = machine.read(&format!("/proc/{guard}/maps"))?.unwrap_or_default();
        ensure!(!maps.is_empty(), "the guard has ended");
        Ok(maps.contains(path))
    })
}

/// Waits until something is so, or says what is wrong.
fn wait(wrong: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(120);
    while Instant::now() < patience {
        if is_so()? {
            return Ok(());
        }
    }
    bail!("{wrong}")
}
