//! Seals.

use crate::place::Place;
use crate::printed::stdout;
use crate::wrapped::unwrapped;
use cachemaint::survival::{Event, Stage};

#[test]
fn sealing_lists_all_guarantees_and_a_change_breaks_the_seal() {
    let place = Place::with(&["cpu"]);
    let sealed = unwrapped(&stdout(&place.run(&["seal"]).success()));
    let guarantee = cachemaint::dax::probe(&place.path).unwrap();
    for &event in Event::ALL {
        let statement = guarantee.survives(Stage::DeepPersisted, event);
        let said = format!(
            "{}: {} because {} source {};",
            event, statement.answer, statement.text, statement.source
        );
        assert!(sealed.contains(&unwrapped(&said)), "{said}: {sealed}");
    }
    assert_eq!(place.json("list")["is_sealed"], true);
    assert!(stdout(&place.run(&["list"]).success()).contains("\nsealed      yes\n"));
    assert_eq!(place.load("cpu"), b"cpu");
    place.run_with(&["save", "cpu"], "other").success();
    assert_eq!(place.json("list")["is_sealed"], false);
}
