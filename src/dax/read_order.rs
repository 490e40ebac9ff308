//! The order of reads: sequential reads ask for the bytes ahead of them.

use core::ops::Range;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// The longest part of a read that is copied at a time.
pub(super) const PIECE: usize = 1 << 20;

/// The number of bytes asked for ahead of a read, enough to keep a drive with several queues busy.
const AHEAD: usize = 8 << 20;

/// The largest gap between sequential reads: there may be a gap after a record.
const NEAR: usize = 4096;

/// The reads of one mapping so far. Threads that read different parts only lose the hint.
#[derive(Debug, Default)]
pub(super) struct ReadOrder {
    /// The end of the last read.
    end: AtomicUsize,
    /// The end of the bytes that were asked for.
    asked: AtomicUsize,
}

impl ReadOrder {
    /// Notes a read. If it continues the last one, and too few bytes ahead were asked for, calls `ask` with more.
    #[inline]
    pub(super) fn note(&self, read: &Range<usize>, ask: impl FnOnce(Range<usize>)) {
        let before = self.end.load(Relaxed);
        self.end.store(read.end, Relaxed);
        if read.start.abs_diff(before) > NEAR {
            self.asked.store(read.end, Relaxed);
            return;
        }
        let asked = self.asked.load(Relaxed);
        if asked < read.end + AHEAD / 2 {
            let end = read.end + AHEAD;
            self.asked.store(end, Relaxed);
            ask(asked.max(read.start)..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD, NEAR, PIECE, ReadOrder};
    use alloc::vec::Vec;
    use core::ops::Range;

    /// Returns the ranges asked for by these reads, in turn.
    fn asked(reads: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
        let (order, mut asked) = (ReadOrder::default(), Vec::new());
        for read in reads {
            order.note(&read, |range| asked.push(range));
        }
        asked
    }

    #[test]
    fn reads_in_order_ask_for_each_byte_ahead_once() {
        const LEN: usize = 8 * AHEAD;
        // Miri interprets, some hundred times slower.
        let steps: &[usize] = if cfg!(miri) { &[100_000, PIECE] } else { &[100, 5000, PIECE] };
        for &step in steps {
            let reads = (0..LEN).step_by(step).map(|at| at..at + step - step.min(NEAR) / 2);
            let asked = asked(reads.filter(|read| read.end <= LEN));
            assert_eq!(asked[0].start, 0);
            assert!(asked.windows(2).all(|two| two[0].end == two[1].start), "{asked:?}");
            assert!(asked.last().unwrap().end >= LEN - step);
            assert!(asked.len() <= 2 * LEN / AHEAD + 1, "{}", asked.len());
        }
    }

    #[test]
    fn reads_here_and_there_ask_for_nothing() {
        let places = [5, 900, 20, 700, 1].map(|at| at * AHEAD);
        assert_eq!(asked(places.map(|at| at..at + 64)), []);
    }
}
