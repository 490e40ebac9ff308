//! Comparing a directory with the states of a model.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::graph::{Effect, Graph, Number};
use crate::image::Content;
use crate::model::Model;
use crate::operation::{Entry, Kind, Log, Object, Operation};

/// Directories that file systems make.
const OF_FILE_SYSTEMS: [&str; 1] = ["lost+found"];

/// A state is not one of the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMember {
    /// The cut whose states are nearest.
    pub cut: usize,
    /// The differences from the nearest state.
    pub differences: Vec<String>,
}

/// A real directory, read once.
struct Directory {
    files: HashMap<PathBuf, Found>,
}

enum Found {
    Directory,
    File(Vec<u8>),
    Link(Vec<u8>),
}

impl Directory {
    fn read(root: &Path) -> io::Result<Self> {
        let (mut files, mut left) = (HashMap::new(), vec![PathBuf::new()]);
        while let Some(below) = left.pop() {
            for entry in fs::read_dir(root.join(&below))? {
                let entry = entry?;
                let (path, kind) = (below.join(entry.file_name()), entry.file_type()?);
                if OF_FILE_SYSTEMS.iter().any(|name| path == Path::new(name)) {
                    continue;
                }
                let found = if kind.is_dir() {
                    left.push(path.clone());
                    Found::Directory
                } else if kind.is_symlink() {
                    Found::Link(fs::read_link(entry.path())?.as_os_str().as_bytes().to_vec())
                } else if kind.is_file() {
                    Found::File(fs::read(entry.path())?)
                } else {
                    // A socket or a FIFO has no content that a cut could lose.
                    continue;
                };
                files.insert(path, found);
            }
        }
        Ok(Self { files })
    }

    /// Returns the differences from the state with these effects.
    fn differences(&self, graph: &Graph<'_>, kept: &[Number]) -> Vec<String> {
        let (mut found, mut names) = (Vec::new(), HashSet::new());
        let compare = |path: &Path, _: Object, kind: &Kind, _: u32, content: &Content| {
            names.insert(path.to_path_buf());
            let name = path.display();
            match (kind, self.files.get(path)) {
                (_, None) => found.push(format!("{name} is not there")),
                (Kind::Directory, Some(Found::Directory)) => {}
                (Kind::Link(target), Some(Found::Link(real))) if target == real => {}
                (Kind::File, Some(Found::File(real))) => {
                    let bytes = content.bytes();
                    if real.len() != bytes.len() {
                        let (real, size) = (real.len(), bytes.len());
                        found.push(format!("{name} has {real} bytes instead of {size}"));
                    } else if let Some(at) = real.iter().zip(&bytes).position(|(a, b)| a != b) {
                        found.push(format!("{name} differs at {at}"));
                    }
                }
                _ => found.push(format!("{name} is something else")),
            }
            Ok::<_, core::convert::Infallible>(())
        };
        match graph.state(kept).walk(compare) {
            Ok(()) => {}
        }
        let more = self.files.keys().filter(|path| !names.contains(*path));
        found.extend(more.map(|path| format!("{} should not be there", path.display())));
        found.sort();
        found
    }
}

/// Returns the differences of a directory from the end of the log, if nothing is lost. There are none if the log is
/// complete.
///
/// # Errors
/// If the directory cannot be read.
pub fn differences_from_end(log: &Log, root: &Path) -> io::Result<Vec<String>> {
    let graph = Graph::before(log, Model::Ext4, log.records.len());
    Ok(Directory::read(root)?.differences(&graph, &graph.pending))
}

/// Returns `Ok(Ok(()))` if the model allows a directory as the state of some cut after this number of lines.
///
/// It looks for the effects that the directory shows, at each cut and for each length of the journal. An effect that
/// changes nothing may be chosen wrongly where files have parts in common; the cost is the number of cuts times the
/// length of the journal.
///
/// # Errors
/// If the directory cannot be read.
pub fn member(
    log: &Log,
    model: Model,
    root: &Path,
    lines: usize,
) -> io::Result<Result<(), NoMember>> {
    let directory = Directory::read(root)?;
    let mut graph = Graph::new(log, model);
    let none = vec![String::from("no cut comes after as many lines")];
    let mut nearest = NoMember { cut: 0, differences: none };
    let mut has_compared = false;
    loop {
        if graph.lines == lines {
            for kept in candidates(&graph, &directory) {
                let differences = directory.differences(&graph, &kept);
                if differences.is_empty() {
                    return Ok(Ok(()));
                }
                if !has_compared || differences.len() < nearest.differences.len() {
                    nearest = NoMember { cut: graph.at, differences };
                }
                has_compared = true;
            }
        }
        if graph.at == log.records.len() {
            return Ok(Err(nearest));
        }
        graph.read_to(graph.at + 1);
    }
}

