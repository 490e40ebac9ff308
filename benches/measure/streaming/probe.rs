//! The loops that are timed.
//!
//! Loads and write-backs use lines with one page and one cache set each. They access them in a random order, so that no
//! prefetcher fetches a line and no line evicts another. The contents of the lines are a chain: each names the next, so
//! a load waits for the previous one.

use super::{After, Controls, Figures, LINES, Line, Repeated, Streaming, Width, conclude};
use crate::measure::blocks::{Blocks, Loop, interleave};
use crate::measure::clock::Clock;
use crate::measure::lines::{State, data};
use crate::measure::statistics::{Estimate, NoEstimate};
use crate::measure::x86_64::{mfence, sfence, streaming, writeback_and_mfence};
use cachemaint::Cache;
use core::cell::Cell;
use core::hint::black_box;
use core::slice;
use core::sync::atomic::Ordering;

/// The lines in a page, plus one: the next page and the next cache set.
const STRIDE: usize = 65;

/// The contents of the lines: one array for each line.
type Image = [[u64; 8]; LINES];

/// How lines are filled before they are examined.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Not,
    Ordinary,
    Streaming(Width),
}

/// The loops, with their own memory.
#[derive(Debug)]
pub struct Loops {
    clock: Clock,
    cache: Cache,
    lines: Vec<Line>,
    /// The line that follows each in the chain.
    next: [usize; LINES],
    seed: Cell<u64>,
}

impl Loops {
    /// The number of stores of a loop over one line in one sample.
    const LINE_REPEATS: usize = 1000;
    /// The number of passes over 4 KiB in one sample.
    pub const PASSES: usize = 100;

    /// Returns loops timed by `clock`, with write-backs by `cache`.
    #[must_use]
    pub fn new(clock: Clock, cache: Cache) -> Self {
        let lines = (0..LINES * STRIDE).map(|_| Line::default()).collect();
        Self { clock, cache, lines, next: cycle(), seed: Cell::new(1) }
    }

    /// Returns the widths that this CPU supports.
    pub fn widths() -> impl Iterator<Item = Width> {
        Width::ALL.into_iter().filter(|width| streaming(*width).is_some())
    }

    /// Returns the nanoseconds for filling a line with streaming stores, and SFENCE, repeatedly. The line starts in
    /// `state`.
    #[must_use]
    pub fn line_ns(&self, width: Width, state: State) -> f64 {
        self.repeat(width, state, 1, Self::LINE_REPEATS)
    }

    /// Returns the nanoseconds for filling 4 KiB with streaming stores, and SFENCE, repeatedly. The lines start in
    /// `state`.
    #[must_use]
    pub fn pass_ns(&self, width: Width, state: State) -> f64 {
        self.repeat(width, state, LINES, Self::PASSES)
    }

    /// # Panics
    /// If the lines do not hold what the last pass stored.
    fn repeat(&self, width: Width, state: State, lines: usize, passes: usize) -> f64 {
        let images = [self.image(), self.image()];
        let neighbours = &self.lines[..lines];
        let stream = stream_by(width);
        self.prepare(|| neighbours.iter(), state, &images[1]);
        let ns = self.clock.time_completed(|| {
            for pass in 0..passes {
                stream(neighbours, &images[pass % 2][..lines]);
                sfence();
            }
        });
        check(neighbours.iter(), &images[(passes - 1) % 2]);
        ns / passes as f64
    }

    /// Returns the nanoseconds for a load from a line that was in `state` and was then filled.
    fn load_ns(&self, state: State, fill: Fill) -> f64 {
        self.look(state, fill, || {
            let mut place = 0;
            for _ in 0..LINES {
                let Some(Line([link, ..])) = self.lines.get(place * STRIDE) else { return };
                place = to_place(link.load(Ordering::Relaxed));
            }
            black_box(place);
        })
    }

    /// Returns the nanoseconds for the write-back and MFENCE of a line that was in `state` and was then filled.
    fn writeback_ns(&self, state: State, fill: Fill) -> f64 {
        self.look(state, fill, || {
            let mut place = 0;
            for _ in 0..LINES {
                if let Some(line) = self.lines.get(place * STRIDE) {
                    writeback_and_mfence(self.cache, line);
                }
                place = self.next[place];
            }
        })
    }

    /// Brings the scattered lines into the state, fills them, and returns the time of `work` for one of them.
    ///
    /// # Panics
    /// If the lines do not hold what they should afterwards.
    fn look(&self, state: State, fill: Fill, work: impl FnOnce()) -> f64 {
        let (before, image) = (self.image(), self.image());
        let scattered = || self.lines.iter().step_by(STRIDE);
        self.prepare(scattered, state, &before);
        match fill {
            Fill::Not => {}
            Fill::Ordinary => store(scattered(), &image),
            Fill::Streaming(width) => {
                let stream = stream_by(width);
                for (line, from) in scattered().zip(&image) {
                    stream(slice::from_ref(line), slice::from_ref(from));
                }
                sfence();
            }
        }
        mfence();
        let ns = self.clock.time(work);
        check(scattered(), if matches!(fill, Fill::Not) { &before } else { &image });
        ns / LINES as f64
    }

    fn prepare<'a, I>(&'a self, lines: impl Fn() -> I, state: State, image: &Image)
    where
        I: Iterator<Item = &'a Line>,
    {
        store(lines(), image);
        if state != State::Dirty {
            self.cache.batch(|batch| lines().for_each(|line| batch.writeback_invalidate(line)));
        }
        if state == State::Clean {
            check(lines(), image);
        }
        mfence();
    }

    /// Returns new content: the chain, and nonzero words that were not there before.
    fn image(&self) -> Image {
        let seed = self.seed.get() + 1;
        self.seed.set(seed);
        core::array::from_fn(|line| {
            let mut words = core::array::from_fn(|word| data(seed, 8 * line + word));
            words[0] = to_link(seed, self.next[line]);
            words
        })
    }
}

