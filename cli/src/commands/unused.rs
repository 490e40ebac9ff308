//! Files without a log, in which one can be created only if they hold nothing else.

use cachemaint::dax::{DaxView, Error};
use core::ops::Range;
use std::fs::File;

/// Returns true if a file without a log has other bytes than zeros, outside of the ranges that a creation writes: one
/// that was cut off can have left its bytes there. A log must not replace other data that begin with zeros, as many
/// images of disks do.
///
/// The ranges, each from its start to its end, are in ascending order. Holes are not read: in a mapping each page of a hole
/// takes memory, in a tmpfs also space of the file system.
pub(super) fn has_other_data(file: &DaxView, created: &[[u64; 2]]) -> Result<bool, Error> {
    let mut bytes = vec![0; 1 << 16];
    let mut at = 0;
    for [start, end] in created.iter().copied().chain([[file.len(); 2]]) {
        let (start, end) = (start.min(file.len()), end.min(file.len()));
        while let Some(data) = first_data(file.file(), at..start) {
            let len = data.end - data.start;
            let len = bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            let piece = &mut bytes[..len];
            file.read(data.start, piece)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            at = data.start + len as u64;
        }
        at = end;
    }
    Ok(false)
}

/// Returns the first bytes of a range that are not in a hole.
#[cfg(target_os = "linux")]
fn first_data(file: &File, range: Range<u64>) -> Option<Range<u64>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    let start = match seek(file, SeekFrom::Data(range.start)) {
        // Device DAX returns 0 for any offset.
        Ok(start) => start.max(range.start),
        Err(Errno::NXIO) => range.end,
        // Without an answer all bytes can be data.
        Err(_) => range.start,
    };
    let hole = seek(file, SeekFrom::Hole(start)).ok().filter(|hole| *hole > start);
    let data = start..hole.map_or(range.end, |hole| hole.min(range.end));
    (!data.is_empty()).then_some(data)
}

/// Returns all bytes of a range: holes are not known here.
#[cfg(not(target_os = "linux"))]
fn first_data(_: &File, range: Range<u64>) -> Option<Range<u64>> {
    (!range.is_empty()).then_some(range)
}
