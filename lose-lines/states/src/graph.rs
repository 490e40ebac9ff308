//! Effects and what they need.
//!
//! An operation has one or more effects, the smallest things that a cut keeps or loses. An effect may need others: a
//! newer sector needs the older one, a size may need its bytes. A set of effects is a state if it has all that are
//! durable, all that its members need, and, where a journal orders effects, no gap in the journal.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::image::{Image, Objects};
use crate::model::{BLOCK, Model, SECTOR};
use crate::operation::{Entry, Log, Object, Operation, Synced, Via};

/// The size up to which btrfs stores a file in its metadata, in bytes (`max_inline`).
const INLINE: u64 = 2048;

/// The number of an effect.
pub(crate) type Number = u32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Bytes of the operation, from an offset in them.
    Bytes {
        file: Object,
        at: u64,
        from: usize,
        len: usize,
    },
    /// A block that is allocated, without the bytes of the program.
    Garbage {
        file: Object,
        at: u64,
        len: u64,
    },
    /// A size that is not smaller than the present one.
    Grown {
        file: Object,
        size: u64,
    },
    Cut {
        file: Object,
        size: u64,
    },
    Zeros {
        file: Object,
        at: u64,
        len: u64,
    },
    /// Some of the operation's entries, from one to another.
    Names {
        from: usize,
        to: usize,
    },
    /// Nothing but what it needs.
    Barrier,
}

#[derive(Clone, Debug)]
pub(crate) struct Atom {
    /// The index of the record.
    pub(crate) record: usize,
    pub(crate) needs: Vec<Number>,
    pub(crate) effect: Effect,
    /// True if the journal orders it.
    pub(crate) is_journalled: bool,
    /// The last effect in the journal that it comes after.
    after: Option<Number>,
    /// An effect without which btrfs's log does not have it.
    after_in_log: Option<Number>,
}

/// What is known of an object while the log is read.
#[derive(Debug, Default)]
struct File {
    is_directory: bool,
    size: u64,
    /// The newest effect on each unit.
    units: HashMap<u64, Number>,
    /// The effect that first wrote a block.
    allocated: HashMap<u64, Number>,
    /// The newest sizes.
    sizes: Vec<Number>,
    /// The cuts and holes: from, to, effect. Each needs the one before, so those that are durable come first.
    cuts: Vec<(u64, u64, Number)>,
    /// All effects on the file that are not durable.
    pending: Vec<Number>,
    /// Those of blocks that are not allocated yet.
    delayed: Vec<Number>,
    /// The names that it got or lost, and the entries if it is a directory.
    names: Vec<Number>,
    /// The last effect in the journal that a sync waits for, and that one which fdatasync waits for.
    changed: Option<Number>,
    changed_data: Option<Number>,
    /// The directory that has its newest name.
    parent: Option<Object>,
    /// True if a sync has put it, or a name of it, into btrfs's log.
    is_logged: bool,
}

/// The effects of a log up to a record.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    pub(crate) log: &'a Log,
    model: Model,
    /// The number of records read.
    pub(crate) at: usize,
    pub(crate) atoms: Vec<Atom>,
    durable: Vec<bool>,
    /// The effects that are not durable, in order.
    pub(crate) pending: Vec<Number>,
    /// Those of them that the journal orders.
    journal: Vec<Number>,
    /// All that is durable.
    pub(crate) image: Image,
    files: HashMap<Object, File>,
    /// The newest effect on each name, and its object.
    names: HashMap<(Object, Vec<u8>), (Number, Option<Object>)>,
    pub(crate) lines: usize,
    /// Bytes over old ones that the drive has: the next flush covers them.
    written: Vec<Number>,
    /// Of each thread: the effects that its sync, which has begun, makes durable.
    begun: HashMap<u32, Vec<Number>>,
    /// The effects that a sync of the program made durable.
    pub(crate) synced: Vec<Number>,
    /// The number of records read when a sync last ended.
    synced_at: usize,
    /// A file that it has put into btrfs's log, and the last rename of it since.
    logged: Option<(Object, Option<Number>)>,
}

