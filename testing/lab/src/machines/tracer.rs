//! A tracer that never flushes: LTTng-UST, its ring buffers in files on emulated pmem, and the command
//! beside it that writes them back. A reset with everything running loses lines that were not written back, and the events
//! are looked for in the buffers one by one: they have a number, and a second field that follows from it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::guard::{SIGTERM, maps, start_guard};
use super::{
    Lab, Machine, PMEM0, Stage, Transcript, WITHOUT_COMMITS, at_least, count, make_ext4,
    mount_again,
};
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::losses::random;
use xtask::command::Cmd;

/// The packages: the tracer, the library of traced programs, and `od`.
const PACKAGES: [&str; 3] = ["lttng-tools", "liblttng-ust-dev", "coreutils"];
const PROGRAMS: [&str; 3] = ["lttng", "lttng-sessiond", "od"];
/// The folder of libraries in packages, and the program that the daemon starts.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const CONSUMER: &str = "lttng/libexec/lttng-consumerd";

/// The schema without which the session daemon does not start.
const SCHEMA: &str = "usr/share/xml/lttng/session.xsd";

/// The page of the guide whose commands start the tracer.
const RECIPE: &str = include_str!("../../../../docs/tracing.md");

/// The program that is traced (`testing/lab/tracer`).
const TRACED: &str = "/lab/traced";
/// The folder of the ring buffers, below the mount point.
const BUFFERS: &str = "/mnt/trace";

/// The sub-buffers of a CPU's ring buffer, as in the recipe, and their bytes. The newest sub-buffer may be almost empty.
const SUB_BUFFERS: u64 = 4;
const SUB_BUFFER: u64 = 16 << 10;
/// The least length of an event, its fields, and the greatest, with LTTng-UST's header of at most as many bytes.
const SHORTEST_EVENT: u64 = 16;
const LONGEST_EVENT: u64 = 32;
/// The number of events that fit into a sub-buffer at least.
const SUB_BUFFER_EVENTS: u64 = SUB_BUFFER / LONGEST_EVENT;
/// The number of the newest events by a pass that no later ones overwrite, if these fit into a sub-buffer. They begin
/// the next sub-buffer at most, which has the oldest events.
const KEPT: u64 = (SUB_BUFFERS - 2) * SUB_BUFFER_EVENTS;
/// The number of events after which the ring has wrapped around.
const LAP: u64 = SUB_BUFFERS * SUB_BUFFER / SHORTEST_EVENT;

/// Returns the programs that are put into a machine.
pub(super) fn files(lab: &Lab) -> Result<Initramfs> {
    let root = lab.packages("amd64", &PACKAGES)?;
    let mut files = super::command(lab)?;
    PROGRAMS.iter().try_for_each(|name| files.program(&root, name))?;
    let consumer = format!("{LIBRARIES}/{CONSUMER}");
    files.linked(&root, &format!("/{consumer}"), root.join(&consumer))?;
    files.file(&format!("/{SCHEMA}"), root.join(SCHEMA));
    files.linked(&root, TRACED, traced(lab, &root)?)?;
    // The session daemon makes its own folder in this one.
    files.text("/var/run/made", "");
    Ok(files)
}

/// Builds the traced program as LTTng's users build theirs, against the unpacked packages.
fn traced(lab: &Lab, root: &Path) -> Result<PathBuf> {
    let sources = lab.tree().join("testing/lab/tracer");
    let program = lab.work().join("traced");
    let headers = root.join("usr/include");
    let libraries = root.join(LIBRARIES);
    Cmd::new("cc")
        .words("-O2 -Wall -Werror")
        .arg(format!("-I{}", sources.display()))
        .arg(format!("-I{}", headers.display()))
        .arg(format!("-I{}", headers.join("x86_64-linux-gnu").display()))
        .path(sources.join("traced.c"))
        .arg("-o")
        .path(&program)
        .arg(format!("-L{}", libraries.display()))
        .arg(format!("-Wl,-rpath-link={}", libraries.display()))
        .arg("-llttng-ust")
        .read()?;
    Ok(program)
}

