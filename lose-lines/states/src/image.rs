//! The files of one state. States share the chunks that they have in common, so a state costs what differs.

use core::convert::Infallible;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use twox_hash::XxHash3_128;

use crate::operation::{Kind, Log, Object, Operation};

const CHUNK: usize = 16 << 10;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Part of a file, and its hash once it was asked for: `None` for zeros only, which equal a hole.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    hash: OnceLock<Option<u128>>,
}

impl Clone for Chunk {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), hash: OnceLock::new() }
    }
}

/// The content of a file. Bytes beyond the size are kept: the size may follow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    chunks: Vec<Option<Arc<Chunk>>>,
    pub(crate) size: u64,
}

fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl Content {
    /// Changes a range chunk by chunk: the function gets the part and its offset in the range.
    fn edit(
        &mut self,
        (at, len): (u64, u64),
        makes: bool,
        mut change: impl FnMut(&mut [u8], usize),
    ) {
        let (first, end) = (index(at), index(at.saturating_add(len)));
        let mut place = first;
        while place < end {
            let (number, stop) = (place / CHUNK, ((place / CHUNK + 1) * CHUNK).min(end));
            if makes && self.chunks.len() <= number {
                self.chunks.resize(number + 1, None);
            }
            let Some(chunk) = self.chunks.get_mut(number) else { return };
            let new = || Arc::new(Chunk { bytes: vec![0; CHUNK], hash: OnceLock::new() });
            if let Some(chunk) =
                if makes { Some(chunk.get_or_insert_with(new)) } else { chunk.as_mut() }
            {
                let chunk = Arc::make_mut(chunk);
                chunk.hash = OnceLock::new();
                change(
                    &mut chunk.bytes[place % CHUNK..place % CHUNK + stop - place],
                    place - first,
                );
            }
            place = stop;
        }
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        let range = (at, bytes.len() as u64);
        self.edit(range, true, |to, from| to.copy_from_slice(&bytes[from..from + to.len()]));
    }

    pub(crate) fn zero(&mut self, at: u64, len: u64) {
        self.edit((at, len), false, |to, _from| to.fill(0));
    }

    /// Fills a range with bytes that nobody wrote.
    pub(crate) fn garbage(&mut self, at: u64, len: u64) {
        self.edit((at, len), true, |to, _from| to.fill(0xa5));
    }

    pub(crate) fn resize(&mut self, size: u64) {
        self.chunks.truncate(index(size.div_ceil(CHUNK as u64)));
        self.zero(size, CHUNK as u64);
        self.size = size;
    }

    /// Returns the parts that are not holes, up to the size.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks.iter().enumerate().filter_map(move |(number, chunk)| {
            let at = (number * CHUNK) as u64;
            let len = index(self.size.saturating_sub(at)).min(CHUNK);
            chunk.as_ref().filter(|_chunk| len > 0).map(|chunk| (at, &chunk.bytes[..len]))
        })
    }

    /// Reads a file. Chunks of zeros are holes.
    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let mut content = Self { chunks: Vec::new(), size: file.metadata()?.len() };
        let mut bytes = vec![0; CHUNK];
        for at in (0..content.size).step_by(CHUNK) {
            let part = &mut bytes[..index(content.size - at).min(CHUNK)];
            file.read_exact_at(part, at)?;
            if part != &ZEROS[..part.len()] {
                content.write(at, part);
            }
        }
        Ok(content)
    }

    /// Returns the chunks that differ as far as both contents go: their places, and the bytes of both.
    pub(crate) fn unequal<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (u64, &'a [u8], &'a [u8])> {
        let size = index(self.size.min(other.size));
        (0..size.div_ceil(CHUNK)).filter_map(move |number| {
            let part = |of: &'a Self| {
                let chunk = of.chunks.get(number).and_then(Option::as_ref);
                let bytes = chunk.map_or(&ZEROS[..], |chunk| &chunk.bytes);
                &bytes[..(size - number * CHUNK).min(CHUNK)]
            };
            let (one, other) = (part(self), part(other));
            (one != other).then_some(((number * CHUNK) as u64, one, other))
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; index(self.size)];
        for (at, part) in self.parts() {
            bytes[index(at)..][..part.len()].copy_from_slice(part);
        }
        bytes
    }

    /// Returns a chunk up to the size, without the zeros at its end.
    fn part(&self, number: usize) -> &[u8] {
        let left = index(self.size.saturating_sub((number * CHUNK) as u64));
        let chunk = self.chunks.get(number).and_then(Option::as_ref);
        chunk.map_or(&[], |chunk| trimmed(&chunk.bytes[..left.min(CHUNK)]))
    }

    fn encode(&self, to: &mut Vec<u8>) {
        to.extend(self.size.to_le_bytes());
        for (number, chunk) in self.chunks.iter().enumerate() {
            let Some(chunk) = chunk else { continue };
            let is_whole = self.size >= ((number + 1) * CHUNK) as u64;
            let hash = if is_whole {
                *chunk.hash.get_or_init(|| hash_of(&chunk.bytes))
            } else {
                hash_of(self.part(number))
            };
            let Some(hash) = hash else { continue };
            to.extend(number.to_le_bytes());
            to.extend(hash.to_le_bytes());
        }
        to.extend(usize::MAX.to_le_bytes());
    }

    fn hash(&self) -> u128 {
        let mut encoding = Vec::new();
        self.encode(&mut encoding);
        hash(&encoding)
    }
}

