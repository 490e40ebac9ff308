//! Places for pages of the table, which are kept out of the free space.
//!
//! A store always holds those of one deletion, so that a full store can still delete. A transaction holds more, for the
//! pages of its commit. The pages that a commit replaces leave their places to the reserve. So what one deletion takes
//! from it, it gives back, however the free space is divided.
//!
//! Media lose bytes in blocks. So the places are held in pairs, for the two copies of a page, and those of a pair lie
//! [apart](distance). A pair that had no room so is replaced once there is room.

use super::room::{Kind, Places};
use super::space::{From, Full, NOTHING, Space};
use crate::preserve::info::Content;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

/// The number of bytes that damage in one place costs: a page of memory, or some sectors.
const BLOCK: u64 = 4096;
/// In a store of fewer bytes the space between two copies would be missing for blobs.
const SMALL: u64 = 16 * BLOCK;

/// The places of the two copies of a page.
pub(super) type Pair = [Range<u64>; 2];

/// Returns the least number of bytes between the copies of a page, in a store of `size` bytes. Between those of a long page
/// another one fits.
pub(super) fn distance(bytes: u64, unit: u64, size: u64) -> u64 {
    if unit < BLOCK && size >= SMALL { bytes.max(BLOCK) } else { 0 }
}

/// Returns the range in which the other copy of a page must not lie.
fn around(place: &Range<u64>, space: &Space) -> Range<u64> {
    let distance = distance(len(place), space.unit(), space.end());
    place.start.saturating_sub(distance)..place.end + distance
}

fn is_apart([first, second]: &Pair, space: &Space) -> bool {
    common(&around(first, space), second).is_empty()
}

fn common(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    one.start.max(other.start)..one.end.min(other.end)
}

/// Takes places for the copies of a page from the end of the free space. If no two can be apart, takes others, or none
/// if they `must_be_apart`.
pub(super) fn claim(bytes: u64, must_be_apart: bool, space: &mut Space) -> Result<Pair, Full> {
    let first = claim_one(bytes, &NOTHING, space)?;
    let full = match with_other(first, true, space) {
        Err(full) => full,
        done => return done,
    };
    // Of any two places that are apart, the first one is also apart from the last place of all. Few pieces are looked at
    // for it: each piece with room is near the place that was tried.
    if let Some(last) = space.claim_last(bytes)
        && let Ok(pair) = with_other(last, true, space)
    {
        return Ok(pair);
    }
    if must_be_apart {
        return Err(full);
    }
    let first = claim_one(bytes, &NOTHING, space)?;
    with_other(first, false, space)
}

/// Takes a place for the other copy of a page, or gives that of the first one back.
fn with_other(first: Range<u64>, must_be_apart: bool, space: &mut Space) -> Result<Pair, Full> {
    let kept = if must_be_apart { around(&first, space) } else { NOTHING };
    match claim_one(len(&first), &kept, space) {
        Ok(second) => Ok([first, second]),
        Err(full) => {
            space.give(&first);
            Err(full)
        }
    }
}

fn claim_one(bytes: u64, kept: &Range<u64>, space: &mut Space) -> Result<Range<u64>, Full> {
    let claimed = space.claim(bytes, space.unit(), From::End, kept);
    claimed.map_err(|largest| Full { needed: bytes, largest })
}

/// Takes the places of a pair, or none.
fn take([first, second]: &Pair, space: &mut Space) -> bool {
    if !space.take(first.clone()) {
        return false;
    }
    let is_taken = space.take(second.clone());
    if !is_taken {
        space.give(first);
    }
    is_taken
}

fn give([first, second]: &Pair, space: &mut Space) {
    space.give(first);
    space.give(second);
}

/// Places that are held.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The places of entries, of children, and of roots.
    kinds: [VecDeque<Pair>; 3],
}

impl Held {
    /// Returns the bytes of all places.
    pub(super) fn bytes(&self) -> u64 {
        self.places().map(|place| place.end - place.start).sum()
    }

