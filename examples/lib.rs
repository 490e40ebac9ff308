//! The examples' structures that are written against a medium, so that the simulator can crash them, and the chapters
//! of the guide, so that their code is compiled.

#![expect(non_ascii_idents, reason = "those that zerocopy derives")]
#![expect(clippy::missing_errors_doc, reason = "each returns the error of its medium")]

#[path = "counter/counter.rs"]
pub mod counter;
#[path = "hash_table/table.rs"]
pub mod hash_table;
#[path = "slots/slots.rs"]
pub mod slots;

#[cfg(doctest)]
mod guide;
