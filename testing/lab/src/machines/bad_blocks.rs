//! Media errors under a file, planted in the kernel's list of the device.
//!
//! They are known before they are met. A read by calls and a load with a handler of SIGBUS return an error, and a process
//! without the handler ends.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::requests::Library as _;
use super::{
    COMMAND, DAX, DIRECTORY, LINE, Machine, PMEM0, Stage, Transcript, expect, expect_value,
    make_ext4, records,
};

/// `SIGBUS` on x86 (signal(7)).
const SIGBUS: i32 = 7;

/// The kernel's list, which root can extend.
const LIST: &str = "/sys/block/pmem0/badblocks";

/// The page of the file that is made bad, and the sector of it.
const PAGE: u64 = 18 * 4096;
const SECTOR: u64 = PAGE + 3 * 512;
/// The file's length: 4096 records of 64 bytes.
const LEN: u64 = 4096 * 64;

pub(super) fn on_emulated(stage: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = Machine::start(&stage.kit, &stage.emulated(), log)?;
    story(&mut machine)?;
    machine.power_off()
}

fn story(machine: &mut Machine) -> Result<()> {
    make_ext4(machine, PMEM0, DAX)?;
    let (bad, good) = (records("/mnt/bad", 21), records("/mnt/good", 22));
    for records in [&bad, &good] {
        expect(&machine.persist(records)?, LINE)?;
        let none = machine.document(&format!("/init bad-blocks {}", records.path))?;
        ensure!(none == json!({ "ranges": [], "is_complete": true }), "before: {none}");
    }
    plant(machine, &bad.path, SECTOR)?;
    known(machine)?;
    met(machine)?;
    machine.verify(&good)?;
    for options in [DAX, "dax=never"] {
        machine.unmount(DIRECTORY)?;
        machine.mount(PMEM0, DIRECTORY, options)?;
        writers(machine, options).with_context(|| format!("with {options}"))?;
    }
    Ok(())
}

/// Adds a sector of a file to the kernel's list of bad blocks.
fn plant(machine: &mut Machine, path: &str, at: u64) -> Result<()> {
    let place = machine.document(&format!("/init place {path} {at}"))?;
    let place = place["at"].as_u64().context("FIBMAP gave no place")?;
    machine.write(LIST, &format!("{} 1", place / 512))
}

/// Makes files of each format, of which one block is then bad, and opens them for writing.
fn writers(machine: &mut Machine, options: &str) -> Result<()> {
    let base = format!("{DIRECTORY}/{}", options.replace('=', "-"));
    let path = |kind: &str| format!("{base}-{kind}");
    let mut bad = Vec::new();
    for kind in ["store", "journal", "recording"] {
        let made = machine.document(&format!("/init make {kind} {}", path(kind)))?;
        let at = made["at"].as_u64().context("no offset")?;
        plant(machine, &path(kind), at)?;
        bad.push(at);
    }
    // Page by page, the next reads are from the device.
    machine.write("/proc/sys/vm/drop_caches", "3")?;
    let verify = format!("{COMMAND} store verify {} --json", path("store"));
    let (code, out, errors) = machine.output(&verify)?;
    let is_named = out.contains(r#""damaged":[{"name":"bad","#);
    ensure!(code == Some(1) && is_named, "`{verify}`: {code:?}: {out}{errors}");
    for (kind, expected) in [
        ("store", json!({ "verified": ["bad"], "opened": ["bad"], "is_whole_afterwards": true })),
        ("journal", json!({ "page": bad[1], "is_unreadable": true, "is_salvaged": true })),
        ("recording", json!({ "is_some_lost": true, "new": 10 })),
    ] {
        let found = machine.document(&format!("/init open-beside {kind} {}", path(kind)))?;
        ensure!(found == expected, "{kind}: {found}");
    }
    Ok(())
}

fn known(machine: &mut Machine) -> Result<()> {
    let listed = machine.document("/init bad-blocks /mnt/bad")?;
    let expected = json!({ "ranges": [[SECTOR, SECTOR + 512]], "is_complete": true });
    ensure!(listed == expected, "listed of the bad file: {listed}");
    let other = machine.document("/init bad-blocks /mnt/good")?;
    expect_value(&other, "/ranges", json!([]))
}

/// The kernel refuses the page of the sector.
fn met(machine: &mut Machine) -> Result<()> {
    let page = json!([PAGE, PAGE + 4096]);
    let read = machine.document(&format!("/init checked /mnt/bad 0 {LEN}"))?;
    expect_value(&read, "/poisoned", json!([0, LEN]))?;
    let before = machine.document(&format!("/init checked /mnt/bad 0 {PAGE}"))?;
    expect_value(&before, "/poisoned", json!(null))?;
    let behind = LEN - PAGE - 4096;
    let behind = machine.document(&format!("/init checked /mnt/bad {} {behind}", PAGE + 4096))?;
    expect_value(&behind, "/poisoned", json!(null))?;

    let loaded = machine.document(&format!("/init guarded /mnt/bad {SECTOR}"))?;
    let expected = json!({ "first": page, "second": page });
    ensure!(loaded == expected, "a load with a handler: {loaded}");
    let beside = machine.document(&format!("/init guarded /mnt/bad {}", PAGE + 4096))?;
    let expected = json!({ "first": null, "second": null });
    ensure!(beside == expected, "a load beside it: {beside}");

    let ended = machine.run_any(&format!("/init load /mnt/bad {SECTOR}"), &[])?;
    ensure!(ended == (None, Some(SIGBUS)), "a load without a handler ended with {ended:?}");
    Ok(())
}
