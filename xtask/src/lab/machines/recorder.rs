//! A recording whose machine loses its power, for each durability: the promised events are there, in order. The recording
//! overwrites the oldest events, and has wrapped around when the power is cut.

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;
use cachemaint_lab_protocol::recording::{
    Events, OF_A_SUB_BUFFER, Recorded, SHARDS, SUB_BUFFERS, When, oldest_of,
};
use std::io::Write as _;

use super::power::Starts;
use super::{
    Architecture, Contents, DIRECTORY, Kit, Lane, Log, Machine, at_least, lane, mount_again, nvdimm,
};
use lose_lines::losses::random;

/// The number of events of a shard after which each further event overwrites another.
const LAP: u64 = SUB_BUFFERS as u64 * OF_A_SUB_BUFFER;

pub(super) fn lanes() -> Vec<Lane> {
    vec![lane(
        Architecture::X86,
        "recorder-power-cut",
        "NVDIMM: what a recording of each durability has promised before a power cut is read after it",
        power_cuts,
    )]
}

/// Returns a number of events after which a shard has wrapped around, somewhere in one of the next two laps. Each lane
/// draws numbers of its own, as lanes run side by side.
fn enough(lane: &str) -> u64 {
    LAP + 1 + random(lane) % (2 * LAP)
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
