//! The long form of the report: each topic in words, with its facts on this machine, their sources and their certainty.
//!
//! All facts are taken from the report and its tables, so that no sentence here can disagree with them.

use crate::commands::text::{WIDTH, wrapped};
use cachemaint::aliasing::Aliasing;
use cachemaint::cache::Choice;
use cachemaint::instruction::Instruction;
use cachemaint::medium::Backing;
use cachemaint::report::{Certainty, Statement};
use cachemaint::report::{Confidential, Hypervisor, Status};
use cachemaint::{Point, Unsupported};
use cachemaint_inspect::guest::HypervisorKind;
use cachemaint_inspect::survival::{Event, Stage, survives};
use cachemaint_inspect::{HostReport, PmemRegion};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// The column where the text of a row begins, behind its label.
const TEXT: usize = 14;

/// A name to ask by, and the subject of its explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Topic {
    /// The name, in lower case with hyphens.
    pub(super) name: String,
    /// The subject, in one line.
    pub(super) title: String,
}

/// A topic in its long form. It prints in 80 columns.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    topic: Topic,
    /// The answer for this machine comes first.
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    /// The subject in a word or two.
    about: String,
    text: String,
    /// The source of the text; empty for an answer of this machine.
    source: String,
    /// `None` for an answer of this machine.
    certainty: Option<Certainty>,
}

impl Entry {
    /// Returns an answer of this machine.
    fn here(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { about: about.into(), text: text.into(), source: String::new(), certainty: None }
    }

    /// Returns a statement of a document.
    fn said(about: impl Into<String>, text: impl Into<String>, source: impl Into<String>) -> Self {
        let (about, text, source) = (about.into(), text.into(), source.into());
        Self { about, text, source, certainty: Some(Certainty::Documented) }
    }

    fn stated<T>(about: impl Into<String>, statement: &Statement<T>) -> Self {
        let stated = Self::said(about, statement.text, statement.source);
        Self { certainty: Some(statement.certainty), ..stated }
    }
}

type Explain = fn(&HostReport) -> Vec<Entry>;

/// The topics that every machine has; each instruction of its architecture is one more.
const TOPICS: [(&str, &str, Explain); 9] = [
    ("fences", "the instruction and fences of each operation", fences),
    ("line", "the unit of one instruction, and the unit to pad to", line),
    ("streaming-stores", "stores that bypass the cache", streaming_stores),
    ("whole-cache", "operations on whole caches, and why they are refused", whole_cache),
    ("aliasing", "one page cached under two addresses, and SHMLBA", aliasing),
    ("hypervisor", "the hypervisor around this program, and its effects", hypervisor),
    ("persistence-domains", "memory that survives power loss, and who claims this", domains),
    ("granularity", "the smallest unit that can be persisted", granularity),
    ("survival", "which events each medium survives, and why", survival),
];

/// Returns the instructions of this architecture, and the subjects of the report's rows.
pub(super) fn topics(report: &HostReport) -> Vec<Topic> {
    let instructions = report.cpu.instructions().map(|availability| Topic {
        name: name_of(availability.instruction.name),
        title: "this instruction's effect, and whether this CPU has it".to_string(),
    });
    let others = TOPICS
        .iter()
        .map(|(name, title, _)| Topic { name: (*name).to_string(), title: (*title).to_string() });
    instructions.chain(others).collect()
}

/// Returns the long form of a topic on this machine; `None` if no topic has this name. Blanks and
/// underscores stand for hyphens, and case does not matter: `dc cvap` is `dc-cvap`.
pub(super) fn explain(report: &HostReport, topic: &str) -> Option<Explanation> {
    let name = name_of(topic);
    let topic = topics(report).into_iter().find(|topic| topic.name == name)?;
    let entries = match TOPICS.iter().find(|(known, ..)| *known == name) {
        Some((.., explain)) => explain(report),
        None => instruction(report, &name)?,
    };
    Some(Explanation { topic, entries })
}

/// Returns the name to ask by.
fn name_of(text: &str) -> String {
    let plain = |c: char| if matches!(c, ' ' | '_') { '-' } else { c.to_ascii_lowercase() };
    text.trim().chars().map(plain).collect()
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.topic.name, self.topic.title)?;
        for Entry { about, text, source, certainty } in &self.entries {
            writeln!(f, "\n{}", wrapped(about, TEXT..WIDTH, broken(text)))?;
            if let Some(certainty) = certainty {
                let source = format!("[{certainty}: {source}]");
                writeln!(f, "{}", wrapped("", TEXT..WIDTH, source))?;
            }
        }
        Ok(())
    }
}

