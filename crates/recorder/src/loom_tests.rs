//! loom models of concurrent threads of a recorder.

use super::cursor::Shards;
use super::format::{BASE, FORMAT, Geometry, HEADER, Header, RECORD, Table};
use super::reader::sub_buffer::SubBuffer;
use super::{
    Clock, Cursor, Description, Durability, Found, Identity, Reader, Recorder, SkippedKind, Writer,
};
use alloc::vec::Vec;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_format::layout::Layout as _;
use cachemaint_format::sync::AtomicU64;
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering;
use loom::sync::{Arc, Mutex};
use std::sync::Mutex as Unmodelled;

const GEOMETRY: Geometry = Geometry { shards: 1, sub_buffers: 2, size: 256 };
const IDENTITY: Identity = Identity([1; 16]);
const NO_TEXTS: Table = Table { len: 0, tag: 0 };
/// The number of words of the sub-buffers.
const WORDS: usize = 2 * 256 / 8;

/// The sub-buffers, and their state after write-back.
struct SubBuffers {
    words: Vec<AtomicU64>,
    persistent: Mutex<Vec<u64>>,
    /// The bytes before the sub-buffers, which no thread of a model changes.
    roots: Unmodelled<Vec<u8>>,
}

impl SubBuffers {
    fn new(words: impl Iterator<Item = u64>) -> Self {
        Self {
            words: words.map(AtomicU64::new).collect(),
            persistent: Mutex::new(alloc::vec![0; WORDS]),
            roots: Unmodelled::new(alloc::vec![0; BASE as usize]),
        }
    }
}

fn place(at: u64) -> usize {
    usize::try_from((at - GEOMETRY.shard(0)) / 8).unwrap()
}

impl Readable for SubBuffers {
    type Error = Infallible;

