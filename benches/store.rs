//! Saving and loading blobs, compared with bare copies of the same bytes.
//!
//! The library's store of named blobs in ordinary memory is compared with durable copies into the same memory, plain
//! copies out of it, and files.
//!
//! 256 MiB are saved in one transaction, as a whole and in pieces of 1 MiB. They are loaded into a buffer that was
//! written before, and into a new one. The targets of saving and the sources of loading are in no cache when the timing
//! starts, as after a reboot. The saved bytes differ each time, and are never all zero. The goals are 1.25 times a
//! durable copy for saving, and 1.1 times a plain copy for loading with verification.
//!
//! Small blobs are replaced one by one, scattered over the names, in stores of 1, 100, 10,000 and 100,000, each in its
//! own transaction, and blobs of 64 bytes also in one of a million. libpmemobj, if installed, does the same in an array,
//! which needs no lookup of a name: the goals are 0.45 to 1 of its time for 64 bytes, by the number of names, and 0.7
//! for 4 KiB; a million has no goal. For comparison, a bare loop makes the same bytes and lines durable with the same
//! fence: the blob, if it is not in its record, and two copies of the record. The loop computes no tag, finds no space,
//! and looks nothing up.
//!
//! Files are written in the directory for temporary files, which is on this machine's storage, not in DRAM. They are
//! overwritten, with fsync. Small ones are newly written, with fsync, and renamed, without the fsync of the directory
//! that would also make the new name durable.
//!
//! After criterion's figures the ratios are printed, from interleaved blocks, with their 95 % intervals. Then follow,
//! for 100,000 blobs of 64 bytes: the longest commit with and without a compaction of the log, the time to open the
//! store, and the number of bytes written for each byte of a blob; and for a million, the memory that an open store
//! takes for a name.

use cachemaint::Cache;
use cachemaint::medium::Backing;
use cachemaint::medium::{Granularity, Medium, Memory, Readable, WriterLock};
use cachemaint_benches::contenders::{Case, Contender, print_heading};
#[cfg(target_os = "linux")]
use cachemaint_benches::libpmemobj::Libpmemobj;
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::lines::{PAGE, Region, WORD};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::payloads::Payloads;
use cachemaint_benches::{Outcome, is_small, run_with};
use cachemaint_store::{Options, Store};
use cachemaint_test_support::allocated::{Counting, counted};
use core::convert::Infallible;
use core::error::Error;
use core::fmt::Debug;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::process::ExitCode;
use tempfile::TempDir;

/// Bytes of the large blob.
const LARGE: usize = LARGE_MIB << 20;
const LARGE_MIB: usize = 256;
/// Bytes that a writer gets at a time.
const PIECE: usize = 1 << 20;
/// Bytes of the store: for the large blob and its replacement, with their tags, and for the log of many.
const STORE: usize = 2 * LARGE + (128 << 20);
/// Bytes after the store, for the bare copies: two places in turn, as in the store.
const BARE: usize = 2 * LARGE;
/// Bytes for each mirror of bare records, at the beginning of their memory.
const LOG: usize = 16 * PAGE;
/// The maximum size in bytes of a blob that is stored in its record.
const VALUE: usize = 256;
/// Pages of a store's roots, at its beginning.
const ROOTS: usize = 4;
const NAME: &str = "large";

/// The goal for saving relative to a durable copy.
const SAVE: f64 = 1.25;
/// The goal for loading relative to a plain copy.
const LOAD: f64 = 1.1;

const SMALL: [usize; 2] = [64, 4 << 10];
const BLOBS: [usize; 4] = [1, 100, 10_000, 100_000];
/// The number of blobs of 64 bytes that have a store of their own.
const MANY: usize = 1_000_000;
/// Bytes of that store: four times twice its entries, while the areas for half as many are in use.
const STORE_OF_MANY: usize = 3 << 30;
/// The number of small blobs that one block replaces in a store, and in files.
const REPLACED: usize = 256;
const REPLACED_FILES: usize = 2;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    run_with(
        Bench::new(),
        |bench, criterion| {
            bench.for_each_case(|mut case, _| {
                case.measure(criterion);
                Ok(())
            })
        },
        |bench, out| {
            let blocks = Blocks::FEWEST;
            let files = bench.directory.path().display();
            print_heading(out, &format!("save and load blobs, files in {files}"), blocks)?;
            bench.for_each_case(|case, blocks| case.print_ratios(out, blocks).map(drop))?;
            bench.print_singles(out)
        },
    )
}

