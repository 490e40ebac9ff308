//! Machines that lose what was not written back.
//!
//! There are two memories: LIVE, which the guest sees, and SHADOW, which has persisted. A line is dirty if they differ,
//! so firmware, devices, string instructions and the emulator's own helpers need no special care. Only streaming stores
//! and the instructions that make lines persist are followed. A write-back takes a snapshot of its line, without the
//! words that its thread has streamed since its last fence. A fence makes the snapshots of its thread persist. At a
//! crash, the seed decides the fate of each dirty line: it stays, or reverts to its persisted content or to a snapshot
//! that no fence has completed.
//!
//! A program can also ask which lines of a range are dirty or unfenced ([watch]).
//!
//! A crash comes in one of two ways:
//! - The machine ends. Both memories are files, so a killed emulator leaves them as they were. The losses are applied
//!   when the reset vector is executed, by the next emulator or, after a warm reset, by the same one. A kexec does not
//!   execute it, and loses nothing.
//! - A [trial]: a program names a range of its memory and an event. Before that event, the content that a crash would
//!   leave is computed, and at the end of the trial the program finds it in the range. Nothing else in the machine
//!   changes, so thousands of trials fit in a minute.

pub mod fates;
pub mod model;
pub mod options;
pub mod pending;
pub mod trial;
pub mod watch;
pub mod words;

use std::collections::{BTreeSet, HashMap, HashSet};

use self::fates::Fates;
use self::model::{Effect, Event, Half, Model, Streaming};
use self::pending::{Owner, Pending};
use self::trial::Trial;
use self::watch::Watch;
use self::words::{LINE, Line, Memories, WORDS};
use crate::decode::{Fence, Writeback};
use crate::policy::mixed;

/// The place of an instruction: its address, its half, and its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The half of the address space.
    pub half: Half,
    /// The register of the thread, or the number of the CPU.
    pub thread: u64,
    /// The address of the instruction.
    pub at: u64,
    /// The instruction itself, wherever programs have mapped it; 0 if unknown.
    pub code: u64,
}

/// The streamed words of a line. If a word has changed since, an ordinary store replaced it, and it is in the cache.
type Streamed = [Option<u64>; WORDS];

/// The last followed store to a line.
#[derive(Clone, Copy, Debug)]
struct Stored {
    number: u64,
    /// The instruction.
    by: u64,
    /// The return address of its function, if known.
    caller: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    writebacks: u64,
    clean: u64,
    streaming: u64,
    stores: u64,
    fences: u64,
    persisted: u64,
    evicted: u64,
    omitted: u64,
    calls: u64,
}

/// A machine's memory that loses lines.
#[derive(Debug)]
pub struct Losses {
    model: Model,
    /// The guest-physical address of the memory.
    base: u64,
    len: u64,
    memories: Memories,
    pending: Pending,
    /// The words that each thread has streamed since its last fence, by line. They may still be in a buffer, so a
    /// write-back may miss them.
    streamed: HashMap<(Half, u64), HashMap<u32, Streamed>>,
    /// The followed stores, and the last one to each line.
    stores: u64,
    stored: HashMap<u32, Stored>,
    /// The first thread that made such a call: the first program, which starts all others.
    first: Option<u64>,
    /// The code around addresses, as reported.
    code: HashMap<u64, String>,
    counts: [Counts; 2],
    /// The events of user mode.
    events: HashMap<Event, u64>,
    is_cut: bool,
    /// The crashes of this emulator.
    crashes: u64,
    omitted: Option<u64>,
    trial: Option<Trial>,
    /// The watched lines.
    watch: Option<Watch>,
    sites: HashSet<u64>,
    faults: HashSet<(&'static str, u64)>,
    /// Lines for the host that have not been fetched yet.
    told: Vec<String>,
}

impl Losses {
    /// Returns the memory of `len` bytes from the guest-physical address `base`.
    #[must_use]
    pub fn new(model: Model, base: u64, len: u64, memories: Memories) -> Self {
        let told = vec![format!("start seed={} policy={:?}", model.seed, model.policy)];
        Self {
            model,
            base,
            len,
            memories,
            pending: Pending::default(),
            streamed: HashMap::new(),
            stores: 0,
            stored: HashMap::new(),
            first: None,
            code: HashMap::new(),
            counts: [Counts::default(); 2],
            events: HashMap::new(),
            is_cut: false,
            crashes: 0,
            omitted: None,
            trial: None,
            watch: None,
            sites: HashSet::new(),
            faults: HashSet::new(),
            told,
        }
    }

