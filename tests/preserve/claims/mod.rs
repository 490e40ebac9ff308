//! Claims that hold for a store with any damage to its bytes. The property tests and the fuzzers in `fuzz/` share them.

pub(crate) mod harm;
pub(crate) mod lives;

use super::plain::Plain;
use cachemaint::medium::{Medium as _, Readable};
use cachemaint::preserve::{
    Attributes, Content, Damage, Error, ErrorKind, Info, Part, Reader, Snapshot, Store,
};
use core::ops::Range;
use harm::{Page, tags};
use lives::{Blobs, Kept, Lived, Opening, kept, open, options};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that have a tag of their own. They are fewer for fuzzers, as `src/preserve/format/mod.rs` says.
const CHUNK: u64 = if cfg!(cachemaint_small_chunks) { 4096 } else { 65_536 };

/// The findings about a blob; no bytes, if they are damaged. Those of a region cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    content: Content,
    version: u64,
    metadata: Vec<u8>,
    bytes: Option<Vec<u8>>,
}

impl Found {
    fn is_unreadable(&self) -> bool {
        self.content == Content::Blob && self.bytes.is_none()
    }
}

pub(crate) fn found<R: Readable>(snapshot: &Snapshot<'_, R>) -> BTreeMap<String, Found>
where
    R::Error: core::fmt::Debug,
{
    let infos = snapshot.entries().map(Result::unwrap);
    let all = infos.map(|info| {
        let metadata = metadata(snapshot, &info);
        let bytes = read(snapshot, &info).ok();
        let Info { content, version, .. } = info;
        (info.name.to_string(), Found { content, version, metadata, bytes })
    });
    all.collect()
}

impl From<Kept> for Found {
    fn from(kept: Kept) -> Self {
        let Kept { version, metadata, bytes, is_region } = kept;
        let (content, bytes) =
            if is_region { (Content::Region, None) } else { (Content::Blob, Some(bytes)) };
        Self { content, version, metadata, bytes }
    }
}

/// Blobs that are whole, and regions.
#[cfg_attr(fuzzing, expect(dead_code, reason = "fuzzers compare with damaged stores"))]
pub(crate) fn whole(blobs: &Blobs) -> BTreeMap<String, Found> {
    blobs.iter().map(|(name, kept)| (name.clone(), kept.clone().into())).collect()
}

fn metadata<R: Readable>(snapshot: &Snapshot<'_, R>, info: &Info) -> Vec<u8>
where
    R::Error: core::fmt::Debug,
{
    let mut buffer = vec![0; info.metadata];
    assert_eq!(snapshot.metadata(info, &mut buffer).unwrap().len(), info.metadata);
    buffer
}

/// All bytes of a blob.
fn read<R: Readable>(snapshot: &Snapshot<'_, R>, info: &Info) -> Result<Vec<u8>, Error<R::Error>> {
    let blob = snapshot.blob(&info.name)?;
    // The blob lies in the medium as a whole.
    let mut bytes = vec![0; blob.info().len as usize];
    blob.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// A store whose bytes were harmed.
struct Harmed<'l> {
    lived: &'l Lived,
    after: &'l [u8],
    is_cut: bool,
}

impl Harmed<'_> {
    fn is_hit(&self, range: &Range<u64>) -> bool {
        let range = range.start as usize..range.end as usize;
        !range.is_empty() && self.lived.image.get(range.clone()) != self.after.get(range)
    }

    /// Damage is named where there is some.
    fn is_told(&self, damage: &Damage) {
        assert!(self.is_hit(&(damage.offset..damage.offset + damage.len)), "{damage:?}");
        assert_ne!(damage.part, Part::Entry, "{damage:?}");
    }

    /// The error has the length of the medium, and a needed length that is more, but not more than the store had.
    fn is_missing(&self, size: u64, needed: u64) {
        assert!(self.is_cut && size == self.after.len() as u64, "{size}");
        assert!((size + 1..=self.lived.image.len() as u64).contains(&needed), "{needed}");
    }

    /// A page of the table is damaged, or a copy of it is missing.
    fn is_lost<T: core::fmt::Debug, E: core::error::Error>(&self, found: &Result<T, Error<E>>) {
        match found.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Damaged(Damage { part: Part::Page, .. })) => {}
            Err(ErrorKind::Truncated { size, needed, .. }) => self.is_missing(*size, *needed),
            _ => panic!("{found:?}"),
        }
    }

    /// A blob is returned as it was or not at all, and each chunk that is whole can be read.
    fn blob_is_read<R: Readable>(
        &self,
        snapshot: &Snapshot<'_, R>,
        info: &Info,
        found: &Result<Vec<u8>, Error<R::Error>>,
        bytes: &[u8],
    ) where
        R::Error: core::fmt::Debug,
    {
        let (place, tags) = (info.range(), tags(info));
        match found {
            Ok(found) => assert!(found == bytes, "{info:?}"),
            Err(error) if self.is_hit(&place) || self.is_hit(&tags) => match error.kind() {
                ErrorKind::Damaged(damage) => self.is_told(damage),
                ErrorKind::Truncated { size, needed, .. } => self.is_missing(*size, *needed),
                error => panic!("{error:?}"),
            },
            Err(error) => panic!("{info:?} is whole: {error:?}"),
        }
        if self.is_hit(&tags) || self.is_cut {
            return;
        }
        let blob = snapshot.blob(&info.name).unwrap();
        for at in (0..info.len).step_by(CHUNK as usize) {
            let end = info.len.min(at + CHUNK);
            for part in [at..end, at..at + 1, at + (end - at) / 3..end - 1] {
                let expected = &bytes[part.start as usize..part.end.max(part.start) as usize];
                let mut found = vec![0; expected.len()];
                match blob.read_at(part.start, &mut found).map_err(ErrorKind::from) {
                    Ok(()) => assert!(found == expected, "{part:?} of {info:?}"),
                    Err(ErrorKind::Damaged(damage)) => {
                        self.is_told(&damage);
                        assert_eq!(damage.part, Part::Bytes { at });
                        assert!(self.is_hit(&(info.offset + at..info.offset + end)));
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }

    /// All damage is reported, and nothing else.
    fn is_verified<R: Readable>(
        &self,
        snapshot: &Snapshot<'_, R>,
        there: &BTreeMap<String, Found>,
        costs: &Costs,
    ) where
        R::Error: core::fmt::Debug,
    {
        let verification = snapshot.verify(&mut |_| ()).unwrap();
        let unreadable = there.iter().filter(|(_, found)| found.is_unreadable());
        let told = verification.damaged.iter().map(|(name, _)| &**name);
        assert!(told.eq(unreadable.map(|(name, _)| name)), "{:?}", verification.damaged);
        verification.damaged.iter().for_each(|(_, damage)| self.is_told(damage));
        let [header, header_copy] = self.lived.headers();
        let places = [0, 4096, 8192, 12_288].map(|at| at..at + 64);
        let mut others = places.iter().filter(|it| **it != header && **it != header_copy);
        let others_are_hit = others.all(|it| self.is_hit(it));
        let all = [header, header_copy, self.lived.history()];
        let hit = all.into_iter().filter(|copy| self.is_hit(copy)).map(|copy| copy.start);
        let offsets =
            |damage: &[&Damage]| damage.iter().map(|it| it.offset).collect::<BTreeSet<_>>();
        let (newer, copies): (Vec<_>, Vec<_>) =
            verification.copies.iter().partition(|damage| damage.part == Part::NewerHeader);
        assert_eq!(offsets(&copies), hit.chain(costs.copies.iter().copied()).collect());
        assert!(newer.is_empty() || others_are_hit, "{newer:?}");
        assert_eq!(offsets(&verification.pages.iter().collect::<Vec<_>>()), costs.pages);
        verification.pages.iter().for_each(|damage| self.is_told(damage));
    }

    /// Returns the cost of the hits on the table.
    fn costs(&self) -> Costs {
        let mut costs = Costs::default();
        let mut pages = vec![self.lived.table()];
        while let Some(page) = pages.pop() {
            let hit: Vec<_> = page.copies.iter().filter(|copy| self.is_hit(copy)).collect();
            if hit.len() < 2 {
                costs.copies.extend(hit.iter().map(|copy| copy.start));
                pages.extend(page.below);
            } else {
                costs.pages.insert(page.copies[0].start);
                costs.lose(page);
            }
        }
        costs
    }
}

/// The cost of damage of a table.
#[derive(Debug, Default)]
struct Costs {
    /// Copies of which the other one is whole.
    copies: Vec<u64>,
    /// Pages of which none is.
    pages: BTreeSet<u64>,
    /// The names below these.
    lost: BTreeSet<String>,
}

impl Costs {
    fn lose(&mut self, page: Page) {
        self.lost.extend(page.names);
        page.below.into_iter().for_each(|page| self.lose(page));
    }
}

/// Blobs are as the last commit left them. If both copies of its header are hit, they are as the commit before left
/// them, or missing. Blobs named by a page of the table are not found if both copies of the page are hit. Damage is
/// reported. After a commit only blobs can be damaged.
#[cfg_attr(fuzzing, expect(dead_code, reason = "fuzzers count the work of an opening"))]
pub(crate) fn damage_costs_what_it_touches(lived: &Lived, after: &[u8]) {
    damage_costs_what_it_touches_in(&Plain::new(after.to_vec()), lived, after, open);
}

/// As [`damage_costs_what_it_touches`], in a medium with these bytes that `open` opens.
pub(crate) fn damage_costs_what_it_touches_in(
    medium: &Plain,
    lived: &Lived,
    after: &[u8],
    open: impl Fn(&Plain) -> Opening,
) {
    let harmed = Harmed { lived, after, is_cut: after.len() < lived.image.len() };
    let is_whole = |copies: [Range<u64>; 2]| copies.iter().any(|copy| !harmed.is_hit(copy));
    let has_header = is_whole(lived.headers());
    let snapshot = match Snapshot::of(medium) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            assert!(!(has_header && is_whole(lived.roots())), "{error}");
            if let ErrorKind::Truncated { size, needed, .. } = *error.kind() {
                harmed.is_missing(size, needed);
            }
            return assert!(options().open(medium.clone()).is_err());
        }
    };
    let is_last = snapshot.generation() == lived.generation;
    assert_eq!(is_last, has_header);
    assert!(is_last || snapshot.generation() + 1 == lived.generation);
    let committed = if is_last { &lived.last } else { &lived.before };
    let costs = if is_last { harmed.costs() } else { Costs::default() };
    let (infos, errors): (Vec<_>, Vec<_>) = snapshot.entries().partition(Result::is_ok);
    let infos: Vec<Info> = infos.into_iter().flatten().collect();
    for error in &errors {
        harmed.is_lost(error);
    }
    if is_last {
        let there = committed.keys().filter(|name| !costs.lost.contains(*name));
        assert!(infos.iter().map(|info| &*info.name).eq(there));
        assert_eq!(errors.len(), costs.pages.len());
        for name in &costs.lost {
            harmed.is_lost(&snapshot.find(name));
        }
    }
    let mut there = BTreeMap::new();
    for info in &infos {
        let kept = &committed[&*info.name];
        let metadata = metadata(&snapshot, info);
        assert_eq!(
            (info.version, &metadata, info.content == Content::Region),
            (kept.version, &kept.metadata, kept.is_region)
        );
        let bytes = read(&snapshot, info);
        if kept.is_region {
            let error = bytes.as_ref().map_err(Error::kind);
            assert!(matches!(error, Err(ErrorKind::NotABlob { .. })), "{error:?}");
        } else if is_last {
            harmed.blob_is_read(&snapshot, info, &bytes, &kept.bytes);
        } else if let Ok(found) = &bytes {
            assert!(*found == kept.bytes, "{info:?}");
        }
        let Info { content, version, .. } = *info;
        let found = Found { content, version, metadata, bytes: bytes.ok() };
        there.insert(info.name.to_string(), found);
    }
    if is_last {
        harmed.is_verified(&snapshot, &there, &costs);
        match snapshot.history() {
            Ok(boots) => assert!(boots.map(Result::unwrap).eq(lived.history.iter().copied())),
            Err(error) => assert!(harmed.is_hit(&lived.history()), "{error}"),
        }
    }
    match open(medium) {
        Ok((store, opened)) => {
            assert!(errors.is_empty(), "{errors:?}");
            if is_last {
                opened.mended.iter().for_each(|damage| harmed.is_told(damage));
            }
            // A cut takes free space away, and the places for the pages of a deletion with it.
            let writers = if harmed.is_cut { Writers::Anyone } else { Writers::ThisLibrary };
            goes_on(medium, store, &there, writers);
        }
        // Blobs that a lost page named may be anywhere.
        Err(error) => match ErrorKind::from(error.error) {
            ErrorKind::Damaged(Damage { part: Part::Page, .. }) if !errors.is_empty() => {}
            ErrorKind::Truncated { .. } | ErrorKind::Full { .. } => assert!(harmed.is_cut),
            error => panic!("{error}"),
        },
    }
}

/// The writers of a store's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    ThisLibrary,
    Anyone,
}

