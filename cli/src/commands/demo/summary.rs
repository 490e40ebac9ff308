//! The text that the demo prints.

use super::acknowledgements::Acknowledged;
use super::{Findings, Found, PAYLOAD, in_ram};
use crate::commands::inspect;
use crate::commands::text::{self, duration, heading, row, thousands};
use cachemaint::cache::Choice;
use cachemaint::dax::{DaxFile, Guarantee};
use cachemaint::medium::Granularity;
use cachemaint::{Cache, Point};
use cachemaint_journal::Recovered;
use std::io::Write;
use std::time::Duration;

pub(super) fn print(
    out: &mut impl Write,
    file: &DaxFile,
    acknowledged: &Acknowledged,
    found: &Found,
    ran: Duration,
) -> anyhow::Result<()> {
    let guarantee = file.guarantee();
    heading(out, "A child process appended to a journal and was killed in the middle")?;
    row(out, "file", format!("{}, {}", text::bytes(file.len()), inspect::place(guarantee)))?;
    row(out, "granularity", guarantee.granularity)?;
    row(out, "because", &guarantee.reason)?;
    row(out, "persisted", how(file, guarantee))?;
    let count = thousands(acknowledged.times.len() as u64);
    let ran = duration(u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX));
    row(out, "killed", format!("SIGKILL after {ran}, {count} records acknowledged"))?;
    row(out, "recovered", recovery(&found.recovered))?;
    row(out, "found", verdict(&found.findings))?;
    row(out, "time", times(&acknowledged.times))?;
    row(out, "compare", in_ram())?;
    writeln!(out)?;
    text::survival(out, guarantee)?;
    writeln!(out)?;
    row(
        out,
        "It proves",
        "that a new process finds every acknowledged record, and that the order of \
         persisting and acknowledging is right.",
    )?;
    row(
        out,
        "It does not",
        "prove that anything was written back: a killed process keeps all its stores, since caches \
         and page cache belong to the machine. For the other events the table has the promises.",
    )?;
    Ok(())
}

/// The call that persists pages.
const BY_PAGES: &str = if cfg!(target_os = "linux") { "msync" } else { "the system's calls" };

/// By which means, and by which other ones on a DAX file.
fn how(file: &DaxFile, guarantee: &Guarantee) -> String {
    let by_lines = |cache: Cache| {
        let Choice { instruction, before, after, .. } = cache.writeback_choice();
        let before = before.map(|fence| format!("{fence}, ")).unwrap_or_default();
        format!("{before}{} and {after}", instruction.name)
    };
    match (guarantee.granularity, file.view().cache()) {
        (Granularity::Byte, Some(cache)) => {
            format!(
                "{} alone: the caches are in the persistence domain",
                cache.writeback_choice().after
            )
        }
        // The file's own cache: in RAM it is aimed at the point of coherency, also where there is no other.
        (_, Some(cache)) => by_lines(cache),
        (_, None) => {
            let on_dax = match Cache::host().and_then(|cache| cache.to(Point::Persistence)) {
                Ok(cache) => by_lines(cache),
                Err(why) => format!("{BY_PAGES} as well ({why})"),
            };
            format!("{BY_PAGES} (on a DAX file this machine would use {on_dax})")
        }
    }
}

pub(super) fn recovery(recovered: &Result<Recovered, String>) -> String {
    match recovered {
        Ok(Recovered { records, torn, .. }) => {
            let end = if *torn { "torn, which counts for nothing" } else { "whole" };
            format!("{} records by opening the journal; its end is {end}", thousands(*records))
        }
        Err(why) => format!("NOT: {why}"),
    }
}

pub(super) fn verdict(findings: &Findings) -> String {
    let text = match findings.lost.as_slice() {
        [] => format!("all {} acknowledged records, intact", thousands(findings.intact)),
        [first, ..] => format!(
            "{} of the acknowledged records ARE MISSING OR DAMAGED, the first is number {first}",
            thousands(findings.lost.len() as u64)
        ),
    };
    match findings.beyond {
        0 => text,
        beyond => format!("{text}; {beyond} more that was not acknowledged yet"),
    }
}

fn times(times: &[u64]) -> String {
    format!("{} (clock included)", times_of(times))
}

fn times_of(times: &[u64]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |percent: usize| {
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
    };
    match (at(50), at(99)) {
        (Some(median), Some(slow)) => format!(
            "{} median until an append of {PAYLOAD} bytes returned, 99 % within {}",
            duration(*median),
            duration(*slow)
        ),
        _ => "no record was acknowledged".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::times_of;

    #[test]
    fn times_of_few_records_are_shown_too() {
        assert_eq!(times_of(&[]), "no record was acknowledged");
        assert!(times_of(&[170]).starts_with("170 ns median"), "{}", times_of(&[170]));
    }
}