impl<'a> Graph<'a> {
    /// Makes the graph of what was there at the start.
    pub(crate) fn new(log: &'a Log, model: Model) -> Self {
        let mut graph = Self {
            log,
            model,
            at: 0,
            atoms: Vec::new(),
            durable: Vec::new(),
            pending: Vec::new(),
            journal: Vec::new(),
            image: Image::of(Objects::of(log)),
            files: HashMap::new(),
            names: HashMap::new(),
            lines: 0,
            written: Vec::new(),
            begun: HashMap::new(),
            synced: Vec::new(),
            synced_at: 0,
            logged: None,
        };
        graph.read_to(log.begun);
        graph.sync(None, graph.pending.clone());
        graph.synced.clear();
        graph
    }

    /// Makes the graph of the records before this one.
    pub(crate) fn before(log: &'a Log, model: Model, record: usize) -> Self {
        let mut graph = Self::new(log, model);
        graph.read_to(record);
        graph
    }

    pub(crate) fn read_to(&mut self, record: usize) {
        while self.at < record.min(self.log.records.len()) {
            self.step();
        }
    }

    pub(crate) fn is_durable(&self, number: Number) -> bool {
        self.durable[number as usize]
    }

    pub(crate) fn atom(&self, number: Number) -> &Atom {
        &self.atoms[number as usize]
    }

    fn add(
        &mut self,
        record: usize,
        effect: Effect,
        needs: impl IntoIterator<Item = Number>,
    ) -> Number {
        let number = Number::try_from(self.atoms.len()).unwrap_or(Number::MAX);
        let mut needs: Vec<_> = needs.into_iter().filter(|need| !self.is_durable(*need)).collect();
        needs.sort_unstable();
        needs.dedup();
        let (is_journalled, after, after_in_log) = (false, None, None);
        self.atoms.push(Atom { record, needs, effect, is_journalled, after, after_in_log });
        self.durable.push(false);
        self.pending.push(number);
        number
    }

    /// Adds an effect that enters the journal after all earlier ones.
    fn journal(&mut self, record: usize, effect: Effect, needs: Vec<Number>) -> Number {
        let number = self.add(record, effect, needs);
        if self.model.has_journal() {
            self.atoms[number as usize].is_journalled = true;
            self.journal.push(number);
        }
        number
    }

    /// Has later changes of the journal need these effects.
    fn barrier(&mut self, record: usize, needs: Vec<Number>) {
        if !needs.is_empty() {
            self.journal(record, Effect::Barrier, needs);
        }
    }

    /// Has an effect come after all that the journal orders so far: it is part of a later change of the journal.
    fn follow(&mut self, number: Number) {
        self.atoms[number as usize].after = self.journal.last().copied();
    }

    /// Returns the effects and all that they need, as far as they are not durable. A journal is followed only if asked.
    fn closure(&self, of: impl IntoIterator<Item = Number>, with_journal: bool) -> HashSet<Number> {
        let mut left: Vec<Number> = of.into_iter().collect();
        let mut found = HashSet::new();
        while let Some(number) = left.pop() {
            if self.is_durable(number) || !found.insert(number) {
                continue;
            }
            left.extend(&self.atom(number).needs);
            if with_journal && self.atom(number).is_journalled {
                let before = self.journal.partition_point(|other| *other < number);
                left.extend(before.checked_sub(1).map(|before| self.journal[before]));
            }
            if with_journal {
                left.extend(
                    self.atom(number).after.filter(|after| self.atom(*after).is_journalled),
                );
                left.extend(self.atom(number).after_in_log);
            }
        }
        found
    }

    /// Returns the effect and all that it needs.
    pub(crate) fn needs(&self, number: Number) -> HashSet<Number> {
        self.closure([number], true)
    }

    fn make_durable(&mut self, of: impl IntoIterator<Item = Number>, with_journal: bool) {
        let mut new: Vec<_> = self.closure(of, with_journal).into_iter().collect();
        new.sort_unstable();
        let mut image = core::mem::take(&mut self.image);
        for number in &new {
            self.apply(&mut image, *number);
        }
        self.image = image;
        for number in &new {
            self.durable[*number as usize] = true;
        }
        let durable = &self.durable;
        let is_left = |number: &Number| !durable[*number as usize];
        self.pending.retain(is_left);
        self.journal.retain(is_left);
        self.synced.extend(new);
    }

    /// Returns the durable cuts of a file that are later than an effect.
    fn durable_cuts(
        &self,
        of: Object,
        number: Number,
    ) -> impl Iterator<Item = &(u64, u64, Number)> {
        let cuts = self.files.get(&of).map_or(&[][..], |file| &file.cuts);
        let first = cuts.partition_point(|cut| cut.2 <= number);
        cuts[first..].iter().take_while(|cut| self.is_durable(cut.2))
    }

