//! Choices that are made again and again until each was made: depth first, by running the same code with
//! a remembered beginning.

use alloc::vec::Vec;
/// One choice: which alternative was taken, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    taken: u32,
    of: u32,
}

/// How the next run chooses where nothing is remembered.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// The first alternative; all others have their turn later.
    All,
    /// The same, but with so many choices of another than the first.
    AtMost(u32),
    /// At random; nothing has its turn later.
    Random(fastrand::Rng),
}

/// The choices of a run.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    way: Way,
    made: Vec<Choice>,
    /// How many of them this run has made again.
    next: usize,
    /// Choices that were remembered and met another number of alternatives.
    differs: bool,
}

impl Choices {
    pub(super) const fn new(way: Way) -> Self {
        Self { way, made: Vec::new(), next: 0, differs: false }
    }

    /// Those that begin with the ones given and go on with the first alternative.
    pub(super) fn beginning(taken: &[u32]) -> Self {
        let made = taken.iter().map(|taken| Choice { taken: *taken, of: 0 }).collect();
        Self { way: Way::All, made, next: 0, differs: false }
    }

    /// Chooses one of so many alternatives, of which there are at least two.
    pub(super) fn choose(&mut self, of: u32) -> u32 {
        if let Some(choice) = self.made.get_mut(self.next) {
            self.next += 1;
            // A beginning that was given is taken as far as it fits.
            if choice.of == 0 {
                *choice = Choice { taken: choice.taken.min(of - 1), of };
            }
            self.differs |= choice.of != of && !matches!(self.way, Way::AtMost(_));
            return choice.taken.min(of - 1);
        }
        let choice = match &mut self.way {
            Way::All => Choice { taken: 0, of },
            Way::AtMost(limit) => {
                let spent = self.made.iter().filter(|choice| choice.taken > 0).count();
                Choice { taken: 0, of: if spent < *limit as usize { of } else { 1 } }
            }
            Way::Random(source) => Choice { taken: source.u32(0..of), of },
        };
        self.made.push(choice);
        self.next += 1;
        choice.taken
    }

    /// How many choices this run has made.
    pub(super) const fn depth(&self) -> usize {
        self.next
    }

    /// Whether the run chose between other alternatives than the one before, at the same place.
    pub(super) const fn differs(&self) -> bool {
        self.differs
    }

    /// Which alternatives this run took.
    pub(super) fn taken(&self) -> Vec<u32> {
        self.made[..self.next].iter().map(|choice| choice.taken).collect()
    }

    /// Prepares the next run: the last choice that has another alternative takes it. Returns how many
    /// choices stay as they were, or nothing if all was tried.
    pub(super) fn advance(&mut self) -> Option<usize> {
        self.made.truncate(self.next);
        self.next = 0;
        if matches!(self.way, Way::Random(_)) {
            self.made.clear();
            return Some(0);
        }
        while let Some(last) = self.made.last_mut() {
            if last.taken + 1 < last.of {
                last.taken += 1;
                return Some(self.made.len() - 1);
            }
            self.made.pop();
        }
        None
    }
}
