//! Prints the granularity that libpmem2 of PMDK gives a file: `byte`, `cache line` or `page`. PMDK
//! does not install a program for it.
//!
//! The library is loaded when the program runs: a machine of the lab has it from its package, and
//! nothing of it is needed to build this.

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a C library is loaded and called")]
mod libpmem2;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use anyhow::Context as _;
    use std::io::Write as _;

    let path = std::env::args().nth(1).context("name a file")?;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {path}"))?;
    let granularity = libpmem2::Library::load()?.granularity(&file)?;
    writeln!(std::io::stdout(), "{granularity}")?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
