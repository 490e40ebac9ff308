//! A directory in one line: all that a check can see of it.

use alloc::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Returns the names in their order with kinds and contents. Another name of a file says which name it had before.
pub(super) fn tree(root: &Path) -> io::Result<String> {
    let (mut left, mut all) = (vec![PathBuf::new()], BTreeMap::new());
    while let Some(below) = left.pop() {
        for entry in fs::read_dir(root.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                left.push(path.clone());
                all.insert(path, (0, String::from("/")));
            } else {
                all.insert(path, (metadata.ino(), content(&fs::read(entry.path())?)));
            }
        }
    }
    let mut first: BTreeMap<u64, &Path> = BTreeMap::new();
    let mut words = Vec::new();
    for (path, (inode, content)) in &all {
        let name = path.display();
        let known = first.get(inode).filter(|_| *inode != 0);
        words.push(match known {
            Some(known) => format!("{name}={}", known.display()),
            None if *inode == 0 => format!("{name}/"),
            None => format!("{name}:{content}"),
        });
        first.entry(*inode).or_insert(path);
    }
    Ok(words.join(" "))
}

/// Returns bytes with runs of one byte shortened: `A*4096 0*3`.
fn content(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|one, other| one == other);
    let short = |run: &[u8]| {
        let byte = run.first().copied().unwrap_or(0);
        let byte = if byte == 0 { '0' } else { char::from(byte) };
        format!("{byte}{}", run.len())
    };
    runs.map(short).collect::<Vec<_>>().join("+")
}
