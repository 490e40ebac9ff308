//! The table in generated histories: arbitrary operations in several lives, with a crash after each.

use cachemaint_examples::hash_table::Table;
use cachemaint_sim::{Histories, Life, Model, Searched, Simulation, Structure, Violation};
use std::collections::BTreeMap;

/// As many keys as there are slots in the medium.
const KEYS: u64 = 2;
const BYTES: u64 = 128 + KEYS * 24;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Inserts a key, or replaces its value, with a value that was never there.
    Insert(u64),
    Remove(u64),
}

/// The content of the table, and the alternative content of an unfinished operation.
#[derive(Clone, Default)]
pub(crate) struct Content {
    now: BTreeMap<u64, u64>,
    under_way: Option<BTreeMap<u64, u64>>,
    last: u64,
}

/// The table, or the variant with a mistake.
struct Tested {
    saves_a_fence: bool,
}

impl Structure for Tested {
    type Operation = Operation;
    type Model = Content;

    fn operations(&self, _content: &Content) -> Vec<Operation> {
        (0..KEYS).flat_map(|key| [Operation::Insert(key), Operation::Remove(key)]).collect()
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let mut table = Table::open(life.medium)?;
        if self.saves_a_fence {
            table = table.saving_a_fence();
        }
        let found: BTreeMap<_, _> = table.entries().collect();
        let content = life.model();
        let is_right = found == content.now || Some(&found) == content.under_way.as_ref();
        Violation::unless(is_right, || {
            format!("{found:?}, not {:?} or {:?}", content.now, content.under_way)
        })?;
        // A reader has read it, so it must stay.
        life.note(|content| (content.now, content.under_way) = (found, None));
        while let Some(operation) = life.next() {
            let mut content = life.model();
            content.last += 1;
            let mut after = content.now.clone();
            match operation {
                Operation::Insert(key) => after.insert(key, content.last),
                Operation::Remove(key) => after.remove(&key),
            };
            let (value, after) = (content.last, Some(after));
            life.note(|content| (content.under_way, content.last) = (after, value));
            match operation {
                Operation::Insert(key) => table.insert(key, value)?,
                Operation::Remove(key) => table.remove(key)?,
            };
            life.note(|content| content.now = content.under_way.take().unwrap_or_default());
        }
        Ok(())
    }
}

/// Searches for a failing history.
pub(crate) fn search(model: Model, saves_a_fence: bool) -> Searched<Operation> {
    Histories::new(Simulation::new(model, BYTES).zeros()).search(&Tested { saves_a_fence })
}
