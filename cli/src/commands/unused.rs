//! Files without a log, in which one can be created only if they hold nothing else.

use cachemaint::medium::Readable;

/// Returns true if a file without a log has other bytes than zeros, outside of the ranges that a creation writes: one
/// that was cut off can have left its bytes there. A log must not replace other data that begin with zeros, as many
/// images of disks do.
///
/// The ranges, each from its start to its end, are in ascending order.
pub(super) fn has_other_data<M: Readable>(
    file: &M,
    created: &[[u64; 2]],
) -> Result<bool, M::Error> {
    let mut bytes = vec![0; 1 << 16];
    let mut at = 0;
    for [start, end] in created.iter().copied().chain([[file.len(); 2]]) {
        let (start, end) = (start.min(file.len()), end.min(file.len()));
        while at < start {
            let len = bytes.len().min(usize::try_from(start - at).unwrap_or(usize::MAX));
            let piece = &mut bytes[..len];
            file.read(at, piece)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            at += len as u64;
        }
        at = end;
    }
    Ok(false)
}
