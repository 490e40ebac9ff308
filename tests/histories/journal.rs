//! The journal: records in one order, of which a recovery finds a prefix with all that was acknowledged.

use super::payload::{Ending, bytes};
use crate::{USUAL, assert_safe};
use cachemaint::journal::{
    Error, ErrorKind, Group, Journal, Options, Pending, Records, Recovered, Reservation,
};
use cachemaint::medium::{Medium, Readable};
use cachemaint::sim::{Life, SimMedium, Structure, Violation};
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use std::rc::Rc;

/// The start of the log, by the documentation of the format.
const LOG: u64 = 8192;
/// The header of a record, by the same.
const HEADER: u64 = 16;

/// A journal of these sizes, with these operations.
struct Shape {
    segment: u64,
    segments: u64,
    alignment: u64,
    sizes: &'static [Size],
    /// Records are reserved, and the journal is opened again in the middle.
    has_reservations: bool,
    /// Words are overwritten.
    has_damage: bool,
}

/// The payload of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// A payload of so many bytes, with this ending.
    Of(usize, Ending),
    /// As many as a record can have.
    Largest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Do {
    /// Appends a record; without waiting for it, if a reservation is open.
    Append(Size),
    /// Appends two records of this size as a group. The largest ones fill a segment together.
    Group(Size),
    /// Reserves room for a record, and writes half of it.
    Reserve(Size),
    /// Finishes the oldest reservation that is open.
    Finish,
    /// Drops the oldest reservation that is open.
    Abandon,
    /// Trims the oldest record.
    TrimOne,
    /// Trims all that is acknowledged.
    TrimAll,
    /// Drops all and opens the journal again.
    Reopen,
    /// Drops all and repairs the journal.
    Repair,
    /// Closes the journal and opens it again.
    Close,
    /// Closes the journal, overwrites a word of the newest record, and opens the journal again.
    CloseAndDamage { word: u64 },
    /// Overwrites a word of an acknowledged record.
    Damage { which: Which, word: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Oldest,
    Newest,
}

/// The next opening of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Plain,
    Repair,
    /// The journal is closed before, and a record is damaged.
    Closed(Option<Harm>),
}

/// The damage to a word of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Harm {
    number: u64,
    /// The offset of the word.
    at: u64,
}

impl Harm {
    fn apply(self, life: &Life<'_, Shape>) -> Result<(), Violation> {
        let (medium, at) = (life.medium, self.at);
        life.note(|model| model.damaged = Some(self.number));
        medium.store(at, !medium.load(at, Relaxed), Relaxed);
        medium.persist(at..at + 8)?;
        Ok(())
    }
}

/// The state of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Room is reserved, and the record is not finished.
    Reserved,
    /// The record may be there.
    UnderWay,
    /// The record must be there.
    Acknowledged,
    /// The record is not there, and does not hold up those behind it.
    Abandoned,
}

#[derive(Clone)]
struct Entry {
    number: u64,
    payload: Rc<[u8]>,
    class: Class,
    /// Records before this number were acknowledged when it began.
    acknowledged: u64,
    /// True if the record was found at an opening, or the journal was closed after it.
    is_found: bool,
}

/// Without the payload, which the number determines.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.number, self.class)
    }
}

/// The reference model.
#[derive(Clone, Debug, Default)]
struct Log {
    is_created: bool,
    /// The records in their order.
    entries: Vec<Entry>,
    /// The number of records that may have been trimmed.
    trimming: usize,
    /// The number of the next record.
    next: u64,
    /// The number of the record that was damaged.
    damaged: Option<u64>,
    /// A repair has begun, which may have covered the damaged record.
    is_repairing: bool,
}

impl Log {
    fn count(&self, class: Class) -> usize {
        self.entries.iter().filter(|entry| entry.class == class).count()
    }

