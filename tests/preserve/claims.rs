//! Claims that hold for a store with any damage to its bytes. The property tests and the fuzzers in `fuzz/` share them.

use super::plain::Plain;
use cachemaint::medium::{Bytes, Readable};
use cachemaint::preserve::{
    Attributes, Boot, Content, Damage, Error, ErrorKind, Info, Options, Part, Reader, Snapshot,
    Store, Transaction, Verify,
};
use core::convert::Infallible;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

/// The offset at which blobs and tables begin in a store with units of 64, by the documentation of the format.
pub(crate) const DATA: usize = 25_600;
/// Bytes that have a tag of their own. They are fewer for fuzzers, as `src/preserve/format/mod.rs` says.
const CHUNK: u64 = if cfg!(cachemaint_small_chunks) { 4096 } else { 65_536 };
/// The most bytes of a name and of metadata, which are fewer there, too.
const NAME: usize = if cfg!(cachemaint_small_chunks) { 64 } else { 255 };
const METADATA: usize = if cfg!(cachemaint_small_chunks) { 64 } else { 4096 };

/// Lengths of blobs: of no chunk, of one and of several, at their boundaries and beside.
#[cfg_attr(not(fuzzing), expect(dead_code, reason = "strategies choose their own"))]
pub(crate) const LENGTHS: [u32; 16] =
    [0, 1, 8, 63, 64, 65, 128, 200, 1000, 2000, 4095, 4096, 4097, 8192, 8193, 12_000];

/// The options of each store, so that its identity is the same each time.
pub(crate) fn options() -> Options<'static, Plain> {
    Options::with_entropy([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]).unit(64)
}

/// One operation in a transaction.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Deed {
    Put {
        name: u8,
        #[cfg_attr(fuzzing, arbitrary(with = length))]
        len: u32,
        metadata: u8,
    },
    /// A blob is put piece by piece, with an unknown length.
    Stream {
        name: u8,
        #[cfg_attr(fuzzing, arbitrary(with = length))]
        len: u32,
        metadata: u8,
    },
    Delete(u8),
    Rename(u8, u8),
    /// A region of one page, or of two.
    Region {
        name: u8,
        twice: bool,
        metadata: u8,
    },
}

#[cfg(fuzzing)]
fn length(unstructured: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<u32> {
    unstructured.choose(&LENGTHS).copied()
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum End {
    Commit,
    Abandon,
    /// The transaction is committed, and the store sealed.
    Seal,
    /// The transaction is committed, and the store opened again.
    Reopen,
}

/// A transaction.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) struct Step {
    pub(crate) deeds: Vec<Deed>,
    pub(crate) end: End,
}

/// A blob as it was put, or a region, whose bytes are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) version: u64,
    pub(crate) metadata: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_region: bool,
}

/// Blobs and regions by name.
pub(crate) type Blobs = BTreeMap<String, Kept>;

/// Short ones, one of several bytes a letter, and the longest; then many.
pub(crate) fn name(number: u8) -> String {
    match number % 36 {
        0 => "a".into(),
        1 => "b".into(),
        2 => "state/of a longer name".into(),
        3 => "äöü".into(),
        4 => "z".repeat(NAME),
        5 => "c".into(),
        many => format!("n{}", many * 7 % 31),
    }
}

/// Not two numbers have the same.
pub(crate) fn kept(number: u64, len: u32, metadata: u8) -> Kept {
    let noise = (0..u64::from(len).div_ceil(8)).flat_map(|at| noise(number, at).to_le_bytes());
    let mut bytes: Vec<u8> = noise.collect();
    bytes.truncate(len as usize);
    let metadata = vec![number as u8; METADATA.min(usize::from(metadata) * 16)];
    Kept { version: number, metadata, bytes, is_region: false }
}

