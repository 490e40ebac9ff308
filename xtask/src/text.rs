//! Checks of the text: format, spelling, lints, documentation.

use anyhow::{Result, ensure};

use crate::command::{Check as _, Cmd, find_program};
use crate::host::Host;
use crate::links;
use crate::report::{Finding, Report, Tests};
use crate::toolchain;

pub(crate) fn fmt(host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = toolchain::component("rustfmt", "rustfmt") {
        return report.skip("format", format!("{reason:#}"));
    }
    report.check(
        "format",
        "every Rust file in the tree is formatted, even outside of modules",
        || Cmd::new("rustfmt").words("--check --edition 2024").args(host.sources("*.rs")?).check(),
    )
}

pub(crate) fn spelling(_host: &Host, report: &mut Report) -> Result<()> {
    if find_program("typos").is_none() {
        return report.skip("words", "typos is not installed: `pip install typos`");
    }
    report.check("words", "no word is misspelt", || Cmd::new("typos").check())
}

pub(crate) fn clippy(_host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = toolchain::component("clippy", "cargo-clippy") {
        return report.skip("lints", format!("{reason:#}"));
    }
    report.check("workspace", "no target has a lint with every feature", || {
        Cmd::cargo("clippy --workspace --all-targets --all-features -- -D warnings").check()
    })
}

pub(crate) fn doc(host: &Host, report: &mut Report) -> Result<()> {
    report.check(
        "rustdoc",
        "the documentation of the library and the command builds, and every item that it links to exists",
        || {
            let line = "doc --no-deps --all-features";
            Cmd::cargo(line).env("RUSTDOCFLAGS", "-D warnings").check()
        },
    )?;
    report.check("links", "every link of a document leads to a file, a heading or an item", || {
        let faults = links::faults(host)?;
        ensure!(faults.is_empty(), "{} broken links:\n{}", faults.len(), faults.join("\n"));
        Ok(Finding::passed(Tests::default()))
    })
}