/// An opened store has its blobs, can be written, and has the committed blobs when it is opened again. By the limits in
/// the documentation a blob can always be deleted if only this library has written to the store, and it was not cut.
fn goes_on(
    medium: &Plain,
    mut store: Store<Plain>,
    there: &BTreeMap<String, Found>,
    writers: Writers,
) {
    assert!(found(&store.snapshot().unwrap()) == *there);
    let mut expected = there.clone();
    let mut names = there.keys();
    let mut transaction = store.begin().unwrap();
    if let Some(first) = names.next() {
        match transaction.delete(first) {
            Ok(()) => drop(expected.remove(first)),
            Err(error) => {
                let is_full = matches!(error.kind(), ErrorKind::Full { .. });
                assert!(is_full && writers == Writers::Anyone, "{error}");
            }
        }
    }
    if let Some(second) = names.next()
        && transaction.rename(second, "renamed").is_ok()
    {
        let renamed = expected.remove(second).unwrap();
        expected.insert("renamed".into(), renamed);
    }
    for (number, len) in [(1, 0), (2, 100), (3, CHUNK as u32 + 4464)] {
        let (name, kept) = (format!("put {len}"), kept(number, len, 1));
        let attributes = Attributes::new(&name).version(kept.version).metadata(&kept.metadata);
        match transaction.put(attributes, &kept.bytes) {
            Ok(()) => drop(expected.insert(name, kept.into())),
            Err(error) if matches!(error.kind(), ErrorKind::NotABlob { .. }) => {
                assert_eq!(expected[&name].content, Content::Region);
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}"),
        }
    }
    transaction.commit().unwrap();
    assert!(found(&store.snapshot().unwrap()) == expected);
    drop(store);
    let (store, opened) = options().open(medium.clone()).unwrap();
    assert_eq!(opened.mended, []);
    let snapshot = store.snapshot().unwrap();
    assert!(found(&snapshot) == expected);
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    assert_eq!(verification.copies, []);
    let damaged = expected.values().filter(|found| found.is_unreadable()).count();
    // A region is damaged where it overlaps something, which no writer opens.
    assert_eq!(verification.damaged.len(), damaged);
    drop(store);
    each_header_is_enough(medium);
}

