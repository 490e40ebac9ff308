//! A machine that goes on from a file: it gets what a boot would have made anew.

use anyhow::{Context as _, Result};
use rustix::ioctl::{NoArg, Opcode, ioctl, opcode};
use std::fs::{self, File};
use std::io::Write as _;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// The file that programs read in place of the kernel's.
const NEW_BOOT: &str = "/tmp/boot_id";

/// `RNDRESEEDCRNG`, `_IO('R', 7)` (`include/uapi/linux/random.h`).
const RESEED: Opcode = opcode::none(b'R', 7);

/// Gives the machine another boot and other random numbers, and has it read the media again.
pub(crate) fn resume(boot: &str, entropy: u64) -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the caches")?;
    fs::write(NEW_BOOT, format!("{boot}\n")).context("cannot write a boot")?;
    rustix::mount::mount_bind(NEW_BOOT, BOOT).context("cannot replace the boot")?;
    let mut random = File::options().write(true).open("/dev/urandom").context("no urandom")?;
    random.write_all(&entropy.to_le_bytes()).context("cannot add entropy")?;
    #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
    // SAFETY: the request has no argument.
    let request = unsafe { NoArg::<RESEED>::new() };
    #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
    // SAFETY: it accesses no memory of this process.
    unsafe { ioctl(&random, request) }.context("RNDRESEEDCRNG")
}
