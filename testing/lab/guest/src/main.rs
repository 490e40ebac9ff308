//! The agent of the lab's machines, which also serves requests to the library. With arguments it is one of the small
//! programs that a lane runs in addition.
//!
//! It does not judge: only the host knows the expected results.

#[cfg(target_os = "linux")]
mod beside;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod holes;
#[cfg(target_os = "linux")]
mod journals;
#[cfg(target_os = "linux")]
mod media;
#[cfg(target_os = "linux")]
mod once;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod paths;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod recordings;
#[cfg(target_os = "linux")]
mod records;
#[cfg(target_os = "linux")]
mod requests;
#[cfg(target_os = "linux")]
mod restarts;
#[cfg(target_os = "linux")]
mod stores;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
))]
mod trials;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<std::process::ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["contend", path] => processes::contend(path.as_ref()),
        ["open", path] => processes::open(path.as_ref()),
        ["store-to-holes", path, len] => holes::store(path.as_ref(), len),
        ["find-in-holes", path, ref offsets @ ..] => holes::find(path.as_ref(), offsets),
        ["read-journal", path, seed] => journals::read(path.as_ref(), seed),
        ["read-recording", path] => recordings::read(path.as_ref()),
        ["vm-restart", path, mib] => restarts::run(path, mib),
        ["read-store", path] => stores::read(path.as_ref()),
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
        ["trials", ref words @ ..] => trials::run(words),
        ["place", path, at] => media::place(path.as_ref(), at),
        ["bad-blocks", path] => media::bad_blocks(path.as_ref()),
        ["checked", path, at, len] => media::checked(path.as_ref(), at, len),
        ["guarded", path, at] => media::guarded(path.as_ref(), at),
        ["make", kind, path] => beside::make(kind, path.as_ref()),
        ["open-beside", kind, path] => beside::open(kind, path.as_ref()),
        ["load", path, at] => media::load(path.as_ref(), at),
        ["use-disk"] => once::run(disk::check),
        ["symbols", module] => once::run(|| once::symbols(module)),
        // The kernel passes words of its command line to its first program.
        _ => match lose_lines_agent::serve(requests::answer)? {},
    }
}

#[cfg(target_os = "linux")]
fn number(argument: &str) -> anyhow::Result<u64> {
    anyhow::Context::with_context(argument.parse(), || format!("{argument} is not a number"))
}

#[cfg(not(target_os = "linux"))]
fn main() {}
