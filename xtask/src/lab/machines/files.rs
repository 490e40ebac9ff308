//! Faults of files: each must end as the documentation describes, without lost data.

use anyhow::{Result, ensure};
use cachemaint_lab_protocol::{Records, Request};

use super::requests::Library as _;
use super::{
    Architecture, DAX, DIRECTORY, Kit, LINE, Lane, Log, Machine, PMEM0, emulated, expect, lane,
    records, start_on_dax,
};

/// `SIGBUS` on x86 (signal(7)).
const SIGBUS: i32 = 7;

pub(super) fn lanes() -> Vec<Lane> {
    vec![lane(
        Architecture::X86,
        "files",
        "read-only and full file systems, a file cut by another process, two processes at one file",
        files,
    )]
}

fn files(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut machine = start_on_dax(kit, &emulated(name), log)?;
    let written = records("/mnt/records", 7);
    expect(&machine.persist(&written)?, LINE)?;

    full(&mut machine)?;
    machine.verify(&written)?;
    read_only(&mut machine, &written)?;
    machine.verify(&written)?;
    contended(&mut machine, &written)?;
    machine.verify(&written)?;
    cut_short(&mut machine, &written)?;
    machine.power_off()
}

/// A file that does not fit is refused, and leaves nothing behind.
fn full(machine: &mut Machine) -> Result<()> {
    let mut large = records("/mnt/large", 8);
    // 320 MiB on 256.
    large.count = 5 << 20;
    let why = machine.refusal(&Request::Persist(large))?;
    ensure!(why.contains("no space for 335544320 bytes"), "a full file system: {why}");
    let left = machine.list(DIRECTORY)?;
    ensure!(left == ["lost+found", "records"], "left on the full file system: {left:?}");
    Ok(())
}

fn read_only(machine: &mut Machine, written: &Records) -> Result<()> {
    machine.unmount(DIRECTORY)?;
    machine.doing(lose_lines_agent::Request::Mount {
        device: String::from(PMEM0),
        directory: DIRECTORY.to_owned(),
        kind: String::from("ext4"),
        options: DAX.to_owned(),
        read_only: true,
    })?;
    let other = records("/mnt/other", 9);
    for request in [Request::Persist(other), Request::Verify(written.clone())] {
        let why = machine.refusal(&request)?;
        ensure!(why.contains("its file system is mounted read-only"), "read-only: {why}");
    }
    machine.unmount(DIRECTORY)?;
    machine.mount(PMEM0, DIRECTORY, DAX)
}

/// A second process is refused, and a killed one leaves no lock.
fn contended(machine: &mut Machine, written: &Records) -> Result<()> {
    machine.run(&format!("/init contend {}", written.path))
}

/// A reader of the cut-off part ends by SIGBUS, as documented. The rest is unchanged, for the next reader too.
fn cut_short(machine: &mut Machine, written: &Records) -> Result<()> {
    let ended = machine.run_any(&format!("/init shrink {}", written.path), &[])?;
    ensure!(ended == (None, Some(SIGBUS)), "reading what was cut off ended with {ended:?}");
    let half = Records { count: written.count / 2, ..written.clone() };
    machine.verify(&half)
}
