//! A tracer that never flushes: LTTng-UST, its ring buffers in files on emulated pmem, and the command
//! beside it that writes them back. The machine is started anew with everything running, and LTTng's
//! own programs read the trace.
//!
//! This proves the recipe of `docs/tracing-over-reboot.md`. A reset loses lines that were not written back, and the
//! recorded events are read one by one. The file system must know of the files, and the command must take them.

use core::ops::Range;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::canary::COMMAND;
use super::flush::output;
use super::guard::{SIGTERM, maps, start_guard};
use super::trace::{event, packets, stored_events};
use super::{
    Architecture, DIRECTORY, Kit, Lab, Lane, Log, Machine, PMEM0, Setup, WITHOUT_COMMITS, at_least,
    count, emulated, lane_with, make_ext4, mount_again, start_on_dax,
};
use crate::command::Cmd;
use lose_lines::debian::{self, Suite};
use lose_lines::initramfs::Initramfs;
use lose_lines::losses::random;
use lose_lines::plugin::{Streaming, Verdict};
use lose_lines::unavailable::Unavailable;

/// The packages: the tracer, the library of traced programs, the reader of traces, and `sync`.
const PACKAGES: [&str; 4] = ["lttng-tools", "liblttng-ust-dev", "babeltrace2", "coreutils"];
const PROGRAMS: [&str; 8] =
    ["lttng", "lttng-sessiond", "lttng-crash", "babeltrace2", "dd", "install", "od", "sync"];
/// The folder of libraries in packages.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// The files below that folder that programs start or load by their path.
const LOADED: [&str; 4] = [
    "lttng/libexec/lttng-consumerd",
    "babeltrace2/plugins/babeltrace-plugin-ctf.so",
    "babeltrace2/plugins/babeltrace-plugin-text.so",
    "babeltrace2/plugins/babeltrace-plugin-utils.so",
];

/// The schema without which the session daemon does not start.
const SCHEMA: &str = "usr/share/xml/lttng/session.xsd";

/// The program that is traced (`tests/lab/tracer`).
const TRACED: &str = "/lab/traced";
/// The folder of the ring buffers, below the mount point.
const BUFFERS: &str = "/mnt/trace";
/// The folder into which the trace is unpacked: in memory.
const EXTRACTED: &str = "/tmp/extracted";

/// The sub-buffers of a CPU's ring buffer, and their bytes. The newest sub-buffer may be almost empty.
const SUB_BUFFERS: u64 = 4;
const SUB_BUFFER: u64 = 16 << 10;
/// The least length of an event, its fields, and the greatest, with LTTng-UST's header of at most as many bytes.
const SHORTEST_EVENT: u64 = 16;
const LONGEST_EVENT: u64 = 32;
/// The number of events that fit into a sub-buffer at least.
const SUB_BUFFER_EVENTS: u64 = SUB_BUFFER / LONGEST_EVENT;
/// The number of the newest events that are in a ring that has wrapped around.
const NEWEST: u64 = (SUB_BUFFERS - 1) * SUB_BUFFER_EVENTS;
/// The number of the newest events by a pass that no later ones overwrite, if these fit into a sub-buffer. They begin
/// the next sub-buffer at most, which has the oldest events.
const KEPT: u64 = (SUB_BUFFERS - 2) * SUB_BUFFER_EVENTS;
/// The number of events after which the ring has wrapped around.
const LAP: u64 = SUB_BUFFERS * SUB_BUFFER / SHORTEST_EVENT;
/// The number of events recorded under the plugin; they fill at least `STORED_LINES` lines: an event has 16 bytes.
const STORED_EVENTS: u64 = 1000;
const STORED_LINES: u64 = STORED_EVENTS * SHORTEST_EVENT / 64;

pub(super) fn lanes() -> Vec<Lane> {
    vec![
        lane(
            "tracer",
            "LTTng-UST traces into files on pmem with a guard beside it; after a reset that loses lines the buffers have \
             every event up to the last pass, and lttng-crash and babeltrace2 read those of complete sub-buffers",
            reset_beside_guard,
        ),
        lane(
            "tracer-kexec",
            "LTTng-UST traces into files on pmem, which are written back once before a kexec: after it lttng-crash \
             reads every event up to then",
            kexec_after_writeback,
        )
        .long(),
        lane(
            "tracer-without-dax",
            "LTTng-UST's files in the page cache are refused, and a reset loses the events",
            reset_in_page_cache,
        ),
        watched(),
    ]
}

