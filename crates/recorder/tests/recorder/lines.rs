//! Loggers that write lines.

use cachemaint::dax::{self, DaxFile};
use cachemaint_recorder::{ErrorKind, Found, Lines, Options, Recorder};
use std::io::Write as _;
use std::thread;

fn recorder(shards: u32) -> &'static Recorder<'static, DaxFile> {
    let directory = tempfile::tempdir().unwrap();
    let options = dax::Options::new().allow_page_granularity();
    let file = options.create_new(directory.path().join("lines"), 1 << 20).unwrap();
    let (recorder, _) = Options::new().shards(shards).create_new(file).unwrap();
    Box::leak(Box::new(recorder))
}

/// Returns the events in the order of time.
fn events(recorder: &Recorder<'_, DaxFile>) -> Vec<(u16, Vec<u8>)> {
    let reader = recorder.reader();
    let (mut merged, mut buffer) = (reader.events(), vec![0; reader.largest_payload()]);
    let mut events = vec![];
    while let Some(found) = merged.read_next(&mut buffer).unwrap() {
        if let Found::Event(event) = found {
            events.push((event.id, event.payload.to_vec()));
        }
    }
    events
}

#[test]
fn a_line_is_an_event_and_the_threads_that_end_leave_their_shards() {
    // The other tests of this process have threads too.
    let recorder = recorder(8);
    let lines = Lines::new(recorder, 7);
    (&lines).write_all(b"first\n").unwrap();
    let mut expected = vec![(7, b"first".to_vec())];
    // One at a time: more threads than shards.
    for number in 0..20 {
        let line = format!("thread {number}");
        thread::scope(|scope| {
            scope.spawn(|| writeln!(&lines, "{line}").unwrap()).join().unwrap();
        });
        expected.push((7, line.into_bytes()));
    }
    assert_eq!(events(recorder), expected);
}

#[test]
fn a_line_of_more_bytes_than_an_event_holds_is_cut() {
    let recorder = recorder(2);
    let lines = Lines::new(recorder, 1);
    let most = recorder.reader().largest_payload();
    let longest = vec![b'a'; most];
    (&lines).write_all(&longest).unwrap();
    (&lines).write_all(&vec![b'a'; most + 1]).unwrap();
    assert_eq!(events(recorder), [(1, longest.clone()), (1, longest)]);
}

#[test]
fn a_thread_without_a_shard_gets_the_reason() {
    let recorder = recorder(2);
    let _others = [recorder.claim().unwrap(), recorder.claim().unwrap()];
    let error = (&Lines::new(recorder, 1)).write_all(b"lost").unwrap_err();
    let inner = error.into_inner().unwrap();
    let reason = inner.downcast::<cachemaint_recorder::Error<dax::Error>>().unwrap();
    assert!(matches!(reason.kind(), ErrorKind::AllShardsTaken { shards: 2, .. }), "{reason}");
}