    /// Returns the lines for the host since the last call.
    pub fn told(&mut self) -> String {
        self.told.drain(..).map(|line| line + "\n").collect()
    }

    /// Returns true if the power must be cut now.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the model.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Returns true if a fence in this half may complete something.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        // A fence with nothing to complete counts while lines are watched.
        self.watch.is_some() || !(self.pending.is_empty() && self.streamed.is_empty())
    }

    /// Returns the line of a guest-physical address, if it is in the memory.
    #[must_use]
    pub fn line(&self, address: u64) -> Option<u32> {
        let offset = address.checked_sub(self.base).filter(|offset| *offset < self.len)?;
        u32::try_from(offset / LINE).ok()
    }

    fn lines(&self, address: u64, len: u64) -> impl Iterator<Item = u32> + use<> {
        let first = self.line(address);
        let last = self.line(address + len.max(1) - 1).or(first);
        first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
    }

    fn counts(&mut self, half: Half) -> &mut Counts {
        &mut self.counts[usize::from(half == Half::Upper)]
    }

    /// Records a write-back of the line of a guest-physical address.
    pub fn writeback(&mut self, site: Site, by: Writeback, address: u64) {
        let Some(line) = self.line(address) else { return };
        if !self.happens(site, Event::Writeback, Some(line)) {
            return;
        }
        self.counts(site.half).writebacks += 1;
        match self.model.effect(by) {
            Effect::Nothing => {}
            Effect::AtOnce => self.persist_now(line),
            Effect::Pending { needs_mfence } => self.issue(site, needs_mfence, line),
        }
    }

    fn issue(&mut self, site: Site, needs_mfence: bool, line: u32) {
        let owner = Owner { half: site.half, thread: site.thread, needs_mfence };
        let mut content = self.memories.live(line);
        let streamed = self.streamed.get(&(site.half, site.thread));
        if let Some(streamed) = streamed.and_then(|lines| lines.get(&line)) {
            let before = self.pending.newest(line).map(|(content, _at)| content);
            let before = before.unwrap_or_else(|| self.memories.persisted(line));
            for (word, streamed) in streamed.iter().enumerate() {
                if *streamed == Some(content[word]) {
                    content[word] = before[word];
                }
            }
        }
        // A clean line stays out unless older content of it is pending.
        if self.pending.is_empty() && content == self.memories.persisted(line) {
            self.counts(site.half).clean += 1;
            return;
        }
        self.pending.add(owner, line, content, site.code);
    }

    fn persist_now(&mut self, line: u32) {
        self.pending.forget(line);
        self.memories.persist(line, &self.memories.live(line));
    }

    /// Records a fence.
    pub fn fence(&mut self, site: Site, fence: Fence) {
        if let Some(watch) = self.watch.as_mut().filter(|_watch| site.half == Half::Lower) {
            watch.fences += 1;
        }
        let owner = Owner { half: site.half, thread: site.thread, needs_mfence: false };
        let late = Owner { needs_mfence: true, ..owner };
        let completes_all = fence.completes_all();
        let thread = (site.half, site.thread);
        let has_any = self.pending.has(owner)
            || completes_all && self.pending.has(late)
            || self.streamed.contains_key(&thread);
        if !has_any || !self.happens(site, Event::Fence, None) {
            return;
        }
        self.counts(site.half).fences += 1;
        self.streamed.remove(&thread);
        self.complete(owner);
        if completes_all {
            self.complete(late);
        }
    }

    fn complete(&mut self, owner: Owner) {
        let (memories, mut persisted) = (&self.memories, 0);
        self.pending.complete(owner, |line, content| {
            memories.persist(line, content);
            persisted += 1;
        });
        self.counts(owner.half).persisted += persisted;
    }

