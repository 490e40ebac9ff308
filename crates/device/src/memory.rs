//! The lines that the model knows: its arena, and lines of the program that were handed over; and the buffers in them.

use crate::line::{Line, Place};
use crate::story::{Call, Operation, Remedy, Scope, Trial};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

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
    pub(crate) buffers: Vec<Buffer>,
    trials: Vec<Trial>,
    clock: u64,
    /// The arena's bytes, accessed only by address.
    _views: Vec<Vec<u64>>,
}

/// Memory that was allocated, or that the program has handed over.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    /// The bytes of the value, which devices may access.
    pub(crate) bytes: Range<usize>,
    /// The end of its padding.
    end: usize,
    origin: Origin,
    is_freed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    PlacedAt(&'static std::panic::Location<'static>),
    HandedOverBy(Call),
}

impl Memory {
    pub(crate) fn new(cpus: usize, line_size: usize, trials: Vec<Trial>) -> Self {
        let view = || vec![0_u64; (ARENA + PAGE) / size_of::<u64>()];
        let mut views: Vec<_> = (0..cpus).map(|_| view()).collect();
        let base = |view: &mut Vec<u64>| view.as_mut_ptr().expose_provenance();
        let bases = views.iter_mut().map(|view| base(view).next_multiple_of(PAGE)).collect();
        let (arena, program, buffers, clock) = Default::default();
        Self { line_size, bases, arena, program, buffers, trials, clock, _views: views }
    }

    /// Returns a known line by its address in the first CPU's view.
    pub(crate) fn line(&mut self, address: usize) -> Option<&mut Line> {
        let line = if self.is_arena(0, address) {
            self.arena.get_mut((address - self.bases[0]) / self.line_size)?
        } else {
            self.program.get_mut(&address)?
        };
        self.clock += 1;
        line.now = self.clock;
        Some(line)
    }

    pub(crate) fn all_lines(&self) -> impl Iterator<Item = &Line> {
        self.arena.iter().chain(self.program.values())
    }

    /// Returns the remedies that are tried for the buffers of a scope.
    fn tried(&self, scope: Scope) -> Vec<Remedy> {
        self.trials.iter().filter(|trial| trial.1 == scope).map(|trial| trial.0).collect()
    }

    /// Allocates a value of `len` bytes and its padding, `size` bytes in all, that begin `offset` bytes within a line,
    /// and a line before and after them. Returns their address.
    pub(crate) fn alloc(
        &mut self,
        [len, size]: [usize; 2],
        align: usize,
        offset: usize,
        placed_at: &'static std::panic::Location<'static>,
    ) -> usize {
        let (line_size, base) = (self.line_size, self.bases[0]);
        let before = base + self.arena.len() * line_size;
        let start = (before + line_size).next_multiple_of(align.max(line_size)) + offset;
        let end = start + size;
        let after = end.next_multiple_of(line_size) + line_size;
        assert!(after <= base + ARENA, "the machine's memory of {ARENA} bytes is full");
        for line in (before..after).step_by(line_size) {
            let within = |at: usize| at.clamp(line, line + line_size) - line;
            let own = within(start)..within(end);
            let views: Vec<_> = self.bases.iter().map(|view| view + (line - base)).collect();
            let (of, tried) = ((Place::Arena, Some(placed_at)), self.tried(Some(placed_at)));
            // SAFETY: (1) the lines are in the memory of each CPU.
            self.arena.push(unsafe { Line::new(&views, line_size, of, own, tried) });
        }
        let (bytes, origin) = (start..start + len, Origin::PlacedAt(placed_at));
        self.buffers.push(Buffer { bytes, end, origin, is_freed: false });
        start
    }

    /// Frees an allocation. Returns false if there is none at the address.
    pub(crate) fn dealloc(&mut self, start: usize) -> bool {
        let is_it = |buffer: &&mut Buffer| buffer.bytes.start == start && !buffer.is_freed;
        let Some(buffer) = self.buffers.iter_mut().find(is_it) else { return false };
        buffer.is_freed = true;
        let bytes = buffer.bytes.start..buffer.end;
        for (line, _) in self.lines(0, bytes) {
            self.line(line).into_iter().for_each(|line| line.place = Place::Freed);
        }
        true
    }

    /// Records a line of the program, or its new place.
    ///
    /// # Safety
    /// 1. The line can be read.
    pub(crate) unsafe fn hand_over(&mut self, address: usize, place: Option<Place>) {
        let (size, of, tried) = (self.line_size, (Place::Shared, None), self.tried(None));
        // SAFETY: (1) is the caller's duty.
        let new = || unsafe { Line::new(&[address], size, of, 0..size, tried) };
        let line = self.program.entry(address).or_insert_with(new);
        line.place = place.unwrap_or(line.place);
    }

    /// Records a buffer of the program, `bytes` with padding up to `end`, or that a known one is larger.
    pub(crate) fn add_buffer(&mut self, bytes: Range<usize>, end: usize, call: Call) {
        let meets = |buffer: &&mut Buffer| {
            buffer.bytes.start <= bytes.end && bytes.start <= buffer.bytes.end
        };
        if let Some(buffer) = self.buffers.iter_mut().find(meets) {
            let Range { start, end: known } = buffer.bytes;
            buffer.bytes = start.min(bytes.start)..known.max(bytes.end);
            buffer.end = buffer.end.max(end);
        } else {
            let origin = Origin::HandedOverBy(call);
            self.buffers.push(Buffer { bytes, end, origin, is_freed: false });
        }
    }

