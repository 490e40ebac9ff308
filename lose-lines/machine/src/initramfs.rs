//! The file system that a machine's kernel starts with: an archive of directories and files, made without root.
//!
//! Archives can be concatenated (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`), so the part
//! common to all machines is made once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::elf;

/// The maximum size of an archive in bytes. QEMU 7.2 accepts slightly more, 536,707,071 (measured).
const LARGEST: usize = 500_000_000;

/// The directories of programs in packages. Since Debian 13 only those below `usr` are used.
const PROGRAMS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// Files by their path in the machine.
#[derive(Clone, Debug, Default)]
pub struct Initramfs {
    files: BTreeMap<PathBuf, Content>,
    /// Two files of the host that would have the same path.
    clash: Option<[PathBuf; 2]>,
}

#[derive(Clone, Debug)]
enum Content {
    /// A copy of this file.
    Of(PathBuf),
    Text(String),
}

impl Initramfs {
    /// Adds a copy of `from` as the absolute path `place`.
    pub fn file(&mut self, place: &str, from: impl Into<PathBuf>) -> &mut Self {
        let from = from.into();
        let before = self.files.insert(PathBuf::from(place), Content::Of(from.clone()));
        if let Some(Content::Of(before)) = before
            && fs::canonicalize(&before).ok() != fs::canonicalize(&from).ok()
        {
            self.clash = Some([before, from]);
        }
        self
    }

    pub fn text(&mut self, place: &str, text: impl Into<String>) -> &mut Self {
        self.files.insert(PathBuf::from(place), Content::Text(text.into()));
        self
    }

    /// Adds a program of the unpacked packages below `root` as `/bin/NAME`, with all libraries that it names.
    pub fn program(&mut self, root: &Path, name: &str) -> Result<()> {
        let from = PROGRAMS
            .into_iter()
            .map(|folder| root.join(folder).join(name))
            .find(|file| file.is_file())
            .with_context(|| format!("{} has no {name}", root.display()))?;
        self.linked(root, &format!("/bin/{name}"), from)
    }

    /// Adds the file `from` as the absolute path `place`, with all libraries that it names from the unpacked packages
    /// below `root`.
    pub fn linked(&mut self, root: &Path, place: &str, from: PathBuf) -> Result<()> {
        let mut wanted = vec![(PathBuf::from(place), from)];
        while let Some((place, from)) = wanted.pop() {
            if self.files.contains_key(&place) {
                continue;
            }
            wanted.extend(elf::needs(root, &from)?);
            self.files.insert(place, Content::Of(from));
        }
        Ok(())
    }

    /// Adds kernel modules and their dependencies, and a list of them in load order. Built-in parts of the kernel are
    /// not modules.
    pub fn modules(
        &mut self,
        list_at: &str,
        known: &elf::Modules<'_>,
        names: &[&str],
    ) -> Result<()> {
        let mut list = String::new();
        for file in known.in_order(names)? {
            let name = file.file_name().context("a module has no name")?.to_string_lossy();
            let place = format!("/lab/{name}");
            list.push_str(&place);
            list.push('\n');
            self.file(&place, file);
        }
        self.text(list_at, list);
        Ok(())
    }

    /// Returns the number of bytes of the files, as far as they can be read.
    pub fn size(&self) -> u64 {
        let size = |content: &Content| match content {
            Content::Of(from) => fs::metadata(from).map_or(0, |file| file.len()),
            Content::Text(text) => text.len() as u64,
        };
        self.files.values().map(size).sum()
    }

    /// Writes the archive.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some([one, other]) = &self.clash {
            let (one, other) = (one.display(), other.display());
            bail!("{one} and {other} would have the same path in the machine; rename one of them");
        }
        let cannot = || format!("cannot write {}", path.display());
        let mut archive = BufWriter::new(File::create(path).with_context(cannot)?);
        for folder in self.folders() {
            let entry = Builder::new(&name(&folder))
                .mode(0o755)
                .set_mode_file_type(ModeFileType::Directory);
            archive = entry.write(archive, 0).finish().with_context(cannot)?;
        }
        let mut total = 0;
        for (place, content) in &self.files {
            let bytes = match content {
                Content::Of(from) => {
                    fs::read(from).with_context(|| format!("cannot read {}", from.display()))?
                }
                Content::Text(text) => text.clone().into_bytes(),
            };
            total += bytes.len();
            ensure!(
                total <= LARGEST,
                "the files for the machine exceed {} MB at {}; bring fewer",
                LARGEST / 1_000_000,
                place.display()
            );
            let size = u32::try_from(bytes.len()).context("a file of 4 GiB")?;
            let entry =
                Builder::new(&name(place)).mode(0o755).set_mode_file_type(ModeFileType::Regular);
            let mut file = entry.write(archive, size);
            file.write_all(&bytes).with_context(cannot)?;
            archive = file.finish().with_context(cannot)?;
        }
        trailer(archive).with_context(cannot)?.flush().with_context(cannot)
    }

    /// Returns every directory that contains a file, outer ones first, and the directories that the kernel or the agent
    /// expects.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = ["/dev", "/proc", "/sys", "/tmp", "/mnt"]
            .into_iter()
            .map(PathBuf::from)
            .chain(self.files.keys().flat_map(|file| file.ancestors().skip(1)).map(PathBuf::from))
            .filter(|folder| folder != Path::new("/"))
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// Returns the name in the archive: relative to the root.
fn name(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

/// Concatenates archives.
pub fn join(archives: &[&Path], to: &Path) -> Result<()> {
    let mut joined = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    for archive in archives {
        let mut file =
            File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?;
        std::io::copy(&mut file, &mut joined)
            .with_context(|| format!("cannot copy {}", archive.display()))?;
    }
    Ok(())
}