/// The parts that are created once.
struct Bench {
    clock: Clock,
    cache: Cache,
    /// The memory of the store, followed by that of bare copies.
    memory: Region,
    /// The memory of the store of many blobs, unless a test leaves it out.
    many: Option<Region>,
    directory: TempDir,
    large: Payloads,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            clock: Clock::new(),
            cache: to_persistence()?,
            memory: Region::new((STORE + BARE) / PAGE),
            many: (!is_small()).then(|| Region::new(STORE_OF_MANY / PAGE)),
            directory: TempDir::new()?,
            large: Payloads::new(LARGE),
        })
    }

    /// Calls `then` with each case and its number of blocks.
    fn for_each_case(&self, mut then: impl FnMut(Case<'_>, Blocks) -> Outcome) -> Outcome {
        let (few, many) = (Blocks::FEWEST, Blocks::at_least(101));
        then(self.saves()?, few)?;
        then(self.saves_in_pieces()?, few)?;
        then(self.loads()?, few)?;
        then(self.loads_into_new_buffers()?, few)?;
        for bytes in SMALL {
            for blobs in BLOBS {
                then(self.replaces(self.empty_store()?, blobs, bytes)?, many)?;
            }
        }
        if let Some(store) = self.store_of_many() {
            then(self.replaces(store?, MANY, SMALL[0])?, many)?;
        }
        Ok(())
    }

    fn saves(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let put = |store: &mut Store<Memory<'_>>, bytes: &[u8]| {
            let mut transaction = store.begin()?;
            transaction.put(NAME, bytes)?;
            transaction.commit()
        };
        let contenders = vec![self.save(put)?, self.durable_copy(Some(SAVE)), self.file()?];
        Ok(large("save 256 MiB, each MiB", contenders))
    }

    fn saves_in_pieces(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let write = |store: &mut Store<Memory<'_>>, bytes: &[u8]| {
            let mut transaction = store.begin()?;
            transaction.put_with(NAME, bytes.len() as u64, |writer| {
                bytes.chunks(PIECE).try_for_each(|piece| writer.append(piece))
            })?;
            transaction.commit()
        };
        let contenders = vec![self.save(write)?, self.durable_copy(Some(SAVE))];
        Ok(large("save 256 MiB in pieces of 1 MiB, each MiB", contenders))
    }

    /// Returns the case of loads into a buffer that was written before.
    fn loads(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let (store, place) = self.store_of_large()?;
        let read_at = move |into: &mut Vec<u8>| store.blob(NAME)?.read_at(0, into);
        let (memory, at) = (self.store_memory(), place.start);
        let read = move |into: &mut Vec<u8>| Readable::read(&memory, at, into);
        let contenders = vec![
            self.load("cachemaint", place.clone(), false, read_at),
            self.durable_copy(None),
            Contender { goal: Some(LOAD), ..self.load("plain copy", place, false, read) },
        ];
        Ok(large("load 256 MiB, each MiB", contenders))
    }

    fn loads_into_new_buffers(&self) -> Result<Case<'_>, Box<dyn Error>> {
        let (store, place) = self.store_of_large()?;
        let load = move |into: &mut Vec<u8>| store.load(NAME).map(|bytes| *into = bytes);
        let (memory, at) = (self.store_memory(), place.start);
        let read = move |into: &mut Vec<u8>| {
            *into = vec![0; LARGE];
            Readable::read(&memory, at, into)
        };
        let contenders = vec![
            self.load("cachemaint", place.clone(), true, load),
            self.durable_copy(None),
            Contender { goal: Some(LOAD), ..self.load("plain copy", place, true, read) },
        ];
        Ok(large("load 256 MiB into a new buffer, each MiB", contenders))
    }

    fn replaces<'a>(
        &'a self,
        store: Store<Memory<'a>>,
        blobs: usize,
        bytes: usize,
    ) -> Result<Case<'a>, Box<dyn Error>> {
        let mut contenders = vec![self.replace(store, blobs, bytes)?];
        #[cfg(target_os = "linux")]
        contenders.extend(self.libpmemobj(blobs, bytes)?);
        contenders.extend([self.bare_replace(blobs, bytes), self.renamed_file(bytes)]);
        let name = format!("replace {bytes} B, one of {blobs}");
        Ok(Case { name, operations: REPLACED, contenders })
    }
}

