//! `cachemaint.h`: the operations and files of the crate for C programs.
//!
//! The header (`capi/include/cachemaint.h`) is written by hand and documents each function. The tests here compile it
//! against the layouts and signatures of this package.
//!
//! # Panics
//! None is reachable: a panic would end a program written in another language. Every argument is therefore checked
//! before use, and `cargo test -p cachemaint-lab-tests -- capi/` calls all functions with random ones.
#![cfg(target_os = "linux")]

#[expect(unsafe_code, reason = "reads and writes memory that the C program names")]
mod arguments;
#[expect(unsafe_code, reason = "executes cache operations on memory that the C program names")]
mod caches;
#[expect(unsafe_code, reason = "calls a function of the C library")]
mod cancellation;
#[expect(unsafe_code, reason = "names that C programs link to")]
mod error;
#[expect(unsafe_code, reason = "hands memory of the C program to the library")]
mod files;
#[expect(unsafe_code, reason = "follows pointers that the C program got from here")]
mod handle;
#[expect(unsafe_code, reason = "fills structures of the C program")]
mod host;
#[expect(unsafe_code, reason = "fills structures of the C program")]
mod promises;
mod text;
#[expect(unsafe_code, reason = "calls functions of the C library")]
mod thread_end;

#[cfg(test)]
#[expect(unsafe_code, reason = "calls the functions as C programs do")]
mod tests;

use core::ffi::c_int;

/// The version of the interface, `CACHEMAINT_VERSION` of the header: that of the package without its patch number.
const VERSION: c_int =
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 16 | number(env!("CARGO_PKG_VERSION_MINOR"));

/// Returns a number that Cargo wrote.
#[expect(clippy::panic, reason = "stops the build: constants alone are made of it")]
const fn number(text: &str) -> c_int {
    match c_int::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("Cargo writes numbers"),
    }
}

/// Returns the version of the interface: `major << 16 | minor`.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "a name that C programs link to")]
pub(crate) extern "C" fn cachemaint_version() -> c_int {
    VERSION
}
