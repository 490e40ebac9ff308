//! `cachemaint caps` as a user runs it.

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;

fn caps(arguments: &[&str]) -> assert_cmd::assert::Assert {
    cargo_bin_cmd!("cachemaint").arg("caps").args(arguments).assert()
}

fn stdout(arguments: &[&str]) -> String {
    let assert = caps(arguments).success();
    assert!(assert.get_output().stderr.is_empty());
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

#[test]
fn the_report_is_one_screen_of_plain_text_in_a_pipe() {
    let text = stdout(&[]);
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
    let (text, json) = (stdout(&[]), stdout(&["--json"]));
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

#[test]
fn a_wrong_argument_is_named() {
    let assert = caps(&["--nonsense"]).code(2);
    let message = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(message.contains("--nonsense"), "{message}");
    assert!(assert.get_output().stdout.is_empty());
}

/// Each topic of the list is explained in 80 columns, in text and in JSON, and has more to say than
/// its title.
#[test]
fn every_topic_in_the_list_is_explained() {
    let list = stdout(&["--explain"]);
    assert_eq!(stdout(&["--explain", "list"]), list);
    let listed: Value = serde_json::from_str(&stdout(&["--explain", "--json"])).unwrap();
    assert_eq!(listed["schema"], 1);
    let topics = listed["topics"].as_array().unwrap();
    assert!(topics.len() >= 18, "{list}");
    for topic in topics {
        let name = topic["name"].as_str().unwrap();
        assert!(list.contains(&format!("  {name} ")), "{name}\n{list}");
        let text = stdout(&["--explain", name]);
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let json: Value = serde_json::from_str(&stdout(&["--explain", name, "--json"])).unwrap();
        assert_eq!(json["topic"]["name"], name);
        assert!(!json["entries"].as_array().unwrap().is_empty(), "{name}");
    }
}

/// The screen and the long form never disagree.
#[test]
fn an_instruction_is_explained_as_the_report_has_it() {
    let report: Value = serde_json::from_str(&stdout(&["--json"])).unwrap();
    for instruction in report["cpu"]["instructions"].as_array().unwrap() {
        let [name, status] = ["name", "status"].map(|key| instruction[key].as_str().unwrap());
        let text = stdout(&["--explain", name]);
        let word = if status == "refused" { "not to be used" } else { status };
        assert!(text.contains(&format!("{word}: ")), "{name} is {status}\n{text}");
    }
}

#[test]
fn an_unknown_topic_is_refused_with_the_topics_there_are() {
    let assert = caps(&["--explain", "nonsense\u{1b}[2J"]).code(2);
    let message = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(message.contains("whole-cache, "), "{message}");
    assert!(!message.contains('\u{1b}'), "{message:?}");
    assert!(assert.get_output().stdout.is_empty());
}
