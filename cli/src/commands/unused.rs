//! Files without a log, in which one can be created only if they hold nothing else.

use cachemaint::dax::Error;
use cachemaint::medium::Readable;
use core::ops::Range;
use std::fs::File;

/// Returns true if a file without a log has other bytes than zeros, outside of the ranges that a creation writes: one
/// that was cut off can have left its bytes there. A log must not replace other data that begin with zeros, as many
/// images of disks do.
///
/// The ranges, each from its start to its end, are in ascending order. Holes are not read: in a mapping each page of a hole
/// takes memory, in a tmpfs also space of the file system.
pub(super) fn has_other_data(
    medium: &impl Readable<Error = Error>,
    file: &File,
    created: &[[u64; 2]],
) -> Result<bool, Error> {
    let mut bytes = vec![0; 1 << 16];
    let mut at = 0;
    for [start, end] in created.iter().copied().chain([[medium.len(); 2]]) {
        let (start, end) = (start.min(medium.len()), end.min(medium.len()));
        while let Some(data) = first_data(file, at..start) {
            at = data.end;
            if !is_zeros(medium, data, &mut bytes)? {
                return Ok(true);
            }
        }
        at = end;
    }
    Ok(false)
}

/// Returns true if a range has only zeros. It is read in pieces of the buffer's size.
fn is_zeros(
    medium: &impl Readable<Error = Error>,
    range: Range<u64>,
    buffer: &mut [u8],
) -> Result<bool, Error> {
    let Range { start: mut at, end } = range;
    while at < end {
        let len = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let piece = &mut buffer[..len];
        medium.read(at, piece)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

/// Returns the first bytes of a range that are not in a hole. A tmpfs finds their end page by page, so the caller reads all
/// of them before the next call.
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

// Systems of 32 bits seek by another call.
#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
mod tests {
    use super::has_other_data;
    use crate::killed::{Call, note_system_calls};
    use cachemaint::dax::Options;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    /// A tmpfs finds the end of data page by page.
    #[test]
    fn the_end_of_data_is_sought_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, vec![0; 1 << 20]).unwrap();
        let own = fs::metadata(&path).map(|own| (own.dev(), own.ino())).ok();
        // A child does not inherit the mapping.
        let search = || {
            let file = Options::new().allow_page_granularity().open(&path)?;
            has_other_data(&file, file.file(), &[]).map(drop)
        };
        let is_seek = |call: Call| call.number == libc::SYS_lseek && call.file == own;
        let mut seeks = 0;
        let test = "the_end_of_data_is_sought_once";
        let noted = note_system_calls(test, search, |call| {
            seeks += usize::from(is_seek(call));
        });
        // The start of the data, their end, and the next data. The file has 16 pieces.
        assert!(!noted || (1..8).contains(&seeks), "{seeks}");
    }
}