/// Steele, Lea and Flood's `SplitMix64`.
fn noise(seed: u64, at: u64) -> u64 {
    let state = (seed << 32 | at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Does it, to the blobs too; what was refused is done to neither.
pub(crate) fn apply(
    deed: &Deed,
    number: u64,
    transaction: &mut Transaction<'_, Plain>,
    blobs: &mut Blobs,
) -> Result<(), Error<Infallible>> {
    match *deed {
        Deed::Put { name: of, len, metadata } | Deed::Stream { name: of, len, metadata } => {
            let (name, kept) = (name(of), kept(number, len, metadata));
            let attributes = Attributes::new(&name).version(kept.version).metadata(&kept.metadata);
            if matches!(deed, Deed::Put { .. }) {
                transaction.put(attributes, &kept.bytes)?;
            } else {
                transaction.put_with(attributes, None, |writer| {
                    kept.bytes.chunks(5000).try_for_each(|piece| writer.append(piece))
                })?;
            }
            blobs.insert(name, kept);
        }
        Deed::Delete(of) => {
            transaction.delete(&name(of))?;
            blobs.remove(&name(of)).unwrap();
        }
        Deed::Rename(from, to) => {
            transaction.rename(&name(from), &name(to))?;
            let renamed = blobs.remove(&name(from)).unwrap();
            assert_eq!(blobs.insert(name(to), renamed), None);
        }
        Deed::Region { name: of, twice, metadata } => {
            let (name, kept) = (name(of), Kept { is_region: true, ..kept(number, 0, metadata) });
            let attributes = Attributes::new(&name).version(kept.version).metadata(&kept.metadata);
            transaction.create_region(attributes, if twice { 8192 } else { 4096 })?;
            blobs.insert(name, kept);
        }
    }
    Ok(())
}

/// The image of a store after all steps, and the contents expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Lived {
    pub(crate) image: Vec<u8>,
    generation: u64,
    pub(crate) last: Blobs,
    /// The commit before.
    before: Blobs,
    history: Vec<Boot>,
    /// Each blob with all that belongs to it.
    pub(crate) places: Vec<Range<u64>>,
}

/// Creates a store of so many bytes and does all steps. Those without room are skipped.
pub(crate) fn live(bytes: usize, steps: &[Step]) -> Lived {
    let medium = Plain::new(vec![0; bytes]);
    let mut store = options().create_new(medium.clone()).unwrap();
    let (mut last, mut before) = (Blobs::new(), Blobs::new());
    for (step, number) in steps.iter().zip((0..).step_by(100)) {
        let (mut blobs, generation) = (last.clone(), store.generation());
        let mut transaction = store.begin().unwrap();
        for (deed, number) in step.deeds.iter().zip(number..) {
            match apply(deed, number, &mut transaction, &mut blobs) {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Full { .. }
                            | ErrorKind::NotFound { .. }
                            | ErrorKind::NameTaken { .. }
                            | ErrorKind::NotABlob { .. }
                    ) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if matches!(step.end, End::Abandon) {
            continue;
        }
        if transaction.commit().unwrap() > generation {
            before = core::mem::replace(&mut last, blobs);
        }
        match step.end {
            End::Commit | End::Abandon => continue,
            End::Seal => drop(store.seal().unwrap()),
            End::Reopen => {
                drop(store);
                store = options().open(medium.clone()).unwrap().0;
            }
        }
        before.clone_from(&last);
    }
    let snapshot = store.snapshot().unwrap();
    let history = snapshot.history().unwrap().map(Result::unwrap).collect();
    let infos = snapshot.entries().map(Result::unwrap);
    let places = infos.map(|info| info.offset..tags(&info).end).collect();
    Lived { image: medium.bytes(), generation: store.generation(), last, before, history, places }
}

/// The offset of a blob's list of tags, by the documentation of the format. A region has none.
fn tags(info: &Info) -> Range<u64> {
    if info.content == Content::Region {
        return info.offset + info.len..info.offset + info.len;
    }
    let chunks = info.len.div_ceil(CHUNK);
    let at = info.offset + info.len.next_multiple_of(8);
    if chunks > 1 { at..at + 8 * chunks } else { at..at }
}

/// A page of the table, and the pages below it.
struct Page {
    copies: [Range<u64>; 2],
    /// Of its own entries.
    names: Vec<String>,
    below: Vec<Page>,
}

impl Lived {
    /// Returns both copies of the current header.
    fn headers(&self) -> [Range<u64>; 2] {
        let at = self.generation % 2 * 4096;
        [at, at + 8192].map(|at| at..at + 64)
    }

    fn word(&self, at: u64) -> u64 {
        u64::from_le_bytes(*self.image[at as usize..].first_chunk().unwrap())
    }

    /// Both copies of the table's root.
    fn roots(&self) -> [Range<u64>; 2] {
        let header = self.headers()[0].start;
        let len = self.word(header + 8) >> 32;
        [40, 48].map(|at| self.word(header + at)).map(|at| at..at + len)
    }

    /// The table, from its root on.
    fn table(&self) -> Page {
        let copies = self.roots();
        let level = self.word(copies[0].start + 40) >> 16 & 0xffff;
        self.page(copies, 176, level)
    }

    /// A page whose entries or children begin at its byte `at`.
    fn page(&self, copies: [Range<u64>; 2], at: u64, level: u64) -> Page {
        let (mut at, end) = (copies[0].start + at, copies[0].end);
        let (mut names, mut below) = (Vec::new(), Vec::new());
        while at < end {
            let lens = self.word(at + if level == 0 { 48 } else { 24 });
            let (first, second) = (lens & 0xffff, lens >> 16 & 0xffff);
            if level == 0 {
                // The byte after the length of the name is 1 for a region.
                let first = first & 0xff;
                let name = &self.image[at as usize + 52..][..first as usize];
                names.push(String::from_utf8(name.to_vec()).unwrap());
                at += (52 + first + second).next_multiple_of(8);
            } else {
                let places = [0, 8].map(|copy| self.word(at + copy));
                below.push(self.page(places.map(|at| at..at + first), 0, level - 1));
                at += (28 + second).next_multiple_of(8);
            }
        }
        Page { copies, names, below }
    }

    /// Both copies of each page of the table.
    pub(crate) fn tables(&self) -> Vec<Range<u64>> {
        let mut copies = Vec::new();
        let mut pages = vec![self.table()];
        while let Some(page) = pages.pop() {
            copies.extend(page.copies);
            pages.extend(page.below);
        }
        copies
    }

    /// The history that holds.
    fn history(&self) -> Range<u64> {
        let root = self.roots()[0].start;
        let at = 16_384 + self.word(root + 24) % 2 * 4608;
        at..at + (self.word(root + 40) & 0xffff)
    }
}

/// The place of the harm.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Area {
    Headers,
    Tables,
    History,
    Blob(u8),
    Anywhere,
}

/// The kind of the harm.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Kind {
    Bit(u8),
    Zeros(u16),
    Ones(u16),
    /// Bytes that are made of the seed: to choose them would be to forge tags.
    Noise(u16, u32),
    /// A copy of bytes from elsewhere.
    Copy(u16, u32),
    /// The end is missing from there on.
    Cut,
}

