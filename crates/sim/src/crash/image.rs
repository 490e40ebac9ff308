//! The bytes that a crash left. They are decided when they are read.
//!
//! After a crash each line is in one of several states. Nothing is decided until recovery reads a word with different
//! values in the remaining states. Then one value is chosen, and only the states of the line with that value remain.
//! Words that are not read are never decided, so one run of recovery covers all states that it cannot distinguish.
//!
//! If a crash cuts recovery itself, recovery's stores lie over the states that it had left undecided. An image is
//! therefore a stack of [`Layer`]s over the initial bytes.

use super::choices::Choices;
use super::damage::{BadBlock, Damage, DamageKind, Exposure, blocks};
use crate::machine::history::{Bounds, History, Line, What, Write};
use crate::machine::model::WORD;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// A run that a crash cut.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) history: Arc<History>,
    /// The events before the crash.
    pub(crate) cut: u32,
    /// The lines with a word that was undecided when it was read, in order, and their remaining states.
    decided: Vec<(usize, Bounds)>,
    pub(crate) damage: Option<Damage>,
}

/// The value of a word in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Stored(u64),
    /// The value of the layer below: no store of this layer is kept.
    Below,
}

/// Consecutive store counts that give a word the same value.
#[derive(Debug)]
struct Run {
    numbers: Range<u32>,
    value: Value,
}

impl Layer {
    pub(crate) fn new(history: Arc<History>, cut: u32) -> Self {
        Self { history, cut, decided: Vec::new(), damage: None }
    }

    /// Returns the place of a line among the decided ones, or else the place to insert it.
    fn place(&self, line: usize) -> Result<usize, usize> {
        self.decided.binary_search_by_key(&line, |(decided, _)| *decided)
    }

    /// Returns the remaining states of a line, if something about it was decided.
    fn left(&self, line: usize) -> Option<&Bounds> {
        self.place(line).ok().map(|place| &self.decided[place].1)
    }

    /// Returns the states that are possible for a line now.
    pub(crate) fn bounds(&self, line: usize, stores: &Line) -> Bounds {
        self.left(line).cloned().unwrap_or_else(|| Bounds::at(stores, self.cut))
    }

    /// Returns the numbers that are possible for a word now.
    fn numbers(&self, line: usize, word: usize, stores: &Line) -> Range<u32> {
        match self.left(line) {
            Some(bounds) => bounds.low[word]..bounds.high[word] + 1,
            None => stores.sure(word, self.cut)..stores.made(word, self.cut) + 1,
        }
    }

    /// Returns the words that were stored before the crash.
    pub(crate) fn stored(&self) -> impl Iterator<Item = u64> {
        let Self { history, cut, .. } = self;
        history.stored().flat_map(move |(line, stores)| {
            let words = (0..stores.len()).filter(|word| stores.made(*word, *cut) > 0);
            words.map(move |word| history.model.offset(line, word))
        })
    }

    /// Returns the bits of a word that the crash has flipped.
    fn flipped(&self, at: u64) -> u64 {
        self.damage.as_ref().map_or(0, |damage| damage.flipped(at))
    }

    /// Returns the starts of the sectors with pending stores that were made persistent before.
    pub(super) fn torn_sectors(&self, bytes: u64) -> BTreeSet<u64> {
        let sectors = |is_one: &dyn Fn(&Line) -> bool| {
            let lines = self.history.stored().filter(|(_, stores)| is_one(stores));
            blocks(lines.map(|(line, _)| self.history.model.offset(line, 0)), bytes)
        };
        let persisted = sectors(&|stores| stores.last_sure(self.cut).is_some());
        let open = sectors(&|stores| {
            (0..stores.len()).any(|word| stores.made(word, self.cut) > stores.sure(word, self.cut))
        });
        &persisted & &open
    }

    /// Returns the lines of a range that were stored to.
    fn lines(&self, range: &Range<u64>) -> impl Iterator<Item = (usize, &Line)> {
        let at = |line| self.history.model.offset(line, 0);
        self.history.stored().filter(move |(line, _)| range.contains(&at(*line)))
    }

    /// Gives a sector the content from before it was last made persistent.
    fn lose(&mut self, sector: &Range<u64>) {
        let last = self.lines(sector).filter_map(|(_, stores)| stores.last_sure(self.cut)).max();
        let Some(before) = last.map(|last| last - 1) else { return };
        let old = |(line, stores): (usize, &Line)| {
            let counts = || (0..stores.len()).map(|word| stores.sure(word, before)).collect();
            (line, Bounds { low: counts(), high: counts() })
        };
        let mut decided: Vec<_> = self.lines(sector).map(old).collect();
        decided.sort_by_key(|(line, _)| *line);
        self.decided = decided;
    }

    /// Keeps the states in which the number of a word is in the range.
    fn decide(&mut self, line: usize, word: usize, numbers: &Range<u32>) {
        let Some(stores) = self.history.line(line) else { return };
        let place = self.place(line).unwrap_or_else(|place| {
            self.decided.insert(place, (line, Bounds::at(stores, self.cut)));
            place
        });
        self.decided[place].1.restrict(stores, word, numbers);
    }
}