/// Breaks words that are too long for any line, as the kernel's paths can be.
fn broken(text: &str) -> String {
    let pieces = |word: &str| {
        let letters: Vec<char> = word.chars().collect();
        letters.chunks(WIDTH - TEXT).map(String::from_iter).collect::<Vec<_>>().join(" ")
    };
    text.split(' ').map(pieces).collect::<Vec<_>>().join(" ")
}

/// Returns the explanation of one instruction, by the name of its topic.
fn instruction(report: &HostReport, name: &str) -> Option<Vec<Entry>> {
    let found = report.cpu.instructions().find(|row| name_of(row.instruction.name) == name)?;
    let instruction = found.instruction;
    let here = match found.status {
        Status::Absent(why) => format!("absent: {} is not shown: {why}", instruction.requires),
        Status::Refused(why) => format!("shown, but must not be used: {why}"),
        _ => format!("present: {} is shown", instruction.requires),
    };
    let does = if found.invalidate.is_none() {
        "may keep it in the cache"
    } else {
        "drops it from the cache"
    };
    let does = format!(
        "copies a dirty line and {does}; the farthest point it reaches is {}",
        instruction.point
    );
    let mut entries = vec![
        Entry::here("Here", here),
        Entry::here("Chosen for", chosen_for(report, instruction)),
        Entry::said("Does", does, instruction.source),
        Entry::said("To write back", found.writeback.to_string(), instruction.source),
    ];
    if let Some(invalidate) = found.invalidate {
        entries.push(Entry::said("To invalidate", invalidate.to_string(), instruction.source));
    }
    if matches!(report.cpu.hypervisor, Hypervisor::Present { .. }) {
        entries.push(Entry::stated("In a guest", &report.effects.lines));
    }
    Some(entries)
}

fn chosen_for(report: &HostReport, instruction: Instruction) -> String {
    let is_it = |choice: &Choice| choice.instruction.name == instruction.name;
    let points = Point::ALL
        .iter()
        .copied()
        .filter(|point| report.cpu.writeback(*point).is_ok_and(|choice| is_it(&choice)))
        .map(|point| format!("write-back to {point}"));
    let invalidate = report.cpu.invalidate().is_ok_and(|choice| is_it(&choice));
    let served: Vec<String> = points.chain(invalidate.then(|| "invalidate".to_string())).collect();
    if served.is_empty() { "nothing here".to_string() } else { served.join(", ") }
}

fn fences(report: &HostReport) -> Vec<Entry> {
    let answer = |about: &str, choice: Result<Choice, Unsupported>| match choice {
        Ok(choice) => Entry::said(about, choice.to_string(), choice.instruction.source),
        Err(why) => Entry::here(about, format!("no: {why}")),
    };
    let cpu = report.cpu;
    vec![
        answer("Coherency", cpu.writeback(Point::Coherency)),
        answer("Persistence", cpu.writeback(Point::Persistence)),
        answer("Deep pers.", cpu.writeback(Point::DeepPersistence)),
        answer("Invalidate", cpu.invalidate()),
        Entry::said(
            "Other threads",
            "a fence completes no other thread's operations on x86 and arm64; data seen through another \
             location need a fence before the operation too (Cache::order_observed)",
            "Intel SDM vol. 2B, SFENCE; Arm ARM (DDI 0487), DSB",
        ),
    ]
}

fn line(report: &HostReport) -> Vec<Entry> {
    let here = match report.cpu.line {
        Ok(line) => format!(
            "{} bytes, from {}; align and pad separate data to {}",
            line.size, line.source, line.granule
        ),
        Err(why) => format!("unknown: {why}"),
    };
    vec![
        Entry::here("Here", here),
        Entry::said(
            "Padding",
            "to the granule: the largest unit that any cache of the machine writes back, which can be larger than a \
             line. Where the CPU does not state it, the architecture's largest is taken (2048 bytes on arm64)",
            "Arm ARM (DDI 0487), CTR_EL0.CWG",
        ),
    ]
}

fn streaming_stores(report: &HostReport) -> Vec<Entry> {
    let unknown =
        "nothing is known of streaming stores on this architecture: write back after them";
    let here = report.cpu.streaming_stores_evict();
    vec![here.map_or_else(
        || Entry::here("Here", unknown),
        |statement| Entry::stated("Here", &statement),
    )]
}

fn whole_cache(report: &HostReport) -> Vec<Entry> {
    let here = match report.cpu.can_invalidate_memory() {
        Ok(operation) => format!("yes: {} on every CPU", operation.writeback_invalidate),
        Err(refused) => format!("no: {refused}"),
    };
    vec![Entry::here("Here", here), Entry::stated("In a kernel", &report.effects.whole_cache)]
}

