//! A store against a map: transactions by chance in stores of many shapes, with names and metadata that split and merge
//! pages, with regions that are written in place, with growth, seals and crashes. At last each name is deleted.

use crate::cases::cases;
use crate::claims::lives::DATA;
use crate::plain::Plain;
use crate::random::Random;
use cachemaint::medium::Readable as _;
use cachemaint::preserve::{
    Attributes, Content, Error, ErrorKind, Options, Store, Transaction, Verify,
};
use core::convert::Infallible;
use std::collections::BTreeMap;

/// Histories of a usual run.
const RUNS: u64 = 300;

const UNITS: [usize; 10] = [64, 64, 64, 64, 128, 512, 2048, 4096, 8192, 65_536];
const BYTES: [usize; 4] = [20_000, 60_000, 200_000, 600_000];
/// Numbers of names.
const NAMES: [usize; 4] = [8, 30, 100, 400];
/// Bytes of the longest blob.
const LONGEST: [usize; 5] = [1, 100, 1000, 6000, 70_000];

/// The content, bytes and metadata by name.
type Model = BTreeMap<String, (Content, Vec<u8>, Vec<u8>)>;

type Outcome<T> = Result<T, Error<Infallible>>;

/// The settings of a whole history.
#[derive(Clone, Copy, Debug)]
struct Setting {
    unit: usize,
    names: usize,
    /// One change of so many creates a region.
    regions: usize,
    /// The kind of its names, and of its metadata.
    styles: [usize; 2],
    longest: usize,
}

impl Setting {
    fn any(random: &mut Random) -> Self {
        Self {
            unit: random.one_of(&UNITS),
            names: random.one_of(&NAMES),
            regions: random.one_of(&[4, 20, usize::MAX]),
            styles: [random.below(5), random.below(5)],
            longest: random.one_of(&LONGEST),
        }
    }

    /// Returns a name: short, long with much or little in common, or the beginning of others.
    fn name(&self, number: usize) -> String {
        match self.styles[0] {
            0 => format!("{number:04}"),
            1 => format!("{}{number:04}", "p".repeat(251)),
            2 => format!("{number:04}{}", "x".repeat(251)),
            3 => "a".repeat(number % 255 + 1),
            _ => format!("{}{number}", "é".repeat(number % 120)),
        }
    }

    fn any_name(&self, random: &mut Random) -> String {
        self.name(random.below(self.names))
    }

    /// Returns metadata. With the longest, each entry has a page of its own.
    fn metadata(&self, random: &mut Random) -> Vec<u8> {
        let len = match self.styles[1] {
            0 => 0,
            1 => 4096,
            2 => random.below(4097),
            3 => 2050 + random.below(300),
            _ => random.one_of(&[0, 700, 1100, 2200, 3300, 4096]),
        };
        vec![random.next() as u8; len]
    }

    fn blob(&self, random: &mut Random) -> Vec<u8> {
        let len = if random.once_in(3) { 0 } else { random.below(self.longest) };
        vec![random.next() as u8; len]
    }
}

fn options() -> Options<'static> {
    Options::with_entropy([1, 2])
}

/// Does one thing in a transaction, and to the map. What the store refuses must be impossible for the map, or the store is
/// full.
fn change(
    setting: &Setting,
    random: &mut Random,
    transaction: &mut Transaction<'_, Plain>,
    model: &mut Model,
    puts_in_10: usize,
) {
    let name = setting.any_name(random);
    let done = if random.once_in(setting.regions) {
        create_region(setting, random, transaction, model, name)
    } else if random.below(10) < puts_in_10 {
        put(setting, random, transaction, model, name)
    } else if random.once_in(5) {
        rename(transaction, model, &name, setting.any_name(random))
    } else {
        delete(transaction, model, &name)
    };
    assert!(
        matches!(done.as_ref().map_err(Error::kind), Ok(()) | Err(ErrorKind::Full { .. })),
        "{done:?}"
    );
}

