//! Resuming a machine from a file: it gets what a boot would have created.

use anyhow::{Context as _, Result};
use rustix::ioctl::{NoArg, Opcode, ioctl, opcode};
use std::fs::{self, File};
use std::io::Write as _;

/// The directory with the file `boot_id`. Programs would take a mount over the file itself for a container's.
const RANDOM: &str = "/proc/sys/kernel/random";
/// The directory that programs read instead of the kernel's.
const NEW_RANDOM: &str = "/tmp/random";

/// `RNDRESEEDCRNG`, `_IO('R', 7)` (`include/uapi/linux/random.h`).
const RESEED: Opcode = opcode::none(b'R', 7);

/// Gives the machine another boot id and other random numbers, and makes it read the media again.
pub(crate) fn resume(boot: &str, entropy: u64) -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the caches")?;
    fs::create_dir_all(NEW_RANDOM).context("cannot make a folder for a boot")?;
    fs::write(format!("{NEW_RANDOM}/boot_id"), format!("{boot}\n"))
        .context("cannot write a boot")?;
    rustix::mount::mount_bind(NEW_RANDOM, RANDOM).context("cannot replace the boot")?;
    let mut random = File::options().write(true).open("/dev/urandom").context("no urandom")?;
    random.write_all(&entropy.to_le_bytes()).context("cannot add entropy")?;
    #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
    // SAFETY: the request has no argument.
    let request = unsafe { NoArg::<RESEED>::new() };
    #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
    // SAFETY: it accesses no memory of this process.
    unsafe { ioctl(&random, request) }.context("RNDRESEEDCRNG")
}
