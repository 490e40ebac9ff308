//! The suites that packages come from, according to this system's sources.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::native;
use super::state::State;
use crate::cache::Cache;

/// The suite that packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// The system's own sources.
    System,
    /// Only a sister suite of the system's release: `backports`.
    Sister(&'static str),
    /// Only another Debian release, on the system's own mirror.
    Release(&'static str),
}

impl Suite {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Sister(name) | Self::Release(name) => name,
        }
    }

    /// Returns the lines of the suite's source list, which is empty if the system's own sources suffice.
    pub(super) fn lines(self, cache: &Cache) -> Result<Vec<String>> {
        match self {
            Self::System => Ok(Vec::new()),
            Self::Sister(name) => {
                let own = release(sources(cache)?)?;
                Ok(vec![own.line(&own.sister(name))])
            }
            Self::Release(codename) => {
                let own = release(sources(cache)?)?;
                let origin = own.archive.origin;
                ensure!(
                    origin == "Debian",
                    "{codename} is a Debian release, but this system is {origin}"
                );
                // Between two updates, a mirror's state may be older than it declares valid.
                Ok(vec![own.line_with(codename, Some("check-valid-until=no"))])
            }
        }
    }
}

/// Returns the release of this system.
fn release(sources: Vec<Source>) -> Result<Source> {
    let release = sources.into_iter().find(|source| source.is_release);
    release.context("this system's sources name no release of Debian or Ubuntu")
}

/// Returns the lines for this system's suites and a sister suite of its release, and the sister's name.
pub(super) fn with_sister(cache: &Cache, name: &str) -> Result<(Vec<String>, Option<String>)> {
    let sources = sources(cache)?;
    let mut lines: Vec<String> = sources.iter().map(|source| source.line(&source.suite)).collect();
    let own = release(sources)?;
    let sister = own.sister(name);
    lines.push(own.line(&sister));
    Ok((lines, Some(sister)))
}

/// A publisher of releases.
#[derive(Debug)]
struct Archive {
    /// The name of the archive in its suites.
    origin: &'static str,
    /// The components of a suite that packages come from.
    components: &'static str,
}

const ARCHIVES: [Archive; 2] = [
    Archive { origin: "Debian", components: "main" },
    Archive { origin: "Ubuntu", components: "main universe" },
];

/// A suite that this system takes packages from.
struct Source {
    archive: &'static Archive,
    address: String,
    /// The suite's name in the system's sources.
    suite: String,
    keyring: Option<String>,
    /// True for the release itself, false for its updates.
    is_release: bool,
}

impl Source {
    /// Parses apt's description of one of its lists. Returns nothing for other archives.
    fn of(target: &str) -> Option<Self> {
        let [origin, suite, address, entry] = target.split('|').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Self {
            archive: ARCHIVES.iter().find(|archive| archive.origin == origin)?,
            address: address.to_owned(),
            suite: suite.to_owned(),
            keyring: keyring(entry),
            is_release: !suite.contains('-'),
        })
    }

    /// Returns the line in a source list for a suite of this archive.
    fn line(&self, suite: &str) -> String {
        self.line_with(suite, None)
    }

    fn line_with(&self, suite: &str, option: Option<&str>) -> String {
        let Self { archive, address, keyring, .. } = self;
        let signed_by = keyring.as_ref().map(|path| format!("signed-by={path}"));
        let options: Vec<&str> = signed_by.as_deref().into_iter().chain(option).collect();
        let options =
            if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
        format!("deb {options}{address} {suite} {}\n", archive.components)
    }

    /// Returns the name of this suite's sister.
    fn sister(&self, name: &str) -> String {
        format!("{}-{name}", self.suite)
    }
}

/// Returns the suites of known archives that this system takes packages from. Fetches their lists first, to identify
/// them: this system may have none, as in a container.
fn sources(cache: &Cache) -> Result<Vec<Source>> {
    let architecture = native()?;
    let name = format!("{}-{architecture}", Suite::System.name());
    let state = State::with(cache, &name, &architecture, &[])?;
    let known = || {
        let targets = state
            .program("apt-get")
            .args(["indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(SOURCESENTRY)"])
            .args(["Created-By: Packages", "Component: main"])
            .read()
            .ok()?;
        let sources: Vec<Source> = targets.lines().filter_map(Source::of).collect();
        (!sources.is_empty()).then_some(sources)
    };
    Ok(state.known(known)?.unwrap_or_default())
}

/// Returns the keyring file that the sources entry `file:line` names. Without one, apt uses its default keys.
fn keyring(entry: &str) -> Option<String> {
    let (file, _) = entry.rsplit_once(':')?;
    let text = fs::read_to_string(file).ok()?;
    let (_, rest) = text.split_once("Signed-By:").or_else(|| text.split_once("signed-by="))?;
    let path = rest.split([' ', '\n', ']']).find(|word| !word.is_empty())?;
    path.starts_with('/').then(|| path.to_owned())
}
