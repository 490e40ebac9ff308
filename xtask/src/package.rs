//! Checks of the published package: its files and its dependencies.

use alloc::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::command::{Check as _, Cmd};
use crate::host::Host;
use crate::report::{Finding, Report, Tests};

/// The files besides those of the library's folders that must be in the package.
const REQUIRED: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];
const FOLDERS: [&str; 2] = ["arch/*.rs", "src/*.rs"];

/// The greatest number of other crates that the bare library may bring.
const MOST_CRATES: usize = 3;
/// The targets; none stands for the host's.
const TREES: [Option<&str>; 5] = [
    None,
    Some("aarch64-unknown-linux-gnu"),
    Some("aarch64-apple-darwin"),
    Some("x86_64-pc-windows-msvc"),
    Some("thumbv7em-none-eabi"),
];

pub(crate) fn package(host: &Host, report: &mut Report) -> Result<()> {
    report.check("files", "the package holds every file that it needs", || {
        let list = Cmd::cargo("package -p cachemaint --list --allow-dirty").read()?;
        let packed: BTreeSet<&str> = list.lines().collect();
        let mut wanted: Vec<String> = REQUIRED.into_iter().map(str::to_owned).collect();
        for folder in FOLDERS {
            wanted.extend(host.sources(folder)?);
        }
        let missing: Vec<String> =
            wanted.into_iter().filter(|file| !packed.contains(file.as_str())).collect();
        ensure!(missing.is_empty(), "not in the package: {}", missing.join(", "));
        Ok(Finding::passed(Tests::default()))
    })
}

/// Builds the library from its package alone.
pub(crate) fn package_builds(_host: &Host, report: &mut Report) -> Result<()> {
    report.check("builds", "the package builds on its own", || {
        Cmd::cargo("package -p cachemaint --allow-dirty").check()
    })
}

pub(crate) fn tree(_host: &Host, report: &mut Report) -> Result<()> {
    TREES.into_iter().try_for_each(|triple| {
        let name = triple.unwrap_or("host");
        report.check(name, "the bare library brings at most 3 other crates", || {
            let cmd = Cmd::cargo(
                "tree -e normal -p cachemaint --no-default-features --prefix none --no-dedupe",
            );
            let tree = triple
                .into_iter()
                .fold(cmd, |cmd, triple| cmd.args(["--target", triple]))
                .read()?;
            let others: BTreeSet<&str> =
                tree.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
            ensure!(others.len() <= MOST_CRATES, "{} other crates: {others:?}", others.len());
            Ok(Finding::passed(Tests::default()))
        })
    })
}