    /// Records a locked access.
    pub fn locked(&mut self, site: Site) {
        if self.model.promises(site.half).is_locked_fence {
            self.fence(site, Fence::Mfence);
        }
    }

    /// Records a streaming store of `len` bytes, after it was made.
    pub fn streaming_store(&mut self, site: Site, address: u64, len: u64) {
        if self.line(address).is_none() {
            return;
        }
        self.counts(site.half).streaming += 1;
        if self.model.promises(site.half).streaming == Streaming::Evicting {
            for line in self.lines(address, len) {
                self.issue(site, false, line);
            }
        } else {
            let words = self.words(address, len);
            let streamed = self.streamed.entry((site.half, site.thread)).or_default();
            for (line, word) in words {
                streamed.entry(line).or_default()[word] = Some(self.memories.live(line)[word]);
            }
        }
    }

    /// Returns the words of these bytes: the line of each, and its place there.
    fn words(&self, address: u64, len: u64) -> Vec<(u32, usize)> {
        let words = address / 8..(address + len.max(1) - 1) / 8 + 1;
        let place = |word| usize::try_from(word % WORDS as u64).ok();
        words.filter_map(|word| Some((self.line(word * 8)?, place(word)?))).collect()
    }

    /// Records a store of `len` bytes, after it was made, and the return address of its function; 0 if that is unknown.
    pub fn store(&mut self, site: Site, address: u64, len: u64, caller: u64) {
        let Some(first) = self.line(address) else { return };
        self.stores += 1;
        if !self.streamed.is_empty() {
            // The newest bytes of these words are in the cache.
            for (line, word) in self.words(address, len) {
                for lines in self.streamed.values_mut() {
                    lines.entry(line).and_modify(|words| words[word] = None);
                }
            }
        }
        self.counts(site.half).stores += 1;
        for line in self.lines(address, len) {
            self.stored.insert(line, Stored { number: self.stores, by: site.code, caller });
            let chance = mixed(&[self.model.seed, self.stores, u64::from(line)]);
            if self.model.evict > 0 && chance.is_multiple_of(self.model.evict) {
                self.counts(site.half).evicted += 1;
                self.persist_now(line);
            }
        }
        // The store was already made: the event is the moment after it.
        self.happens(site, Event::Store, Some(first));
    }

    /// Records that all caches were written back.
    pub fn whole_cache(&mut self) {
        self.pending.clear();
        for line in self.memories.dirty() {
            self.memories.persist(line, &self.memories.live(line));
        }
    }

    /// Records a system call that changes or persists files.
    pub fn call(&mut self, site: Site) {
        if *self.first.get_or_insert(site.thread) != site.thread {
            self.counts(site.half).calls += 1;
            self.count(Event::Call);
        }
    }

    /// Returns true if the code around this address must be reported and is not known.
    #[must_use]
    pub fn lacks_code(&self, at: u64) -> bool {
        at != 0 && self.model.tells_lines && !self.code.contains_key(&at)
    }

    /// Takes the code around an address, beginning at `start`.
    pub fn add_code(&mut self, at: u64, start: u64, bytes: &[u8]) {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let told = format!("code at={at} start={start} bytes={}", digits.concat());
        self.code.insert(at, told);
    }

    /// Adds a line for each line that a crash could lose now, with the code that stored to it and wrote it back.
    pub fn tell_dirty(&mut self) {
        if !self.model.tells_lines {
            return;
        }
        let mut used = BTreeSet::new();
        for line in self.dirty() {
            let stored = self.stored.get(&line);
            let (stored, caller) = stored.map_or((0, 0), |stored| (stored.by, stored.caller));
            // A line that was stored to since has no such write-back.
            let pending = self.pending.newest(line);
            let written_back =
                pending.filter(|(content, _at)| *content == self.memories.live(line));
            let written_back = written_back.map_or(0, |(_content, at)| at);
            used.extend([stored, caller, written_back]);
            self.told.push(format!(
                "dirty line={line} stored={stored} caller={caller} writtenback={written_back}"
            ));
        }
        self.told.extend(used.iter().filter_map(|at| self.code.get(at)).cloned());
    }

