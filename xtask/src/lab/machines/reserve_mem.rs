//! RAM that a kernel reserves for its tracer: by a name, which no program can map, and at an address, which root can.
//!
//! The tracer's ring buffer is never flushed, and the next kernel takes it over if it is valid (Linux,
//! `Documentation/trace/debugging.rst`, "Persistent buffers across boots").

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;

use super::media::DEVICES;
use crate::lab::Lab;
use crate::lab::architecture::Architecture;
use crate::lab::kit::Kit;
use crate::lab::lane::{Lane, Run};
use crate::lab::losses::{Losses, Memory, Policy};
use crate::lab::machine::Machine;
use crate::lab::machine::setup::Setup;
use crate::lab::plugin::Plugin;
use crate::log::Log;
use crate::report::{Finding, Tests};

/// The machine's RAM in MiB: it has one multiple of [`ADDRESS`].
const RAM: u64 = 1536;
/// The beginning of the ring buffer, and its length.
const ADDRESS: u64 = 1 << 30;
const LEN: u64 = 16 << 20;

/// The words that have the ring buffer there by a name: the alignment leaves one place, and KASLR must not put the
/// kernel itself there.
const BY_NAME: &str = "nokaslr reserve_mem=16M:1G:kept trace_instance=kept^traceoff@kept";
/// Those that have it there by the address.
const BY_ADDRESS: &str = "memmap=16M$1G trace_instance=kept^traceoff@1G:16M";

const TRACING: &str = "/sys/kernel/tracing";
const INSTANCE: &str = "/sys/kernel/tracing/instances/kept";

pub(super) fn lanes() -> Vec<Lane> {
    let name = "machine/x86_64/reserve-mem";
    let proves = "RAM reserved by name is out of a program's reach: a kexec keeps the kernel's trace there, and a reset \
                  loses it. At an address a program writes it back, and the next kernel has it after a panic";
    vec![Lane::new(name, proves, move |lab: &Lab<'_>| {
        Plugin::fits(&lab.emulators()?.system(Architecture::X86.qemu()))?;
        let kit = lab.newer_kit(Architecture::X86)?;
        let run: Run = Box::new(move |log| {
            by_name(&kit, name, log).context("reserved by name")?;
            by_address(&kit, name, log).context("at an address")?;
            Ok(Finding::passed(Tests::default()))
        });
        Ok(run)
    })]
}

fn by_name(kit: &Kit, name: &str, log: &Log) -> Result<()> {
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

fn by_address(kit: &Kit, name: &str, log: &Log) -> Result<()> {
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

/// Returns a PC whose ring buffer loses every line that was not written back.
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
