//! Media errors under a file: the bytes that are known to be bad, reads that return an error instead of ending the
//! process, and clearing.
//!
//! | module | task |
//! |---|---|
//! | `bad_blocks` | the kernel's list for the device, as bytes of a mapping |
//! | `checked` | reads by calls, and narrows down the bytes that cannot be read |
//! | `clear` | releases bad blocks, so that the device can be asked to replace them |
//!
//! All decisions are pure functions over lists, extents and calls that can fail. The tests replace these by models in
//! which the answer can be worked out by hand.

mod bad_blocks;
mod checked;
mod clear;

pub(super) use checked::{Unread, read};