    /// Applies an effect to an image that has all earlier ones which it shall have.
    fn apply(&self, image: &mut Image, number: Number) {
        let Atom { record, effect, .. } = self.atom(number);
        // A later cut or hole that is durable already has removed what it covers.
        let later = |file: &Object| self.durable_cuts(*file, number);
        match (effect, &self.log.records[*record].operation) {
            (Effect::Bytes { file, at, from, len }, Operation::Write { bytes, .. }) => {
                image.file(*file).write(*at, &bytes[*from..from + len]);
                let end = at + *len as u64;
                for (first, to, _) in later(file) {
                    let (first, to) = ((*first).max(*at), (*to).min(end));
                    image.file(*file).zero(first, to.saturating_sub(first));
                }
            }
            (Effect::Garbage { file, at, len }, _) => image.file(*file).garbage(*at, *len),
            (Effect::Grown { file, size }, _) => {
                let is_cut = later(file).any(|(_, to, _)| *to == u64::MAX);
                let content = image.file(*file);
                content.size = if is_cut { content.size } else { content.size.max(*size) };
            }
            (Effect::Cut { file, size }, _) => image.file(*file).resize(*size),
            (Effect::Zeros { file, at, len }, _) => image.file(*file).zero(*at, *len),
            (Effect::Names { from, to }, Operation::Entries(entries)) => {
                for Entry { directory, name, object } in &entries[*from..*to] {
                    image.enter(*directory, name, *object);
                }
            }
            _ => {}
        }
    }

    /// Returns true if an effect sets a byte of a file.
    pub(crate) fn covers(&self, number: Number, of: Object, place: u64) -> bool {
        let (file, from, to) = match self.atom(number).effect {
            Effect::Bytes { file, at, len, .. } => (file, at, at + len as u64),
            Effect::Garbage { file, at, len } | Effect::Zeros { file, at, len } => {
                (file, at, at + len)
            }
            Effect::Cut { file, size } => (file, size, u64::MAX),
            _ => return false,
        };
        let mut later = self.durable_cuts(file, number);
        file == of
            && (from..to).contains(&place)
            && !later.any(|cut| (cut.0..cut.1).contains(&place))
    }

    /// Returns the kept effects, if each of these is kept that can be: all that it needs must be kept too.
    pub(crate) fn closed(&self, mut is_wanted: impl FnMut(Number) -> bool) -> Vec<Number> {
        let (mut kept, mut has_gap) = (HashSet::new(), false);
        let mut all = Vec::new();
        for number in self.pending.iter().copied() {
            let atom = self.atom(number);
            let has = |need: &Number| self.is_durable(*need) || kept.contains(need);
            let is_after = |after: &Number| has(after) || !self.atom(*after).is_journalled;
            let is_possible = !(atom.is_journalled && has_gap)
                && atom.needs.iter().all(has)
                && atom.after.iter().all(is_after)
                && atom.after_in_log.iter().all(has);
            if is_wanted(number) && is_possible {
                kept.insert(number);
                all.push(number);
            } else {
                has_gap |= atom.is_journalled;
            }
        }
        all
    }

    /// Returns the files with these effects, besides the durable ones.
    pub(crate) fn state(&self, kept: &[Number]) -> Image {
        let mut image = self.image.clone();
        for number in kept {
            self.apply(&mut image, *number);
        }
        image
    }

    /// Returns true if an fsync would have made one of these durable if the clock had ticked before it. A write changes the
    /// time of its file once in a tick; without a new time, fsync of a file written in place finds no transaction to commit
    /// (`file_update_time`, `ext4_fsync_journal`, `xfs_fsync_flush_log`).
    pub(crate) fn depends_on_clock(&self, lost: &[Number]) -> bool {
        let is_journalled = |number: &&Number| self.atom(**number).is_journalled;
        let first = lost.iter().find(is_journalled).map(|number| self.atom(*number).record);
        let Some(first) = first.filter(|_first| self.model != Model::Btrfs) else { return false };
        let mut written = HashSet::new();
        self.log.records[first + 1..self.at].iter().any(|record| match &record.operation {
            Operation::Write { file, .. } => {
                written.insert(*file);
                false
            }
            Operation::Sync { object, part } => *part != Synced::Data && written.contains(object),
            _ => false,
        })
    }

