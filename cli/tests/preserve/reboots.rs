//! The verdict after a reboot, which only Linux can give.

use crate::place::Place;
use crate::printed::{stderr, stdout};
use crate::wrapped::unwrapped;
use cachemaint::survival::Backing;
use cachemaint_preserve::Options;
use serde_json::json;
use std::fs;

/// A store of another boot, with a blob that is damaged.
fn of_another_boot() -> Place {
    let place = Place::empty();
    let file = place.created(1 << 20);
    let mut stamp = cachemaint_preserve::Stamp::UNKNOWN.with_kernel("6.1.0-before");
    stamp.boot_id = [0xab; 16];
    stamp.seconds = 1_000_000_000;
    stamp.backing = Backing::Ram;
    let (mut store, _) = Options::new().stamp(stamp).create_new(file).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("cpu", b"registers").unwrap();
    transaction.put("ram", &[7; 300]).unwrap();
    transaction.commit().unwrap();
    drop(store);
    place.damage(place.offset("ram"));
    place
}

#[test]
fn the_first_write_after_a_reboot_reports_the_reboot() {
    for command in [&["save", "new"][..], &["rm", "cpu"], &["mv", "cpu", "x"], &["seal"]] {
        let place = of_another_boot();
        let error = stderr(&place.run(command).success());
        assert!(error.contains("state: since the last commit: "), "{error}");
        assert!(error.contains("the boot id is another than that of the last commit"), "{error}");
        let promise = "state: whether what was committed survives that: no: the kernel that had the pages is gone";
        assert!(error.contains(promise), "{error}");
        assert!(error.contains("state: the store had not been sealed"), "{error}");
        assert!(error.contains("state: ram: the blob from its byte 0 on is damaged"), "{error}");
        assert!(!error.contains("cpu: "), "{error}");
        let save = || stderr(&place.run_with(&["save", "ram"], "anew").success());
        let error = save();
        assert!(!error.contains("since the last commit"), "the reboot is reported once: {error}");
        assert!(error.contains("state: ram: the blob from its byte 0 on is damaged"), "{error}");
        assert_eq!(save(), "", "the damage is reported until it is mended");
    }
}

#[test]
fn the_history_lists_boots_and_the_events_since() {
    let place = of_another_boot();
    let before = place.json("history");
    let expected = json!([{
        "generation": 1, "opened": 1, "time": "2001-09-09T01:46:40Z", "is_creation": true,
        "origin": "unknown", "was_sealed": false, "kernel": "6.1.0-before",
        "boot": "ab".repeat(16), "backing": "ram"
    }]);
    assert_eq!(before["boots"], expected);
    let evidence = &before["since"]["evidence"][0];
    assert_eq!(evidence, "the boot id is another than that of the last commit");
    assert_eq!(before["since"]["promise"]["answer"], "no");
    let origin = &before["since"]["origin"];

    // By the third commit, after the creation and the two blobs.
    place.run(&["seal"]).success();
    place.run_with(&["save", "new"], "x").success();
    let after = place.json("history");
    assert_eq!(after["boots"][0], expected[0]);
    let here = &after["boots"][1];
    assert_eq!((&here["generation"], &here["opened"]), (&json!(3), &json!(2)));
    assert_eq!((&here["origin"], &here["was_sealed"]), (origin, &json!(false)));
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(here["boot"], id.trim().replace('-', ""));
    assert_eq!(after["since"]["origin"], "same_boot");
    assert_eq!(after["since"]["promise"]["answer"], "yes");

    let shown = unwrapped(&stdout(&place.run(&["history"]).success()));
    let expected = format!(
        "1 created; opened once, last at 2001-09-09T01:46:40Z; on RAM (tmpfs); kernel 6.1.0-before; boot {} 3 after: ",
        "ab".repeat(16)
    );
    assert!(shown.contains(&expected), "{shown}");
    assert!(
        shown.contains("happened same boot, another process because the boot id is that"),
        "{shown}"
    );
}
