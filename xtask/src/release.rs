//! `cargo xtask release`: makes a release ready, and prints the commands that publish it. It commits, tags and publishes
//! nothing. `git` refuses a tag that is there, and `cargo` a version that is published.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use regex::Regex;
use serde_json::Value;
use xtask::command::Cmd;
use xtask::host::Host;
use xtask::packages;
use xtask::toolchain;

/// The hosts for which crates.io turns a README's relative links into links to the repository. It drops them otherwise.
const HOSTS: [&str; 3] = ["https://github.com/", "https://gitlab.com/", "https://bitbucket.org/"];

/// Texts that a release must not have: unfinished work, stand-ins for a name, and that nothing is published.
const PLACEHOLDERS: &str = concat!(
    r"\b(TODO|FIXME)\b|@localhost\b|\bexample\.(com|net|org)\b|",
    "Unreleased|published yet|(?i:before the release)"
);
/// The texts that are searched: all but those that have such words for their own purpose.
const SEARCHED: [&str; 4] = [".", ":!xtask", ":!RELEASING.md", ":!**/tests/**"];

/// The settings of the root manifest that every package takes from there.
const CONTACTS: [&str; 3] = ["repository", "maintainer", "security-contact"];

/// Returns a version without a suffix.
fn version(text: &str) -> Result<String> {
    let form = Regex::new(r"^(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}$")?;
    ensure!(form.is_match(text), "a version is three numbers, as 0.2.0");
    Ok(text.to_owned())
}

/// The request of `cargo xtask release`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Request {
    /// The version of all crates but lose-lines.
    #[arg(value_parser = version)]
    version: String,
    /// The version of lose-lines, if it is released too.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    lose_lines: Option<String>,
    /// Work in a clone, target/rehearsal, with these values for what Cargo.toml leaves undecided.
    #[arg(long, num_args = 3, value_names = ["REPOSITORY", "MAINTAINER", "SECURITY_CONTACT"])]
    rehearse: Option<Vec<String>>,
}

/// The tree of the release: the workspace, or a clone of it.
#[derive(Debug)]
struct Tree {
    root: PathBuf,
    build: PathBuf,
}

/// Makes a release ready, or rehearses it.
pub(crate) fn run(host: &Host, request: &Request) -> Result<()> {
    let tree = Tree { root: host.root().to_path_buf(), build: host.target_dir("") };
    tree.must_be_clean()?;
    let tree = match &request.rehearse {
        Some(contacts) => tree.rehearsal(contacts)?,
        None => tree,
    };
    let [repository, security] = contacts(&tree.read("Cargo.toml")?)?;
    make_ready(&tree, request, &repository, &security)
        .context("the release is not ready. `git restore .` undoes what was changed in the tree")
}

fn make_ready(tree: &Tree, request: &Request, repository: &str, security: &str) -> Result<()> {
    let today = Cmd::new("date").words("--utc +%F").read()?;
    tree.set_texts(request, security, today.trim())?;
    let found = tree.placeholders()?;
    if request.rehearse.is_some() && !found.is_empty() {
        writeln!(io::stdout(), "A release would stop at these lines:\n{found}")?;
    } else {
        ensure!(found.is_empty(), "these lines must go:\n{found}");
    }
    tree.lock()?;
    tree.check_manifests(repository)?;
    let mut packages = tree.package_crates()?;
    packages.extend(tree.package_debian()?);
    packages.push(tree.package_tool()?);
    tree.check_packages(&packages)?;
    writeln!(io::stdout(), "These packages are ready:")?;
    for package in packages {
        writeln!(io::stdout(), "  {}", package.display())?;
    }
    let next = match request.rehearse {
        Some(_) => {
            "This was a rehearsal. After a release, `git diff` shows its changes, and these commands publish it:"
        }
        None => "Look at `git diff`. These commands publish the release:",
    };
    writeln!(io::stdout(), "{next}\n{}", publication(request))?;
    Ok(())
}

/// Returns the commands that publish the release.
fn publication(Request { version, lose_lines, .. }: &Request) -> String {
    let mut crates: Vec<&str> = packages::published().chain(["-p", "cachemaint-cli"]).collect();
    let mut tags = vec![format!("v{version}")];
    if let Some(version) = lose_lines {
        crates.extend(packages::lose_lines());
        tags.push(format!("lose-lines-v{version}"));
    }
    let mut lines = vec![format!("  git commit --all --message 'release: {version}'")];
    lines.extend(tags.iter().map(|tag| format!("  git tag --sign {tag} --message {tag}")));
    lines.push(format!("  cargo publish {}", crates.join(" ")));
    lines.push(format!("  git push origin main {}", tags.join(" ")));
    lines.join("\n")
}

