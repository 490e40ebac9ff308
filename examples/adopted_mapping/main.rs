//! Statistics in the program's own mapping: memmap2 maps the file, the program counts in atomic words, and this crate
//! makes them persistent.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example adopted_mapping -- /tmp/statistics   # and again
//! ```

#[cfg(target_os = "linux")]
#[expect(unsafe_code, clippy::print_stdout, reason = "has a mapping of its own; shows the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use cachemaint::dax::{Persister, probe};
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Instant;

    /// The beginning of the file. Each word is valid on its own, so no crash leaves an inconsistent mix.
    #[repr(C)]
    struct Statistics {
        runs: AtomicU64,
        longest_nanoseconds: AtomicU64,
    }
    const LEN: u64 = size_of::<Statistics>() as u64;

    let start = Instant::now();
    let path = std::env::args().nth(1).ok_or("usage: adopted_mapping FILE")?;
    let file =
        std::fs::File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    if file.metadata()?.len() < LEN {
        file.set_len(LEN)?; // a longer file may be in use, and keeps its length
    }
    // SAFETY: nothing cuts the file.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file) }?;
    let bytes = NonNull::from(&mut *mapping);

    let guarantee = probe(&path)?;
    // SAFETY: (1) memmap2 maps the whole file, shared, for both, and the mapping is dropped after `persister`; (2) memmap2
    // does not map with MAP_SYNC, so that the file is persisted in whole pages, even on DAX.
    let persister = unsafe { Persister::new(&guarantee, bytes, false) }?;
    // SAFETY: the mapping begins at a page and is long enough, and any bytes are such words.
    let statistics = unsafe { bytes.cast::<Statistics>().as_ref() };

    persister.persist(0..LEN)?; // makes durable what a killed process left, before it is used
    statistics.longest_nanoseconds.fetch_max(u64::try_from(start.elapsed().as_nanos())?, Relaxed);
    let runs = statistics.runs.fetch_add(1, Relaxed) + 1;
    persister.persist(0..LEN)?;
    let longest = statistics.longest_nanoseconds.load(Relaxed);
    println!("{runs} runs, the longest start took {longest} ns ({})", guarantee.reason);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
