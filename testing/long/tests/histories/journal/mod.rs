//! The journal: records in one order, of which a recovery finds a prefix with all that was acknowledged.

mod handles;
mod log;

use super::payload::Ending;
use crate::{MIXED, USUAL, assert_safe, assert_safe_from_damage};
use cachemaint::medium::Medium;
use cachemaint_journal::{
    Error, ErrorKind, FormatError, Journal, Opened, Options, Reader, Salvaged,
};
use cachemaint_sim::{BadBlock, Damage, Life, SimMedium, Structure, Violation};
use core::sync::atomic::Ordering::Relaxed;
use handles::Handles;
use log::{Class, Log};

/// The start of the log, by the documentation of the format.
const LOG: u64 = 20480;
/// The header of a record, by the same.
const HEADER: u64 = 16;

/// A journal of these sizes, with these operations.
struct Shape {
    segment: u64,
    segments: u64,
    sizes: &'static [Size],
    /// The journal is opened again in the middle.
    reopens: bool,
    /// Words are overwritten.
    has_damage: bool,
    /// Two threads append.
    has_threads: bool,
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
    /// Appends a record.
    Append(Size),
    /// Appends two records of this size as a group. The largest ones fill a segment together.
    Group(Size),
    /// Two threads append a record of this size each.
    Both(Size),
    /// Trims the oldest record.
    TrimOne,
    /// Trims all that is acknowledged.
    TrimAll,
    /// Drops all and opens the journal again.
    Reopen,
    /// Drops all and salvages the records, which ends the history.
    Salvage,
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

type Failed = Error<BadBlock>;

impl Shape {
    fn bytes(&self) -> u64 {
        LOG + self.segments * self.segment
    }

    fn options(&self, life: &Life<'_, Self>) -> Options {
        Options::with_entropy([0x0123_4567_89ab_cdef, life.number]).segment(self.segment)
    }

    /// Salvages a damaged journal and judges the records: only the damaged one may be missing.
    fn salvage(life: &Life<'_, Self>) -> Result<(), Violation> {
        let mut payloads = Vec::new();
        for found in Reader::open(life.medium)?.salvage()? {
            if let Salvaged::Record(record) = found? {
                payloads.push(record.payload);
            }
        }
        let model = life.model();
        if model.are_salvaged(&payloads) {
            return Ok(());
        }
        Err(Violation::lost(format!("{} are there: {model:?}", named(&payloads))))
    }

