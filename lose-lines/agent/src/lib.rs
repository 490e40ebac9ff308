//! The agent in an emulated machine: the first program of its kernel (process 1), which serves the host's requests over
//! the serial line.
//!
//! It mounts the kernel's file systems, loads the machine's modules, and then serves one request after the other. It
//! does not judge: only the host knows the expected results. A project adds its own requests with [`Request::Other`].

mod protocol;

pub use protocol::{Extent, File, KEXEC, MARK, Reply, Request, decode, encode};

#[cfg(target_os = "linux")]
mod beside;
#[cfg(target_os = "linux")]
mod boot;
#[cfg(target_os = "linux")]
pub mod console;
#[cfg(target_os = "linux")]
mod extents;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod kexec;
#[cfg(target_os = "linux")]
mod resume;
#[cfg(target_os = "linux")]
mod serve;

#[cfg(target_os = "linux")]
pub use boot::boot;
#[cfg(target_os = "linux")]
pub use serve::serve;
