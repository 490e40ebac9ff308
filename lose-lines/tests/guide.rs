//! The options that the guide's pages name.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn each_option_in_the_guide_exists() {
    let help = ["files", "drive", "cut", "dma"].map(|command| {
        let program = env!("CARGO_BIN_EXE_lose-lines");
        let output = Command::new(program).args([command, "--help"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let help = help.concat();
    let has = |option: &str| {
        help.split_whitespace().any(|word| word.trim_matches([',', '`', ']']) == option)
    };
    assert!(has("--check") && !has("--checked"));
    for page in ["power-cuts", "drives", "cache-lines", "unmodified-images"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/{page}.md"));
        let text = fs::read_to_string(path).unwrap();
        let prose: String = text.split("```").step_by(2).collect();
        let code = prose.split('`').skip(1).step_by(2);
        let options = code.filter_map(|code| code.split([' ', '=']).next());
        for option in options.filter(|word| word.starts_with("--") && word.len() > 2) {
            assert!(has(option), "docs/{page}.md: {option}");
        }
    }
}