    pub(crate) fn is_arena(&self, cpu: usize, address: usize) -> bool {
        (self.bases[cpu]..self.bases[cpu] + ARENA).contains(&address)
    }

    /// Returns the buffer that has a byte of a range, or is at most `distance` bytes away from it.
    fn buffer(&self, range: &Range<usize>, distance: usize) -> Option<&Buffer> {
        let meets = |buffer: &&Buffer| {
            buffer.bytes.start < range.end + distance && range.start < buffer.end + distance
        };
        self.buffers.iter().find(meets)
    }

    /// Returns the buffer that has a byte of a line, or is next to it.
    pub(crate) fn near(&self, line: usize) -> Option<&Buffer> {
        self.buffer(&(line..line + self.line_size), self.line_size)
    }

    /// Refuses an operation that reaches memory that is not there, with the reason.
    pub(crate) fn check_call(
        &self,
        cpu: usize,
        operation: Operation,
        range: &Range<usize>,
    ) -> Result<(), String> {
        let Some(view) = (0..self.bases.len()).find(|cpu| self.is_arena(*cpu, range.start)) else {
            return match unmapped(range) {
                Some(address) => Err(format!("{range:#x?}: nothing is mapped at {address:#x}")),
                None if cpu == 0 => Ok(()),
                None => Err(format!("{range:#x?}, which CPU {cpu} does not see: take `Cpu::view`")),
            };
        };
        let first = |at: usize| at.wrapping_sub(self.bases[view]).wrapping_add(self.bases[0]);
        let range = first(range.start)..first(range.end);
        let size = self.line_size;
        let beyond = if operation == Operation::Discard { size } else { 0 }; // it can drop neighbours
        let lines = |of: &Buffer| {
            (of.bytes.start & !(size - 1)) - beyond..of.end.next_multiple_of(size) + beyond
        };
        let result = if view == cpu {
            self.check(&range, lines)
        } else {
            Err(format!("CPU {view} sees it there: take `Cpu::view`"))
        };
        result.map_err(|why| format!("bytes {}: {why}", self.name(&range)))
    }

    /// Refuses a device's access to bytes that are no buffer's, with the reason.
    pub(crate) fn check_access(&self, range: &Range<usize>) -> Result<(), String> {
        self.check(range, |buffer| buffer.bytes.clone())
    }

    fn check(
        &self,
        range: &Range<usize>,
        limits: impl Fn(&Buffer) -> Range<usize>,
    ) -> Result<(), String> {
        let holds =
            |of: &&Buffer| (limits(of).start..limits(of).end.max(of.end)).contains(&range.start);
        match self.buffers.iter().find(holds) {
            Some(buffer) if buffer.is_freed => Err("the driver has freed it".to_owned()),
            Some(buffer) if range.end > limits(buffer).end => {
                Err(format!("that is {} bytes beyond the buffer", range.end - buffer.bytes.end))
            }
            Some(_) => Ok(()),
            None if self.is_arena(0, range.start) => Err("no buffer is there".to_owned()),
            None => Err(NOT_HANDED_OVER.to_owned()),
        }
    }

    /// Returns the name of bytes, by their place in a buffer.
    pub(crate) fn name(&self, range: &Range<usize>) -> String {
        let Some(buffer) = self.buffer(&(range.start..range.start + 1), self.line_size) else {
            return format!("{range:#x?}");
        };
        let offset = |at: usize| at.cast_signed() - buffer.bytes.start.cast_signed();
        format!("{}..{} of {buffer}", offset(range.start), offset(range.end))
    }

    /// Returns the name of a line, and the address from which its bytes are counted.
    pub(crate) fn name_of_line(&self, line: usize) -> (String, usize) {
        let whole = line..line + self.line_size;
        let Some(buffer) = self.buffer(&whole, 0) else {
            let near = self.near(line).map(ToString::to_string).unwrap_or_default();
            return (format!("The line next to {near}"), line);
        };
        let bytes = line.max(buffer.bytes.start)..whole.end.min(buffer.end);
        let is_shared = bytes.len() < self.line_size;
        let shared = if is_shared { ", in a line shared with neighbours" } else { "" };
        (format!("Bytes {}{shared}", self.name(&bytes)), buffer.bytes.start)
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
}

const NOT_HANDED_OVER: &str = "no driver has handed that memory over (`release` before the other side reads, \
                               `release_to_writer` before it writes)";

impl Buffer {
    /// Returns the place of its allocation, if the machine has allocated it.
    pub(crate) fn scope(&self) -> Scope {
        match self.origin {
            Origin::PlacedAt(place) => Some(place),
            Origin::HandedOverBy(_) => None,
        }
    }
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} bytes ", self.bytes.len())?;
        match self.origin {
            Origin::PlacedAt(place) => write!(f, "placed at {}:{}", place.file(), place.line()),
            Origin::HandedOverBy(call) => write!(f, "of the program handed over by the {call}"),
        }
    }
}

/// Returns an address in a range of the program's memory that is not mapped, where the system tells.
#[cfg(target_os = "linux")]
fn unmapped(range: &Range<usize>) -> Option<usize> {
    use std::os::unix::fs::FileExt;
    let memory = std::fs::File::open("/proc/self/mem").ok()?;
    let pages = (range.start & !(PAGE - 1)..range.end).step_by(PAGE);
    let mut each = pages.map(|page| page.max(range.start));
    each.find(|at| memory.read_at(&mut [0], *at as u64).is_err())
}

#[cfg(not(target_os = "linux"))]
const fn unmapped(_: &Range<usize>) -> Option<usize> {
    None
}
