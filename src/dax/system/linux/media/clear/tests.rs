use super::super::Unread;
use super::{Blocks, ClearStep, Failure, Job, Outcome, still_bad};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;
use rustix::io::Errno;
use std::io;

const BLOCK: u64 = 4096;

/// A file of blocks over a device. What is punched out is a hole until it is written; writing asks the
/// device to clear what is bad under it.
#[derive(Clone, Debug)]
struct Model {
    bytes: Vec<u8>,
    bad: Vec<Range<u64>>,
    holes: Vec<u64>,
    device: Device,
    /// The calls that change blocks, in their order.
    calls: Vec<(&'static str, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Clears,
    /// The write fails.
    Refuses,
    /// The second write fails.
    RefusesSecond,
    /// The write succeeds, and nothing is cleared.
    Lies,
    /// Zeros are allocated and not written.
    LeavesUnwritten,
    /// A sync fails.
    CannotSync,
    /// Nothing can be punched out.
    CannotPunch,
    /// Pages stay in the mapping.
    CannotUnmap,
    /// So they do, and the kernel keeps the blocks in its list.
    CannotUnmapListed,
    /// So they do, and the second write fails.
    CannotUnmapRefusesSecond,
}

struct Blocked(RefCell<Model>);

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

fn places(range: &Range<u64>) -> Range<usize> {
    place(range.start)..place(range.end)
}

impl Blocks for Blocked {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Unread> {
        let model = self.0.borrow();
        let end = at + into.len() as u64;
        let bad = model.bad.iter().find(|bad| bad.start < end && at < bad.end);
        let until = bad.map_or(end, |bad| bad.start.max(at));
        into.fill(0xee);
        into[..place(until - at)].copy_from_slice(&model.bytes[places(&(at..until))]);
        bad.map_or(Ok(()), |bad| Err(Unread::Poisoned(until..bad.end.min(end))))
    }

    fn punch(&self, range: &Range<u64>) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.calls.push(("punch", range.start));
        if model.device == Device::CannotPunch {
            return Err(Errno::OPNOTSUPP.into());
        }
        model.bytes[places(range)].fill(0);
        model.holes.push(range.start);
        Ok(())
    }

    fn write(&self, at: u64, from: &[u8]) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.calls.push(("write", at));
        let range = at..at + from.len() as u64;
        let is_second = model.calls.iter().filter(|(call, _)| *call == "write").count() == 2;
        match model.device {
            Device::Refuses => return Err(Errno::IO.into()),
            Device::RefusesSecond | Device::CannotUnmapRefusesSecond if is_second => {
                return Err(Errno::IO.into());
            }
            Device::Lies => {}
            _ => model.bad.retain(|bad| bad.end <= range.start || range.end <= bad.start),
        }
        if model.device != Device::LeavesUnwritten {
            model.holes.retain(|hole| *hole != at);
        }
        model.bytes[places(&range)].copy_from_slice(from);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.calls.push(("sync", 0));
        if model.device == Device::CannotSync { Err(Errno::IO.into()) } else { Ok(()) }
    }

    fn drop_pages(&self) -> io::Result<()> {
        match self.0.borrow().device {
            Device::CannotUnmap | Device::CannotUnmapListed | Device::CannotUnmapRefusesSecond => {
                Err(Errno::INVAL.into())
            }
            _ => Ok(()),
        }
    }

    fn is_written(&self, range: &Range<u64>) -> io::Result<bool> {
        Ok(!self.0.borrow().holes.contains(&range.start))
    }

    fn none_is_listed(&self, rewritten: &[Range<u64>]) -> Result<(), Failure> {
        match self.0.borrow().device {
            Device::CannotUnmapListed => Err(still_bad(&rewritten[0])),
            _ => Ok(()),
        }
    }
}

/// Returns a file of 10 blocks and 100 bytes, none of them zero.
fn file(bad: &[Range<u64>], device: Device) -> Model {
    let bytes = (0..10 * 4096 + 100).map(|at| u8::try_from(at % 251).unwrap() + 1).collect();
    Model { bytes, bad: bad.to_vec(), holes: Vec::new(), device, calls: Vec::new() }
}

fn clear(
    model: Model,
    range: Range<u64>,
    listed: &[Range<u64>],
) -> (Model, Outcome, Option<(Range<u64>, ClearStep)>) {
    let blocks = Blocked(RefCell::new(model));
    let mut outcome = Outcome::default();
    let done = Job { range, block: BLOCK, listed }.run(&blocks, &mut outcome);
    let failed = done.err().map(|Failure { block, step, .. }| (block, step));
    (blocks.0.into_inner(), outcome, failed)
}

const WHOLE: Range<u64> = 0..10 * BLOCK + 100;