/// # Panics
/// If the CPU does not have streaming stores of this width.
fn stream_by(width: Width) -> impl Fn(&[Line], &[[u64; 8]]) {
    streaming(width)
        .unwrap_or_else(|| unreachable!("no streaming stores of {} bytes here", width.bytes()))
}

/// Returns a cycle through all lines in a fixed, random-looking order: the full period of a linear congruence (Knuth,
/// *The Art of Computer Programming* vol. 2, §3.2.1.2, theorem A: the increment is odd and the multiplier 1 modulo 4).
fn cycle() -> [usize; LINES] {
    core::array::from_fn(|place| (place * 37 + 29) % LINES)
}

/// Returns the word that names a place: never 0, and different for every seed.
const fn to_link(seed: u64, place: usize) -> u64 {
    seed * LINES as u64 + place as u64
}

/// Returns the place that the word names.
#[expect(clippy::cast_possible_truncation, reason = "it is less than the number of lines")]
const fn to_place(link: u64) -> usize {
    (link % LINES as u64) as usize
}

#[expect(single_use_lifetimes, reason = "it cannot be elided in an argument's `impl`")]
fn store<'a>(lines: impl Iterator<Item = &'a Line>, image: &Image) {
    for (Line(words), from) in lines.zip(image) {
        words.iter().zip(from).for_each(|(word, from)| word.store(*from, Ordering::Relaxed));
    }
}

#[expect(single_use_lifetimes, reason = "it cannot be elided in an argument's `impl`")]
fn check<'a>(lines: impl Iterator<Item = &'a Line>, image: &Image) {
    let wrong = lines.zip(image).filter(|(Line(words), from)| {
        words.iter().zip(*from).any(|(word, from)| word.load(Ordering::Relaxed) != *from)
    });
    assert_eq!(wrong.count(), 0, "lines that differ from the stored ones");
}

/// Measures all widths that this CPU supports, with controls, all interleaved. Write-backs use `cache`.
///
/// # Errors
/// If a measured value is not a number.
pub fn measure(
    clock: Clock,
    cache: Cache,
    blocks: Blocks,
    progress: &mut dyn FnMut(),
) -> Result<Streaming, NoEstimate> {
    let loops = &Loops::new(clock, cache);
    let mut timed: Vec<Loop<'_, f64>> = vec![
        Box::new(|| loops.load_ns(State::Clean, Fill::Not)),
        Box::new(|| loops.load_ns(State::NotCached, Fill::Not)),
        Box::new(|| loops.writeback_ns(State::Clean, Fill::Ordinary)),
        Box::new(|| loops.writeback_ns(State::Clean, Fill::Not)),
        Box::new(|| loops.writeback_ns(State::NotCached, Fill::Not)),
    ];
    for width in Loops::widths() {
        let fill = Fill::Streaming(width);
        for state in STATES {
            timed.push(Box::new(move || loops.load_ns(state, fill)));
        }
        for state in STATES {
            timed.push(Box::new(move || loops.writeback_ns(state, fill)));
        }
        for state in [State::Clean, State::NotCached] {
            timed.push(Box::new(move || loops.line_ns(width, state)));
        }
        for state in [State::Clean, State::NotCached] {
            timed.push(Box::new(move || loops.pass_ns(width, state)));
        }
    }
    let samples = interleave(blocks, &mut timed, progress);
    let mut samples = samples.iter();
    let mut next = || Estimate::of(samples.next().map_or(&[], Vec::as_slice));
    let controls = controls(&mut next)?;
    let figures: Result<Vec<_>, _> =
        Loops::widths().map(|width| figures(width, &mut next)).collect();
    let figures = figures?;
    let conclusion = conclude(&controls, &figures);
    Ok(Streaming {
        writeback: cache.writeback_choice().instruction.name,
        controls,
        figures,
        conclusion,
    })
}

/// The order of [`After`].
const STATES: [State; 3] = [State::Clean, State::Dirty, State::NotCached];

type Next<'a> = dyn FnMut() -> Result<Estimate, NoEstimate> + 'a;

fn controls(next: &mut Next<'_>) -> Result<Controls, NoEstimate> {
    Ok(Controls {
        load_cached_ns: next()?,
        load_not_cached_ns: next()?,
        writeback_dirty_ns: next()?,
        writeback_clean_ns: next()?,
        writeback_not_cached_ns: next()?,
    })
}

fn figures(width: Width, next: &mut Next<'_>) -> Result<Figures, NoEstimate> {
    Ok(Figures {
        store_bytes: width,
        load_ns: after(next)?,
        writeback_ns: after(next)?,
        line_ns: repeated(next)?,
        pass_ns: repeated(next)?,
    })
}

fn after(next: &mut Next<'_>) -> Result<After, NoEstimate> {
    Ok(After { clean: next()?, dirty: next()?, not_cached: next()? })
}

fn repeated(next: &mut Next<'_>) -> Result<Repeated, NoEstimate> {
    Ok(Repeated { cached: next()?, not_cached: next()? })
}

#[cfg(test)]
mod tests {
    use super::{LINES, cycle};

    /// A chain that closes early would load the same few lines again, which hit.
    #[test]
    fn the_chain_goes_through_all_lines() {
        let next = cycle();
        let mut seen = [false; LINES];
        let mut place = 0;
        for _ in 0..LINES {
            seen[place] = true;
            place = next[place];
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(place, 0);
    }
}