    /// Opens the journal, or creates it, and judges it. Nothing comes behind damage.
    fn open<'m>(&self, life: &Life<'m, Self>) -> Result<Option<Journal<&'m SimMedium>>, Violation> {
        let model = life.model();
        if let Some(damaged) = model.damaged {
            // An opening that takes the damage for a torn end discards what is behind it.
            if !model.is_tried || model.must_be_noticed(damaged) {
                Self::salvage(life)?;
            }
            life.note(|model| model.is_tried = true);
        }
        let opened = self.options(life).open(life.medium).map_err(Error::from);
        if is(&opened, |kind| matches!(kind, ErrorKind::Format(FormatError::Foreign { .. })))
            && !model.is_created
        {
            let (journal, _) = self.options(life).create_new(life.medium)?;
            life.note(|model| model.is_created = true);
            return Ok(Some(journal));
        }
        if let Some(damaged) = model.damaged {
            judge_damaged(&model, damaged, opened)?;
            return Ok(None);
        }
        if let Some(damage) = life.medium.damage() {
            judge_rotten(&model, &damage, opened)?;
            return Ok(None);
        }
        let (journal, Opened { recovered, .. }) = opened?;
        let payloads = payloads(&journal)?;
        let is_counted = recovered.records == payloads.len() as u64 && recovered.damage.is_none();
        Violation::unless(is_counted, || format!("{recovered:?} of {} records", payloads.len()))?;
        let Some(found) = model.found(&payloads) else {
            let text = format!("{} are there: {model:?}", named(&payloads));
            let is_lost = payloads.len() + model.trimming < model.count(Class::Acknowledged);
            return Err(if is_lost { Violation::lost(text) } else { Violation::broken(text) });
        };
        life.note(|model| {
            (model.is_created, model.entries, model.trimming, model.pair) = (true, found, 0, None);
        });
        Ok(Some(journal))
    }

    /// One opening, up to the next, which is returned.
    fn opened(&self, life: &Life<'_, Self>) -> Result<Option<Opening>, Violation> {
        let Some(journal) = self.open(life)? else { return Ok(None) };
        let next = Self::used(life, &journal)?;
        if let Some(Opening::Closed(harm)) = next {
            journal.close()?;
            life.note(Log::close);
            harm.map_or(Ok(()), |harm| harm.apply(life))?;
        }
        Ok(next)
    }

    /// Uses a journal up to the next opening, which is returned.
    fn used<'m>(
        life: &Life<'m, Self>,
        journal: &Journal<&'m SimMedium>,
    ) -> Result<Option<Opening>, Violation> {
        let mut handles = Handles { journal, tail: journal.records()?, read: 0 };
        loop {
            handles.follow(life)?;
            let Some(operation) = life.next() else { return Ok(None) };
            match operation {
                Do::Append(size) => handles.append(life, size)?,
                Do::Group(size) => handles.group(life, size)?,
                Do::Both(size) => handles.both(life, size)?,
                Do::TrimOne => handles.trim(life, 1)?,
                Do::TrimAll => handles.trim(life, usize::MAX)?,
                Do::Reopen => return Ok(Some(Opening::Plain)),
                Do::Salvage => {
                    Self::salvage(life)?;
                    return Ok(None);
                }
                Do::Close => return Ok(Some(Opening::Closed(None))),
                Do::CloseAndDamage { word } => {
                    let harm = handles.harm(life, Which::Newest, word)?;
                    return Ok(Some(Opening::Closed(harm)));
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
    opened: Result<(Journal<&SimMedium>, Opened), Failed>,
) -> Result<(), Violation> {
    let Ok((journal, _)) = opened else { return Ok(()) };
    if !model.must_be_noticed(damaged) {
        return Ok(());
    }
    let payloads = payloads(&journal)?;
    let text = || format!("{} are there, and no damage: {model:?}", named(&payloads));
    Violation::unless(model.found(&payloads).is_some(), text)
}

/// After a crash that left damage, all is there, or an error says so. The last records may look as if they had been under
/// way, if nothing vouches for them.
fn judge_rotten(
    model: &Log,
    damage: &Damage,
    opened: Result<(Journal<&SimMedium>, Opened), Failed>,
) -> Result<(), Violation> {
    let payloads = match opened.and_then(|(journal, _)| payloads(&journal)) {
        Ok(payloads) => payloads,
        Err(error) if matches!(error.kind(), ErrorKind::Format(FormatError::Foreign { .. })) => {
            return Violation::unless(!model.is_created, || format!("{damage}: {error}"));
        }
        Err(_) => return Ok(()),
    };
    let is_right = model.found(&payloads).or_else(|| model.vouched().found(&payloads)).is_some();
    let text = || format!("{damage}: {} are there, and no damage: {model:?}", named(&payloads));
    if is_right { Ok(()) } else { Err(Violation::lost(text())) }
}

fn payloads(journal: &Journal<&SimMedium>) -> Result<Vec<Vec<u8>>, Failed> {
    journal.records()?.map(|record| Ok(record?.payload)).collect()
}

/// True if something was refused for such a reason.
fn is<T>(done: &Result<T, Failed>, reason: impl Fn(&ErrorKind<BadBlock>) -> bool) -> bool {
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

impl Structure for Shape {
    type Operation = Do;
    type Model = Log;

    fn operations(&self, model: &Log) -> Vec<Do> {
        if model.damaged.is_some() {
            return vec![Do::Salvage];
        }
        let mut operations = Vec::new();
        for size in self.sizes.iter().copied() {
            operations.extend([Do::Append(size), Do::Group(size)]);
            operations.extend(self.has_threads.then_some(Do::Both(size)));
        }
        if model.count(Class::Acknowledged) > 0 {
            operations.extend([Do::TrimOne, Do::TrimAll]);
        }
        if self.reopens {
            operations.extend([Do::Reopen, Do::Close]);
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
        while self.opened(life)?.is_some() {}
        Ok(())
    }
}

/// A record of seven words.
const SMALL: Size = Size::Of(40, Ending::Plain);

/// Records of seven words, and some that fill a segment.
const REOPENED: Shape = Shape {
    segment: 256,
    segments: 6,
    sizes: &[SMALL, Size::Largest],
    reopens: true,
    has_damage: false,
    has_threads: false,
};

/// Packed records, of which some end with their own checksum: their bodies can begin a line.
const CHECKSUMS: Shape = Shape {
    segment: 256,
    segments: 3,
    sizes: &[Size::Of(32, Ending::Plain), Size::Of(16, Ending::Checksum)],
    reopens: false,
    has_damage: false,
    has_threads: false,
};

#[test]
fn records_are_a_prefix_over_openings() {
    assert_safe(&REOPENED, REOPENED.bytes(), USUAL);
}

#[test]
fn records_of_two_threads_are_a_prefix_over_openings() {
    let threads = Shape { has_threads: true, ..REOPENED };
    assert_safe(&threads, threads.bytes(), USUAL);
}

#[test]
fn no_damage_after_a_crash_takes_a_record_without_a_word() {
    let threads = Shape { has_threads: true, ..REOPENED };
    assert_safe_from_damage(&threads, threads.bytes(), MIXED);
}

#[test]
fn records_that_end_with_their_own_checksum_are_their_own() {
    assert_safe(&CHECKSUMS, CHECKSUMS.bytes(), USUAL);
}

#[test]
fn damage_to_a_record_that_others_follow_is_noticed() {
    for reopens in [false, true] {
        let damaged = Shape { reopens, has_damage: true, ..REOPENED };
        assert_safe(&damaged, damaged.bytes(), USUAL);
    }
}