fn put(
    setting: &Setting,
    random: &mut Random,
    transaction: &mut Transaction<'_, Plain>,
    model: &mut Model,
    name: String,
) -> Outcome<()> {
    let (metadata, bytes) = (setting.metadata(random), setting.blob(random));
    let attributes = Attributes::new(&name).metadata(&metadata);
    let is_region = |model: &Model| model.get(&name).is_some_and(|kept| kept.0 == Content::Region);
    if random.once_in(8) {
        let is_abandoned = random.once_in(5);
        let put = transaction.put_with(attributes, bytes.len() as u64, |writer| {
            writer.append(&bytes)?;
            if is_abandoned { Err(None) } else { Ok(()) }
        });
        match put {
            Ok(()) => {}
            Err(None) => return Ok(()),
            Err(Some(error)) => return is_taken(error, is_region(model)),
        }
    } else if let Err(error) = transaction.put(attributes, &bytes) {
        return is_taken(error, is_region(model));
    }
    assert!(!is_region(model));
    model.insert(name, (Content::Blob, bytes, metadata));
    Ok(())
}

/// A name is taken if it should be.
fn is_taken(error: Error<Infallible>, should: bool) -> Outcome<()> {
    if matches!(error.kind(), ErrorKind::NameTaken { .. } | ErrorKind::NotABlob { .. }) {
        assert!(should);
        return Ok(());
    }
    Err(error)
}

fn create_region(
    setting: &Setting,
    random: &mut Random,
    transaction: &mut Transaction<'_, Plain>,
    model: &mut Model,
    name: String,
) -> Outcome<()> {
    let metadata = setting.metadata(random);
    let alignment = random.one_of(&[1, 64, 4096, 8192, 16_384]);
    let len = alignment.max(4096) * (1 + random.below(3));
    let attributes = Attributes::new(&name).metadata(&metadata).alignment(alignment as u64);
    if let Err(error) = transaction.create_region(attributes, len as u64) {
        return is_taken(error, model.contains_key(&name));
    }
    let created = (Content::Region, vec![0; len], metadata);
    assert!(model.insert(name, created).is_none());
    Ok(())
}

/// Writes to regions in place. One of them cannot be deleted meanwhile, and the store not sealed.
fn write_regions(random: &mut Random, store: &mut Store<Plain>, model: &mut Model) {
    let regions = model.iter_mut().filter(|(_, kept)| kept.0 == Content::Region);
    for (name, (_, bytes, _)) in regions {
        if random.once_in(2) {
            continue;
        }
        let region = store.region(name).unwrap();
        let at = random.below(bytes.len());
        let some = vec![random.next() as u8; random.below(bytes.len() - at)];
        region.write(at as u64, &some);
        bytes[at..at + some.len()].copy_from_slice(&some);
        assert!(!store.snapshot().unwrap().is_sealed());
        let mut transaction = store.begin().unwrap();
        let refused = transaction.delete(name).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::RegionInUse { .. }), "{refused}");
    }
}

fn rename(
    transaction: &mut Transaction<'_, Plain>,
    model: &mut Model,
    from: &str,
    to: String,
) -> Outcome<()> {
    match transaction.rename(from, &to) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound { .. }) => {
            assert!(!model.contains_key(from));
        }
        Err(error) if matches!(error.kind(), ErrorKind::NameTaken { .. }) => {
            assert!(model.contains_key(&to));
        }
        done => {
            done?;
            let renamed = model.remove(from).unwrap();
            assert!(model.insert(to, renamed).is_none());
        }
    }
    Ok(())
}

fn delete(transaction: &mut Transaction<'_, Plain>, model: &mut Model, name: &str) -> Outcome<()> {
    match transaction.delete(name) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound { .. }) => {
            assert!(!model.contains_key(name));
        }
        done => {
            done?;
            assert!(model.remove(name).is_some());
        }
    }
    Ok(())
}

