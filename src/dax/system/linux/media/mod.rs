//! Media errors under a file: the bytes that are known to be bad, and reads that return an error instead of ending
//! the process.
//!
//! | module | task |
//! |---|---|
//! | `bad_blocks` | the kernel's list for the device, as bytes of a mapping |
//! | `checked` | reads by calls, and narrows down the bytes that cannot be read |
//!
//! All decisions are pure functions over lists, extents and calls that can fail. The tests replace these by models in
//! which the answer can be worked out by hand.

mod bad_blocks;
mod checked;

pub(in crate::dax) use checked::{Unread, read};
