#![doc = include_str!("../README.md")]
#![expect(unsafe_code, reason = "the machine reads and writes memory of the driver, as caches do")]

mod explore;
mod line;
mod machine;
mod memory;
mod site;
mod state;
mod story;

pub use explore::{Explored, Failure, Seed, explore, try_explore};
pub use machine::{Bus, Cpu, Machine};
