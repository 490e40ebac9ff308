//! The files behind the bytes of a medium.

use std::path::Path;

use lose_lines_agent::Extent;
use lose_lines_machine::pmem::DIRECTORY;

/// Returns the file that owns a byte of a medium, and the offset in it.
pub(crate) fn owner(extents: &[Extent], at: u64) -> Option<(String, u64)> {
    let is_in = |extent: &&Extent| (extent.start..extent.start + extent.len).contains(&at);
    let extent = extents.iter().find(is_in)?;
    let path = Path::new(&extent.path);
    let name = path.strip_prefix(DIRECTORY).unwrap_or(path).display().to_string();
    Some((name, extent.offset + (at - extent.start)))
}
