//! The model: the records that are due, and those that a crash may have lost.

use core::fmt;
use std::sync::Arc;

/// The state of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The record may be there.
    UnderWay,
    /// The record must be there.
    Acknowledged,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) payload: Arc<[u8]>,
    pub(super) class: Class,
    /// Records before this number were acknowledged when it began.
    pub(super) acknowledged: u64,
    /// True if the record was found at an opening, or the journal was closed after it.
    pub(super) is_found: bool,
}

/// Without the payload, which the number determines.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.number, self.class)
    }
}

/// The reference model.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) is_created: bool,
    /// The records in their order.
    pub(super) entries: Vec<Entry>,
    /// The number of records that may have been trimmed.
    pub(super) trimming: usize,
    /// The number of the next record.
    pub(super) next: u64,
    /// True if an opening was tried after the damage, which may have discarded what it took for torn.
    pub(super) is_tried: bool,
    /// The number of the record that was damaged.
    pub(super) damaged: Option<u64>,
    /// From this number on there are records of two threads, in an order that is not known.
    pub(super) pair: Option<u64>,
}

impl Log {
    pub(super) fn count(&self, class: Class) -> usize {
        self.entries.iter().filter(|entry| entry.class == class).count()
    }

    /// The acknowledged records.
    pub(super) fn there(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.class == Class::Acknowledged)
    }

    pub(super) fn begin(&mut self, payload: Arc<[u8]>) {
        let number = self.next;
        let class = Class::UnderWay;
        let first = self.entries.iter().find(|entry| entry.class == class);
        let acknowledged = first.map_or(number, |first| first.number);
        self.entries.push(Entry { number, payload, class, acknowledged, is_found: false });
        self.next += 1;
    }

    pub(super) fn set(&mut self, number: u64, class: Class) {
        for entry in self.entries.iter_mut().filter(|entry| entry.number == number) {
            entry.class = class;
        }
    }

    /// Forgets the records from a number on, which were refused.
    pub(super) fn refuse(&mut self, number: u64) {
        self.entries.retain(|entry| entry.number < number);
    }

    /// Forgets a record that was refused, beside one of another thread.
    pub(super) fn refuse_one(&mut self, number: u64) {
        self.entries.retain(|entry| entry.number != number);
    }

    /// Returns the same log with the records of two threads the other way round, if there are both.
    pub(super) fn swapped(&self) -> Option<Self> {
        let mut swapped = Self { pair: None, ..self.clone() };
        let [.., one, other] = swapped.entries.as_mut_slice() else { return None };
        if one.number.min(other.number) < self.pair? {
            return None;
        }
        core::mem::swap(one, other);
        Some(swapped)
    }

    /// Notes that the journal was closed: damage to any record must show.
    pub(super) fn close(&mut self) {
        let there = self.entries.iter_mut().filter(|entry| entry.class == Class::Acknowledged);
        there.for_each(|entry| entry.is_found = true);
    }

    /// True if damage to the record must show: it was found at an opening, acknowledged before another record began, or
    /// the journal was closed.
    pub(super) fn must_be_noticed(&self, damaged: u64) -> bool {
        let is_evidence = |entry: &Entry| {
            entry.number == damaged && entry.is_found
                || entry.number > damaged && entry.acknowledged > damaged
        };
        self.entries.iter().any(is_evidence)
    }

    /// Returns the same log with the records under way that nothing on the medium vouches for: neither a later record that was
    /// acknowledged, nor an opening. Damage to them looks like a crash.
    pub(super) fn vouched(&self) -> Self {
        let is_vouched = |entry: &Entry| {
            let is_later = |later: &Entry| {
                later.class == Class::Acknowledged && later.acknowledged > entry.number
            };
            entry.is_found || self.entries.iter().any(is_later)
        };
        let class = |entry: &Entry| if is_vouched(entry) { entry.class } else { Class::UnderWay };
        let entries = self.entries.iter();
        let entries = entries.map(|entry| Entry { class: class(entry), ..entry.clone() }).collect();
        Self { entries, ..self.clone() }
    }

    /// True if a salvage can have found these payloads: all acknowledged ones but the damaged one, in order. Trimmed ones
    /// may be there again while a trim is under way.
    pub(super) fn are_salvaged(&self, payloads: &[Vec<u8>]) -> bool {
        let mut payloads = payloads.iter().peekable();
        for (place, entry) in self.entries.iter().enumerate() {
            let is_found = payloads.next_if(|next| ***next == *entry.payload).is_some();
            let is_due = entry.class == Class::Acknowledged && place >= self.trimming;
            if is_due && !is_found && self.damaged != Some(entry.number) {
                return false;
            }
        }
        payloads.next().is_none()
    }

    /// The entries that are there, if these payloads can be.
    pub(super) fn found(&self, payloads: &[Vec<u8>]) -> Option<Vec<Entry>> {
        let starts = if self.trimming > 0 { vec![0, self.trimming] } else { vec![0] };
        let found = starts.into_iter().find_map(|from| self.found_from(from, payloads));
        found.or_else(|| self.swapped()?.found(payloads))
    }

    pub(super) fn found_from(&self, from: usize, payloads: &[Vec<u8>]) -> Option<Vec<Entry>> {
        let mut payloads = payloads.iter();
        let mut found = Vec::new();
        let mut left = self.entries[from..].iter();
        for entry in &mut left {
            match payloads.next() {
                Some(payload) if **payload == *entry.payload => {
                    let class = Class::Acknowledged;
                    found.push(Entry { class, is_found: true, ..entry.clone() });
                }
                Some(_) => return None,
                None => {
                    // The end: nothing from here on may be acknowledged.
                    let is_lost = entry.class == Class::Acknowledged
                        || left.any(|entry| entry.class == Class::Acknowledged);
                    return (!is_lost).then_some(found);
                }
            }
        }
        payloads.next().is_none().then_some(found)
    }
}
