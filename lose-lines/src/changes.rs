//! The difference between two states of a file system, in words: what was not there yet at a cut.

use core::fmt;
use std::path::Path;

use serde::Serialize;

use lose_lines_agent::File;

/// The changes that are named.
const NAMED: usize = 4;

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A file has another name.
    Renamed { from: String, to: String },
    /// A file or a directory has a name.
    Created { path: String },
    /// A name is gone.
    Removed { path: String },
    /// A file has other bytes, or another size.
    Written { path: String, before: u64, after: u64 },
}

/// Returns the changes from one state to a later one.
pub fn changes(before: &[File], after: &[File]) -> Vec<Change> {
    let named = |files: &[File], path: &str| files.iter().find(|file| file.path == path).cloned();
    let numbered =
        |files: &[File], inode| files.iter().find(|file: &&File| file.inode == inode).cloned();
    // A number is given to another file when its file is gone, but not with the same bytes.
    let renamed = |file: &File| {
        let old = numbered(before, file.inode)?;
        let is_it = old.path != file.path && (old.size, old.hash) == (file.size, file.hash);
        is_it.then_some(old.path)
    };
    let sources: Vec<String> = after.iter().filter_map(renamed).collect();
    let mut changes = Vec::new();
    for file in after.iter().filter(|file| !sources.contains(&file.path)) {
        let path = file.path.clone();
        if let Some(from) = renamed(file) {
            changes.push(Change::Renamed { from, to: path });
        } else if let Some(old) = named(before, &path) {
            if (old.size, old.hash) != (file.size, file.hash) {
                changes.push(Change::Written { path, before: old.size, after: file.size });
            }
        } else {
            changes.push(Change::Created { path });
        }
    }
    let is_gone =
        |file: &&File| named(after, &file.path).is_none() && !sources.contains(&file.path);
    changes.extend(
        before.iter().filter(is_gone).map(|file| Change::Removed { path: file.path.clone() }),
    );
    changes
}

impl Change {
    /// Returns the path of the file after the change.
    pub fn path(&self) -> &str {
        match self {
            Self::Renamed { to: path, .. }
            | Self::Created { path }
            | Self::Removed { path }
            | Self::Written { path, .. } => path,
        }
    }

    /// Returns the missing step, for a change that was acknowledged and was not on the drive.
    pub fn unsynced(&self) -> String {
        match self {
            Self::Written { path, .. } => {
                format!(
                    "{self} was not on the drive: no fsync of {path} came before the acknowledgement"
                )
            }
            Self::Renamed { to: path, .. } | Self::Created { path } | Self::Removed { path } => {
                let parent = Path::new(path).parent().map(|parent| parent.display().to_string());
                let directory = match parent.filter(|parent| !parent.is_empty()) {
                    Some(parent) => format!("the directory {parent}"),
                    None => String::from("the directory"),
                };
                format!(
                    "{self} was not on the drive: no fsync of {directory} came before the acknowledgement"
                )
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed { from, to } => write!(f, "the rename of {from} to {to}"),
            Self::Created { path } => write!(f, "the name {path}"),
            Self::Removed { path } => write!(f, "the removal of {path}"),
            Self::Written { path, before, after } if before == after => {
                write!(f, "what was written to {path}")
            }
            Self::Written { path, before, after } => {
                write!(f, "what was written to {path} ({before} bytes, {after} later)")
            }
        }
    }
}

/// Returns a list of changes in words.
pub fn named(changes: &[Change]) -> String {
    let mut named: Vec<String> = changes.iter().take(NAMED).map(ToString::to_string).collect();
    if changes.len() > NAMED {
        named.push(format!("{} more changes", changes.len() - NAMED));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Change, File, changes};

    fn file(path: &str, inode: u64, size: u64, hash: u64) -> File {
        File { path: path.to_owned(), inode, size, hash }
    }

    #[test]
    fn each_kind_of_change_is_told() {
        let before = [
            file("n.tmp", 12, 8, 1),
            file("n", 11, 8, 2),
            file("log", 13, 0, 3),
            file("old", 14, 1, 4),
        ];
        let after = [file("n", 12, 8, 1), file("log", 13, 4096, 5), file("a/new", 15, 1, 6)];
        let found = changes(&before, &after);
        let text = |path: &str| path.to_owned();
        assert_eq!(
            found,
            [
                Change::Renamed { from: text("n.tmp"), to: text("n") },
                Change::Written { path: text("log"), before: 0, after: 4096 },
                Change::Created { path: text("a/new") },
                Change::Removed { path: text("old") },
            ]
        );
        assert!(found[0].unsynced().starts_with(
            "the rename of n.tmp to n was not on the drive: no fsync of the directory came"
        ));
        assert!(found[1].unsynced().contains("no fsync of log came"));
        assert!(found[2].unsynced().contains("no fsync of the directory a came"));
    }

    #[test]
    fn equal_states_have_no_changes() {
        let files = [file("a", 1, 8, 1), file("b", 2, 8, 2)];
        assert!(changes(&files, &files).is_empty());
        // The name of the temporary file and the number of the old one are used again at once.
        let again = [file("state", 2, 8, 5), file("new", 1, 8, 6)];
        let found = changes(&[file("state", 1, 8, 4), file("new", 2, 8, 5)], &again);
        assert_eq!(found, [Change::Renamed { from: "new".into(), to: "state".into() }]);
        // A file that replaces another one with the same bytes.
        assert!(changes(&files, &[file("a", 3, 8, 1), files[1].clone()]).is_empty());
    }
}
