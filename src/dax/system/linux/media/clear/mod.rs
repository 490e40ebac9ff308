//! Clears the bad blocks of a file: bytes that can be read are kept, the rest becomes zeros.
//!
//! Each block is punched out and written anew. The file system then has the device zero the blocks that it allocates
//! (`fs/ext4/inode.c`, `ext4_issue_zeroout`; `fs/xfs/xfs_iomap.c`, `XFS_BMAPI_ZERO`). A write through the block layer
//! makes Linux ask the device to clear bad bytes (`drivers/nvdimm/pmem.c`, `pmem_clear_poison`). Punching also takes
//! the pages out of all mappings, so that no mapping shows the old blocks any more.

use super::super::{extents, mapping, through_kernel};
use super::{Unread, read};
use crate::dax::media::ClearStep;
use crate::dax::system::files;
use crate::dax::taint::Taint;
use crate::dax::{DaxFile, DaxView, Error, ErrorKind, InvalidInput, Writeback};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use rustix::fs::FallocateFlags;
use std::io;
use std::os::unix::fs::FileExt;

/// The number of bytes that are read at once to find out if there is anything to do.
const CHUNK: u64 = 256 << 10;

/// The operations on a file's blocks. Ranges are in bytes of the file.
trait Blocks {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Unread>;
    fn punch(&self, range: &Range<u64>) -> io::Result<()>;
    fn write(&self, at: u64, from: &[u8]) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    /// Takes the pages out of the mapping.
    fn drop_pages(&self) -> io::Result<()>;
    /// Returns true if a store to the range needs no help of the file system.
    fn is_written(&self, range: &Range<u64>) -> io::Result<bool>;
    /// Checks that the kernel has removed these blocks from its list.
    fn none_is_listed(&self, rewritten: &[Range<u64>]) -> Result<(), Failure>;
}

/// The range to clear.
struct Job<'a> {
    /// From the beginning of a block to the end of the last, or of the file.
    range: Range<u64>,
    /// The size of a block.
    block: u64,
    /// The ranges that the kernel lists.
    listed: &'a [Range<u64>],
}

/// The result of clearing.
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
        let cleared = self.clear_each(blocks, outcome);
        // Also if no block was cleared: another process can have done it.
        let dropped =
            blocks.drop_pages().map_err(|error| failure(&self.range, ClearStep::Unmap, &error));
        let Some(last) = outcome.rewritten.last() else { return cleared.and(dropped) };
        // After a failure too: the caller has been promised that the kept bytes of these blocks are still there.
        let synced = blocks.sync().map_err(|error| failure(last, ClearStep::Sync, &error));
        cleared.and(synced)?;
        outcome.rewritten.iter().try_for_each(|block| check(blocks, block))?;
        blocks.none_is_listed(&outcome.rewritten).and(dropped)
    }

    /// Clears each bad block in turn, until one fails.
    fn clear_each(&self, blocks: &impl Blocks, outcome: &mut Outcome) -> Result<(), Failure> {
        let chunk = CHUNK.next_multiple_of(self.block);
        for chunk in pieces(&self.range, chunk) {
            if self.is_listed(&chunk) || blocks.read(chunk.start, &mut buffer(&chunk)).is_err() {
                for block in pieces(&chunk, self.block) {
                    self.clear(blocks, &block, outcome)?;
                }
            }
        }
        Ok(())
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

/// Returns the bytes of a block, with zeros in place of those that cannot be read, and the ranges of these.
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
        // A read that failed may have left other bytes there.
        bytes.get_mut(place).into_iter().for_each(|bytes| bytes.fill(0));
    }
    Ok((bytes, lost))
}

/// Checks that a block that was written anew is readable, and is the file's own.
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

/// Returns a range in pieces of `len` bytes; the last one can be shorter.
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

/// Returns an offset in a chunk as one in memory.
fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The blocks of a real file.
struct FileBlocks<'a>(&'a DaxView);

