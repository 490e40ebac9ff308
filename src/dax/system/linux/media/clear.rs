//! Gives up the bad blocks of a file: what can be read of them is kept, the rest becomes zeros.
//!
//! Each block is punched out and written anew. The file system then has the device zero the blocks that it
//! allocates (`fs/ext4/inode.c`, `ext4_issue_zeroout`; `fs/xfs/xfs_iomap.c`, `XFS_BMAPI_ZERO`), and a write
//! through the block layer makes Linux ask the device to clear what is bad (`drivers/nvdimm/pmem.c`,
//! `pmem_clear_poison`). Punching also takes the pages out of all mappings, so that none goes on to see the
//! old blocks.

use super::super::{extents, mapping, through_kernel};
use super::{Unread, read};
use crate::dax::media::{ClearStep, NotCleared};
use crate::dax::system::files;
use crate::dax::taint::Taint;
use crate::dax::{DaxFile, Error, ErrorKind, Writeback};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at once to find out whether there is anything to do, in bytes.
const CHUNK: u64 = 256 << 10;

/// What is asked of a file's blocks. Ranges are in bytes of the file.
trait Blocks {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Unread>;
    fn punch(&self, range: &Range<u64>) -> io::Result<()>;
    fn write(&self, at: u64, from: &[u8]) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    /// Whether a store to the range needs no help of the file system.
    fn is_written(&self, range: &Range<u64>) -> io::Result<bool>;
}

/// What is to be cleared.
struct Job<'a> {
    /// From the beginning of a block to the end of the last, or of the file.
    range: Range<u64>,
    /// The size of a block.
    block: u64,
    /// What the kernel lists.
    listed: &'a [Range<u64>],
}

/// What became of it.
#[derive(Debug, Default)]
struct Outcome {
    /// Bytes that are zeros now, and were not readable.
    lost: Vec<Range<u64>>,
    /// Blocks that were written anew.
    rewritten: Vec<Range<u64>>,
}

/// A step that failed in a block.
struct Failure {
    block: Range<u64>,
    step: ClearStep,
    errno: Option<i32>,
}

impl Job<'_> {
    fn run(&self, blocks: &impl Blocks, outcome: &mut Outcome) -> Result<(), Failure> {
        let chunk = CHUNK.next_multiple_of(self.block);
        for chunk in pieces(&self.range, chunk) {
            if self.is_listed(&chunk) || blocks.read(chunk.start, &mut buffer(&chunk)).is_err() {
                for block in pieces(&chunk, self.block) {
                    self.clear(blocks, &block, outcome)?;
                }
            }
        }
        let Some(last) = outcome.rewritten.last() else { return Ok(()) };
        blocks.sync().map_err(|error| failure(last, ClearStep::Sync, &error))?;
        outcome.rewritten.iter().try_for_each(|block| check(blocks, block))
    }

    fn is_listed(&self, range: &Range<u64>) -> bool {
        self.listed.iter().any(|bad| bad.start < range.end && range.start < bad.end)
    }

    /// Clears a block if something of it cannot be read or is listed.
    fn clear(
        &self,
        blocks: &impl Blocks,
        block: &Range<u64>,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let (kept, lost) =
            salvage(blocks, block).map_err(|error| failure(block, ClearStep::Read, &error))?;
        if lost.is_empty() && !self.is_listed(block) {
            return Ok(());
        }
        blocks.punch(block).map_err(|error| failure(block, ClearStep::Punch, &error))?;
        if let Err(error) = blocks.write(block.start, &kept) {
            outcome.lost.push(block.clone());
            return Err(failure(block, ClearStep::Write, &error));
        }
        outcome.lost.extend(lost);
        outcome.rewritten.push(block.clone());
        Ok(())
    }
}