/// The guard's passes end before the last events are recorded, as if the reset came before the next one.
pub(super) fn reset_after_last_pass(stage: &Stage, log: &mut Transcript) -> Result<()> {
    let mut started = Machine::start(&stage.kit, &stage.emulated(), log)?;
    let (machine, name) = (&mut started, &stage.name);
    make_ext4(machine, PMEM0, WITHOUT_COMMITS)?;
    // The guard starts first, as a service does: all files are new to it, and grow.
    let guard = start_guard(machine)?;
    let traced = start_tracing(machine)?;
    maps(machine, guard, BUFFERS)?;
    let recorded = record(machine, traced, more_than_a_lap(name))?;
    let passes = machine.document_at_end(guard, SIGTERM).context("the guard")?;
    writeln!(log, "guard: {passes}")?;
    // One pass ran beside the tracer, and one at the end.
    at_least(count(&passes, "/passes")?, 2)?;
    at_least(count(&passes, "/lines")?, SUB_BUFFERS * SUB_BUFFER / 64)?;
    ensure!(count(&passes, "/longest_interval_ns")? > 0, "no time between passes: {passes}");

    let all = record(machine, traced, random(name) % SUB_BUFFER_EVENTS)?;
    machine.reboot()?;
    mount_again(machine)?;
    let stored = stored_events(&buffer(machine)?);
    let later = stored.range(recorded..).count();
    writeln!(log, "{recorded} events by the last pass; of {} after it {later}", all - recorded)?;
    let lost = (recorded - KEPT..recorded).find(|number| !stored.contains(number));
    ensure!(lost.is_none(), "event {lost:?} is lost");
    started.power_off()
}

/// Returns a number of events after which the ring has wrapped around. Each lane draws numbers of its own, as lanes run
/// side by side.
fn more_than_a_lap(name: &str) -> u64 {
    LAP + random(name) % LAP
}

/// Starts the tracer's daemon with ring buffers in a folder, by the guide's commands, and a program that it traces.
fn start_tracing(machine: &mut Machine) -> Result<u32> {
    machine.run("/bin/lttng-sessiond --daemonize --no-kernel")?;
    let commands: Vec<_> = RECIPE.lines().filter_map(|line| line.strip_prefix("lttng ")).collect();
    ensure!(commands.len() == 4, "the recipe has other commands: {commands:?}");
    for command in commands {
        let command = command.replace("/mnt/pmem/flight", BUFFERS).replace("'myapp:*'", "lab:*");
        let command = command.replace("=1M", &format!("={SUB_BUFFER}"));
        machine.run(&format!("/bin/lttng --no-sessiond {command}"))?;
    }
    // Without a limit the traced program waits for the daemon before its first event.
    let traced = machine.start_beside(TRACED, &[("LTTNG_UST_REGISTER_TIMEOUT", "-1")])?;
    record(machine, traced, 1)?;
    Ok(traced)
}

/// Has more events recorded. Returns the number of events recorded by then.
fn record(machine: &mut Machine, traced: u32, more: u64) -> Result<u64> {
    let recorded = machine.tell(traced, &more.to_string())?;
    recorded.parse().with_context(|| format!("the traced program said {recorded:?}"))
}

/// Returns the content of the only ring buffer.
fn buffer(machine: &mut Machine) -> Result<Vec<u8>> {
    let sessions = machine.list(BUFFERS)?;
    let [session] = &sessions[..] else { bail!("the traces of {sessions:?}") };
    let file = format!("{BUFFERS}/{session}/ust/uid/0/64-bit/events_0");
    let (_, dump, _) = machine.output(&format!("/bin/od -An -v -tx1 {file}"))?;
    let bytes = dump.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
    Ok(bytes.collect::<Result<_, _>>()?)
}

/// Returns the numbers of the events whose fields are anywhere in these bytes.
fn stored_events(bytes: &[u8]) -> BTreeSet<u64> {
    let field = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let fields = bytes.windows(16).map(|both| (field(&both[..8]), field(&both[8..])));
    fields.filter(|(number, check)| *check == check_of(*number)).map(|(number, _)| number).collect()
}

/// Returns the other field of an event, which says nothing about shifted bytes (`testing/lab/tracer/traced.c`).
fn check_of(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::{check_of, stored_events};

    #[test]
    fn stored_events_are_found_at_any_place() {
        let fields = |number: u64| [number, check_of(number)].map(u64::to_le_bytes);
        let [one, seven] = [1, 7].map(|number| fields(number).concat());
        let torn = [&seven[..8], &one[8..]].concat();
        let bytes = [&[0; 21], &one[..], &torn, &[3], &seven].concat();
        assert!(stored_events(&bytes).into_iter().eq([1, 7]));
    }
}
