//! A counter that survives crashes, as a crate that depends on this one would write it.
//!
//! Two copies of the counter lie in lines of their own, each with its complement as a check. An
//! increment writes the older copy and persists it, so that at any moment one of the two is whole:
//! old or new, never a mix.
//!
//! ```sh
//! cargo run --example counter -- /mnt/pmem/counter
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::{DaxFile, ErrorKind, Options};
use cachemaint::medium::Medium;
use std::error::Error;
use std::sync::atomic::Ordering;

/// The largest page there is, in bytes: whatever the granularity of the medium, the copies never
/// share a unit that a crash may tear.
const STRIDE: u64 = 64 << 10;

fn open(path: &str) -> Result<DaxFile, cachemaint::dax::Error> {
    let options = Options::new().len(2 * STRIDE).allow_page_granularity();
    match options.open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::Missing) => {
            options.create(path, 2 * STRIDE)
        }
        opened => opened,
    }
}

/// The value of a copy, if it is whole. A new file has zeros, which are no copy.
fn load(file: &DaxFile, copy: u64) -> Option<u64> {
    let value = file.load(copy * STRIDE, Ordering::Relaxed);
    let check = file.load(copy * STRIDE + 8, Ordering::Relaxed);
    (check == !value).then_some(value)
}

/// Persists the next value in the copy that is older or not whole.
fn increment(file: &DaxFile) -> Result<u64, cachemaint::dax::Error> {
    let (first, second) = (load(file, 0), load(file, 1));
    let next = first.max(second).map_or(1, |value| value + 1);
    let older = u64::from(first > second);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&next.to_le_bytes());
    bytes[8..].copy_from_slice(&(!next).to_le_bytes());
    file.persist_copy(&[(older * STRIDE, &bytes)])?;
    Ok(next)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: counter FILE")?;
    let file = open(&path)?;
    println!("{} (granularity: {})", increment(&file)?, file.granularity());
    Ok(())
}
