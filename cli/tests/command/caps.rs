//! `cachemaint caps`.

use crate::{Ran, cachemaint, ran, stdout};
use serde_json::Value;

fn caps(arguments: &[&str]) -> Ran {
    ran(cachemaint().arg("caps").args(arguments), "")
}

fn printed(arguments: &[&str]) -> String {
    let ran = caps(arguments).code(0);
    assert!(ran.0.stderr.is_empty());
    stdout(&ran)
}

#[test]
fn the_report_is_one_screen_of_plain_text_in_a_pipe() {
    let text = printed(&[]);
    assert!(text.starts_with("CPU "), "{text}");
    assert!(text.lines().count() <= 40, "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.lines().last().unwrap().contains("caps --explain: all topics"), "{text}");
}

/// A program reads the same as a person.
#[test]
fn json_and_text_have_the_same_choices() {
    let (text, json) = (printed(&[]), printed(&["--json"]));
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["schema"], 1);
    assert!(json.ends_with("}\n"));

    let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for point in ["coherency", "persistence", "deep_persistence"] {
        let choice = &report["cpu"]["writeback"][point];
        let name = point.replace('_', " ");
        let expected = match choice["instruction"].as_str() {
            Some(instruction) => {
                let before = choice["before"].as_str().map(|fence| format!("{fence}, then "));
                let after = choice["after"].as_str().unwrap();
                format!(
                    "to {name}: {}{instruction} each line, then {after}",
                    before.unwrap_or_default()
                )
            }
            None => format!("to {name}: no: {}", choice["reason"].as_str().unwrap()),
        };
        assert!(flowing.contains(&expected), "{expected}\n{text}");
    }
    for instruction in report["cpu"]["instructions"].as_array().unwrap() {
        let [name, status] = ["name", "status"].map(|key| instruction[key].as_str().unwrap());
        assert!(flowing.contains(&format!("{name} {status} ")), "{name} {status}\n{text}");
    }
}

/// Each topic of the list is explained in 80 columns, in text and in JSON, and has more to say than
/// its title.
#[test]
fn every_topic_in_the_list_is_explained() {
    let list = printed(&["--explain"]);
    assert_eq!(printed(&["--explain", "list"]), list);
    let listed: Value = serde_json::from_str(&printed(&["--explain", "--json"])).unwrap();
    assert_eq!(listed["schema"], 1);
    let topics = listed["topics"].as_array().unwrap();
    assert!(topics.len() >= 10, "{list}");
    for topic in topics {
        let name = topic["name"].as_str().unwrap();
        assert!(list.contains(&format!("  {name} ")), "{name}\n{list}");
        let text = printed(&["--explain", name]);
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let json: Value = serde_json::from_str(&printed(&["--explain", name, "--json"])).unwrap();
        assert_eq!(json["topic"]["name"], name);
        assert!(!json["entries"].as_array().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn an_unknown_topic_is_refused_with_the_topics_there_are() {
    let assert = caps(&["--explain", "nonsense\u{1b}[2J"]).code(2);
    let message = String::from_utf8(assert.0.stderr.clone()).unwrap();
    assert!(message.contains("whole-cache, "), "{message}");
    assert!(!message.contains('\u{1b}'), "{message:?}");
    assert!(assert.0.stdout.is_empty());
}

/// A gate without `jq`: each instruction as the report shows it, and a fact that no machine has.
#[test]
fn a_fact_that_is_demanded_and_not_given_fails_with_its_reason() {
    let report: Value = serde_json::from_str(&printed(&["--json"])).unwrap();
    for instruction in report["cpu"]["instructions"].as_array().unwrap() {
        let name = instruction["name"].as_str().unwrap();
        let is_present = instruction["status"] == "present";
        let ran = caps(&["-q", "--require", name]).code(i32::from(!is_present));
        let text = crate::stderr(&ran);
        assert_eq!(text.contains(&format!("{name}: ")), !is_present, "{text}");
    }
    let ran = caps(&["--json", "--require", "deep-persistence", "--require", "no-aliasing"]);
    let document: Value = serde_json::from_slice(&ran.0.stdout).unwrap();
    let missing = report["cpu"]["writeback"]["deep_persistence"]["available"] == false;
    let refused = document["refused"].as_array().unwrap();
    assert_eq!(
        refused.iter().any(|why| why.as_str().unwrap().starts_with("deep-persistence: ")),
        missing
    );
    assert_eq!(ran.0.status.success(), refused.is_empty());
    caps(&["--require", "nonsense"]).code(2);
}