/// Bytes of the record that a commit appends for a blob with a name of 8 bytes: a head of 40, an entry of 64, and the
/// blob itself if it has at most 256 bytes.
const fn record(bytes: usize) -> usize {
    let value = if bytes <= VALUE { bytes } else { 0 };
    (40 + 64 + value).next_multiple_of(64)
}

/// Returns the goal for replacing small blobs relative to libpmemobj.
const fn replacing(blobs: usize, bytes: usize) -> Option<f64> {
    match blobs {
        _ if bytes > SMALL[0] => Some(0.7),
        0..100 => Some(0.45),
        100..10_000 => Some(0.5),
        10_000..100_000 => Some(0.8),
        100_000..MANY => Some(1.0),
        _ => None,
    }
}

/// Returns the blob to replace as the `number`th: each one once, far from the previous one by name.
const fn scattered(number: usize, blobs: usize) -> usize {
    // A prime, which divides none of `BLOBS` and not `MANY`.
    number * 7919 % blobs
}

/// Returns a case that is measured for each MiB.
fn large<'a>(name: &str, contenders: Vec<Contender<'a>>) -> Case<'a> {
    Case { name: name.to_owned(), operations: LARGE_MIB, contenders }
}

#[expect(clippy::cast_precision_loss, reason = "a block has fewer operations than 2^53")]
fn each(ns: f64, operations: usize) -> f64 {
    ns / operations as f64
}

/// Large blobs.
impl Bench {
    /// Saves in a transaction, over a blob of the same name.
    fn save<'a, E: Debug + 'a>(
        &'a self,
        save: fn(&mut Store<Memory<'a>>, &[u8]) -> Result<u64, E>,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let (mut store, mut turn, mut found) = (self.empty_store()?, 0, self.buffer());
        let block_ns = move || {
            turn += 1;
            let bytes = self.large.of(turn);
            self.drop_lines(0..STORE as u64);
            let ns = self.completed_ns(|| save(&mut store, bytes));
            let read = store.blob(NAME).and_then(|blob| blob.read_at(0, &mut found));
            assert!(read.is_ok() && found == bytes, "{read:?}");
            each(ns, LARGE_MIB)
        };
        Ok(Contender { name: "cachemaint".to_owned(), goal: None, block_ns: Box::new(block_ns) })
    }

    /// Copies the same bytes from the same source to two places after the store, in turn.
    fn durable_copy(&self, goal: Option<f64>) -> Contender<'_> {
        let (memory, mut turn, mut found) = (self.bare_memory(), 0, self.buffer());
        let block_ns = move || {
            turn += 1;
            let (at, bytes) = ((turn % 2 * LARGE) as u64, self.large.of(turn));
            self.drop_lines(STORE as u64 + at..(STORE + LARGE) as u64 + at);
            let ns = self.completed_ns(|| Medium::persist_copy(&memory, &[(at, bytes)]));
            let read = Readable::read(&memory, at, &mut found);
            assert!(read.is_ok() && found == bytes, "{read:?}");
            each(ns, LARGE_MIB)
        };
        let name = "bare durable copy".to_owned();
        Contender { name, goal, block_ns: Box::new(block_ns) }
    }

    /// Writes a file again from its beginning, made durable by fsync.
    fn file(&self) -> Result<Contender<'_>, Box<dyn Error>> {
        let path = self.directory.path().join(NAME);
        let (mut file, mut turn) = (File::create(&path)?, 0);
        let block_ns = move || {
            turn += 1;
            let bytes = self.large.of(turn);
            let ns = self.completed_ns(|| {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(bytes)?;
                file.sync_all()
            });
            let len = file.metadata().map(|metadata| metadata.len());
            assert!(len.as_ref().is_ok_and(|len| *len == LARGE as u64), "{len:?}");
            each(ns, LARGE_MIB)
        };
        let name = "file, write and fsync".to_owned();
        Ok(Contender { name, goal: None, block_ns: Box::new(block_ns) })
    }

    /// Loads into a buffer with `load`, from memory that is in no cache. If `is_new`, the buffer is a new one each
    /// time.
    fn load<'a, E: Debug>(
        &'a self,
        name: &str,
        place: Range<u64>,
        is_new: bool,
        mut load: impl FnMut(&mut Vec<u8>) -> Result<(), E> + 'a,
    ) -> Contender<'a> {
        let mut loaded = if is_new { Vec::new() } else { self.buffer() };
        let block_ns = move || {
            self.drop_lines(place.clone());
            let ns = self.completed_ns(|| load(&mut loaded));
            assert!(loaded == self.large.of(0), "what was loaded");
            if is_new {
                loaded = Vec::new();
            }
            each(ns, LARGE_MIB)
        };
        Contender { name: name.to_owned(), goal: None, block_ns: Box::new(block_ns) }
    }

    /// Returns a store with a large blob, and the range of the blob.
    fn store_of_large(&self) -> Result<(Store<Memory<'_>>, Range<u64>), Box<dyn Error>> {
        let mut store = self.empty_store()?;
        let mut transaction = store.begin()?;
        transaction.put(NAME, self.large.of(0))?;
        transaction.commit()?;
        let place = store.stat(NAME).ok_or("it is there")?.range();
        Ok((store, place))
    }

    /// Returns a buffer of the size of a large blob, each page written.
    fn buffer(&self) -> Vec<u8> {
        self.large.of(1).to_vec()
    }
}

