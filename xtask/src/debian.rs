//! Packages of Debian and Ubuntu: installed as root, or fetched and unpacked into the cache as any
//! user.
//!
//! Fetching keeps its own apt state in the cache, so that nothing under `/etc` or `/var` changes
//! and foreign architectures or a backports suite need no configuration. apt verifies every
//! download against the archive's signature, and every address comes from the system's own sources.

use core::fmt::Write as _;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{Cmd, find_program};
use crate::host::Host;

/// A mirror out of reach is given up soon.
const IMPATIENT: &str =
    "-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=1";
const UPDATE_LIMIT: u32 = 120;
const INSTALL_LIMIT: u32 = 300;

/// Installs packages, unless they all are. Needs root or a `sudo` that asks nothing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let installed = |package: &&str| {
        Cmd::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .read()
            .is_ok_and(|status| status == "installed")
    };
    if packages.iter().all(installed) {
        return Ok(());
    }
    find_program("apt-get").context("apt-get is not there")?;
    let as_root: &[&str] = match Cmd::new("id").arg("-u").read()?.trim() {
        "0" => &["env"],
        _ if Cmd::new("sudo").args(["-n", "true"]).read().is_ok() => &["sudo", "-n", "env"],
        _ => bail!("installing {} needs root", packages.join(", ")),
    };
    let apt = |line: &str, limit| {
        let (program, rest) = as_root.split_first().context("no program")?;
        Cmd::new(*program)
            .args(rest.iter().copied())
            .words("DEBIAN_FRONTEND=noninteractive apt-get --quiet -o DPkg::Lock::Timeout=120")
            .words(IMPATIENT)
            .words(line)
            .limit(limit)
            .read()
    };
    let line = format!("install --yes --no-install-recommends {}", packages.join(" "));
    if apt(&line, INSTALL_LIMIT).is_err() {
        // The lists may be missing or out of date, as on a fresh machine.
        apt("update", UPDATE_LIMIT)?;
        apt(&line, INSTALL_LIMIT)?;
    }
    Ok(())
}

/// Whether this system's own sources offer `package` in a version that begins with a number of at
/// least `major`.
pub(crate) fn offers(package: &str, major: u32) -> bool {
    let Ok(policy) = Cmd::new("apt-cache").args(["policy", package]).read() else {
        return false;
    };
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .and_then(|version| {
            version.rsplit(':').next()?.split(['.', '+', '-']).next()?.parse::<u32>().ok()
        })
        .is_some_and(|candidate| candidate >= major)
}

/// Where packages are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// In the system's own sources.
    System,
    /// In a sister suite of the system's release alone: `backports`.
    Sister(&'static str),
    /// In another release of Debian alone, on the system's own mirror.
    Release(&'static str),
}

impl Suite {
    const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Sister(name) | Self::Release(name) => name,
        }
    }

    /// The list of its sources; `None` if the system's own will do.
    fn list(self, state: &Path) -> Result<Option<PathBuf>> {
        let line = match self {
            Self::System => return Ok(None),
            Self::Sister(name) => {
                let release = release()?;
                release.line(&format!("{}-{name}", release.codename))
            }
            Self::Release(codename) => release()?.line(codename),
        };
        write_sources(state, &[line]).map(Some)
    }
}

/// Fetches `package` (apt's notation, `name:arch=version`) and unpacks it; the folder that then
/// holds its files.
pub(crate) fn fetch(host: &Host, package: &str, suite: Suite) -> Result<PathBuf> {
    let place = place(host, package, suite.name());
    if place.is_dir() {
        return Ok(place);
    }
    let state = State::new(host, suite.name())?;
    if place.is_dir() {
        return Ok(place);
    }
    let name = package.split('=').next().unwrap_or(package);
    let architecture = name.split_once(':').map(|(_, architecture)| architecture);
    let sources = suite.list(&state.folder)?;
    let apt = state.apt(architecture, sources.as_deref())?;
    apt.clone().arg("update").limit(UPDATE_LIMIT).read()?;
    let download = state.emptied("download")?;
    apt.args(["download", package]).folder(&download).limit(INSTALL_LIMIT).read()?;
    unpack(&download, &place)?;
    Ok(place)
}