/// Deletes a blob in a transaction of its own, which is always possible.
fn delete_alone(store: &mut Store<Plain>, name: &str) {
    let mut transaction = store.begin().unwrap();
    transaction.delete(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    transaction.commit().unwrap();
}

fn has(store: &Store<Plain>, model: &Model) {
    let snapshot = store.snapshot().unwrap();
    let mut entries = snapshot.entries();
    let mut buffer = vec![0; 4096];
    for (name, (content, bytes, metadata)) in model {
        let info = entries.next().unwrap().unwrap();
        assert_eq!((&*info.name, info.len), (&**name, bytes.len() as u64));
        assert_eq!(info.content, *content);
        assert!(snapshot.metadata(&info, &mut buffer).unwrap() == metadata);
        let mut found = vec![0; bytes.len()];
        if *content == Content::Region {
            assert!(info.offset.is_multiple_of(4096));
            let Ok(()) = store.medium().read(info.offset, &mut found);
        } else {
            snapshot.blob(name).unwrap().read_at(0, &mut found).unwrap();
        }
        assert!(found == *bytes);
    }
    assert!(entries.next().is_none());
    assert_eq!(snapshot.blobs(), model.len() as u64);
}

/// Returns the store as it is found after a crash now. All that is in no use is free there, too.
fn crashed(store: &Store<Plain>, medium: &Plain, model: &Model) -> Store<Plain> {
    let after = Plain::new(medium.bytes());
    let (after, opened) = options().verify(Verify::Always).open(after).unwrap();
    assert!(opened.mended.is_empty() && opened.verification.unwrap().is_whole());
    assert_eq!(after.capacity().free, store.capacity().free);
    has(&after, model);
    after
}

/// A transaction, which is committed or dropped.
fn transact(setting: &Setting, random: &mut Random, store: &mut Store<Plain>, model: &mut Model) {
    let free = store.capacity().free;
    let mut changed = model.clone();
    let mut transaction = store.begin().unwrap();
    let most = random.one_of(&[1, 4, 40, setting.names]);
    let puts_in_10 = random.below(11);
    for _ in 0..=random.below(most) {
        change(setting, random, &mut transaction, &mut changed, puts_in_10);
    }
    if random.once_in(8) {
        drop(transaction);
        assert_eq!(store.capacity().free, free);
    } else {
        transaction.commit().unwrap();
        *model = changed;
    }
    has(store, model);
}

/// Opens the store again, which has grown perhaps.
fn reopened(random: &mut Random, medium: &mut Plain) -> Store<Plain> {
    if random.once_in(3) {
        let mut longer = medium.bytes();
        longer.resize(longer.len() + 8 * random.below(4000), 0xa5);
        *medium = Plain::new(longer);
    }
    options().open(medium.clone()).unwrap().0
}

fn history(seed: u64) {
    let mut random = Random(seed);
    let setting = Setting::any(&mut random);
    let least = DATA.next_multiple_of(setting.unit) + 4 * setting.unit.max(192);
    let bytes = least + random.one_of(&BYTES).max(8 * setting.unit) + 8 * random.below(1000);
    let mut medium = Plain::new(vec![0; bytes]);
    let mut store = options().unit(setting.unit as u64).create_new(medium.clone()).unwrap();
    let mut model = Model::new();
    for _ in 0..3 + random.below(10) {
        transact(&setting, &mut random, &mut store, &mut model);
        let mut after = crashed(&store, &medium, &model);
        if let Some(name) = model.keys().nth(random.below(model.len().max(1))) {
            delete_alone(&mut after, name);
        }
        match random.below(6) {
            0 => store = reopened(&mut random, &mut medium),
            1 => {
                assert!(store.seal().unwrap() > 0);
                write_regions(&mut random, &mut store, &mut model);
            }
            2 => write_regions(&mut random, &mut store, &mut model),
            _ => {}
        }
    }
    let mut names: Vec<String> = model.into_keys().collect();
    while !names.is_empty() {
        delete_alone(&mut store, &names.swap_remove(random.below(names.len())));
    }
    crashed(&store, &medium, &Model::new());
}

#[test]
fn a_store_does_what_a_map_does() {
    for seed in 0..cases(RUNS) {
        println!("history {seed}");
        history(seed);
    }
}
