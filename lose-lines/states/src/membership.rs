//! Comparing a directory with the states of a model.

use core::fmt;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::graph::{Effect, Graph, Number};
use crate::image::Content;
use crate::model::Model;
use crate::operation::{Entry, Kind, Log, Object};

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
    File(Content),
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
                    Found::File(Content::read(&File::open(entry.path())?)?)
                } else {
                    // A socket or a FIFO has no content that a cut could lose.
                    continue;
                };
                files.insert(path, found);
            }
        }
        Ok(Self { files })
    }

    /// Returns the differences from the state with these effects: of each file its size, or one byte in each part.
    fn differences(&self, graph: &Graph<'_>, kept: &[Number]) -> Vec<Difference> {
        let (mut found, mut names) = (Vec::new(), HashSet::new());
        let compare = |path: &Path, object: Object, kind: &Kind, _: u32, content: &Content| {
            names.insert(path.to_path_buf());
            let mut add = |what| found.push(Difference { path: path.to_path_buf(), object, what });
            match (kind, self.files.get(path)) {
                (_, None) => add(What::Missing),
                (Kind::Directory, Some(Found::Directory)) => {}
                (Kind::Link(target), Some(Found::Link(real))) if target == real => {}
                (Kind::File, Some(Found::File(real))) => {
                    if real.size != content.size {
                        add(What::Size { real: real.size, size: content.size });
                    }
                    for (start, one, other) in real.unequal(content) {
                        let parts = one.chunks(PART).zip(other.chunks(PART));
                        for (number, (a, b)) in parts.enumerate() {
                            if let Some(at) = a.iter().zip(b).position(|(a, b)| a != b) {
                                add(What::Byte(start + (number * PART + at) as u64));
                            }
                        }
                    }
                }
                _ => add(What::Other),
            }
            Ok::<_, core::convert::Infallible>(())
        };
        match graph.state(kept).walk(compare) {
            Ok(()) => {}
        }
        let more = self.files.keys().filter(|path| !names.contains(*path)).cloned();
        found.extend(more.map(|path| Difference { path, object: Object::ROOT, what: What::More }));
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found
    }
}

/// The unit in which bytes are compared.
const PART: usize = 512;

/// A difference of a real directory from a state.
#[derive(Clone, Debug)]
struct Difference {
    path: PathBuf,
    object: Object,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Missing,
    More,
    Other,
    Size { real: u64, size: u64 },
    Byte(u64),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.display();
        match self.what {
            What::Missing => write!(f, "{name} is not there"),
            What::More => write!(f, "{name} should not be there"),
            What::Other => write!(f, "{name} is something else"),
            What::Size { real, size } => write!(f, "{name} has {real} bytes instead of {size}"),
            What::Byte(at) => write!(f, "{name} differs at {at}"),
        }
    }
}

fn in_words(differences: &[Difference]) -> Vec<String> {
    let mut words: Vec<_> = differences.iter().map(ToString::to_string).collect();
    words.truncate(SHOWN);
    words
}

/// The number of differences that are told.
const SHOWN: usize = 8;

/// Returns the differences of a directory from the end of the log, if nothing is lost. There are none if the log is
/// complete.
///
/// # Errors
/// If the directory cannot be read.
pub fn differences_from_end(log: &Log, root: &Path) -> io::Result<Vec<String>> {
    let graph = Graph::before(log, Model::Ext4, log.records.len());
    Ok(in_words(&Directory::read(root)?.differences(&graph, &graph.pending)))
}

/// Returns `Ok(Ok(()))` if the model allows a directory as the state of some cut after this number of lines.
///
/// At each cut, and for each length of the journal there, it begins with all effects and leaves out those that the
/// directory contradicts: if a byte differs, the last effect on it is not in the state. What remains explains the
/// directory, or nothing does. The cost is the number of cuts times the length of the journal.
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
    let mut nearest = (0, NoMember { cut: 0, differences: none });
    let mut has_compared = false;
    loop {
        if graph.lines == lines {
            for differences in unexplained(&graph, &directory) {
                if differences.is_empty() {
                    return Ok(Ok(()));
                }
                if !has_compared || differences.len() < nearest.0 {
                    let words = in_words(&differences);
                    nearest = (differences.len(), NoMember { cut: graph.at, differences: words });
                }
                has_compared = true;
            }
        }
        if graph.at == log.records.len() {
            return Ok(Err(nearest.1));
        }
        graph.read_to(graph.at + 1);
    }
}

