//! Architectures without a folder of their own: each is refused, and the reason says what is missing.
//!
//! | architecture | what there is | why it is not used |
//! |---|---|---|
//! | mips | CACHE is privileged; `cacheflush(2)` ignores which cache is asked for and synchronises instructions | nothing reaches memory from user mode |
//! | sparc64, sparc | no data-cache operation by address for user mode | nothing there |
//! | m68k, csky | a system call that can write data caches back | no back end yet |
//! | xtensa, hexagon | instructions by address | inline assembly for it is not stable in Rust |
//! | wasm | nothing below the virtual machine | no cache can be named |
//!
//! What their data caches do with one page under two addresses is in `aliasing.rs`.
//!
//! Sources: Linux `arch/mips/mm/cache.c` (`cacheflush`), `arch/m68k/kernel/sys_m68k.c`,
//! `arch/csky/mm/syscache.c`, `arch/xtensa/include/asm/cacheasm.h`; the WebAssembly core specification.

mod aliasing;

#[cfg(test)]
pub use aliasing::ALIASING;

use super::{Architecture, Missing, Unsupported, refused};

/// The name that Rust gives the architecture, as far as one is told apart here.
const NAME: &str = if cfg!(target_arch = "mips64") {
    "mips64"
} else if cfg!(target_arch = "mips64r6") {
    "mips64r6"
} else if cfg!(target_arch = "mips") {
    "mips"
} else if cfg!(target_arch = "mips32r6") {
    "mips32r6"
} else if cfg!(target_arch = "sparc64") {
    "sparc64"
} else if cfg!(target_arch = "sparc") {
    "sparc"
} else if cfg!(target_arch = "m68k") {
    "m68k"
} else if cfg!(target_arch = "csky") {
    "csky"
} else if cfg!(target_arch = "hexagon") {
    "hexagon"
} else if cfg!(target_arch = "xtensa") {
    "xtensa"
} else if cfg!(target_arch = "wasm32") {
    "wasm32"
} else if cfg!(target_arch = "wasm64") {
    "wasm64"
} else {
    "other"
};

const THROUGH_THE_KERNEL: &str =
    "let the kernel do it: msync or fsync for files, its DMA interface for devices";

const WHY: Unsupported = {
    let (reason, advice) = if cfg!(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    )) {
        (
            "CACHE is privileged on mips, and cacheflush(2) synchronises instructions only, whichever \
             cache it is asked for",
            THROUGH_THE_KERNEL,
        )
    } else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        ("sparc has no operation on data caches for user mode", THROUGH_THE_KERNEL)
    } else if cfg!(any(target_arch = "wasm32", target_arch = "wasm64")) {
        (
            "WebAssembly has no caches that a program could name: what its memory is made of is for the \
             embedder to know",
            "do it in the embedder, outside of the sandbox",
        )
    } else if cfg!(any(target_arch = "xtensa", target_arch = "hexagon")) {
        (
            "this architecture has instructions for it, and inline assembly for it is not stable in Rust",
            "implement the maintenance for your part through its vendor's library",
        )
    } else {
        ("this crate has no back end for this architecture", THROUGH_THE_KERNEL)
    };
    Unsupported::new(Missing::Operation, reason, advice)
};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = refused::architecture(NAME, WHY, WHY, aliasing::of(NAME));