/// Small blobs.
impl Bench {
    /// Replaces blobs, each in its own transaction.
    fn replace<'a>(
        &'a self,
        mut store: Store<Memory<'a>>,
        blobs: usize,
        bytes: usize,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let (names, payloads) = (names(blobs), Payloads::new(bytes));
        put_all(&mut store, &names, &payloads)?;
        let mut next = 0;
        let block_ns = move || {
            let numbers = next..next + REPLACED;
            // A program has just made or received the name that it puts.
            let put: Vec<_> =
                numbers.clone().map(|number| names[scattered(number, blobs)].clone()).collect();
            let ns = self.completed_ns(|| {
                put.iter().zip(numbers.clone()).try_for_each(|(name, number)| {
                    let mut transaction = store.begin()?;
                    transaction.put(name.as_str(), payloads.of(number))?;
                    transaction.commit().map(drop)
                })
            });
            next = numbers.end;
            for number in numbers.rev().take(blobs) {
                let found = store.load(&names[scattered(number, blobs)]);
                let is_right = found.as_ref().is_ok_and(|found| found == payloads.of(number));
                assert!(is_right, "{number}: {found:?}");
            }
            each(ns, REPLACED)
        };
        Ok(Contender { name: "cachemaint".to_owned(), goal: None, block_ns: Box::new(block_ns) })
    }

    /// Replaces blobs with libpmemobj, each in its own transaction, if it is installed.
    #[cfg(target_os = "linux")]
    fn libpmemobj(
        &self,
        blobs: usize,
        bytes: usize,
    ) -> Result<Option<Contender<'_>>, Box<dyn Error>> {
        let Some(pool) = Libpmemobj::if_installed(blobs, bytes)? else { return Ok(None) };
        let (payloads, mut next) = (Payloads::new(bytes), 0);
        let block_ns = move || {
            let numbers = next..next + REPLACED;
            let ns = self.completed_ns(|| {
                numbers.clone().for_each(|number| {
                    pool.replace(scattered(number, blobs), payloads.of(number));
                });
                Ok::<_, Infallible>(())
            });
            next = numbers.end;
            for number in numbers.rev().take(blobs) {
                assert_eq!(pool.load(scattered(number, blobs)), payloads.of(number), "{number}");
            }
            each(ns, REPLACED)
        };
        let goal = replacing(blobs, bytes);
        Ok(Some(Contender { name: "libpmemobj".to_owned(), goal, block_ns: Box::new(block_ns) }))
    }

    /// Makes as many bytes and lines durable, with the same fence.
    fn bare_replace(&self, blobs: usize, bytes: usize) -> Contender<'_> {
        let (memory, payloads) = (self.bare_memory(), Payloads::new(bytes));
        let records = Payloads::new(record(bytes));
        let blob = move |number: usize| (2 * LOG + number % (blobs + 1) * bytes) as u64;
        let mut next = 0;
        let block_ns = move || {
            let numbers = next..next + REPLACED;
            let ns = self.completed_ns(|| {
                numbers.clone().try_for_each(|number| {
                    let at = (number % (LOG / record(bytes)) * record(bytes)) as u64;
                    if bytes > VALUE {
                        memory.copy_unfenced(&[(blob(number), payloads.of(number))])?;
                    }
                    let record = records.of(number);
                    memory.copy_unfenced(&[(at, record), (LOG as u64 + at, record)])?;
                    memory.fence();
                    Ok::<_, Infallible>(())
                })
            });
            next = numbers.end;
            let mut found = vec![0; bytes];
            for number in numbers.rev().take(if bytes > VALUE { blobs } else { 0 }) {
                let Ok(()) = Readable::read(&memory, blob(number), &mut found);
                assert_eq!(found, payloads.of(number), "{number}");
            }
            each(ns, REPLACED)
        };
        let name = "bare, one fence".to_owned();
        Contender { name, goal: None, block_ns: Box::new(block_ns) }
    }

    /// Writes a file of the same bytes, makes it durable and renames it to the previous one's name.
    fn renamed_file(&self, bytes: usize) -> Contender<'_> {
        let (path, new) = (self.directory.path().join("small"), self.directory.path().join("new"));
        let (payloads, mut next) = (Payloads::new(bytes), 0);
        let block_ns = move || {
            let numbers = next..next + REPLACED_FILES;
            let ns = self.completed_ns(|| {
                numbers.clone().try_for_each(|number| {
                    let mut file = File::create(&new)?;
                    file.write_all(payloads.of(number))?;
                    file.sync_all()?;
                    fs::rename(&new, &path)
                })
            });
            next = numbers.end;
            let found = fs::read(&path);
            let is_right = found.as_ref().is_ok_and(|found| found == payloads.of(next - 1));
            assert!(is_right, "{found:?}");
            each(ns, REPLACED_FILES)
        };
        let name = "file, fsync and rename".to_owned();
        Contender { name, goal: None, block_ns: Box::new(block_ns) }
    }
}

