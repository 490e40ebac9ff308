//! The report of a machine as text.

use super::{CacheKind, CacheLevel, Evidence, HostReport, Region, Surroundings};
use crate::cpu::{Hypervisor, HypervisorKind};
use crate::report::screen::{AliasingOf, GuestOf, row, row_at};
use crate::survival::{Backing, Domain, Event, Progress, Survival, survival};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};

/// Regions that are printed; the others are counted.
const REGIONS_SHOWN: usize = 3;
/// Rows of the survival table; the others are named.
const BACKINGS_SHOWN: usize = 6;

impl Display for HostReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        row(f, "CPU", format_args!("{}; {}", self.cpu.identity(), self.cpu.architecture()))?;
        self.kernel_row(f)?;
        let guest = GuestOf {
            report: &self.cpu,
            hints: &Hints(self),
            migration: self.effects().migration.is,
        };
        row(f, "Hypervisor", format_args!("{guest}"))?;
        let aliasing = AliasingOf(self.aliasing);
        match &self.caches {
            Ok(levels) => row(f, "Caches", format_args!("{}; {aliasing}", Caches(levels)))?,
            Err(why) => row(f, "Caches", format_args!("unknown: {why}; {aliasing}"))?,
        }
        self.cpu.lines_and_choices(f)?;
        self.region_rows(f)?;
        self.survival_rows(f)
    }
}

impl HostReport {
    fn kernel_row(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.kernel, &self.page_size) {
            (Ok(kernel), Ok(bytes)) => row(
                f,
                "Kernel",
                format_args!("{} {}; pages of {}", kernel.name, kernel.release, Bytes(*bytes)),
            ),
            (Ok(kernel), Err(why)) => row(
                f,
                "Kernel",
                format_args!("{} {}; page size unknown: {why}", kernel.name, kernel.release),
            ),
            (Err(why), _) => row(f, "Kernel", format_args!("unknown: {why}")),
        }
    }

    fn region_rows(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let regions = match &self.regions {
            Ok(regions) => regions,
            Err(why) => return row(f, "Pmem", format_args!("unknown: {why}")),
        };
        if let Some(why) = self.no_region() {
            return row(f, "Pmem", format_args!("none: {why}"));
        }
        let of_how_many = format!("  {REGIONS_SHOWN} of {}", regions.len());
        let more = if regions.len() > REGIONS_SHOWN { of_how_many.as_str() } else { "" };
        for (label, region) in ["Pmem, claimed", more, ""].into_iter().zip(regions) {
            row(f, label, format_args!("{}", RegionRow(region)))?;
        }
        Ok(())
    }

    fn survival_rows(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut conditions = Conditions::default();
        table_row(f, "Survives", Event::ALL.map(|event| event.name().to_string()))?;
        let backings = self.backings();
        let (shown, hidden) = backings.split_at(backings.len().min(BACKINGS_SHOWN));
        for backing in shown.iter().copied() {
            let cells = Event::ALL.map(|event| {
                let cell = |progress| survival(backing, progress, event);
                let stored = conditions.mark(cell(Progress::Stored));
                let persisted = conditions.mark(cell(Progress::Persisted));
                if stored == persisted { stored } else { format!("{stored} / {persisted}") }
            });
            table_row(f, &format!("  {}", backing.name()), cells)?;
        }
        row_at(
            f,
            2,
            "",
            format_args!(
                "left of /: only stored, right: persisted, deep or not; ?: not promised{conditions}{}",
                NotShown(hidden)
            ),
        )
    }
}

/// The rows for which there was no room.
struct NotShown<'a>(&'a [Backing]);

impl Display for NotShown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, backing) in self.0.iter().enumerate() {
            let before = if place == 0 { "; not shown: " } else { "; " };
            write!(f, "{before}{}", backing.name())?;
        }
        Ok(())
    }
}

/// A label and four cells.
fn table_row(f: &mut Formatter<'_>, label: &str, cells: [String; 4]) -> fmt::Result {
    let row =
        cells.into_iter().fold(format!("{label:<17}"), |row, cell| row + &format!("{cell:<16}"));
    writeln!(f, "{}", row.trim_end())
}

