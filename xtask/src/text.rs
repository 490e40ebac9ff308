//! Checks of the text: format, spelling, lints, documentation.

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{Check as _, Cmd, find_program};
use crate::host::{Host, out_of_reach};
use crate::install::install;
use crate::report::{Finding, Report, Tests};
use crate::toolchain;

pub(crate) fn fmt(host: &Host, report: &mut Report) -> Result<()> {
    format(report, host.sources("*.rs")?)
}

/// Checks the format of these files, if there are any.
pub(crate) fn format(report: &mut Report, files: Vec<String>) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    if let Err(reason) = toolchain::component("rustfmt", "rustfmt") {
        return report.skip("format", format!("{reason:#}"));
    }
    report.check("format", "every Rust file is formatted, even outside of modules", || {
        Cmd::new("rustfmt").words("--check --edition 2024").args(files).check()
    })
}

pub(crate) fn spelling(host: &Host, report: &mut Report) -> Result<()> {
    words(host, report, vec![String::from(".")])
}

/// Looks for misspelt words in these files.
pub(crate) fn words(host: &Host, report: &mut Report, files: Vec<String>) -> Result<()> {
    let checked = |typos: Cmd| typos.arg("--force-exclude").args(files).check();
    match typos(host) {
        Ok(typos) => report.check("words", "no word is misspelt", || checked(typos)),
        Err(reason) => report.skip("words", format!("{reason:#}")),
    }
}

/// The server of pip's packages, unless its configuration names another one.
const PYPI: &str = "pypi.org";

/// The version of the spell checker that is installed where there is none.
const TYPOS: &str = "typos==1.52.0";

/// Returns the spell checker, which pip installs into the target directory if there is none.
fn typos(host: &Host) -> Result<Cmd> {
    if find_program("typos").is_some() {
        return Ok(Cmd::new("typos"));
    }
    let folder = host.target_dir("typos");
    let program = folder.join("bin/typos").display().to_string();
    if find_program(&program).is_none() {
        if Cmd::new("python3").words("-m pip --version").read().is_err() {
            install(&["python3-pip"]).context("typos needs pip")?;
        }
        let pip = Cmd::new("python3").words("-m pip install --quiet --retries 5 --target");
        let installed = pip.arg(folder.display().to_string()).arg(TYPOS).read();
        if let (Err(_), Some(why)) = (&installed, out_of_reach(PYPI)) {
            bail!("{why}: {PYPI}");
        }
        installed?;
    }
    Ok(Cmd::new(program))
}

pub(crate) fn clippy(_host: &Host, report: &mut Report) -> Result<()> {
    lints(report, &["--workspace"])
}

/// Lints the packages that these words select.
pub(crate) fn lints(report: &mut Report, packages: &[&str]) -> Result<()> {
    if let Err(reason) = toolchain::component("clippy", "cargo-clippy") {
        return report.skip("lints", format!("{reason:#}"));
    }
    report.check("lints", "no target has a lint with every feature", || {
        let clippy = Cmd::cargo("clippy --all-targets --all-features");
        clippy.args(packages.iter().copied()).words("-- -D warnings").check()
    })
}

pub(crate) fn doc(host: &Host, report: &mut Report) -> Result<()> {
    rustdoc(report, &[])?;
    links(host, report)?;
    book(host, report)
}

/// The server of cargo's packages.
const CRATES: &str = "index.crates.io";

/// The version of mdbook that is installed where there is none.
const MDBOOK: &str = "mdbook@0.5.4";

/// Builds the guide as a book, with the mdbook of the path or one that is installed into the target directory.
fn book(host: &Host, report: &mut Report) -> Result<()> {
    let folder = host.target_dir("mdbook").display().to_string();
    let own = format!("{folder}/bin/mdbook");
    let has = |program: &str| find_program(program).is_some();
    if !has("mdbook") && !has(&own) {
        if let Some(why) = out_of_reach(CRATES) {
            return report.skip("book", format!("{why}: {CRATES}"));
        }
        let install = Cmd::cargo("install --quiet --locked --root").arg(&folder).arg(MDBOOK);
        install.read().context("mdbook")?;
    }
    let program = if has("mdbook") { "mdbook" } else { &own };
    report.check("book", "the guide builds as a book without a warning", || {
        let said = Cmd::new("sh").arg("-c").arg(format!("'{program}' build docs 2>&1")).read()?;
        ensure!(!said.contains("WARN"), "{said}");
        Ok(Finding::passed(Tests::default()))
    })
}

/// Builds the documentation of the packages that these words select, or of the library and the command.
pub(crate) fn rustdoc(report: &mut Report, packages: &[&str]) -> Result<()> {
    report.check(
        "rustdoc",
        "the documentation builds, and every item that it links to exists",
        || {
            let doc = Cmd::cargo("doc --no-deps --all-features").args(packages.iter().copied());
            doc.env("RUSTDOCFLAGS", "-D warnings").check()
        },
    )
}

/// Follows the links of documents.
pub(crate) fn links(host: &Host, report: &mut Report) -> Result<()> {
    report.check("links", "every link of a document leads to a file, a heading or an item", || {
        let faults = crate::links::faults(host)?;
        ensure!(faults.is_empty(), "{} broken links:\n{}", faults.len(), faults.join("\n"));
        Ok(Finding::passed(Tests::default()))
    })
}