    fn len(&self) -> u64 {
        GEOMETRY.len().unwrap()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        if at < BASE {
            into.copy_from_slice(&self.roots.lock().unwrap()[at as usize..][..into.len()]);
            return Ok(());
        }
        for (bytes, word) in into.chunks_exact_mut(8).zip(&self.words[place(at)..]) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Medium for SubBuffers {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.words[place(at)].load(order)
    }

    /// With page granularity, headers are not written back separately, which would only add steps to the models.
    fn granularity(&self) -> Granularity {
        Granularity::Page(4096)
    }

    fn atomic_unit(&self) -> usize {
        8
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.words[place(at)].store(word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        if at < BASE {
            self.roots.lock().unwrap()[at as usize..][..from.len()].copy_from_slice(from);
            return;
        }
        for (bytes, word) in from.chunks_exact(8).zip(&self.words[place(at)..]) {
            word.store(u64::from_le_bytes(bytes.try_into().unwrap()), Ordering::Relaxed);
        }
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        if range.is_empty() || range.start < BASE {
            return Ok(());
        }
        let mut persistent = self.persistent.lock().unwrap();
        for place in place(range.start)..place(range.end) {
            persistent[place] = self.words[place].load(Ordering::Relaxed);
        }
        Ok(())
    }

    fn fence(&self) -> Result<(), Self::Error> {
        self.check()
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

type One = Recorder<'static, SubBuffers>;

/// A recorder after events with payloads of these lengths. The first event begins the first sub-buffer.
fn with_events(lengths: &[usize]) -> Arc<One> {
    let clock = Clock::from_function(|| 0, 1, || 0);
    let medium = SubBuffers::new((0..WORDS).map(|_| 0));
    let description = Description::new(IDENTITY, GEOMETRY, &clock, NO_TEXTS);
    let Ok(()) = description.root().create(&medium, FORMAT);
    let recorder = Recorder {
        medium,
        shards: free_shards(1),
        description,
        durability: Durability::OnRequest,
        clock,
        is_stopped: cachemaint_format::sync::AtomicBool::new(false),
        has_all_roots: true,
        _writer: None,
    };
    for len in lengths {
        writer(&recorder).record_at(1, 1, &[1; 256][..*len]).unwrap();
    }
    Arc::new(recorder)
}

fn writer(recorder: &One) -> Writer<'_, SubBuffers> {
    recorder.claim().unwrap()
}

/// The offset of the second event.
const SECOND: u64 = HEADER + RECORD;

/// Returns true if an event at this offset of the first sub-buffer verifies.
fn is_in(medium: &SubBuffers, recorder: &One, offset: u64) -> bool {
    let header = Header { generation: 1, ..Header::from_bytes(&[0; HEADER as usize]) };
    SubBuffer::new(&recorder.description, header).record(medium, offset).is_some()
}

/// A reader that sees the first word of a record also sees the rest of it.
#[test]
fn a_reader_sees_an_event_wholly_or_not_at_all() {
    loom::model(|| {
        let recorder = with_events(&[0]);
        let other = Arc::clone(&recorder);
        let thread = loom::thread::spawn(move || {
            writer(&other).record_at(2, 2, &[2; 16]).unwrap();
        });
        let medium = recorder.medium();
        let first = medium.load(GEOMETRY.shard(0) + SECOND, Ordering::Acquire);
        assert_eq!(first != 0, first != 0 && is_in(medium, &recorder, SECOND));
        thread.join().unwrap();
    });
}

/// Events before the position of the shard's cursor are fully written back, even while another thread stops recording.
#[test]
fn events_before_the_cursor_are_written_back() {
    loom::model(|| {
        let recorder = with_events(&[0]);
        let other = Arc::clone(&recorder);
        let thread = loom::thread::spawn(move || {
            let writer = writer(&other);
            writer.record_at(2, 2, &[2; 16]).is_ok()
        });
        recorder.stop();
        recorder.write_back_all().unwrap();
        let done = || recorder.shards.iter().next().unwrap().1.done();
        let before = done();
        let is_recorded = thread.join().unwrap();
        let persistent = recorder.medium.persistent.lock().unwrap().clone();
        let persistent = SubBuffers::new(persistent.into_iter());
        assert_eq!(is_in(&persistent, &recorder, SECOND), before > SECOND);
        assert!(before <= SECOND || is_recorded);
        recorder.write_back_all().unwrap();
        assert_eq!(done() > SECOND, is_recorded);
    });
}

/// A thread moves from one shard to another while another thread does, too. Neither is refused, since a shard is always
/// free, and no shard has two owners: the events of the next owner follow those of the last one.
#[test]
fn as_many_threads_as_shards_own_one_each_and_are_never_refused() {
    loom::model(|| {
        let shards = Arc::new(free_shards(2));
        let other = Arc::clone(&shards);
        let add = |cursor: &Cursor| cursor.advance(cursor.head() + 1);
        let thread = loom::thread::spawn(move || {
            let cursor = other.claim().unwrap().1;
            add(cursor);
            other.give_back(cursor);
            let (shard, cursor) = other.claim().unwrap();
            add(cursor);
            shard
        });
        let (shard, cursor) = shards.claim().unwrap();
        add(cursor);
        assert_ne!(shard, thread.join().unwrap());
        assert_eq!(shards.iter().map(|(_, cursor)| cursor.head()).sum::<u64>(), 3);
    });
}

/// Returns empty shards without owners.
fn free_shards(shards: u32) -> Shards<'static> {
    let shards = Shards::take::<Infallible>(None, shards).unwrap();
    shards.iter().for_each(|(_, cursor)| cursor.begin(0));
    shards
}

/// A reader that sees the header of the next sub-buffer also sees the last event of the previous one.
#[test]
fn an_event_before_the_next_header_is_not_missed() {
    // All interleavings would take many minutes.
    let mut few = loom::model::Builder::new();
    few.preemption_bound = Some(3);
    few.check(|| {
        let recorder = with_events(&[144]);
        let other = Arc::clone(&recorder);
        let thread = loom::thread::spawn(move || {
            let writer = writer(&other);
            (0..2).for_each(|_| writer.record_at(2, 2, b"").unwrap());
        });
        let (medium, last) = (recorder.medium(), u64::from(GEOMETRY.size) - RECORD);
        let Ok(next) = Reader::of(medium, recorder.description).header(0, 1);
        let is_begun = next.is_some();
        assert!(!is_begun || is_in(medium, &recorder, last));
        thread.join().unwrap();
    });
}

/// A reader that sees new bytes in a sub-buffer also sees its new header.
#[test]
fn an_overwritten_event_is_not_taken_for_a_damaged_one() {
    loom::model(|| {
        let recorder = with_events(&[0, 120, 0, 144, 0]);
        let reader = Reader::of(recorder.medium(), recorder.description);
        let (mut events, mut buffer) = (reader.shard(0), [0; 256]);
        assert!(matches!(events.read_next(&mut buffer), Ok(Some(Found::Event(_)))));
        let other = Arc::clone(&recorder);
        let thread = loom::thread::spawn(move || {
            writer(&other).record_at(2, 2, &[2; 24]).unwrap();
        });
        if let Ok(Some(Found::Skipped(skipped))) = events.read_next(&mut buffer) {
            assert_ne!(skipped.kind, SkippedKind::Damaged, "{skipped:?}");
        }
        thread.join().unwrap();
    });
}
