//! Media errors under a file: which bytes are known to be bad, reads that find out instead of dying, and
//! clearing.
//!
//! | room | what it does |
//! |---|---|
//! | `bad_blocks` | the kernel's list for the device, as bytes of a mapping |
//! | `checked` | reads by calls, and narrows down what cannot be read |
//! | `clear` | gives bad blocks up, so that the device can be told to replace them |
//!
//! What is decided is decided by pure functions over lists, extents and calls that can fail; the tests
//! replace these by models in which the answer can be worked out by hand.

mod bad_blocks;
mod checked;
mod clear;

pub(super) use checked::{Unread, read};
