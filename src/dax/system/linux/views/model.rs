//! A model of a data cache that is indexed by virtual address, small enough to try everything that it may
//! do. It stands in for machines that nobody has at hand, and shows what this module is for.
//!
//! # The machine
//! Memory holds the pages of one file. A [`View`] maps them at an address: that of a program, or the
//! kernel's own. The cache lies in between, writes back, and allocates on loads and stores:
//!
//! ```text
//!   view A ─┐  address          set = address / LINE mod sets      memory
//!   view B ─┼───────────► [ set 0: lines ][ set 1: lines ] … ─────► page 0, page 1, …
//!   kernel ─┘                 tag: physical or virtual
//! ```
//!
//! Sets are chosen by the virtual address. A line is recognised by its place in memory ([`Tag::Physical`])
//! or by the address that it was fetched by ([`Tag::Virtual`]). There is no hardware that compares two
//! lines: that is the point.
//!
//! # Whims
//! A cache evicts a line whenever it likes, which writes it back if it is dirty; and it fetches lines that
//! nobody asked for, as speculation and prefetching do. Between any two steps of a program the model asks
//! [`Whims`] which of these happens. [`worst_case`] tries all answers, up to so many events in one run, and
//! gives the first under which the program goes wrong. A program that has no such run is right for each
//! order in which this cache can act within that many events.
//!
//! # What it leaves out
//! One CPU; no write buffers; aligned bytes only. None of them makes an aliasing cache agree with itself.

use super::TwoViews;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Write;
use core::ops::Range;

/// Bytes in a line.
pub(super) const LINE: usize = 2;
/// Bytes in a page: two lines, so that a page has more than one and a cache of four sets two colours.
pub(super) const PAGE: usize = 2 * LINE;

/// What a line is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Physical,
    Virtual,
}

/// The size of a cache, and how it recognises lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) sets: usize,
    pub(super) ways: usize,
    pub(super) tag: Tag,
}

impl Geometry {
    /// What one way covers: addresses that differ by a multiple of it are congruent.
    pub(super) const fn way(self) -> usize {
        self.sets * LINE
    }
}

/// Pages of the file from `offset` on, seen at `address`; both are multiples of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) address: usize,
    pub(super) offset: usize,
}

impl View {
    /// The address of the byte at `at` in the file.
    const fn address_of(self, at: usize) -> usize {
        self.address + at - self.offset
    }
}

/// A line in the cache.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// The address that it was fetched by, and its place in memory: multiples of a line.
    address: usize,
    place: usize,
    bytes: [u8; LINE],
    dirty: bool,
}

/// Memory and the cache before it.
pub(super) struct Machine {
    geometry: Geometry,
    memory: Vec<u8>,
    cache: Vec<Line>,
    /// What the cache may fetch by itself: each line of each view.
    views: Vec<View>,
    whims: Whims,
    /// What the cache did by itself, for the reader of a failure.
    log: String,
}

impl Machine {
    pub(super) fn new(geometry: Geometry, pages: usize, views: &[View], whims: Whims) -> Self {
        let memory = vec![0; pages * PAGE];
        let views = views.to_vec();
        Self { geometry, memory, cache: Vec::new(), views, whims, log: String::new() }
    }

    /// Loads the byte at `at` in the file through a view.
    pub(super) fn load(&mut self, view: View, at: usize) -> u8 {
        self.act();
        let line = self.fetch(view.address_of(at), at);
        self.cache[line].bytes[at % LINE]
    }

    /// Stores a byte through a view.
    pub(super) fn store(&mut self, view: View, at: usize, byte: u8) {
        self.act();
        let line = self.fetch(view.address_of(at), at);
        self.cache[line].bytes[at % LINE] = byte;
        self.cache[line].dirty = true;
    }

    /// Writes the lines of a range of a view back and drops them.
    pub(super) fn writeback_invalidate(&mut self, view: View, range: Range<usize>) {
        for at in (range.start - range.start % LINE..range.end).step_by(LINE) {
            self.act();
            if let Some(line) = self.find(view.address_of(at), at) {
                self.evict(line);
            }
        }
        self.act();
    }

    /// What the cache does by itself before the next step: nothing, or one thing after the other.
    fn act(&mut self) {
        loop {
            let lines_of_views = self.memory.len() / LINE;
            let evictions = self.cache.len();
            let choice = self.whims.choose(1 + evictions + self.views.len() * lines_of_views);
            let Some(choice) = choice.checked_sub(1) else { return };
            if choice < evictions {
                let Line { address, place, dirty, .. } = self.cache[choice];
                writeln!(self.log, "evicts {place} at {address:#x}, dirty: {dirty}").unwrap();
                self.evict(choice);
            } else {
                let choice = choice - evictions;
                let view = self.views[choice / lines_of_views];
                let at = choice % lines_of_views * LINE;
                if at >= view.offset {
                    let address = view.address_of(at);
                    writeln!(self.log, "fetches {at} at {address:#x}").unwrap();
                    self.fetch(address, at);
                }
            }
        }
    }

    const fn set(&self, address: usize) -> usize {
        address / LINE % self.geometry.sets
    }

    /// The line in which an access hits.
    fn find(&self, address: usize, at: usize) -> Option<usize> {
        let (address, place) = (address - address % LINE, at - at % LINE);
        self.cache.iter().position(|line| {
            let same_tag = match self.geometry.tag {
                Tag::Physical => line.place == place,
                Tag::Virtual => line.address == address,
            };
            self.set(line.address) == self.set(address) && same_tag
        })
    }