fn aliasing(report: &HostReport) -> Vec<Entry> {
    let here = match report.aliasing {
        Aliasing::No { source, .. } => Entry::said("Here", "data do not alias", source),
        Aliasing::Yes { source, .. } => Entry::said("Here", "data alias", source),
        Aliasing::Unknown { reason, advice, .. } => {
            Entry::here("Here", format!("unknown: {reason}; {advice}"))
        }
        _ => Entry::here("Here", "unknown"),
    };
    let shmlba = report.shmlba.as_ref();
    let shmlba =
        shmlba.map_or_else(|why| format!("unknown: {why}"), |bytes| format!("{bytes} bytes"));
    vec![here, Entry::here("SHMLBA", shmlba)]
}

fn hypervisor(report: &HostReport) -> Vec<Entry> {
    let here = match report.cpu.hypervisor {
        Hypervisor::Absent => "the CPU reports no hypervisor (CPUID.1:ECX[31] is 0)".to_string(),
        Hypervisor::Unknown => {
            format!("{} does not report it to user mode", report.cpu.architecture)
        }
        present => format!("{present}"),
    };
    let mut entries = vec![Entry::here("By the CPU", here)];
    if let Hypervisor::Present { signatures, .. } = report.cpu.hypervisor {
        entries.extend(signatures.iter().map(|signature| {
            match HypervisorKind::of_signature(signature) {
                Some((kind, source)) => {
                    Entry::said("Signature", format!("\"{signature}\" is {kind}'s"), source)
                }
                None => Entry::here("Signature", format!("\"{signature}\" is not known here")),
            }
        }));
    }
    let isolated = match report.cpu.confidential {
        Confidential::Tdx => Some("Intel TDX: CPUID leaf 21H shows it".to_string()),
        Confidential::HyperV { isolation, .. } => {
            Some(format!("Hyper-V isolates it by {isolation}"))
        }
        Confidential::SevOffered { .. } => Some(
            "AMD SEV is offered; whether it is on does not show in user mode (dmesg has it)"
                .to_string(),
        ),
        _ => None,
    };
    entries.extend(isolated.map(|text| Entry::here("Confidential", text)));
    if let Confidential::SevOffered { needs_eviction: true, .. } = report.cpu.confidential {
        entries.push(Entry::said(
            "Page states",
            "a kernel that makes a page private must evict its lines when it validates the page"
                .to_string(),
            "CPUID Fn8000_001F EBX[31], COHERENCY_SFW_NO; Linux arch/x86/coco/sev",
        ));
    }
    let effects = report.effects;
    entries.extend([
        Entry::stated("Lines", &effects.lines),
        Entry::stated("Whole cache", &effects.whole_cache),
        Entry::stated("Migration", &effects.migration),
    ]);
    entries
}

/// Returns a question to the system, and its answer.
fn asked(evidence: &cachemaint_inspect::Evidence) -> Entry {
    Entry::here("Asked", format!("{}: {}", evidence.asked, evidence.answer))
}

fn domains(report: &HostReport) -> Vec<Entry> {
    let of_region = |region: &PmemRegion| {
        let domain = region.domain;
        let meaning = Entry::here(region.name.clone(), format!("{domain}: {}", domain.meaning()));
        [meaning].into_iter().chain(region.evidence.iter().map(asked)).collect::<Vec<_>>()
    };
    let mut entries = match (&report.regions, report.no_region()) {
        (Err(why), _) => vec![Entry::here("Here", format!("unknown: {why}"))],
        (Ok(_), Some(why)) => vec![Entry::here("Here", why.to_string())],
        (Ok(regions), None) => regions.iter().flat_map(of_region).collect(),
    };
    entries.push(Entry::said(
        "Claimed by",
        "firmware, whose claim the kernel passes on unchecked; a hypervisor can claim any domain for any file. Without a \
         claim the attribute persistence_domain is hidden",
        "Linux drivers/nvdimm/region_devs.c, drivers/acpi/nfit/core.c; QEMU docs/nvdimm.txt",
    ));
    entries
}

fn granularity(report: &HostReport) -> Vec<Entry> {
    let line = match (report.cpu.writeback(Point::Persistence), report.cpu.line) {
        (Ok(choice), Ok(line)) => format!("{} bytes, by {choice}", line.size),
        (Err(why), _) | (_, Err(why)) => format!("no: {why}"),
    };
    let page = match &report.page_size {
        Ok(bytes) => format!("{bytes} bytes, by msync"),
        Err(why) => format!("unknown: {why}"),
    };
    vec![
        Entry::here("Line", format!("{line}; for files that are mapped directly (MAP_SYNC)")),
        Entry::here("Page", format!("{page}; for all other files")),
        Entry::here(
            "Of a file",
            "`cachemaint inspect PATH`, or dax::probe, reports it with the evidence",
        ),
    ]
}