    /// Returns all places.
    pub(super) fn places(&self) -> impl Iterator<Item = &Range<u64>> {
        self.kinds.iter().flatten().flatten()
    }

    /// Takes the missing places, or none if there is no room. Returns the means to undo that.
    pub(super) fn fill(&mut self, places: &Places, space: &mut Space) -> Result<Undo, Full> {
        let lens = self.kinds.each_ref().map(VecDeque::len);
        let mut undo = Undo { lens, roots: VecDeque::new() };
        match self.claim(places, space, &mut undo) {
            Ok(()) => Ok(undo),
            Err(error) => {
                self.undo(undo, space);
                Err(error)
            }
        }
    }

    fn claim(&mut self, places: &Places, space: &mut Space, undo: &mut Undo) -> Result<(), Full> {
        let kinds = places.kinds(space.unit());
        // A smaller place would cut the only free piece that has room for a larger one.
        let mut order = [0, 1, 2];
        order.sort_by_key(|kind| Reverse(kinds[*kind].1));
        // Roots of another size are of no use, and their space may be.
        let (of_roots, bytes) = (Kind::Root as usize, kinds[Kind::Root as usize].1);
        if self.kinds[of_roots].iter().any(|[root, _]| len(root) != bytes) {
            undo.roots = core::mem::take(&mut self.kinds[of_roots]);
            undo.lens[of_roots] = 0;
            undo.roots.iter().for_each(|pair| give(pair, space));
        }
        for kind in order {
            let (count, bytes) = kinds[kind];
            while self.kinds[kind].len() < count {
                self.kinds[kind].push_back(claim(bytes, places.must_be_apart, space)?);
            }
        }
        Ok(())
    }

    /// Undoes [`fill`](Self::fill): gives the taken places back, and takes the former roots again.
    pub(super) fn undo(&mut self, undo: Undo, space: &mut Space) {
        for (held, len) in self.kinds.iter_mut().zip(undo.lens) {
            held.drain(len..).for_each(|pair| give(&pair, space));
        }
        for pair in &undo.roots {
            take(pair, space);
        }
        self.kinds[Kind::Root as usize].extend(undo.roots);
    }

    /// Takes the places of a page that is not needed any more.
    pub(super) fn keep(&mut self, kind: Kind, pair: Pair) {
        self.kinds[kind as usize].push_back(pair);
    }

    /// Takes the places of the page that is placed next.
    pub(super) fn keep_first(&mut self, kind: Kind, pair: Pair) {
        self.kinds[kind as usize].push_front(pair);
    }

    /// Returns places of `bytes` bytes, which are not held any more: a pair of this kind, if there is one.
    pub(super) fn release(&mut self, kind: Kind, bytes: u64, space: &mut Space) -> Option<Pair> {
        let has_room =
            |held: &VecDeque<Pair>| held.front().is_some_and(|[place, _]| len(place) >= bytes);
        let kinds = [kind as usize, Kind::Entries as usize];
        let kind = kinds.into_iter().find(|kind| has_room(&self.kinds[*kind]))?;
        let pair = self.kinds[kind].pop_front()?;
        Some(cut(pair, bytes, space))
    }

    /// Keeps the places of a deletion and gives all others back. Where some are missing, as in a store that was filled by a
    /// writer without a reserve, takes them if there is room.
    pub(super) fn settle(&mut self, deletion: &Places, space: &mut Space) {
        let kinds = deletion.kinds(space.unit());
        let [leaves, _, roots] = &mut self.kinds;
        let [(most_leaves, leaf), _, (most_roots, root)] = kinds;
        roots.retain(|pair| {
            let is_kept = len(&pair[0]) >= root;
            if !is_kept {
                give(pair, space);
            }
            is_kept
        });
        // A page of entries that became the root took the place of one, and left some.
        while roots.len() < most_roots && leaves.len() > most_leaves && leaf >= root {
            roots.extend(leaves.pop_back());
        }
        for (held, (count, bytes)) in self.kinds.iter_mut().zip(kinds) {
            // Places that are nearest to the end divide the free space least.
            held.make_contiguous().sort_unstable_by_key(|pair| {
                (!is_apart(pair, space), Reverse(pair[0].start.min(pair[1].start)))
            });
            held.drain(count.min(held.len())..).for_each(|pair| give(&pair, space));
            for pair in held {
                *pair = cut(pair.clone(), bytes, space);
                part(pair, space);
            }
        }
        // Without them a transaction is refused that needs them, and says why.
        drop(self.fill(deletion, space));
    }