    /// The line of an access, fetched from memory if it misses. The oldest line of a full set goes.
    fn fetch(&mut self, address: usize, at: usize) -> usize {
        if let Some(hit) = self.find(address, at) {
            return hit;
        }
        let (address, place) = (address - address % LINE, at - at % LINE);
        let set = self.set(address);
        let is_here = |line: &Line| self.set(line.address) == set;
        if self.cache.iter().filter(|line| is_here(line)).count() == self.geometry.ways {
            let oldest = self.cache.iter().position(is_here).unwrap();
            self.evict(oldest);
        }
        let bytes = [self.memory[place], self.memory[place + 1]];
        self.cache.push(Line { address, place, bytes, dirty: false });
        self.cache.len() - 1
    }

    /// Drops a line, after it was written back if it is dirty.
    fn evict(&mut self, line: usize) {
        let line = self.cache.remove(line);
        if line.dirty {
            self.memory[line.place..line.place + LINE].copy_from_slice(&line.bytes);
        }
    }
}

/// What the cache does by itself, decided beforehand: at each question the next answer, and the first one,
/// which is nothing, when there are none left.
#[derive(Clone, Debug, Default)]
pub(super) struct Whims {
    answers: Vec<usize>,
    /// How many answers there were to each question that was asked.
    asked: Vec<usize>,
    /// How many events are left.
    left: usize,
}

impl Whims {
    /// Given answers, each taken modulo what there is to choose from.
    pub(super) const fn given(answers: Vec<usize>) -> Self {
        Self { answers, asked: Vec::new(), left: usize::MAX }
    }

    fn choose(&mut self, among: usize) -> usize {
        let among = if self.left == 0 { 1 } else { among };
        let answer = self.answers.get(self.asked.len()).map_or(0, |answer| answer % among);
        self.asked.push(among);
        self.left -= usize::from(answer != 0);
        answer
    }
}

/// Runs a program under everything that the cache can do by itself in up to `events` events, and gives
/// what went wrong first, with what the cache had done; `None` if nothing ever does.
pub(super) fn worst_case(
    events: usize,
    machine: impl Fn(Whims) -> Machine,
    program: impl Fn(&RefCell<Machine>) -> Result<(), String>,
) -> Option<String> {
    let mut answers = Vec::new();
    loop {
        let whims = Whims { answers, asked: Vec::new(), left: events };
        let machine = RefCell::new(machine(whims));
        let outcome = program(&machine);
        let Machine { whims, log, .. } = machine.into_inner();
        if let Err(wrong) = outcome {
            return Some(alloc::format!("{wrong}, after the cache\n{log}"));
        }
        answers = next(whims)?;
    }
}

/// The answers of the next run, as one counts: the last that can be raised is, and all behind it are 0.
fn next(Whims { mut answers, asked, .. }: Whims) -> Option<Vec<usize>> {
    answers.resize(asked.len(), 0);
    while let Some(answer) = answers.pop() {
        if answer + 1 < asked[answers.len()] {
            answers.push(answer + 1);
            return Some(answers);
        }
    }
    None
}

/// What the kernel does for its own view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// A file in the page cache: `flush_dcache_folio` before a read, before a write and after it. It
    /// maintains the kernel's view alone, as on mips; others do more.
    PageCache,
    /// The same but for the one before a write, as on btrfs.
    PageCacheButBeforeWrites,
    /// A file that is mapped directly: nothing.
    Direct,
}

/// A file with its mapping and the kernel's view of it.
pub(super) struct ModelFile<'a> {
    pub(super) machine: &'a RefCell<Machine>,
    pub(super) mapping: View,
    pub(super) kernels: View,
    pub(super) kernel: Kernel,
    /// The step of the mapping that is left out, counted from 0 over the life of the file.
    pub(super) forgotten: Option<usize>,
    pub(super) steps: RefCell<usize>,
}

impl ModelFile<'_> {
    pub(super) fn load(&self, at: u64) -> u8 {
        self.machine.borrow_mut().load(self.mapping, index(at))
    }

    pub(super) fn store(&self, at: u64, byte: u8) {
        self.machine.borrow_mut().store(self.mapping, index(at), byte);
    }

    /// Whole pages, as `flush_dcache_folio` does.
    fn kernels_half(&self, at: u64, len: usize) {
        if self.kernel != Kernel::Direct {
            self.machine.borrow_mut().writeback_invalidate(self.kernels, pages(at, len));
        }
    }
}

impl TwoViews for ModelFile<'_> {
    type Error = core::convert::Infallible;

    /// Whole pages, as `madvise` does.
    fn writeback_invalidate(&self, range: &Range<u64>) -> Result<(), Self::Error> {
        let step = self.steps.replace_with(|steps| *steps + 1);
        if self.forgotten != Some(step) {
            let len = index(range.end - range.start);
            self.machine.borrow_mut().writeback_invalidate(self.mapping, pages(range.start, len));
        }
        Ok(())
    }

    fn kernel_read(&self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
        self.kernels_half(at, into.len());
        for (at, byte) in (index(at)..).zip(into) {
            *byte = self.machine.borrow_mut().load(self.kernels, at);
        }
        Ok(())
    }

    fn kernel_write(&self, at: u64, from: &[u8]) -> Result<(), Self::Error> {
        if self.kernel != Kernel::PageCacheButBeforeWrites {
            self.kernels_half(at, from.len());
        }
        for (at, byte) in (index(at)..).zip(from) {
            self.machine.borrow_mut().store(self.kernels, at, *byte);
        }
        self.kernels_half(at, from.len());
        Ok(())
    }
}

/// The pages that a range touches.
fn pages(at: u64, len: usize) -> Range<usize> {
    let (start, end) = (index(at), index(at) + len);
    start - start % PAGE..end.next_multiple_of(PAGE)
}

/// An offset in a file as one of memory.
pub(super) fn index(at: u64) -> usize {
    usize::try_from(at).unwrap()
}
