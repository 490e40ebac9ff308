//! Architectures without a folder: each is refused, and the reason names the missing part.
//!
//! | architecture | what there is | why it is not used |
//! |---|---|---|
//! | mips | CACHE is privileged; `cacheflush(2)` ignores which cache is asked for and synchronises instructions | nothing reaches memory from user mode |
//! | sparc64, sparc | no data-cache operation by address for user mode | nothing there |
//! | m68k, csky | a system call that can write data caches back | no back end yet |
//! | loongarch32 | CACOP, which user mode may execute for lines in the cache (`LoongArch` Reference Manual, reduced 32-bit version: "Hit" operations at PLV3) | no back end yet |
//! | xtensa, hexagon | instructions by address | inline assembly for it is not stable in Rust |
//! | wasm | nothing below the virtual machine | no cache can be named |
//!
//! The behaviour of their data caches with one page under two addresses is in `data_cache.rs`.
//!
//! Sources: Linux `arch/mips/mm/cache.c` (`cacheflush`), `arch/m68k/kernel/sys_m68k.c`,
//! `arch/csky/mm/syscache.c`, `arch/xtensa/include/asm/cacheasm.h`; the WebAssembly core specification.

mod data_cache;

pub use data_cache::data_cache;

use super::advice::LEAVE_IT_TO_THE_SYSTEM;
use super::{Architecture, Missing, Unsupported, refused};

/// Makes `NAMES`, and `NAME`: whichever of them is the target's in Rust, or `other`.
macro_rules! names {
    ($($name:literal)+) => {
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$($name),+];
        const NAME: &str = $(if cfg!(target_arch = $name) { $name } else)+ { "other" };
    };
}
names!(
    "mips64" "mips64r6" "mips" "mips32r6" "sparc64" "sparc" "m68k" "csky" "loongarch32" "hexagon" "xtensa" "wasm32" "wasm64"
);

const WHY: Unsupported = {
    let (reason, advice) = match NAME.as_bytes() {
        b"mips" | b"mips32r6" | b"mips64" | b"mips64r6" => (
            "CACHE is privileged on mips, and cacheflush(2) only synchronises instructions, whichever cache is \
             requested",
            LEAVE_IT_TO_THE_SYSTEM,
        ),
        b"sparc" | b"sparc64" => {
            ("sparc has no operation on data caches for user mode", LEAVE_IT_TO_THE_SYSTEM)
        }
        b"wasm32" | b"wasm64" => (
            "WebAssembly has no caches that a program could name: only the embedder knows its memory",
            "do it in the embedder, outside of the sandbox",
        ),
        b"xtensa" | b"hexagon" => (
            "this architecture has instructions for it, and inline assembly for it is not stable in Rust",
            "implement the maintenance for your part through its vendor's library",
        ),
        _ => ("this crate has no back end for this architecture", LEAVE_IT_TO_THE_SYSTEM),
    };
    Unsupported::new(Missing::Operation, reason, advice)
};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = refused::architecture(NAME, WHY, data_cache(NAME));