/// Returns what remains unexplained of the directory, for each length of the journal, until nothing does.
fn unexplained(graph: &Graph<'_>, directory: &Directory) -> impl Iterator<Item = Vec<Difference>> {
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
    // btrfs has both: names in the order of the transaction, and names in the log.
    let open = graph.pending.iter().copied().filter(is_open);
    let (ordered, free): (Vec<_>, Vec<_>) =
        open.partition(|number| graph.atom(*number).is_journalled);
    let frees = free.len();
    let lengths = (0..=ordered.len()).flat_map(move |len| (0..=frees).map(move |free| (len, free)));
    lengths.map(move |(len, free_len)| {
        let ((fixed, left_out), (more, less)) = (ordered.split_at(len), free.split_at(free_len));
        let mut fixed = [fixed, more].concat();
        fixed.sort_unstable();
        let left_out = left_out.iter().chain(less).copied().collect();
        remaining(graph, directory, &fixed, left_out)
    })
}

/// Leaves out what the directory contradicts, and returns the differences that remain.
fn remaining(
    graph: &Graph<'_>,
    directory: &Directory,
    fixed: &[Number],
    mut left_out: HashSet<Number>,
) -> Vec<Difference> {
    loop {
        let kept = graph.closed(|number| !left_out.contains(&number));
        let differences = directory.differences(graph, &kept);
        let has = |number: &Number| kept.binary_search(number).is_ok();
        let wrong = differences.iter().map(|difference| culprit(graph, &kept, difference));
        let wrong: Option<Vec<Number>> = wrong.collect();
        let is_fixed = |number: &Number| fixed.binary_search(number).is_ok();
        match wrong {
            Some(wrong)
                if !wrong.is_empty() && fixed.iter().all(has) && !wrong.iter().any(is_fixed) =>
            {
                left_out.extend(wrong);
            }
            // The journal needs an effect that the directory does not show.
            _ if differences.is_empty() && !fixed.iter().all(has) => {
                let what = What::Other;
                return vec![Difference { path: PathBuf::new(), object: Object::ROOT, what }];
            }
            _ => return differences,
        }
    }
}

/// Returns the last kept effect that causes a difference. No state with the directory's content has it.
fn culprit(graph: &Graph<'_>, kept: &[Number], difference: &Difference) -> Option<Number> {
    let object = difference.object;
    let mut newest_first = kept.iter().rev().copied();
    match difference.what {
        What::Byte(at) => newest_first.find(|number| graph.covers(*number, object, at)),
        What::Size { real, size } => {
            let is_cut = |number: Number| matches!(graph.atom(number).effect, Effect::Cut { file, .. } if file == object);
            let cut = newest_first.find(|number| is_cut(*number));
            let is_later = |number: &Number| cut.is_none_or(|cut| *number > cut);
            let is_size = |number: &Number| {
                matches!(graph.atom(*number).effect, Effect::Grown { file, size: grown }
                    if file == object && grown == size)
            };
            let grown = kept.iter().copied().filter(is_later).find(is_size);
            if real < size { grown.or(cut) } else { cut }
        }
        What::Missing | What::More => newest_first
            .find(|number| names(graph, *number).iter().any(|(_, path)| *path == difference.path)),
        What::Other => None,
    }
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

/// Returns the path of a directory, by the newest name of each.
fn path_of(graph: &Graph<'_>, object: Object) -> PathBuf {
    let path = graph.log.path_before(object, graph.at);
    if path == "." { PathBuf::new() } else { path.into() }
}
