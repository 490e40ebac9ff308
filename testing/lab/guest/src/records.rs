//! Records that can be checked: number, seed, a payload that depends on both, and a checksum.

use anyhow::{Context as _, Result};
use cachemaint::dax::{DaxFile, Options};
use cachemaint_lab_protocol::{Found, Part, Persisted, Records};
use lose_lines_agent::Reply;
use std::fs;
use std::os::unix::fs::FileExt as _;

/// The size of a record in bytes: a cache line of most machines.
const RECORD: usize = 64;
/// The maximum number of damaged records that are named.
const NAMED: usize = 8;

/// Returns the record with a number. No byte pattern repeats, and no record is all zeros.
pub(crate) fn record(seed: u64, number: u64) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    let mut word = (seed ^ (number + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for place in bytes.chunks_exact_mut(8) {
        place.copy_from_slice(&word.to_le_bytes());
        word = word.rotate_left(9).wrapping_add(number);
    }
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&seed.to_le_bytes());
    let (content, checksum) = bytes.split_at_mut(RECORD - 4);
    checksum.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    bytes
}

/// Returns the number of a record, without checking the record.
pub(crate) fn number_of(record: &[u8]) -> Result<u64> {
    let number = record.first_chunk().context("it is too short for a record")?;
    Ok(u64::from_le_bytes(*number))
}

const fn place(number: u64) -> u64 {
    number * RECORD as u64
}

fn options(records: &Records) -> Options {
    let options = Options::new();
    if records.allow_pages { options.allow_page_granularity() } else { options }
}

fn create(records: &Records) -> Result<DaxFile> {
    Ok(options(records).create_new(&records.path, place(records.count))?)
}

/// Creates the file and persists all records in it.
pub(crate) fn persist(records: &Records) -> Result<Persisted> {
    persist_in(&create(records)?, records)
}

/// Opens a part of a device and persists all records in it.
pub(crate) fn persist_on_device(records: &Records, part: Part) -> Result<Persisted> {
    persist_in(&open_part(records, part)?, records)
}

fn open_part(records: &Records, part: Part) -> Result<DaxFile> {
    let options = options(records).offset(part.offset);
    let options = part.len.map_or(options.clone(), |len| options.len(len));
    Ok(options.open(&records.path)?)
}

fn persist_in(file: &DaxFile, records: &Records) -> Result<Persisted> {
    for number in 0..records.count {
        file.persist_copy(&[(place(number), &record(records.seed, number))])?;
    }
    Ok(Persisted {
        granularity: file.granularity().to_string(),
        reason: cachemaint_inspect::FileReport::of(file.view())?.reason,
        flags: flags(file.as_ptr(0).addr())?,
    })
}

/// Creates the file and persists its records. Reports each when it is persistent, and then waits for the machine's end.
pub(crate) fn persist_forever(
    records: &Records,
    mut tell: impl FnMut(u64) -> Result<()>,
) -> Result<Reply> {
    let file = create(records)?;
    for number in 0..records.count {
        file.persist_copy(&[(place(number), &record(records.seed, number))])?;
        tell(number + 1)?;
    }
    Ok(Reply::Done)
}

/// Looks for the records through a mapping and through read(2), which must agree.
pub(crate) fn verify(records: &Records) -> Result<Found> {
    let mapped = options(records).open(&records.path)?;
    let plain =
        fs::File::open(&records.path).with_context(|| format!("cannot open {}", records.path))?;
    find(records, |number, expected| {
        let (mut through_mapping, mut through_read) = ([0; RECORD], [0; RECORD]);
        mapped.read(place(number), &mut through_mapping)?;
        plain
            .read_exact_at(&mut through_read, place(number))
            .with_context(|| format!("cannot read record {number} of {}", records.path))?;
        Ok(through_mapping == *expected && through_read == *expected)
    })
}

/// Looks for the records on a device, which no system call can read.
pub(crate) fn verify_on_device(records: &Records, part: Part) -> Result<Found> {
    let device = open_part(records, part)?;
    let mut bytes = [0; RECORD];
    find(records, |number, expected| {
        device.read(place(number), &mut bytes)?;
        Ok(bytes == *expected)
    })
}

/// Stores to a file or a device, and persists it down to the medium's own buffers.
pub(crate) fn deep_persist(path: &str) -> Result<Reply> {
    // On a CPU, a write-back of an unmapped page is a page fault. In an emulator it does nothing.
    let file = Options::new().allow_page_granularity().populate().open(path)?;
    let mut last = [0; RECORD];
    let at = file.len() - RECORD as u64;
    file.read(at, &mut last)?;
    file.write(at, &last);
    file.deep_persist(0..file.len())?;
    Ok(Reply::Done)
}

/// Counts the records that `is_there` finds.
fn find(
    records: &Records,
    mut is_there: impl FnMut(u64, &[u8; RECORD]) -> Result<bool>,
) -> Result<Found> {
    let mut damaged = Vec::new();
    for number in 0..records.count {
        if !is_there(number, &record(records.seed, number))? {
            damaged.push(number);
        }
    }
    let intact = records.count - damaged.len() as u64;
    damaged.truncate(NAMED);
    Ok(Found { intact, damaged })
}

/// Returns the kernel's flags of the mapping at an address.
fn flags(address: usize) -> Result<String> {
    let smaps = fs::read_to_string("/proc/self/smaps").context("cannot read /proc/self/smaps")?;
    let start = format!("{address:x}-");
    smaps
        .lines()
        .skip_while(|line| !line.starts_with(&start))
        .find_map(|line| line.strip_prefix("VmFlags:"))
        .map(|flags| flags.trim().to_string())
        .with_context(|| format!("/proc/self/smaps shows no mapping at {address:#x}"))
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn records_differ_by_number_and_seed() {
        assert_ne!(record(1, 0), record(1, 1));
        assert_ne!(record(1, 0), record(2, 0));
        // Records with exchanged seed and number must differ even in their checksums.
        assert_ne!(record(5, 9)[60..], record(9, 5)[60..]);
    }
}
