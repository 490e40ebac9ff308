//! The lines that the model knows: its arena, and lines of the program that were handed over.

use crate::line::{Line, Place};
use crate::story::Allocation;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::Location;

/// The number of bytes of the arena, as each CPU sees it.
pub(crate) const ARENA: usize = 16 << 20;
pub(crate) const PAGE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) line_size: usize,
    /// The addresses at which the arena begins, in the view of each CPU.
    pub(crate) bases: Vec<usize>,
    /// The lines of the arena, from its beginning.
    pub(crate) arena: Vec<Line>,
    /// The lines of the program's memory that were handed over, by address.
    pub(crate) program: BTreeMap<usize, Line>,
    pub(crate) allocations: Vec<Allocation>,
    /// The arena's bytes, accessed only by address.
    _views: Vec<Vec<u64>>,
}

impl Memory {
    pub(crate) fn new(cpus: usize, line_size: usize) -> Self {
        let view = || vec![0_u64; (ARENA + PAGE) / size_of::<u64>()];
        let mut views: Vec<_> = (0..cpus).map(|_| view()).collect();
        let base = |view: &mut Vec<u64>| view.as_mut_ptr().expose_provenance();
        let bases = views.iter_mut().map(|view| base(view).next_multiple_of(PAGE)).collect();
        let (arena, program, allocations) = Default::default();
        Self { line_size, bases, arena, program, allocations, _views: views }
    }

    /// Returns a known line by its address in the first CPU's view.
    pub(crate) fn line(&mut self, address: usize) -> Option<&mut Line> {
        if self.is_arena(0, address) {
            self.arena.get_mut((address - self.bases[0]) / self.line_size)
        } else {
            self.program.get_mut(&address)
        }
    }

    /// Allocates bytes that begin `offset` bytes within a line, and a line before and after them. Returns their address.
    pub(crate) fn alloc(
        &mut self,
        len: usize,
        align: usize,
        offset: usize,
        placed_at: &'static Location<'static>,
    ) -> usize {
        let (size, base) = (self.line_size, self.bases[0]);
        let before = base + self.arena.len() * size;
        let start = (before + size).next_multiple_of(align.max(size)) + offset;
        let bytes = start..start + len;
        let end = bytes.end.next_multiple_of(size) + size;
        assert!(end <= base + ARENA, "the machine's memory of {ARENA} bytes is full");
        for line in (before..end).step_by(size) {
            let within = |at: usize| at.clamp(line, line + size) - line;
            let own = within(bytes.start)..within(bytes.end);
            let views: Vec<_> = self.bases.iter().map(|view| view + (line - base)).collect();
            // SAFETY: (1) the lines are in the memory of each CPU.
            self.arena.push(unsafe { Line::new(views, size, Place::Arena, own) });
        }
        self.allocations.push(Allocation { bytes, placed_at });
        start
    }

    /// Frees an allocation. Returns false if there is none at the address.
    pub(crate) fn dealloc(&mut self, start: usize) -> bool {
        let of = |allocation: &&Allocation| allocation.bytes.start == start;
        let Some(Allocation { bytes, .. }) = self.allocations.iter().find(of) else { return false };
        let lines = self.lines_around(bytes);
        let was_there = self.arena[lines.start].place == Place::Arena;
        for line in &mut self.arena[lines] {
            line.place = Place::Freed;
        }
        was_there
    }

    /// Records a line of the program, or its new place.
    ///
    /// # Safety
    /// 1. The line can be read.
    pub(crate) unsafe fn hand_over(&mut self, address: usize, place: Option<Place>) {
        let size = self.line_size;
        // SAFETY: (1) is the caller's duty.
        let new = || unsafe { Line::new(vec![address], size, Place::Shared, 0..size) };
        let line = self.program.entry(address).or_insert_with(new);
        line.place = place.unwrap_or(line.place);
    }

    pub(crate) fn is_arena(&self, cpu: usize, address: usize) -> bool {
        (self.bases[cpu]..self.bases[cpu] + ARENA).contains(&address)
    }

    /// Returns the lines of a range of a CPU's memory, by their addresses for the first CPU, each with true if the
    /// range covers it whole.
    pub(crate) fn lines(&self, cpu: usize, range: Range<usize>) -> Vec<(usize, bool)> {
        let (size, base) = (self.line_size, self.bases[cpu]);
        let shift =
            if self.is_arena(cpu, range.start) { base.wrapping_sub(self.bases[0]) } else { 0 };
        let range = range.start.wrapping_sub(shift)..range.end.wrapping_sub(shift);
        let lines = (range.start & !(size - 1)..range.end).step_by(size);
        lines.map(|line| (line, range.start <= line && line + size <= range.end)).collect()
    }

    /// Returns the places of an allocation's lines in the arena, with the one before and the one after.
    pub(crate) fn lines_around(&self, bytes: &Range<usize>) -> Range<usize> {
        let place = |address: usize| (address - self.bases[0]) / self.line_size;
        place(bytes.start) - 1..place(bytes.end.next_multiple_of(self.line_size)) + 1
    }
}