/// The steps of a lane on its machine.
type Story = fn(&Kit, &Setup, &mut Log) -> Result<()>;

fn lane(name: &str, proves: &str, story: Story) -> Lane {
    let name = format!("machine/x86_64/{name}");
    lane_with(Architecture::X86, &name, proves, Tracer::prepare, move |kit, tracer, name, log| {
        story(kit, &tracer.machine(name), log)
    })
}

/// The plugin watches the tracer's own stores, and another process's write-backs at the same addresses.
fn watched() -> Lane {
    let name = "flush/x86_64/tracer";
    let proves = "a write-back by a view of another process leaves no line of LTTng-UST's ring buffers dirty, of which \
                  the traced program has written none back";
    let prepare = |lab: &Lab<'_>| {
        lab.can_lose_lines(Architecture::X86)?;
        Tracer::prepare(lab)
    };
    lane_with(Architecture::X86, name, proves, prepare, |kit, tracer, name, log| {
        let out = output(kit, name);
        let arguments = kit.plugin()?.arguments(Streaming::Ordinary, "max", &out);
        let setup = tracer.machine(name).cpu("max").devices(arguments).keeping();
        write_back_under_plugin(kit, &setup, log)?;
        let verdicts = Verdict::read(&out)?;
        writeln!(log, "{verdicts:?}")?;
        let [stored, written] = verdicts[..] else { bail!("{} verdicts", verdicts.len()) };
        ensure!(stored.dirty_lines >= STORED_LINES, "before it: {stored:?}");
        ensure!(written.dirty_lines == 0 && written.unfenced_lines == 0, "after it: {written:?}");
        Ok(())
    })
}

fn write_back_under_plugin(kit: &Kit, setup: &Setup, log: &mut Log) -> Result<()> {
    let mut machine = start_on_dax(kit, setup, log)?;
    let traced = start_tracing(&mut machine)?;
    let (buffers, start) = mapped(&mut machine, traced)?;
    let view = machine.start_beside(&format!("/init view-at {buffers} {start} 0"), &[])?;
    machine.tell(view, "watch")?;
    record(&mut machine, traced, STORED_EVENTS)?;
    machine.tell(view, "write back")?;
    machine.power_off()
}

/// Returns the ring buffers that a program writes to, and the address at which it has mapped them.
fn mapped(machine: &mut Machine, program: u32) -> Result<(String, String)> {
    let maps = machine.read(&format!("/proc/{program}/maps"))?.unwrap_or_default();
    let is_writable = |line: &&str| line.contains(" rw-s ") && line.contains(BUFFERS);
    let line = maps.lines().find(is_writable).context("it has no buffers mapped")?;
    let (start, _) = line.split_once('-').context("a mapping without an address")?;
    let at = line.find(BUFFERS).context("a mapping without a name")?;
    Ok((line[at..].to_owned(), start.to_owned()))
}

/// The programs that are put into a machine.
struct Tracer {
    files: Initramfs,
}

impl Tracer {
    fn prepare(lab: &Lab<'_>) -> Result<Self> {
        let root = debian::root(lab.sources.host.cache(), "amd64", &PACKAGES, Suite::System)
            .map_err(Unavailable::because)?;
        let mut files = Initramfs::default();
        PROGRAMS.iter().try_for_each(|name| files.program(&root, name))?;
        for name in LOADED {
            let place = format!("{LIBRARIES}/{name}");
            files.linked(&root, &format!("/{place}"), root.join(&place))?;
        }
        files.file(&format!("/{SCHEMA}"), root.join(SCHEMA));
        files.linked(&root, TRACED, lab.traced(&root)?)?;
        files.file(COMMAND, lab.command()?);
        // The session daemon makes its own folder in this one.
        files.text("/var/run/made", "");
        Ok(Self { files })
    }

    /// Returns a PC with emulated pmem and these programs.
    fn machine(&self, name: &str) -> Setup {
        let mut setup = Setup { files: self.files.clone(), ..emulated(name) };
        if let Some(losses) = &mut setup.losses {
            // The tracer sizes its files beside the guard's passes, which unmaps them: see `guard::UNMAPPED`.
            losses.allowed_unmapped = u64::MAX;
        }
        setup
    }
}

