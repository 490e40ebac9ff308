//! A journal whose machine loses its power: every acknowledged record is there.

use anyhow::{Context as _, Result};
use cachemaint_lab_protocol::{Records, Request};
use std::io::Write as _;

use super::power::{Moment, Starts};
use super::{
    Architecture, Contents, Kit, Lane, Log, Machine, at_least, count, expect_value, lane,
    mount_again, nvdimm,
};

/// The journal, and the seed of its records.
const PATH: &str = "/mnt/journal";
const SEED: u64 = 11;

/// Power cuts of a journal: one at each kind of moment.
const CUTS: u32 = 4;
/// The greatest number of acknowledgements before the power is cut.
const LATEST: u64 = 1500;
/// A number greater than that of the records appended before a power cut; all of them fit into the journal.
const RECORDS: u64 = 32 << 10;

pub(super) fn lanes() -> Vec<Lane> {
    vec![lane(
        Architecture::X86,
        "journal-power-cut",
        "NVDIMM: the acknowledged records of a journal are there after a power cut",
        power_cuts,
    )]
}

fn power_cuts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, Some("mem-ctrl"), &contents);
    let (starts, mut machine) = Starts::new(kit, setup, log)?;
    let records = Records { path: PATH.to_owned(), seed: SEED, count: RECORDS, allow_pages: false };
    let mut moment = Moment::of(kit, name, 1, LATEST);
    let mut there = 0;
    for cut in 1..=CUTS {
        let acknowledged = moment
            .cut(machine, &Request::AppendForever(records.clone()), there)
            .with_context(|| format!("before power cut {cut}, {moment:?}"))?;
        moment = Moment::of(kit, name, cut + 1, LATEST);
        machine = starts.start(&starts.setup.round(cut.into(), None), log)?;
        mount_again(&mut machine)?;
        there = read(&mut machine).with_context(|| format!("after power cut {cut}"))?;
        at_least(there, acknowledged)?;
        writeln!(log, "power cut {cut}: {acknowledged} records acknowledged, {there} there")?;
        machine = moment.arm(machine, &starts, cut + 1, log)?;
    }
    machine.power_off()
}

/// Reads the journal and opens it for appending. Returns the number of its records, all of them as they were appended.
fn read(machine: &mut Machine) -> Result<u64> {
    let document = machine.document(&format!("/init read-journal {PATH} {SEED}"))?;
    let intact = count(&document, "/intact")?;
    expect_value(&document, "/found", intact)?;
    expect_value(&document, "/recovered", intact)?;
    Ok(intact)
}