/// Returns the whole table. The backings of this machine come first.
fn survival(report: &HostReport) -> Vec<Entry> {
    let here = report.backings();
    let is_here = |backing: &Backing| here.contains(backing);
    let (here, elsewhere): (Vec<Backing>, Vec<Backing>) =
        Backing::ALL.iter().copied().partition(is_here);
    let mut entries = Vec::new();
    for (about, what, backings) in [
        ("Here", "the backings of files here", here),
        ("Elsewhere", "the backings of other machines", elsewhere),
    ] {
        let names: Vec<_> = backings.iter().map(ToString::to_string).collect();
        entries.push(Entry::here(about, format!("{what}: {}", names.join("; "))));
        entries.extend(backings.into_iter().flat_map(cells));
    }
    entries
}

/// Returns the statements on a backing. Statements that are equal for several stages are printed once.
fn cells(backing: Backing) -> Vec<Entry> {
    let of_event = |event: &Event| {
        let event = *event;
        let statement = move |stage: &Stage| survives(backing, *stage, event);
        let same = move |a: &Stage, b: &Stage| statement(a) == statement(b);
        Stage::ALL.chunk_by(same).map(move |stages| {
            let first = statement(&stages[0]);
            let names: Vec<_> = stages.iter().map(ToString::to_string).collect();
            let Statement { answer, text, .. } = first;
            let text = format!("{backing}; {event}; {}: {answer}: {text}", names.join(" or "));
            Entry { text, ..Entry::stated(label(event), &first) }
        })
    };
    Event::ALL.iter().flat_map(of_event).collect()
}

fn label(event: Event) -> &'static str {
    match event {
        Event::ProcessCrash => "Process",
        Event::Kexec => "Kexec",
        Event::WarmReboot => "Reboot",
        Event::PowerLoss => "Power",
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{broken, explain, topics};
    use cachemaint::medium::Backing;
    use cachemaint_inspect::HostReport;
    use cachemaint_inspect::survival::{Event, Stage, survives};

    #[test]
    fn a_certainty_has_its_source() {
        let report = HostReport::host();
        for topic in topics(&report) {
            for entry in explain(&report, &topic.name).unwrap().entries {
                assert!(!entry.text.is_empty(), "{}", topic.name);
                assert_eq!(entry.certainty.is_some(), !entry.source.is_empty(), "{entry:?}");
            }
        }
    }

    #[test]
    fn names_are_found_as_people_write_them() {
        let report = HostReport::host();
        for name in ["whole-cache", "whole cache", "WHOLE_CACHE", " Whole-Cache "] {
            assert_eq!(explain(&report, name).unwrap().topic.name, "whole-cache");
        }
        assert!(explain(&report, "whole").is_none() && explain(&report, "").is_none());
    }

    /// Answer, reason and source are the table's. The backings of this machine come first.
    #[test]
    fn survival_is_explained_by_the_table() {
        let entries = explain(&HostReport::host(), "survival").unwrap().entries;
        for (backing, event) in
            Backing::ALL.iter().flat_map(|it| Event::ALL.iter().map(move |event| (it, event)))
        {
            for &stage in Stage::ALL {
                let cell = survives(*backing, stage, *event);
                let begin = format!("{backing}; {event}; ");
                let end = format!(": {}: {}", cell.answer, cell.text);
                let is_it = |text: &str| {
                    text.starts_with(&begin)
                        && text.ends_with(&end)
                        && text.contains(&stage.to_string())
                };
                let entry = entries.iter().find(|entry| is_it(&entry.text));
                assert_eq!(
                    entry.map(|entry| &*entry.source),
                    Some(cell.source),
                    "{begin}{stage}{end}"
                );
            }
        }
        let elsewhere = entries.iter().position(|entry| entry.about == "Elsewhere").unwrap();
        let first =
            |text: &str| entries.iter().position(|entry| entry.text.starts_with(text)).unwrap();
        assert!(
            first("storage; process crash") < elsewhere
                && elsewhere < first("unknown; process crash")
        );
    }

    /// Columns 14 to 79 take 66 letters.
    #[test]
    fn a_word_longer_than_a_line_is_broken() {
        let path = "/".repeat(70);
        assert_eq!(broken(&format!("at {path} now")), format!("at {} //// now", &path[..66]));
    }
}