/// Returns the sets of effects that explain the directory best, one for each length of the journal.
fn candidates(graph: &Graph<'_>, directory: &Directory) -> Vec<Vec<Number>> {
    // Without a journal, a name that was there before and is there now tells nothing of its replacement.
    let is_open = |number: &Number| {
        let is_name = matches!(graph.atom(*number).effect, Effect::Names { .. });
        graph.atom(*number).is_journalled
            || is_name
                && names(graph, *number).iter().all(|(entry, path)| {
                    let was = graph.image.entry(entry.directory, &entry.name).is_some();
                    was == directory.files.contains_key(path)
                })
    };
    let open: Vec<Number> = graph.pending.iter().copied().filter(is_open).collect();
    (0..=open.len()).map(|len| candidate(graph, directory, &open, open[..len].last())).collect()
}

/// Returns the entries that an effect changes, with their paths.
fn names<'a>(graph: &Graph<'a>, number: Number) -> Vec<(&'a Entry, PathBuf)> {
    let atom = graph.atom(number);
    let Effect::Names { from, to } = atom.effect else { return Vec::new() };
    let entries = graph.log.records[atom.record].entries()[from..to].iter();
    let path = |entry: &Entry| {
        path_of(graph, entry.directory).join(std::ffi::OsStr::from_bytes(&entry.name))
    };
    entries.map(|entry| (entry, path(entry))).collect()
}

fn candidate(
    graph: &Graph<'_>,
    directory: &Directory,
    open: &[Number],
    last: Option<&Number>,
) -> Vec<Number> {
    let is_in_journal = |number: Number| last.is_some_and(|last| number <= *last);
    let is_named = |number: Number| {
        names(graph, number)
            .iter()
            .all(|(entry, path)| directory.files.contains_key(path) == entry.object.is_some())
    };
    let is_kept_name = |number: Number| match open.binary_search(&number) {
        Ok(_) => is_in_journal(number) && (graph.atom(number).is_journalled || is_named(number)),
        Err(_) => is_named(number),
    };
    // The names tell which file of the directory each file of the log is.
    let mut files: HashMap<Object, &[u8]> = HashMap::new();
    let named = graph.closed(|number| {
        let is_name = matches!(graph.atom(number).effect, Effect::Names { .. });
        (!is_name && !graph.atom(number).is_journalled) || is_kept_name(number)
    });
    let note = |path: &Path, object: Object, _: &Kind, _: u32, _: &Content| {
        if let Some(Found::File(bytes)) = directory.files.get(path) {
            files.insert(object, bytes);
        }
        Ok::<_, core::convert::Infallible>(())
    };
    match graph.state(&named).walk(note) {
        Ok(()) => {}
    }
    let is_shown = |number: Number| is_shown(graph, &files, number);
    let mut wanted: HashSet<Number> = HashSet::new();
    for number in graph.pending.iter().rev().copied() {
        let is_name = matches!(graph.atom(number).effect, Effect::Names { .. });
        let is_journalled = graph.atom(number).is_journalled;
        let is_kept =
            if is_name || is_journalled { is_kept_name(number) } else { is_shown(number) };
        if !is_kept || wanted.contains(&number) {
            continue;
        }
        // What a shown effect needs is covered by it.
        let needed = graph.needs(number);
        let is_allowed =
            |number: &Number| !graph.atom(*number).is_journalled || is_in_journal(*number);
        if needed.iter().all(is_allowed) {
            wanted.extend(needed);
        }
    }
    graph.closed(|number| wanted.contains(&number))
}

/// Returns true if the directory may show an effect on bytes or a size. One that only repeats what is durable is not
/// needed.
fn is_shown(graph: &Graph<'_>, files: &HashMap<Object, &[u8]>, number: Number) -> bool {
    let atom = graph.atom(number);
    match (&atom.effect, &graph.log.records[atom.record].operation) {
        (Effect::Bytes { file, at, from, len }, Operation::Write { bytes, .. }) => {
            let Some(real) = files.get(file) else { return true };
            let start = usize::try_from(*at).unwrap_or(usize::MAX).min(real.len());
            let real = &real[start..(start + len).min(real.len())];
            let is_old = graph.image.content(*file).is_some_and(|old| old.has(*at, real));
            bytes[*from..].starts_with(real) && !is_old
        }
        (Effect::Zeros { file, at, len }, _) => {
            let Some(real) = files.get(file) else { return true };
            let range = usize::try_from(*at).unwrap_or(usize::MAX).min(real.len());
            let real = &real[range..];
            let len = usize::try_from(*len).unwrap_or(usize::MAX).min(real.len());
            real[..len].iter().all(|byte| *byte == 0)
        }
        (Effect::Grown { file, size }, _) => {
            files.get(file).is_none_or(|real| *size <= real.len() as u64)
        }
        _ => true,
    }
}

/// Returns the path of a directory, by the newest name of each.
fn path_of(graph: &Graph<'_>, object: Object) -> PathBuf {
    let path = graph.log.path_before(object, graph.at);
    if path == "." { PathBuf::new() } else { path.into() }
}