    /// The acknowledged records.
    fn there(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.class == Class::Acknowledged)
    }

    fn begin(&mut self, payload: Rc<[u8]>, class: Class) {
        let number = self.next;
        let first = self
            .entries
            .iter()
            .find(|entry| matches!(entry.class, Class::Reserved | Class::UnderWay));
        let acknowledged = first.map_or(number, |first| first.number);
        self.entries.push(Entry { number, payload, class, acknowledged, is_found: false });
        self.next += 1;
    }

    fn set(&mut self, number: u64, class: Class) {
        for entry in self.entries.iter_mut().filter(|entry| entry.number == number) {
            entry.class = class;
        }
    }

    /// Forgets the records from a number on, which were refused.
    fn refuse(&mut self, number: u64) {
        self.entries.retain(|entry| entry.number < number);
    }

    /// Notes that the journal was closed: damage to any record must show.
    fn close(&mut self) {
        let there = self.entries.iter_mut().filter(|entry| entry.class == Class::Acknowledged);
        there.for_each(|entry| entry.is_found = true);
    }

    /// True if damage to the record must show: it was found at an opening, acknowledged before another record began, or
    /// the journal was closed.
    fn must_be_noticed(&self, damaged: u64) -> bool {
        let is_evidence = |entry: &Entry| {
            let is_there = matches!(entry.class, Class::UnderWay | Class::Acknowledged);
            entry.number == damaged && entry.is_found
                || is_there && entry.number > damaged && entry.acknowledged > damaged
        };
        self.entries.iter().any(is_evidence)
    }

    /// The entries that are there after a repair, if these payloads can be.
    fn repaired(&self, payloads: &[Vec<u8>]) -> Option<Vec<Entry>> {
        let mut payloads = payloads.iter().peekable();
        let mut found = Vec::new();
        for entry in &self.entries {
            let may_be_there = matches!(entry.class, Class::UnderWay | Class::Acknowledged);
            if may_be_there && payloads.next_if(|next| ***next == *entry.payload).is_some() {
                let class = Class::Acknowledged;
                found.push(Entry { class, is_found: true, ..entry.clone() });
            } else if entry.class == Class::Acknowledged && self.damaged != Some(entry.number) {
                return None;
            }
        }
        payloads.next().is_none().then_some(found)
    }

    /// The entries that are there, if these payloads can be.
    fn found(&self, payloads: &[Vec<u8>]) -> Option<Vec<Entry>> {
        let starts = if self.trimming > 0 { vec![0, self.trimming] } else { vec![0] };
        starts.into_iter().find_map(|from| self.found_from(from, payloads))
    }

    fn found_from(&self, from: usize, payloads: &[Vec<u8>]) -> Option<Vec<Entry>> {
        let mut payloads = payloads.iter();
        let mut found = Vec::new();
        let mut left = self.entries[from..].iter().filter(|entry| entry.class != Class::Abandoned);
        for entry in &mut left {
            match payloads.next() {
                Some(payload) if entry.class != Class::Reserved && **payload == *entry.payload => {
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

/// A journal, and all that is under way in it.
struct Handles<'j, 'm> {
    journal: &'j Journal<&'m SimMedium>,
    segment: u64,
    reservations: Vec<Reserved<'j, 'm>>,
    pending: Vec<(u64, Pending<'j, &'m SimMedium>)>,
    /// Reads all along.
    tail: Records<'j, &'m SimMedium>,
    /// The number before which the tail has read all.
    read: u64,
}

/// A reservation, the number of its record and the payload.
type Reserved<'j, 'm> = (u64, Rc<[u8]>, Reservation<'j, &'m SimMedium>);

type Failed = Error<core::convert::Infallible>;

impl Shape {
    fn bytes(&self) -> u64 {
        LOG + self.segments * self.segment
    }

    fn options(&self, life: &Life<'_, Self>) -> Options<'static> {
        Options::with_entropy([0x0123_4567_89ab_cdef, life.number])
            .segment(self.segment)
            .window(2 * self.segment)
            .alignment(self.alignment)
    }

    /// Repairs the journal and judges it: only the damaged record may be lost.
    fn repair<'m>(&self, life: &Life<'m, Self>) -> Result<Journal<&'m SimMedium>, Violation> {
        life.note(|model| model.is_repairing = true);
        let model = life.model();
        let (journal, repaired) = self.options(life).repair(life.medium)?;
        let is_whole = repaired.was_whole || model.damaged.is_some();
        Violation::unless(is_whole, || format!("nothing was damaged: {repaired:?}"))?;
        let payloads = payloads(&journal)?;
        let Some(found) = model.repaired(&payloads) else {
            return Err(Violation::lost(format!("{} are there: {model:?}", named(&payloads))));
        };
        life.note(|model| {
            (model.entries, model.damaged, model.is_repairing) = (found, None, false);
        });
        Ok(journal)
    }

    /// Opens the journal, or creates it, and judges it. Nothing comes behind damage.
    fn open<'m>(&self, life: &Life<'m, Self>) -> Result<Option<Journal<&'m SimMedium>>, Violation> {
        let model = life.model();
        let opened = self.options(life).open(life.medium).map_err(Error::from);
        if is(&opened, |kind| matches!(kind, ErrorKind::NotAJournal { .. })) && !model.is_created {
            let journal = self.options(life).create_new(life.medium)?;
            life.note(|model| model.is_created = true);
            return Ok(Some(journal));
        }
        if let Some(damaged) = model.damaged {
            let is_refused = opened.is_err();
            judge_damaged(&model, damaged, opened)?;
            let is_cut_off = is_refused && model.is_repairing;
            return is_cut_off.then(|| self.repair(life)).transpose();
        }
        let (journal, recovered) = opened?;
        let payloads = payloads(&journal)?;
        let is_counted = recovered.records == payloads.len() as u64 && recovered.damage.is_none();
        Violation::unless(is_counted, || format!("{recovered:?} of {} records", payloads.len()))?;
        let Some(found) = model.found(&payloads) else {
            let text = format!("{} are there: {model:?}", named(&payloads));
            let is_lost = payloads.len() + model.trimming < model.count(Class::Acknowledged);
            return Err(if is_lost { Violation::lost(text) } else { Violation::broken(text) });
        };
        life.note(|model| {
            (model.is_created, model.entries, model.trimming) = (true, found, 0);
        });
        Ok(Some(journal))
    }

    /// One opening, up to the next, which is returned.
    fn opened(
        &self,
        life: &Life<'_, Self>,
        opening: Opening,
    ) -> Result<Option<Opening>, Violation> {
        let opened = match opening {
            Opening::Plain | Opening::Closed(_) => self.open(life)?,
            Opening::Repair => Some(self.repair(life)?),
        };
        let Some(journal) = opened else { return Ok(None) };
        let next = self.used(life, &journal)?;
        if let Some(Opening::Closed(harm)) = next {
            journal.close()?;
            life.note(Log::close);
            harm.map_or(Ok(()), |harm| harm.apply(life))?;
        }
        Ok(next)
    }

    /// Uses a journal up to the next opening, which is returned.
    fn used<'m>(
        &self,
        life: &Life<'m, Self>,
        journal: &Journal<&'m SimMedium>,
    ) -> Result<Option<Opening>, Violation> {
        let segment = self.segment;
        let (reservations, pending, tail) = (Vec::new(), Vec::new(), journal.records()?);
        let mut handles = Handles { journal, segment, reservations, pending, tail, read: 0 };
        loop {
            handles.follow(life)?;
            let Some(operation) = life.next() else { return Ok(None) };
            match operation {
                Do::Append(size) => handles.append(life, size)?,
                Do::Group(size) => handles.group(life, size)?,
                Do::Reserve(size) => handles.reserve(life, size)?,
                Do::Finish => handles.finish(life)?,
                Do::Abandon => handles.abandon(life)?,
                Do::TrimOne => handles.trim(life, 1)?,
                Do::TrimAll => handles.trim(life, usize::MAX)?,
                Do::Reopen => return handles.left(life, Opening::Plain),
                Do::Repair => return handles.left(life, Opening::Repair),
                Do::Close => return handles.left(life, Opening::Closed(None)),
                Do::CloseAndDamage { word } => {
                    let harm = handles.harm(life, Which::Newest, word)?;
                    return handles.left(life, Opening::Closed(harm));
                }
                Do::Damage { which, word } => {
                    let harm = handles.harm(life, which, word)?;
                    harm.map_or(Ok(()), |harm| harm.apply(life))?;
                }
            }
        }
    }
}

