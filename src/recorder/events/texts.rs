//! The texts of events in a page, by opening and id.

use super::is_possible;
use crate::medium::Readable;
use crate::recorder::format::{Description, ENTRIES, TABLES, Tables};
use core::fmt;

/// The tables in a page, all of which a recorder can have written, and an index of their texts.
///
/// A reader searches for the text of each event. Without the index an event of 24 bytes would cost a search of the page.
#[derive(Clone)]
pub(in crate::recorder) struct Texts {
    tables: Tables,
    /// The offsets of all entries: those of a table together, in the order of their ids.
    entries: [u16; ENTRIES],
    /// The offset of each table, and the end of its entries in the index. The newest table is the first one.
    ends: [(u16, u16); TABLES],
    /// The number of tables.
    len: usize,
}

impl Texts {
    /// Reads the tables in a page with this descriptor. `None` if they are damaged, or no recorder can have written them.
    pub(in crate::recorder) fn read<S: Readable>(
        source: &S,
        page: u64,
        found: &Description,
    ) -> Option<Self> {
        let tables = Tables::read(source, page, found.tables, &found.identity.0)?;
        let (mut entries, mut ends, mut len) = ([0; ENTRIES], [(0, 0); TABLES], 0);
        let (mut start, mut newest) = (0, Some(found.generation));
        for table in tables.tables() {
            let (since, until) = (table.head.since, table.head.until);
            if since > until || newest.is_none_or(|newest| until > newest) {
                return None;
            }
            newest = since.checked_sub(1);
            let mut end = start;
            for entry in tables.entries(&table) {
                let entry = entry.filter(|entry| is_possible(entry.id, entry.text))?;
                *entries.get_mut(end)? = entry.at as u16;
                end += 1;
            }
            let of_it = &mut entries[start..end];
            of_it.sort_unstable_by_key(|at| tables.id((*at).into()));
            let have_other_ids = |pair: &[u16]| {
                let [first, second] = [pair[0], pair[1]].map(|at| tables.id(at.into()));
                first != second
            };
            if of_it.is_empty() || !of_it.windows(2).all(have_other_ids) {
                return None;
            }
            *ends.get_mut(len)? = (table.at as u16, end as u16);
            (start, len) = (end, len + 1);
        }
        tables.end_with_a_table().then_some(Self { tables, entries, ends, len })
    }

    /// Returns the tables themselves.
    pub(in crate::recorder) const fn tables(&self) -> Tables {
        self.tables
    }

    /// Returns the text of an event that an opening has recorded.
    pub(super) fn get(&self, generation: u64, id: u16) -> Option<&str> {
        let ends = &self.ends[..self.len];
        let head = |at: u16| self.tables.table(at.into()).map(|table| table.head);
        let is_newer = |end: &(u16, u16)| head(end.0).is_some_and(|head| head.since > generation);
        let place = ends.partition_point(is_newer);
        let (at, end) = *ends.get(place)?;
        head(at).filter(|head| generation <= head.until)?;
        let start = place.checked_sub(1).map_or(0, |before| ends[before].1);
        let entries = &self.entries[start.into()..end.into()];
        let place = entries.binary_search_by_key(&id, |at| self.tables.id((*at).into())).ok()?;
        self.tables.text(entries[place].into())
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.fmt(f)
    }
}
