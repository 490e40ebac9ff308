//! Choices that are repeated until every alternative was tried: depth first, by running the same code with a remembered
//! prefix.

use alloc::vec::Vec;

/// The strategy for choices beyond the remembered ones.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    All,
    /// The first alternative, with at most this number of other choices. All others are tried later.
    NearFirst(u32),
    /// The last alternative, with at most this number of other choices.
    NearLast(u32),
    /// A random alternative; the others are not tried later.
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
    /// True if the alternatives are tried from the last one down.
    descends: bool,
}

/// One in this number of rare choices is not the first alternative.
const RARELY: u32 = 16;

impl Choice {
    /// Returns a choice whose other alternatives are not tried.
    const fn only(of: u32, taken: u32) -> Self {
        Self { of, taken, turn: 0, turns: 1, descends: false }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Choices {
    way: Way,
    made: Vec<Choice>,
    /// The number of remembered choices that this run has repeated.
    next: usize,
    /// The number of choices of this run other than the first to be tried.
    deviations: u32,
    /// True if a remembered choice met another number of alternatives.
    differs: bool,
    /// The random choice of a crash's damage, if it is random.
    damage: Option<fastrand::Rng>,
}

impl Choices {
    pub(crate) const fn new(way: Way) -> Self {
        Self { way, made: Vec::new(), next: 0, deviations: 0, differs: false, damage: None }
    }

    /// Returns choices that begin with the given ones and continue with first alternatives.
    pub(crate) fn beginning(taken: &[u32]) -> Self {
        let choice = |taken: &u32| Choice::only(0, *taken);
        let made = taken.iter().map(choice).collect();
        Self { made, ..Self::new(Way::All) }
    }

    /// Returns choices with random damage of a crash.
    #[cfg(feature = "histories")]
    pub(crate) fn damaged_by(self, chance: fastrand::Rng) -> Self {
        Self { damage: Some(chance), ..self }
    }

    /// Chooses one of `of` alternatives. There are at least two.
    pub(crate) fn choose(&mut self, of: u32) -> u32 {
        if self.next == self.made.len() {
            let choice = self.first(of);
            self.made.push(choice);
        }
        self.take(of)
    }

    /// Chooses as [`choose`](Self::choose); if random, mostly the first alternative, since a run has many such choices.
    pub(crate) fn choose_rarely(&mut self, of: u32) -> u32 {
        if self.next == self.made.len()
            && let Way::Random(source) = &mut self.way
        {
            let taken = if source.u32(0..RARELY) == 0 { source.u32(1..of) } else { 0 };
            self.made.push(Choice::only(of, taken));
        }
        self.choose(of)
    }

    /// Chooses one of `of` alternatives, of which the first means no damage. If random, it is as likely as all others
    /// together.
    pub(crate) fn choose_damage(&mut self, of: u32) -> u32 {
        if self.next == self.made.len() {
            let chance = match &mut self.way {
                Way::Random(source) => Some(source),
                _ => self.damage.as_mut(),
            };
            let by_chance = chance.map(|chance| chance.bool().then(|| chance.u32(1..of)));
            let choice = match by_chance {
                Some(taken) => Choice::only(of, taken.unwrap_or(0)),
                None => Choice { taken: 0, descends: false, ..self.first(of) },
            };
            self.made.push(choice);
        }
        self.take(of)
    }

    /// Repeats the next remembered choice.
    fn take(&mut self, of: u32) -> u32 {
        let choice = &mut self.made[self.next];
        self.differs |= choice.of != 0 && choice.of != of;
        choice.of = of;
        self.next += 1;
        self.deviations += u32::from(choice.turn > 0);
        // A given prefix is followed as far as it fits.
        choice.taken.min(of - 1)
    }

    /// Returns a new choice among `of` alternatives, with the one to try first.
    fn first(&mut self, of: u32) -> Choice {
        let turns = |limit: u32| if self.deviations < limit { of } else { 1 };
        match &mut self.way {
            Way::All => Choice { turns: of, ..Choice::only(of, 0) },
            Way::NearFirst(limit) => Choice { turns: turns(*limit), ..Choice::only(of, 0) },
            Way::NearLast(limit) => {
                Choice { turns: turns(*limit), descends: true, ..Choice::only(of, of - 1) }
            }
            Way::Random(source) => Choice::only(of, source.u32(0..of)),
        }
    }

    /// Returns the number of choices that this run has made.
    pub(crate) const fn depth(&self) -> usize {
        self.next
    }

    /// Returns true if the run had other alternatives than the previous one at the same choice.
    pub(crate) const fn differs(&self) -> bool {
        self.differs
    }

    pub(crate) fn taken(&self) -> Vec<u32> {
        self.made[..self.next].iter().map(|choice| choice.taken).collect()
    }

    /// Prepares the next run: the last choice with an untried alternative takes it. Returns the number of choices that
    /// stay the same, or `None` if everything was tried.
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
                last.taken = if last.descends { last.taken - 1 } else { last.taken + 1 };
                return Some(self.made.len() - 1);
            }
            self.made.pop();
        }
        None
    }
}
