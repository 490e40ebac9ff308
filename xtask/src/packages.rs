//! The packages that are published, and the features that checks enable: the one place that names them.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result};

use crate::command::Cmd;

/// A published package.
#[derive(Debug)]
pub struct Package {
    pub name: &'static str,
    /// The features that it can have without `std`, if it can do without.
    pub bare: Option<&'static str>,
    /// Those on a target without atomics of 64 bits, on which media and formats depend. A package without such a list
    /// is not for these targets.
    pub without_media: Option<&'static str>,
}

/// The packages, each one behind those that it depends on.
pub static PUBLISHED: [Package; 10] = [
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

/// The packages of lose-lines that are published, with the folders of all but the command in `lose-lines`.
pub const LOSE_LINES: [&str; 8] = [
    "lose-lines-states",
    "lose-lines-recorder",
    "lose-lines-agent",
    "lose-lines-plugin",
    "lose-lines-machine",
    "lose-lines-drive",
    "lose-lines-dma",
    "lose-lines",
];

/// What builds all packages from their own files, if [`every`] follows.
pub const PACKAGE: &str = "package --allow-dirty";

/// What cargo selects for Miri, for loom, and for generated cases and put-back defects.
pub const MIRI: &str = "-p cachemaint --lib --test coherence";
pub const MIRI_OF_FORMATS: &str =
    "-p cachemaint-format -p cachemaint-journal -p cachemaint-recorder -p cachemaint-store --lib";
pub const LOOM: &str = "-p cachemaint -p cachemaint-format -p cachemaint-journal -p cachemaint-recorder --lib \
     --no-default-features --features std";
/// Without explorations of the simulator, whose own threads do not pause.
pub const PAUSING: &str = "-p cachemaint-journal -p cachemaint-recorder -p cachemaint-store --test * -- \
     threads:: concurrent:: group_commit:: second_writer:: tail:: files:: --skip crashes:: --skip of_a_group_survive";
pub const GENERATED: &str = "-p cachemaint -p cachemaint-sim -p cachemaint-journal -p cachemaint-recorder \
     -p cachemaint-store -p cachemaint-long-tests --all-features";

/// What a dependent may enable for targets with `std` and without files.
pub const WITHOUT_FILES: &str = "-p cachemaint -p cachemaint-journal -p cachemaint-recorder -p cachemaint-store --features cachemaint/privileged";

/// What a target without atomics of 64 bits refuses.
pub const REFUSED: &str = "-p cachemaint-journal --no-default-features";

/// The features of the library on a target without atomics of 64 bits.
const WITHOUT_MEDIA: &str = "--features privileged,serde";

/// Targets without atomics of 64 bits.
const SMALL: [&str; 4] = [
    "riscv32imac-unknown-none-elf",
    "thumbv7em-none-eabi",
    "mips-unknown-linux-gnu",
    "powerpc-unknown-linux-gnu",
];

/// Returns `-p` with each package that a target can have.
pub fn published_for(triple: &str) -> impl Iterator<Item = &'static str> {
    let has_media = has_media(triple);
    let packages =
        PUBLISHED.iter().filter(move |package| has_media || package.without_media.is_some());
    packages.flat_map(|package| ["-p", package.name])
}

/// Returns `-p` with each published package.
pub fn published() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().flat_map(|package| ["-p", package.name])
}

/// Returns `-p` with each package that a release has.
pub fn every() -> impl Iterator<Item = &'static str> {
    published().chain(["-p", "cachemaint-cli"]).chain(lose_lines())
}

/// Returns `-p` with each published package of lose-lines.
pub fn lose_lines() -> impl Iterator<Item = &'static str> {
    LOSE_LINES.iter().flat_map(|package| ["-p", *package])
}

/// Returns the manifests of lose-lines, each with its own version.
pub fn manifests_of_lose_lines() -> impl Iterator<Item = String> {
    LOSE_LINES
        .iter()
        .map(|package| format!("{}/Cargo.toml", package.replacen("lose-lines-", "lose-lines/", 1)))
}

/// Returns the folder of cargo, which has the sources of other crates.
pub fn cargo_home() -> Result<PathBuf> {
    let given = env::var_os("CARGO_HOME").map(PathBuf::from);
    given.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("HOME is not set")
}

/// Removes what cargo has unpacked and built from packages before. It takes a package of the same version for the same
/// one, and would compile the others against its old sources. `clean` is cargo's command.
pub fn forget(clean: &Cmd) -> Result<()> {
    clean.clone().args(every()).read()?;
    let sources = cargo_home()?.join("registry/src");
    for entry in fs::read_dir(&sources).into_iter().flatten().flatten() {
        // A registry in a folder has no host before its hash.
        if entry.file_name().to_string_lossy().starts_with('-') {
            let path = entry.path();
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Returns true if a target has the atomics that media and formats need.
pub fn has_media(triple: &str) -> bool {
    !SMALL.contains(&triple)
}

/// Returns the words with which cargo enables every feature that a target can have.
pub fn every_feature(triple: &str) -> &'static str {
    if has_media(triple) { "--all-features" } else { WITHOUT_MEDIA }
}
