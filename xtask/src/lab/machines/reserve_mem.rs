//! RAM that a kernel reserves for its tracer or for records of panics: by a name, which no program can map, and at an
//! address, which root can.
//!
//! The tracer's ring buffer is never flushed, and the next kernel takes it over if it is valid (Linux,
//! `Documentation/trace/debugging.rst`, "Persistent buffers across boots").

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;

use super::media::DEVICES;
use super::{Architecture, Kit, Lab, Lane, Log, Machine, Setup, Story};
use crate::lab::losses::{Losses, Memory, Policy};

/// The machine's RAM in MiB: it has one multiple of [`ADDRESS`].
const RAM: u64 = 1536;
/// The beginning of the reserved RAM, and its length.
const ADDRESS: u64 = 1 << 30;
const LEN: u64 = 16 << 20;

/// The words that have the ring buffer there by a name: the alignment leaves one place, and KASLR must not put the
/// kernel itself there.
const BY_NAME: &str = "nokaslr reserve_mem=16M:1G:kept trace_instance=kept^traceoff@kept";
/// The words that have it there by the address.
const BY_ADDRESS: &str = "memmap=16M$1G trace_instance=kept^traceoff@1G:16M";

/// The words that have the records of panics there, in a mapping with caches: the default is write-combining, which no
/// emulator has.
const RECORDS: &str = "nokaslr reserve_mem=16M:1G:kept ramoops.mem_name=kept ramoops.mem_type=2 \
                       ramoops.record_size=65536";
const PSTORE: &str = "/sys/fs/pstore";

const TRACING: &str = "/sys/kernel/tracing";
const INSTANCE: &str = "/sys/kernel/tracing/instances/kept";

pub(super) fn lanes() -> Vec<Lane> {
    let trace = "RAM reserved by name is out of a program's reach: a kexec keeps the kernel's trace there, and a reset \
                  loses it. At an address a program writes it back, and the next kernel has it after a panic";
    let record = "the record of a panic that ramoops stores there is not written back: a reset keeps it only with the \
                  dirty lines";
    // Long, as these lanes show facts about the kernel.
    vec![
        lane("machine/x86_64/reserve-mem", trace, |kit, name, log| {
            by_name(kit, name, log).context("reserved by name")?;
            by_address(kit, name, log).context("at an address")
        })
        .long(),
        lane("machine/x86_64/ramoops", record, |kit, name, log| {
            record_of_a_panic(kit, name, log, Policy::All, &["dmesg-ramoops-0"])?;
            record_of_a_panic(kit, name, log, Policy::None, &[])
        })
        .long(),
    ]
}

fn lane(name: &'static str, proves: &str, story: Story) -> Lane {
    Lane::new(name, proves, move |lab: &Lab<'_>| {
        lab.can_lose_lines(Architecture::X86)?;
        let kit = lab.newer_kit(Architecture::X86)?;
        Ok(Box::new(move |log| story(&kit, name, log).map(Into::into)))
    })
}

fn by_name(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut machine = start(kit, &machine_with(name, BY_NAME).with_kexec(), log)?;
    trace(&mut machine, &["one", "two"])?;
    let devices = machine.list(DEVICES)?;
    ensure!(devices.is_empty(), "there is persistent memory: {devices:?}");
    let (code, _, why) = machine.output(&write_back())?;
    ensure!(code == Some(1) && why.contains("Operation not permitted"), "mapped: {code:?}, {why}");

    machine.kexec()?;
    mount(&mut machine)?;
    events_are(&mut machine, &["one", "two"]).context("after a kexec")?;

    trace(&mut machine, &["three"])?;
    machine.reboot()?;
    mount(&mut machine)?;
    ensure!(machine.lost_lines()? > 0, "no line was dirty");
    events_are(&mut machine, &[]).context("after a reset")?;
    machine.power_off()
}

fn by_address(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut machine = start(kit, &machine_with(name, BY_ADDRESS), log)?;
    trace(&mut machine, &["one", "two"])?;
    machine.run(&write_back())?;
    trace(&mut machine, &["three"])?;
    machine.panic()?;
    mount(&mut machine)?;
    ensure!(machine.lost_lines()? > 0, "no line was dirty");
    events_are(&mut machine, &["one", "two"]).context("after a panic")?;
    machine.power_off()
}

/// Has the kernel panic. The next one must find these records of ramoops.
fn record_of_a_panic(
    kit: &Kit,
    name: &str,
    log: &mut Log,
    policy: Policy,
    expected: &[&str],
) -> Result<()> {
    let setup = machine_with(name, RECORDS).policy(policy);
    let mut machine = Machine::start(kit, &setup, log)?;
    machine.panic()?;
    machine.mount_as("pstore", "none", PSTORE, "")?;
    let found = machine.list(PSTORE)?;
    ensure!(found == expected, "{policy}: the records are {found:?}, not {expected:?}");
    for record in &found {
        let text = machine.read(&format!("{PSTORE}/{record}"))?.unwrap_or_default();
        ensure!(text.contains("sysrq triggered crash"), "{record} is {text:?}");
    }
    machine.power_off()
}

/// Returns a PC whose reserved RAM loses every line that was not written back.
fn machine_with(name: &str, words: &str) -> Setup {
    let memory = Memory::Ram { ram: RAM << 20, offset: ADDRESS };
    let losses = Losses { policy: Policy::None, ..Losses::new(memory, ADDRESS, LEN) };
    Setup::new(name, "pc", &format!("{RAM}M")).kernel(words).losing(losses)
}

fn start(kit: &Kit, setup: &Setup, log: &Log) -> Result<Machine> {
    let mut machine = Machine::start(kit, setup, log)?;
    mount(&mut machine)?;
    events_are(&mut machine, &[])?;
    Ok(machine)
}

fn mount(machine: &mut Machine) -> Result<()> {
    machine.mount_as("tracefs", "none", TRACING, "")
}

/// Has the kernel record events.
fn trace(machine: &mut Machine, events: &[&str]) -> Result<()> {
    let mut write = |file: &str, text: &str| {
        let (path, text) = (format!("{INSTANCE}/{file}"), text.to_owned());
        machine.doing(&Request::Write { path, text })
    };
    write("tracing_on", "1")?;
    events.iter().try_for_each(|event| write("trace_marker", event))
}

/// Checks that the ring buffer has these events.
fn events_are(machine: &mut Machine, expected: &[&str]) -> Result<()> {
    let trace = machine.read(&format!("{INSTANCE}/trace"))?;
    let trace = trace.context("the kernel has made no instance: the place is used")?;
    let events: Vec<&str> = trace
        .lines()
        .filter_map(|line| Some(line.split_once("tracing_mark_write: ")?.1.trim()))
        .collect();
    ensure!(events == expected, "the events are {events:?}, not {expected:?}");
    Ok(())
}

/// Returns the command that maps the ring buffer and writes it back.
fn write_back() -> String {
    format!("/init write-back-physical {ADDRESS} {LEN}")
}