    fn step(&mut self) {
        let (log, record) = (self.log, self.at);
        self.at += 1;
        match &log.records[record].operation {
            Operation::Make { object, kind, .. } => {
                let is_directory = *kind == crate::Kind::Directory;
                self.files.insert(*object, File { is_directory, ..File::default() });
            }
            Operation::Entries(entries) => self.enter(record, entries),
            Operation::Write { file, at, bytes, via } => {
                self.write(record, *file, (*at, bytes.len() as u64), *via);
            }
            Operation::Resize { file, size } => self.resize(record, *file, *size),
            Operation::Zero { file, at, len } => {
                let zeros = |file| Effect::Zeros { file, at: *at, len: *len };
                let number = self.cut(record, *file, (*at, at + len), Vec::new(), zeros);
                let found = self.files.entry(*file).or_default();
                let removed = at.div_ceil(BLOCK)..(at + len) / BLOCK;
                found.allocated.retain(|block, _| !removed.contains(block));
                found.changed_data = Some(number);
            }
            Operation::Close { file } => {
                let needs = self.allocate(*file);
                self.barrier(record, needs);
            }
            Operation::WriteBack { file, at, len, waits } => {
                self.write_back(record, *file, (*at, *len), *waits);
            }
            Operation::Begin { object, part } => {
                let wanted = self.wanted(*object, *part);
                // It may bring them without the rename.
                for number in &wanted {
                    self.atoms[*number as usize].after_in_log = None;
                }
                self.begun.insert(log.records[record].thread, wanted);
            }
            Operation::Sync { object, part } => self.end(record, Some(*object), *part),
            Operation::SyncAll => self.end(record, None, Synced::All),
            Operation::Line(_) => self.lines += 1,
        }
    }

    fn write(&mut self, record: usize, object: Object, (start, len): (u64, u64), via: Via) {
        let (model, end) = (self.model, start + len);
        let mut file = self.files.remove(&object).unwrap_or_default();
        let (mut at, mut fresh, mut sized) = (start, Vec::new(), 0);
        while at < end {
            let is_new = model.has_journal() && !file.allocated.contains_key(&(at / BLOCK));
            let unit = if is_new { BLOCK } else { model.unit() };
            let stop = ((at / unit + 1) * unit).min(end);
            let units = at / model.unit()..stop.div_ceil(model.unit());
            // A journal orders a cut before the new blocks behind it; in the block that is cut, bytes do not wait for it.
            let waits = |to: u64| to != u64::MAX || !model.has_journal();
            let covering =
                file.cuts.iter().rfind(|(from, to, _)| *from < stop && *to > at && waits(*to));
            let mut needs: Vec<_> = covering.map(|(_, _, number)| *number).into_iter().collect();
            needs.extend(units.clone().filter_map(|unit| file.units.get(&unit).copied()));
            let is_garbage = model.posix().is_some_and(|posix| posix.garbage) && stop > file.size;
            if is_garbage {
                let (first, len) = (at.max(file.size), stop - at.max(file.size));
                let effect = Effect::Garbage { file: object, at: first, len };
                let number = self.add(record, effect, needs.iter().copied());
                file.pending.push(number);
                needs.push(number);
            }
            let (Ok(from), Ok(len)) = (usize::try_from(at - start), usize::try_from(stop - at))
            else {
                break;
            };
            let number = self.add(record, Effect::Bytes { file: object, at, from, len }, needs);
            let in_block = BLOCK / model.unit();
            let block = at / BLOCK * in_block..(at / BLOCK + 1) * in_block;
            let covered = if is_new { block } else { units };
            file.units.extend(covered.map(|unit| (unit, number)));
            file.pending.push(number);
            if is_new || model == Model::Btrfs {
                self.follow(number);
            }
            if is_new {
                file.allocated.insert(at / BLOCK, number);
                file.delayed.push(number);
            }
            fresh.push(number);
            at = stop;
            if stop > file.size && (stop == end || stop % BLOCK == 0) {
                // Sizes are a chain, or need one block: the bytes since the last one are enough.
                let bytes = &fresh[if via == Via::Direct { 0 } else { sized }..];
                self.grow(record, (object, &mut file), stop, (is_new, via), bytes);
                sized = fresh.len();
            }
        }
        if model == Model::Btrfs && via != Via::Direct {
            self.grow_with_any(record, (object, &mut file), &fresh);
        }
        self.files.insert(object, file);
    }

