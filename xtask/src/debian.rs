//! Packages of Debian and Ubuntu: installed as root, or fetched and unpacked into the cache as any
//! user.
//!
//! Fetching keeps its own apt state in the cache, so that nothing under `/etc` or `/var` changes
//! and foreign architectures or a backports suite need no configuration. apt verifies every
//! download against the archive's signature, and every address comes from the system's own sources.

use core::fmt::Write as _;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

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

/// Fetches `package` (apt's notation, `name:arch=version`) and unpacks it; the folder that then
/// holds its files.
///
/// With `suite` (`backports`) only that sister suite of the system's release is consulted.
pub(crate) fn fetch(host: &Host, package: &str, suite: Option<&str>) -> Result<PathBuf> {
    let place = host
        .cache()
        .join("packages")
        .join(format!("{package}_{}", suite.unwrap_or("system")).replace([':', '=', '/'], "_"));
    if place.is_dir() {
        return Ok(place);
    }
    find_program("apt-get").context("apt-get is not there")?;
    let state = host.cache().join("apt").join(suite.unwrap_or("system"));
    let download = state.join("download");
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(state.join(folder))
            .with_context(|| format!("cannot make {}", state.display()))?;
    }
    // Left over from a run that was stopped.
    if download.exists() {
        fs::remove_dir_all(&download)
            .with_context(|| format!("cannot remove {}", download.display()))?;
    }
    fs::create_dir(&download).with_context(|| format!("cannot make {}", download.display()))?;
    let settings = settings(&state, package, suite)?.display().to_string();
    let apt = Cmd::new("apt-get").env("APT_CONFIG", settings).arg("--quiet").words(IMPATIENT);
    apt.clone().arg("update").limit(UPDATE_LIMIT).read()?;
    apt.args(["download", package]).folder(&download).limit(INSTALL_LIMIT).read()?;
    let archive = fs::read_dir(&download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension() == Some(OsStr::new("deb")))
        .with_context(|| format!("apt-get downloaded no file for {package}"))?;
    let unpacked = download.join("unpacked");
    Cmd::new("dpkg")
        .arg("-x")
        .arg(archive.display().to_string())
        .arg(unpacked.display().to_string())
        .read()?;
    let parent = place.parent().context("the cache has no parent folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::rename(&unpacked, &place)
        .with_context(|| format!("cannot move the unpacked files to {}", place.display()))?;
    fs::remove_dir_all(&download)
        .with_context(|| format!("cannot remove {}", download.display()))?;
    Ok(place)
}

/// Writes the settings that keep apt's state for `package` in the folder `state`.
fn settings(state: &Path, package: &str, suite: Option<&str>) -> Result<PathBuf> {
    let mut text = format!(
        "Dir::State::Lists \"{0}/lists\";\nDir::Cache \"{0}/cache\";\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n",
        state.display()
    );
    let name = package.split('=').next().unwrap_or(package);
    if let Some((_, architecture)) = name.split_once(':') {
        writeln!(text, "APT::Architectures {{ \"{architecture}\"; }};")?;
    }
    if let Some(suite) = suite {
        let list = sister_suite(state, suite)?;
        writeln!(
            text,
            "Dir::Etc::SourceList \"{}\";\nDir::Etc::SourceParts \"/dev/null\";",
            list.display()
        )?;
    }
    let file = state.join("apt.conf");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Writes a source list for the `suite` that belongs to this system's release, on the system's own
/// mirror.
fn sister_suite(state: &Path, suite: &str) -> Result<PathBuf> {
    let targets = Cmd::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)",
        ])
        .args(["Created-By: Packages", "Label: Debian", "Component: main"])
        .read()?;
    let release =
        targets.lines().map(|line| line.split('|').collect::<Vec<_>>()).find_map(|fields| {
            match fields[..] {
                ["Debian", codename, "main", address, entry] if !codename.contains('-') => {
                    Some((codename, address, entry))
                }
                _ => None,
            }
        });
    let Some((codename, address, entry)) = release else {
        bail!("no {suite} suite is known for this system");
    };
    let signed_by = keyring(entry).map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
    let list = state.join("sources.list");
    fs::write(&list, format!("deb {signed_by}{address} {codename}-{suite} main\n"))
        .with_context(|| format!("cannot write {}", list.display()))?;
    Ok(list)
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
