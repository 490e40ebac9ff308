//! A database's page cache that is warm after a restart.
//!
//! Pages are expensive to read and cheap to lose, so only damaged pages are dropped and read again. The name of a blob
//! is the number of a page, and its version is the version of that page: a page that the database has changed since is
//! stale. Transactions put and evict several pages at a time, so a crash costs at most the last transaction.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example page_cache -- /mnt/pmem/cache   # and again
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::{self, DaxFile};
use cachemaint_store::{Attributes, Error as StoreError, ErrorKind as StoreErrorKind, Store};
use std::collections::BTreeMap;
use std::error::Error;

const PAGE: usize = 16 << 10;
const FILE: u64 = 8 << 20;
/// The number of pages used in a run.
const PAGES: u64 = 100;
/// The number of pages put at a time.
const BATCH: usize = 25;

/// Reads a page from the database by its number and version, which takes a long time.
fn read_from_database(number: u64, version: u64) -> Vec<u8> {
    let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version;
    word.to_le_bytes().repeat(PAGE / 8)
}

/// Returns the version of a page in the database: every tenth one changes from run to run.
fn current_version(number: u64, run: u64) -> u64 {
    if number.is_multiple_of(10) { run } else { 0 }
}

type Failure = StoreError<dax::Error>;

/// Returns the part of the cache that is still valid: intact pages with the version in the database.
fn warm(store: &Store<DaxFile>, run: u64) -> Result<BTreeMap<u64, Vec<u8>>, Failure> {
    let mut pages = BTreeMap::new();
    for info in store.list() {
        let number = &info.name.strip_prefix("page/").and_then(|text| text.parse().ok());
        let Some(number) = number.filter(|number| current_version(*number, run) == info.version)
        else {
            continue;
        };
        match store.load(&info.name) {
            Ok(page) => drop(pages.insert(number, page)),
            Err(error) => match error.kind() {
                StoreErrorKind::Damaged(damage) => {
                    println!("page {number} is read again: {damage}");
                }
                _ => return Err(error),
            },
        }
    }
    Ok(pages)
}

/// Keeps pages for the next run.
fn keep(store: &mut Store<DaxFile>, pages: &[(u64, Vec<u8>)], run: u64) -> Result<(), Failure> {
    let mut transaction = store.begin()?;
    for (number, page) in pages {
        let name = format!("page/{number}");
        let attributes = Attributes::new(&name).version(current_version(*number, run));
        transaction.put(attributes, page)?;
    }
    transaction.commit()?;
    Ok(())
}

fn open(path: &str) -> Result<Store<DaxFile>, Box<dyn Error>> {
    let options = dax::Options::new().allow_page_granularity();
    let file = options.open_or_create(path, FILE)?;
    Ok(Store::open_or_create(file)?.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: page_cache FILE")?;
    let mut store = open(&path)?;
    let run = store.commit_number();
    let cache = warm(&store, run)?;
    let read = |number| (number, read_from_database(number, current_version(number, run)));
    let missed: Vec<_> =
        (0..PAGES).filter(|number| !cache.contains_key(number)).map(read).collect();
    for pages in missed.chunks(BATCH) {
        keep(&mut store, pages, run)?;
    }
    println!("{} of {PAGES} pages were there, {} had to be read", cache.len(), missed.len());
    Ok(())
}
