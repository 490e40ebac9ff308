//! A virtual machine that resumes after a restart of its monitor, a kexec of the host or a reboot.
//!
//! The machine is a toy: a counter in its registers, and bytes in its RAM that each step increments. The program treats
//! them as a real monitor treats its guest's vCPUs and RAM. It puts both in one transaction, so that they belong
//! together after any crash, at an alignment at which RAM can be mapped. It seals the store before a planned restart.
//! On resuming it verifies the state, and takes it only if its layout is known.
//!
//! ```sh
//! cargo run --example vm_restart --features preserve -- /mnt/pmem/machine   # and again, after any restart
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::{self, DaxFile};
use cachemaint::preserve::{Attributes, Error as StoreError, Store};
use std::error::Error;

/// The size of the machine's RAM.
const RAM: usize = 4 << 20;
/// The size of the file: it has space for the state, for the state that replaces it, and for tables.
const FILE: u64 = 4 * RAM as u64;
/// The version of the state's layout: another number is another layout.
const LAYOUT: u64 = 1;
/// The alignment at which huge pages can map the RAM in place.
const HUGE_PAGE: u64 = 2 << 20;

/// A machine that counts.
struct Machine {
    steps: u64,
    ram: Vec<u8>,
}

impl Machine {
    fn boot() -> Self {
        Self { steps: 0, ram: vec![0; RAM] }
    }

    /// Returns the preserved machine, if there is one with a known layout.
    fn resume(store: &Store<DaxFile>) -> Result<Option<Self>, StoreError<dax::Error>> {
        let reader = store.reader();
        let registers = match reader.stat("registers")? {
            Some(info) if info.version == LAYOUT => reader.load("registers")?,
            _ => return Ok(None),
        };
        let ram = reader.load("ram")?;
        let steps = registers.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok(Some(Self { steps, ram }))
    }

    fn preserve(&self, store: &mut Store<DaxFile>) -> Result<(), StoreError<dax::Error>> {
        let mut transaction = store.begin()?;
        let registers = Attributes::new("registers").version(LAYOUT);
        transaction.put(registers, &self.steps.to_le_bytes())?;
        let ram = Attributes::new("ram").version(LAYOUT).alignment(HUGE_PAGE);
        transaction.put(ram, &self.ram)?;
        transaction.commit()?;
        store.seal()?;
        Ok(())
    }

    fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.steps += 1;
            let place = usize::try_from(self.steps * 8191 % RAM as u64).unwrap_or_default();
            self.ram[place] = self.ram[place].wrapping_add(1);
        }
    }

    /// Returns true if the sum of the RAM is the number of steps: each step has added one to a byte.
    fn is_consistent(&self) -> bool {
        self.ram.iter().map(|byte| u64::from(*byte)).sum::<u64>() == self.steps
    }
}

fn open(path: &str) -> Result<Store<DaxFile>, Box<dyn Error>> {
    let options = dax::Options::new().allow_page_granularity();
    let file = options.open_or_create(path, FILE)?;
    let (store, opened) = Store::open_or_create(file)?;
    if let Some(opened) = opened {
        println!("since the last time: {}", opened.verdict.origin);
    }
    Ok(store)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: vm_restart FILE")?;
    let mut store = open(&path)?;
    let resumed = Machine::resume(&store)?;
    match &resumed {
        Some(Machine { steps, .. }) => println!("resumed after {steps} steps"),
        None => println!("booted"),
    }
    let mut machine = resumed.unwrap_or_else(Machine::boot);
    assert!(machine.is_consistent(), "registers and RAM are not of one moment");
    machine.run(1000);
    machine.preserve(&mut store)?;
    println!("preserved after {} steps; restart, kexec or reboot, and run it again", machine.steps);
    Ok(())
}