    /// Gives all places back, and takes those that were held before.
    pub(super) fn reset(&mut self, before: Self, space: &mut Space) {
        self.places().for_each(|place| space.give(place));
        self.kinds = before.kinds;
        for held in &mut self.kinds {
            held.retain(|pair| take(pair, space));
        }
    }

    /// Takes the places of a deletion from the free space of a store that is opened, as a transaction does: from its end.
    /// If they do not fit so, takes all of them if that is possible at all, else those of the root if there is room.
    pub(super) fn restore(&mut self, deletion: &Places, space: &mut Space) {
        if self.fill(deletion, space).is_ok() {
            return;
        }
        let kinds = deletion.kinds(space.unit()).map(|(pairs, bytes)| (2 * pairs, bytes));
        let least = kinds.iter().map(|(_, bytes)| *bytes).min().unwrap_or(0);
        let most = kinds.iter().map(|(count, _)| *count).sum();
        // Each place has room in any larger piece, so no more pieces are needed than places.
        let pieces = space.largest_pieces(least, most);
        let packed = pack(&pieces, kinds).or_else(|| pack(&pieces, [(0, 1), (0, 1), kinds[2]]));
        for (held, places) in self.kinds.iter_mut().zip(packed.into_iter().flatten()) {
            held.extend(paired(places).filter(|pair| take(pair, space)));
        }
    }
}

/// The means to undo that places were taken.
#[derive(Debug)]
pub(super) struct Undo {
    lens: [usize; 3],
    roots: VecDeque<Pair>,
}

/// A range that was taken, with the places of pages that it needs. Dropping the claim frees what was not kept.
pub(super) struct Claim<'s> {
    pub(super) space: &'s mut Space,
    pub(super) held: &'s mut Held,
    pub(super) place: Range<u64>,
    /// The means to free the places of pages, until the range is kept.
    pub(super) undo: Option<Undo>,
}

impl Claim<'_> {
    /// Keeps the places of pages, and as much of the range as `len` bytes take. Returns the range of these bytes.
    pub(super) fn keep(mut self, content: Content, len: u64) -> Range<u64> {
        self.undo = None;
        let start = self.place.start;
        self.place.start += content.occupied(len, self.space.unit()).unwrap_or(0);
        start..start + len
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.space.give(&self.place);
        if let Some(undo) = self.undo.take() {
            self.held.undo(undo, self.space);
        }
    }
}

const fn len(place: &Range<u64>) -> u64 {
    place.end - place.start
}

/// Gives the ends of places back.
fn cut(pair: Pair, bytes: u64, space: &mut Space) -> Pair {
    pair.map(|place| {
        let end = place.start + bytes;
        space.shorten(&place, end);
        place.start..end
    })
}

/// Replaces places that are not apart, if there is room.
fn part(pair: &mut Pair, space: &mut Space) {
    if is_apart(pair, space) {
        return;
    }
    if let Ok(apart) = claim(len(&pair[0]), true, space) {
        give(&core::mem::replace(pair, apart), space);
    }
}

/// Returns pairs of places, each as far apart as all can be.
fn paired(mut places: VecDeque<Range<u64>>) -> impl Iterator<Item = Pair> {
    places.make_contiguous().sort_unstable_by_key(|place| place.start);
    let seconds = places.split_off(places.len() / 2);
    places.into_iter().zip(seconds).map(|(first, second)| [first, second])
}

