//! The states of a drive that a power cut can leave.
//!
//! A cut comes before an event of the log. Each write before the last flush is durable, and so is each write with
//! forced unit access. For the other writes, a policy and a seed choose the sectors that survive. An event, a seed and
//! a policy thus always name the same state of a log.
//!
//! # Limits
//! A write that reached the drive before a flush is durable after it, even if the flush was sent before the write had
//! completed. Of two writes to one sector, either the later or the earlier one survives; they are not reordered.
use core::ops::Range;
use std::collections::BTreeSet;

use lose_lines_plugin::policy::{Fate, Policy};
use lose_lines_states::{Kept, Random, at_promises, by_seed, hash};

use crate::content::{Content, PAGE};
use crate::log::{DriveLog, Event, SECTOR, Write};

/// The name of a state: before an event, by a policy or without these writes, which are given by their events.
pub type Choice = lose_lines_states::Choice<Policy>;

/// Returns the state before an event in which these writes are lost.
pub fn losing(event: usize, writes: impl IntoIterator<Item = usize>) -> Choice {
    let writes: BTreeSet<usize> = writes.into_iter().collect();
    let lost = writes.iter().filter_map(|write| u32::try_from(*write).ok()).collect();
    let all = Kept::Chosen { seed: 0, keep: Policy::All };
    Choice { cut: event, kept: if writes.is_empty() { all } else { Kept::AllBut(lost) } }
}

/// Returns true if a log has the event and the lost writes of a state.
pub fn is_of(choice: &Choice, log: &DriveLog) -> bool {
    let is_write = |event: &u32| {
        let event = *event as usize;
        event < choice.cut && matches!(log.events.get(event), Some(Event::Write(_)))
    };
    let has_writes = match &choice.kept {
        Kept::AllBut(writes) => writes.iter().all(is_write),
        Kept::Chosen { .. } => true,
    };
    choice.cut <= log.events.len() && has_writes
}

/// The sectors of one write that were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The number of the write's event.
    pub event: usize,
    /// The offsets on the drive, in whole sectors.
    pub ranges: Vec<Range<usize>>,
}

impl Lost {
    pub fn sectors(&self) -> usize {
        self.ranges.iter().map(|range| range.len() / SECTOR).sum()
    }
}

/// A state that was built.
#[derive(Clone, Debug)]
pub struct Built {
    pub image: Content,
    /// Equal for equal images after the same write, and hardly ever for others.
    pub id: u128,
    /// The number of sectors of the writes that no flush had made durable.
    pub pending: usize,
    pub lost: Vec<Lost>,
}

/// Builds the states of a log. Builder are built fastest in the order of their events.
#[derive(Clone, Debug)]
pub struct Builder<'a> {
    log: &'a DriveLog,
    /// The drive after the writes before this event.
    durable: Content,
    at: usize,
    /// The number of the last of these writes.
    last_write: usize,
    tearing: Tearing,
}

impl<'a> Builder<'a> {
    pub fn new(log: &'a DriveLog, tearing: Tearing) -> Self {
        Self { log, durable: Content::new(log.size), at: 0, last_write: 0, tearing }
    }

    /// Builds a state.
    pub fn build(&mut self, choice: &Choice) -> Built {
        let end = choice.cut.min(self.log.events.len());
        let flushed = self.log.flushes_around(end).0.unwrap_or_default();
        self.advance_to(flushed);
        let pending: Vec<_> = writes(self.log, flushed..end).collect();
        let mut fates = Chooser::new(choice, pending.len());
        let (mut image, mut lost, mut touched) =
            (self.durable.clone(), Vec::new(), BTreeSet::new());
        for (number, (event, write)) in pending.iter().enumerate() {
            touched.extend(write.sectors().map(|at| at / PAGE));
            let fate = if write.is_durable { Fate::Kept } else { fates.of_write(number, *event) };
            let mut ranges: Vec<Range<usize>> = Vec::new();
            for at in write.sectors() {
                let is_kept = match fate {
                    Fate::Torn => fates.of_sector(at, || self.tearing.part(at, self.log)),
                    fate => fate == Fate::Kept,
                };
                if is_kept {
                    image.write(at, write.sector(at));
                } else if let Some(last) = ranges.last_mut().filter(|last| last.end == at) {
                    last.end += SECTOR;
                } else {
                    ranges.push(at..at + SECTOR);
                }
            }
            if !ranges.is_empty() {
                lost.push(Lost { event: *event, ranges });
            }
        }
        let pending = pending.iter().map(|(_, write)| write.len / SECTOR).sum();
        let id = self.id(&image, touched);
        Built { image, id, pending, lost }
    }

