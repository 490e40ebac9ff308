//! Both adapters on a machine with devices that do not snoop.

#![expect(unsafe_code, reason = "a kernel's memory, and buffers that a device has")]
#![expect(non_ascii_idents, reason = "those that zerocopy derives")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod disk;
mod dma;
mod kernel;
mod virtio;
