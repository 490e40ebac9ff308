//! The report of a machine as text.

use super::HostReport;
use crate::guest::Migration;
use crate::survival::{Condition, Event, Stage, Survival, survives};
use crate::{Kernel, PmemRegion};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cachemaint::family::{GuestOf, row, row_at};
use cachemaint::medium::{Backing, Domain};
use cachemaint::report::Hypervisor;
use core::fmt::{self, Display, Formatter};

/// The number of regions printed; the others are counted.
const REGIONS_SHOWN: usize = 2;
/// The number of media in the survival table, each with one or two rows; the others are named.
const BACKINGS_SHOWN: usize = 4;

impl Display for HostReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        row(f, "CPU", format_args!("{}; {}", self.cpu.identity, self.cpu.architecture))?;
        self.kernel_row(f)?;
        let hints = self.hints();
        let guest = GuestOf { report: &self.cpu, hints: &hints };
        row(f, "Hypervisor", format_args!("{guest}"))?;
        row(f, "Data cache", format_args!("{}", self.aliasing))?;
        self.cpu.lines_and_choices(f)?;
        self.region_rows(f)?;
        self.survival_rows(f)
    }
}

impl HostReport {
    fn kernel_row(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Kernel { name, release, .. } = match &self.kernel {
            Ok(kernel) => kernel,
            Err(why) => return row(f, "Kernel", format_args!("unknown: {why}")),
        };
        match &self.page_size {
            Ok(size) => {
                row(f, "Kernel", format_args!("{name} {release}; pages of {}", bytes(*size)))
            }
            Err(why) => {
                row(f, "Kernel", format_args!("{name} {release}; page size unknown: {why}"))
            }
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
        for (label, region) in ["Pmem, claimed", more].into_iter().zip(regions) {
            row(f, label, format_args!("{}", claim(region)))?;
        }
        Ok(())
    }

    fn survival_rows(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut legend = Legend::default();
        table_row(f, "Survives", COLUMNS.map(|event| event.name().to_string()))?;
        let backings = self.backings();
        let (shown, hidden) = backings.split_at(backings.len().min(BACKINGS_SHOWN));
        for backing in shown.iter().copied() {
            let mut signs =
                |stage| COLUMNS.map(|event| legend.sign(survives(backing, stage, event).answer));
            let (stored, persisted) = (signs(Stage::Stored), signs(Stage::Persisted));
            let is_same = stored == persisted;
            if is_same {
                table_row(f, &format!("  {backing}"), stored)?;
                continue;
            }
            table_row(f, &format!("  {backing}: stored"), stored)?;
            table_row(f, "    persisted", persisted)?;
        }
        legend.write(f, hidden)
    }

    /// Returns the name of the hypervisor, and whether it can move this guest.
    fn hints(&self) -> String {
        let mut hints = String::new();
        if let (Some(kind), Hypervisor::Present { .. }) = (self.hypervisor(), self.cpu.hypervisor) {
            hints.extend(["; it is ", kind.name()]);
        }
        if self.effects.migration.answer == Migration::Possible {
            hints.push_str("; it can be moved to another host while this runs");
        }
        hints
    }
}

/// The columns of the survival table.
const COLUMNS: [Event; 4] =
    [Event::ProcessCrash, Event::Kexec, Event::WarmReboot, Event::PowerLoss];

/// Writes a label and four cells.
fn table_row(f: &mut Formatter<'_>, label: &str, cells: [String; 4]) -> fmt::Result {
    let [process, kexec, reboot, power] = cells;
    writeln!(f, "{label:<27}{process:<15}{kexec:<14}{reboot:<13}{power}")
}

/// The signs used in the survival table.
#[derive(Default)]
struct Legend {
    has_no_promise: bool,
    conditions: Vec<Condition>,
}

impl Legend {
    /// Returns the sign of a cell. A condition is named by its number.
    fn sign(&mut self, survival: Survival) -> String {
        let condition = match survival {
            Survival::Yes => return "yes".into(),
            Survival::No => return "no".into(),
            Survival::NotPromised => {
                self.has_no_promise = true;
                return "?".into();
            }
            Survival::If(condition) => condition,
        };
        let known = self.conditions.iter().position(|known| *known == condition);
        let place = known.unwrap_or_else(|| {
            self.conditions.push(condition);
            self.conditions.len() - 1
        });
        format!("if [{}]", place + 1)
    }

    /// Prints the meanings of the signs, and the rows that did not fit.
    fn write(&self, f: &mut Formatter<'_>, hidden: &[Backing]) -> fmt::Result {
        let mut notes = Vec::new();
        if self.has_no_promise {
            notes.push("?: not promised".to_string());
        }
        let conditions = self.conditions.iter().zip(1..);
        notes.extend(conditions.map(|(condition, number)| format!("[{number}] if {condition}")));
        if !hidden.is_empty() {
            let names: Vec<_> = hidden.iter().map(ToString::to_string).collect();
            notes.push(format!("not shown: {}", names.join("; ")));
        }
        if notes.is_empty() {
            return Ok(());
        }
        row_at(f, 2, "", format_args!("{}", notes.join("; ")))
    }
}

/// Returns a region and the claim for it. The kernel passes on what firmware or a hypervisor claims.
fn claim(region: &PmemRegion) -> String {
    let PmemRegion { name, provider, size, domain, read_only, .. } = region;
    let size = size.map_or_else(|| "size not shown".to_string(), bytes);
    let provider = if provider.is_empty() { "provider not shown" } else { provider };
    let unarmed = region.unarmed().map(|device| format!("no domain, since {device} is not armed"));
    let domain = match domain {
        Domain::Unknown => unarmed.as_deref().unwrap_or("no domain; ask the platform's vendor"),
        Domain::None => "none, power loss erases it",
        domain => domain.name(),
    };
    let read_only = if *read_only == Some(true) { "; read-only" } else { "" };
    let damaged = match (region.bad_bytes, region.bad_bytes_may_be_more) {
        (None | Some(0), false) => String::new(),
        (None, true) => "; damage not known".to_string(),
        (Some(bytes), false) => format!("; {bytes} bytes damaged"),
        (Some(bytes), true) => format!("; at least {bytes} bytes damaged"),
    };
    format!("{name}, {size}, {provider}: {domain}{read_only}{damaged}")
}

/// Returns a number of bytes in the largest binary unit that holds it exactly.
fn bytes(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = |(unit, _): &(u64, &str)| bytes != 0 && bytes.is_multiple_of(*unit);
    match units.into_iter().find(exact) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}
