//! Several loops, one block of each in turn, so that changes over time (frequency, neighbours, interrupts) affect all
//! of them equally.

/// The number of measured blocks of each loop: at least [`MINIMUM`](Self::MINIMUM).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks(usize);

impl Blocks {
    /// Below this number, the interval of a median is too wide to be useful.
    pub const MINIMUM: usize = 30;
    /// The minimum.
    pub const FEWEST: Self = Self(Self::MINIMUM);

    /// Returns this many blocks, or `None` if they are fewer than [`MINIMUM`](Self::MINIMUM).
    #[must_use]
    pub const fn new(blocks: usize) -> Option<Self> {
        if blocks < Self::MINIMUM { None } else { Some(Self(blocks)) }
    }

    /// Returns this many blocks, or the minimum if that is more.
    #[must_use]
    pub const fn at_least(blocks: usize) -> Self {
        if blocks < Self::MINIMUM { Self::FEWEST } else { Self(blocks) }
    }

    /// Returns the number of blocks.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

/// A loop that measures one block of itself and returns the result. It also prepares the block and checks its result,
/// outside the timed part.
pub type Loop<'a, T> = Box<dyn FnMut() -> T + 'a>;

/// Measures `blocks` blocks of each loop, interleaved, after one that is not counted. Each round starts with a
/// different loop, so that no loop always has the same predecessor.
///
/// Returns the samples of each loop, in the order of the loops; the samples with the same index were
/// taken in the same round. Calls `progress` after each round.
pub fn interleave<T>(
    blocks: Blocks,
    loops: &mut [Loop<'_, T>],
    progress: &mut dyn FnMut(),
) -> Vec<Vec<T>> {
    let count = loops.len();
    rounds(blocks, loops, count, progress)
}

/// Does the same with a second copy of the first loop, its control. Returns the samples of that copy apart.
pub fn interleave_with_control<T>(
    blocks: Blocks,
    loops: &mut [Loop<'_, T>],
    progress: &mut dyn FnMut(),
) -> (Vec<Vec<T>>, Vec<T>) {
    let count = loops.len() + 1;
    let mut samples = rounds(blocks, loops, count, progress);
    let control = samples.pop().unwrap_or_default();
    (samples, control)
}

/// Measures `count` places in each round. Those after the last loop have the first ones again.
fn rounds<T>(
    blocks: Blocks,
    loops: &mut [Loop<'_, T>],
    count: usize,
    progress: &mut dyn FnMut(),
) -> Vec<Vec<T>> {
    for each in loops.iter_mut() {
        drop(each());
    }
    let mut samples: Vec<Vec<T>> = (0..count).map(|_| Vec::with_capacity(blocks.0)).collect();
    for round in 0..blocks.0 {
        let (before, from) = split(count, round);
        for place in from.chain(before) {
            let number = place % loops.len().max(1);
            if let (Some(each), Some(into)) = (loops.get_mut(number), samples.get_mut(place)) {
                into.push(each());
            }
        }
        progress();
    }
    samples
}

/// Returns the loops before the first one of this round, and those from it on.
fn split(loops: usize, round: usize) -> (core::ops::Range<usize>, core::ops::Range<usize>) {
    let first = round % loops.max(1);
    (0..first, first..loops)
}

#[cfg(test)]
mod tests {
    use super::{Blocks, Loop, interleave, interleave_with_control};
    use core::cell::RefCell;

    #[test]
    fn fewer_than_thirty_blocks_are_refused() {
        assert_eq!(Blocks::new(29), None);
        assert_eq!(Blocks::new(30).map(Blocks::get), Some(30));
        assert_eq!(Blocks::at_least(3).get(), 30);
    }

    #[test]
    fn blocks_alternate_and_each_loop_is_first_in_turn() {
        let order = &RefCell::new(String::new());
        let mut loops: Vec<Loop<'_, ()>> = ['a', 'b', 'c']
            .into_iter()
            .map(|name| -> Loop<'_, ()> { Box::new(move || order.borrow_mut().push(name)) })
            .collect();
        interleave(Blocks::FEWEST, &mut loops, &mut || order.borrow_mut().push(' '));
        let order = order.borrow();
        // The first `abc` is the block that is not counted.
        assert!(order.starts_with("abcabc bca cab abc bca "), "{order}");
        assert_eq!(order.matches(' ').count(), 30);
    }

    #[test]
    fn the_control_is_the_first_loop_again() {
        let mut next = 0;
        let mut first = || {
            next += 1;
            next
        };
        let mut loops: Vec<Loop<'_, usize>> = vec![Box::new(&mut first), Box::new(|| 1000)];
        let (samples, control) = interleave_with_control(Blocks::FEWEST, &mut loops, &mut || {});
        assert_eq!(samples[1], [1000; 30]);
        assert_eq!((samples.len(), samples[0].len(), control.len()), (2, 30, 30));
        let mut all = [samples[0].clone(), control].concat();
        all.sort_unstable();
        // The first block is not counted.
        assert_eq!(all, (2..=61).collect::<Vec<_>>());
    }

    #[test]
    fn samples_of_one_round_have_the_same_index() {
        let rounds = RefCell::new(0);
        let mut loops: Vec<Loop<'_, usize>> =
            vec![Box::new(|| *rounds.borrow()), Box::new(|| 1000 + *rounds.borrow())];
        let samples = interleave(Blocks::FEWEST, &mut loops, &mut || *rounds.borrow_mut() += 1);
        assert_eq!(samples[0], (0..30).collect::<Vec<_>>());
        assert_eq!(samples[1], (1000..1030).collect::<Vec<_>>());
    }
}
