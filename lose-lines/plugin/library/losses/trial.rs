//! A crash of one program's memory, without ending the machine.
//!
//! 1. The program names a range: from now on its lines are clean, whatever they contain.
//! 2. It may name witnesses: bytes that no crash loses, such as the number of acknowledged operations.
//! 3. It chooses the event before which the crash comes, by its number, and a seed.
//! 4. It runs. Before the event, the content after a crash is saved; the program continues.
//! 5. It asks for the losses: the range then contains what was saved, or what a crash at this moment leaves. Of the
//!    witness's last 16 bytes, the first word is the number of events, and the second is 1 if the crash came before the
//!    end.

use std::collections::HashSet;

use super::fates::Fates;
use super::model::Event;
use super::words::{Line, WORDS};
use super::{Losses, Site};

/// A trial on some lines.
#[derive(Debug, Default)]
pub struct Trial {
    /// The lines of the range, in its order.
    lines: Vec<u32>,
    is_in: HashSet<u32>,
    witnesses: HashSet<u32>,
    /// The line whose last words are the answer.
    answer: Option<u32>,
    crash_at: u64,
    seed: u64,
    events: u64,
    aside: Option<Vec<Line>>,
}

impl Losses {
    /// Starts a trial on these lines.
    pub fn begin_trial(&mut self, lines: Vec<u32>) {
        for line in &lines {
            self.persist_now(*line);
        }
        let is_in = lines.iter().copied().collect();
        self.trial = Some(Trial { lines, is_in, ..Trial::default() });
    }

    /// Names lines that no crash loses; they become lines of the trial.
    pub fn witness(&mut self, lines: &[u32]) {
        if let Some(trial) = &mut self.trial {
            trial.witnesses.extend(lines);
            trial.answer = lines.last().copied();
            trial.lines.extend(lines.iter().filter(|line| trial.is_in.insert(**line)));
        }
    }

    /// Chooses the event, and the seed of the losses; 0 for the end of the trial.
    pub fn crash_at(&mut self, event: u64, seed: u64) {
        if let Some(trial) = &mut self.trial {
            (trial.crash_at, trial.seed) = (event, seed);
        }
    }

    /// Omits the write-back or the fence at this address from now on; 0 for none.
    pub fn omit(&mut self, at: u64) {
        self.omitted = (at != 0).then_some(at);
        // A program's first mark calls this, so its sites are reported anew.
        self.sites.clear();
    }

    /// Counts an event of the trial, and saves the content before the chosen one.
    pub(super) fn event_of_trial(&mut self, site: Site, event: Event, line: Option<u32>) {
        let Some(trial) = &mut self.trial else { return };
        let is_witness = |line: &u32| trial.witnesses.contains(line);
        if line.is_some_and(|line| is_witness(&line) || !trial.is_in.contains(&line)) {
            return;
        }
        trial.events += 1;
        let is_chosen = trial.events == trial.crash_at;
        if event != Event::Store && self.sites.insert(site.at) {
            self.told.push(format!("site at={:#x} event={}", site.at, event.name()));
        }
        if is_chosen {
            let aside = self.after_a_crash();
            if let Some(trial) = &mut self.trial {
                trial.aside = Some(aside);
            }
        }
    }

    /// Returns the content of the trial's lines after a crash at this moment.
    fn after_a_crash(&self) -> Vec<Line> {
        let Some(trial) = &self.trial else { return Vec::new() };
        // A file may be anywhere, so its lines are counted from its beginning. A witness has no fate.
        let is_pending: HashSet<u32> = self.pending.lines().collect();
        let is_dirty = |line: &u32| {
            !trial.witnesses.contains(line)
                && (self.memories.is_dirty(*line) || is_pending.contains(line))
        };
        let places = || (0_u32..).zip(trial.lines.iter().copied());
        let dirty: Vec<(u32, u32)> = places().filter(|(_, line)| is_dirty(line)).collect();
        let newest = dirty
            .iter()
            .filter_map(|(place, line)| Some((self.stored.get(line)?.number, *place)))
            .max()
            .map(|(_, place)| place);
        let dirty: Vec<u32> = dirty.iter().map(|(place, _)| *place).collect();
        let fates = Fates::new(self.model.policy, trial.seed, trial.crash_at, &dirty, newest);
        let content = |(place, line): (u32, u32)| {
            if is_dirty(&line) { self.left(&fates, place, line) } else { self.memories.live(line) }
        };
        places().map(content).collect()
    }

    /// Ends the trial: its lines now contain what the crash left.
    pub fn lose(&mut self) {
        let aside = self.trial.as_mut().and_then(|trial| trial.aside.take());
        let has_crashed = aside.is_some();
        let content = aside.unwrap_or_else(|| self.after_a_crash());
        let Some(trial) = self.trial.take() else { return };
        let mut lost = 0_u64;
        for (line, mut content) in trial.lines.iter().copied().zip(content) {
            lost += u64::from(content != self.memories.live(line));
            if trial.answer == Some(line) {
                content[WORDS - 2] = trial.events;
                content[WORDS - 1] = u64::from(has_crashed);
            }
            self.pending.forget(line);
            self.memories.set(line, &content);
            self.stored.remove(&line);
        }
        self.told.push(format!(
            "trial events={} crash={} seed={} changed={lost}",
            trial.events, trial.crash_at, trial.seed
        ));
    }
}
