//! Checks of the text: format, lints, documentation.

use anyhow::{Result, ensure};

use crate::command::{Check as _, Cmd};
use crate::host::Host;
use crate::links;
use crate::report::{Finding, Report, Tests};
use crate::toolchain;

/// The library's features one by one, besides all and none: each must stand alone.
const ALONE: [&str; 10] = [
    "std",
    "alloc",
    "dax",
    "journal",
    "recorder",
    "preserve",
    "preserve-read",
    "sim",
    "serde",
    "privileged",
];
/// The targets of the lab's images, which link the library's privileged side, and the arguments that select the images
/// if a target lacks some.
const FREESTANDING: [(&str, &str); 3] = [
    ("x86_64-unknown-none", ""),
    ("aarch64-unknown-none", ""),
    ("riscv64gc-unknown-none-elf", "--bin freestanding"),
];
/// The targets of docs.rs (`Cargo.toml`) besides a usual host's.
const DOCUMENTED: [&str; 4] = [
    "aarch64-unknown-linux-gnu",
    "riscv64gc-unknown-linux-gnu",
    "x86_64-pc-windows-msvc",
    "aarch64-apple-darwin",
];

pub(crate) fn fmt(host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = toolchain::component(host, "rustfmt", "rustfmt") {
        return report.skip("format", format!("{reason:#}"));
    }
    report.check(
        "format",
        "every Rust file in the tree is formatted, even outside of modules",
        || Cmd::new("rustfmt").words("--check --edition 2024").args(host.sources("*.rs")?).check(),
    )
}

pub(crate) fn clippy(host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = toolchain::component(host, "clippy", "cargo-clippy") {
        return report.skip("lints", format!("{reason:#}"));
    }
    report.check("workspace", "no target has a lint with every feature", || {
        Cmd::cargo("clippy --workspace --all-targets --all-features -- -D warnings").check()
    })?;
    report.check("no features", "the bare library has no lint", || {
        Cmd::cargo("clippy -p cachemaint --no-default-features -- -D warnings").check()
    })?;
    ALONE.into_iter().try_for_each(|feature| {
        report.check(feature, "the feature stands alone", || {
            let line = format!(
                "clippy -p cachemaint --no-default-features --features {feature} -- -D warnings"
            );
            Cmd::cargo(&line).check()
        })
    })?;
    FREESTANDING.into_iter().try_for_each(|(triple, images)| {
        match toolchain::in_use(host, triple) {
            Err(reason) => report.skip(triple, format!("{reason:#}")),
            Ok(_) => report.check(triple, "the images and their dependencies have no lint", || {
                let line = "clippy -p cachemaint-lab-freestanding --target";
                Cmd::cargo(line).arg(triple).words(images).words("-- -D warnings").check()
            }),
        }
    })
}

/// Lints the library with any two features: one may lack an item of the other, or define it twice.
pub(crate) fn pairs(host: &Host, report: &mut Report) -> Result<()> {
    if let Err(reason) = toolchain::component(host, "clippy", "cargo-clippy") {
        return report.skip("pairs of features", format!("{reason:#}"));
    }
    for (place, one) in ALONE.into_iter().enumerate() {
        for other in &ALONE[place + 1..] {
            report.check(
                &format!("{one}, {other}"),
                "the two features compile together",
                || {
                    Cmd::cargo("clippy -p cachemaint --no-default-features --features")
                        .arg(format!("{one},{other}"))
                        .words("-- -D warnings")
                        .check()
                },
            )?;
        }
    }
    Ok(())
}

pub(crate) fn doc(host: &Host, report: &mut Report) -> Result<()> {
    report.check(
        "rustdoc",
        "the documentation builds, and every item that it links to exists",
        || {
            Cmd::cargo("doc --workspace --no-deps --all-features")
                .env("RUSTDOCFLAGS", "-D warnings")
                .check()
        },
    )?;
    report.check(
        "links",
        "every link of a document leads to a file, a heading or an item",
        || {
            let faults = links::faults(host)?;
            ensure!(faults.is_empty(), "{} broken links:\n{}", faults.len(), faults.join("\n"));
            Ok(Finding::passed(Tests::default()))
        },
    )?;
    DOCUMENTED.into_iter().try_for_each(|triple| match toolchain::in_use(host, triple) {
        Err(reason) => report.skip(triple, format!("{reason:#}")),
        Ok(_) => report.check(triple, "the same for the library on this target", || {
            Cmd::cargo("doc -p cachemaint --no-deps --all-features --target")
                .arg(triple)
                .env("RUSTDOCFLAGS", "-D warnings")
                .check()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::ALONE;

    #[test]
    fn each_feature_stands_alone_but_the_default_ones() {
        let manifest = include_str!("../../Cargo.toml");
        let (_, features) = manifest.split_once("[features]\n").unwrap();
        let (features, _) = features.split_once("\n[").unwrap();
        let lines = features.lines().filter(|line| !line.starts_with('#'));
        let mut names: Vec<&str> =
            lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
        names.retain(|name| *name != "default");
        let mut alone = ALONE.to_vec();
        names.sort_unstable();
        alone.sort_unstable();
        assert_eq!(alone, names);
    }
}
