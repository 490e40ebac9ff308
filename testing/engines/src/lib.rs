//! The workload that every engine runs, and the check of what is left after a power cut.
//!
//! `ENGINE run N [SETTING]` commits N transactions and prints `ack I` after each one that the engine promises to keep.
//! It reopens the database after half of them. `ENGINE check [SETTING]` opens it as a user would, compares it with the
//! acknowledged lines in the file `$PRINTED`, and commits once more. If an acknowledged transaction is missing, only
//! part of a transaction is there, or the engine refuses or panics, it exits with 1 and a line that begins with BAD.

#![expect(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a program's parts, which end it"
)]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
/// The content of one transaction: two values, in slots that earlier transactions have used, and its number.
pub type Entries = [(String, Vec<u8>); 3];

pub trait Engine: Sized {
    /// Opens the database in the current directory, or creates it.
    fn open(setting: &str) -> Result<Self>;
    /// Commits the entries as one transaction, durable under the setting's promise.
    fn commit(&mut self, entries: &Entries) -> Result<()>;
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>>;
}

/// Every transaction replaces the values of the one 20 before it, so that engines reuse space.
const SLOTS: u64 = 20;

/// Returns 40 to 1539 bytes that depend on the transaction and on the key.
#[must_use]
pub fn value(transaction: u64, salt: u64) -> Vec<u8> {
    let length = 40 + transaction.wrapping_mul(2_654_435_761).wrapping_add(salt * 97) % 1500;
    let mut x = transaction.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt ^ 1;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

fn entries(transaction: u64) -> Entries {
    let slot = transaction % SLOTS;
    [
        (format!("a{slot:02}"), value(transaction, 1)),
        (format!("b{slot:02}"), value(transaction, 2)),
        ("last".to_owned(), transaction.to_string().into_bytes()),
    ]
}

/// Prints the acknowledgement of a transaction.
pub fn acknowledge(transaction: u64) {
    let mut out = std::io::stdout();
    // One write: the line has reached the host before the program continues.
    out.write_all(format!("ack {transaction}\n").as_bytes())
        .and_then(|()| out.flush())
        .expect("stdout takes a line");
}

/// Returns the newest transaction that was acknowledged before the cut, or 0.
#[must_use]
pub fn acknowledged() -> u64 {
    let printed =
        std::env::var("PRINTED").map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let lines = printed.unwrap_or_default();
    lines.lines().filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).max().unwrap_or(0)
}

fn run<E: Engine>(transactions: u64, setting: &str) -> Result<()> {
    let mut engine = E::open(setting)?;
    for transaction in 1..=transactions {
        if transaction == transactions / 2 {
            drop(engine);
            engine = E::open(setting)?;
        }
        engine.commit(&entries(transaction))?;
        acknowledge(transaction);
    }
    Ok(())
}

fn check<E: Engine>(setting: &str) -> std::result::Result<u64, String> {
    let mut engine = E::open(setting).map_err(|e| format!("OPEN {e}"))?;
    let get = |engine: &mut E, key: &str| engine.get(key).map_err(|e| format!("READ {key}: {e}"));
    let last = get(&mut engine, "last")?.unwrap_or(b"0".to_vec());
    let last: u64 =
        String::from_utf8_lossy(&last).parse().map_err(|e| format!("TORN last: {e}"))?;
    if last < acknowledged() {
        return Err(format!("LOST found only {last}"));
    }
    for newest in (last.saturating_sub(SLOTS) + 1..=last).chain((last < SLOTS).then_some(last + 1))
    {
        for (key, wanted) in &entries(newest)[..2] {
            let wanted = (newest <= last).then_some(wanted);
            let found = get(&mut engine, key)?;
            if found.as_ref() != wanted {
                let length = |bytes: Option<&Vec<u8>>| bytes.map_or(-1, |b| b.len().cast_signed());
                return Err(format!(
                    "TORN {key}: {} bytes, not the {} of {newest} (last {last})",
                    length(found.as_ref()),
                    length(wanted)
                ));
            }
        }
    }
    engine.commit(&entries(last + 1)).map_err(|e| format!("COMMIT {e}"))?;
    let found = get(&mut engine, "last")?;
    if found != Some((last + 1).to_string().into_bytes()) {
        return Err(format!("COMMIT of {} is not read back", last + 1));
    }
    Ok(last)
}

/// Exits with the result of `check`: 0, or 1 and a line that begins with BAD.
pub fn judge(check: impl FnOnce() -> std::result::Result<u64, String>) -> ! {
    let acknowledged = acknowledged();
    let said = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        Err(format!("PANIC {}", text.unwrap_or_default()))
    });
    match &said {
        Ok(last) => println!("good: acknowledged {acknowledged}, found {last}"),
        Err(why) => println!("BAD acknowledged {acknowledged}: {}", why.replace('\n', " ")),
    }
    std::process::exit(i32::from(said.is_err()));
}

/// The command line of an engine.
pub fn command<E: Engine>() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", n, ref rest @ ..] => {
            let n = n.parse().expect("run N: a number of transactions");
            run::<E>(n, rest.first().unwrap_or(&"")).unwrap_or_else(|e| panic!("{e}"));
        }
        ["check", ref rest @ ..] => judge(|| check::<E>(rest.first().unwrap_or(&""))),
        _ => panic!("usage: run N [SETTING] | check [SETTING]"),
    }
}
