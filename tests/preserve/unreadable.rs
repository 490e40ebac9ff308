//! A medium that cannot read some of its bytes, as a file on a drive with bad sectors, and one that is written between two
//! readings.

use crate::claims::lives::options;
use crate::counting::Broken;
use crate::erased::erased;
use crate::plain::Plain;
use cachemaint::medium::{Granularity, Medium, Readable};
use cachemaint::preserve::{Error, ErrorKind, Options, Part, Reader, Snapshot, Store, Verify};
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::sync::Mutex;

type Work = Box<dyn FnOnce() + Send>;

/// A medium that refuses to read some ranges.
struct Failing {
    plain: Plain,
    bad: Vec<Range<u64>>,
    /// The number of readings at an offset before this work is done.
    before: Mutex<Option<(u64, usize, Work)>>,
}

impl Failing {
    fn new(plain: &Plain, bad: impl IntoIterator<Item = Range<u64>>) -> Self {
        let bad = bad.into_iter().collect();
        Self { plain: plain.clone(), bad, before: Mutex::new(None) }
    }

    /// Does the work, if its turn has come.
    fn work(&self, at: u64) {
        let mut before = self.before.lock().unwrap();
        match before.take() {
            Some((of, 0, work)) if of == at => work(),
            Some((of, left, work)) => *before = Some((of, left - usize::from(of == at), work)),
            None => {}
        }
    }
}

impl Readable for Failing {
    type Error = Broken;

