//! Power cuts of programs by their system calls: no machine, no root.
//!
//! One run of a program is recorded (`lose_lines_recorder`); `lose_lines_states` has the states that a cut could have left by
//! a file system's rules; each is built as a directory on this system and checked ([`trials`]).

pub mod check;
pub mod trials;
