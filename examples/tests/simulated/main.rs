//! The structures of the examples in the simulator: no crash loses what they promise to keep.

mod counter;
mod hash_table;
mod slots;
