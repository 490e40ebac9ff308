//! Files without a log, in which one can be created only if they hold nothing else.

#[cfg(not(target_os = "linux"))]
use cachemaint::dax::DaxView;
use cachemaint::dax::Error;
#[cfg(target_os = "linux")]
use cachemaint::dax::PreadFile;
use cachemaint::medium::Readable;
use std::fs::File;

/// Returns true if a file without a log has other bytes than zeros, outside of the ranges that a creation writes: one
/// that was cut off can have left its bytes there. A log must not replace other data that begin with zeros, as many
/// images of disks do.
///
/// The ranges, each from its start to its end, are in ascending order. Everything else is read, and by calls where there are
/// any: in a mapping each page of a hole takes memory, in a tmpfs also space of the file system.
pub(super) fn has_other_data(
    medium: &impl Readable<Error = Error>,
    file: &File,
    created: &[[u64; 2]],
) -> Result<bool, Error> {
    match by_calls(file) {
        Some(file) => has_data(&file, created),
        None => has_data(medium, created),
    }
}

/// Returns the file for reading by calls. A device of device DAX has none.
#[cfg(target_os = "linux")]
fn by_calls(file: &File) -> Option<PreadFile> {
    PreadFile::new(file.try_clone().ok()?, 0).ok()
}

#[cfg(not(target_os = "linux"))]
const fn by_calls(_: &File) -> Option<DaxView> {
    None
}

fn has_data(from: &impl Readable<Error = Error>, created: &[[u64; 2]]) -> Result<bool, Error> {
    let mut bytes = vec![0; 1 << 16];
    let mut at = 0;
    for [start, end] in created.iter().copied().chain([[from.len(); 2]]) {
        while at < start.min(from.len()) {
            let left = start.min(from.len()) - at;
            let piece = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let piece = &mut bytes[..piece];
            from.read(at, piece)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            at += piece.len() as u64;
        }
        at = end;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::has_other_data;
    use cachemaint::dax::Options;
    use std::fs::File;

    #[test]
    fn a_byte_behind_a_hole_is_found_unless_a_creation_writes_there() {
        const LEN: u64 = 1 << 20;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        File::create_new(&path).unwrap().set_len(LEN).unwrap();
        let file = Options::new().allow_page_granularity().open(&path).unwrap();
        let found = |created: &[[u64; 2]]| has_other_data(&file, file.file(), created).unwrap();
        assert!(!found(&[]));
        file.write(LEN - 8, &[0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(found(&[]) && found(&[[0, 64], [LEN - 64, LEN - 1]]));
        assert!(!found(&[[0, 64], [LEN - 1, LEN]]));
    }
}
