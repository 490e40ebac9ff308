//! Machines with emulated persistent memory: RAM that the kernel sets aside, with a DAX file system.

use core::time::Duration;

use anyhow::Result;
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::kit::Kit;
use lose_lines_machine::losses::{Losses, Memory};
use lose_lines_machine::machine::Machine;
use lose_lines_machine::machine::setup::Setup;
use lose_lines_machine::pmem::{DAX, DIRECTORY, PMEM0};
use lose_lines_machine::transcript::Transcript;

/// The size of emulated persistent memory in MiB, if a test does not need more.
pub(super) const EMULATED: u64 = 256;

/// Returns a PC with emulated pmem, which loses lines.
pub(super) fn emulated(name: &str) -> Setup {
    emulated_with(name, 1536, EMULATED)
}

/// Returns such a PC with this many MiB of RAM, and this many of them as pmem.
pub(super) fn emulated_with(name: &str, ram: u64, pmem: u64) -> Setup {
    let memory = Memory::Ram { ram: ram << 20, offset: 1 << 30 };
    let losses = Losses::new(memory, 1 << 30, pmem << 20);
    Setup::new(name, "pc", &format!("{ram}M")).kernel(&set_aside(pmem)).losing(losses)
}

/// Returns words for a kernel's command line that set aside this many MiB of RAM at 1 GiB as pmem (Linux,
/// `Documentation/admin-guide/kernel-parameters.txt`, `memmap=nn[KMG]!ss[KMG]`).
pub(super) fn set_aside(pmem: u64) -> String {
    format!("memmap={pmem}M!1G")
}

/// The time limit of programs in such a machine: emulation is slow.
pub(super) const LIMIT: Duration = Duration::from_secs(3000);

/// Starts a PC with its own files, and a DAX file system for more.
pub(super) fn dax_machine(
    kit: &Kit,
    name: &str,
    add_files: impl FnOnce(&mut Initramfs),
    log: &mut Transcript,
) -> Result<Machine> {
    // The machine is started only once, so nothing would be lost.
    let mut setup = emulated(name).keeping();
    setup.limit = LIMIT;
    add_files(&mut setup.files);
    start_on_dax(kit, &setup, log)
}

/// Starts a machine, and makes a DAX file system on its first device of persistent memory.
pub(super) fn start_on_dax(kit: &Kit, setup: &Setup, log: &Transcript) -> Result<Machine> {
    let mut machine = Machine::start(kit, setup, log)?;
    make_ext4(&mut machine, PMEM0, DAX)?;
    Ok(machine)
}

/// Makes ext4 on a device and mounts it.
pub(super) fn make_ext4(machine: &mut Machine, device: &str, options: &str) -> Result<()> {
    machine.wait_for(device)?;
    machine.run(&format!("/bin/mke2fs -q -F -t ext4 -b 4096 {device}"))?;
    machine.mount(device, DIRECTORY, options)
}

#[cfg(test)]
mod tests {
    use super::{Setup, emulated};
    use lose_lines_plugin::policy::Policy;

    #[test]
    fn the_only_crash_of_a_machine_loses_lines_by_each_seed() {
        let policy = |setup: Setup| setup.losses.map(|losses| losses.policy);
        assert_eq!(policy(emulated("a")), Some(Policy::Half));
        assert_eq!(policy(emulated("a").policy(Policy::Any)), Some(Policy::Any));
        assert_eq!(policy(emulated("a").keeping().policy(Policy::Any)), None);
    }
}