/// Fetches packages with all that they depend on, and unpacks them into one folder, which is then
/// a root file system but for what maintainers' scripts would do. Nothing of this system is taken
/// into account but its sources, so that the folder depends on the release alone.
///
/// `backports` prefers that sister suite of the system's release, where it has one.
pub(crate) fn root(
    host: &Host,
    architecture: &str,
    packages: &[&str],
    backports: bool,
) -> Result<PathBuf> {
    let name = format!("{architecture}_{}", packages.join("_"));
    let place = place(host, &name, "root");
    if place.is_dir() {
        return Ok(place);
    }
    let state = State::new(host, &format!("root-{architecture}"))?;
    if place.is_dir() {
        return Ok(place);
    }
    let sources = backports.then(|| with_backports(&state.folder)).transpose()?;
    let apt = state.apt(Some(architecture), sources.as_ref().map(|(_, list)| list.as_path()))?;
    let empty = state.folder.join("status");
    fs::write(&empty, "").with_context(|| format!("cannot write {}", empty.display()))?;
    let apt = apt
        .args(["-o", &format!("Dir::State::status={}", empty.display())])
        .args(["-o", &format!("APT::Architecture={architecture}")]);
    apt.clone().arg("update").limit(UPDATE_LIMIT).read()?;
    let download = state.emptied("cache/archives")?;
    fs::create_dir(download.join("partial"))
        .with_context(|| format!("cannot make a folder in {}", download.display()))?;
    let release = sources.iter().flat_map(|(suite, _)| ["-t", suite.as_str()]);
    apt.words("install --yes --no-install-recommends --download-only")
        .args(release)
        .args(packages.iter().copied())
        .limit(INSTALL_LIMIT)
        .read()?;
    unpack(&download, &place)?;
    Ok(place)
}

/// The package `linux-image-VERSION:ARCHITECTURE` of a suite's current kernel, by the first known of some
/// packages that depend on whichever that is.
pub(crate) fn kernel(
    host: &Host,
    architecture: &str,
    suite: Suite,
    packages: &[&str],
) -> Result<String> {
    let state = State::new(host, &format!("kernel-{architecture}"))?;
    let sources = suite.list(&state.folder)?;
    let apt = state.apt(Some(architecture), sources.as_deref())?;
    let settings = state.settings().display().to_string();
    let kernel = |package: &&str| {
        let package = format!("{package}:{architecture}");
        let cache = Cmd::new("apt-cache").env("APT_CONFIG", &*settings);
        let listed = cache.words("depends --important").arg(package).read().ok()?;
        kernel_among(&listed).map(|name| format!("{name}:{architecture}"))
    };
    let known = || packages.iter().find_map(kernel);
    if let Some(name) = known() {
        return Ok(name);
    }
    apt.arg("update").limit(UPDATE_LIMIT).read()?;
    known().with_context(|| format!("{} has none of {}", suite.name(), packages.join(", ")))
}

/// The kernel's package among the dependencies that apt-cache lists.
fn kernel_among(listed: &str) -> Option<String> {
    let mut names = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let name = names.find(|name| name.starts_with("linux-image-"))?;
    let (name, _architecture) = name.split_once(':').unwrap_or((name, ""));
    Some(name.to_owned())
}

fn place(host: &Host, name: &str, kind: &str) -> PathBuf {
    let name = format!("{name}_{kind}").replace([':', '=', '/'], "_");
    host.cache().join("packages").join(name)
}

/// Unpacks every package file in `download` into the folder `place`, which appears when it is
/// complete, and removes them.
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