/// Contents are equal if a reader sees the same bytes.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        let shared = |number| {
            let chunk = |content: &Self| content.chunks.get(number).cloned().flatten();
            chunk(self).zip(chunk(other)).is_some_and(|(one, other)| Arc::ptr_eq(&one, &other))
        };
        self.size == other.size
            && (0..self.chunks.len().max(other.chunks.len()))
                .all(|number| shared(number) || self.part(number) == other.part(number))
    }
}

impl Eq for Content {}

/// Returns bytes without the zeros at their end.
fn trimmed(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

/// Returns a hash of 128 bits.
#[must_use]
pub fn hash(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// Returns `None` if all bytes are 0.
fn hash_of(bytes: &[u8]) -> Option<u128> {
    let bytes = trimmed(bytes);
    (!bytes.is_empty()).then(|| hash(bytes))
}

/// The objects of a log: their kinds and modes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects(HashMap<Object, (Kind, u32)>);

impl Objects {
    pub(crate) fn of(log: &Log) -> Self {
        let made = log.records.iter().filter_map(|record| match &record.operation {
            Operation::Make { object, kind, mode } => Some((*object, (kind.clone(), *mode))),
            _ => None,
        });
        Self(made.collect())
    }
}

/// A directory with all files below it. Images are equal if no program can tell them apart.
#[derive(Clone, Debug, Default)]
pub struct Image {
    files: HashMap<Object, Arc<Content>>,
    directories: HashMap<Object, Arc<BTreeMap<Vec<u8>, Object>>>,
    objects: Arc<Objects>,
}

static EMPTY: Content = Content { chunks: Vec::new(), size: 0 };

/// A name as a program sees it.
#[derive(PartialEq, Eq)]
struct Name<'a> {
    path: PathBuf,
    /// The number of the first name of its object.
    first: usize,
    kind: &'a Kind,
    /// Only files have the mode of their object.
    mode: Option<u32>,
    content: &'a Content,
}

impl Name<'_> {
    fn encode(&self, to: &mut Vec<u8>) {
        let Self { path, first, kind, mode, content } = self;
        let mut add = |bytes: &[u8]| {
            to.extend(bytes.len().to_le_bytes());
            to.extend(bytes);
        };
        add(path.as_os_str().as_bytes());
        add(&first.to_le_bytes());
        match kind {
            Kind::Directory => add(b"d"),
            Kind::File => add(b"f"),
            Kind::Link(target) => [&b"l"[..], target].into_iter().for_each(add),
        }
        to.extend(mode.unwrap_or_default().to_le_bytes());
        content.encode(to);
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for Image {}

impl Image {
    pub(crate) fn of(objects: Objects) -> Self {
        Self { files: HashMap::new(), directories: HashMap::new(), objects: Arc::new(objects) }
    }

    pub(crate) fn file(&mut self, object: Object) -> &mut Content {
        Arc::make_mut(self.files.entry(object).or_default())
    }

    pub(crate) fn content(&self, object: Object) -> Option<&Content> {
        self.files.get(&object).map(|content| &**content)
    }

    pub(crate) fn entry(&self, directory: Object, name: &[u8]) -> Option<Object> {
        self.directories.get(&directory)?.get(name).copied()
    }

    pub(crate) fn enter(&mut self, directory: Object, name: &[u8], object: Option<Object>) {
        let entries = Arc::make_mut(self.directories.entry(directory).or_default());
        match object {
            Some(object) => entries.insert(name.to_vec(), object),
            None => entries.remove(name),
        };
    }

    /// Visits each name that the root reaches, directories before their entries.
    pub(crate) fn walk<'a, E>(
        &'a self,
        mut visit: impl FnMut(&Path, Object, &'a Kind, u32, &'a Content) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut left, mut seen) = (vec![(Object::ROOT, PathBuf::new())], HashSet::new());
        while let Some((directory, path)) = left.pop() {
            if !seen.insert(directory) {
                continue;
            }
            let entries = self.directories.get(&directory);
            for (name, object) in entries.iter().flat_map(|entries| entries.iter()) {
                let Some((kind, mode)) = self.objects.0.get(object) else { continue };
                let path = path.join(OsStr::from_bytes(name));
                visit(&path, *object, kind, *mode, self.content(*object).unwrap_or(&EMPTY))?;
                if *kind == Kind::Directory {
                    left.push((*object, path));
                }
            }
        }
        Ok(())
    }

    /// Returns the content of a file.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut object = Object::ROOT;
        for name in path.as_ref() {
            object = self.entry(object, name.as_bytes())?;
        }
        let (kind, _) = self.objects.0.get(&object)?;
        (*kind == Kind::File).then(|| self.content(object).map(Content::bytes).unwrap_or_default())
    }

    /// Returns the content of a file, under whatever names.
    #[must_use]
    pub fn bytes(&self, file: Object) -> Vec<u8> {
        self.content(file).map(Content::bytes).unwrap_or_default()
    }

    fn names(&self) -> Vec<Name<'_>> {
        let (mut names, mut first) = (Vec::new(), HashMap::new());
        let walked: Result<(), Infallible> = self.walk(|path, object, kind, mode, content| {
            let first = *first.entry(object).or_insert(names.len());
            let mode = (*kind == Kind::File).then_some(mode);
            names.push(Name { path: path.to_path_buf(), first, kind, mode, content });
            Ok(())
        });
        match walked {
            Ok(()) => names,
        }
    }

    fn hash(&self, lines: usize) -> u128 {
        let mut encoding = lines.to_le_bytes().to_vec();
        self.names().iter().for_each(|name| name.encode(&mut encoding));
        hash(&encoding)
    }

    /// Makes the directory anew, with all files. What was there is removed.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub fn build(&self, directory: &Path) -> io::Result<()> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(directory)?,
        }
        let mut first: HashMap<Object, PathBuf> = HashMap::new();
        self.walk(|path, object, kind, mode, content| {
            let path = directory.join(path);
            if let Some(other) = first.get(&object) {
                // A directory has a second name only in states of a model that takes renames apart.
                return if *kind == Kind::Directory {
                    fs::create_dir(&path)
                } else {
                    fs::hard_link(other, &path)
                };
            }
            first.insert(object, path.clone());
            match kind {
                Kind::Directory => fs::create_dir(&path),
                Kind::Link(target) => symlink(OsStr::from_bytes(target), &path),
                Kind::File => {
                    let file = File::create(&path)?;
                    content.parts().try_for_each(|(at, part)| file.write_all_at(part, at))?;
                    file.set_len(content.size)?;
                    if mode == 0o644 {
                        return Ok(());
                    }
                    file.set_permissions(fs::Permissions::from_mode(mode | 0o600))
                }
            }
        })
    }
}

/// States that were shown. Those with one hash are compared in full.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    states: HashMap<u128, Vec<(usize, Image)>>,
    /// States share equal files, so what is kept of a state is what no other has.
    files: HashMap<u128, Vec<Arc<Content>>>,
}

impl Shown {
    /// Adds a state after this many lines. Returns false if an equal one was shown.
    pub(crate) fn insert(&mut self, lines: usize, mut image: Image) -> bool {
        for content in image.files.values_mut() {
            let known = self.files.entry(content.hash()).or_default();
            match known.iter().find(|known| *known == content) {
                Some(known) => *content = known.clone(),
                None => known.push(content.clone()),
            }
        }
        let known = self.states.entry(image.hash(lines)).or_default();
        if known.iter().any(|(other, known)| *other == lines && *known == image) {
            return false;
        }
        known.push((lines, image));
        true
    }
}
