//! Mappings by libpmem of a file on ext4-DAX and of a device of device DAX: the results of every call are the same with
//! each library, except for the one that the original cannot fail. A mapping that was removed by `munmap` is not taken
//! for the one that has its place.

use anyhow::{Result, ensure};

use super::super::device_dax::DEVICE;
use super::super::{DIRECTORY, PMEM0, emulated, lane_with, make_ext4, make_namespace};
use crate::lab::Lab;
use crate::lab::lane::Lane;
use lose_lines::architecture::Architecture;
use lose_lines::kit::Kit;
use lose_lines::log::Log;
use lose_lines::machine::Machine;
use lose_lines::machine::programs::printed;
use lose_lines::program::HostProgram;

const NAME: &str = "machine/x86_64/libpmem-mappings";
const PACKAGES: [&str; 1] = ["libpmem-dev"];

/// The first words of the lines about the buffers of a device.
const DEEP: &str = "deep ";

pub(super) fn lanes() -> Vec<Lane> {
    let proves = "files and devices are mapped, unmapped and persisted alike by each library";
    let prepare = |lab: &Lab<'_>| {
        let client = lab.client(Architecture::X86, "mappings", "pmem", &PACKAGES)?;
        Ok((client, lab.libpmem(Architecture::X86)?))
    };
    vec![lane_with(Architecture::X86, NAME, proves, prepare, |kit, (client, ours), _name, log| {
        compare(kit, &[client.with(None)?, client.with(Some(ours))?], log)?;
        Ok(2)
    })]
}

fn compare(kit: &Kit, libraries: &[HostProgram; 2], log: &mut Log) -> Result<()> {
    let mut setup = emulated(NAME);
    if let Some(losses) = &mut setup.losses {
        losses.allowed_unmapped = u64::MAX;
    }
    for program in libraries {
        program.add_to(&mut setup.files);
    }
    let mut machine = Machine::start(kit, &setup, log)?;
    make_namespace(&mut machine, "region0", "devdax")?;
    machine.wait_for(DEVICE)?;
    let [theirs, ours] = both(&mut machine, libraries, ["device", DEVICE, DEVICE], log)?;
    let other = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with(DEEP)).map(str::to_owned).collect()
    };
    ensure!(other(&theirs) == other(&ours), "a device with libpmem:\n{theirs}\nwith ours:\n{ours}");
    // A region of RAM has no attribute that flushes (Linux drivers/nvdimm/region_devs.c). The original takes that for
    // success (PMDK src/libpmem2/deep_flush_linux.c). 95 is ENOTSUP.
    for line in ["deep persist: -1, errno 95", "deep drain: -1, errno 95"] {
        ensure!(ours.contains(line), "a device without the attribute: {ours}");
    }
    make_namespace(&mut machine, "region0", "fsdax")?;
    make_ext4(&mut machine, PMEM0, "dax=always")?;
    let (first, second) = (format!("{DIRECTORY}/theirs"), format!("{DIRECTORY}/ours"));
    let [theirs, ours] = both(&mut machine, libraries, ["file", &first, &second], log)?;
    ensure!(theirs == ours, "a file with libpmem:\n{theirs}\nwith ours:\n{ours}");
    ensure!(ours.contains("mapped 8388608, is_pmem 1"), "the file is mapped otherwise: {ours}");
    ensure!(ours.contains("up to the end 1, over it 0, after it 0"), "bytes after the end: {ours}");
    // The original takes the file in RAM for the one on persistent memory.
    let [theirs, ours] = both(&mut machine, libraries, ["reused", &first, &second], log)?;
    ensure!(theirs.contains("at the same place: 1"), "nothing was shown with libpmem:\n{theirs}");
    for line in ["mapped 8388608, is_pmem 0", "at the same place: 1"] {
        ensure!(ours.contains(line), "a file in RAM at the place of another mapping: {ours}");
    }
    machine.power_off()
}

/// Runs the client with each library, on a path of its own, and returns the outputs.
fn both(
    machine: &mut Machine,
    libraries: &[HostProgram; 2],
    [kind, first, second]: [&str; 3],
    log: &mut Log,
) -> Result<[String; 2]> {
    let mut outputs = [String::new(), String::new()];
    for ((program, path), output) in libraries.iter().zip([first, second]).zip(&mut outputs) {
        let before = log.position()?;
        let arguments = [kind, path].map(str::to_owned);
        let ended = machine.run_request(&program.run(&arguments, &[]))?;
        *output = printed(&log.since(before)?).replace('\r', "");
        ensure!(ended == (Some(0), None), "`{kind} {path}` ended with {ended:?}: {output}");
    }
    Ok(outputs)
}