/// A region and the claim for it. The kernel passes on what firmware says, or a hypervisor.
struct RegionRow<'a>(&'a Region);

impl Display for RegionRow<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Region { name, provider, size, domain, read_only, bad_bytes, .. } = self.0;
        write!(f, "{name}, ")?;
        match size {
            Some(bytes) => write!(f, "{}, ", Bytes(*bytes))?,
            None => f.write_str("size not shown, ")?,
        }
        f.write_str(if provider.is_empty() { "provider not shown" } else { provider })?;
        match domain {
            Domain::Unknown => f.write_str(": no domain; ask the platform's vendor"),
            Domain::None => f.write_str(": none, power loss erases it"),
            domain => write!(f, ": {}", domain.name()),
        }?;
        if *read_only == Some(true) {
            f.write_str("; read-only")?;
        }
        match bad_bytes {
            None | Some(0) => Ok(()),
            Some(bytes) => write!(f, "; {bytes} bytes damaged"),
        }
    }
}

/// The conditions in a survival table, each with a number.
#[derive(Default)]
struct Conditions(Vec<&'static str>);

impl Conditions {
    fn mark(&mut self, survival: Survival) -> String {
        let condition = match survival {
            Survival::Yes => return "yes".into(),
            Survival::No => return "no".into(),
            Survival::NotPromised => return "?".into(),
            Survival::If(condition) => condition,
        };
        let place = self.0.iter().position(|known| *known == condition).unwrap_or_else(|| {
            self.0.push(condition);
            self.0.len() - 1
        });
        format!("if [{}]", place + 1)
    }
}

impl Display for Conditions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, condition) in self.0.iter().enumerate() {
            write!(f, "; [{}] {condition}", place + 1)?;
        }
        Ok(())
    }
}

/// The guest by its files, if the CPU shows nothing or something else, and the container.
struct Hints<'a>(&'a HostReport);

impl Display for Hints<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Surroundings { hypervisor, is_dom0, is_metal, confidential, container } =
            &self.0.surroundings;
        let by_cpu = self.0.cpu.hypervisor();
        let known = hypervisor.filter(|kind| *kind != HypervisorKind::Unlisted);
        if let (Some(kind), None) = (known, by_cpu.kind()) {
            write!(f, "; by its files {}", kind.name())?;
        }
        // Where nothing was concluded, a reader may know the names.
        let is_unknown = by_cpu.kind().is_none() && known.is_none() && by_cpu != Hypervisor::Absent;
        for hint in self.0.guest_hints.iter().filter(|hint| is_unknown && is_name(hint)) {
            let name = hint.asked.rsplit('/').next().unwrap_or_default();
            write!(f, "; {name}: {}", hint.answer)?;
        }
        if *is_dom0 {
            f.write_str("; this is dom0")?;
        }
        if *is_metal {
            f.write_str("; a whole machine (.metal)")?;
        }
        if let Some(guest) = confidential {
            write!(f, "; confidential guest by its driver: {}", guest.name())?;
        }
        if let Some(container) = container {
            write!(f, "; in a container ({container}), which can hide /sys")?;
        }
        Ok(())
    }
}

fn is_name(hint: &Evidence) -> bool {
    ["/sys/class/dmi/", "/proc/device-tree/hypervisor/", "/sys/hypervisor/"]
        .iter()
        .any(|place| hint.asked.starts_with(place))
}

struct Caches<'a>(&'a [CacheLevel]);

impl Display for Caches<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, cache) in self.0.iter().enumerate() {
            let kind = match cache.kind {
                CacheKind::Data => "d",
                CacheKind::Instruction => "i",
                CacheKind::Unified => "",
                CacheKind::Unknown => "?",
            };
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}L{}{kind} ", cache.level)?;
            match cache.size {
                Some(bytes) => write!(f, "{}", Bytes(bytes))?,
                None => f.write_str("of unknown size")?,
            }
        }
        Ok(())
    }
}

/// A number of bytes in the largest binary unit that holds it exactly.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let exact = |(unit, _): &(u64, &str)| bytes != 0 && bytes % unit == 0;
        match units.into_iter().find(exact) {
            Some((unit, name)) => write!(f, "{} {name}", bytes / unit),
            None => write!(f, "{bytes} bytes"),
        }
    }
}
