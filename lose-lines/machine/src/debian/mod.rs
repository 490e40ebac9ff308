//! Packages of Debian and Ubuntu, downloaded and unpacked into the cache as any user.
//!
//! apt's state is kept in the cache, so that nothing under `/etc` or `/var` changes, and foreign architectures or a
//! backports suite need no configuration. apt verifies every download against the archive's signature, and every
//! address comes from the system's own sources.

mod progress;
mod state;
mod suite;

pub use suite::Suite;

use core::hash::{Hash as _, Hasher as _};
use core::iter;
use std::ffi::OsStr;
use std::fs;
use std::hash::DefaultHasher;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::cache::Cache;
use crate::command::Cmd;
use state::State;
use suite::with_sister;

/// Options that end a download which makes no progress for 20 seconds, and retry it. A run of apt has no time limit: on a
/// busy machine it takes minutes.
pub const PATIENCE: &str =
    "-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=3";

/// Returns the suite with a version of `package` that begins with at least `major`: the system's own sources, or
/// otherwise the backports, which may lack it too.
pub fn offering(cache: &Cache, package: &str, major: u32) -> Suite {
    let newest = || {
        let state = State::open(cache, Suite::System, &native()?)?;
        state.known(|| candidate(&state.ask(&format!("policy {package}")).ok()?))
    };
    // Without apt or its servers, fetching the package reports the reason.
    let is_new = matches!(newest(), Ok(Some(newest)) if newest >= major);
    if is_new { Suite::System } else { Suite::Sister("backports") }
}

/// Returns 10 for `Candidate: 1:10.0.2+ds-2`.
fn candidate(policy: &str) -> Option<u32> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    version.rsplit(':').next()?.split(['.', '+', '-']).next()?.parse().ok()
}

/// Fetches `packages` (apt's notation, `name:arch=version`; all of one architecture) and unpacks them. Returns the
/// directory with their files.
pub fn fetch(cache: &Cache, packages: &[impl AsRef<str>], suite: Suite) -> Result<PathBuf> {
    let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    let place = place_of(cache, &packages, suite)?;
    if place.is_dir() {
        return Ok(place);
    }
    let first = packages[0];
    let name = first.split('=').next().unwrap_or(first);
    let architecture = match name.split_once(':') {
        Some((_, architecture)) => architecture.to_owned(),
        None => native()?,
    };
    let state = State::open(cache, suite, &architecture)?;
    if place.is_dir() {
        return Ok(place);
    }
    let updated = state.update();
    let download = state.emptied("download")?;
    let apt = state.apt().arg("download").args(packages).folder(&download);
    let fetched = progress::shown(&apt, name, &download);
    in_spite_of(updated, fetched)?;
    unpack(&download, &place)?;
    Ok(place)
}

/// Fetches packages with all their dependencies and unpacks them into one directory: a root file system in which no
/// maintainer script has run. Only this system's sources are used, so the content depends only on the release.
///
/// A sister suite is preferred if the system's release has one, but other suites are used too.
pub fn root(cache: &Cache, architecture: &str, packages: &[&str], suite: Suite) -> Result<PathBuf> {
    let name = format!("{architecture}_{}", packages.join("_"));
    let place = place(cache, &name, "root");
    if place.is_dir() {
        return Ok(place);
    }
    let (lines, preferred) = match suite {
        Suite::Sister(name) => with_sister(cache, name)?,
        Suite::System | Suite::Release(_) => (suite.lines(cache)?, None),
    };
    let state = State::with(cache, &format!("root-{architecture}"), architecture, &lines)?;
    if place.is_dir() {
        return Ok(place);
    }
    let empty = state.folder.join("status");
    fs::write(&empty, "").with_context(|| format!("cannot write {}", empty.display()))?;
    let updated = state.update();
    let download = state.emptied("cache/archives")?;
    fs::create_dir(download.join("partial"))
        .with_context(|| format!("cannot make a folder in {}", download.display()))?;
    let apt = state
        .apt()
        .args(["-o", &format!("Dir::State::status={}", empty.display())])
        .args(["-o", &format!("APT::Architecture={architecture}")])
        .words("install --yes --no-install-recommends --download-only")
        .args(preferred.iter().flat_map(|suite| ["-t", suite.as_str()]))
        .args(packages.iter().copied());
    let first = packages.first().context("no package")?;
    let fetched = progress::shown(&apt, first, &download);
    in_spite_of(updated, fetched)?;
    unpack(&download, &place)?;
    Ok(place)
}

/// Returns the packages of a suite's current kernel. The first known one of the given packages depends on that kernel.
/// The result is `linux-image-VERSION`, and the packages of this version that it or the given one depends on: the
/// kernel itself and its modules may be separate packages.
pub fn kernel(
    cache: &Cache,
    architecture: &str,
    suite: Suite,
    asked: &[&str],
) -> Result<Vec<String>> {
    let state = State::open(cache, suite, architecture)?;
    let depends = |package: &str| {
        let listed = state.ask(&format!("depends --important {package}:{architecture}")).ok()?;
        Some(dependencies(&listed))
    };
    let kernel = |package: &&str| {
        let mut names = depends(package)?;
        let image = names.iter().find(|name| name.starts_with("linux-image-"))?.clone();
        names.extend(depends(&image)?);
        Some(of_one_version(image, &names))
    };
    let none = || {
        format!("the sources `{}` have no {} for {architecture}", suite.name(), asked.join(" or "))
    };
    let known = state.known(|| asked.iter().find_map(kernel));
    let names = known.with_context(none)?.with_context(none)?;
    Ok(names.iter().map(|name| format!("{name}:{architecture}")).collect())
}

