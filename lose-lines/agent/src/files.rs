//! The files below a directory, with their sizes and contents.

use super::protocol::{File, Reply};
use anyhow::{Context as _, Result};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The bytes of a file that are compared.
const COMPARED: u64 = 64 << 20;

/// Returns the files and directories below a directory.
pub(crate) fn walk(root: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let (mut found, mut directories) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory);
        for entry in entries.with_context(|| format!("cannot list {}", directory.display()))? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            directories.extend(metadata.is_dir().then(|| path.clone()));
            found.push((path, metadata));
        }
    }
    Ok(found)
}

/// Describes the files and directories below a directory.
pub(crate) fn below(root: &Path) -> Result<Reply> {
    let describe = |(path, metadata): (PathBuf, Metadata)| {
        let is_file = metadata.is_file();
        let hash = if is_file { hash(&path)? } else { 0 };
        let size = if is_file { metadata.len() } else { 0 };
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        Ok(File { path: name, inode: metadata.ino(), size, hash })
    };
    walk(root)?.into_iter().map(describe).collect::<Result<_>>().map(Reply::Files)
}

fn hash(path: &Path) -> Result<u64> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = fs::File::open(path).with_context(cannot)?.take(COMPARED);
    let (mut hasher, mut bytes) = (DefaultHasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut bytes).with_context(cannot)? {
            0 => return Ok(hasher.finish()),
            count => hasher.write(&bytes[..count]),
        }
    }
}
