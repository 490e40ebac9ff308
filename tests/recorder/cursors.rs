//! Memory for cursors that the program gives: a cursor belongs to one recorder at a time.

use super::plain::{Plain, options, shown};
use cachemaint::recorder::{Cursor, ErrorKind, Recorder};
use core::cell::Cell;

/// One or two shards of two sub-buffers of 256 bytes.
const LEN: usize = 3 * 4096 + 4 * 256;

type Borrowed<'a> = Recorder<&'a Plain, &'a [Cursor]>;

fn create<'a>(
    medium: &'a Plain,
    cursors: &'a [Cursor],
) -> Result<Borrowed<'a>, ErrorKind<core::convert::Infallible>> {
    let options = options().shards(cursors.len() as u32).cursors(|_| cursors);
    options.create_new(medium).map_err(|refused| refused.error.into())
}

#[test]
fn cursors_of_a_recorder_that_lives_are_refused_and_its_events_stay() {
    let (cursors, media) = ([const { Cursor::new() }; 1], [Plain::new(LEN), Plain::new(LEN)]);
    let first = create(&media[0], &cursors).unwrap();
    let writer = first.claim().unwrap();
    writer.record_at(1, 1, b"before").unwrap();
    let refused = create(&media[1], &cursors).map(drop).unwrap_err();
    assert!(matches!(refused, ErrorKind::CursorTaken { shard: 0, .. }), "{refused}");
    assert!(media[1].bytes().iter().all(|byte| *byte == 0), "the medium is as before");
    writer.record_at(2, 1, b"after").unwrap();
    let times: Vec<_> = shown(&first.reader(), 0).events.iter().map(|e| e.timestamp).collect();
    assert_eq!(times, [1, 2]);
}

#[test]
fn an_opening_that_is_refused_a_cursor_gives_back_the_others() {
    let cursors = [const { Cursor::new() }; 3];
    let media = [Plain::new(LEN), Plain::new(LEN), Plain::new(LEN)];
    let last = create(&media[0], &cursors[2..]).unwrap();
    let refused = create(&media[1], &cursors[1..]).map(drop).unwrap_err();
    assert!(matches!(refused, ErrorKind::CursorTaken { shard: 1, .. }), "{refused}");
    let others = create(&media[2], &cursors[..2]).unwrap();
    assert_eq!(others.claim().unwrap().shard(), 0);
    assert_eq!(last.claim().unwrap().shard(), 0);
}

#[test]
fn cursors_are_free_after_an_opening_has_failed_and_after_the_recorder_is_dropped() {
    let (cursors, medium) = ([const { Cursor::new() }; 1], Plain::new(LEN));
    for generation in [1, 2, 3] {
        let options = options().cursors(|_| &cursors[..]);
        let recorder = options.open_or_create(&medium).unwrap();
        assert_eq!(recorder.description().generation, generation);
        recorder.claim().unwrap().record_at(generation, 1, b"").unwrap();
        drop(recorder);
        let exists = create(&medium, &cursors).map(drop).unwrap_err();
        assert_eq!(exists, ErrorKind::Exists);
    }
    let recorder = options().cursors(|_| &cursors[..]).open(&medium).unwrap();
    assert_eq!(shown(&recorder.reader(), 0).events.len(), 3);
}

/// Cursors that are one slice and another one in turn.
struct Alternating<'a>([&'a [Cursor]; 2], Cell<usize>);

impl AsRef<[Cursor]> for Alternating<'_> {
    fn as_ref(&self) -> &[Cursor] {
        self.1.set(self.1.get() + 1);
        self.0[self.1.get() % 2]
    }
}

#[test]
fn alternating_cursors_neither_share_a_shard_nor_touch_another_recorder() {
    for first in [0, 1] {
        let (cursors, media) = ([const { Cursor::new() }; 2], [Plain::new(LEN), Plain::new(LEN)]);
        let [own, of_other] = [&cursors[..1], &cursors[1..]];
        let alternating = || Alternating([of_other, own], Cell::new(first));
        let recorder = options().cursors(|_| alternating()).create_new(&media[0]).unwrap();
        let other = create(&media[1], if first == 0 { of_other } else { own }).unwrap();
        let writer = other.claim().unwrap();
        writer.record_at(1, 1, b"").unwrap();
        let claimed: Vec<_> = (0..4).filter_map(|_| recorder.claim().ok()).collect();
        assert!(claimed.len() <= 1, "one shard has {} writers", claimed.len());
        drop(claimed);
        drop(recorder);
        assert!(other.claim().is_err(), "its only shard has a writer");
        assert!(matches!(
            create(&Plain::new(LEN), if first == 0 { of_other } else { own }),
            Err(ErrorKind::CursorTaken { .. })
        ));
        writer.record_at(2, 1, b"").unwrap();
        assert_eq!(shown(&other.reader(), 0).events.len(), 2);
    }
}
