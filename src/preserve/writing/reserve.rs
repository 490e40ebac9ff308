//! Places for pages of the table, which are kept out of the free space.
//!
//! A store always holds those of one deletion, so that a full store can still delete. A transaction holds more, for the
//! pages of its commit. The pages that a commit replaces leave their places to the reserve. So what one deletion takes
//! from it, it gives back, however the free space is divided.

use super::room::{Kind, Places};
use super::space::{From, Leased, Space};
use crate::preserve::error::{Error, ErrorKind};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

/// Places that are held.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The places of entries, of children, and of roots.
    kinds: [VecDeque<Range<u64>>; 3],
}

impl Held {
    /// Returns the bytes of all places.
    pub(super) fn bytes(&self) -> u64 {
        self.places().map(|place| place.end - place.start).sum()
    }

    /// Returns all places.
    pub(super) fn places(&self) -> impl Iterator<Item = &Range<u64>> {
        self.kinds.iter().flatten()
    }

    /// Takes the missing places, or none if there is no room. Returns the means to undo that.
    pub(super) fn fill<E>(
        &mut self,
        places: &Places,
        space: &mut Space,
        leased: &Leased<'_, E>,
    ) -> Result<Undo, Error<E>> {
        let lens = self.kinds.each_ref().map(VecDeque::len);
        let mut undo = Undo { lens, roots: VecDeque::new() };
        match self.claim(places.kinds(space.unit()), space, leased, &mut undo) {
            Ok(()) => Ok(undo),
            Err(error) => {
                self.undo(undo, space);
                Err(error)
            }
        }
    }

    fn claim<E>(
        &mut self,
        kinds: [(usize, u64); 3],
        space: &mut Space,
        leased: &Leased<'_, E>,
        undo: &mut Undo,
    ) -> Result<(), Error<E>> {
        // A smaller place would cut the only free piece that has room for a larger one.
        let mut order = [0, 1, 2];
        order.sort_by_key(|kind| Reverse(kinds[*kind].1));
        // Roots of another size are of no use, and their space may be.
        let (of_roots, bytes) = (Kind::Root as usize, kinds[Kind::Root as usize].1);
        if self.kinds[of_roots].iter().any(|root| len(root) != bytes) {
            undo.roots = core::mem::take(&mut self.kinds[of_roots]);
            undo.lens[of_roots] = 0;
            undo.roots.iter().for_each(|root| space.give(root));
        }
        for kind in order {
            let (count, bytes) = kinds[kind];
            while self.kinds[kind].len() < count {
                let claimed =
                    space.claim(bytes, space.unit(), From::End, leased).map_err(Error::medium)?;
                let place =
                    claimed.map_err(|largest| Error(ErrorKind::Full { needed: bytes, largest }))?;
                self.kinds[kind].push_back(place);
            }
        }
        Ok(())
    }

    /// Undoes [`fill`](Self::fill): gives the taken places back, and takes the former roots again.
    pub(super) fn undo(&mut self, undo: Undo, space: &mut Space) {
        for (held, len) in self.kinds.iter_mut().zip(undo.lens) {
            held.drain(len..).for_each(|place| space.give(&place));
        }
        for root in &undo.roots {
            space.take(root.clone());
        }
        self.kinds[Kind::Root as usize].extend(undo.roots);
    }

    /// Takes the place of a page that is not needed any more.
    pub(super) fn keep(&mut self, kind: Kind, place: Range<u64>) {
        self.kinds[kind as usize].push_back(place);
    }

    /// Returns a place of `bytes` bytes, which is not held any more: one of this kind, if there is one.
    pub(super) fn release(
        &mut self,
        kind: Kind,
        bytes: u64,
        space: &mut Space,
    ) -> Option<Range<u64>> {
        let has_room =
            |held: &VecDeque<Range<u64>>| held.front().is_some_and(|place| len(place) >= bytes);
        let kinds = [kind as usize, Kind::Entries as usize];
        let kind = kinds.into_iter().find(|kind| has_room(&self.kinds[*kind]))?;
        let place = self.kinds[kind].pop_front()?;
        Some(cut(place, bytes, space))
    }

    /// Keeps the places of a deletion and gives all others back. Where some are missing, as in a store that was filled by a
    /// writer without a reserve, takes them if there is room.
    pub(super) fn settle<E>(
        &mut self,
        deletion: &Places,
        space: &mut Space,
        leased: &Leased<'_, E>,
    ) {
        let kinds = deletion.kinds(space.unit());
        let [leaves, _, roots] = &mut self.kinds;
        let [(most_leaves, leaf), _, (most_roots, root)] = kinds;
        roots.retain(|place| {
            let is_kept = len(place) >= root;
            if !is_kept {
                space.give(place);
            }
            is_kept
        });
        // A page of entries that became the root took the place of one, and left some.
        while roots.len() < most_roots && leaves.len() > most_leaves && leaf >= root {
            roots.extend(leaves.pop_back());
        }
        for (held, (count, bytes)) in self.kinds.iter_mut().zip(kinds) {
            // Places that are nearest to the end divide the free space least.
            held.make_contiguous().sort_unstable_by_key(|place| Reverse(place.start));
            held.drain(count.min(held.len())..).for_each(|place| space.give(&place));
            for place in held {
                *place = cut(place.clone(), bytes, space);
            }
        }
        // Without them a transaction is refused that needs them, and says why.
        drop(self.fill(deletion, space, leased));
    }

    /// Gives all places back, and takes those that were held before.
    pub(super) fn reset(&mut self, before: Self, space: &mut Space) {
        self.places().for_each(|place| space.give(place));
        self.kinds = before.kinds;
        for held in &mut self.kinds {
            held.retain(|place| space.take(place.clone()));
        }
    }

    /// Takes the places of a deletion from the free space of a store that is opened, as a transaction does: from its end.
    /// If they do not fit so, takes all of them if that is possible at all, else those of the root if there is room.
    pub(super) fn restore<E>(
        &mut self,
        deletion: &Places,
        space: &mut Space,
        leased: &Leased<'_, E>,
    ) -> Result<(), Error<E>> {
        match self.fill(deletion, space, leased) {
            Err(Error(ErrorKind::Full { .. })) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
        let kinds = deletion.kinds(space.unit());
        let least = kinds.iter().map(|(_, bytes)| *bytes).min().unwrap_or(0);
        let most = kinds.iter().map(|(count, _)| *count).sum();
        // Each place has room in any larger piece, so no more pieces are needed than places.
        let pieces = space.largest_pieces(least, most, leased).map_err(Error::medium)?;
        let packed = pack(&pieces, kinds).or_else(|| pack(&pieces, [(0, 1), (0, 1), kinds[2]]));
        for (held, places) in self.kinds.iter_mut().zip(packed.into_iter().flatten()) {
            held.extend(places.into_iter().filter(|place| space.take(place.clone())));
        }
        Ok(())
    }
}

/// The means to undo that places were taken.
#[derive(Debug)]
pub(super) struct Undo {
    lens: [usize; 3],
    roots: VecDeque<Range<u64>>,
}

const fn len(place: &Range<u64>) -> u64 {
    place.end - place.start
}

/// Gives the end of a place back.
fn cut(place: Range<u64>, bytes: u64, space: &mut Space) -> Range<u64> {
    let end = place.start + bytes;
    space.shorten(&place, end);
    place.start..end
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
    use super::pack;

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
