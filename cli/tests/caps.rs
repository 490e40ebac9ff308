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
}

/// What a program reads is what a person reads.
#[test]
fn json_and_text_have_the_same_choices() {
    let (text, json) = (stdout(&[]), stdout(&["--json"]));
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["schema"], 2);
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