    /// Makes the writes before an event durable.
    fn advance_to(&mut self, event: usize) {
        if event < self.at && writes(self.log, event..self.at).next().is_some() {
            *self = Self::new(self.log, self.tearing.clone());
        }
        for (number, write) in writes(self.log, self.at..event) {
            apply(write, &mut self.durable);
            self.last_write = number;
        }
        self.at = event;
    }

    /// Returns a hash of an image that differs from the durable one in some of these pages.
    fn id(&self, image: &Content, touched: BTreeSet<usize>) -> u128 {
        let mut encoding = self.last_write.to_le_bytes().to_vec();
        for page in touched.into_iter().filter(|page| image.page(*page) != self.durable.page(*page))
        {
            encoding.extend(page.to_le_bytes());
            encoding.extend(hash(image.page(page)).to_le_bytes());
        }
        hash(&encoding)
    }
}

fn apply(write: &Write, image: &mut Content) {
    if write.bytes.is_empty() {
        image.write_zeros(write.at, write.len);
    } else {
        image.write(write.at, &write.bytes);
    }
}

/// Returns the writes among some events, with their numbers.
fn writes(log: &DriveLog, events: Range<usize>) -> impl Iterator<Item = (usize, &Write)> {
    let numbered = log.events.iter().enumerate().skip(events.start).take(events.len());
    numbered.filter_map(|(number, event)| match event {
        Event::Write(write) => Some((number, write)),
        _ => None,
    })
}

/// The parts of a torn write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tearing {
    /// The bytes that the drive writes whole: 512 or 4096.
    pub unit: usize,
    /// The blocks of the file system's own that are written whole.
    pub whole: Option<Range<usize>>,
}

impl Tearing {
    /// Returns the parts of torn writes of a log, on a drive that writes units whole. Blocks of the file system's journal
    /// are torn only if `journal` is true: a kernel may refuse to mount a file system with half a commit block.
    pub fn of(log: &DriveLog, unit: usize, journal: bool) -> Self {
        Self { unit, whole: if journal { None } else { log.journal() } }
    }

    /// Returns the part of a write that shares the fate of the sector at this offset.
    fn part(&self, at: usize, log: &DriveLog) -> Range<usize> {
        let is_whole = self.whole.as_ref().is_some_and(|blocks| blocks.contains(&at));
        let size = if is_whole || log.file_system.is_whole(at) { PAGE } else { self.unit };
        at / size * size..(at / size + 1) * size
    }
}

/// Chooses the fates of one state's writes.
struct Chooser<'a> {
    kept: &'a Kept<Policy>,
    policy: Policy,
    /// The number of the write that a policy singles out.
    chosen: usize,
    random: Random,
    /// The last part of a torn write, and its fate.
    part: (Range<usize>, bool),
}