/// Single commits and openings.
impl Bench {
    fn print_singles(&self, out: &mut dyn Write) -> Outcome {
        const BLOBS: usize = 100_000;
        const COMMITS: usize = 4 * BLOBS;
        let medium = Counted { memory: self.store_memory(), written: AtomicU64::new(0) };
        let mut store = self.store_in(&medium)?;
        let (names, payloads) = (names(BLOBS), Payloads::new(SMALL[0]));
        put_all(&mut store, &names, &payloads)?;
        let of_creation = medium.written.load(Ordering::Relaxed);
        // A compaction of the log moves its blobs.
        let place = |store: &Store<_>| store.stat(&names[0]).map(|info| info.offset);
        let (mut there, mut longest) = (place(&store), [0.0_f64; 2]);
        let mut compactions = 0;
        for number in 0..COMMITS {
            // All but the first.
            let name = &names[1 + scattered(number, BLOBS - 1)];
            let ns = self.completed_ns(|| {
                let mut transaction = store.begin()?;
                transaction.put(name, payloads.of(number))?;
                transaction.commit()
            });
            let now = place(&store);
            let is_compaction = now != there;
            there = now;
            compactions += u32::from(is_compaction);
            let longest = &mut longest[usize::from(is_compaction)];
            *longest = longest.max(ns);
        }
        let written = medium.written.load(Ordering::Relaxed) - of_creation;
        drop(store);
        let mut openings = Vec::new();
        for _ in 0..9 {
            let mut opened = None;
            openings.push(self.completed_ns(|| {
                opened = Some(Options::new().open(&medium));
                Ok::<_, Infallible>(())
            }));
            let blobs = opened.and_then(Result::ok).map(|(store, _)| store.list().count());
            assert_eq!(blobs, Some(BLOBS));
        }
        openings.sort_unstable_by(f64::total_cmp);
        let [without, with] = longest.map(|ns| ns / 1e3);
        let (opening, bytes) = (openings[4] / 1e6, COMMITS * SMALL[0]);
        #[expect(clippy::cast_precision_loss, reason = "fewer bytes than 2^53")]
        let amplification = written as f64 / bytes as f64;
        writeln!(out, "\n{COMMITS} commits of 64 B among {BLOBS}")?;
        writeln!(out, "  longest, without compaction  {without:.1} us")?;
        writeln!(out, "  longest, with compaction     {with:.1} us, {compactions} times")?;
        writeln!(out, "  bytes written for one        {amplification:.2}")?;
        writeln!(out, "opening {BLOBS} blobs         {opening:.1} ms (median of 9)")?;
        self.print_memory(out)?;
        Ok(())
    }

    /// Prints the memory of an open store with many names. Its table is the only thing that an opening keeps.
    fn print_memory(&self, out: &mut dyn Write) -> Outcome {
        let (Some(store), Some(many)) = (self.store_of_many(), &self.many) else { return Ok(()) };
        let mut store = store?;
        put_all(&mut store, &names(MANY), &Payloads::new(SMALL[0]))?;
        drop(store);
        let memory = Memory::new(many.words(), self.cache, Backing::Ram);
        let (opened, [_, kept]) = counted(|| Options::new().open(memory));
        let (opened, _) = opened.map_err(|failed| failed.error)?;
        assert_eq!(opened.list().count(), MANY);
        writeln!(out, "memory for one of {MANY} names  {} bytes", kept / MANY)?;
        Ok(())
    }
}

