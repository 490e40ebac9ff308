//! Media errors under a file, planted in the kernel's list of the device.
//!
//! They are known before they are met. A checked read and a guarded load return an error, and a process without a guard
//! ends. The results of clearing are checked too.

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::{Records, Reply, Request};
use serde_json::json;

use super::{
    Architecture, Contents, DAX, Kit, LINE, Lane, Log, Machine, PMEM0, emulated, expect,
    expect_value, lane, make_ext4, make_namespace, nvdimm, records,
};

/// `SIGBUS` on x86 (signal(7)).
const SIGBUS: i32 = 7;
/// errno(3).
const EIO: i32 = 5;

/// The kernel's list, which root can extend.
const LIST: &str = "/sys/block/pmem0/badblocks";

/// The page of the file that is made bad, and the sector of it.
const PAGE: u64 = 18 * 4096;
const SECTOR: u64 = PAGE + 3 * 512;
/// The file's length: 4096 records of 64 bytes.
const LEN: u64 = 4096 * 64;

pub(super) fn lanes() -> Vec<Lane> {
    let x86 = |name, proves, story| lane(Architecture::X86, name, proves, story);
    vec![
        x86(
            "bad-blocks-emulated",
            "a bad block on emulated pmem is listed for its file, an error of a read and of a guarded \
             load, otherwise SIGBUS, and cleared on request",
            on_emulated,
        ),
        x86("bad-blocks-nvdimm", "the same on an NVDIMM, which cannot clear it", on_nvdimm),
    ]
}

fn on_emulated(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut machine = Machine::start(kit, &emulated(name), log)?;
    story(&mut machine, Medium::Clears)?;
    machine.power_off()
}

fn on_nvdimm(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let mut machine = Machine::start(kit, &nvdimm(name, Some("mem-ctrl"), &contents), log)?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    story(&mut machine, Medium::Refuses)?;
    machine.power_off()
}

fn story(machine: &mut Machine, medium: Medium) -> Result<()> {
    make_ext4(machine, PMEM0, DAX)?;
    let (bad, good) = (records("/mnt/bad", 21), records("/mnt/good", 22));
    for records in [&bad, &good] {
        expect(&machine.persist(records)?, LINE)?;
        let none = machine.document(&format!("/init bad-blocks {}", records.path))?;
        ensure!(none == json!({ "ranges": [], "is_complete": true }), "before: {none}");
    }
    plant(machine)?;
    known(machine)?;
    met(machine)?;
    machine.verify(&good)?;
    cleared(machine, &bad)?;
    in_place(machine, medium)?;
    machine.verify(&good)
}

/// Returns the position of the file's sector on the device.
fn place(machine: &mut Machine) -> Result<u64> {
    let place = machine.document(&format!("/init place /mnt/bad {SECTOR}"))?;
    place["at"].as_u64().context("FIBMAP gave no place")
}

/// Adds the sector of the file to the kernel's list of bad blocks.
fn plant(machine: &mut Machine) -> Result<()> {
    let text = format!("{} 1", place(machine)? / 512);
    machine.doing(&Request::Write { path: LIST.to_owned(), text })
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
    expect_value(&read, "/poisoned", page.clone())?;
    let before = machine.document(&format!("/init checked /mnt/bad 0 {PAGE}"))?;
    expect_value(&before, "/poisoned", json!(null))?;
    let behind = LEN - PAGE - 4096;
    let behind = machine.document(&format!("/init checked /mnt/bad {} {behind}", PAGE + 4096))?;
    expect_value(&behind, "/poisoned", json!(null))?;

    let loaded = machine.document(&format!("/init guarded /mnt/bad {SECTOR}"))?;
    let expected = json!({ "first": page, "second": page, "is_tainted": true });
    ensure!(loaded == expected, "a guarded load: {loaded}");
    let beside = machine.document(&format!("/init guarded /mnt/bad {}", PAGE + 4096))?;
    let expected = json!({ "first": null, "second": null, "is_tainted": false });
    ensure!(beside == expected, "a guarded load beside it: {beside}");

    let ended = machine.run_any(&format!("/init load /mnt/bad {SECTOR}"), &[])?;
    ensure!(ended == (None, Some(SIGBUS)), "a load without a guard ended with {ended:?}");
    Ok(())
}