/// Returns the names of the dependencies that apt-cache lists.
fn dependencies(listed: &str) -> Vec<String> {
    let names = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(|name| name.split_once(':').map_or(name, |(name, _)| name).to_owned()).collect()
}

/// Returns `linux-image-VERSION` and the names that end with the same version.
fn of_one_version(image: String, names: &[String]) -> Vec<String> {
    let version = image.strip_prefix("linux-image").unwrap_or(&image);
    let others = names.iter().filter(|name| name.ends_with(version) && **name != image).cloned();
    let others: Vec<String> = others.collect();
    iter::once(image).chain(others).collect()
}

/// A package of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// Its checksum in the archive's lists, by which apt verifies the file.
    pub sha256: &'static str,
}

/// Returns apt's notation for packages of one version.
pub(crate) fn of_version(packages: &[Package], architecture: &str) -> Vec<String> {
    let notation =
        |Package { name, version, .. }: &Package| format!("{name}:{architecture}={version}");
    packages.iter().map(notation).collect()
}

/// Returns the first of these packages that the archive no longer has, if they were not fetched before.
///
/// # Errors
/// If a package is another one than before, or the archive does not answer.
pub fn missing(
    cache: &Cache,
    packages: &'static [Package],
    architecture: &str,
    suite: Suite,
) -> Result<Option<&'static str>> {
    let names = of_version(packages, architecture);
    if place_of(cache, &names, suite)?.is_dir() {
        return Ok(None);
    }
    let state = State::open(cache, suite, architecture)?;
    state.update()?;
    for (Package { name, sha256, .. }, asked) in packages.iter().zip(&names) {
        // It fails for an unknown name, and prints nothing for an unknown version.
        let listed = state.ask(&format!("show {asked}")).unwrap_or_default();
        let found = listed.lines().find_map(|line| line.strip_prefix("SHA256: "));
        let Some(found) = found else { return Ok(Some(name)) };
        ensure!(found == *sha256, "{asked}: the archive has the checksum {found}");
    }
    Ok(None)
}

/// Returns this system's own architecture.
fn native() -> Result<String> {
    Ok(Cmd::new("dpkg").arg("--print-architecture").read()?.trim().to_owned())
}

/// Ignores a failed update of the lists, for example during a mirror's own update, if the packages were fetched anyway.
/// Otherwise the error of the update is the reason.
fn in_spite_of(updated: Result<()>, fetched: Result<String>) -> Result<()> {
    match (updated, fetched) {
        (_, Ok(_)) => Ok(()),
        (Ok(()), Err(why)) => Err(why),
        (Err(stale), Err(why)) => Err(why.context(format!("{stale:#}"))),
    }
}

/// Returns the directory for packages without their dependencies.
fn place_of(cache: &Cache, packages: &[impl AsRef<str>], suite: Suite) -> Result<PathBuf> {
    let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    let first = packages.first().context("no package")?;
    // Other packages give other files. A name made of all of them would be too long for a file system.
    let mut names = DefaultHasher::new();
    packages.hash(&mut names);
    let more = match packages.len() {
        1 => String::new(),
        count => format!("_and_{}_{:016x}", count - 1, names.finish()),
    };
    Ok(place(cache, &format!("{first}{more}"), suite.name()))
}

/// Returns the directory for packages of this system's release.
fn place(cache: &Cache, name: &str, kind: &str) -> PathBuf {
    let name = format!("{name}_{kind}").replace([':', '=', '/'], "_");
    cache.folder().join("packages").join(codename()).join(name)
}

/// Returns the name of this system's release (os-release(5)); a rolling one has none.
fn codename() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    named.unwrap_or("rolling").trim_matches('"').to_owned()
}

/// Unpacks every package file in `download` into the directory `place`, which appears once it is complete, and removes
/// the package files.
fn unpack(download: &Path, place: &Path) -> Result<()> {
    let unpacked = download.join("unpacked");
    let is_package = |path: &PathBuf| path.extension() == Some(OsStr::new("deb"));
    let archives: Vec<PathBuf> = fs::read_dir(download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_package)
        .collect();
    ensure!(!archives.is_empty(), "apt-get downloaded no file for {}", place.display());
    for archive in &archives {
        Cmd::new("dpkg")
            .arg("-x")
            .arg(archive.display().to_string())
            .arg(unpacked.display().to_string())
            .read()?;
    }
    let parent = place.parent().context("the cache has no parent folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::rename(&unpacked, place)
        .with_context(|| format!("cannot move the unpacked files to {}", place.display()))?;
    fs::remove_dir_all(download).with_context(|| format!("cannot remove {}", download.display()))
}

#[cfg(test)]
mod tests {
    use super::{candidate, dependencies, of_one_version};

    #[test]
    fn a_version_begins_with_its_major_number() {
        let policy = |version| format!("qemu-user:\n  Installed: (none)\n  Candidate: {version}\n");
        assert_eq!(candidate(&policy("1:8.2.2+ds-0ubuntu1.18")), Some(8));
        assert_eq!(candidate(&policy("1:10.0.2+ds-2~bpo12+1")), Some(10));
        assert_eq!(candidate(&policy("(none)")), None);
        assert_eq!(candidate(""), None);
    }

    #[test]
    fn a_kernel_is_all_packages_of_its_version() {
        let listed = "linux-image-generic\n  Depends: linux-image-6.8.0-149-generic\n \
            |Depends: linux-firmware\n  Depends: linux-modules-6.8.0-149-generic:arm64\n";
        let names = dependencies(listed);
        assert_eq!(
            of_one_version(String::from("linux-image-6.8.0-149-generic"), &names),
            ["linux-image-6.8.0-149-generic", "linux-modules-6.8.0-149-generic"]
        );
    }
}
