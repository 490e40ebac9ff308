//! States that a file system can leave, but not in this test: each kind with its source.

use alloc::collections::BTreeSet;

use lose_lines_states::{Choice, Cut, Kept, Log, LostOperation, Model, Object, Operation, Synced};

/// The size of a block, in bytes.
const BLOCK: u64 = 4096;

/// A kind of states.
pub(super) struct Exception {
    pub(super) what: &'static str,
    pub(super) source: &'static str,
    /// The models that have it.
    of: &'static [Model],
    is: fn(&Case<'_>) -> bool,
}

/// The loss of some operations before a cut.
struct Case<'a> {
    log: &'a Log,
    cut: usize,
    lost: Vec<LostOperation>,
    /// The records of lost and of kept effects.
    records: BTreeSet<usize>,
    kept: BTreeSet<usize>,
}

pub(super) const EXCEPTIONS: [Exception; 3] = [
    Exception {
        what: "a file grows by truncate(2), and earlier bytes of its last block are lost",
        source: "since Linux 6.13 they are written first: fs/ext4/inode.c, ext4_setattr",
        of: &[Model::Ext4],
        is: |case| case.grows_over_lost_bytes(),
    },
    Exception {
        what: "fsync(2) of a file that was written in place loses a name from before the write",
        source: "the write changes the file's time, and so its inode, at most once in a tick of the clock: fs/inode.c, file_update_time",
        of: &[Model::Ext4, Model::Xfs],
        is: |case| case.syncs_within_a_tick(),
    },
    Exception {
        what: "a part of one write is lost",
        source: "contiguous new bytes are one extent, unless free space is in pieces: fs/btrfs/inode.c, cow_file_range",
        of: &[Model::Btrfs],
        is: |case| case.tears_a_write(),
    },
];

/// Returns the exceptions that explain why nothing shows a state of a model, one for each way to make it. Returns none if a
/// way needs no exception.
pub(super) fn of(log: &Log, model: Model, ways: &[Choice]) -> Option<BTreeSet<usize>> {
    let exception = |way: &Choice| {
        let Kept::AllBut(lost) = &way.kept else { return None };
        let cut = Cut::new(log, model, way.cut);
        let kept = cut.operations(&cut.kept(&way.kept), |_place| None);
        let lost = cut.operations(lost, |_place| None);
        let [records, kept] = [&lost, &kept].map(|all| all.iter().map(|one| one.record).collect());
        let case = Case { log, cut: way.cut, lost, records, kept };
        EXCEPTIONS.iter().position(|one| one.of.contains(&model) && (one.is)(&case))
    };
    ways.iter().map(exception).collect()
}

impl Case<'_> {
    fn grows_over_lost_bytes(&self) -> bool {
        let kept = (self.log.begun..self.cut).filter(|record| !self.records.contains(record));
        kept.into_iter().any(|record| match self.log.records[record].operation {
            Operation::Resize { file, size } => {
                let old = self.size(file, record);
                let last = (old / BLOCK * BLOCK, old);
                size > old
                    && !old.is_multiple_of(BLOCK)
                    && self.lost.iter().any(|lost| self.loses(lost, record, file, last))
            }
            _ => false,
        })
    }

    /// Returns the size of a file before a record.
    fn size(&self, of: Object, before: usize) -> u64 {
        self.log.records[..before].iter().fold(0, |old, record| match &record.operation {
            Operation::Write { file, at, bytes, .. } if *file == of => {
                old.max(at + bytes.len() as u64)
            }
            Operation::Resize { file, size } if *file == of => *size,
            _ => old,
        })
    }

    /// Returns true if bytes of a range, written before a record, are lost.
    fn loses(
        &self,
        lost: &LostOperation,
        before: usize,
        of: Object,
        (from, to): (u64, u64),
    ) -> bool {
        let is_file = match self.log.records[lost.record].operation {
            Operation::Write { file, .. } => file == of,
            _ => false,
        };
        let is_in = |(at, len): (u64, u64)| at < to && at + len > from;
        is_file && lost.record < before && lost.range.is_some_and(is_in)
    }

    fn syncs_within_a_tick(&self) -> bool {
        let records = &self.log.records;
        (self.log.begun..self.cut).any(|sync| match records[sync].operation {
            Operation::Sync { object, part: Synced::All } => {
                let writes = |record: &usize| matches!(records[*record].operation, Operation::Write { file, .. } if file == object);
                let Some(write) = (self.log.begun..sync).rfind(writes) else { return false };
                let is_journalled = |record: &usize| !matches!(records[*record].operation, Operation::Write { .. });
                self.records.range(..write).any(is_journalled)
            }
            _ => false,
        })
    }

    fn tears_a_write(&self) -> bool {
        let is_write = |record: &&usize| {
            matches!(self.log.records[**record].operation, Operation::Write { .. })
        };
        self.records.intersection(&self.kept).any(|record| is_write(&record))
    }
}