/// After damage all is there, or the journal says so. It may not know of damage to what came last.
fn judge_damaged(
    model: &Log,
    damaged: u64,
    opened: Result<(Journal<&SimMedium>, Recovered), Failed>,
) -> Result<(), Violation> {
    let Ok((journal, recovered)) = opened else { return Ok(()) };
    if recovered.damage.is_some() || !model.must_be_noticed(damaged) {
        return Ok(());
    }
    let payloads = payloads(&journal)?;
    let text = || format!("{} are there, and no damage: {model:?}", named(&payloads));
    let is_repaired = model.is_repairing && model.repaired(&payloads).is_some();
    Violation::unless(is_repaired || model.found(&payloads).is_some(), text)
}

fn payloads(journal: &Journal<&SimMedium>) -> Result<Vec<Vec<u8>>, Failed> {
    journal.records()?.map(|record| Ok(record?.payload)).collect()
}

/// True if something was refused for such a reason.
fn is<T>(
    done: &Result<T, Failed>,
    reason: impl Fn(&ErrorKind<core::convert::Infallible>) -> bool,
) -> bool {
    done.as_ref().is_err_and(|error| reason(error.kind()))
}

fn is_full<T>(done: &Result<T, Failed>) -> bool {
    is(done, |kind| matches!(kind, ErrorKind::Full { .. }))
}

/// The payloads by the numbers that their first bytes have.
fn named(payloads: &[Vec<u8>]) -> String {
    let number = |payload: &Vec<u8>| payload.first().map(|first| first - 1);
    format!("{:?}", payloads.iter().map(number).collect::<Vec<_>>())
}

