//! The library half of the command: the measuring code that `cachemaint bench` and the criterion
//! benchmarks share.

pub mod measure;
