//! The image with a driver: virtio-drivers, unmodified, reads and writes a disk on the board `virt`. Its memory is
//! maintained by the library, or by a driver that leaves out an operation. The name of what is left out stands in the
//! disk's first sector, or `report` and that of a public bug ([`reports`]).
//!
//! The emulator shows every store to every device, so the data are right in every case. `lose-lines dma` must find what
//! was left out, and nothing else.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
#[expect(clippy::panic, reason = "a failure ends the run")]
#[expect(unsafe_code, reason = "a driver gives addresses to a device")]
mod driver;
#[cfg(target_os = "none")]
#[macro_use]
#[expect(clippy::panic, reason = "a failure ends the run")]
#[expect(unsafe_code, reason = "a driver gives addresses to a device")]
mod memory;
#[cfg(target_os = "none")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "arm", path = "armv7.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
#[expect(unsafe_code, reason = "instructions of the machine")]
mod machine;
#[cfg(target_os = "none")]
#[expect(clippy::panic, reason = "a failure ends the run")]
#[expect(unsafe_code, reason = "a driver gives addresses to a device")]
mod reports;

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), &'static str> {
    Err(
        "this runs on machines without an operating system: cargo test -p cachemaint-lab-tests -- dma/",
    )
}

#[cfg(all(
    target_os = "none",
    not(any(target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64"))
))]
compile_error!("the driver is for Arm and RISC-V");