impl<'a> Chooser<'a> {
    fn new(choice: &'a Choice, pending: usize) -> Self {
        let (seed, policy) = match choice.kept {
            Kept::Chosen { seed, keep } => (seed, keep),
            Kept::AllBut(_) => (0, Policy::All),
        };
        let mut random = Random(seed ^ (choice.cut as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        let chosen = random.below(pending.max(1));
        Self { kept: &choice.kept, policy, chosen, random, part: (0..0, false) }
    }

    fn of_write(&mut self, number: usize, event: usize) -> Fate {
        self.part = (0..0, false);
        match self.kept {
            Kept::AllBut(writes) if writes.iter().any(|write| *write as usize == event) => {
                Fate::Lost
            }
            Kept::AllBut(_) => Fate::Kept,
            Kept::Chosen { .. } => {
                self.policy.fate(number, self.chosen, || self.random.below(2) == 1)
            }
        }
    }

    /// Returns true if the part of a torn write with the sector at this offset survives.
    fn of_sector(&mut self, at: usize, part: impl FnOnce() -> Range<usize>) -> bool {
        if !self.part.0.contains(&at) {
            self.part = (part(), self.random.below(2) == 1);
        }
        self.part.1
    }
}

/// Returns random states in the order of their events: before writes and flushes of the program, after each line that
/// it printed, and after its end. Among them are the states just after lines and at the end without unflushed writes, but
/// for at most half of all.
pub fn chosen(log: &DriveLog, count: usize, seed: u64, policy: Policy) -> Vec<Choice> {
    let events = log.events.iter().enumerate().skip(log.start());
    let places: BTreeSet<usize> = events
        .filter_map(|(number, event)| match event {
            Event::Write(_) | Event::Flush => Some(number),
            // A program that never syncs has no write here, so what it acknowledged is lost.
            Event::Line(_) => Some(number + 1),
            Event::Start | Event::End => None,
        })
        .chain([log.events.len()])
        .collect();
    let places: Vec<usize> = places.into_iter().collect();
    let promised: Vec<usize> = events_after_lines(log).chain([log.events.len()]).collect();
    let none = if policy == Policy::Any { Policy::None } else { policy };
    let mut all = at_promises(&promised, (count / 2).max(1), none);
    let keep = |random: &mut Random| policy.at(random.number());
    all.extend(by_seed([&places, &places], seed, keep).take(count.saturating_sub(all.len())));
    all.sort_by_key(|choice| choice.cut);
    all
}

fn events_after_lines(log: &DriveLog) -> impl Iterator<Item = usize> {
    let events = log.events.iter().enumerate().skip(log.start());
    events.filter_map(|(number, event)| matches!(event, Event::Line(_)).then_some(number + 1))
}

#[cfg(test)]
mod tests {
    use super::{
        Builder, Built, Choice, Content, DriveLog, Event, Kept, PAGE, Policy, SECTOR, Tearing,
        Write, chosen,
    };
    use crate::file_system::FileSystem;

    fn write(sector: usize, bytes: &[u8]) -> Event {
        let bytes = bytes.iter().flat_map(|byte| [*byte; SECTOR]).collect::<Vec<_>>();
        let (at, len) = (sector * SECTOR, bytes.len());
        Event::Write(Write { at, len, bytes, is_durable: false })
    }

    /// Event 1 writes sectors 16 and 17, a flush; events 3 to 5 write sectors 17 and 18, 24, and 25 and 26, and no flush came.
    fn log() -> DriveLog {
        let events = vec![
            Event::Start,
            write(16, &[1, 2]),
            Event::Flush,
            write(17, &[3, 4]),
            write(24, &[5]),
            write(25, &[6, 7]),
            Event::Line(String::from("ack")),
            Event::Flush,
        ];
        DriveLog { file_system: FileSystem::Ext4, size: 16 * PAGE, events }
    }

    fn sectors() -> Tearing {
        Tearing { unit: SECTOR, whole: None }
    }

    fn built(log: &DriveLog, state: &str) -> Built {
        Builder::new(log, sectors()).build(&state.parse().unwrap())
    }

    /// Returns the first byte of each sector from the sixteenth on.
    fn bytes(image: &Content) -> [u8; 11] {
        let mut bytes = [0; 27 * SECTOR];
        image.read(0, &mut bytes);
        core::array::from_fn(|number| bytes[(16 + number) * SECTOR])
    }

    #[test]
    fn what_a_flush_completed_is_durable_and_the_rest_is_lost_or_kept() {
        let log = log();
        assert_eq!(bytes(&built(&log, "6:1:none").image), [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(&built(&log, "6:1:all").image), [1, 3, 4, 0, 0, 0, 0, 0, 5, 6, 7]);
        // Before the second write nothing but the first one can be there.
        assert_eq!(bytes(&built(&log, "4:1:all").image), [1, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(&built(&log, "2:1:none").image), [0; 11]);
        assert_eq!(bytes(&built(&log, "8:1:none").image), bytes(&built(&log, "6:1:all").image));
        let lost = built(&log, "6:lose:3+5");
        assert_eq!(bytes(&lost.image), [1, 2, 0, 0, 0, 0, 0, 0, 5, 0, 0]);
        let ranges: Vec<_> = lost.lost.iter().map(|lost| (lost.event, &*lost.ranges)).collect();
        let range = |first, end| first * SECTOR..end * SECTOR;
        assert_eq!(ranges, [(3, &[range(17, 19)][..]), (5, &[range(25, 27)])]);
        assert_eq!(lost.pending, 5);
    }

    /// Returns the states that some seeds of a policy make of sectors 17, 18, 24, 25 and 26.
    fn all_of(log: &DriveLog, policy: &str) -> Vec<[u8; 5]> {
        let of_seed = |seed| {
            let bytes = bytes(&built(log, &format!("6:{seed}:{policy}")).image);
            [1, 2, 8, 9, 10].map(|sector| bytes[sector])
        };
        let mut states: Vec<_> = (0..400).map(of_seed).collect();
        states.sort_unstable();
        states.dedup();
        states
    }

    #[test]
    fn each_policy_makes_all_of_its_states_and_no_other() {
        let log = log();
        let [first, second, third] = [[3, 4, 0, 0, 0], [2, 0, 5, 0, 0], [2, 0, 0, 6, 7]];
        assert_eq!(all_of(&log, "keep-one"), [third, second, first]);
        assert_eq!(all_of(&log, "lose-one"), [[2, 0, 5, 6, 7], [3, 4, 0, 6, 7], [3, 4, 5, 0, 0]]);
        // Three writes, each there or not; five sectors.
        assert_eq!(all_of(&log, "half").len(), 8);
        assert_eq!(all_of(&log, "torn").len(), 32);
        // The first write torn (4 states, all of them with nothing behind), the second (2), the third (4); "all of the
        // first" and "all of the second" are counted twice.
        assert_eq!(all_of(&log, "prefix").len(), 4 + 2 + 4 - 2);
    }

    #[test]
    fn a_write_with_forced_unit_access_survives_and_a_superblock_is_not_torn() {
        let mut log = log();
        if let Event::Write(write) = &mut log.events[4] {
            write.is_durable = true;
        }
        assert_eq!(bytes(&built(&log, "6:1:none").image)[8], 5);
        let superblock = DriveLog {
            events: vec![Event::Start, write(0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])],
            ..log
        };
        for seed in 0..50 {
            let lost = built(&superblock, &format!("2:{seed}:torn")).lost;
            let of_superblock = lost.iter().flat_map(|lost| lost.ranges.clone());
            let of_superblock = of_superblock.flat_map(|range| range.step_by(SECTOR));
            let count = of_superblock.filter(|at| *at < PAGE).count();
            assert!(count == 0 || count == 8, "{count} sectors were lost");
        }
    }

    /// The superblock of a journal of two blocks (Linux, `include/linux/jbd2.h`, `journal_superblock_t`).
    fn journal_of_two_blocks() -> Event {
        let mut bytes = vec![0; PAGE];
        bytes[..8].copy_from_slice(&[0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4]);
        bytes[14] = 0x10; // blocks of 4096 bytes
        bytes[19] = 2;
        Event::Write(Write { at: 4 * PAGE, len: PAGE, bytes, is_durable: false })
    }

    #[test]
    fn a_block_of_the_journal_is_torn_only_if_asked_and_a_unit_never() {
        let mut log = log();
        log.events.insert(0, journal_of_two_blocks());
        // The journal's second block, and one behind its end.
        log.events.extend([write(40, &[1; 8]), write(48, &[1; 8])]);
        let counts = |unit, is_journal_torn| {
            let tearing = Tearing::of(&log, unit, is_journal_torn);
            let mut most = [0; 2];
            for seed in 0..50 {
                let state = format!("{}:{seed}:torn", log.events.len()).parse().unwrap();
                let lost = Builder::new(&log, tearing.clone()).build(&state).lost;
                let sectors = lost.iter().flat_map(|lost| lost.ranges.clone());
                let sectors: Vec<_> = sectors.flat_map(|range| range.step_by(SECTOR)).collect();
                for (place, block) in [40, 48].into_iter().enumerate() {
                    let block = block * SECTOR..(block + 8) * SECTOR;
                    let count = sectors.iter().filter(|at| block.contains(at)).count();
                    most[place] += usize::from(count % 8 != 0);
                }
            }
            most.map(|torn| torn > 0)
        };
        assert_eq!(counts(512, false), [false, true]);
        assert_eq!(counts(512, true), [true, true]);
        assert_eq!(counts(4096, true), [false, false]);
    }

    #[test]
    fn equal_states_have_one_name_and_others_another() {
        let log = log();
        let id = |state: &str| built(&log, state).id;
        assert_eq!(id("6:1:none"), id("3:9:all"));
        assert_ne!(id("6:1:none"), id("6:1:all"));
        assert_eq!(id("6:1:all"), id("6:lose:9"));
        // A builder that goes on or back builds what a new one builds.
        let mut states = Builder::new(&log, sectors());
        for state in ["8:1:all", "2:1:all", "6:7:half"] {
            assert_eq!(states.build(&state.parse().unwrap()).id, id(state));
        }
    }

    #[test]
    fn a_state_of_another_log_is_told() {
        let log = log();
        let is_of = |state: &str| super::is_of(&state.parse().unwrap(), &log);
        assert!(is_of("8:1:all") && is_of("6:lose:3+5"));
        assert!(!is_of("9:1:all") && !is_of("6:lose:2") && !is_of("4:lose:5"));
    }

    #[test]
    fn a_state_is_read_as_it_is_printed() {
        for text in ["50:4040054837:prefix", "7:lose:3+5", "0:0:keep-one"] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        for text in ["50", "50:1", "50:1:most", "50:1:any", "a:1:all"] {
            assert!(text.parse::<Choice>().unwrap_err().contains(text));
        }
    }

    #[test]
    fn cuts_come_before_writes_and_flushes_after_lines_and_after_the_end() {
        let states = chosen(&log(), 500, 3, Policy::Torn);
        let mut events: Vec<_> = states.iter().map(|state| state.cut).collect();
        events.dedup();
        assert_eq!(events, [1, 2, 3, 4, 5, 7, 8]);
        assert_eq!(states, chosen(&log(), 500, 3, Policy::Torn));
        assert!(
            states
                .iter()
                .all(|state| matches!(state.kept, Kept::Chosen { keep: Policy::Torn, .. }))
        );
        let states = chosen(&log(), 10, 3, Policy::Any);
        let least =
            |cut| states.iter().any(|state| *state == format!("{cut}:0:none").parse().unwrap());
        assert!(least(7) && least(8));
    }
}
