//! Steps that check the text: format, spelling, lints, documentation.

use anyhow::{Context as _, Result, ensure};
use xtask::command::{Cmd, find_program};
use xtask::host::{Host, fetched};
use xtask::install::install;
use xtask::toolchain;

use crate::links;
use crate::run::Run;

pub(crate) fn fmt(host: &Host, run: &mut Run) -> Result<()> {
    format(run, host.sources("*.rs")?)
}

/// Checks the format of these files, if there are any, even outside of modules.
pub(crate) fn format(run: &mut Run, files: Vec<String>) -> Result<()> {
    let rustfmt = toolchain::component("rustfmt", "rustfmt");
    if files.is_empty() || run.needed("rustfmt", rustfmt)?.is_none() {
        return Ok(());
    }
    run.command(&Cmd::new("rustfmt").words("--check --edition 2024").args(files)).map(drop)
}

pub(crate) fn spelling(host: &Host, run: &mut Run) -> Result<()> {
    words(host, run, vec![String::from(".")])
}

/// Looks for misspelt words in these files.
pub(crate) fn words(host: &Host, run: &mut Run, files: Vec<String>) -> Result<()> {
    let Some(typos) = run.needed("typos", typos(host))? else { return Ok(()) };
    run.command(&typos.arg("--force-exclude").args(files)).map(drop)
}

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
        fetched(pip.arg(folder.display().to_string()).arg(TYPOS).read())?;
    }
    Ok(Cmd::new(program))
}

pub(crate) fn clippy(_host: &Host, run: &mut Run) -> Result<()> {
    lints(run, &["--workspace"])
}

/// Lints the packages that these words select.
pub(crate) fn lints(run: &mut Run, packages: &[&str]) -> Result<()> {
    if run.needed("clippy", toolchain::component("clippy", "cargo-clippy"))?.is_none() {
        return Ok(());
    }
    let clippy = Cmd::cargo("clippy --all-targets --all-features").args(packages.iter().copied());
    run.command(&clippy.words("-- -D warnings")).map(drop)
}

pub(crate) fn doc(host: &Host, run: &mut Run) -> Result<()> {
    rustdoc(run, &[])?;
    follow_links(host, run)
}

/// Builds the guide as a book. mdbook takes minutes to compile, and nothing else needs it.
pub(crate) fn book(host: &Host, run: &mut Run) -> Result<()> {
    let Some(program) = run.needed("mdbook", mdbook(host))? else { return Ok(()) };
    let said = Cmd::new("sh").arg("-c").arg(format!("'{program}' build docs 2>&1"));
    run.check("the guide builds as a book without a warning", || {
        let said = said.read()?;
        ensure!(!said.contains("WARN"), "{said}");
        Ok(())
    })
    .map(drop)
}

/// The version of mdbook that is installed where there is none.
const MDBOOK: &str = "mdbook@0.5.4";

/// Returns the path of mdbook, which cargo installs into the target directory if there is none.
fn mdbook(host: &Host) -> Result<String> {
    let folder = host.target_dir("mdbook").display().to_string();
    let installed = format!("{folder}/bin/mdbook");
    if find_program("mdbook").is_some() {
        return Ok(String::from("mdbook"));
    }
    if find_program(&installed).is_none() {
        fetched(Cmd::cargo("install --quiet --locked --root").arg(folder).arg(MDBOOK).read())?;
    }
    Ok(installed)
}

/// Builds the documentation of the packages that these words select, or of the library and the command.
pub(crate) fn rustdoc(run: &mut Run, packages: &[&str]) -> Result<()> {
    let doc = Cmd::cargo("doc --no-deps --all-features").args(packages.iter().copied());
    run.command(&doc.env("RUSTDOCFLAGS", "-D warnings")).map(drop)
}

/// Follows the links of documents.
pub(crate) fn follow_links(host: &Host, run: &mut Run) -> Result<()> {
    run.check("every link of a document leads to a file, a heading or an item", || {
        let faults = links::faults(host)?;
        ensure!(faults.is_empty(), "{} broken links:\n{}", faults.len(), faults.join("\n"));
        Ok(())
    })
    .map(drop)
}
