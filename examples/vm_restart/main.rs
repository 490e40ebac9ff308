//! A virtual machine that resumes after a restart of its monitor, a kexec of the host, or a reboot, without copying its
//! memory.
//!
//! The machine is a toy: a counter in its registers, and words in its RAM that each step increments. The program treats
//! them as a real monitor treats its guest's vCPUs and RAM. The RAM is a region of the store, aligned for huge pages,
//! which the guest uses in place. The registers are a blob, put when the guest is stopped. Then the store is sealed,
//! which writes the RAM back. The next start checks that the RAM is not dirty, and that the registers were put after
//! its last use, so that both are from the same moment. Otherwise the guest was interrupted, and boots again.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example vm_restart -- /mnt/pmem/machine   # and again, after any restart
//! cargo run -p cachemaint-examples --example vm_restart -- FILE 1024           # with 1024 MiB of RAM
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]

use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint_store::{Attributes, Error as StoreError, Info, Region, Store};
use std::error::Error;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// The size of the machine's RAM, if the command line has none.
const RAM: u64 = 4 << 20;
/// The rest of the file, for alignment, registers and tables.
const OTHERS: u64 = 4 << 20;
/// The version of the state's layout.
const LAYOUT: u64 = 1;
/// The alignment that lets huge pages map the RAM.
const HUGE_PAGE: u64 = 2 << 20;

/// A machine that counts.
struct Machine {
    steps: u64,
    ram: Region<DaxFile>,
}

impl Machine {
    /// Returns the machine as it was stopped. Boots it if it was not stopped, or has another layout.
    fn start(store: &mut Store<DaxFile>, ram: u64) -> Result<Self, StoreError<dax::Error>> {
        let ram = store.region_or_create(Attributes::new("ram").alignment(HUGE_PAGE), ram)?;
        let registers = match store.stat("registers") {
            Some(info) if info.version == LAYOUT && is_of_one_moment(ram.info(), &info) => {
                Some(store.load("registers")?)
            }
            _ => None,
        };
        match registers.as_ref().and_then(|bytes| bytes.first_chunk()) {
            Some(steps) => Ok(Self { steps: u64::from_le_bytes(*steps), ram }),
            None => Ok(Self::boot(ram)),
        }
    }

    fn boot(ram: Region<DaxFile>) -> Self {
        for page in (0..ram.len()).step_by(4096) {
            ram.write(page, &[0; 4096]);
        }
        Self { steps: 0, ram }
    }

    fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.steps += 1;
            let place = self.steps * 8191 % (self.ram.len() / 8) * 8;
            self.ram.store(place, self.ram.load(place, Relaxed) + 1, Relaxed);
        }
    }

    /// Stops the machine. Its RAM is not copied: the seal writes back what is still in the caches.
    fn stop(self, store: &mut Store<DaxFile>) -> Result<(), StoreError<dax::Error>> {
        let mut transaction = store.begin()?;
        let registers = Attributes::new("registers").version(LAYOUT);
        transaction.put(registers, &self.steps.to_le_bytes())?;
        transaction.commit()?;
        drop(self.ram);
        store.seal()?;
        Ok(())
    }

    /// Returns true if the sum of the RAM is the number of steps: each step has added one to a word.
    fn is_consistent(&self) -> bool {
        let words = (0..self.ram.len()).step_by(8);
        words.map(|at| self.ram.load(at, Relaxed)).sum::<u64>() == self.steps
    }
}

/// Returns true if the registers were put after the last use of the RAM, and the RAM was then sealed.
fn is_of_one_moment(ram: &Info, registers: &Info) -> bool {
    !ram.is_dirty && registers.commit > ram.commit
}

/// Opens the store, or creates one with space for the RAM.
fn open(path: &str, ram: u64) -> Result<Store<DaxFile>, Box<dyn Error>> {
    let options = dax::Options::new().allow_page_granularity();
    let file = options.open_or_create(path, ram + OTHERS)?;
    Ok(Store::open_or_create(file)?.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: vm_restart FILE [MIB]")?;
    let ram = match std::env::args().nth(2) {
        Some(mib) => mib.parse::<u64>()? << 20,
        None => RAM,
    };
    run(&path, ram)
}

/// Starts the machine with `ram` bytes of RAM, and stops it again.
pub(crate) fn run(path: &str, ram: u64) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut store = open(path, ram)?;
    let mut machine = Machine::start(&mut store, ram)?;
    let ready = start.elapsed();
    if let Some(verdict) = cachemaint_boots::renew(&mut store, "started")? {
        println!("since the last time: {}", verdict.origin);
    }
    match machine.steps {
        0 => println!("booted after {ready:?}"),
        steps => println!("resumed after {ready:?}, at step {steps}"),
    }
    // A device that knows the address could continue. Not every medium has one, and Linux shows it only to root.
    if let Ok(Some(address)) =
        cachemaint_boots::placement(&machine.ram).map(|placement| placement.extents[0].physical)
    {
        println!("its RAM begins at {address:#x}");
    }
    assert!(machine.is_consistent(), "registers and RAM are not of one moment");
    machine.run(1000);
    let steps = machine.steps;
    machine.stop(&mut store)?;
    println!("stopped after {steps} steps; restart, kexec or reboot, and run it again");
    Ok(())
}
