//! The choices for this machine and this environment. They are made once: when the library is loaded, or at the first
//! call of a constructor that runs earlier.

use crate::cancellation;
use crate::environment::{self, Variables};
use crate::failure::{errno, keep, set_errno};
use crate::system::write_error;
use crate::{map, place};
use cachemaint::medium::{Domain, Granularity};
use cachemaint::{Cache, Point, Unsupported};
use cachemaint_inspect::HostReport;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::OnceLock;

/// The work of `pmem_flush`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writeback {
    /// The lines are written back to the point of persistence.
    Lines(Cache),
    /// Nothing is written back: the caches survive power loss, or the environment says so.
    Empty,
    /// The lines are written back as far as possible, which is not the point of persistence.
    Short(Short),
}

/// The use of streaming stores by copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// According to sizes measured on CPUs.
    Measured,
    /// From this size.
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
    /// The caches, aimed as far as they reach; `None` if nothing can be written back.
    pub(crate) cache: Option<Cache>,
    /// The reason, if that is not the point of persistence; `None` if the caches survive power loss.
    pub(crate) short: Option<Short>,
    /// True if nothing is written back because the caches survived power loss in every region at the time.
    pub(crate) relies_on_regions: bool,
    pub(crate) streaming: Streaming,
    /// The lowest address for mapping files, if the environment sets one and free addresses can be found.
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
    cancellation::held_off(|| {
        MACHINE.get_or_init(|| Machine::new(&Variables::read(), caches_survive_power_loss))
    })
}

impl Machine {
    /// Makes the choices. `survive` returns true if the caches survive power loss.
    fn new(variables: &Variables, survive: impl FnOnce() -> bool) -> Self {
        let (cache, short) = reach(variables);
        let flushes = variables.flush.unwrap_or_else(|| !survive());
        let relies_on_regions = !flushes && variables.flush.is_none();
        let writeback = match (cache, short) {
            (_, Some(short)) if flushes => Writeback::Short(short),
            (Some(cache), None) if flushes => Writeback::Lines(cache),
            _ => Writeback::Empty,
        };
        let streaming = match variables.movnt_threshold {
            _ if variables.no_movnt => Streaming::Never,
            Some(size @ 0..) => Streaming::From(usize::try_from(size).unwrap_or(usize::MAX)),
            // A negative number is ignored.
            Some(_) | None => Streaming::Measured,
        };
        let map_from = variables.mmap_hint.filter(|_| place::can_be_chosen());
        let short = short.filter(|_| !relies_on_regions);
        Self { writeback, cache, short, relies_on_regions, streaming, map_from }
    }

    /// Returns true if this machine's write-backs suffice for memory of this granularity. A region whose caches do not
    /// survive may have appeared since the choice. Memory that power loss erases needs no write-backs.
    pub(crate) fn persists(&self, granularity: Granularity, domain: Option<Domain>) -> bool {
        let is_lost = domain == Some(Domain::None);
        !self.relies_on_regions || granularity == Granularity::Byte || is_lost
    }
}

/// Returns the caches, aimed as far as they reach, and the reason if that is not the point of persistence.
fn reach(variables: &Variables) -> (Option<Cache>, Option<Short>) {
    let is_forbidden = |name| match name {
        "clwb" => variables.no_clwb,
        "clflushopt" => variables.no_clflushopt,
        _ => false,
    };
    let aimed = |point| {
        let cache = Cache::host()?.to(point)?;
        match cache.available_writebacks().find(|instruction| !is_forbidden(instruction.name)) {
            Some(allowed) => Cache::builder().writeback_with(allowed).point(point).build(),
            None => Ok(cache),
        }
    };
    let why = match aimed(Point::Persistence) {
        Ok(cache) => return (Some(cache), None),
        Err(why) => why,
    };
    let cache = aimed(Point::Coherency).ok();
    (cache, Some(Short { why, reaches_coherency: cache.is_some() }))
}

/// Returns true if the caches survive power loss wherever this machine has persistent memory. Returns false if the
/// kernel does not report it.
pub(crate) fn caches_survive_power_loss() -> bool {
    cancellation::held_off(HostReport::caches_survive_power_loss).unwrap_or(false)
}

