//! A recording whose process and whose machine end, for each durability: what it promises is there, in order,
//! and what was found stays.
//!
//! An emulator has no caches, so it proves the way from an event to the next kernel and which promise is made
//! when; that each line is written back is proven by the lanes `flush/…`.

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::{Records, Request};
use serde_json::Value;
use std::io::Write as _;

use super::power::random;
use super::{
    Contents, DAX, at_least, count, emulated, expect_value, lane, make_ext4, make_namespace,
    mount_again, nvdimm,
};
use crate::lab::Lane;
use crate::lab::kit::{Architecture, Kit};
use crate::lab::machine::Machine;
use crate::log::Log;

/// By the names that the guest's program takes.
const DURABILITIES: [&str; 4] = ["on-crash", "within", "sub-buffer", "each-append"];
/// What ends a process that records. Before the last two its handlers stop recording and write back.
const ENDS: [&str; 3] = ["kill", "segv", "term"];

/// A process ends, and the power is cut, after so many events at most.
const LATEST: u64 = 1500;
/// More events than are recorded before a power cut; all of them fit into the file.
const EVENTS: u64 = 32 << 10;

pub(super) fn lanes() -> Vec<Lane> {
    vec![
        lane(
            Architecture::X86,
            "recorder",
            "for each durability, what was recorded outlives SIGKILL, SIGSEGV and SIGTERM, a kexec and a reset",
            ends_and_starts,
        ),
        lane(
            Architecture::X86,
            "recorder-power-cut",
            "NVDIMM: what a recording has promised before a power cut is there after it, for each durability",
            power_cuts,
        ),
    ]
}

fn path(durability: &str, end: &str) -> String {
    format!("/mnt/{durability}-{end}")
}

fn ends_and_starts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut machine = Machine::start(kit, &emulated(name).with_kexec(), log)?;
    make_ext4(&mut machine, "/dev/pmem0", DAX)?;
    let mut found = Vec::new();
    for durability in DURABILITIES {
        for end in ENDS {
            let path = path(durability, end);
            let recorded = record_until_ended(&mut machine, &path, durability, end)
                .with_context(|| format!("{durability}, {end}"))?;
            let there = read(&mut machine, &path)?;
            ensure!(there.len() == recorded.len(), "{} shards", there.len());
            for (there, recorded) in there.iter().zip(&recorded) {
                at_least(*there, *recorded).with_context(|| format!("{durability}, {end}"))?;
            }
            writeln!(log, "{durability}, {end}: {recorded:?} events recorded, {there:?} there")?;
            found.push((path, there));
        }
    }
    machine.kexec()?;
    unchanged(&mut machine, &found).context("after a kexec")?;
    machine.reboot()?;
    unchanged(&mut machine, &found).context("after a reset through firmware")?;
    machine.power_off()
}

/// How many events each shard had when the process was ended.
fn record_until_ended(
    machine: &mut Machine,
    path: &str,
    durability: &str,
    end: &str,
) -> Result<Vec<u64>> {
    let enough = 1 + random() % LATEST;
    let line = format!("/init record-until-ended {path} {durability} {enough} {end}");
    let (code, out, errors) = machine.output(&line)?;
    ensure!(code.is_none(), "`{line}` ended with exit code {code:?}: {errors}");
    let document: Value =
        serde_json::from_str(&out).with_context(|| format!("no JSON: {out:?}"))?;
    counts(&document, "/recorded")
}

fn power_cuts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, Some("mem-ctrl"), &contents);
    let mut machine = Machine::start(kit, &setup, log)?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    make_ext4(&mut machine, "/dev/pmem0", DAX)?;
    for durability in DURABILITIES {
        let path = path(durability, "power-cut");
        let records = Records { path: path.clone(), seed: 0, count: EVENTS, allow_pages: false };
        let request = Request::RecordForever(records, durability.to_owned());
        let promised = machine
            .acknowledged_until_power_cut(&request, 1 + random() % LATEST)
            .with_context(|| format!("{durability}: before the power cut"))?;
        machine = Machine::start(kit, &setup, log)?;
        mount_again(&mut machine)?;
        let there = read(&mut machine, &path)?;
        ensure!(there.len() == 1, "{} shards", there.len());
        at_least(there[0], promised).with_context(|| format!("{durability}: after the cut"))?;
        writeln!(log, "{durability}: {promised} events promised, {} there", there[0])?;
    }
    machine.power_off()
}

fn unchanged(machine: &mut Machine, found: &[(String, Vec<u64>)]) -> Result<()> {
    mount_again(machine)?;
    for (path, before) in found {
        let there = read(machine, path)?;
        ensure!(there == *before, "{path}: {there:?} events instead of {before:?}");
    }
    Ok(())
}

/// How many events each shard has, all of them as they were recorded from the first on; nothing is damaged or lost.
fn read(machine: &mut Machine, path: &str) -> Result<Vec<u64>> {
    let document = machine.document(&format!("/init read-recording {path}"))?;
    ensure!(count(&document, "/damaged")? == 0, "{path} is damaged: {document}");
    expect_value(&document, "/lost", 0)?;
    counts(&document, "/events")
}

fn counts(document: &Value, pointer: &str) -> Result<Vec<u64>> {
    let counts = document.pointer(pointer).and_then(Value::as_array);
    let counts = counts.with_context(|| format!("there is no list {pointer} in {document}"))?;
    let counts: Option<Vec<u64>> = counts.iter().map(Value::as_u64).collect();
    counts.with_context(|| format!("{pointer} has no numbers in {document}"))
}