/// What can be read of a block, with zeros in place of what cannot, and where that is.
fn salvage(
    blocks: &impl Blocks,
    block: &Range<u64>,
) -> Result<(Vec<u8>, Vec<Range<u64>>), io::Error> {
    let mut bytes = buffer(block);
    let mut lost: Vec<Range<u64>> = Vec::new();
    let mut at = block.start;
    while at < block.end {
        let (_, rest) = bytes.split_at_mut(index(at - block.start));
        match blocks.read(at, rest) {
            Ok(()) => break,
            Err(Unread::Failed(error)) => return Err(error),
            Err(Unread::Poisoned(stretch)) => {
                at = stretch.end.max(at + 1);
                match lost.last_mut() {
                    Some(before) if before.end == stretch.start => before.end = stretch.end,
                    _ => lost.push(stretch),
                }
            }
        }
    }
    for stretch in &lost {
        let place = index(stretch.start - block.start)..index(stretch.end - block.start);
        // What a read that failed left there.
        bytes.get_mut(place).into_iter().for_each(|bytes| bytes.fill(0));
    }
    Ok((bytes, lost))
}

/// A block that was written anew must be readable, and be the file's own.
fn check(blocks: &impl Blocks, block: &Range<u64>) -> Result<(), Failure> {
    match blocks.read(block.start, &mut buffer(block)) {
        Ok(()) => {}
        Err(Unread::Poisoned(_)) => return Err(still_bad(block)),
        Err(Unread::Failed(error)) => return Err(failure(block, ClearStep::Check, &error)),
    }
    match blocks.is_written(block) {
        Ok(true) => Ok(()),
        Ok(false) => Err(still_bad(block)),
        Err(error) => Err(failure(block, ClearStep::Check, &error)),
    }
}

fn failure(block: &Range<u64>, step: ClearStep, error: &io::Error) -> Failure {
    Failure { block: block.clone(), step, errno: Some(files::number(error)) }
}

fn still_bad(block: &Range<u64>) -> Failure {
    Failure { block: block.clone(), step: ClearStep::Check, errno: None }
}

