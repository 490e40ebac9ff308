//! The watched lines, and the instructions that can make them clean.
//!
//! Marks belong to a program, in user mode or in a kernel. Only instructions in the same half of the address space
//! write back and fence for it: a kernel that interrupts the program executes fences that the program may not rely on.
//! Stores of all programs count.

use core::ops::Range;

use crate::decode::{Fence, Writeback};
use crate::lines::{Clflush, Lines};
use crate::options::Options;

/// The half of the address space of an instruction: user mode or kernel under the systems that run on x86-64 and arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Addresses whose highest bit is clear.
    Lower,
    /// Addresses whose highest bit is set.
    Upper,
}

impl Half {
    /// Returns the half of the instruction at this address.
    #[must_use]
    pub const fn of(address: u64) -> Self {
        if address >> 63 == 0 { Self::Lower } else { Self::Upper }
    }
}

/// The watched lines, if any.
#[derive(Debug)]
pub struct Tracker {
    options: Options,
    watched: Option<(Half, Lines)>,
}

impl Tracker {
    /// Returns a tracker that does not watch yet.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options, watched: None }
    }

    /// Forgets earlier observations, and watches these bytes for a program in this half.
    ///
    /// # Errors
    /// If the range is too long or wraps around. The message states the range.
    pub fn watch(&mut self, half: Half, start: u64, len: u64) -> Result<(), String> {
        let lines = Lines::covering(start, len, self.options.line)
            .ok_or_else(|| format!("a mark asks to watch {len} bytes from {start:#x}"))?;
        self.watched = Some((half, lines));
        Ok(())
    }

    /// Returns the watched bytes.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.watched.as_ref().map_or(0..0, |(_, lines)| lines.range())
    }

    /// Records a store of `len` bytes.
    pub fn store(&mut self, address: u64, len: u64) {
        if let Some((_, lines)) = &mut self.watched {
            lines.store(address, len);
        }
    }

    /// Records a streaming store of `len` bytes.
    pub fn streaming_store(&mut self, address: u64, len: u64) {
        if let Some((_, lines)) = &mut self.watched {
            lines.streaming_store(address, len, self.options.streaming);
        }
    }

    /// Records that an instruction in this half writes back the line of `address`.
    pub fn writeback(&mut self, half: Half, by: Writeback, address: u64) {
        let needs_mfence = by == Writeback::Clflush && self.options.clflush == Clflush::Mfence;
        if let Some(lines) = self.watched_from(half) {
            lines.writeback(address, needs_mfence);
        }
    }

    /// Records that an instruction in this half zeroes a block, of which `address` is one byte.
    ///
    /// The size of the block is in the guest's `DCZID_EL0`, which the emulator does not show. Its models have 64 bytes,
    /// or a line if lines are longer.
    pub fn zero(&mut self, address: u64) {
        let block = self.options.line.max(64);
        self.store(address / block * block, block);
    }

    /// Records a fence in this half.
    pub fn fence(&mut self, half: Half, fence: Fence) {
        if let Some(lines) = self.watched_from(half) {
            lines.fence(fence.completes_all());
        }
    }

    /// Records a locked access in this half.
    pub fn locked(&mut self, half: Half) {
        if self.options.is_locked_fence {
            self.fence(half, Fence::Mfence);
        }
    }

    fn watched_from(&mut self, half: Half) -> Option<&mut Lines> {
        self.watched.as_mut().filter(|(watching, _)| *watching == half).map(|(_, lines)| lines)
    }

    /// Returns the line for a mark that asks for a verdict.
    #[must_use]
    pub fn verdict(&self, id: u64) -> String {
        match &self.watched {
            Some((_, lines)) => format!("verdict id={id} {lines}\n"),
            None => format!("verdict id={id} but nothing is watched\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fence, Half, Options, Tracker, Writeback};

    fn tracker(options: &[&str]) -> Tracker {
        let options = [&["out=/tmp/out"], options].concat();
        let mut tracker = Tracker::new(Options::parse(&options).unwrap());
        tracker.watch(Half::Lower, 0x1000, 256).unwrap();
        tracker
    }

    fn dirty_and_unfenced(tracker: &Tracker) -> String {
        let verdict = tracker.verdict(1);
        verdict.split_once("dirty_lines").unwrap().1.trim().to_owned()
    }

    #[test]
    fn a_verdict_is_one_line() {
        let mut tracker = tracker(&[]);
        tracker.store(0x1000, 8);
        tracker.streaming_store(0x1040, 8);
        tracker.writeback(Half::Lower, Writeback::Clwb, 0x1000);
        tracker.fence(Half::Lower, Fence::Sfence);
        assert_eq!(
            tracker.verdict(7),
            "verdict id=7 stores=1 streaming=1 writebacks=1 fences=1 dirty_lines=1 unfenced_lines=0\n"
        );
        tracker.watch(Half::Lower, 0x1000, 64).unwrap();
        assert_eq!(
            tracker.verdict(8),
            "verdict id=8 stores=0 streaming=0 writebacks=0 fences=0 dirty_lines=0 unfenced_lines=0\n"
        );
    }

    #[test]
    fn without_a_watch_nothing_looks_clean() {
        let tracker = Tracker::new(Options::parse(&["out=/tmp/out"]).unwrap());
        assert_eq!(tracker.verdict(1), "verdict id=1 but nothing is watched\n");
        assert!(tracker.range().is_empty());
    }

    #[test]
    fn an_interrupting_kernel_completes_nothing() {
        let mut tracker = tracker(&[]);
        tracker.store(0x1000, 8);
        tracker.writeback(Half::Upper, Writeback::Clwb, 0x1000);
        assert_eq!(dirty_and_unfenced(&tracker), "=1 unfenced_lines=0");
        tracker.writeback(Half::Lower, Writeback::Clwb, 0x1000);
        tracker.fence(Half::Upper, Fence::Sfence);
        tracker.locked(Half::Upper);
        assert_eq!(dirty_and_unfenced(&tracker), "=0 unfenced_lines=1");
        tracker.fence(Half::Lower, Fence::Sfence);
        assert_eq!(dirty_and_unfenced(&tracker), "=0 unfenced_lines=0");
    }

    #[test]
    fn locked_accesses_are_fences_unless_told() {
        for (options, expected) in
            [(&[][..], "=0 unfenced_lines=0"), (&["locked=ordinary"], "=0 unfenced_lines=1")]
        {
            let mut tracker = tracker(options);
            tracker.store(0x1000, 8);
            tracker.writeback(Half::Lower, Writeback::Clwb, 0x1000);
            tracker.locked(Half::Lower);
            assert_eq!(dirty_and_unfenced(&tracker), expected);
        }
    }

    #[test]
    fn sfence_completes_clflush_on_intel_alone() {
        for (options, expected) in
            [(&[][..], "=0 unfenced_lines=1"), (&["clflush=itself"], "=0 unfenced_lines=0")]
        {
            let mut tracker = tracker(options);
            for (address, by) in [(0x1000, Writeback::Clwb), (0x1040, Writeback::Clflush)] {
                tracker.store(address, 8);
                tracker.writeback(Half::Lower, by, address);
            }
            tracker.fence(Half::Lower, Fence::Sfence);
            assert_eq!(dirty_and_unfenced(&tracker), expected);
            tracker.fence(Half::Lower, Fence::Mfence);
            assert_eq!(dirty_and_unfenced(&tracker), "=0 unfenced_lines=0");
        }
    }

    #[test]
    fn sfence_does_not_complete_a_clflush_after_a_clwb() {
        let mut tracker = tracker(&[]);
        for by in [Writeback::Clwb, Writeback::Clflush] {
            tracker.store(0x1000, 8);
            tracker.writeback(Half::Lower, by, 0x1000);
        }
        tracker.fence(Half::Lower, Fence::Sfence);
        assert_eq!(dirty_and_unfenced(&tracker), "=0 unfenced_lines=1");
    }

    #[test]
    fn a_zeroed_block_is_a_store() {
        let mut tracker = tracker(&["line=32"]);
        tracker.zero(0x1050);
        assert_eq!(dirty_and_unfenced(&tracker), "=2 unfenced_lines=0");
    }

    #[test]
    fn halves_are_identified_by_the_highest_bit() {
        assert_eq!(Half::of(0x0000_7fff_ffff_ffff), Half::Lower);
        assert_eq!(Half::of(0xffff_8000_0000_0000), Half::Upper);
    }
}
