//! An array of slots in a file, with plain structs: the last eight payments, which survive crashes.
//!
//! **Use a new file: the program overwrites other data.**
//!
//! The slots are written against a medium (`slots.rs`), so that the simulator can crash them (`examples/tests/simulated/slots.rs`).
//!
//! ```sh
//! cargo run -p cachemaint-examples --example slots -- /mnt/pmem/payments   # and again
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::Options;
use cachemaint_examples::slots::{self, Payment};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: slots FILE")?;
    // An ordinary file will do, although it is persisted in whole pages.
    let file = Options::new().allow_page_granularity().open_or_create(path, slots::LEN)?;
    let kept = slots::open(&file)?;
    for (number, payment) in &kept {
        println!("{number}: {} cents to {}", payment.cents, String::from_utf8_lossy(&payment.to));
    }
    let next = kept.last().map_or(1, |(number, _)| number + 1);
    slots::put(&file, next, &Payment { to: *b"Ada, countess of Lovelac", cents: 100 + next })?;
    println!("{next} payments were made");
    Ok(())
}
