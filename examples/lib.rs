//! The examples' structures that are written against a medium, so that the simulator can crash them, and the chapters
//! of the guide, so that their code is compiled.

#![expect(non_ascii_idents, reason = "those that zerocopy derives")]
#![expect(clippy::missing_errors_doc, reason = "each returns the error of its medium")]

#[path = "counter/counter.rs"]
pub mod counter;
// As an example with tests it would be compiled only as a test, and the test that kills the program would have none.
#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
#[path = "guest_memory/guest.rs"]
#[expect(dead_code, reason = "the example shows the guarantee")]
mod guest_memory;
#[path = "hash_table/table.rs"]
pub mod hash_table;
#[path = "slots/slots.rs"]
pub mod slots;

#[cfg(doctest)]
mod guide;
