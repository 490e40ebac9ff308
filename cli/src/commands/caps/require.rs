//! Facts about a machine that a script demands.

use cachemaint::Point;
use cachemaint::aliasing::Aliasing;
use cachemaint::medium::Domain;
use cachemaint::report::{Hypervisor, Status};
use cachemaint_inspect::{HostReport, PmemRegion};
use clap::builder::PossibleValue;
use std::sync::OnceLock;

/// The answer to a demand: the reason why it is not met, and the remedy.
type Answer = Result<(), String>;

/// The name of a fact, its meaning, and the question.
type Fact = (&'static str, &'static str, fn(&HostReport) -> Answer);

/// The facts that are not instructions.
const FACTS: [Fact; 7] = [
    ("coherency", "Lines can be written back to RAM", |report| reaches(report, Point::Coherency)),
    ("persistence", "Lines can be written back to persistent memory", |report| {
        reaches(report, Point::Persistence)
    }),
    ("deep-persistence", "Lines can be written back past the buffers of the medium", |report| {
        reaches(report, Point::DeepPersistence)
    }),
    ("pmem", "There is persistent memory, and firmware claims a domain for all of it", |report| {
        regions(report, |domain| matches!(domain, Domain::MemoryController | Domain::CpuCaches))
    }),
    ("eadr", "Firmware claims that CPU caches survive power loss", |report| {
        regions(report, |domain| domain == Domain::CpuCaches)
    }),
    ("bare-metal", "The CPU shows that there is no hypervisor", bare_metal),
    ("no-aliasing", "The data cache does not alias", no_aliasing),
];

/// Returns the names that can be demanded: these, and the instructions of this architecture.
pub(super) fn values() -> Vec<PossibleValue> {
    static INSTRUCTIONS: OnceLock<Vec<&str>> = OnceLock::new();
    let instructions = INSTRUCTIONS.get_or_init(|| {
        let report = cachemaint::report::CpuReport::host();
        report.instructions().map(|row| row.instruction.name).collect()
    });
    let named = FACTS.iter().map(|(name, help, _)| PossibleValue::new(*name).help(*help));
    let instructions = instructions.iter().map(|name| PossibleValue::new(*name).hide(true));
    named.chain(instructions).collect()
}

/// Returns the reason why a machine does not meet a demand, and the remedy; `None` if it does.
pub(super) fn refused(report: &HostReport, demanded: &str) -> Option<String> {
    let fact = FACTS.iter().find(|(name, ..)| *name == demanded);
    let answer = match fact {
        Some((.., ask)) => ask(report),
        None => instruction(report, demanded),
    };
    answer.err().map(|why| format!("{demanded}: {why}"))
}

fn instruction(report: &HostReport, name: &str) -> Answer {
    let row = report.cpu.instructions().find(|row| row.instruction.name == name);
    match row.map(|row| row.status) {
        Some(Status::Present) => Ok(()),
        Some(Status::Absent(why) | Status::Refused(why)) => Err(why.to_string()),
        _ => Err("this architecture has no such instruction; demand another".to_owned()),
    }
}

fn reaches(report: &HostReport, point: Point) -> Answer {
    report.cpu.writeback(point).map(|_choice| ()).map_err(|why| why.to_string())
}

fn regions(report: &HostReport, is_met: fn(Domain) -> bool) -> Answer {
    let regions = report.regions.as_ref().map_err(ToString::to_string)?;
    if let Some(why) = report.no_region() {
        return Err(why.to_string());
    }
    let is_unmet = |region: &&PmemRegion| !is_met(region.domain);
    regions.iter().find(is_unmet).map_or(Ok(()), |region| {
        let PmemRegion { name, domain, .. } = region;
        Err(format!("{name}: {domain}; {}", domain.meaning()))
    })
}

fn bare_metal(report: &HostReport) -> Answer {
    match (report.hypervisor(), report.cpu.hypervisor) {
        (Some(kind), _) => Err(format!("a hypervisor is there: {kind}; use the machine itself")),
        (None, Hypervisor::Absent) => Ok(()),
        (None, Hypervisor::Unknown) => Err(
            "this architecture does not show a hypervisor to user mode; ask the operator of the machine".to_owned(),
        ),
        (None, shown) => Err(format!("a hypervisor is there: {shown}; use the machine itself")),
    }
}

fn no_aliasing(report: &HostReport) -> Answer {
    match report.aliasing {
        Aliasing::No { .. } => Ok(()),
        found => Err(found.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FACTS, refused};
    use cachemaint::report::Hypervisor;
    use cachemaint_inspect::HostReport;

    #[test]
    fn a_demand_agrees_with_the_report() {
        let mut report = HostReport::host();
        for row in report.cpu.instructions() {
            let is_present = matches!(row.status, cachemaint::report::Status::Present);
            assert_eq!(refused(&report, row.instruction.name).is_none(), is_present);
        }
        for (name, ..) in FACTS {
            if let Some(why) = refused(&report, name) {
                assert!(why.starts_with(&format!("{name}: ")) && why.len() > name.len() + 2);
            }
        }
        report.cpu.hypervisor = Hypervisor::Unknown;
        assert!(refused(&report, "bare-metal").is_some(), "unknown is not absent");
    }
}
