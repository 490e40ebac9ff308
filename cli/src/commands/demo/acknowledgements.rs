//! The pipe in which the writing process acknowledges its records.

use anyhow::{Context, ensure};
use std::io::BufRead;

/// The writer's report: the number of acknowledged records and the time that each append took, in
/// nanoseconds.
#[derive(Default)]
pub(super) struct Acknowledged {
    pub(super) times: Vec<u64>,
}

/// Takes one whole acknowledgement; one that the kill cut off does not count.
pub(super) fn take_one(
    reader: &mut impl BufRead,
    acknowledged: &mut Acknowledged,
) -> anyhow::Result<bool> {
    let mut bytes = [0; ACKNOWLEDGEMENT];
    match reader.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error).context("the writing process's output cannot be read"),
    }
    let (number, time) = decode(bytes);
    let expected = acknowledged.times.len() as u64;
    ensure!(number == expected, "record {number} was acknowledged instead of {expected}");
    acknowledged.times.push(time);
    Ok(true)
}

/// Bytes of an acknowledgement in the pipe: the record's number and the nanoseconds it took.
const ACKNOWLEDGEMENT: usize = 16;

pub(super) fn encode(number: u64, nanoseconds: u64) -> [u8; ACKNOWLEDGEMENT] {
    let mut bytes = [0; ACKNOWLEDGEMENT];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&number.to_le_bytes());
    second.copy_from_slice(&nanoseconds.to_le_bytes());
    bytes
}

fn decode(bytes: [u8; ACKNOWLEDGEMENT]) -> (u64, u64) {
    let (words, _) = bytes.as_chunks::<8>();
    (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]))
}

#[cfg(test)]
mod tests {
    use super::{Acknowledged, decode, encode, take_one};

    #[test]
    fn an_acknowledgement_that_was_cut_off_is_none() {
        let mut pipe = [encode(0, 170), encode(1, 180)].concat();
        pipe.truncate(20);
        let mut acknowledged = Acknowledged::default();
        let mut reader = pipe.as_slice();
        assert!(take_one(&mut reader, &mut acknowledged).unwrap());
        assert!(!take_one(&mut reader, &mut acknowledged).unwrap());
        assert_eq!(acknowledged.times, [170]);
        assert_eq!(decode(encode(7, 9)), (7, 9));
    }

    #[test]
    fn acknowledgements_out_of_order_are_an_error() {
        let mut acknowledged = Acknowledged::default();
        assert!(take_one(&mut encode(1, 170).as_slice(), &mut acknowledged).is_err());
    }
}
