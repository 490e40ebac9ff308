//! A hash table that survives crashes, written as in a crate that depends on this one, and the simulation that shows
//! that it does.
//!
//! Without arguments, the program explores a variant with a mistake and prints its failure, then the correct table
//! under three models: every crash of a fixed sequence of operations, and generated histories. With arguments, it uses
//! the same table in a file. Its tests are in `examples/tests/simulated/hash_table.rs`.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example hash_table
//! cargo run -p cachemaint-examples --example hash_table -- /mnt/pmem/table 1 100
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

mod histories;

use cachemaint::dax::Options;
use cachemaint_examples::hash_table::Table;
use cachemaint_sim::{Exploration, Failure, Model, SimMedium, Simulation, Violation};
use std::error::Error;

/// The length of a new file: some 40000 slots.
const LEN: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => simulate(),
        [path, key, value] => insert(path, key.parse()?, value.parse()?),
        _ => Err("usage: hash_table [FILE KEY VALUE]".into()),
    }
}

/// Returns the failure of the variant with the mistake.
fn planted() -> Result<Box<Failure>, Box<dyn Error>> {
    let planted = explore(Model::X86, |medium| Ok(Table::open(medium)?.saving_a_fence()));
    Ok(planted.failure.ok_or("the mistake was not found")?)
}

fn simulate() -> Result<(), Box<dyn Error>> {
    println!("With one fence too few:\n\n{}\n", planted()?);
    let planted = histories::search(Model::X86, true);
    let failure = planted.failure.ok_or("no history has shown the mistake")?;
    println!("The shortest generated history that shows it:\n\n{failure}\n");
    println!("With all fences:\n");
    for model in [Model::X86, Model::ARM64, Model::NEUTRAL] {
        let right = explore(model, |medium| Ok(Table::open(medium)?));
        right.assert_safe();
        let histories = histories::search(model, false);
        histories.assert_safe();
        println!("{right}\n{histories}");
    }
    Ok(())
}

/// Explores the insertion of key 2 and the removal of key 1, in a table with key 1.
#[expect(clippy::expect_used, reason = "a workload that panics is a finding")]
fn explore(
    model: Model,
    open: impl Fn(&SimMedium) -> Result<Table<&SimMedium>, Violation>,
) -> Exploration {
    Simulation::new(model, 256)
        .zeros() // there is no table
        .prepared(|medium| {
            let mut table = open(medium).expect("a new table");
            table.insert(1, 100).expect("there is room");
        })
        .explore(
            |medium, done| {
                let mut table = open(medium).expect("a table");
                table.insert(2, 200).expect("there is room");
                done.add("2 is in");
                table.remove(1).expect("nothing fails here");
                done.add("1 is out");
            },
            |medium, done| {
                let table = open(medium)?;
                let found = [table.get(1), table.get(2)];
                let allowed: &[_] = match done {
                    [] => &[[Some(100), None], [Some(100), Some(200)]],
                    [_] => &[[Some(100), Some(200)], [None, Some(200)]],
                    _ => &[[None, Some(200)]],
                };
                Violation::unless(allowed.contains(&found), || format!("keys 1 and 2: {found:?}"))
            },
        )
}

fn insert(path: &str, key: u64, value: u64) -> Result<(), Box<dyn Error>> {
    let file = Options::new().allow_page_granularity().open_or_create(path, LEN)?;
    println!("granularity: {}", file.granularity());
    let mut table = Table::open(&file)?;
    match table.insert(key, value)? {
        Some(before) => println!("{key} was {before}"),
        None => println!("{key} is new"),
    }
    for (key, value) in table.entries() {
        println!("{key}: {value}");
    }
    Ok(())
}
