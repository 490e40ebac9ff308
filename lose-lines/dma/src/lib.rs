//! Finds missing cache maintenance for DMA in an unmodified image, which runs in an emulator whose plugin has a cache
//! that devices do not see (`lose-lines/plugin/library/dma`). This is the subcommand `dma` of `lose-lines`.

#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::must_use_candidate,
    reason = "lose-lines is its user"
)]

mod arguments;
mod image;
mod report;
mod symbols;
mod tree;

pub use arguments::Watching;
pub use image::DmaTest;
pub use report::Report;