/// Damage. Places are counted in bytes, round and round.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) struct Harm {
    pub(crate) area: Area,
    pub(crate) at: u32,
    pub(crate) kind: Kind,
}

impl Harm {
    pub(crate) fn apply(&self, lived: &Lived, image: &mut Vec<u8>) {
        let within = |range: Range<u64>| {
            let len = (range.end - range.start).max(1);
            range.start + u64::from(self.at) % len
        };
        let at = match self.area {
            Area::Headers => u64::from(self.at / 64 % 4 * 4096 + self.at % 64),
            Area::Tables => {
                let tables = lived.tables();
                within(tables[self.at as usize / 2 % tables.len()].clone())
            }
            Area::History => within(lived.history()),
            Area::Blob(_) if lived.places.is_empty() => return,
            Area::Blob(which) => {
                within(lived.places[usize::from(which) % lived.places.len()].clone())
            }
            Area::Anywhere => within(0..lived.image.len() as u64),
        } as usize;
        let rest = image.len().saturating_sub(at);
        let range = |len: u16| at..at + rest.min(len.into());
        match self.kind {
            _ if rest == 0 => {}
            Kind::Bit(bit) => image[at] ^= 1 << (bit % 8),
            Kind::Zeros(len) => image[range(len)].fill(0),
            Kind::Ones(len) => image[range(len)].fill(0xff),
            Kind::Noise(len, seed) => {
                for (byte, at) in image[range(len)].iter_mut().zip(0..) {
                    *byte = noise(seed.into(), at) as u8;
                }
            }
            Kind::Copy(len, from) => {
                let from = from as usize % image.len();
                let len = range(len).len().min(image.len() - from);
                image.copy_within(from..from + len, at);
            }
            Kind::Cut => image.truncate(at / 8 * 8),
        }
    }
}