impl Short {
    /// Reports the reason, once in the process.
    #[cold]
    pub(crate) fn report(&self) {
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if !REPORTED.swap(true, Relaxed) {
            // The functions that report it must not set `errno`.
            let before = errno();
            keep(format_args!("{self}"));
            cancellation::held_off(|| write_error(format_args!("libpmem: {self}\n")));
            set_errno(before);
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

#[cfg(test)]
mod tests {
    use super::*;
    use cachemaint::instruction::Facts;

    fn machine(variables: Variables, survive: bool) -> Machine {
        Machine::new(&variables, || survive)
    }

    #[test]
    fn nothing_is_written_back_where_caches_survive_unless_the_environment_says_so() {
        let is_empty = |flush, survive| {
            let machine = machine(Variables { flush, ..Variables::default() }, survive);
            matches!(machine.writeback, Writeback::Empty)
        };
        assert!(!is_empty(None, false));
        assert!(is_empty(None, true));
        assert!(is_empty(Some(false), false));
        assert!(!is_empty(Some(true), true));
    }

    #[test]
    fn a_region_that_came_later_is_not_persistent_by_its_caches() {
        for (flush, survive, persists_lines) in [
            (None, true, false),
            (None, false, true),
            // The environment applies to every region.
            (Some(false), false, true),
            (Some(true), true, true),
        ] {
            let machine = machine(Variables { flush, ..Variables::default() }, survive);
            let line = Granularity::Line(64);
            assert_eq!(machine.persists(line, Some(Domain::Cxl)), persists_lines, "{flush:?}");
            assert!(machine.persists(Granularity::Byte, Some(Domain::CpuCaches)), "{flush:?}");
            assert!(machine.persists(line, Some(Domain::None)), "{flush:?}");
        }
    }

    #[test]
    fn a_forbidden_instruction_writes_nothing_back() {
        for (no_clwb, no_clflushopt, forbidden) in [
            (true, false, &["clwb"][..]),
            (false, true, &["clflushopt"]),
            (true, true, &["clwb", "clflushopt"]),
        ] {
            let variables = Variables { no_clwb, no_clflushopt, ..Variables::default() };
            let name = machine(variables, false)
                .cache
                .map(|cache| cache.writeback_choice().instruction.name);
            assert!(name.is_none_or(|name| !forbidden.contains(&name)), "{name:?}");
            if cfg!(target_arch = "x86_64") && no_clwb && no_clflushopt {
                assert_eq!(name, Some("clflush"));
            }
        }
    }

    #[test]
    fn the_environment_limits_streaming_stores() {
        let streaming = |no_movnt, movnt_threshold| {
            let variables = Variables { no_movnt, movnt_threshold, ..Variables::default() };
            machine(variables, false).streaming
        };
        assert_eq!(streaming(false, None), Streaming::Measured);
        assert_eq!(streaming(false, Some(0)), Streaming::From(0));
        assert_eq!(streaming(false, Some(5)), Streaming::From(5));
        let most = usize::try_from(i64::MAX).unwrap_or(usize::MAX);
        assert_eq!(streaming(false, Some(i64::MAX)), Streaming::From(most));
        assert_eq!(streaming(false, Some(-15)), Streaming::Measured);
        assert_eq!(streaming(true, Some(5)), Streaming::Never);
    }

    #[test]
    fn a_message_names_the_reason_and_a_way_out() {
        // SAFETY: (1) to (3) are about a handle, and facts without an instruction give none.
        let why = unsafe { Cache::from_facts(Facts::new(64).unwrap()) }.unwrap_err();
        for (reaches_coherency, start) in [
            (true, "stores are written back to the point of coherency only, and a loss of power "),
            (false, "stores are not written back, and a loss of power "),
        ] {
            let text = Short { why, reaches_coherency }.to_string();
            assert!(text.starts_with(start) && text.contains(why.reason), "{text}");
            assert!(text.contains("; persist by pmem_msync"), "{text}");
        }
    }
}
