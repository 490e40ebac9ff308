//! Adapters for kernels with devices that do not snoop the caches. `README.md` of this package says which one to copy.
//!
//! | module | for |
//! |---|---|
//! | [`non_coherent`] | both adapters below: the kernel's part, and memory that a device writes |
//! | [`virtio`] | virtio-drivers 0.13 |
//! | [`dma`] | dma-api 0.10 |
//! | `stm32` | HALs of embedded-dma: a receive by stm32h7xx-hal 0.16 |

#![no_std]
#![expect(unsafe_code, reason = "memory that a device writes is known by pointers")]

pub mod dma;
pub mod non_coherent;
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub mod stm32;
pub mod virtio;