impl Lab<'_> {
    /// Builds the traced program as LTTng's users build theirs, against the unpacked packages.
    fn traced(&self, root: &Path) -> Result<PathBuf> {
        let sources = self.sources.tree().join("tests/lab/tracer");
        let program = self.sources.work().join("traced");
        let headers = root.join("usr/include");
        let libraries = root.join(LIBRARIES);
        Cmd::new("cc")
            .words("-O2 -Wall -Werror")
            .arg(format!("-I{}", sources.display()))
            .arg(format!("-I{}", headers.display()))
            .arg(format!("-I{}", headers.join("x86_64-linux-gnu").display()))
            .arg(sources.join("traced.c").display().to_string())
            .arg("-o")
            .arg(program.display().to_string())
            .arg(format!("-L{}", libraries.display()))
            .arg(format!("-Wl,-rpath-link={}", libraries.display()))
            .arg("-llttng-ust")
            .read()?;
        Ok(program)
    }
}

fn reset_beside_guard(kit: &Kit, setup: &Setup, log: &mut Log) -> Result<()> {
    let mut machine = Machine::start(kit, setup, log)?;
    reset_after_last_pass(&mut machine, &setup.name, log)?;
    machine.power_off()
}

/// The guard's passes end before the last events are recorded, as if the reset came before the next one.
fn reset_after_last_pass(machine: &mut Machine, name: &str, log: &mut Log) -> Result<()> {
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
    let stored = stored_events(&buffer(machine, BUFFERS)?);
    let read = read_events(machine)?;
    let later = [&stored, &read].map(|events| events.range(recorded..).count());
    let after = all - recorded;
    writeln!(
        log,
        "{recorded} events by the last pass; of {after} after it are stored, and read: {later:?}"
    )?;
    has_all(&stored, recorded - KEPT..recorded).context("the buffers")?;
    // lttng-crash leaves out a sub-buffer that was completed since, if its counter is new and its header is not.
    let last = *read.range(..recorded).next_back().context("no event is read")?;
    at_least(last + 1, recorded - SUB_BUFFER / SHORTEST_EVENT)?;
    has_all(&read, last + 1 - KEPT..last + 1).context("the trace")
}

fn has_all(events: &BTreeSet<u64>, mut numbers: Range<u64>) -> Result<()> {
    let lost = numbers.find(|number| !events.contains(number));
    lost.map_or(Ok(()), |lost| bail!("event {lost} is lost"))
}

fn kexec_after_writeback(kit: &Kit, setup: &Setup, log: &mut Log) -> Result<()> {
    let mut machine = start_on_dax(kit, &setup.clone().with_kexec(), log)?;
    let traced = start_tracing(&mut machine)?;
    let recorded = record(&mut machine, traced, more_than_a_lap(&setup.name))?;
    machine.run(&format!("{COMMAND} guard --once {DIRECTORY}"))?;
    machine.kexec()?;
    is_there(&mut machine, log, recorded)?;
    machine.power_off()
}

/// Returns a number of events after which the ring has wrapped around. Each lane draws numbers of its own, as lanes run
/// side by side.
fn more_than_a_lap(name: &str) -> u64 {
    LAP + random(name) % LAP
}