    /// Adds the present size after each block alone that is written later, wherever it is (`btrfs_finish_one_ordered`).
    fn grow_with_any(
        &mut self,
        record: usize,
        (object, file): (Object, &mut File),
        fresh: &[Number],
    ) {
        let size = file.size;
        let durable = self.image.content(object).map_or(0, |content| content.size);
        if size <= durable {
            return;
        }
        let newest: BTreeSet<Number> = file.units.values().copied().collect();
        for bytes in newest {
            if self.is_durable(bytes) {
                continue;
            }
            let is_fresh = fresh.contains(&bytes);
            let is_known = |number: &Number| {
                self.atom(*number).effect == Effect::Grown { file: object, size }
                    && self.atom(*number).needs.contains(&bytes)
            };
            if is_fresh || file.pending.iter().all(|number| !is_known(number)) {
                let number = self.add(record, Effect::Grown { file: object, size }, [bytes]);
                self.follow(number);
                file.delayed.push(number);
                file.pending.push(number);
            }
        }
    }

    /// Adds a new size after bytes that end there.
    fn grow(
        &mut self,
        record: usize,
        (object, file): (Object, &mut File),
        size: u64,
        (is_new, via): (bool, Via),
        bytes: &[Number],
    ) {
        let mut needs: Vec<Number> = match self.model {
            _ if via == Via::Direct => bytes.to_vec(),
            Model::OrderedExt4 => {
                // They are in order.
                let is_delayed = |number: &Number| file.delayed.binary_search(number).is_ok();
                bytes.iter().copied().filter(is_delayed).collect()
            }
            // The block is written whole, also with what earlier operations wrote there.
            Model::Xfs => {
                let block = (size - 1) / BLOCK * BLOCK;
                let units = block / SECTOR..(block + BLOCK) / SECTOR;
                units.filter_map(|unit| file.units.get(&unit).copied()).collect()
            }
            Model::Btrfs => bytes.first().copied().into_iter().collect(),
            Model::Ext4 | Model::Posix(_) => Vec::new(),
        };
        let is_chained = self.model.is_ext4() || self.model.posix().is_some();
        let shrunk = file.cuts.iter().rfind(|cut| cut.1 == u64::MAX).map(|cut| cut.2);
        needs.extend(shrunk);
        if is_chained {
            needs.extend(&file.sizes);
            file.sizes.clear();
        }
        let effect = Effect::Grown { file: object, size };
        let block = file.allocated.get(&((size - 1) / BLOCK));
        let is_mapped = !is_new && block.is_some_and(|number| self.is_durable(*number));
        let number = if self.model.is_ext4() && is_mapped {
            let number = self.journal(record, effect, needs);
            (file.changed, file.changed_data) = (Some(number), Some(number));
            number
        } else {
            let number = self.add(record, effect, needs);
            self.follow(number);
            file.delayed.push(number);
            number
        };
        file.sizes.push(number);
        file.pending.push(number);
        file.size = size;
    }

    fn resize(&mut self, record: usize, object: Object, size: u64) {
        let file = self.files.entry(object).or_default();
        let (old, tail) = (file.size, file.size.min(size.next_multiple_of(BLOCK)));
        let mut needs = Vec::new();
        if tail > size && self.model.has_journal() && file.allocated.contains_key(&(size / BLOCK)) {
            // The rest of the last block is zeroed in memory and written before the new size (`ext4_block_truncate_page`,
            // `iomap_truncate_page`).
            let unit = self.model.unit();
            let mut zeros = Vec::new();
            for place in size / unit..tail.div_ceil(unit) {
                let (at, end) = ((place * unit).max(size), ((place + 1) * unit).min(tail));
                let older = self.files.get(&object).and_then(|file| file.units.get(&place));
                let older: Vec<_> = older.copied().into_iter().collect();
                if self.model == Model::Btrfs {
                    // The size is cut in memory first: what is written later has it (`btrfs_setsize`).
                    needs.extend(older);
                    continue;
                }
                let effect = Effect::Zeros { file: object, at, len: end - at };
                let number = self.add(record, effect, older);
                let file = self.files.entry(object).or_default();
                file.units.insert(place, number);
                file.pending.push(number);
                zeros.push(number);
            }
            let file = self.files.entry(object).or_default();
            // ext4's commit writes only blocks that are allocated (`ext4_normal_submit_inode_data_buffers`).
            let first = file.allocated.get(&(size / BLOCK));
            let is_delayed = first.is_some_and(|number| file.delayed.contains(number));
            if self.model.is_ext4() && !is_delayed {
                needs.extend(zeros);
            }
        }
        if self.model == Model::Xfs {
            needs.extend(self.written_before_size(object, size));
        }
        let from = match self.model {
            // Nothing is removed.
            _ if size >= old => u64::MAX,
            Model::Posix(_) => size,
            _ => size.next_multiple_of(BLOCK).min(old),
        };
        let number =
            self.cut(record, object, (from, u64::MAX), needs, |file| Effect::Cut { file, size });
        let unit = self.model.unit();
        let file = self.files.entry(object).or_default();
        file.units.retain(|place, _| *place * unit < size);
        file.allocated.retain(|block, _| block * BLOCK < size);
        file.sizes = vec![number];
        (file.size, file.changed_data) = (size, Some(number));
    }