/// apt's state for one purpose, apart from the system's. One process has it at a time.
struct State {
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Waits for another process that has it. What is wanted may be there then.
    fn new(host: &Host, name: &str) -> Result<Self> {
        find_program("apt-get").context("apt-get is not there")?;
        let folder = host.cache().join("apt").join(name);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let lock = folder.join("lock");
        let lock = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("cannot lock {}", lock.display()))?;
        Ok(Self { folder, _lock: lock })
    }

    /// The folder `name` in it, with nothing left over from a run that was stopped.
    fn emptied(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    fn settings(&self) -> PathBuf {
        self.folder.join("apt.conf")
    }

    /// `apt-get` with this state, for packages of an architecture, from the sources of a list.
    fn apt(&self, architecture: Option<&str>, sources: Option<&Path>) -> Result<Cmd> {
        let mut text = format!(
            "Dir::State::Lists \"{0}/lists\";\nDir::Cache \"{0}/cache\";\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n",
            self.folder.display()
        );
        if let Some(architecture) = architecture {
            writeln!(text, "APT::Architectures {{ \"{architecture}\"; }};")?;
        }
        if let Some(list) = sources {
            writeln!(
                text,
                "Dir::Etc::SourceList \"{}\";\nDir::Etc::SourceParts \"/dev/null\";",
                list.display()
            )?;
        }
        let file = self.settings();
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Cmd::new("apt-get")
            .env("APT_CONFIG", file.display().to_string())
            .arg("--quiet")
            .words(IMPATIENT))
    }
}

/// The release of Debian that this system is of.
fn release() -> Result<Source> {
    let release = sources()?.into_iter().find(|source| source.is_release);
    release.context("this system's sources name no release of Debian")
}

/// Writes a source list of what this system has and its release's backports; with their name.
fn with_backports(state: &Path) -> Result<(String, PathBuf)> {
    let release = release()?;
    let backports = format!("{}-backports", release.codename);
    let mut lines: Vec<String> =
        sources()?.iter().map(|source| source.line(&source.codename)).collect();
    lines.push(release.line(&backports));
    Ok((backports, write_sources(state, &lines)?))
}

fn write_sources(state: &Path, lines: &[String]) -> Result<PathBuf> {
    let list = state.join("sources.list");
    fs::write(&list, lines.concat()).with_context(|| format!("cannot write {}", list.display()))?;
    Ok(list)
}

/// A suite of Debian that this system takes packages from.
struct Source {
    address: String,
    codename: String,
    signed_by: String,
    /// The release itself, not its updates.
    is_release: bool,
}

impl Source {
    /// The line in a source list for a suite at this address.
    fn line(&self, suite: &str) -> String {
        let Self { address, signed_by, .. } = self;
        format!("deb {signed_by}{address} {suite} main\n")
    }
}

/// The suites of Debian that this system takes packages from.
fn sources() -> Result<Vec<Source>> {
    let targets = Cmd::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)",
        ])
        .args(["Created-By: Packages", "Component: main"])
        .read()?;
    let source = |line: &str| match line.split('|').collect::<Vec<_>>()[..] {
        [label @ ("Debian" | "Debian-Security"), codename, "main", address, entry] => {
            let signed_by = keyring(entry).map(|path| format!("[signed-by={path}] "));
            Some(Source {
                address: address.to_owned(),
                codename: codename.to_owned(),
                signed_by: signed_by.unwrap_or_default(),
                is_release: label == "Debian" && !codename.contains('-'),
            })
        }
        _ => None,
    };
    Ok(targets.lines().filter_map(source).collect())
}

/// The keyring file that the sources entry `file:line` names; without one apt uses its default
/// keys.
fn keyring(entry: &str) -> Option<String> {
    let (file, _) = entry.rsplit_once(':')?;
    let text = fs::read_to_string(file).ok()?;
    let (_, rest) = text.split_once("Signed-By:").or_else(|| text.split_once("signed-by="))?;
    let path = rest.split([' ', '\n', ']']).find(|word| !word.is_empty())?;
    path.starts_with('/').then(|| path.to_owned())
}
