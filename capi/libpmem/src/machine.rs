//! The choices for this machine and this environment, made once: when the library is loaded, or at the first call of a
//! constructor that runs earlier.

use crate::environment;
use crate::failure::keep;
use crate::map;
use crate::system::write_error;
use cachemaint::{Cache, Point, Unsupported, report};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::OnceLock;

/// The step of `pmem_flush`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writeback {
    /// The lines are written back to the point of persistence.
    Lines(Cache),
    /// Nothing is written back: the caches survive a loss of power, or the environment says so.
    Empty,
    /// The lines are written back as far as possible, which is not the point of persistence.
    Short(Short),
}

/// The use of streaming stores by copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// By the sizes that were measured on CPUs.
    Measured,
    /// From this size on.
    From(usize),
    Never,
}

/// The reason why write-backs do not reach the point of persistence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    why: Unsupported,
    reaches_coherency: bool,
}

/// The choices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) writeback: Writeback,
    /// The caches, aimed as far as they reach; `None` where nothing can be written back.
    pub(crate) cache: Option<Cache>,
    /// The reason, if that is not the point of persistence.
    pub(crate) short: Option<Short>,
    pub(crate) streaming: Streaming,
    /// The address from which on files are mapped, if the environment has one.
    pub(crate) map_from: Option<usize>,
}

static MACHINE: OnceLock<Machine> = OnceLock::new();

/// Returns the choices.
#[inline(always)]
pub(crate) fn machine() -> &'static Machine {
    match MACHINE.get() {
        Some(machine) => machine,
        None => choose(),
    }
}

#[cold]
fn choose() -> &'static Machine {
    MACHINE.get_or_init(|| {
        let (cache, short) = reach();
        let no_flush = |value| environment::is(c"PMEM_NO_FLUSH", value);
        let flushes = no_flush(c"0") || !(no_flush(c"1") || caches_survive_power_loss());
        let writeback = match (cache, short) {
            (_, Some(short)) if flushes => Writeback::Short(short),
            (Some(cache), None) if flushes => Writeback::Lines(cache),
            _ => Writeback::Empty,
        };
        let map_from = environment::address(c"PMEM_MMAP_HINT");
        Machine { writeback, cache, short, streaming: streaming(), map_from }
    })
}

/// Returns the caches, aimed as far as they reach, and the reason if that is not the point of persistence.
fn reach() -> (Option<Cache>, Option<Short>) {
    let mut builder = Cache::builder();
    for (variable, name) in [(c"PMEM_NO_CLWB", "clwb"), (c"PMEM_NO_CLFLUSHOPT", "clflushopt")] {
        if environment::is(variable, c"1") {
            // Another architecture has no such instruction.
            builder = builder.without_named(name).unwrap_or(builder);
        }
    }
    let aimed = |point| builder.point(point).build();
    let why = match aimed(Point::Persistence) {
        Ok(cache) => return (Some(cache), None),
        Err(why) => why,
    };
    let cache = aimed(Point::Coherency).ok();
    (cache, Some(Short { why, reaches_coherency: cache.is_some() }))
}

fn streaming() -> Streaming {
    if environment::is(c"PMEM_NO_MOVNT", c"1") {
        return Streaming::Never;
    }
    match environment::number(c"PMEM_MOVNT_THRESHOLD").map(usize::try_from) {
        Some(Ok(size)) => Streaming::From(size),
        // A negative number is ignored.
        Some(Err(_)) | None => Streaming::Measured,
    }
}

/// Returns true if the caches survive a loss of power wherever this machine has persistent memory. What the kernel does
/// not show is not relied on.
pub(crate) fn caches_survive_power_loss() -> bool {
    report::caches_survive_power_loss().unwrap_or(false)
}

impl Short {
    /// Reports the reason, once in the process.
    #[cold]
    pub(crate) fn report(&self) {
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if !REPORTED.swap(true, Relaxed) {
            keep(format_args!("{self}"));
            write_error(format_args!("libpmem: {self}\n"));
        }
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = if self.reaches_coherency {
            "written back to the point of coherency only"
        } else {
            "not written back"
        };
        write!(
            f,
            "stores are {done}, and a loss of power can lose them: {}; persist by pmem_msync, or set \
             CACHEMAINT_STRICT=1 to have such programs end when they start",
            self.why.reason
        )
    }
}

/// Makes the choices when the library is loaded.
extern "C" fn load() {
    map::register_for_forks();
    if let Some(short) = &machine().short
        && environment::is(c"CACHEMAINT_STRICT", c"1")
    {
        write_error(format_args!("libpmem: {short}\n"));
        // SAFETY: it can be called at any time.
        unsafe { libc::abort() };
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;