/// The findings about a blob; no bytes, if they are damaged. Those of a region cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    content: Content,
    version: u64,
    metadata: Vec<u8>,
    bytes: Option<Vec<u8>>,
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

/// Blobs that are whole, and regions.
pub(crate) fn whole(blobs: &Blobs) -> BTreeMap<String, Found> {
    let all = blobs.iter().map(|(name, kept)| {
        let Kept { version, metadata, bytes, is_region } = kept.clone();
        let (content, bytes) =
            if is_region { (Content::Region, None) } else { (Content::Blob, Some(bytes)) };
        (name.clone(), Found { content, version, metadata, bytes })
    });
    all.collect()
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

    /// A blob is returned as it was or not at all, and each chunk that is whole can be read.
    fn blob_is_read<R: Readable>(&self, snapshot: &Snapshot<'_, R>, info: &Info, bytes: &[u8])
    where
        R::Error: core::fmt::Debug,
    {
        let (place, tags) = (info.range(), tags(info));
        match read(snapshot, info) {
            Ok(found) => assert!(found == bytes, "{info:?}"),
            Err(error) if self.is_hit(&place) || self.is_hit(&tags) => match ErrorKind::from(error)
            {
                ErrorKind::Damaged(damage) => self.is_told(&damage),
                ErrorKind::Truncated { size, needed, .. } => self.is_missing(size, needed),
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
    fn is_verified<R: Readable>(&self, snapshot: &Snapshot<'_, R>)
    where
        R::Error: core::fmt::Debug,
    {
        let verification = snapshot.verify(&mut |_| ()).unwrap();
        let unreadable =
            |info: &Info| info.content == Content::Blob && read(snapshot, info).is_err();
        let infos = snapshot.entries().filter_map(Result::ok).filter(unreadable);
        let unreadable: Vec<_> = infos.map(|info| info.name.to_string()).collect();
        let told: Vec<_> = verification.damaged.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(told, unreadable);
        verification.damaged.iter().for_each(|(_, damage)| self.is_told(damage));
        let costs = self.costs();
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
        assert_eq!(offsets(&copies), hit.chain(costs.copies).collect());
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
pub(crate) fn damage_costs_what_it_touches(lived: &Lived, after: &[u8]) {
    let harmed = Harmed { lived, after, is_cut: after.len() < lived.image.len() };
    let is_whole = |copies: [Range<u64>; 2]| copies.iter().any(|copy| !harmed.is_hit(copy));
    let has_header = is_whole(lived.headers());
    let bytes = Bytes(after);
    let snapshot = match Snapshot::of(&bytes) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            assert!(!(has_header && is_whole(lived.roots())), "{error}");
            if let ErrorKind::Truncated { size, needed, .. } = *error.kind() {
                harmed.is_missing(size, needed);
            }
            return assert!(options().open(Plain::new(after.to_vec())).is_err());
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
        assert!(
            matches!(
                error.as_ref().map_err(Error::kind),
                Err(ErrorKind::Damaged(Damage { part: Part::Page, .. }))
            ),
            "{error:?}"
        );
    }
    if is_last {
        let there = committed.keys().filter(|name| !costs.lost.contains(*name));
        assert!(infos.iter().map(|info| &*info.name).eq(there));
        assert_eq!(errors.len(), costs.pages.len());
        for name in &costs.lost {
            let found = snapshot.find(name);
            assert!(matches!(
                found.as_ref().map_err(Error::kind),
                Err(ErrorKind::Damaged(Damage { part: Part::Page, .. }))
            ));
        }
    }
    for info in &infos {
        let kept = &committed[&*info.name];
        assert_eq!(
            (info.version, metadata(&snapshot, info), info.content == Content::Region),
            (kept.version, kept.metadata.clone(), kept.is_region)
        );
        if kept.is_region {
            let error = read(&snapshot, info).map_err(ErrorKind::from);
            assert!(matches!(error, Err(ErrorKind::NotABlob { .. })), "{error:?}");
        } else if is_last {
            harmed.blob_is_read(&snapshot, info, &kept.bytes);
        } else if let Ok(found) = read(&snapshot, info) {
            assert!(found == kept.bytes, "{info:?}");
        }
    }
    if is_last {
        harmed.is_verified(&snapshot);
        match snapshot.history() {
            Ok(boots) => assert!(boots.map(Result::unwrap).eq(lived.history.iter().copied())),
            Err(error) => assert!(harmed.is_hit(&lived.history()), "{error}"),
        }
    }
    let medium = Plain::new(after.to_vec());
    match options().verify(Verify::Always).open(medium.clone()) {
        Ok((store, opened)) => {
            assert!(errors.is_empty(), "{errors:?}");
            if is_last {
                opened.mended.iter().for_each(|damage| harmed.is_told(damage));
            }
            goes_on(&medium, store, &found(&snapshot), Writers::ThisLibrary);
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
/// the documentation a blob can always be deleted if only this library has written to the store.
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
            Ok(()) => expected.extend(whole(&[(name.clone(), kept.clone())].into())),
            Err(error) if matches!(error.kind(), ErrorKind::NotABlob { .. }) => {
                assert_eq!(expected[&name].content, Content::Region);
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}"),
        }
    }
    transaction.commit().unwrap();
    is_there(&store, &expected);
    drop(store);
    let (store, opened) = options().open(medium.clone()).unwrap();
    assert_eq!(opened.mended, []);
    is_there(&store, &expected);
    each_header_is_enough(&medium.bytes());
}

fn is_there(store: &Store<Plain>, expected: &BTreeMap<String, Found>) {
    let snapshot = store.snapshot().unwrap();
    assert!(found(&snapshot) == *expected);
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    assert_eq!(verification.copies, []);
    let unreadable = expected.values().filter(|found| found.bytes.is_none());
    let damaged = unreadable.filter(|found| found.content == Content::Blob).count();
    // A region is damaged where it overlaps something, which no writer opens.
    assert_eq!(verification.damaged.len(), damaged);
}

/// All four headers are whole.
fn each_header_is_enough(image: &[u8]) {
    for only in 0..4 {
        let mut image = image.to_vec();
        (0..4).filter(|other| *other != only).for_each(|other| image[other * 4096..][..64].fill(0));
        Snapshot::of(&Bytes(&image)).unwrap();
    }
}

/// Reading arbitrary bytes ends, in parts as in one piece, and a store that can be opened can be written.
pub(crate) fn anything_is_read_to_an_end(image: &[u8]) {
    let bytes = Bytes(image);
    let opened = Plain::new(image.to_vec());
    let Ok(snapshot) = Snapshot::of(&bytes) else {
        return assert!(options().open(opened).is_err());
    };
    let reader = Reader::open(bytes).unwrap();
    // The least child has 32 bytes, the least entry 56.
    assert!(snapshot.entries().count() <= image.len() / 32);
    for info in snapshot.entries().filter_map(Result::ok) {
        // It is found by its name, on a way that can be damaged elsewhere.
        let mut buffer = vec![0; info.metadata];
        match snapshot.metadata(&info, &mut buffer).map_err(ErrorKind::from) {
            Ok(found) => assert_eq!(found.len(), info.metadata),
            Err(error) => assert!(matches!(error, ErrorKind::Damaged(_) | ErrorKind::Replaced)),
        }
        let loaded = reader.load(&info.name).ok();
        let whole = read(&snapshot, &info).ok();
        assert!(whole == loaded);
        let Ok(blob) = snapshot.blob(&info.name) else { continue };
        for (at, len) in [(0, 1), (info.len / 3, 100), (info.len / 2, info.len / 2)] {
            let mut part = vec![0; len.min(info.len - at) as usize];
            let is_read = blob.read_at(at, &mut part).is_ok();
            if let Some(whole) = &whole {
                assert!(is_read && part == whole[at as usize..][..part.len()]);
            }
        }
        assert!(matches!(
            blob.read_at(info.len, &mut [0]).as_ref().map_err(Error::kind),
            Err(ErrorKind::Range { .. })
        ));
    }
    // The other claims check its findings.
    drop(snapshot.verify(&mut |_| ()));
    assert!(snapshot.history().map_or(0, Iterator::count) <= 32);
    let Ok((store, _)) = options().verify(Verify::Always).open(opened.clone()) else { return };
    // No store reaches the last numbers: a commit each nanosecond would take a century.
    if store.generation() < 1 << 62 {
        goes_on(&opened, store, &found(&snapshot), Writers::Anyone);
    }
}