    fn len(&self) -> u64 {
        Readable::len(&self.plain)
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.plain.load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        self.work(at);
        let end = at + into.len() as u64;
        if self.bad.iter().any(|bad| bad.start < end && at < bad.end) {
            return Err(Broken);
        }
        let Ok(()) = self.plain.read(at, into);
        Ok(())
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

impl Medium for Failing {
    fn granularity(&self) -> Granularity {
        Medium::granularity(&self.plain)
    }

    fn atomic_unit(&self) -> usize {
        Medium::atomic_unit(&self.plain)
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.plain.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.plain.write(at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        let Ok(()) = self.plain.issue_writeback(range);
        Ok(())
    }

    fn fence(&self) {
        self.plain.fence();
    }

    fn order_observed(&self) {
        self.plain.order_observed();
    }
}

const BLOBS: u64 = 300;

fn name(number: u64) -> String {
    format!("blob-{number:05}")
}

fn put(store: &mut Store<Plain>, name: &str, bytes: &[u8]) {
    let mut transaction = store.begin().unwrap();
    transaction.put(name, bytes).unwrap();
    transaction.commit().unwrap();
}

/// A store with a level of pages below the root, both copies of the root, and those of the last page below it.
///
/// By the documentation of the format: the header has the length of the root, its generation and the places of the root from
/// bytes 12, 24 and 40 on. Children follow 176 bytes of the root, and begin with the offsets of the page and its copy.
fn filled() -> (Plain, [Range<u64>; 2], [Range<u64>; 2]) {
    let medium = Plain::new(vec![0; 1 << 20]);
    let mut store = options().create_new(medium.clone()).unwrap();
    for number in 0..BLOBS {
        put(&mut store, &name(number), &[7; 100]);
    }
    let image = medium.bytes();
    let number = |at: usize| u64::from_le_bytes(*image[at..].first_chunk().unwrap());
    let header = [0, 4096].into_iter().max_by_key(|header| number(header + 24)).unwrap();
    let len = number(header + 12) & 0xffff;
    let roots = [40, 48].map(|at| number(header + at)..number(header + at) + len);
    let (mut child, mut pages) = (roots[0].start as usize + 176, [0..0, 0..0]);
    while child < roots[0].end as usize {
        let (len, of_name) = (number(child + 24) & 0xffff, number(child + 24) >> 16 & 0xffff);
        pages = [0, 8].map(|at| number(child + at)..number(child + at) + len);
        child += (28 + of_name as usize).next_multiple_of(8);
    }
    (medium, roots, pages)
}

fn writer() -> Options<'static> {
    Options::with_entropy([1, 2]).verify(Verify::Always)
}

/// The parts of which one copy is unreadable are found by the other one.
#[test]
fn one_unreadable_copy_of_a_header_or_a_page_costs_nothing() {
    let (medium, roots, pages) = filled();
    let headers = [0, 4096, 8192, 12_288].map(|at| at..at + 64);
    for bad in headers.into_iter().chain(roots).chain(pages) {
        let medium = Plain::new(medium.bytes());
        let reader = Reader::open(Failing::new(&medium, [bad.clone()])).unwrap();
        let verification = reader.snapshot().unwrap().verify(&mut |_| ()).unwrap();
        assert_eq!((verification.whole, verification.pages.len()), (BLOBS, 0), "{bad:?}");
        let copies: Vec<u64> = verification.copies.iter().map(|damage| damage.offset).collect();
        let newest = reader.snapshot().unwrap().generation() % 2 * 4096;
        let is_of_older_header = bad.end <= 16_384 && bad.start % 8192 != newest;
        assert_eq!(copies, if is_of_older_header { vec![] } else { vec![bad.start] });
        assert_eq!(reader.load(&name(BLOBS - 1)).unwrap(), [7; 100]);
        let failing = Failing::new(&medium, [bad.clone()]);
        let (_, opened) = writer().open(erased(&failing)).unwrap();
        assert!(opened.mended.iter().map(|damage| damage.offset).eq(copies), "{bad:?}");
        assert_eq!(opened.verification.unwrap().whole, BLOBS);
    }
}

#[test]
fn an_unreadable_blob_is_listed_as_damaged() {
    let (medium, ..) = filled();
    let info = Reader::open(medium.clone()).unwrap().stat(&name(7)).unwrap().unwrap();
    let failing = Failing::new(&medium, [info.range()]);
    let (store, opened) = writer().open(erased(&failing)).unwrap();
    let verification = opened.verification.unwrap();
    let [(damaged, damage)] = &verification.damaged[..] else { panic!("{verification:?}") };
    assert_eq!((&**damaged, damage.part), (&*name(7), Part::Bytes { at: 0 }));
    assert_eq!((damage.offset, damage.len, verification.whole), (info.offset, 100, BLOBS - 1));
    let refused = store.reader().load(&name(7));
    assert!(matches!(refused.as_ref().map_err(Error::kind), Err(ErrorKind::Medium(Broken))));
    assert_eq!(store.reader().load(&name(8)).unwrap(), [7; 100]);
}

/// The second chunk of three cannot be read.
#[test]
fn the_damage_of_an_unreadable_blob_begins_with_its_first_unreadable_chunk() {
    let medium = Plain::new(vec![0; 1 << 20]);
    let mut store = options().create_new(medium.clone()).unwrap();
    put(&mut store, "a", &vec![7; 150_000]);
    let at = store.reader().stat("a").unwrap().unwrap().offset;
    let medium = Failing::new(&medium, Some(at + 70_000..at + 70_512));
    let verification = Snapshot::of(&medium).unwrap().verify(&mut |_| ()).unwrap();
    let [(_, damage)] = &verification.damaged[..] else { panic!("{verification:?}") };
    assert_eq!(damage.part, Part::Bytes { at: 65_536 });
    assert_eq!((damage.offset, damage.len), (at + 65_536, 150_000 - 65_536));
}

#[test]
fn an_unreadable_page_is_listed_and_costs_the_blobs_that_it_names() {
    let (medium, _, pages) = filled();
    let reader = Reader::open(Failing::new(&medium, pages.clone())).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    let [page] = verification.pages[..] else { panic!("{verification:?}") };
    assert_eq!((page.part, page.offset), (Part::Page, pages[0].start));
    // It is the last one: the names of all others come before.
    let (found, lost): (Vec<_>, Vec<_>) = snapshot.entries().partition(Result::is_ok);
    assert!(
        found
            .iter()
            .flatten()
            .map(|info| info.name.to_string())
            .eq((0..verification.whole).map(name))
    );
    assert!(verification.whole < BLOBS);
    let [Err(error)] = &lost[..] else { panic!("{lost:?}") };
    assert!(matches!(error.kind(), ErrorKind::Medium(Broken)));
    let found = snapshot.find(&name(BLOBS - 1));
    assert!(matches!(found.as_ref().map_err(Error::kind), Err(ErrorKind::Medium(Broken))));
}

/// It may be the newest one: to take an older one for that would undo a commit.
#[test]
fn a_header_whose_copies_are_both_unreadable_is_an_error() {
    let (medium, ..) = filled();
    for slot in [0, 4096] {
        let bad = [slot, slot + 8192].map(|at| at..at + 64);
        let refused = Reader::open(Failing::new(&medium, bad)).map_err(|failed| {
            assert!(matches!(failed.error.kind(), ErrorKind::Medium(Broken)));
        });
        assert!(refused.is_err());
    }
}

#[test]
fn an_unreadable_history_begins_anew() {
    let (medium, ..) = filled();
    // The history of the creation is the first one, and the one of the next opening the second.
    let failing = Failing::new(&medium, Some(16_384..20_992));
    let (store, opened) = writer().open(erased(&failing)).unwrap();
    let [damage] = opened.mended[..] else { panic!("{:?}", opened.mended) };
    assert_eq!((damage.part, damage.offset), (Part::History, 16_384));
    assert_eq!(store.snapshot().unwrap().history().unwrap().count(), 1);
}

/// A reader has read the header of its snapshot when the writer replaces that header and ends. The next writer is killed while
/// it opens the store, after it has erased the header between.
#[test]
fn a_snapshot_that_was_replaced_before_the_call_is_never_current() {
    for reading in 0..5 {
        let medium = Plain::new(vec![0; 1 << 18]);
        let mut store = options().create_new(medium.clone()).unwrap();
        put(&mut store, "a", b"1");
        let reader = Failing::new(&medium, []);
        let snapshot = Snapshot::of(&reader).unwrap();
        assert_eq!(snapshot.generation(), 2);
        put(&mut store, "a", b"2");
        assert!(!snapshot.is_current().unwrap());
        let go_on = move || {
            put(&mut store, "a", b"3");
            drop(store);
            // The tag of generation 3, in both copies.
            for at in [4096 + 16, 12_288 + 16] {
                medium.write(at, &[0; 8]);
            }
        };
        *reader.before.lock().unwrap() = Some((4096, reading, Box::new(go_on)));
        assert!(!snapshot.is_current().unwrap(), "before reading {reading} of the second header");
    }
}
