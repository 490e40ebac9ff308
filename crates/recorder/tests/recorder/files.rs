//! Recordings in files with page granularity.

use super::plain::{clock, shown};
use cachemaint::dax;
use cachemaint_recorder::{
    Clock, Durability, Identity, Options, Reader, Recorder, TimeSource, Within,
};
use core::time::Duration;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_recording_in_a_file_is_opened_again_and_viewed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let dax = || dax::Options::new().allow_page_granularity();
    let file = dax().create_new(&path, 1 << 16).unwrap();
    for durability in [Durability::SubBuffer, Durability::EachAppend] {
        let options = Options::with_clock(Identity([3; 16]), clock()).shards(2);
        let recorder = options.durability(durability).open_or_create(&file).unwrap().0;
        let writer = recorder.claim().unwrap();
        (0..100).for_each(|number| writer.record_at(number, 1, &[7; 40]).unwrap());
        recorder.write_back_all().unwrap();
    }
    drop(file);
    let file = dax().open(&path).unwrap();
    assert_eq!(shown(&Reader::open(&file).unwrap(), 0).events.len(), 200);
    drop(file);
    // Some CPUs cannot load words of a read-only mapping.
    if let Ok(view) = dax().view(&path) {
        let reader = Reader::open(&view).unwrap();
        assert_eq!(shown(&reader, 0).events.len(), 200);
        assert_eq!(reader.description().generation, 2);
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_thread_writes_back_and_measures() {
    let directory = tempfile::tempdir().unwrap();
    let options = dax::Options::new().allow_page_granularity();
    let file = options.create_new(directory.path().join("events"), 1 << 16).unwrap();
    let recorder = Arc::new(Recorder::create_new(file).unwrap().0);
    let within = Within::start(Arc::clone(&recorder), Duration::from_millis(5)).unwrap();
    recorder.claim().unwrap().record(1, b"event").unwrap();
    assert!(within.longest() > Duration::ZERO);
    let longest = within.finish().unwrap();
    assert!(longest > Duration::ZERO);
    assert_eq!(shown(&recorder.reader(), 0).events.len(), 1);
}

/// The recording's clock and the system's clock agree.
#[test]
#[cfg_attr(miri, ignore = "asks for the boot id")]
fn timestamps_of_this_machine_become_wall_time() {
    for clock in [Clock::host(), Clock::monotonic()] {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let medium = cachemaint_test_support::plain::Plain::zeros(1 << 16);
        let recorder = Options::with_clock(Identity([1; 16]), clock).create_new(medium).unwrap().0;
        let before = now();
        recorder.claim().unwrap().record(1, b"").unwrap();
        let after = now();
        let reader = recorder.reader();
        let mut buffer = vec![0; reader.largest_payload()];
        let mut events = reader.events();
        let Some(cachemaint_recorder::Found::Event(event)) = events.read_next(&mut buffer).unwrap()
        else {
            panic!("no event")
        };
        let wall = Duration::from_nanos(event.wall.unwrap());
        let tolerance = Duration::from_millis(500);
        assert!(wall + tolerance > before && wall < after + tolerance, "{wall:?} {before:?}");
        assert_ne!(clock.source(), TimeSource::Caller);
    }
}
