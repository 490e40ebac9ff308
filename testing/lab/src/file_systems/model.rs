//! All states of a small program under a model.

use alloc::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use lose_lines_states::{Choice, Cut, Kept, Log, Model};

use super::tree::tree;

/// The number of lines printed before the cut, and the directory.
pub(super) type Seen = (usize, String);

/// Returns the states of every cut: of all sets of effects that are closed, each found by leaving out one more effect. Returns
/// none if there are too many of them.
pub(super) fn states(
    log: &Log,
    model: Model,
    folder: &Path,
    most: usize,
) -> Result<Option<BTreeMap<Seen, Vec<Choice>>>> {
    let (mut found, mut known, mut count) = (BTreeMap::new(), BTreeSet::new(), 0);
    for at in log.begun..=log.records.len() {
        let cut = Cut::new(log, model, at);
        let (mut left, mut seen) = (vec![cut.losing(&[])], BTreeSet::new());
        while let Some(state) = left.pop() {
            let Kept::AllBut(lost) = &state.choice.kept else { continue };
            count += 1;
            if count > most * 20 {
                return Ok(None);
            }
            state.image.build(folder)?;
            let text = tree(folder)?;
            known.insert(text.clone());
            found.entry((state.lines, text)).or_insert_with(Vec::new).push(state.choice.clone());
            for one in cut.kept(&state.choice.kept) {
                let next = cut.losing(&[&lost[..], &[one]].concat());
                if let Kept::AllBut(lost) = &next.choice.kept
                    && seen.insert(lost.clone())
                {
                    left.push(next);
                }
            }
        }
    }
    Ok((known.len() <= most).then_some(found))
}