    /// Returns the bytes that XFS writes before it logs a new size: the last ones beyond the size on the disk, and all of the
    /// last block if it grows (`xfs_setattr_size`). If a later block may have been written before, the size on the disk may
    /// be greater already, and nothing is written.
    fn written_before_size(&self, object: Object, size: u64) -> Vec<Number> {
        let Some(file) = self.files.get(&object) else { return Vec::new() };
        let is_in = |number: &Number, from: u64, to: u64| match self.atom(*number).effect {
            Effect::Bytes { at, .. } => (from..to).contains(&at),
            _ => false,
        };
        let is_size = |atom: &&Atom| matches!(atom.effect, Effect::Grown { .. });
        let mut sizes = file.pending.iter().map(|number| self.atom(*number)).filter(is_size);
        let mut needs = match sizes.next_back() {
            Some(last) if !last.needs.iter().any(|need| is_in(need, size, u64::MAX)) => {
                last.needs.clone()
            }
            _ => Vec::new(),
        };
        if size > file.size {
            let tail = (file.size / BLOCK * BLOCK, file.size);
            needs.extend(file.pending.iter().filter(|number| is_in(number, tail.0, tail.1)));
        }
        needs
    }

    /// Adds the removal of a range. Later bytes there need it.
    fn cut(
        &mut self,
        record: usize,
        object: Object,
        (from, to): (u64, u64),
        needs: Vec<Number>,
        effect: impl FnOnce(Object) -> Effect,
    ) -> Number {
        // Cuts of one file keep their order; without a journal too, since one inode has them.
        let file = self.files.entry(object).or_default();
        let before = file.cuts.last().map(|cut| cut.2).into_iter().chain(needs).collect();
        let number = self.journal(record, effect(object), before);
        let file = self.files.entry(object).or_default();
        file.cuts.push((from, to, number));
        file.changed = Some(number);
        file.pending.push(number);
        number
    }

    /// Returns what precedes a change of the journal when a write-back of a file begins before it: ext4 allocates blocks, and
    /// btrfs stores a short file in its metadata (`cow_file_range_inline`).
    fn allocate(&self, object: Object) -> Vec<Number> {
        let delayed = self.files.get(&object).map_or(&[][..], |file| &file.delayed);
        let size = self.files.get(&object).map_or(0, |file| file.size);
        let is_first = |number: &&Number| match self.model {
            Model::OrderedExt4 => true,
            Model::Btrfs => size <= INLINE,
            Model::Ext4 => matches!(self.atom(**number).effect, Effect::Grown { .. }),
            Model::Xfs | Model::Posix(_) => false,
        };
        delayed.iter().filter(is_first).copied().collect()
    }

    fn enter(&mut self, record: usize, entries: &[Entry]) {
        let newest =
            |entry: &Entry| self.names.get(&(entry.directory, entry.name.clone())).copied();
        let older: Vec<_> = entries.iter().map(newest).collect();
        let mut needs: Vec<_> = older.iter().flatten().map(|(number, _)| *number).collect();
        let replaced = older.last().copied().flatten().and_then(|(_, object)| object);
        // btrfs does not care for an empty one (`btrfs_rename`).
        let has_size = |object: &Object| self.files.get(object).is_some_and(|file| file.size > 0);
        let replaced = replaced.filter(|object| self.model != Model::Btrfs || has_size(object));
        if let (Some(_), [_, Entry { object: Some(moved), .. }]) = (replaced, entries) {
            let allocated = self.allocate(*moved);
            if self.model == Model::Btrfs {
                // Only in the transaction: the log has names without the content.
                self.barrier(record, allocated);
            } else {
                needs.extend(allocated);
            }
        }
        let parts: Vec<(usize, usize)> = match self.model.posix() {
            Some(posix) if posix.steps => (0..entries.len()).map(|n| (n, n + 1)).collect(),
            _ => vec![(0, entries.len())],
        };
        for (from, to) in parts {
            let number = self.journal(record, Effect::Names { from, to }, needs.clone());
            for entry in &entries[from..to] {
                self.entered(entry, number);
            }
            self.order_in_log(entries, number);
        }
    }