    /// Records an instruction that may discard a line, or that is not modelled.
    pub fn unmodelled(&mut self, site: Site, address: Option<u64>) {
        let counts = !self.model.is_watched || self.watch.is_some();
        if counts && address.is_none_or(|address| self.line(address).is_some()) {
            self.fault("unmodelled", site);
        }
    }

    fn fault(&mut self, kind: &'static str, site: Site) {
        if self.faults.insert((kind, site.at)) {
            let Site { half, at, .. } = site;
            self.told.push(format!("fault {kind} half={half:?} at={at:#x}"));
        }
    }

    /// Counts an event. Returns true if it takes effect: the power is on, and it is not omitted.
    fn happens(&mut self, site: Site, event: Event, line: Option<u32>) -> bool {
        if site.half == Half::Upper {
            return true;
        }
        if event != Event::Store && self.omitted == Some(site.at) {
            self.counts(site.half).omitted += 1;
            return false;
        }
        self.count(event);
        self.event_of_trial(site, event, line);
        !self.is_cut
    }

    fn count(&mut self, event: Event) {
        let count = self.events.entry(event).or_default();
        *count += 1;
        if self.model.cut == Some((event, *count)) {
            self.is_cut = true;
            self.tell_dirty();
            // Tells a cut from an emulator that the host has killed.
            self.told.push(String::from("cut"));
        }
    }

    /// Returns the lines that a crash could lose now.
    fn dirty(&self) -> Vec<u32> {
        // A line that is unchanged may have been different in between.
        let mut dirty = self.memories.dirty();
        dirty.extend(self.pending.lines());
        dirty.sort_unstable();
        dirty.dedup();
        dirty
    }

    /// Applies the losses of a crash: the reset vector is executed.
    pub fn reset(&mut self) {
        self.crashes += 1;
        let pending = self.pending.len();
        let dirty = self.dirty();
        let fates = self.fates(&dirty);
        let mut lost = 0_u64;
        for line in &dirty {
            let content = self.left(&fates, *line, *line);
            if content != self.memories.live(*line) {
                lost += 1;
                if self.model.tells_lines {
                    self.told.push(format!("lost line={line}"));
                }
            }
            self.memories.set(*line, &content);
        }
        self.pending.clear();
        self.streamed.clear();
        self.tell_counts();
        self.told.push(format!(
            "loss crash={} policy={:?} dirty={} lost={lost} pending={pending}",
            self.crashes,
            fates.policy,
            dirty.len()
        ));
        self.stored.clear();
        self.trial = None;
    }

    fn fates(&self, dirty: &[u32]) -> Fates {
        let known = dirty.iter().filter(|line| self.stored.contains_key(line));
        let number = |line: &u32| self.stored.get(line).map(|stored| stored.number);
        let newest = known.copied().max_by_key(number);
        Fates::new(self.model.policy, self.model.seed, self.crashes, dirty, newest)
    }

    /// Returns the content, after a crash, of a dirty line with the fate of this number.
    fn left(&self, fates: &Fates, number: u32, line: u32) -> Line {
        if self.model.lost.contains(&line) {
            return self.memories.persisted(line);
        }
        let pending = self.pending.one_of(line, fates.another_chance(number));
        let seen = pending.unwrap_or_else(|| self.memories.live(line));
        fates.of(number, &seen, &self.memories.persisted(line))
    }

    /// Adds a line of counts for each half.
    pub fn tell_counts(&mut self) {
        for (half, counts) in ["user", "kernel"].into_iter().zip(self.counts) {
            let Counts {
                writebacks,
                clean,
                streaming,
                stores,
                fences,
                persisted,
                evicted,
                omitted,
                calls,
            } = counts;
            self.told.push(format!("counts half={half} writebacks={writebacks} clean={clean} streaming={streaming} stores={stores} \
                 fences={fences} persisted={persisted} evicted={evicted} omitted={omitted} calls={calls}"));
        }
    }
}

#[cfg(test)]
mod tests;
