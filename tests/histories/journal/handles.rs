//! The operations of a life, on a journal and on the model.

use super::super::payload::{Ending, bytes};
use super::log::Class;
use super::{HEADER, Harm, LOG, Opening, Shape, Size, Which, is_full};
use cachemaint::journal::{Group, Journal, Pending, Records, Reservation};
use cachemaint::sim::{Life, SimMedium, Violation};
use std::rc::Rc;

/// A journal, and all that is under way in it.
pub(super) struct Handles<'j, 'm> {
    pub(super) journal: &'j Journal<&'m SimMedium>,
    pub(super) segment: u64,
    pub(super) reservations: Vec<Reserved<'j, 'm>>,
    pub(super) pending: Vec<(u64, Pending<'j, &'m SimMedium>)>,
    /// Reads all along.
    pub(super) tail: Records<'j, &'m SimMedium>,
    /// The number before which the tail has read all.
    pub(super) read: u64,
}

/// A reservation, the number of its record and the payload.
pub(super) type Reserved<'j, 'm> = (u64, Rc<[u8]>, Reservation<'j, &'m SimMedium>);

impl<'m> Handles<'_, 'm> {
    pub(super) fn payload(&self, number: u64, size: Size) -> Rc<[u8]> {
        match size {
            Size::Of(len, ending) => bytes(number, len, ending),
            Size::Largest => bytes(number, self.journal.largest() as usize, Ending::Plain),
        }
    }

    /// Returns the payloads of a group.
    pub(super) fn payloads(&self, first: u64, size: Size) -> [Rc<[u8]>; 2] {
        if size != Size::Largest {
            return [first, first + 1].map(|number| self.payload(number, size));
        }
        let room = HEADER + self.journal.largest();
        let one = (room / 2).next_multiple_of(64);
        [(first, one), (first + 1, room - one)]
            .map(|(number, space)| bytes(number, (space - HEADER) as usize, Ending::Plain))
    }

    /// True if any next reservation fits into the window of two segments: the reserved part ends in the segment where
    /// the durable part ends.
    pub(super) fn has_room_in_window(&self) -> bool {
        let head = self.journal.head().0;
        let limit = head - head % self.segment + self.journal.capacity();
        let tail = limit - self.journal.free();
        tail / self.segment == self.journal.end().0 / self.segment
    }

    /// Reads what was acknowledged since the last time, and no more.
    pub(super) fn follow(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
        let (entries, read) = (life.model().entries, self.read);
        let unread = entries.iter().filter(|entry| entry.number >= read);
        let there = unread.filter(|entry| entry.class != Class::Abandoned);
        let mut due = there.take_while(|entry| entry.class == Class::Acknowledged);
        let mut payload = Vec::new();
        while self.tail.read_next(&mut payload)?.is_some() {
            let entry = due.next().filter(|entry| *entry.payload == *payload);
            let Some(entry) = entry else {
                return Err(Violation::broken(format!("{payload:?} was read: {entries:?}")));
            };
            self.read = entry.number + 1;
        }
        Violation::unless(due.next().is_none(), || format!("more was not read: {entries:?}"))
    }

    pub(super) fn append(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
        let payload = self.payload(life.model().next, size);
        let number = life.model().next;
        life.note(|model| model.begin(payload.clone(), Class::UnderWay));
        let is_free = self.reservations.is_empty() || self.has_room_in_window();
        let pending = if is_free {
            self.journal.submit(&payload).map(Some)
        } else {
            self.journal.try_reserve(payload.len() as u64).and_then(|reserved| {
                let Some(mut reservation) = reserved else { return Ok(None) };
                reservation.write_bytes(&payload);
                reservation.submit().map(Some)
            })
        };
        match pending {
            Ok(Some(pending)) => self.pending.push((number, pending)),
            Ok(None) => life.note(|model| model.refuse(number)),
            refused if is_full(&refused) => life.note(|model| model.refuse(number)),
            Err(error) => return Err(error.into()),
        }
        self.acknowledge(life)
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
                model.begin(payload, Class::UnderWay);
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

    pub(super) fn reserve(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
        let number = life.model().next;
        let payload = self.payload(number, size);
        match self.journal.try_reserve(payload.len() as u64) {
            Ok(Some(mut reservation)) => {
                life.note(|model| model.begin(payload.clone(), Class::Reserved));
                reservation.write_bytes(&payload[..payload.len() / 2]);
                self.reservations.push((number, payload, reservation));
            }
            Ok(None) => {}
            refused if is_full(&refused) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
        let (number, payload, mut reservation) = self.reservations.remove(0);
        life.note(|model| model.set(number, Class::UnderWay));
        reservation.write_bytes(&payload[payload.len() / 2..]);
        self.pending.push((number, reservation.submit()?));
        self.acknowledge(life)
    }

    pub(super) fn abandon(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
        let (number, _, reservation) = self.reservations.remove(0);
        life.note(|model| model.set(number, Class::Abandoned));
        drop(reservation);
        self.acknowledge(life)
    }

    /// Notes what is acknowledged by now.
    pub(super) fn acknowledge(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
        let mut left = Vec::new();
        for (number, pending) in self.pending.drain(..) {
            if pending.is_acknowledged()? {
                life.note(|model| model.set(number, Class::Acknowledged));
            } else {
                left.push((number, pending));
            }
        }
        self.pending = left;
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
        let entries = life.model().entries;
        let mut there =
            entries.iter().enumerate().filter(|(_, entry)| entry.class != Class::Abandoned);
        let trimming = match records {
            0 => 0,
            records => there.nth(records - 1).map_or(0, |(place, _)| place + 1),
        };
        life.note(|model| model.trimming = trimming);
        self.journal.trim(to)?;
        life.note(|model| {
            model.entries.drain(..trimming);
            model.trimming = 0;
        });
        Ok(())
    }

    /// Abandons all reservations before the next opening.
    pub(super) fn left(
        mut self,
        life: &Life<'m, Shape>,
        opening: Opening,
    ) -> Result<Option<Opening>, Violation> {
        while !self.reservations.is_empty() {
            self.abandon(life)?;
        }
        Ok(Some(opening))
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