    /// Has the removal of a name come after the rename of a file in that directory, if since a change of the file only its
    /// own sync has put anything into btrfs's log. The log then has the rename at once (`btrfs_log_new_name`), or the kernel
    /// has committed in between and the log has nothing. A sync writes the log as a whole (`btrfs_sync_log`).
    fn order_in_log(&mut self, entries: &[Entry], number: Number) {
        let Some((logged, renamed)) = self.logged else { return };
        match entries {
            [old, new] if old.object.is_none() && new.object == Some(logged) => {
                self.logged = Some((logged, (old.directory == new.directory).then_some(number)));
            }
            [Entry { directory, object: None, .. }] if self.begun.is_empty() => {
                let is_there = |renamed: &Number| {
                    let record = &self.log.records[self.atom(*renamed).record];
                    record.entries().iter().all(|entry| entry.directory == *directory)
                };
                self.atoms[number as usize].after_in_log = renamed.filter(is_there);
            }
            _ => {}
        }
    }

    /// Notes an effect on a name in the directory and in the object.
    fn entered(&mut self, entry: &Entry, number: Number) {
        let Entry { directory, name, object } = entry;
        let old = self.names.insert((*directory, name.clone()), (number, *object));
        let is_birth = object.is_some_and(|object| {
            self.files.get(&object).is_some_and(|file| file.parent.is_none())
        });
        let others = [Some(*directory), *object, old.and_then(|(_, object)| object)];
        for other in others.into_iter().flatten() {
            let Some(file) = self.files.get_mut(&other) else { continue };
            file.names.push(number);
            file.changed = Some(number);
            if Some(other) == *object {
                file.parent = Some(*directory);
                if is_birth {
                    file.changed_data = Some(number);
                }
            }
        }
    }

    /// Returns the pending effects on a range of a file, and those without a range.
    fn pending_in(&self, file: &File, (at, len): (u64, u64)) -> Vec<Number> {
        let (from, to) = (at, at.saturating_add(len));
        let is_in = |number: &&Number| match self.atom(**number).effect {
            Effect::Bytes { at, len, .. } => at < to && at + len as u64 > from,
            Effect::Grown { size, .. } => size <= to,
            _ => true,
        };
        file.pending.iter().filter(is_in).copied().collect()
    }

    /// Writes a range back without a flush. What the file system adds to its journal when the write ends, later changes of the
    /// journal follow; the rest waits for a flush.
    fn write_back(&mut self, record: usize, object: Object, range: (u64, u64), waits: bool) {
        let Some(file) = self.files.get(&object) else { return };
        match self.model {
            // btrfs adds the extents after the wait (`end_bbio_data_write`, `btrfs_finish_one_ordered`).
            Model::Posix(_) | Model::Btrfs => {}
            Model::Xfs if !waits => {}
            _ => {
                let pending = self.pending_in(file, range);
                let is_delayed = |number: &Number| file.delayed.contains(number);
                let (new, old): (Vec<_>, Vec<_>) = pending.into_iter().partition(is_delayed);
                let new = if waits { new } else { self.allocate(object) };
                if waits {
                    self.written.extend(old);
                }
                self.barrier(record, new);
            }
        }
    }