/// Bytes 5000..5512 and 9000..9512 are bad, in blocks 1 and 2; so is the short last block's start.
#[test]
fn readable_bytes_are_kept_and_bad_ones_become_zeros() {
    let bad = [5000..5512, 9000..9512, 10 * BLOCK..10 * BLOCK + 50];
    let before = file(&bad, Device::Clears);
    let mut expected = before.bytes.clone();
    for bad in &bad {
        expected[places(bad)].fill(0);
    }
    let (after, outcome, failed) = clear(before, WHOLE, &[]);
    assert_eq!(failed, None);
    assert!(after.bytes == expected, "exactly these bytes are zeros, and the length is kept");
    assert_eq!(outcome.lost, bad);
    let calls = [("punch", 4096), ("write", 4096), ("punch", 8192), ("write", 8192)];
    assert_eq!(after.calls[..4], calls);
    assert_eq!(after.calls[4..], [("punch", 40960), ("write", 40960), ("sync", 0)]);
    assert!(after.holes.is_empty());
}

#[test]
fn a_good_file_is_left_alone() {
    let before = file(&[], Device::Clears);
    let (after, outcome, failed) = clear(before.clone(), WHOLE, &[]);
    assert_eq!((after.calls, failed), (vec![], None));
    assert!(after.bytes == before.bytes && outcome.lost.is_empty());
}

#[test]
fn blocks_outside_of_the_range_are_left_alone() {
    let bad = [5000..5512, 9000..9512];
    let (after, outcome, failed) = clear(file(&bad, Device::Clears), BLOCK..2 * BLOCK, &[]);
    assert_eq!(failed, None);
    assert_eq!(after.calls, [("punch", 4096), ("write", 4096), ("sync", 0)]);
    assert_eq!((outcome.lost, after.bad), (vec![5000..5512], vec![9000..9512]));
}

/// The page cache can have what the medium has lost.
#[test]
fn a_listed_block_is_written_anew_with_all_that_can_be_read() {
    let before = file(&[], Device::Clears);
    let listed = 8192 + 512..8192 + 1024;
    let (after, outcome, failed) = clear(before.clone(), WHOLE, &[listed]);
    assert_eq!(failed, None);
    assert_eq!(after.calls, [("punch", 8192), ("write", 8192), ("sync", 0)]);
    assert!(after.bytes == before.bytes && outcome.lost.is_empty());
}

#[test]
fn stretches_that_touch_are_one() {
    let (_, outcome, _) = clear(file(&[4200..4712, 4712..8000], Device::Clears), WHOLE, &[]);
    assert_eq!(outcome.lost, [4200..8000]);
}

/// The error names the step that failed, its block, the bytes lost by then, and those not tried any more.
#[test]
fn a_failure_says_how_far_it_got() {
    use Device::{CannotPunch, CannotSync, CannotUnmap, CannotUnmapListed};
    use Device::{CannotUnmapRefusesSecond, LeavesUnwritten, Lies, Refuses};
    let bad = [5000..5512, 9000..9512];
    let (first, second) = (4096..8192, 8192..12288);
    let rows = [
        (CannotPunch, ClearStep::Punch, first.clone(), vec![]),
        (Refuses, ClearStep::Write, first.clone(), vec![4096..8192]),
        (CannotSync, ClearStep::Sync, second.clone(), bad.to_vec()),
        (Lies, ClearStep::Check, first.clone(), bad.to_vec()),
        (LeavesUnwritten, ClearStep::Check, first.clone(), bad.to_vec()),
        (CannotUnmap, ClearStep::Unmap, WHOLE, bad.to_vec()),
        // Old pages matter only if the blocks are good.
        (CannotUnmapListed, ClearStep::Check, first, bad.to_vec()),
        (CannotUnmapRefusesSecond, ClearStep::Write, second, vec![5000..5512, 8192..12288]),
    ];
    for (device, step, block, lost) in rows {
        let before = file(&bad, device);
        let (after, outcome, failed) = clear(before.clone(), WHOLE, &[]);
        assert_eq!(failed, Some((block, step)), "{device:?}");
        assert_eq!(outcome.lost, lost, "{device:?}");
        if step == ClearStep::Punch {
            assert!(after.bytes == before.bytes, "as it was");
        }
    }
}

/// A crash would leave them as they were punched out, holes without the bytes that could be read.
#[test]
fn blocks_that_were_written_anew_before_a_failure_are_synced() {
    let bad = [5000..5512, 9000..9512];
    let (after, outcome, failed) = clear(file(&bad, Device::RefusesSecond), WHOLE, &[]);
    assert_eq!(failed, Some((8192..12288, ClearStep::Write)));
    assert_eq!(outcome.rewritten, [4096..8192]);
    assert_eq!(after.calls.last(), Some(&("sync", 0)));
}