/// Memory that counts the bytes written to it.
struct Counted<'m> {
    memory: Memory<'m>,
    written: AtomicU64,
}

impl Readable for Counted<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        Readable::len(&self.memory)
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        Readable::read(&self.memory, at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Medium for Counted<'_> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        Medium::load(&self.memory, at, order)
    }

    fn granularity(&self) -> Granularity {
        Medium::granularity(&self.memory)
    }

    fn atomic_unit(&self) -> usize {
        Medium::atomic_unit(&self.memory)
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.written.fetch_add(8, Ordering::Relaxed);
        Medium::store(&self.memory, at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.written.fetch_add(from.len() as u64, Ordering::Relaxed);
        Medium::write(&self.memory, at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        Medium::issue_writeback(&self.memory, range)
    }

    fn fence(&self) -> Result<(), Infallible> {
        Medium::fence(&self.memory)
    }

    fn order_observed(&self) {
        Medium::order_observed(&self.memory);
    }

    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Infallible> {
        let bytes: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        Medium::copy_unfenced(&self.memory, parts)
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        Medium::deep_persist(&self.memory, range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

/// Zeroes the roots of a store.
fn empty(memory: &Region) {
    let roots = memory.words().iter().take(ROOTS * PAGE / WORD);
    roots.for_each(|word| word.store(0, Ordering::Relaxed));
}

fn names(blobs: usize) -> Vec<String> {
    (0..blobs).map(|number| format!("blob {number:03}")).collect()
}

fn put_all<M: Medium<Error: 'static>>(
    store: &mut Store<M>,
    names: &[String],
    payloads: &Payloads,
) -> Outcome {
    let mut transaction = store.begin()?;
    names.iter().try_for_each(|name| transaction.put(name.as_str(), payloads.of(0)))?;
    transaction.commit()?;
    Ok(())
}

/// Memory and time.
impl Bench {
    /// Returns the memory of the store.
    fn store_memory(&self) -> Memory<'_> {
        let (words, _) = self.memory.words().split_at(STORE / WORD);
        Memory::new(words, self.cache, Backing::Ram)
    }

    /// Returns the memory behind the store.
    fn bare_memory(&self) -> Memory<'_> {
        let (_, words) = self.memory.words().split_at(STORE / WORD);
        Memory::new(words, self.cache, Backing::Ram)
    }

    /// Creates a store in its memory, which may have any contents.
    fn empty_store(&self) -> Result<Store<Memory<'_>>, Box<dyn Error>> {
        self.store_in(self.store_memory())
    }

    fn store_in<M: Medium<Error = Infallible>>(
        &self,
        medium: M,
    ) -> Result<Store<M>, Box<dyn Error>> {
        empty(&self.memory);
        Ok(Options::new().create_new(medium).map_err(|failed| failed.error)?.0)
    }

    /// Creates the store of many blobs, unless it is left out.
    fn store_of_many(&self) -> Option<Result<Store<Memory<'_>>, Box<dyn Error>>> {
        let many = self.many.as_ref()?;
        empty(many);
        let memory = Memory::new(many.words(), self.cache, Backing::Ram);
        let created = Options::new().create_new(memory);
        Some(created.map(|(store, _)| store).map_err(|failed| failed.error.into()))
    }

    /// Removes lines from all caches.
    #[expect(clippy::cast_possible_truncation, reason = "offsets in memory")]
    fn drop_lines(&self, bytes: Range<u64>) {
        let (first, end) = (bytes.start as usize / WORD, (bytes.end as usize).div_ceil(WORD));
        let words = &self.memory.words()[first..end];
        self.cache.writeback_invalidate(words);
        // No write-back may be in progress when the timing starts.
        fence(Ordering::SeqCst);
    }

    /// Returns the nanoseconds until the stores of `work` are complete.
    ///
    /// # Panics
    /// If it fails.
    fn completed_ns<T: Debug, E: Debug>(&self, work: impl FnOnce() -> Result<T, E>) -> f64 {
        let mut done = None;
        let ns = self.clock.time_completed(|| done = Some(work()));
        assert!(matches!(done, Some(Ok(_))), "{done:?}");
        ns
    }
}
