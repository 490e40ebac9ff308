//! Stores each line of standard input in the file `records`. Run it, kill it, and run it again: every line that it has
//! reported as durable is still there.

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax;
use cachemaint_journal::Journal;
use std::error::Error;
use std::io;

fn main() -> Result<(), Box<dyn Error>> {
    let file = dax::Options::new().allow_page_granularity().open_or_create("records", 1 << 20)?;
    println!("{}", file.guarantee().reason);
    let (journal, _) = Journal::open_or_create(file)?;
    for record in journal.records()? {
        println!("found: {}", record?.payload.escape_ascii());
    }
    for line in io::stdin().lines() {
        let line = line?;
        journal.append(line.as_bytes())?; // durable when it returns
        println!("durable: {line}");
    }
    journal.close()?;
    Ok(())
}