/// Starts the tracer's daemon with ring buffers in a folder, and a program that it traces.
fn start_tracing(machine: &mut Machine) -> Result<u32> {
    machine.run("/bin/lttng-sessiond --daemonize --no-kernel")?;
    for line in [
        format!("create lab --snapshot --no-output --shm-path={BUFFERS}"),
        format!(
            "enable-channel lab --userspace --session=lab --buffers-uid --num-subbuf={SUB_BUFFERS} \
             --subbuf-size={SUB_BUFFER}"
        ),
        String::from("enable-event lab:* --userspace --session=lab --channel=lab"),
        String::from("start lab"),
    ] {
        machine.run(&format!("/bin/lttng --no-sessiond {line}"))?;
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

/// Checks that the trace is there, as far as it was written back, and goes on from there without a gap.
fn is_there(machine: &mut Machine, log: &mut Log, written: u64) -> Result<()> {
    mount_again(machine)?;
    let events = read_trace(machine)?;
    writeln!(log, "events {:?} to {:?} are there", events.first(), events.last())?;
    let (first, last) = events.first().zip(events.last()).context("the trace has no event")?;
    at_least(last + 1, written)?;
    let there = u64::try_from(events.len())?;
    ensure!(there == last - first + 1, "{there} events from {first} to {last}");
    ensure!(there >= NEWEST, "of the newest {NEWEST} events there are {there}");
    Ok(())
}

/// Returns the content of the ring buffer below a folder of traces.
fn buffer(machine: &mut Machine, traces: &str) -> Result<Vec<u8>> {
    let trace = only_trace(machine, traces)?;
    let (_, dump, _) = machine.output(&format!("/bin/od -An -v -tx1 {trace}/lab_0"))?;
    let bytes = dump.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
    Ok(bytes.collect::<Result<_, _>>()?)
}

/// Returns the folder with the files of the only trace below a folder.
fn only_trace(machine: &mut Machine, traces: &str) -> Result<String> {
    let sessions = machine.list(traces)?;
    let [session] = &sessions[..] else { bail!("the traces of {sessions:?}") };
    Ok(format!("{traces}/{session}/ust/uid/0/64-bit"))
}

/// Returns the numbers of the events that can be read after a reset. Each packet of the trace, which is a sub-buffer,
/// is read alone: babeltrace2 reads nothing after one that is torn.
fn read_events(machine: &mut Machine) -> Result<BTreeSet<u64>> {
    machine.run(&format!("/bin/lttng-crash --extract={EXTRACTED} {BUFFERS}"))?;
    let trace = only_trace(machine, EXTRACTED)?;
    let packets = packets(&buffer(machine, EXTRACTED)?);
    let mut events = BTreeSet::new();
    for Range { start, end } in packets {
        let alone = format!("/tmp/packet-{start}");
        machine.run(&format!("/bin/install -D {trace}/metadata {alone}/metadata"))?;
        machine.run(&format!(
            "/bin/dd if={trace}/lab_0 of={alone}/lab_0 bs={SUB_BUFFER} skip={start} count={} \
             iflag=skip_bytes,count_bytes",
            end - start
        ))?;
        let (_, out, _) = machine.output(&format!("/bin/babeltrace2 {alone}"))?;
        events.extend(out.lines().map_while(|line| event(line).ok()));
    }
    Ok(events)
}

/// Returns the numbers of the events in a trace, in the order in which they were recorded.
fn read_trace(machine: &mut Machine) -> Result<Vec<u64>> {
    machine.run(&format!("/bin/lttng-crash --extract={EXTRACTED} {BUFFERS}"))?;
    let (code, out, errors) = machine.output(&format!("/bin/babeltrace2 {EXTRACTED}"))?;
    ensure!(code == Some(0), "babeltrace2 ended with exit code {code:?}: {errors}");
    let events = out.lines().map(event).collect::<Result<Vec<u64>>>()?;
    ensure!(events.is_sorted_by(|one, next| one < next), "the events are not in order");
    Ok(events)
}

fn reset_in_page_cache(kit: &Kit, setup: &Setup, log: &mut Log) -> Result<()> {
    let mut machine = Machine::start(kit, setup, log)?;
    make_ext4(&mut machine, PMEM0, "dax=never")?;
    // From now on the kernel does not write back by itself (Linux, `Documentation/admin-guide/sysctl/vm.rst`,
    // `dirty_writeback_centisecs`).
    machine.write("/proc/sys/vm/dirty_writeback_centisecs", "0")?;
    let traced = start_tracing(&mut machine)?;
    machine.run(&format!("/bin/sync --file-system {DIRECTORY}"))?;
    let recorded = record(&mut machine, traced, 1 + random(&setup.name) % LAP)?;
    let (code, _, why) = machine.output(&format!("{COMMAND} guard --once {BUFFERS}"))?;
    ensure!(code == Some(3) && why.contains("--page-cache"), "refused otherwise: {why}");

    machine.reboot()?;
    machine.wait_for(PMEM0)?;
    machine.mount(PMEM0, DIRECTORY, "dax=never")?;
    let events = read_trace(&mut machine)?;
    writeln!(log, "{recorded} events recorded, {} there", events.len())?;
    ensure!(events == [0], "{} events outlived a reset in the page cache", events.len());
    machine.power_off()
}
