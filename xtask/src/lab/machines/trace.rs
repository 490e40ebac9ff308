//! The trace of a program of which each event has a number and a second field that follows from it: its packets, and
//! the events as babeltrace2 prints them, or as they are in memory.

use core::ops::Range;
use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

/// The magic number of a packet, 0xc1fc1fc1, little-endian, and the bytes of the UUID after it.
const MAGIC: [u8; 4] = [0xc1, 0x1f, 0xfc, 0xc1];
const UUID: usize = 16;

/// Returns the number of an event as babeltrace2 prints it; the event must be whole.
pub(super) fn event(line: &str) -> Result<u64> {
    let field = |name: &str| -> Option<u64> {
        let (_, value) = line.split_once(name)?;
        value.split([' ', ',']).next()?.parse().ok()
    };
    let (number, check) = field("number = ")
        .zip(field("check = "))
        .with_context(|| format!("babeltrace2 printed {line:?}"))?;
    ensure!(check == check_of(number), "event {number} is torn: {line:?}");
    Ok(number)
}

/// Returns the numbers of the events whose fields are anywhere in these bytes.
pub(super) fn stored_events(bytes: &[u8]) -> BTreeSet<u64> {
    let field = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let fields = bytes.windows(16).map(|both| (field(&both[..8]), field(&both[8..])));
    fields.filter(|(number, check)| *check == check_of(*number)).map(|(number, _)| number).collect()
}

/// Returns the other field of an event, which says nothing about shifted bytes (`tests/lab/tracer/traced.c`).
fn check_of(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Returns the packets of a stream. Each begins with the magic number and the trace's UUID, in that order
/// (CTF 1.8.3, 5.1). A torn packet can state a length that it does not have.
pub(super) fn packets(stream: &[u8]) -> Vec<Range<usize>> {
    let is_magic = |at: &usize| stream[*at..].starts_with(&MAGIC);
    let first =
        (0..stream.len()).find(is_magic).and_then(|at| stream.get(at..at + MAGIC.len() + UUID));
    let Some(first) = first else { return Vec::new() };
    let starts: Vec<usize> =
        (0..stream.len()).filter(|at| stream[*at..].starts_with(first)).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts.iter().zip(ends).map(|(start, end)| *start..end).collect()
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, check_of, event, packets, stored_events};

    fn line(number: u64, check: u64) -> String {
        format!(
            "[11:48:37.747502157] (+?.?????????) vm lab:event: {{ cpu_id = 0 }}, \
             {{ number = {number}, check = {check} }}"
        )
    }

    #[test]
    fn an_event_is_read_by_its_fields() {
        assert_eq!(event(&line(3, check_of(3))).unwrap(), 3);
    }

    #[test]
    fn packets_begin_with_their_magic_number_and_the_same_uuid() {
        let packet = |uuid: u8, len| [&MAGIC[..], &[uuid; 16], &vec![9; len]].concat();
        let stream = [packet(1, 7), packet(2, 0), packet(1, 3)].concat();
        assert_eq!(packets(&stream), [0..47, 47..70]);
        assert!(packets(&[0; 100]).is_empty() && packets(&MAGIC).is_empty());
    }

    #[test]
    fn stored_events_are_found_at_any_place() {
        let fields = |number: u64| [number, check_of(number)].map(u64::to_le_bytes);
        let [one, seven] = [1, 7].map(|number| fields(number).concat());
        let torn = [&seven[..8], &one[8..]].concat();
        let bytes = [&[0; 21], &one[..], &torn, &[3], &seven].concat();
        assert!(stored_events(&bytes).into_iter().eq([1, 7]));
    }

    #[test]
    fn a_torn_or_unknown_line_is_an_error() {
        assert!(event(&line(3, check_of(4))).is_err());
        assert!(event("[warning] Tracer discarded 3 events").is_err());
    }
}