/// The memory after one or more crashes.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The initial words, before anything was run.
    beginning: Arc<[u64]>,
    pub(crate) layers: Vec<Layer>,
    settled: Arc<Settled>,
    exposure: Arc<Exposure>,
    /// True if nothing was read since the last crash, which may have left damage.
    is_fresh: bool,
}

/// The words with only one possible value after the last crash. These are most words, and are read fast.
#[derive(Clone, Debug)]
struct Settled {
    words: Box<[u64]>,
    /// True for each word that has no value yet.
    open: Box<[bool]>,
}

impl Image {
    pub(crate) fn new(beginning: Arc<[u64]>) -> Self {
        let words = beginning.iter().copied().collect();
        let open = vec![false; beginning.len()].into();
        let settled = Arc::new(Settled { words, open });
        Self { beginning, layers: Vec::new(), settled, exposure: Arc::default(), is_fresh: false }
    }

    /// Returns the same image, with crashes that may leave damage.
    pub(crate) fn exposed(self, exposure: Arc<Exposure>) -> Self {
        Self { exposure, ..self }
    }

    pub(crate) fn under(mut self, layer: Layer) -> Self {
        let history = Arc::clone(&layer.history);
        let damage = layer.damage.clone();
        self.layers.push(layer);
        self.settle(&history);
        if let Some(damage) = damage {
            self.unsettle(&damage);
        }
        self.is_fresh = true;
        self
    }

    /// Finds the words of stored lines with only one value.
    fn settle(&mut self, history: &History) {
        // Mostly only this image uses it, so the size of the medium does not matter.
        let Self { beginning, layers, settled, .. } = self;
        let Settled { words, open } = Arc::make_mut(settled);
        for (line, _) in history.stored() {
            for word in 0..history.model.words() {
                let at = history.model.offset(line, word);
                let place = (at / WORD) as usize;
                if place < words.len() {
                    let known = known(beginning, layers, at, u64::MAX);
                    open[place] = known.is_none();
                    words[place] = known.unwrap_or(0);
                }
            }
        }
    }

    /// Returns the same image with the last crash at another event.
    pub(crate) fn cut(&self, cut: u32) -> Self {
        let mut layers = self.layers.clone();
        let last = layers.pop().map(|last| Layer::new(last.history, cut));
        let beginning = Self::new(Arc::clone(&self.beginning)).exposed(Arc::clone(&self.exposure));
        layers.into_iter().chain(last).fold(beginning, Self::under)
    }

    /// Returns the damage of the crashes, if there is one.
    pub(crate) fn damage(&self) -> Option<&Damage> {
        self.layers.iter().find_map(|layer| layer.damage.as_ref())
    }

    /// Returns the bad block that contains some of these bytes.
    pub(crate) fn bad(&self, bytes: &Range<u64>) -> Option<BadBlock> {
        let damage = self.damage()?;
        let is_bad = matches!(damage.kind, DamageKind::BadBlock { .. }) && damage.is_in(bytes);
        is_bad.then(|| BadBlock { range: damage.range.clone() })
    }

    /// Chooses the damage that the last crash has left, before anything is read. There is at most one damage in all.
    pub(crate) fn choose_damage(&mut self, choices: &mut Choices) {
        let damages = self.damages();
        self.is_fresh = false;
        if damages.is_empty() {
            return;
        }
        let taken = choices.choose_damage(damages.len() as u32 + 1);
        if let Some(taken) = taken.checked_sub(1) {
            self.suffer(&damages[taken as usize]);
        }
    }

    /// Returns true if the damage of the last crash is yet to be chosen.
    pub(crate) fn may_be_damaged(&self) -> bool {
        !self.damages().is_empty()
    }

    fn damages(&self) -> Vec<Damage> {
        let is_open = self.is_fresh && self.damage().is_none();
        if is_open { self.exposure.damages(&self.layers, self.len()) } else { Vec::new() }
    }

    fn suffer(&mut self, damage: &Damage) {
        let Some(last) = self.layers.last_mut() else { return };
        if let DamageKind::LostSector { .. } = damage.kind {
            last.lose(&damage.range);
        }
        last.damage = Some(damage.clone());
        self.unsettle(damage);
    }

    /// Makes damaged words be read the slow way.
    fn unsettle(&mut self, damage: &Damage) {
        let Range { start, end } = damage.range;
        let open = &mut Arc::make_mut(&mut self.settled).open;
        open[(start / WORD) as usize..(end / WORD) as usize].fill(true);
    }

    /// Returns the image in which a store that the last crash left undecided is kept, or lost.
    pub(crate) fn with_store(mut self, event: u32, is_kept: bool) -> Self {
        let Some(layer) = self.layers.last_mut() else { return self };
        let history = Arc::clone(&layer.history);
        let What::Store { at, len, .. } = history.events[event as usize].what else { return self };
        for at in (at..at + len).step_by(WORD as usize) {
            let (line, word) = history.model.place(at);
            let Some(stores) = history.line(line) else { continue };
            let Some(number) = stores.number(word, event) else { continue };
            let numbers = layer.numbers(line, word, stores);
            let left = if is_kept { number + 1..numbers.end } else { numbers.start..number + 1 };
            if !left.is_empty() {
                layer.decide(line, word, &left);
            }
        }
        self
    }

