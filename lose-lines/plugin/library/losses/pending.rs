//! Lines that were written back but not fenced: the content of each at that moment, by owner.
//!
//! A fence completes only the write-backs of its own thread. Two threads may write back the same line; the content
//! taken last must win, whichever fence comes first.

use std::collections::HashMap;

use super::model::Half;
use super::words::Line;

/// The thread whose fence completes a write-back: a thread of user mode, by the register that identifies it, or a CPU
/// in its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The half of the address space with its instructions.
    pub half: Half,
    /// The value of the register, or the number of the CPU.
    pub thread: u64,
    /// True for the write-backs that MFENCE completes and SFENCE does not.
    pub needs_mfence: bool,
}

#[derive(Clone, Copy, Debug)]
struct Snapshot {
    content: Line,
    /// The instruction that wrote it back.
    by: u64,
    sequence: u64,
}

/// The write-backs that no fence has completed.
#[derive(Debug, Default)]
pub struct Pending {
    by_owner: HashMap<Owner, HashMap<u32, Snapshot>>,
    sequence: u64,
}

impl Pending {
    /// Records that the owner has written back the line with this content, by this instruction.
    pub fn add(&mut self, owner: Owner, line: u32, content: Line, by: u64) {
        self.sequence += 1;
        let snapshot = Snapshot { content, by, sequence: self.sequence };
        self.by_owner.entry(owner).or_default().insert(line, snapshot);
    }

    /// Completes the owner's write-backs: `persist` gets each line with its content.
    pub fn complete(&mut self, owner: Owner, mut persist: impl FnMut(u32, &Line)) {
        let Some(completed) = self.by_owner.remove(&owner) else { return };
        for (line, snapshot) in &completed {
            persist(*line, &snapshot.content);
            // Older content must not follow newer content.
            for other in self.by_owner.values_mut() {
                if other.get(line).is_some_and(|there| there.sequence < snapshot.sequence) {
                    other.remove(line);
                }
            }
        }
        self.by_owner.retain(|_owner, lines| !lines.is_empty());
    }

    /// Forgets the line: newer content has persisted.
    pub fn forget(&mut self, line: u32) {
        for lines in self.by_owner.values_mut() {
            lines.remove(&line);
        }
        self.by_owner.retain(|_owner, lines| !lines.is_empty());
    }

    /// Returns a content of the line that was written back but not fenced, or `None` for the current one.
    #[must_use]
    pub fn one_of(&self, line: u32, chance: u64) -> Option<Line> {
        let mut all: Vec<&Snapshot> =
            self.by_owner.values().filter_map(|lines| lines.get(&line)).collect();
        all.sort_unstable_by_key(|snapshot| snapshot.sequence);
        let chosen = usize::try_from(chance % (all.len() as u64 + 1)).unwrap_or_default();
        all.get(chosen).map(|snapshot| snapshot.content)
    }

    /// Returns the content of the line that was written back last but not fenced, and the instruction.
    #[must_use]
    pub fn newest(&self, line: u32) -> Option<(Line, u64)> {
        let all = self.by_owner.values().filter_map(|lines| lines.get(&line));
        let newest = all.max_by_key(|snapshot| snapshot.sequence);
        newest.map(|snapshot| (snapshot.content, snapshot.by))
    }

    /// Returns the lines, possibly more than once.
    pub fn lines(&self) -> impl Iterator<Item = u32> {
        self.by_owner.values().flat_map(HashMap::keys).copied()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.by_owner.clear();
    }

    /// Returns true if a fence of this owner would complete something.
    #[must_use]
    pub fn has(&self, owner: Owner) -> bool {
        self.by_owner.contains_key(&owner)
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_owner.values().map(HashMap::len).sum()
    }

    /// Returns true if nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Half, Owner, Pending};

    const FIRST: Owner = Owner { half: Half::Lower, thread: 1, needs_mfence: false };
    const SECOND: Owner = Owner { half: Half::Lower, thread: 2, needs_mfence: false };

    fn completed(pending: &mut Pending, owner: Owner) -> Vec<(u32, u64)> {
        let mut lines = Vec::new();
        pending.complete(owner, |line, content| lines.push((line, content[0])));
        lines.sort_unstable();
        lines
    }

    #[test]
    fn a_fence_completes_the_write_backs_of_its_thread() {
        let mut pending = Pending::default();
        pending.add(FIRST, 3, [1; 8], 0);
        pending.add(FIRST, 4, [2; 8], 0);
        pending.add(SECOND, 5, [3; 8], 0);
        assert_eq!(completed(&mut pending, FIRST), [(3, 1), (4, 2)]);
        assert_eq!(completed(&mut pending, FIRST), []);
        assert!(pending.has(SECOND) && pending.len() == 1);
    }

    #[test]
    fn the_content_of_the_write_back_persists_and_older_content_never_follows() {
        let mut pending = Pending::default();
        pending.add(FIRST, 3, [1; 8], 0);
        pending.add(SECOND, 3, [2; 8], 0);
        assert_eq!(completed(&mut pending, SECOND), [(3, 2)]);
        assert_eq!(completed(&mut pending, FIRST), [], "1 is older than 2");
        pending.add(FIRST, 3, [3; 8], 0);
        pending.add(SECOND, 3, [4; 8], 0);
        assert_eq!(completed(&mut pending, FIRST), [(3, 3)]);
        assert_eq!(completed(&mut pending, SECOND), [(3, 4)]);
        assert!(pending.is_empty());
    }
}
