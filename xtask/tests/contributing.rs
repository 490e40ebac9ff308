//! The commands of `CONTRIBUTING.md`, as a contributor types them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Blocks with this beginning are not run; tests of `xtask` and of the lab parse each of their commands.
const LONG: &str = "# Takes ";

#[test]
#[ignore = "runs what contributors type, for minutes: cargo xtask guide"]
fn the_commands_of_contributing_succeed() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let text = fs::read_to_string(root.join("CONTRIBUTING.md"))?;
    let blocks = text.split("\n```sh\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|block| block.split("\n```").next()).collect();
    let (long, short): (Vec<&str>, Vec<&str>) =
        blocks.into_iter().partition(|block| block.starts_with(LONG));
    for line in long.iter().flat_map(|block| block.lines()) {
        let is_parsed = ["#", "cargo xtask ", "cargo test -p cachemaint-lab-tests -- ", ".ci/run"]
            .iter()
            .any(|start| line.starts_with(start));
        ensure!(is_parsed, "nothing checks `{line}`: put it into a block that is run");
    }
    ensure!(!short.is_empty(), "CONTRIBUTING.md has no command to run");
    for block in short {
        let status =
            Command::new("bash").args(["-e", "-u", "-c", block]).current_dir(root).status()?;
        ensure!(status.success(), "{status}:\n{block}");
    }
    Ok(())
}
