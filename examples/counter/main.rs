//! A counter that survives crashes, as a crate that depends on this one would write it.
//!
//! **Use a new file: the program overwrites other data.**
//!
//! Two copies of the counter lie in separate lines, each with its complement as a check. An increment writes and
//! persists the older copy, so one of the two is intact at any moment: old or new, never a mix. It is written against a
//! medium (`counter.rs`), and `examples/tests/simulated/counter.rs` shows that no crash loses an increment.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example counter -- /mnt/pmem/counter
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::Options;
use cachemaint_examples::counter;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: counter FILE")?;
    let file = Options::new().allow_page_granularity().open_or_create(path, counter::LEN)?;
    let found = counter::open(&file)?;
    let value = counter::increment(&file)?;
    println!("{found}, now {value} (granularity: {})", file.granularity());
    Ok(())
}