/// A range in pieces of so many bytes; the last one can be shorter.
fn pieces(range: &Range<u64>, len: u64) -> impl Iterator<Item = Range<u64>> + use<> {
    let (mut at, end) = (range.start, range.end);
    core::iter::from_fn(move || {
        let piece = at..at.saturating_add(len).min(end);
        at = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Zeros for a piece, which is at most a chunk.
fn buffer(range: &Range<u64>) -> Vec<u8> {
    vec![0; index(range.end - range.start)]
}

/// An offset in a chunk as one in memory.
fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The blocks of a real file.
struct FileBlocks<'a> {
    file: &'a File,
    /// Whether blocks must be written ones: lines are persisted without the file system's help.
    by_lines: bool,
}

impl Blocks for FileBlocks<'_> {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Unread> {
        read(|at, into| self.file.read_exact_at(into, at), at, into)
    }

    fn punch(&self, range: &Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(self.file, flags, range.start, range.end - range.start)?)
    }

    fn write(&self, at: u64, from: &[u8]) -> io::Result<()> {
        self.file.write_all_at(from, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn is_written(&self, range: &Range<u64>) -> io::Result<bool> {
        if !self.by_lines {
            return Ok(true);
        }
        let len = range.end - range.start;
        Ok(extents::first_unwritten(self.file, range.start, len)?.is_none())
    }
}

impl DaxFile {
    /// Gives up the bad blocks in a range of the mapping, so that it can be used again: they are punched
    /// out of the file and written anew, which makes the kernel ask the device to replace what is bad.
    /// Done only when it is called; nothing else of this crate clears anything.
    ///
    /// Gives the bytes that are lost, in bytes of the mapping: those that could not be read. They are zeros
    /// now. Everything else is as it was. What is given up is whole blocks of the file system (or pages, if
    /// those are larger), so the range is widened to them: bytes beside it in the same block are kept if
    /// they can be read, and among the lost ones if not, which can be beyond the end of the mapping. A block
    /// in which everything can be read and that the kernel's list does not have is left alone.
    ///
    /// When this returns without an error the zeros are durable, each block was read again, can be stored
    /// to through the mapping without the file system's help if the file is persisted by lines, and is not
    /// in [`bad_blocks`](Self::bad_blocks), if that is known. The mapping goes on to work. If anything was
    /// written anew, [`taint`](crate::dax::DaxView::taint) says so from now on.
    ///
    /// The file is borrowed exclusively, as what is stored to these blocks meanwhile is lost. Another
    /// process that writes the file is not kept from it.
    ///
    /// # What becomes of the bad block
    /// The file system may give the file another block. Then nobody has written to the bad one: it stays in
    /// the device's list and becomes free space, which a later file can get; clearing it is then for
    /// whoever writes there. If it gives the same block, the write fails where the device cannot clear it.
    /// Seen so with ext4 under Linux 6.1, on RAM set aside as persistent memory, where the kernel takes what
    /// is written for cleared (`drivers/nvdimm/bus.c`, `nvdimm_clear_poison`), and on QEMU's NVDIMM, which
    /// has no command for it.
    ///
    /// # Errors
    /// [`ErrorKind::NotCleared`] says at which block it stopped, in which state that is, and what is lost
    /// by then. [`ErrorKind::Shorter`], if the file has shrunk;
    /// [`ErrorKind::Misaligned`], if the mapping does not begin at a block, so that bytes before it would
    /// have to be given up; [`ErrorKind::ViewsDisagree`] as for `read_through_kernel`.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// All of the range is read. Each block that is cleared costs a `fallocate(2)` and a `pwrite(2)`, all
    /// together an `fsync(2)`.
    #[doc(alias("clear_poison", "badblocks", "clear-error"))]
    pub fn clear_bad_blocks(&mut self, range: Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        self.mapping.checked_range(&range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        through_kernel::require_agreement(&self.path)?;
        let (within, block) = self.blocks_of(&range)?;
        let listed = self.listed_in_file()?;
        let job = Job { range: within, block, listed: &listed };
        let by_lines = !matches!(self.writeback, Writeback::Pages);
        let blocks = FileBlocks { file: &self.file, by_lines };
        let mut outcome = Outcome::default();
        let done = job.run(&blocks, &mut outcome);
        let is_changed = !outcome.rewritten.is_empty()
            || done.as_ref().is_err_and(|failure| failure.step != ClearStep::Read);
        if is_changed {
            self.taint.by(Taint::Cleared { at: range.start, len: range.end - range.start });
        }
        self.drop_pages()?;
        match done.and_then(|()| self.none_is_listed(&outcome.rewritten)) {
            Ok(()) => Ok(self.in_mapping(&outcome.lost)),
            Err(failure) => Err(self.not_cleared(&failure, &outcome.lost)),
        }
    }

    /// The blocks of a range of the mapping, as a range of the file, and the size of one.
    fn blocks_of(&self, range: &Range<u64>) -> Result<(Range<u64>, u64), Error> {
        let os = |call, error: &io::Error| Error::os(&self.path, call, error);
        let system =
            rustix::fs::fstatvfs(self.file()).map_err(|errno| os("fstatvfs", &errno.into()))?;
        let size = self.file.metadata().map_err(|error| os(files::METADATA, &error))?.len();
        let block = system.f_frsize.max(files::page_size() as u64);
        let needed = self.offset.saturating_add(self.mapping.len() as u64);
        let kind = if size < needed {
            ErrorKind::Shorter { size, needed }
        } else if !self.offset.is_multiple_of(block) {
            ErrorKind::Misaligned { offset: self.offset, alignment: block }
        } else {
            let (start, end) = (self.offset + range.start, self.offset + range.end);
            let end = end.checked_next_multiple_of(block).unwrap_or(end).min(size);
            return Ok((start - start % block..end, block));
        };
        Err(Error::new(&self.path, kind))
    }

    /// What the kernel lists, in bytes of the file; nothing if that is not known.
    fn listed_in_file(&self) -> Result<Vec<Range<u64>>, Error> {
        match self.bad_blocks() {
            Ok(listed) => {
                let in_file =
                    |range: &Range<u64>| self.offset + range.start..self.offset + range.end;
                Ok(listed.ranges().iter().map(in_file).collect())
            }
            Err(error) if matches!(error.kind(), ErrorKind::BadBlocksUnknown(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The kernel must have taken what was written anew off its list.
    fn none_is_listed(&self, rewritten: &[Range<u64>]) -> Result<(), Failure> {
        let Some(last) = rewritten.last() else { return Ok(()) };
        let listed = self.listed_in_file().map_err(|error| Failure {
            block: last.clone(),
            step: ClearStep::Check,
            errno: error.raw_os_error(),
        })?;
        let job = Job { range: 0..0, block: 0, listed: &listed };
        rewritten
            .iter()
            .find(|block| job.is_listed(block))
            .map_or(Ok(()), |block| Err(still_bad(block)))
    }

    /// Punching leaves the marks of memory errors in page tables (`mm/memory.c`, `zap_pte_range`), so that an
    /// access would go on to fail.
    fn drop_pages(&self) -> Result<(), Error> {
        mapping::drop_pages(&self.mapping).map_err(|error| Error::os(&self.path, "madvise", &error))
    }

    /// Ranges of the file, none of which begins before the mapping, as ranges of the mapping.
    fn in_mapping(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let in_mapping = |range: &Range<u64>| {
            range.start.saturating_sub(self.offset)..range.end.saturating_sub(self.offset)
        };
        ranges.iter().map(in_mapping).collect()
    }

    #[cold]
    fn not_cleared(&self, failure: &Failure, lost: &[Range<u64>]) -> Error {
        let not_cleared = NotCleared {
            at: failure.block.start.saturating_sub(self.offset),
            len: failure.block.end - failure.block.start,
            step: failure.step,
            errno: failure.errno,
            lost: self.in_mapping(lost),
        };
        Error::new(&self.path, ErrorKind::NotCleared(Box::new(not_cleared)))
    }
}

// There is no unsafe code here, and Miri would take minutes for the models.
#[cfg(test)]
#[cfg(not(miri))]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::super::Unread;
    use super::{Blocks, ClearStep, Failure, Job, Outcome};
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
        /// What was asked, but for reads.
        calls: Vec<(&'static str, u64)>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Device {
        Clears,
        /// The write fails.
        Refuses,
        /// The write succeeds, and nothing is cleared.
        Lies,
        /// Zeros are allocated and not written.
        LeavesUnwritten,
        /// A sync fails.
        CannotSync,
        /// Nothing can be punched out.
        CannotPunch,
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
            match model.device {
                Device::Refuses => return Err(Errno::IO.into()),
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

        fn is_written(&self, range: &Range<u64>) -> io::Result<bool> {
            Ok(!self.0.borrow().holes.contains(&range.start))
        }
    }

    /// A file of 10 blocks and 100 bytes, none of them zero.
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
    fn what_can_be_read_is_kept_and_the_rest_is_zeros() {
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

    /// Which step failed, at which block, what is lost by then, and what was not tried any more.
    #[test]
    fn a_failure_says_how_far_it_got() {
        use Device::{CannotPunch, CannotSync, LeavesUnwritten, Lies, Refuses};
        let bad = [5000..5512, 9000..9512];
        let (first, second) = (4096..8192, 8192..12288);
        let rows = [
            (CannotPunch, ClearStep::Punch, first.clone(), vec![]),
            (Refuses, ClearStep::Write, first.clone(), vec![4096..8192]),
            (CannotSync, ClearStep::Sync, second, bad.to_vec()),
            (Lies, ClearStep::Check, first.clone(), bad.to_vec()),
            (LeavesUnwritten, ClearStep::Check, first, bad.to_vec()),
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
}
