//! The packages that are published, and the features that checks enable: the one place that names them.

use alloc::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::command::{Check as _, Cmd};
use crate::host::Host;
use crate::report::{Finding, Report, Tests};

/// A published package.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// The features that it can have without `std`, if it can do without.
    pub(crate) bare: Option<&'static str>,
    /// Those on a target without atomics of 64 bits, on which media and formats depend. A package without such a list
    /// is not for these targets.
    pub(crate) without_media: Option<&'static str>,
}

/// The packages, each one behind those that it depends on.
pub(crate) static PUBLISHED: [Package; 10] = [
    Package { name: "cachemaint", bare: Some("privileged"), without_media: Some("privileged") },
    Package {
        name: "cachemaint-platforms",
        bare: Some("embedded-dma"),
        without_media: Some("embedded-dma"),
    },
    Package { name: "cachemaint-inspect", bare: Some(""), without_media: None },
    Package { name: "cachemaint-device", bare: None, without_media: None },
    Package { name: "cachemaint-sim", bare: None, without_media: None },
    Package { name: "cachemaint-format", bare: Some(""), without_media: None },
    Package { name: "cachemaint-journal", bare: Some(""), without_media: None },
    Package { name: "cachemaint-recorder", bare: Some(""), without_media: None },
    Package { name: "cachemaint-store", bare: Some(""), without_media: None },
    Package { name: "cachemaint-boots", bare: None, without_media: None },
];

/// What builds all packages from their own files, if [`published`] follows.
pub(crate) const PACKAGE: &str =
    "package --allow-dirty -p cachemaint-cli -p lose-lines -p lose-lines-states";

/// What cargo selects for Miri, for loom, and for generated cases and put-back defects.
pub(crate) const MIRI: &str = "-p cachemaint --lib --test coherence";
pub(crate) const MIRI_OF_FORMATS: &str =
    "-p cachemaint-format -p cachemaint-journal -p cachemaint-recorder -p cachemaint-store --lib";
pub(crate) const LOOM: &str = "-p cachemaint -p cachemaint-format -p cachemaint-journal -p cachemaint-recorder --lib \
     --no-default-features --features std";
pub(crate) const GENERATED: &str = "-p cachemaint -p cachemaint-sim -p cachemaint-journal -p cachemaint-recorder \
     -p cachemaint-store -p cachemaint-long-tests --all-features";

/// What a dependent may enable for targets with `std` and without files.
pub(crate) const WITHOUT_FILES: &str = "-p cachemaint -p cachemaint-journal -p cachemaint-recorder -p cachemaint-store --features cachemaint/privileged";

/// What a target without atomics of 64 bits refuses.
pub(crate) const REFUSED: &str = "-p cachemaint-journal --no-default-features";

/// The features of the library on a target without atomics of 64 bits.
const WITHOUT_MEDIA: &str = "--features privileged,serde";

/// Targets without atomics of 64 bits.
const SMALL: [&str; 4] = [
    "riscv32imac-unknown-none-elf",
    "thumbv7em-none-eabi",
    "mips-unknown-linux-gnu",
    "powerpc-unknown-linux-gnu",
];

/// The greatest number of other crates that the bare library may bring, on each of these targets.
const MOST_CRATES: usize = 3;
const TREES: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-pc-windows-msvc",
    "thumbv7em-none-eabi",
];

/// The greatest size of a package: 1 MB.
const LARGEST: u64 = 1_000_000;

/// Returns `-p` with each package that a target can have.
pub(crate) fn published_for(triple: &str) -> impl Iterator<Item = &'static str> {
    let has_media = has_media(triple);
    let packages =
        PUBLISHED.iter().filter(move |package| has_media || package.without_media.is_some());
    packages.flat_map(|package| ["-p", package.name])
}

/// Returns `-p` with each published package.
pub(crate) fn published() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().flat_map(|package| ["-p", package.name])
}

/// Returns true if a target has the atomics that media and formats need.
pub(crate) fn has_media(triple: &str) -> bool {
    !SMALL.contains(&triple)
}

/// Returns the words with which cargo enables every feature that a target can have.
pub(crate) fn every_feature(triple: &str) -> &'static str {
    if has_media(triple) { "--all-features" } else { WITHOUT_MEDIA }
}

/// Returns the names of a package's features, without the default ones.
pub(crate) fn features(package: &str) -> Result<Vec<String>> {
    let metadata = Cmd::cargo("metadata --no-deps --format-version 1").read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo lists no packages")?;
    let found = packages.iter().find(|found| found["name"] == package);
    let found = found.with_context(|| format!("there is no package {package}"))?;
    let names = found["features"].as_object().context("a package without features")?.keys();
    Ok(names.filter(|name| *name != "default").cloned().collect())
}

/// Builds each package from its own files, and looks at their sizes and at the crates that the library brings.
pub(crate) fn package(host: &Host, report: &mut Report) -> Result<()> {
    report.check(
        "packages",
        "each package builds from its own files, and is below 1 MB",
        || {
            let finding = Cmd::cargo(PACKAGE).args(published()).check()?;
            for Package { name, .. } in &PUBLISHED {
                let file = format!("{name}-{}.crate", env!("CARGO_PKG_VERSION"));
                let size = host.target_dir("package").join(&file).metadata().map(|file| file.len());
                let size = size.with_context(|| format!("there is no {file}"))?;
                ensure!(size <= LARGEST, "{file} has {size} bytes");
            }
            Ok(finding)
        },
    )?;
    report.check("crates", "the bare library brings at most 3 other crates", || {
        for triple in TREES {
            let tree = Cmd::cargo("tree -e normal -p cachemaint --no-default-features")
                .args(["--prefix", "none", "--no-dedupe", "--target", triple])
                .read()?;
            let others: BTreeSet<&str> =
                tree.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
            ensure!(others.len() <= MOST_CRATES, "on {triple} {others:?}");
        }
        Ok(Finding::passed(Tests::default()))
    })
}
