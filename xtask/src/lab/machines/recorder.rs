//! A recording whose process and whose machine end, for each durability: the promised events are there, in order, and
//! the events that were found stay. The recording overwrites the oldest events, and has wrapped around when it is
//! ended.
//!
//! This proves the path from an event to its reader in the next process, kernel or machine, the moment of each promise,
//! and that handlers let a signal end its process. A power cut loses lines that were not written back. A kexec writes back
//! all of them, so the reset after it loses nothing; the lanes `flush/…` and `trials` prove the handlers' write-backs.

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;
use cachemaint_lab_protocol::recording::{
    Events, OF_A_SUB_BUFFER, Recorded, SHARDS, SUB_BUFFERS, When, oldest_of,
};
use std::io::Write as _;

use super::power::Starts;
use super::{
    Architecture, Contents, DIRECTORY, Kit, Lane, Log, Machine, SIGKILL, at_least, emulated, lane,
    mount_again, nvdimm, start_on_dax,
};
use lose_lines::losses::random;

/// Signals on x86 (signal(7)).
const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;
/// The signals that end a process that records. Except for the first, handlers stop recording and write back before.
const ENDS: [i32; 4] = [SIGKILL, SIGSEGV, SIGABRT, SIGTERM];

/// The number of events of a shard after which each further event overwrites another.
const LAP: u64 = SUB_BUFFERS as u64 * OF_A_SUB_BUFFER;
/// The number of events that each shard loses because they are too long.
const TOO_LONG: u64 = 1;

pub(super) fn lanes() -> Vec<Lane> {
    vec![
        lane(
            Architecture::X86,
            "recorder",
            "for each durability, the newest laps of a recording are read after SIGKILL, and with its handlers after \
             SIGSEGV, SIGABRT and SIGTERM; the same after a kexec and a reset",
            ends_and_starts,
        ),
        lane(
            Architecture::X86,
            "recorder-power-cut",
            "NVDIMM: what a recording of each durability has promised before a power cut is read after it",
            power_cuts,
        ),
    ]
}

/// Returns a number of events after which a shard has wrapped around, somewhere in one of the next two laps. Each lane
/// draws numbers of its own, as lanes run side by side.
fn enough(lane: &str) -> u64 {
    LAP + 1 + random(lane) % (2 * LAP)
}

fn ends_and_starts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut machine = start_on_dax(kit, &emulated(name).with_kexec(), log)?;
    let mut found = Vec::new();
    for (when, signal) in When::ALL.into_iter().flat_map(|when| ENDS.map(|signal| (when, signal))) {
        let path = format!("{DIRECTORY}/{when}-{signal}");
        let there = end_by_signal(&mut machine, log, &path, when, signal)
            .with_context(|| format!("{when}, signal {signal}"))?;
        found.push((path, there));
    }
    machine.kexec()?;
    unchanged(&mut machine, &found).context("after a kexec")?;
    machine.reboot()?;
    unchanged(&mut machine, &found).context("after a reset through firmware")?;
    machine.power_off()
}

/// Has a process record until a signal ends it. Returns the events that are there then.
fn end_by_signal(
    machine: &mut Machine,
    log: &mut Log,
    path: &str,
    when: When,
    signal: i32,
) -> Result<Recorded> {
    let enough = enough("recorder");
    let line = format!("/init record-until-ended {path} {when} {enough} {signal}");
    let recorded = machine.document_before_signal(&line, signal)?;
    let recorded: Vec<u64> = serde_json::from_value(recorded)?;
    let there = read(machine, path)?;
    writeln!(log, "{when}, signal {signal}: {recorded:?} events recorded, {there:?} there")?;
    ensure!(there.shards.len() == recorded.len(), "{} shards", there.shards.len());
    for (shard, recorded) in there.shards.iter().zip(recorded) {
        has_newest(shard, recorded, TOO_LONG)?;
    }
    Ok(there)
}

fn power_cuts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, Some("mem-ctrl"), &contents);
    let (starts, mut machine) = Starts::new(kit, setup, log)?;
    for (round, when) in (1..).zip(When::ALL) {
        let path = format!("{DIRECTORY}/{when}");
        let request = Request::RecordForever { path: path.clone(), when };
        let promised = machine
            .acknowledged_until_power_cut(&request, enough(name))
            .with_context(|| format!("{when}: before the power cut"))?;
        machine = starts.start(&starts.setup.round(round, None), log)?;
        mount_again(&mut machine)?;
        let there = found(&mut machine, &path)?;
        writeln!(log, "{when}: {promised} events promised, {there:?} there")?;
        for shard in &there.shards {
            has_promised(shard, promised).with_context(|| format!("{when}: after the cut"))?;
        }
    }
    machine.power_off()
}

fn unchanged(machine: &mut Machine, found: &[(String, Recorded)]) -> Result<()> {
    mount_again(machine)?;
    for (path, before) in found {
        let there = read(machine, path)?;
        ensure!(there == *before, "{path}: {there:?} instead of {before:?}");
    }
    Ok(())
}

/// Reads a recording: each event is as it was recorded, and none is damaged.
fn read(machine: &mut Machine, path: &str) -> Result<Recorded> {
    let there = found(machine, path)?;
    ensure!(there.damaged == 0, "{path} is damaged: {there:?}");
    Ok(there)
}

/// Reads a recording: each event is as it was recorded. Some that were not promised may be damaged.
fn found(machine: &mut Machine, path: &str) -> Result<Recorded> {
    let there = machine.document(&format!("/init read-recording {path}"))?;
    let there: Recorded = serde_json::from_value(there)?;
    ensure!(there.shards.len() == SHARDS as usize, "{path} has other shards: {there:?}");
    Ok(there)
}

/// Checks that a shard has the promised events that are not overwritten.
fn has_promised(shard: &Events, promised: u64) -> Result<()> {
    at_least(shard.next, promised)?;
    let oldest = oldest_of(promised);
    ensure!(shard.first <= oldest, "the promised events from {oldest} on are lost: {shard:?}");
    ensure!(shard.lost == 0, "all events were recorded: {shard:?}");
    Ok(())
}

/// Checks that a shard has the newest events: at least as many as were recorded up to then. All of its sub-buffers must
/// be there except the oldest, which may have been released for one that has no event yet.
fn has_newest(shard: &Events, recorded: u64, lost: u64) -> Result<()> {
    at_least(shard.next, recorded)?;
    let least = LAP - OF_A_SUB_BUFFER;
    let is_whole = shard.first.is_multiple_of(OF_A_SUB_BUFFER) && shard.next - shard.first >= least;
    ensure!(is_whole, "a part of the newest {least} events is lost: {shard:?}");
    ensure!(shard.lost == lost, "{lost} events were not recorded: {shard:?}");
    Ok(())
}