/// Returns the value of a setting in a manifest.
fn setting(manifest: &str, name: &str) -> Result<String> {
    let pattern = Regex::new(&format!(r#"(?m)^{name} = "(.*)"$"#))?;
    let found = pattern.captures(manifest).with_context(|| format!("Cargo.toml has no {name}"))?;
    Ok(found[1].to_owned())
}

/// Returns the repository and the security contact of the root manifest. Fails if a contact is undecided.
fn contacts(manifest: &str) -> Result<[String; 2]> {
    let values = CONTACTS.map(|name| setting(manifest, name));
    let [repository, maintainer, security] = values;
    let values = [repository?, maintainer?, security?];
    let undecided = CONTACTS.iter().zip(&values).filter(|(_, value)| value.is_empty());
    let undecided: Vec<&str> = undecided.map(|(name, _)| *name).collect();
    ensure!(
        undecided.is_empty(),
        "undecided: {}. Set them in Cargo.toml, or try with --rehearse; nothing was changed",
        undecided.join(", ")
    );
    let [repository, maintainer, security] = values;
    ensure!(
        HOSTS.iter().any(|host| repository.starts_with(host)),
        "Cargo.toml: {repository} is on none of {}: crates.io drops the links of READMEs",
        HOSTS.join(", ")
    );
    ensure!(
        Regex::new(r"^[^<>]+ <[^<>@ ]+@[^<>@ ]+>$")?.is_match(&maintainer),
        "Cargo.toml: the maintainer {maintainer} is not `NAME <ADDRESS>`"
    );
    Ok([repository, security])
}

impl Tree {
    fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("cannot read {file}"))
    }

    /// Changes the lines of a file: each pattern must match.
    fn edit(&self, file: &str, changes: &[(&str, String)]) -> Result<()> {
        let mut text = self.read(file)?;
        for (pattern, new) in changes {
            let lines = Regex::new(&format!("(?m){pattern}"))?;
            ensure!(lines.is_match(&text), "{file} has no line like `{pattern}`");
            text = lines.replace_all(&text, new).into_owned();
        }
        fs::write(self.root.join(file), text).with_context(|| format!("cannot write {file}"))
    }

    /// Returns a program that runs in the tree and builds in its folder.
    fn run(&self, program: &str) -> Cmd {
        Cmd::new(program)
            .folder(&self.root)
            .env("CARGO_TARGET_DIR", self.build.display().to_string())
    }

    fn must_be_clean(&self) -> Result<()> {
        let changes = self.run("git").words("status --porcelain").read()?;
        ensure!(changes.is_empty(), "the tree has changes: commit or stash them\n{changes}");
        Ok(())
    }

    /// Clones the tree, with these contacts.
    fn rehearsal(&self, contacts: &[String]) -> Result<Self> {
        let root = self.build.join("rehearsal");
        remove(&root)?;
        self.run("git").words("clone --quiet .").arg(root.display().to_string()).read()?;
        // Builds outside the clone keep the dependencies for the next rehearsal.
        let clone = Self { build: self.build.join("rehearsed"), root };
        for (name, value) in CONTACTS.iter().zip(contacts) {
            let change = (format!("^{name} = .*$"), format!("{name} = {value:?}"));
            clone.edit("Cargo.toml", &[(&change.0, change.1)])?;
        }
        Ok(clone)
    }

    /// Sets versions, contact and date in all files that state them.
    fn set_texts(&self, request: &Request, security: &str, date: &str) -> Result<()> {
        let Request { version, lose_lines, .. } = request;
        let numbers: Vec<&str> = version.split('.').collect();
        let [major, minor, _] = numbers[..] else { bail!("{version} is not three numbers") };
        self.edit(
            "Cargo.toml",
            &[
                (r#"^version = ".*"$"#, format!("version = \"{version}\"")),
                (r#"^(cachemaint.* = \{ version = )"[^"]*""#, format!("$1\"={version}\"")),
            ],
        )?;
        if let Some(version) = lose_lines {
            for file in packages::manifests_of_lose_lines() {
                self.edit(&file, &[(r#"^version = ".*"$"#, format!("version = \"{version}\""))])?;
            }
            let pin = format!("$1\"={version}\"");
            self.edit("Cargo.toml", &[(r#"^(lose-lines.* = \{ version = )"[^"]*""#, pin)])?;
        }
        self.edit(
            "capi/include/cachemaint.h",
            &[
                (r"^(#define CACHEMAINT_VERSION_MAJOR) .*$", format!("$1 {major}")),
                (r"^(#define CACHEMAINT_VERSION_MINOR) .*$", format!("$1 {minor}")),
            ],
        )?;
        self.edit(
            "SECURITY.md",
            &[("^Contact: .*$", format!("Contact: {}", security.replace('$', "$$")))],
        )?;
        self.edit("CHANGELOG.md", &[("^## Unreleased$", format!("## {version} - {date}"))])
    }

    /// Brings each lock file up to date with the versions of the manifests.
    fn lock(&self) -> Result<()> {
        let files = self.run("git").words("ls-files").arg("*Cargo.lock").read()?;
        for file in files.lines() {
            let manifest = file.replace("Cargo.lock", "Cargo.toml");
            self.run("cargo").words("update --workspace --manifest-path").arg(manifest).read()?;
        }
        Ok(())
    }

    /// Checks that each published package names the repository and has what its page shows.
    fn check_manifests(&self, repository: &str) -> Result<()> {
        let metadata = self.run("cargo").words("metadata --no-deps --format-version 1").read()?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let packages = metadata["packages"].as_array().context("cargo lists no packages")?;
        for package in packages.iter().filter(|package| package["publish"].is_null()) {
            let name = &package["name"];
            ensure!(package["repository"] == repository, "{name} has another repository");
            for field in ["description", "readme", "license", "rust_version"] {
                ensure!(package[field].is_string(), "{name} has no {field}");
            }
            let manifest = package["manifest_path"].as_str().context("a package without a path")?;
            for text in ["LICENSE-MIT", "LICENSE-APACHE"] {
                ensure!(Path::new(manifest).with_file_name(text).is_file(), "{name} has no {text}");
            }
        }
        Ok(())
    }

    /// Returns the lines that a release must not have.
    fn placeholders(&self) -> Result<String> {
        let search = self.run("git").words("grep -nI --perl-regexp -e").arg(PLACEHOLDERS).arg("--");
        matches(&search.args(SEARCHED))
    }

    /// Builds each package as it will be downloaded, and returns the files.
    fn package_crates(&self) -> Result<Vec<PathBuf>> {
        let folder = self.build.join("package");
        remove(&folder)?;
        packages::forget(&self.run("cargo").words("clean"))?;
        let package = self.run("cargo").words(packages::PACKAGE).args(packages::every());
        package.show()?;
        files_with(&folder, "crate")
    }

    /// Builds the Debian packages, and returns the files.
    fn package_debian(&self) -> Result<Vec<PathBuf>> {
        let folder = self.build.join("debian");
        remove(&folder)?;
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let script = self.root.join("packaging/debian.sh").display().to_string();
        self.run(&script).path(&folder).show()?;
        files_with(&folder, "deb")
    }

    /// Packs lose-lines as one static program, for any Linux on x86-64, and returns the file.
    fn package_tool(&self) -> Result<PathBuf> {
        const TARGET: &str = "x86_64-unknown-linux-musl";
        toolchain::Compiler::new(TARGET)?;
        // Panic messages name source files, which would be paths of this machine.
        let remap = format!(
            "--remap-path-prefix={}=. --remap-path-prefix={}=/usr/src/crates",
            self.root.display(),
            packages::cargo_home()?.display()
        );
        let build = self.run("cargo").words("build --release --locked -p lose-lines --target");
        build.arg(TARGET).env("RUSTFLAGS", remap).show()?;
        let archive = self.build.join(format!("lose-lines-{TARGET}.tar.gz"));
        let program = self.build.join(TARGET).join("release");
        let pack = self.run("tar").words("-czf").path(&archive).words("-C").path(&program);
        let texts = self.root.join("lose-lines");
        let pack = pack.words("lose-lines -C").path(&texts);
        pack.words("README.md LICENSE-MIT LICENSE-APACHE").read()?;
        Ok(archive)
    }

    /// Unpacks the packages, and fails if a file of them names this machine.
    fn check_packages(&self, packages: &[PathBuf]) -> Result<()> {
        let unpacked = self.build.join("unpacked");
        remove(&unpacked)?;
        for package in packages {
            let folder = unpacked.join(package.file_name().context("a package has no name")?);
            fs::create_dir_all(&folder)?;
            let is_debian = package.extension().is_some_and(|extension| extension == "deb");
            let [into, package] = [&folder, package].map(|path| path.display().to_string());
            let unpack = if is_debian {
                self.run("dpkg-deb").args(["--raw-extract", &package, &into])
            } else {
                self.run("tar").args(["-xzf", &package, "-C", &into])
            };
            unpack.read()?;
        }
        let found = names_of_this_machine(&unpacked, &self.root)?;
        ensure!(found.is_empty(), "packages name this machine:\n{found}");
        Ok(())
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Returns a line for each place below a folder that names this machine: the tree, the crates or the host.
fn names_of_this_machine(folder: &Path, root: &Path) -> Result<String> {
    let host = format!("@{}", Cmd::new("uname").arg("-n").read()?.trim());
    let search = Cmd::new("grep").words("--recursive --only-matching --text --fixed-strings");
    let cargo = packages::cargo_home()?.display().to_string();
    let names = [root.display().to_string(), cargo, host];
    let names = names.into_iter().flat_map(|name| ["-e".to_owned(), name]);
    matches(&search.args(names).arg(".").folder(folder))
}

/// Returns what a search prints. It ends with 1 if there is nothing.
fn matches(search: &Cmd) -> Result<String> {
    let output = search.output()?;
    ensure!(matches!(output.status.code(), Some(0 | 1)), "`{search}` ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the files of a folder with this extension, in the order of their names.
fn files_with(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.with_context(|| format!("cannot read {}", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::{Request, Tree, contacts, names_of_this_machine, version};
    use std::fs;
    use std::path::Path;
    use xtask::packages;

    const FILES: [&str; 4] =
        ["Cargo.toml", "capi/include/cachemaint.h", "SECURITY.md", "CHANGELOG.md"];

    #[test]
    fn a_version_is_three_numbers() {
        version("0.12.3").unwrap();
        for text in ["1", "1.2", "1.2.3.4", "1.2.x", "1.2.3-dev", "01.2.3", "v1.2.3", ""] {
            version(text).unwrap_err();
        }
    }

    #[test]
    fn a_release_states_its_version_in_every_file_of_this_tree() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let copy = tempfile::tempdir().unwrap();
        let of_lose_lines: Vec<String> = packages::manifests_of_lose_lines().collect();
        for file in FILES.into_iter().chain(of_lose_lines.iter().map(String::as_str)) {
            let to = copy.path().join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(workspace.join(file), to).unwrap();
        }
        let tree = Tree { root: copy.path().to_path_buf(), build: copy.path().join("target") };
        let request = Request {
            version: "7.8.9".to_owned(),
            lose_lines: Some("4.5.6".to_owned()),
            rehearse: None,
        };
        tree.set_texts(&request, "security@cachemaint.test", "2027-01-31").unwrap();

        let read = |file: &str| fs::read_to_string(copy.path().join(file)).unwrap();
        let [manifest, header, security, changelog] = FILES.map(read);
        assert!(manifest.contains("\nversion = \"7.8.9\"\n"));
        let pins = |name: &str, version: &str| {
            let pins = manifest.lines().filter(|line| line.contains("version = \"="));
            let pins = pins.filter(|line| line.starts_with(name));
            let is_new = |pin: &&str| pin.contains(&format!("\"={version}\""));
            let (pinned, other): (Vec<_>, Vec<_>) = pins.partition(is_new);
            (pinned.len(), other)
        };
        assert_eq!(pins("cachemaint", "7.8.9"), (10, vec![]));
        // Nothing depends on the command.
        assert_eq!(pins("lose-lines", "4.5.6"), (packages::LOSE_LINES.len() - 1, vec![]));
        assert!(of_lose_lines.iter().all(|file| read(file).contains("\nversion = \"4.5.6\"\n")));
        assert!(header.contains("_VERSION_MAJOR 7\n") && header.contains("_VERSION_MINOR 8\n"));
        assert!(security.contains("\nContact: security@cachemaint.test\n"));
        assert!(
            changelog.contains("\n## 7.8.9 - 2027-01-31\n") && !changelog.contains("Unreleased")
        );
    }

    #[test]
    fn undecided_contacts_are_named_and_unusable_ones_refused() {
        let of = |repository, maintainer, contact| {
            contacts(&format!(
                "repository = \"{repository}\"\nmaintainer = \"{maintainer}\"\nsecurity-contact = \"{contact}\"\n"
            ))
        };
        let [github, elsewhere] = ["https://github.com/a/b", "https://git.test/a/b"];
        let undecided = of(github, "", "").unwrap_err().to_string();
        assert!(undecided.starts_with("undecided: maintainer, security-contact. "), "{undecided}");
        of(elsewhere, "A <a@b.test>", "a@b.test").unwrap_err();
        of(github, "a@b.test", "a@b.test").unwrap_err();
        let decided = of(github, "A B <a@b.test>", "c@d.test").unwrap();
        assert_eq!(decided, [github, "c@d.test"]);
    }

    #[test]
    fn a_package_that_names_the_tree_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 3] = [
            ("fine", b"/build/of this-tree"),
            ("binary", b"\xff\0 panicked at /build/of this+tree/src/lib.rs"),
            ("sub/text", b"# /build/of this+tree"),
        ];
        fs::create_dir(folder.path().join("sub")).unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let root = Path::new("/build/of this+tree");
        let found = names_of_this_machine(folder.path(), root).unwrap();
        let mut found: Vec<&str> = found.lines().collect();
        found.sort_unstable();
        assert_eq!(found, ["./binary:/build/of this+tree", "./sub/text:/build/of this+tree"]);
    }
}
