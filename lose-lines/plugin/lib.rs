//! Finds missing write-backs and fences in binaries that run in an emulator, or loses the affected stores.
//!
//! No emulator has caches. This plugin of QEMU models them, for one of two uses: it gives verdicts between two marks of
//! a program, or it makes a machine lose the lines that were not written back ([`losses`]).
//!
//! # Verdicts
//! The plugin watches the instructions between two marks of the guest program (`lose-lines/mark`). Each store to the watched
//! range makes its lines dirty, each write-back instruction counts with the address in its registers, and each fence
//! completes the write-backs before it. A verdict is one line of text about the remaining lines.
//!
//! ```text
//! qemu-system-x86_64 … -plugin plugin.so,out=FILE,streaming=ordinary
//! verdict id=1 stores=64 streaming=0 writebacks=63 fences=1 dirty_lines=1 unfenced_lines=0
//! ```
//!
//! Layers, each using only those above it: [`lines`] is the model. [`decode`], [`x86_64`], [`aarch64`] and [`riscv64`]
//! read instructions; [`options`] and [`tracker`] define the watched range. [`losses`] is the other use; `ffi` is the
//! emulator's interface and `system` the C library's, the only parts with `unsafe`.
//!
//! Limits of verdicts:
//! - Lines are identified by the guest's virtual address. Another program's mapping at the same address would count
//!   too, and a store through a second mapping of the same memory (a kernel's own) does not.
//! - The guest has one CPU: fences are not distinguished by CPU.
//! - `line` must be the guest's line size. If it is larger, one instruction cleans too much.
//! - An x86 locked access is a fence unless `locked=ordinary` is given. Programs use locks so often that they soon hide
//!   a missing fence: use that option if SFENCE and MFENCE are required.
//! - `stores` and `streaming` count accesses as the emulator makes them: those of a string instruction or a wide vector
//!   one by one, and some twice that were repeated after a page fault.
//! - Stores that the emulator makes by itself are not reported to plugins: SVE and MOPS of arm64, XSAVE of x86. DC ZVA
//!   is recognized by its instruction.
//! - Not modelled: instructions that write back whole caches (WBINVD, DC CSW) or discard lines (INVD, DC IVAC), code
//!   that is not 64-bit, and MOVDIRI and MOVDIR64B, which the emulator lacks.
//! - The plugin is loaded into the emulator's process and runs with its C library, which must not be older than the one
//!   that the plugin was built with.

pub mod aarch64;
pub mod decode;
pub mod lines;
pub mod losses;
pub mod options;
#[path = "../src/policy.rs"]
pub mod policy;
pub mod riscv64;
mod system;
pub mod tracker;
pub mod x86_64;

// Tests are programs, which have no emulator to link with.
#[cfg(all(not(test), target_os = "linux"))]
#[expect(unsafe_code, reason = "the emulator calls and is called in C")]
mod ffi;