/// Returns places of each kind in free pieces, or `None` if there is no way to fit them in.
///
/// It goes from piece to piece. For each number of pages of entries and of roots that can have a place so far, it keeps
/// the largest number of pages of children that can have one besides.
fn pack(
    pieces: &[Range<u64>],
    [(leaves, leaf), (nodes, node), (roots, root)]: [(usize, u64); 3],
) -> Option<[VecDeque<Range<u64>>; 3]> {
    let mut steps = Vec::from([BTreeMap::from([((0, 0), (0, (0, 0)))])]);
    for piece in pieces {
        let mut step = BTreeMap::new();
        for (from, (placed, _)) in steps.last()? {
            for to in (from.0..=leaves).flat_map(|to| (from.1..=roots).map(move |root| (to, root)))
            {
                let larger = (to.0 - from.0) as u64 * leaf + (to.1 - from.1) as u64 * root;
                let Some(rest) = len(piece).checked_sub(larger) else { continue };
                let placed = placed + rest / node;
                let best = step.entry(to).or_insert((placed, *from));
                *best = (placed, *from).max(*best);
            }
        }
        steps.push(step);
    }
    let (mut to, mut left) = ((leaves, roots), nodes as u64);
    steps.last()?.get(&to).filter(|(placed, _)| *placed >= left)?;
    let mut packed = <[VecDeque<Range<u64>>; 3]>::default();
    for (piece, step) in pieces.iter().zip(&steps[1..]).rev() {
        let from = step.get(&to)?.1;
        let mut end = piece.end;
        let counts = [(to.0 - from.0) as u64, 0, (to.1 - from.1) as u64];
        let larger = counts[0] * leaf + counts[2] * root;
        let counts = [counts[0], left.min((len(piece) - larger) / node), counts[2]];
        for ((places, count), bytes) in packed.iter_mut().zip(counts).zip([leaf, node, root]) {
            for _ in 0..count {
                places.push_back(end - bytes..end);
                end -= bytes;
            }
        }
        (to, left) = (from, left - counts[1]);
    }
    Some(packed)
}

#[cfg(test)]
mod tests {
    use super::super::space::Space;
    use super::{claim, pack};

    /// The smallest piece is too near to both others. It is tried first, as the pieces nearest to the end are too small.
    #[test]
    fn places_apart_are_found_beside_a_smaller_piece_between_them() {
        let mut space = Space::new(65_536..131_072, 64);
        assert!(space.take(65_536..131_072));
        for piece in [100_480..104_960, 105_600..110_016, 110_656..115_136] {
            space.give(&piece);
        }
        for small in 0..16 {
            let start = 120_000 + 128 * small;
            space.give(&(start..start + 64));
        }
        let free = space.free();
        let mut claim = |bytes| claim(bytes, true, &mut space);
        let apart = claim(4416).unwrap();
        assert_eq!(apart, [110_720..115_136, 100_544..104_960]);
        claim(4416).unwrap_err();
        assert_eq!(space.free(), free - 2 * 4416);
    }

    /// Two places of 3 and two of 2 in pieces of 6 and 4: a place of 3 in the second piece would leave no room for all.
    #[test]
    fn places_are_found_if_there_is_one_way_alone() {
        let [leaves, nodes, roots] = pack(&[0..6, 10..14], [(2, 3), (0, 1), (2, 2)]).unwrap();
        assert!(leaves.into_iter().eq([3..6, 0..3]));
        assert!(nodes.is_empty());
        assert!(roots.into_iter().eq([12..14, 10..12]));
    }

    #[test]
    fn places_that_do_not_fit_are_refused() {
        assert!(pack(&[0..6, 10..14], [(2, 3), (1, 1), (2, 2)]).is_none());
        assert!(pack(&[0..5, 10..15], [(2, 3), (0, 1), (2, 3)]).is_none());
        assert!(pack(&[], [(0, 3), (0, 1), (2, 2)]).is_none());
    }
}
