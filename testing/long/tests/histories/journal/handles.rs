//! The operations of a life, on a journal and on the model.

use super::log::Class;
use super::{HEADER, Harm, LOG, Shape, Size, Which, is_full};
use crate::payload::{Ending, bytes};
use cachemaint_journal::{Group, Journal, Position, Records};
use cachemaint_sim::{Life, SimMedium, Violation};
use std::sync::{Arc, Mutex, PoisonError};

/// A journal, and all that is under way in it.
pub(super) struct Handles<'j, 'm> {
    pub(super) journal: &'j Journal<&'m SimMedium>,
    /// Reads all along.
    pub(super) tail: Records<'j, &'m SimMedium>,
    /// The number before which the tail has read all.
    pub(super) read: u64,
}

impl<'m> Handles<'_, 'm> {
    pub(super) fn payload(&self, number: u64, size: Size) -> Arc<[u8]> {
        payload(self.journal, number, size)
    }

    /// Returns the payloads of a group.
    pub(super) fn payloads(&self, first: u64, size: Size) -> [Arc<[u8]>; 2] {
        if size != Size::Largest {
            return [first, first + 1].map(|number| self.payload(number, size));
        }
        let room = HEADER + self.journal.largest();
        let one = (room / 2).next_multiple_of(64);
        [(first, one), (first + 1, room - one)]
            .map(|(number, space)| bytes(number, (space - HEADER) as usize, Ending::Plain))
    }

    /// Reads what was acknowledged since the last time, and no more.
    pub(super) fn follow(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
        let (entries, read) = (life.model().entries, self.read);
        let unread = entries.iter().filter(|entry| entry.number >= read);
        let mut due = unread.take_while(|entry| entry.class == Class::Acknowledged);
        let mut payload = Vec::new();
        while self.tail.read_next(&mut payload)?.is_some() {
            let entry = due.next().filter(|entry| *entry.payload == *payload);
            let Some(entry) = entry else {
                return Err(Violation::broken(format!("{payload:?} was read: {entries:?}")));
            };
            self.read = self.read.max(entry.number + 1);
        }
        Violation::unless(due.next().is_none(), || format!("more was not read: {entries:?}"))
    }

    pub(super) fn append(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
        let payload = self.payload(life.model().next, size);
        let number = life.model().next;
        life.note(|model| model.begin(payload.clone()));
        let appended = self.journal.append(&payload);
        if is_full(&appended) {
            life.note(|model| model.refuse(number));
            return Ok(());
        }
        appended?;
        life.note(|model| model.set(number, Class::Acknowledged));
        Ok(())
    }

    /// Appends a record by each of two threads.
    pub(super) fn both(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
        let journal = self.journal;
        let appended = Mutex::new(Ok(Vec::new()));
        let one = || {
            let done = append_one(journal, life, size);
            let mut appended = appended.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *appended, done) {
                (Ok(records), Ok(record)) => records.extend(record),
                (failed @ Ok(_), Err(violation)) => *failed = Err(violation),
                (Err(_), _) => {}
            }
        };
        life.note(|model| model.pair = Some(model.next));
        life.medium.run_threads(&[&one, &one]);
        let mut records = appended.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        records.sort_unstable();
        life.note(|model| {
            let last = model.entries.last().map(|last| last.number);
            let is_swapped = records.len() == 2 && last == Some(records[0].1);
            *model = model.swapped().filter(|_| is_swapped).unwrap_or_else(|| model.clone());
            model.pair = None;
        });
        Ok(())
    }

    pub(super) fn group(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
        let first = life.model().next;
        let mut group = Group::new();
        let payloads = self.payloads(first, size);
        for payload in &payloads {
            group.push(payload);
        }
        life.note(|model| {
            for payload in payloads {
                model.begin(payload);
            }
        });
        let appended = self.journal.append_group(&mut group);
        if is_full(&appended) {
            life.note(|model| model.refuse(first));
            return Ok(());
        }
        appended?;
        life.note(|model| {
            model.set(first, Class::Acknowledged);
            model.set(first + 1, Class::Acknowledged);
        });
        Ok(())
    }

    /// Trims records that are acknowledged, from the oldest one on.
    pub(super) fn trim(&mut self, life: &Life<'m, Shape>, most: usize) -> Result<(), Violation> {
        let mut to = self.journal.head();
        let mut records = 0;
        for record in self.journal.records()?.take(most) {
            to = record?.end;
            records += 1;
        }
        life.note(|model| model.trimming = records);
        self.journal.trim(to)?;
        life.note(|model| {
            model.entries.drain(..records);
            model.trimming = 0;
        });
        Ok(())
    }

    /// Returns the damage to a word of an acknowledged record.
    pub(super) fn harm(
        &self,
        life: &Life<'m, Shape>,
        which: Which,
        word: u64,
    ) -> Result<Option<Harm>, Violation> {
        let numbers: Vec<u64> = life.model().there().map(|entry| entry.number).collect();
        let place = if which == Which::Oldest { 0 } else { numbers.len() - 1 };
        let found = self.journal.records()?.nth(place).transpose()?;
        Ok(found.map(|record| {
            let at = LOG + record.position.0 % self.journal.capacity() + 8 * word;
            Harm { number: numbers[place], at }
        }))
    }
}

fn payload(journal: &Journal<&SimMedium>, number: u64, size: Size) -> Arc<[u8]> {
    match size {
        Size::Of(len, ending) => bytes(number, len, ending),
        Size::Largest => bytes(number, journal.largest() as usize, Ending::Plain),
    }
}

/// Appends a record beside another thread. Returns its position and number, unless there is no room.
fn append_one(
    journal: &Journal<&SimMedium>,
    life: &Life<'_, Shape>,
    size: Size,
) -> Result<Option<(Position, u64)>, Violation> {
    let mut number = 0;
    life.note(|model| {
        number = model.next;
        model.begin(payload(journal, number, size));
    });
    let appended = journal.append(&payload(journal, number, size));
    if is_full(&appended) {
        life.note(|model| model.refuse_one(number));
        return Ok(None);
    }
    let position = appended?;
    life.note(|model| model.set(number, Class::Acknowledged));
    Ok(Some((position, number)))
}