    pub(crate) fn len(&self) -> u64 {
        self.beginning.len() as u64 * WORD
    }

    /// Returns the bytes of a word under the mask, and decides them if necessary.
    #[inline]
    pub(crate) fn read(&mut self, at: u64, mask: u64, choices: &mut Choices) -> u64 {
        let place = (at / WORD) as usize;
        if self.settled.open[place] {
            self.read_below(self.layers.len(), at, mask, choices)
        } else {
            self.settled.words[place] & mask
        }
    }

    /// Reads the same from only the lowest layers.
    fn read_below(&mut self, layers: usize, at: u64, mask: u64, choices: &mut Choices) -> u64 {
        let Some(top) = layers.checked_sub(1) else {
            return self.beginning[(at / WORD) as usize] & mask;
        };
        let layer = &self.layers[top];
        let flipped = layer.flipped(at) & mask;
        let (line, word) = layer.history.model.place(at);
        let Some(stores) = layer.history.line(line) else {
            return self.read_below(top, at, mask, choices) ^ flipped;
        };
        let numbers = layer.numbers(line, word, stores);
        let writes = stores.writes(word);
        if numbers.len() == 1 {
            let value = match value(writes, numbers.start, mask) {
                Value::Stored(value) => value,
                Value::Below => self.read_below(top, at, mask, choices),
            };
            return value ^ flipped;
        }
        let below = if numbers.start == 0 {
            known(&self.beginning, &self.layers[..top], at, mask)
        } else {
            None
        };
        let mut runs = runs(writes, numbers, mask, below);
        let taken = match runs.len() {
            1 => 0,
            several => choices.choose(several as u32) as usize,
        };
        let Run { numbers, value } = runs.swap_remove(taken);
        self.layers[top].decide(line, word, &numbers);
        let value = match value {
            Value::Stored(value) => value,
            Value::Below => self.read_below(top, at, mask, choices),
        };
        value ^ flipped
    }

    /// Returns a word of a possible state: the one with the latest stores wherever it is undecided.
    pub(crate) fn latest(&self, at: u64) -> u64 {
        let mut flipped = 0;
        for layer in self.layers.iter().rev() {
            flipped ^= layer.flipped(at);
            let (line, word) = layer.history.model.place(at);
            let Some(stores) = layer.history.line(line) else { continue };
            let number = layer.numbers(line, word, stores).end - 1;
            if let Value::Stored(value) = value(stores.writes(word), number, u64::MAX) {
                return value ^ flipped;
            }
        }
        self.beginning[(at / WORD) as usize] ^ flipped
    }
}

/// Returns the bytes of a word in these layers over the initial bytes, if they have only one value.
fn known(beginning: &[u64], layers: &[Layer], at: u64, mask: u64) -> Option<u64> {
    let Some((layer, layers)) = layers.split_last() else {
        return Some(beginning[(at / WORD) as usize] & mask);
    };
    let below = || known(beginning, layers, at, mask);
    let value = known_in(layer, at, mask, below)?;
    Some(value ^ layer.flipped(at) & mask)
}

/// Returns the same without the damage to the layer, over the value below.
fn known_in(layer: &Layer, at: u64, mask: u64, below: impl Fn() -> Option<u64>) -> Option<u64> {
    let (line, word) = layer.history.model.place(at);
    let Some(stores) = layer.history.line(line) else { return below() };
    let numbers = layer.numbers(line, word, stores);
    // The usual case, which needs no list.
    if numbers.len() == 1 {
        return match value(stores.writes(word), numbers.start, mask) {
            Value::Stored(value) => Some(value),
            Value::Below => below(),
        };
    }
    let below = if numbers.start == 0 { Some(below()?) } else { None };
    match runs(stores.writes(word), numbers, mask, below).as_slice() {
        [Run { value: Value::Stored(value), .. }] => Some(*value),
        [Run { value: Value::Below, .. }] => below,
        _ => None,
    }
}

/// Returns the value of a word after the first `number` of its stores.
fn value(writes: &[Write], number: u32, mask: u64) -> Value {
    match number.checked_sub(1) {
        None => Value::Below,
        Some(last) => Value::Stored(writes[last as usize].value & mask),
    }
}

/// Returns the store counts, grouped by the value that they give the word, the latest first. `below` is the value
/// without any store, if it is known.
fn runs(writes: &[Write], numbers: Range<u32>, mask: u64, below: Option<u64>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::with_capacity(2);
    for number in numbers.rev() {
        let value = match (value(writes, number, mask), below) {
            (Value::Below, Some(below)) => Value::Stored(below),
            (value, _) => value,
        };
        match runs.last_mut() {
            Some(run) if run.value == value => run.numbers.start = number,
            _ => runs.push(Run { numbers: number..number + 1, value }),
        }
    }
    runs
}
