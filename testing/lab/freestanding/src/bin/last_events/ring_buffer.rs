//! The recording, before and after the reset.

use core::cell::OnceCell;
use core::fmt::{self, Display, Formatter};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use cachemaint::Cache;
use cachemaint::medium::Backing;
use cachemaint::medium::Memory;
use cachemaint_lab_freestanding::Board as _;
use cachemaint_lab_freestanding::image::cpus::{Cpus, MOST};
use cachemaint_lab_freestanding::image::{self, Machine, OneCpu, halt, reset};
use cachemaint_recorder::{Clock, ErrorKind, FormatError, Found, Identity, Options, Reader};
use cachemaint_recorder::{Cursor, Recorder};

/// The memory that survives the reset. `testing/lab/src/last_events.rs` has the same address.
const PLACE: usize = if cfg!(target_arch = "x86_64") { 64 << 20 } else { (1 << 30) + (64 << 20) };
const WORDS: usize = (256 << 10) / 8;

/// The minimum number of events of each CPU before the panic.
const ENOUGH: u64 = 1000;

type Ring = Recorder<'static, Memory<'static>>;

/// The recorder, which every CPU uses.
struct Shared(OnceCell<Ring>);

#[expect(unsafe_code, reason = "statics must be shareable between threads")]
// SAFETY: the first CPU sets it before another one is asked to record, and a recorder can be shared.
unsafe impl Sync for Shared {}

static RING: Shared = Shared(OnceCell::new());
static CPUS: OneCpu<OnceCell<Cpus>> = OneCpu(OnceCell::new());

/// The number of events recorded in each shard.
static RECORDED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

/// The work of the other CPUs.
static RECORD: &(dyn Fn() + Sync) = &|| {
    record_until(|_| false);
    halt()
};

/// The function that the boot code calls.
#[expect(unsafe_code, reason = "it is found by a name, which nothing else has")]
#[unsafe(no_mangle)]
extern "Rust" fn program(cache: Cache) {
    let memory = || Memory::new(words(), cache, Backing::ReservedRam);
    match Reader::open(memory()) {
        Ok(reader) => read(&reader),
        Err(refused) => {
            let is_missing = matches!(
                refused.error.kind(),
                ErrorKind::Format(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0], .. })
            );
            assert!(is_missing, "{}", refused.error);
            record(memory())
        }
    }
}

#[expect(unsafe_code, reason = "the memory is known by its address")]
fn words() -> &'static [AtomicU64] {
    // SAFETY: the image and its stacks end before this memory, the machine's memory ends after it, and nothing else
    // uses it.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(PLACE), WORDS) }
}

/// The memory of the ring's cursors.
static mut CURSORS: [Cursor; MOST] = [const { Cursor::new() }; MOST];

/// Returns that memory.
#[expect(unsafe_code, reason = "a static that changes")]
fn cursors() -> &'static mut [Cursor] {
    let cursors = &raw mut CURSORS;
    // SAFETY: the first CPU calls this, once.
    unsafe { &mut *cursors }
}

/// Records on all CPUs, and panics.
#[expect(clippy::panic, reason = "the proof is the work of the handler")]
fn record(memory: Memory<'static>) -> ! {
    Machine.begin("record");
    let cpus = CPUS.0.get_or_init(Cpus::start);
    let shards = cpus.numbers().count();
    let options = Options::with_clock(Identity([7; 16]), Clock::from_function(|| 0, 1, || 0));
    let options = options.shards(u32::try_from(shards).unwrap_or_default()).sub_buffer_size(4096);
    let created = options.cursors(cursors()).create_new(memory);
    let (ring, _) = created.unwrap_or_else(|refused| panic!("{}", refused.error));
    assert!(RING.0.set(ring).is_ok(), "it is set once");
    cpus.run_on_others(&RECORD);
    record_until(|_| {
        RECORDED[..shards].iter().all(|count| count.load(Ordering::Relaxed) >= ENOUGH)
    });
    panic!("a panic that is meant");
}

/// Records numbered events in a shard of this CPU until there are enough or recording has stopped.
fn record_until(is_enough: impl Fn(u64) -> bool) {
    let Some(ring) = RING.0.get() else { return };
    let Ok(writer) = ring.claim() else { return };
    let shard = writer.shard();
    let mut number = 0_u64;
    while !is_enough(number) && writer.record(1, &number.to_le_bytes()).is_ok() {
        number += 1;
        RECORDED[shard as usize].store(number, Ordering::Release);
    }
}

/// Writes the recording back after the intended panic, and resets the machine. The other CPUs are not asked for
/// anything: they stop by themselves, or have halted.
#[panic_handler]
fn panicked(panic: &PanicInfo<'_>) -> ! {
    let Some(ring) = RING.0.get().filter(|ring| !ring.is_stopped()) else { image::panicked(panic) };
    let recorded = RECORDED.each_ref().map(|count| count.load(Ordering::Acquire));
    keep_events(ring);
    Machine.print(format_args!("recorded{}", Numbers(&recorded)));
    reset()
}

/// Does the work of the handler: it stops the others, and writes the recording back.
fn keep_events(ring: &Recorder<'_, Memory<'_>>) {
    ring.stop(); // the next event of each other CPU is refused
    let Ok(()) = ring.write_back_all(); // the lines of all CPUs, by range
}

/// Reads the recording of the previous run: the newest event of each shard. There must be no gap before it.
#[expect(clippy::unwrap_used, reason = "a damaged recording ends the test")]
fn read(reader: &Reader<Memory<'static>>) {
    Machine.begin("read");
    let mut ends = [0; MOST];
    let mut buffer = [0; 4096];
    let shards = reader.description().shards;
    for (shard, end) in (0..shards).zip(&mut ends) {
        let mut events = reader.shard(shard);
        let mut next = None;
        while let Some(found) = events.read_next(&mut buffer).unwrap() {
            let Found::Event(event) = found else { continue };
            let number = event.payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            assert!(next.is_none_or(|next| next == number), "{number} follows {next:?} in {shard}");
            next = Some(number + 1);
        }
        *end = next.unwrap_or(0);
    }
    Machine.print(format_args!("found{}", Numbers(&ends)));
}

struct Numbers<'a>(&'a [u64]);

impl Display for Numbers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|number| write!(f, " {number}"))
    }
}
