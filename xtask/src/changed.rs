//! The checks of the crates that a change touches: its own and their dependents, by cargo's metadata.

use alloc::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;
use xtask::command::Cmd;
use xtask::host::Host;

use crate::run::Run;
use crate::{suites, text};

#[derive(Args, Clone, Debug)]
pub(crate) struct Request {
    /// The commit or branch to compare with [default: `origin/main`, `main` or `HEAD`, the first that exists]. What has
    /// changed since the common ancestor is checked, committed or not. `fuzz` and `testing/engines` are workspaces of their own and
    /// are not compiled.
    base: Option<String>,
}

/// The commits to compare with by default.
const BASES: [&str; 3] = ["origin/main", "main", "HEAD"];

/// Files that change every package.
const ALL: [&str; 4] = ["Cargo.toml", "Cargo.lock", "clippy.toml", ".cargo/config.toml"];
/// The folders of the root package. Other files outside of packages are documents and descriptions.
const ROOT: [&str; 5] = ["src", "arch", "benches", "tests", "testing"];
/// Folders whose files no other package compiles, but by a `#[path]` that only CI follows.
const LEAVES: [&str; 4] = ["tests", "testing", "benches", "examples"];
/// The packages that run the code and the commands of documents, and compare generated files and patches.
const DOCUMENTS: [&str; 3] = ["cachemaint-examples", "cachemaint-cli", "xtask"];
/// The package whose tests need a library that only [`suites::libpmem`] links.
const LINKED: &str = "cachemaint-libpmem";
/// The package whose lanes take hours.
const LAB: &str = "cachemaint-lab-tests";

/// The parts of cargo's metadata that are used here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

/// Runs the checks.
pub(crate) fn run(host: &Host, run: &mut Run, request: &Request) -> Result<()> {
    let mut files = changed_files(request.base.as_deref())?;
    let metadata = Cmd::cargo("metadata --no-deps --format-version 1").read()?;
    let metadata: Metadata = serde_json::from_str(&metadata)?;
    let packages = metadata.touched(host.root(), &files);
    files.retain(|file| host.root().join(file).is_file());

    let is_rust = |file: &&String| Path::new(file).extension() == Some(OsStr::new("rs"));
    text::format(run, files.iter().filter(is_rust).cloned().collect())?;
    text::words(host, run, files)?;
    let select = |name| ["-p", name];
    let all: Vec<&str> = packages.iter().map(String::as_str).flat_map(select).collect();
    if !all.is_empty() {
        text::lints(run, &all)?;
        text::rustdoc(run, &all)?;
    }
    let apart = [LINKED, LAB];
    let tested = packages.iter().map(String::as_str).filter(|name| !apart.contains(name));
    let tested: Vec<&str> = tested.flat_map(select).collect();
    if !tested.is_empty() {
        run.tests(&Cmd::cargo("test").args(tested))?;
    }
    if packages.contains(LINKED) {
        suites::libpmem(host, run)?;
    }
    if packages.contains(LAB) {
        run.tests(&Cmd::cargo("test --lib").args(select(LAB)))?;
    }
    text::follow_links(host, run)
}

/// Returns the files that differ from the common ancestor with a commit, and those that git does not know yet.
fn changed_files(base: Option<&str>) -> Result<Vec<String>> {
    let git = || Cmd::new("git").words("-c safe.directory=*");
    let exists = |base: &&str| git().words("rev-parse --verify").arg(*base).read().is_ok();
    let base = base.or_else(|| BASES.into_iter().find(exists)).unwrap_or("HEAD");
    let differing = git().words("diff --name-only --no-renames --merge-base").arg(base).read();
    let differing = differing.with_context(|| format!("{base} is no commit to compare with"))?;
    let new = git().words("ls-files --others --exclude-standard").read()?;
    Ok(differing.lines().chain(new.lines()).map(str::to_owned).collect())
}

impl Metadata {
    /// Returns the packages of changed files, and those that depend on one that others can see.
    fn touched(&self, root: &Path, files: &[String]) -> BTreeSet<String> {
        if files.iter().any(|file| ALL.contains(&file.as_str())) {
            return self.packages.iter().map(|package| package.name.clone()).collect();
        }
        let mut touched = BTreeSet::new();
        let mut seen_by_others = Vec::new();
        for file in files {
            let kind = Path::new(file).extension().and_then(OsStr::to_str);
            if matches!(kind, Some("md" | "json" | "txt" | "patch" | "svg")) {
                touched.extend(DOCUMENTS.map(str::to_owned));
            }
            let Some((package, inside)) = self.owner(root, Path::new(file)) else {
                continue;
            };
            touched.insert(package.name.clone());
            if !LEAVES.iter().any(|folder| inside.starts_with(folder)) {
                seen_by_others.push(package);
            }
        }
        while let Some(package) = seen_by_others.pop() {
            let folder = package.manifest_path.parent();
            let depends = |other: &&Package| {
                other
                    .dependencies
                    .iter()
                    .any(|one| one.name == package.name && one.path.as_deref() == folder)
            };
            let new = |other: &&Package| touched.insert(other.name.clone());
            seen_by_others.extend(self.packages.iter().filter(depends).filter(new));
        }
        touched
    }

    /// Returns the package that a file belongs to, and its path there.
    fn owner<'f>(&self, root: &Path, file: &'f Path) -> Option<(&Package, &'f Path)> {
        let inside = |package: &Package| {
            let folder = package.manifest_path.parent()?.strip_prefix(root).ok()?;
            file.strip_prefix(folder).ok()
        };
        let owners = self.packages.iter().filter_map(|package| Some((package, inside(package)?)));
        let (package, inside) = owners.min_by_key(|(_, inside)| inside.components().count())?;
        let is_in_root = ROOT.iter().any(|folder| inside.starts_with(folder));
        (inside != file || is_in_root).then_some((package, inside))
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;
    use std::path::Path;

    #[test]
    fn a_change_touches_its_crate_and_the_dependents_that_can_see_it() {
        let metadata: Metadata = serde_json::from_str(
            r#"{"packages": [
                {"name": "root", "manifest_path": "/w/Cargo.toml", "dependencies": []},
                {"name": "log", "manifest_path": "/w/crates/log/Cargo.toml",
                    "dependencies": [{"name": "root", "path": "/w"}]},
                {"name": "tool", "manifest_path": "/w/tool/Cargo.toml",
                    "dependencies": [{"name": "log", "path": "/w/crates/log"}, {"name": "libc", "path": null}]}
            ]}"#,
        )
        .unwrap();
        let touched = |file: &str| {
            let touched = metadata.touched(Path::new("/w"), &[file.to_owned()]);
            touched.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(touched("src/lib.rs"), "log root tool");
        assert_eq!(touched("tests/dax.rs"), "root");
        assert_eq!(touched("testing/cpus/x86.rs"), "root");
        assert_eq!(touched("crates/log/src/lib.rs"), "log tool");
        assert_eq!(touched("crates/log/tests/log.rs"), "log");
        assert_eq!(touched("Cargo.lock"), "log root tool");
        assert_eq!(touched("docs/c.md"), "cachemaint-cli cachemaint-examples xtask");
        assert_eq!(touched(".ci/run"), "");
    }
}
