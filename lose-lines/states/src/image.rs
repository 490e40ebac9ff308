//! The files of one state. States share the chunks that they have in common, so a state costs what differs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::operation::{Kind, Log, Object, Operation};

const CHUNK: usize = 16 << 10;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Part of a file, and its hash once it was asked for.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    hash: OnceLock<u64>,
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

    fn hash(&self, hash: &mut u64) {
        mix(hash, &self.size.to_le_bytes());
        for (number, chunk) in self.chunks.iter().enumerate() {
            let left = index(self.size.saturating_sub((number * CHUNK) as u64));
            let Some(chunk) = chunk else { continue };
            let part = if left >= CHUNK {
                *chunk.hash.get_or_init(|| hash_of(&chunk.bytes))
            } else {
                hash_of(&chunk.bytes[..left])
            };
            if part != 0 {
                mix(hash, &part.to_le_bytes());
                mix(hash, &number.to_le_bytes());
            }
        }
    }
}

/// Returns 0 if all bytes are 0, so that a hole and zeros are equal.
fn hash_of(bytes: &[u8]) -> u64 {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut hash = 1;
    mix(&mut hash, &bytes[..end]);
    if end == 0 { 0 } else { hash.max(1) }
}

/// Mixes bytes in: the hash decides only which states are equal.
fn mix(hash: &mut u64, bytes: &[u8]) {
    let mut add = |word: u64| {
        *hash = (*hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    };
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        add(u64::from_le_bytes(bytes));
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    add(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
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

/// A directory with all files below it.
#[derive(Clone, Debug, Default)]
pub struct Image {
    files: HashMap<Object, Arc<Content>>,
    entries: BTreeMap<(Object, Vec<u8>), Object>,
    objects: Arc<Objects>,
}

impl Image {
    pub(crate) fn of(objects: Objects) -> Self {
        Self { files: HashMap::new(), entries: BTreeMap::new(), objects: Arc::new(objects) }
    }

    pub(crate) fn file(&mut self, object: Object) -> &mut Content {
        Arc::make_mut(self.files.entry(object).or_default())
    }

    pub(crate) fn content(&self, object: Object) -> Option<&Content> {
        self.files.get(&object).map(|content| &**content)
    }

    pub(crate) fn entry(&self, directory: Object, name: &[u8]) -> Option<Object> {
        self.entries.get(&(directory, name.to_vec())).copied()
    }

    pub(crate) fn enter(&mut self, directory: Object, name: &[u8], object: Option<Object>) {
        match object {
            Some(object) => self.entries.insert((directory, name.to_vec()), object),
            None => self.entries.remove(&(directory, name.to_vec())),
        };
    }

    /// Visits each name that the root reaches, directories before their entries.
    pub(crate) fn walk<E>(
        &self,
        mut visit: impl FnMut(&Path, Object, &Kind, u32, &Content) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut left, mut seen) = (vec![(Object::ROOT, PathBuf::new())], HashSet::new());
        let none = Content::default();
        while let Some((directory, path)) = left.pop() {
            if !seen.insert(directory) {
                continue;
            }
            let range = (directory, Vec::new())..(Object(directory.0 + 1), Vec::new());
            for ((_, name), object) in self.entries.range(range) {
                let Some((kind, mode)) = self.objects.0.get(object) else { continue };
                let path = path.join(OsStr::from_bytes(name));
                visit(&path, *object, kind, *mode, self.content(*object).unwrap_or(&none))?;
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
            object = *self.entries.get(&(object, name.as_bytes().to_vec()))?;
        }
        let (kind, _) = self.objects.0.get(&object)?;
        (*kind == Kind::File).then(|| self.content(object).map(Content::bytes).unwrap_or_default())
    }

    /// Returns the content of a file, under whatever names.
    #[must_use]
    pub fn bytes(&self, file: Object) -> Vec<u8> {
        self.content(file).map(Content::bytes).unwrap_or_default()
    }

    pub(crate) fn hash(&self, lines: usize) -> u64 {
        let mut hash = lines as u64 + 1;
        let walked: Result<(), core::convert::Infallible> = self.walk(|path, _, _, _, content| {
            mix(&mut hash, path.as_os_str().as_bytes());
            content.hash(&mut hash);
            Ok(())
        });
        match walked {
            Ok(()) => hash,
        }
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
