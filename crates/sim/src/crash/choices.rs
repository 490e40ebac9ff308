//! Choices that are made again and again until each was made: depth first, by running the same code with
//! a remembered beginning.

use alloc::vec::Vec;

/// The strategy of the next run where it has no remembered choice.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    All,
    /// The first alternative, with at most this number of choices of another. All others have their turn later.
    NearFirst(u32),
    /// The last alternative, with at most this number of choices of another.
    NearLast(u32),
    /// At random; nothing has its turn later.
    Random(fastrand::Rng),
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    /// The number of alternatives; 0 if only the taken one is known.
    of: u32,
    taken: u32,
    /// The number of alternatives taken before it, in earlier runs.
    turn: u32,
    turns: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Choices {
    way: Way,
    made: Vec<Choice>,
    /// The number of them that this run has made again.
    next: usize,
    /// The number of choices of this run that are not the first to be tried.
    deviations: u32,
    /// Choices that were remembered and met another number of alternatives.
    differs: bool,
}

impl Choices {
    pub(crate) const fn new(way: Way) -> Self {
        Self { way, made: Vec::new(), next: 0, deviations: 0, differs: false }
    }

    /// Returns choices that begin with the given ones and go on with the first alternative.
    pub(crate) fn beginning(taken: &[u32]) -> Self {
        let choice = |taken: &u32| Choice { of: 0, taken: *taken, turn: 0, turns: 1 };
        let made = taken.iter().map(choice).collect();
        Self { made, ..Self::new(Way::All) }
    }

    /// Chooses one of `of` alternatives. There are at least two.
    pub(crate) fn choose(&mut self, of: u32) -> u32 {
        if self.next == self.made.len() {
            let choice = self.first(of);
            self.made.push(choice);
        }
        let choice = &mut self.made[self.next];
        self.differs |= choice.of != 0 && choice.of != of;
        choice.of = of;
        self.next += 1;
        self.deviations += u32::from(choice.turn > 0);
        // A beginning that was given is taken as far as it fits.
        choice.taken.min(of - 1)
    }

    /// Returns the choice that takes first one of `of` alternatives.
    fn first(&mut self, of: u32) -> Choice {
        let turns = |limit: u32| if self.deviations < limit { of } else { 1 };
        match &mut self.way {
            Way::All => Choice { of, taken: 0, turn: 0, turns: of },
            Way::NearFirst(limit) => Choice { of, taken: 0, turn: 0, turns: turns(*limit) },
            Way::NearLast(limit) => Choice { of, taken: of - 1, turn: 0, turns: turns(*limit) },
            Way::Random(source) => Choice { of, taken: source.u32(0..of), turn: 0, turns: 1 },
        }
    }

    /// Returns the number of choices that this run has made.
    pub(crate) const fn depth(&self) -> usize {
        self.next
    }

    /// Returns true if the run chose between other alternatives than the one before, at the same place.
    pub(crate) const fn differs(&self) -> bool {
        self.differs
    }

    pub(crate) fn taken(&self) -> Vec<u32> {
        self.made[..self.next].iter().map(|choice| choice.taken).collect()
    }

    /// Prepares the next run: the last choice that has another alternative takes it. Returns the number of choices that
    /// stay the same, or `None` if all was tried.
    pub(crate) fn advance(&mut self) -> Option<usize> {
        self.made.truncate(self.next);
        (self.next, self.deviations) = (0, 0);
        if matches!(self.way, Way::Random(_)) {
            self.made.clear();
            return Some(0);
        }
        while let Some(last) = self.made.last_mut() {
            if last.turn + 1 < last.turns {
                last.turn += 1;
                last.taken = if matches!(self.way, Way::NearLast(_)) {
                    last.taken - 1
                } else {
                    last.taken + 1
                };
                return Some(self.made.len() - 1);
            }
            self.made.pop();
        }
        None
    }
}