impl Blocks for FileBlocks<'_> {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Unread> {
        read(|at, into| self.0.file.read_exact_at(into, at), at, into)
    }

    fn punch(&self, range: &Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(self.0.file(), flags, range.start, range.end - range.start)?)
    }

    fn write(&self, at: u64, from: &[u8]) -> io::Result<()> {
        self.0.file.write_all_at(from, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_file()
    }

    /// Punching leaves the marks of memory errors in page tables (`mm/memory.c`, `zap_pte_range`), so that an
    /// access would go on to fail.
    fn drop_pages(&self) -> io::Result<()> {
        mapping::drop_pages(&self.0.mapping)
    }

    fn is_written(&self, range: &Range<u64>) -> io::Result<bool> {
        // Lines are persisted without the file system's help, so their blocks must be written ones.
        if matches!(self.0.writeback, Writeback::Pages) {
            return Ok(true);
        }
        let len = range.end - range.start;
        Ok(extents::first_unwritten(self.0.file(), range.start, len)?.is_none())
    }

    fn none_is_listed(&self, rewritten: &[Range<u64>]) -> Result<(), Failure> {
        let Some(last) = rewritten.last() else { return Ok(()) };
        let listed = self.0.listed_in_file().map_err(|error| Failure {
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
}

impl DaxFile {
    /// Clears the bad blocks in a range of the mapping, so that it can be used again. They are punched out of the file
    /// and written anew, which makes the kernel ask the device to replace bad bytes. Nothing else of this crate clears
    /// anything.
    ///
    /// Returns the bytes that are lost, in bytes of the mapping: those that could not be read. They are zeros now. All
    /// other bytes are as they were. Whole blocks of the file system are cleared (or pages, if those are larger), so
    /// the range is widened to them. Bytes beside it in the same block are kept if they can be read. Otherwise they are
    /// among the lost ones, which can be beyond the end of the mapping. A block is left alone if all of it can be read
    /// and the kernel's list does not have it.
    ///
    /// When this returns without an error, the zeros are durable, and each block was read again and is not in
    /// [`bad_blocks`](DaxView::bad_blocks), if that is known. If the file is persisted by lines, each block can be stored
    /// to through the mapping without the file system's help. The mapping stays valid. If anything was written anew,
    /// [`taint`](crate::dax::DaxView::taint) reports it from now on.
    ///
    /// The file is borrowed exclusively, because stores to these blocks meanwhile are lost. Another process that writes
    /// the file is not excluded.
    ///
    /// # Crashes
    /// A crash meanwhile can also lose the bytes beside a bad one, up to the whole of each block that was not yet synced:
    /// a block is punched out before it is written anew. The hole has the file refused by lines afterwards
    /// ([`ErrorKind::NotAllocated`]); by pages it is opened, and shows zeros there. So copy what can be read first
    /// ([`read_through_kernel`](DaxView::read_through_kernel)).
    ///
    /// # The bad block afterwards
    /// The file system may give the file another block. Then the bad one was not written: it stays in the device's list
    /// and becomes free space, which a later file can get. Clearing it is then the task of the program that writes
    /// there. If the file system gives the same block, the write fails where the device cannot clear it.
    /// This was seen with ext4 under Linux 6.1, on RAM set aside as persistent memory, where the kernel takes written
    /// bytes for cleared (`drivers/nvdimm/bus.c`, `nvdimm_clear_poison`), and on QEMU's NVDIMM, which has no command
    /// for it.
    ///
    /// # Errors
    /// [`ErrorKind::NotCleared`] gives the block at which it stopped, the state of that block, and the bytes that are
    /// lost by then. Blocks that were written anew before it are durable, unless the failed step is the sync; another
    /// failed sync is in [`taint`](crate::dax::DaxView::taint). Whichever step failed, a locked mapping can keep its old
    /// pages before Linux 5.18. [`ErrorKind::Shorter`], if the file has shrunk.
    /// [`InvalidInput::Misaligned`], if the mapping does not begin at a block, so that bytes before it would have to be
    /// cleared too. [`ViewsDisagree`](crate::dax::NotSupported::ViewsDisagree) as for `read_through_kernel`.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// All of the range is read. Each block that is cleared costs a `fallocate(2)` and a `pwrite(2)`, all
    /// together an `fsync(2)`.
    #[doc(alias("clear_poison", "badblocks", "clear-error"))]
    #[track_caller]
    pub fn clear_bad_blocks(&mut self, range: Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        self.view.clear_bad_blocks(&range)
    }
}

impl DaxView {
    /// Of a [`DaxFile`], which is borrowed exclusively.
    #[track_caller]
    fn clear_bad_blocks(&self, range: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        self.mapping.checked_range(range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        through_kernel::require_agreement(&self.path)?;
        let (within, block) = self.blocks_of(range)?;
        let listed = self.listed_in_file()?;
        let job = Job { range: within, block, listed: &listed };
        let blocks = FileBlocks(self);
        let mut outcome = Outcome::default();
        let done = job.run(&blocks, &mut outcome);
        let changed =
            |failure: &Failure| matches!(failure.step, ClearStep::Punch | ClearStep::Write);
        if !outcome.rewritten.is_empty() || done.as_ref().is_err_and(changed) {
            self.taint.by(Taint::Cleared { at: range.start, len: range.end - range.start });
        }
        match done {
            Ok(()) => Ok(outcome.lost.iter().map(|lost| self.in_mapping(lost)).collect()),
            Err(failure) => Err(self.not_cleared(&failure, &outcome.lost)),
        }
    }

    /// Returns the blocks of a range of the mapping, as a range of the file, and the size of one.
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
            ErrorKind::InvalidInput(InvalidInput::Misaligned {
                offset: self.offset,
                alignment: block,
            })
        } else {
            let (start, end) = (self.offset + range.start, self.offset + range.end);
            let end = end.checked_next_multiple_of(block).unwrap_or(end).min(size);
            return Ok((start - start % block..end, block));
        };
        Err(Error::new(&self.path, kind))
    }

    /// Returns the ranges that the kernel lists, in bytes of the file; empty if they are not known.
    fn listed_in_file(&self) -> Result<Vec<Range<u64>>, Error> {
        match self.bad_blocks() {
            Ok(listed) => {
                let in_file =
                    |range: &Range<u64>| self.offset + range.start..self.offset + range.end;
                Ok(listed.ranges.iter().map(in_file).collect())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Unknown { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn not_cleared(&self, failure: &Failure, lost: &[Range<u64>]) -> Error {
        let kind = ErrorKind::NotCleared {
            at: failure.block.start.saturating_sub(self.offset),
            len: failure.block.end - failure.block.start,
            step: failure.step,
            errno: failure.errno,
            lost: lost.iter().map(|range| self.in_mapping(range)).collect(),
        };
        Error::new(&self.path, kind)
    }
}

// No unsafe code is tested, and Miri would take minutes for the models.
#[cfg(test)]
#[cfg(not(miri))]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests;