/// All four headers are whole.
fn each_header_is_enough(medium: &Plain) {
    let headers = [0, 4096, 8192, 12_288].map(|at| {
        let mut bytes = [0; 64];
        let Ok(()) = medium.read(at, &mut bytes);
        (at, bytes)
    });
    for (only, _) in headers {
        for (at, bytes) in headers {
            medium.write(at, if at == only { &bytes } else { &[0; 64] });
        }
        Snapshot::of(medium).unwrap();
    }
}

/// Reading arbitrary bytes ends, in parts as in one piece, and a store that can be opened can be written.
pub(crate) fn anything_is_read_to_an_end(medium: &Plain, open: impl Fn(&Plain) -> Opening) {
    let Ok(snapshot) = Snapshot::of(medium) else {
        return assert!(options().open(medium.clone()).is_err());
    };
    let reader = Reader::open(medium).unwrap();
    let len = Readable::len(medium);
    // The least child has 32 bytes, the least entry 56.
    let (mut most, mut space) = (len / 32, len);
    let (mut there, mut is_possible) = (BTreeMap::new(), true);
    for entry in snapshot.entries() {
        most = most.checked_sub(1).unwrap();
        let Ok(info) = entry else {
            is_possible = false;
            continue;
        };
        // It is found by its name, on a way that can be damaged elsewhere.
        let mut buffer = vec![0; info.metadata];
        match snapshot.metadata(&info, &mut buffer).map_err(ErrorKind::from) {
            Ok(found) => assert_eq!(found.len(), info.metadata),
            Err(error) => {
                assert!(matches!(error, ErrorKind::Damaged(_) | ErrorKind::Replaced));
                is_possible = false;
            }
        }
        let loaded = reader.load(&info.name).ok();
        let whole = read(&snapshot, &info).ok();
        assert!(whole == loaded);
        // Overlapping blobs can have more bytes than the medium, and no store with these opens.
        match space.checked_sub(loaded.as_ref().map_or(0, Vec::len) as u64) {
            Some(left) => space = left,
            None => is_possible = false,
        }
        if is_possible {
            let Info { content, version, .. } = info;
            let found = Found { content, version, metadata: buffer, bytes: loaded };
            there.insert(info.name.to_string(), found);
        }
        // Two pages can have an entry of one name, and no store with these opens.
        let Ok(blob) = snapshot.blob(&info.name) else { continue };
        let size = blob.info().len;
        for (at, len) in [(0, 1), (size / 3, 100), (size / 2, size / 2)] {
            let mut part = vec![0; len.min(size - at) as usize];
            let is_read = blob.read_at(at, &mut part).is_ok();
            if let Some(whole) = &whole {
                assert!(is_read && part == whole[at as usize..][..part.len()]);
            }
        }
        assert!(matches!(
            blob.read_at(size, &mut [0]).as_ref().map_err(Error::kind),
            Err(ErrorKind::Range { .. })
        ));
    }
    // The other claims check its findings.
    drop(snapshot.verify(&mut |_| ()));
    assert!(snapshot.history().map_or(0, Iterator::count) <= 32);
    let Ok((store, _)) = open(medium) else { return };
    assert!(is_possible);
    // No store reaches the last numbers: a commit each nanosecond would take a century.
    if store.generation() < 1 << 62 {
        goes_on(medium, store, &there, Writers::Anyone);
    }
}
