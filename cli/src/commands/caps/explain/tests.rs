use super::{Entry, Explanation, broken, explain, topics};
use cachemaint::report::{HostReport, Isolation};
use cachemaint::survival::{Backing, Event, Stage};

fn explained(report: &HostReport, topic: &str) -> Explanation {
    explain(report, topic).unwrap_or_else(|| panic!("no topic {topic}"))
}

fn words(explanation: &Explanation) -> String {
    let texts: Vec<&str> = explanation.entries.iter().map(|entry| entry.text.as_str()).collect();
    texts.join("\n")
}

#[test]
fn a_certainty_has_its_source() {
    let report = HostReport::host();
    for topic in topics(&report) {
        for entry in explained(&report, &topic.name).entries {
            assert!(!entry.text.is_empty(), "{}", topic.name);
            assert_eq!(entry.certainty.is_some(), !entry.source.is_empty(), "{entry:?}");
        }
    }
}

#[test]
fn names_are_found_as_people_write_them() {
    let report = HostReport::host();
    for name in ["map-sync", "map sync", "MAP_SYNC", " Map-Sync "] {
        assert_eq!(explained(&report, name).topic.name, "map-sync");
    }
    assert!(explain(&report, "map").is_none());
    assert!(explain(&report, "").is_none());
}

/// Answer, reason and source are the table's. The backings of this machine come first.
#[test]
fn survival_is_explained_by_the_table() {
    let report = HostReport::host();
    let explanation = explained(&report, "survival");
    for &backing in Backing::ALL {
        for &event in Event::ALL {
            for &progress in Stage::ALL {
                let cell = backing.survives(progress, event);
                let is_it = |entry: &&Entry| {
                    entry.text.starts_with(&backing.to_string())
                        && entry.text.contains(&event.to_string())
                        && entry.text.contains(&progress.to_string())
                        && entry.text.ends_with(cell.text)
                };
                let entry = explanation.entries.iter().find(is_it);
                let entry = entry.unwrap_or_else(|| panic!("{backing:?} {event:?} {progress:?}"));
                assert!(entry.text.contains(&cell.answer.to_string()), "{}", entry.text);
                assert_eq!(entry.source, cell.source);
            }
        }
    }
    let words = words(&explanation);
    let (here, elsewhere) = words.split_once("the backings of other machines").unwrap();
    assert!(here.contains("storage; process crash"), "{here}");
    assert!(elsewhere.contains("unknown; process crash"), "{elsewhere}");
}

#[test]
fn surroundings_are_named_in_their_topics() {
    let mut report = HostReport::host();
    report.surroundings.container = Some("docker".to_string());
    report.surroundings.confidential = Some(Isolation::ArmCca);
    assert!(words(&explained(&report, "container")).contains("in a container: docker"));
    assert!(words(&explained(&report, "confidential")).contains("Arm CCA"));
}

/// Columns 14 to 79 take 66 letters.
#[test]
fn a_word_longer_than_a_line_is_broken() {
    let path = "/".repeat(70);
    assert_eq!(broken(&format!("at {path} now")), format!("at {} //// now", &path[..66]));
    assert_eq!(broken("a  short text"), "a  short text");
}
