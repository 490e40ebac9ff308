//! The next kernel, started by this one without firmware: RAM and the contents of the caches stay.

use super::protocol::KEXEC;
use anyhow::{Context as _, Result, ensure};
use rustix::system::{RebootCommand, reboot};
use std::fs::File;
use std::io::{Read as _, Write as _};

/// The disk to which the host wrote both.
const DISK: &str = "/dev/vda";
const KERNEL: &str = "/tmp/kernel";
const INITRD: &str = "/tmp/initrd";

/// Loads the kernel at the start of the disk, which has this many bytes, with the initial file system behind it.
pub(crate) fn load(command_line: &str, kernel: u64, initrd: u64) -> Result<()> {
    let mut disk = File::open(DISK).with_context(|| format!("cannot open {DISK}"))?;
    copy(&mut disk, KERNEL, kernel)?;
    copy(&mut disk, INITRD, initrd)?;
    load_files(&format!("{command_line} {KEXEC}"))
}

/// Starts the loaded kernel. Returns only if that fails.
pub(crate) fn start() -> Result<()> {
    reboot(RebootCommand::Kexec).context("cannot start the loaded kernel")
}

fn copy(disk: &mut File, path: &str, len: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("cannot write {path}"))?;
    let copied = std::io::copy(&mut disk.take(len), &mut file)
        .with_context(|| format!("cannot copy {len} bytes of {DISK} to {path}"))?;
    ensure!(copied == len, "{DISK} ends after {copied} of {len} bytes");
    file.flush().with_context(|| format!("cannot write {path}"))
}

/// Loads by the kernel itself, on an architecture whose kernel can read its own format.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "no library has this system call")]
fn load_files(command_line: &str) -> Result<()> {
    use std::os::fd::AsRawFd as _;

    let kernel = File::open(KERNEL).with_context(|| format!("cannot open {KERNEL}"))?;
    let initrd = File::open(INITRD).with_context(|| format!("cannot open {INITRD}"))?;
    let command_line = std::ffi::CString::new(command_line)?;
    let bytes = command_line.as_bytes_with_nul();
    // SAFETY: the descriptors are open and the command line is as long as it says, with its zero
    // (kexec_file_load(2)); no memory of this process changes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            bytes.len(),
            bytes.as_ptr(),
            0,
        )
    };
    ensure!(result == 0, "kexec_file_load: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Loads by kexec(8): Debian's arm64 kernel has no `kexec_file_load(2)`.
#[cfg(not(target_arch = "x86_64"))]
fn load_files(command_line: &str) -> Result<()> {
    let status = std::process::Command::new("/bin/kexec")
        .args(["--load", KERNEL, "--initrd", INITRD, "--command-line", command_line])
        .status()
        .context("cannot start kexec(8)")?;
    ensure!(status.success(), "kexec(8) ended with {status}");
    Ok(())
}
