//! `libpmem.so.1`: the functions of PMDK's libpmem, for programs linked to it.
//!
//! A program linked to PMDK's library runs on this one unchanged: names, versions, values, return values and `errno`
//! are the same. Where the interface leaves semantics open, or PMDK does less, this library behaves as follows:
//!
//! - [`persist`]: on every CPU, the drain is the fence that completes write-backs. A CPU that cannot reach the point of
//!   persistence is reported once. A failed deep drain returns -1.
//! - [`copy`]: copies use the method that is durable according to the CPU's vendor.
//! - [`map`]: memory is persistent only if the file's medium keeps lines that are written back.
//! - [`environment`]: the variables and their effects.
#![cfg(target_os = "linux")]

#[expect(unsafe_code, reason = "calls a function of the C library")]
#[path = "../../src/cancellation.rs"]
mod cancellation;
#[expect(unsafe_code, reason = "functions that C programs link to, with their pointers")]
mod copy;
#[expect(unsafe_code, reason = "functions that C programs link to, with their pointers")]
mod deep;
mod device;
#[expect(unsafe_code, reason = "getenv and strtoll")]
mod environment;
#[expect(unsafe_code, reason = "the thread's message and errno are given to C programs")]
mod failure;
#[expect(unsafe_code, reason = "a lock that a fork and a handler can take")]
mod lock;
#[expect(unsafe_code, reason = "a function of the program is called")]
mod log;
#[expect(unsafe_code, reason = "a function that the loader calls")]
mod machine;
#[expect(unsafe_code, reason = "functions that C programs link to, with their pointers")]
mod map;
#[expect(unsafe_code, reason = "a key of threads, and memory that its destructor frees")]
mod message;
#[expect(unsafe_code, reason = "functions that C programs link to, with their pointers")]
mod persist;
#[expect(unsafe_code, reason = "a mapping for the time of a call")]
mod place;
mod ranges;
#[expect(unsafe_code, reason = "system calls by the C library's functions")]
mod system;
#[expect(unsafe_code, reason = "functions that C programs link to, with their pointers")]
mod version;
#[expect(unsafe_code, reason = "copies by address")]
mod words;