/// The file system gives the file another block, so the file is whole again on any medium. The bad block is not written
/// to, so the kernel keeps it in its list.
fn cleared(machine: &mut Machine, bad: &Records) -> Result<()> {
    let old = place(machine)?;
    let outcome = machine.document(&format!("/init clear /mnt/bad 0 {LEN}"))?;
    let expected = json!({ "lost": [[PAGE, PAGE + 4096]], "is_tainted": true });
    ensure!(outcome == expected, "clearing: {outcome}");
    let list = machine.read(LIST)?.context("the list cannot be read any more")?;
    ensure!(list == format!("{} 1", old / 512), "the kernel's list became {list:?}");
    ensure!(place(machine)? != old, "the file still has the bad block");

    let listed = machine.document("/init bad-blocks /mnt/bad")?;
    expect_value(&listed, "/ranges", json!([]))?;
    let read = machine.document(&format!("/init checked /mnt/bad 0 {LEN}"))?;
    expect_value(&read, "/poisoned", json!(null))?;
    let loaded = machine.document(&format!("/init load /mnt/bad {SECTOR}"))?;
    expect_value(&loaded, "/word", json!(0))?;
    // The page had 64 records, the first of them number 1152; all others are as they were.
    match machine.ask(&Request::Verify(bad.clone()))? {
        Reply::Found { intact: 4032, damaged } if damaged.first() == Some(&1152) => Ok(()),
        other => bail!("what is left of the records: {other:?}"),
    }
}

/// The medium's reaction to the command to clear a block.
#[derive(Clone, Copy)]
enum Medium {
    /// On RAM set aside the kernel takes written blocks for cleared (Linux `drivers/nvdimm/bus.c`,
    /// `nvdimm_clear_poison`: no `ndctl`).
    Clears,
    /// QEMU's NVDIMM has no command to clear a block, so the write fails.
    Refuses,
}

/// If no other block is left, the file system takes the bad one again, and the medium must clear it.
fn in_place(machine: &mut Machine, medium: Medium) -> Result<()> {
    let before = machine.read(LIST)?.context("the list cannot be read any more")?;
    plant(machine)?;
    let both = machine.read(LIST)?.context("the list cannot be read any more")?;
    let old = place(machine)?;
    let reserved = String::from("/sys/fs/ext4/pmem0/reserved_clusters");
    machine.doing(&Request::Write { path: reserved, text: String::from("0") })?;
    machine.run("/init fill /mnt/filler")?;

    let mut outcome = machine.document(&format!("/init clear /mnt/bad 0 {LEN}"))?;
    let list = machine.read(LIST)?.context("the list cannot be read any more")?;
    match medium {
        Medium::Clears => {
            let expected = json!({ "lost": [[PAGE, PAGE + 4096]], "is_tainted": true });
            ensure!(outcome == expected, "clearing in place: {outcome}");
            ensure!(place(machine)? == old, "the file was given another block");
            ensure!(list == before, "the kernel's list became {list:?}");
            let read = machine.document(&format!("/init checked /mnt/bad 0 {LEN}"))?;
            expect_value(&read, "/poisoned", json!(null))
        }
        Medium::Refuses => {
            outcome["text"].take();
            let page = [PAGE, PAGE + 4096];
            let expected = json!({
                "failed": page, "step": "Write", "errno": EIO, "lost": [page], "is_tainted": true,
                "text": null,
            });
            ensure!(outcome == expected, "clearing in place: {outcome}");
            ensure!(list == both, "the kernel's list became {list:?}");
            // As the step describes, the block is a hole, or allocated and not written.
            let (code, _, errors) = machine.output("/init bad-blocks /mnt/bad")?;
            let refused =
                errors.contains(&format!("at offset {PAGE}, so a store there would need"));
            ensure!(code != Some(0) && refused, "the file was mapped, or refused for: {errors}");
            Ok(())
        }
    }
}