impl<'m> Handles<'_, 'm> {
    fn payload(&self, number: u64, size: Size) -> Rc<[u8]> {
        match size {
            Size::Of(len, ending) => bytes(number, len, ending),
            Size::Largest => bytes(number, self.journal.largest() as usize, Ending::Plain),
        }
    }

    /// Returns the payloads of a group.
    fn payloads(&self, first: u64, size: Size) -> [Rc<[u8]>; 2] {
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
    fn has_room_in_window(&self) -> bool {
        let head = self.journal.head().0;
        let limit = head - head % self.segment + self.journal.capacity();
        let tail = limit - self.journal.free();
        tail / self.segment == self.journal.end().0 / self.segment
    }

    /// Reads what was acknowledged since the last time, and no more.
    fn follow(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
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

    fn append(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
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

    fn group(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
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

    fn reserve(&mut self, life: &Life<'m, Shape>, size: Size) -> Result<(), Violation> {
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

    fn finish(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
        let (number, payload, mut reservation) = self.reservations.remove(0);
        life.note(|model| model.set(number, Class::UnderWay));
        reservation.write_bytes(&payload[payload.len() / 2..]);
        self.pending.push((number, reservation.submit()?));
        self.acknowledge(life)
    }

    fn abandon(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
        let (number, _, reservation) = self.reservations.remove(0);
        life.note(|model| model.set(number, Class::Abandoned));
        drop(reservation);
        self.acknowledge(life)
    }

    /// Notes what is acknowledged by now.
    fn acknowledge(&mut self, life: &Life<'m, Shape>) -> Result<(), Violation> {
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
    fn trim(&mut self, life: &Life<'m, Shape>, most: usize) -> Result<(), Violation> {
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
    fn left(
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
    fn harm(
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

impl Structure for Shape {
    type Operation = Do;
    type Model = Log;

    fn operations(&self, model: &Log) -> Vec<Do> {
        if model.damaged.is_some() {
            return vec![Do::Repair];
        }
        let mut operations = Vec::new();
        let is_open = model.count(Class::Reserved) > 0;
        for size in self.sizes.iter().copied() {
            operations.push(Do::Append(size));
            operations.extend(self.has_reservations.then_some(Do::Reserve(size)));
            operations.extend((!is_open).then_some(Do::Group(size)));
        }
        if is_open {
            operations.extend([Do::Finish, Do::Abandon]);
        }
        if model.count(Class::Acknowledged) > 0 {
            operations.extend([Do::TrimOne, Do::TrimAll]);
        }
        if self.has_reservations {
            operations.extend([Do::Reopen, Do::Repair, Do::Close]);
        }
        if self.has_damage && model.entries.len() > 1 && model.there().count() > 0 {
            for which in [Which::Oldest, Which::Newest] {
                operations.extend((0..3).map(|word| Do::Damage { which, word }));
            }
        }
        if self.has_damage && model.there().count() > 0 {
            operations.extend((0..3).map(|word| Do::CloseAndDamage { word }));
        }
        operations
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let mut opening = Some(Opening::Plain);
        while let Some(next) = opening {
            opening = self.opened(life, next)?;
        }
        Ok(())
    }

    fn simpler(&self, operation: &Do) -> Vec<Do> {
        match *operation {
            Do::Append(Size::Largest) => vec![Do::Append(self.sizes[0])],
            Do::Group(size) => vec![Do::Append(size)],
            Do::TrimOne => vec![Do::TrimAll],
            Do::Repair | Do::Close => vec![Do::Reopen],
            Do::CloseAndDamage { word } => vec![Do::Damage { which: Which::Newest, word }],
            _ => Vec::new(),
        }
    }
}

/// As long as the mark of a segment.
const SMALL: Size = Size::Of(40, Ending::Plain);

/// Records in lines of their own, of which some are reserved and not finished.
const RESERVED: Shape = Shape {
    segment: 256,
    segments: 4,
    alignment: 64,
    sizes: &[SMALL, Size::Largest],
    has_reservations: true,
    has_damage: false,
};

/// Packed records, of which some end with their own checksum: their bodies can begin a line.
const CHECKSUMS: Shape = Shape {
    segment: 256,
    segments: 3,
    alignment: 8,
    sizes: &[Size::Of(32, Ending::Plain), Size::Of(16, Ending::Checksum)],
    has_reservations: false,
    has_damage: false,
};

#[test]
fn records_are_a_prefix_whatever_is_reserved_before_them() {
    assert_safe(&RESERVED, RESERVED.bytes(), USUAL);
}

#[test]
fn records_that_end_with_their_own_checksum_are_their_own() {
    assert_safe(&CHECKSUMS, CHECKSUMS.bytes(), USUAL);
}

#[test]
fn damage_to_a_record_that_others_follow_is_noticed() {
    for has_reservations in [false, true] {
        let damaged = Shape { has_reservations, has_damage: true, ..RESERVED };
        assert_safe(&damaged, damaged.bytes(), USUAL);
    }
}
