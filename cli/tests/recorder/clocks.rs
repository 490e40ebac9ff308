//! The times of events, and their openings.

use super::Place;
use crate::printed::stdout;
use cachemaint::dax;
use cachemaint_recorder::{Clock, Identity, Options};
use serde_json::json;

/// A tick is a millisecond.
fn clock(wall: u64) -> Clock {
    Clock::from_function(|| 5_000, 1_000, wall)
}

fn recording(wall: u64) -> Place {
    let place = Place::empty();
    let file =
        dax::Options::new().allow_page_granularity().create_new(&place.path, 1 << 16).unwrap();
    let options = Options::with_clock(Identity([7; 16]), clock(wall));
    let recorder = options.create_new(file).unwrap().0;
    recorder.claim().unwrap().record_at(7_500, 1, b"two and a half seconds later").unwrap();
    place
}

/// The moment is 10^9 seconds after the beginning of 1970 (`date -u -d @1000000000`).
#[test]
fn the_clock_of_a_recording_and_its_anchor_are_shown() {
    let place = recording(1_000_000_000_000_000_050);
    let stat = place.stat();
    assert_eq!((&stat["clock"], &stat["ticks_per_second"]), (&json!("caller"), &json!(1000)));
    let anchor = json!({"ticks": 5000, "time": "2001-09-09T01:46:40.000000050Z"});
    assert_eq!(stat["anchor"], anchor);
    let text = stdout(&place.run(&["stat"]).success());
    for row in [
        "clock       the recording program's own, 1,000 ticks a second\n",
        "anchor      tick 5,000 at 2001-09-09T01:46:40.000000050Z\n",
    ] {
        assert!(text.contains(row), "{text}");
    }
    let event = &place.events()[0];
    assert_eq!(event["timestamp"], 7500);
    assert_eq!(event["time"], "2001-09-09T01:46:42.500000050Z");
}

#[test]
fn a_clock_without_wall_time_has_an_anchor_without_a_time() {
    let place = recording(0);
    assert_eq!(place.stat()["anchor"], json!({"ticks": 5000, "time": null}));
    let text = stdout(&place.run(&["stat"]).success());
    assert!(text.contains("anchor      none: the clock had no wall time\n"), "{text}");
    assert_eq!(place.events()[0]["time"], json!(null));
}

/// The clock of the second opening is a second behind.
#[test]
fn the_opening_of_each_event_is_shown() {
    let place = recording(1_000_000_000_000_000_000);
    let file = dax::Options::new().allow_page_granularity().open(&place.path).unwrap();
    let options = Options::with_clock(Identity([8; 16]), clock(999_999_999_000_000_000));
    let recorder = options.open(file).unwrap().0;
    recorder.claim().unwrap().record_at(7_500, 1, b"again").unwrap();
    drop(recorder);
    let events = place.events();
    let openings: Vec<_> = events.iter().map(|event| (&event["opening"], &event["time"])).collect();
    let expected = [
        (&json!(1), &json!("2001-09-09T01:46:42.500000000Z")),
        (&json!(2), &json!("2001-09-09T01:46:41.500000000Z")),
    ];
    assert_eq!(openings, expected);
    let text = stdout(&place.run(&["dump"]).success());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (3, "[opening 2]"), "{text}");
}