    /// Returns the effects that a sync makes durable which begins here.
    fn wanted(&self, object: Option<Object>, part: Synced) -> Vec<Number> {
        let Some(object) = object else { return self.pending.clone() };
        let Some(file) = self.files.get(&object) else { return Vec::new() };
        let mut wanted = match part {
            Synced::Range { at, len } => self.pending_in(file, (at, len)),
            Synced::All | Synced::Data => file.pending.clone(),
        };
        wanted.extend(&self.written);
        match self.model {
            Model::Posix(_) => {
                let is_in = |number: &&Number| {
                    let record = &self.log.records[self.atom(**number).record];
                    record.entries().iter().any(|entry| entry.directory == object)
                };
                wanted.extend(file.names.iter().filter(is_in));
            }
            Model::Btrfs => {
                wanted.extend(&file.names);
                wanted.extend(self.ancestors(file.parent));
            }
            _ => {
                if self.model.is_ext4() && file.is_directory {
                    // Its blocks count as journalled data (`ext4_inode_journal_mode`, `ext4_force_commit`).
                    wanted.extend(self.journal.last());
                }
                wanted.extend(file.changed_data);
                if part == Synced::All || file.is_directory || self.model == Model::Xfs {
                    wanted.extend(file.changed);
                }
            }
        }
        wanted
    }

    fn end(&mut self, record: usize, object: Option<Object>, part: Synced) {
        let begun = self.begun.remove(&self.log.records[record].thread);
        let wanted = begun.unwrap_or_else(|| self.wanted(object, part));
        self.sync(object, wanted);
    }

    fn sync(&mut self, object: Option<Object>, wanted: Vec<Number>) {
        let has_log = self.model == Model::Btrfs && object.is_some();
        let newest = wanted.iter().max().copied();
        let is_new = |number: &Number| {
            let is_later = self.atom(*number).record >= self.synced_at;
            is_later && !self.is_durable(*number) && Some(*number) <= newest
        };
        let is_logged = |object: &Object| {
            let file = self.files.get(object).filter(|_| has_log && self.begun.is_empty());
            file.is_some_and(|file| file.pending.iter().chain(&file.names).any(is_new))
        };
        self.logged = object.filter(is_logged).map(|object| (object, None));
        self.synced_at = self.at;
        self.make_durable(wanted, !has_log);
        if let Some(object) = object.filter(|_| has_log) {
            self.enter_log(object);
        }
        let durable = &self.durable;
        let is_left = |number: &Number| !durable[*number as usize];
        self.written.retain(is_left);
        let files: Vec<&mut File> = match object {
            Some(object) => self.files.get_mut(&object).into_iter().collect(),
            None => self.files.values_mut().collect(),
        };
        for file in files {
            file.pending.retain(is_left);
            file.delayed.retain(is_left);
            file.names.retain(is_left);
            // A cut matters until every older effect on the file is durable.
            let oldest = file.pending.first().copied().unwrap_or(Number::MAX);
            file.cuts.retain(|cut| is_left(&cut.2) || cut.2 > oldest);
        }
    }

    /// Frees names of the order of the transaction if the log may have them: it takes each later change of a name whose
    /// directory or object it has (`btrfs_log_new_name`, `btrfs_del_dir_entries_in_log`), and any sync writes it.
    fn enter_log(&mut self, object: Object) {
        let has = |object: Object| self.files.get(&object).is_some_and(|file| file.is_logged);
        let is_logged = |number: &Number| {
            let entries = self.log.records[self.atom(*number).record].entries();
            let mut objects = entries
                .iter()
                .flat_map(|entry| [Some(entry.directory), entry.object].into_iter().flatten());
            objects.any(has)
        };
        let (freed, left): (Vec<_>, Vec<_>) = self.journal.iter().copied().partition(is_logged);
        self.journal = left;
        for number in freed {
            self.atoms[number as usize].is_journalled = false;
        }
        let mut logged = vec![object];
        let in_it = self.names.iter().filter(|((directory, _), _)| *directory == object);
        logged.extend(in_it.filter_map(|(_, (_, object))| *object));
        let mut above = self.files.get(&object).and_then(|file| file.parent);
        while let Some(directory) = above.filter(|directory| !logged.contains(directory)) {
            logged.push(directory);
            above = self.files.get(&directory).and_then(|file| file.parent);
        }
        for object in logged {
            if let Some(file) = self.files.get_mut(&object) {
                file.is_logged = true;
            }
        }
    }

    /// Returns the effects that give a directory and those above it their names.
    fn ancestors(&self, mut directory: Option<Object>) -> Vec<Number> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        while let Some(object) = directory.filter(|object| seen.insert(*object)) {
            let Some(file) = self.files.get(&object) else { break };
            let names_it = |number: &&Number| {
                let record = &self.log.records[self.atom(**number).record];
                record.entries().iter().any(|entry| entry.object == Some(object))
            };
            found.extend(file.names.iter().filter(names_it));
            directory = file.parent;
        }
        found
    }
}
