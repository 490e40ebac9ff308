//! The findings of a run, in words and as JSON.

use core::fmt;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::symbols::Symbols;

/// An instruction of the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Instruction {
    /// The physical address; 0 if it is not in RAM.
    pub physical: u64,
    pub address: u64,
    /// The function, with the line if the image has debug information.
    pub function: Option<String>,
}

impl Instruction {
    fn parse(text: &str) -> Option<Self> {
        let (physical, address) = text.split_once(':')?;
        Some(Self { physical: number(physical)?, address: number(address)?, function: None })
    }

    fn named(self, symbols: &Symbols) -> Self {
        let at = if self.physical == 0 { self.address } else { self.physical };
        Self { function: symbols.name(at), ..self }
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(f, "{function} at {:#x}", self.address),
            None => write!(f, "{:#x}", self.address),
        }
    }
}

/// What the plugin found at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: String,
    /// How often it happened to a line.
    pub count: u64,
    /// The instruction at which it showed.
    pub at: Instruction,
    /// The call of the function at `at`, unless that has called another one since.
    pub caller: Option<Instruction>,
    /// The instruction that it goes back to, if there is one.
    pub by: Option<Instruction>,
    /// The call of its function, if it maintains a line.
    pub by_caller: Option<Instruction>,
    /// The first affected physical address, and the words there in the cache and in RAM.
    pub address: u64,
    pub cached: u64,
    pub memory: u64,
    /// The device that got the line last, if the emulator shows it.
    pub device: Option<String>,
    /// The operation that mends it.
    pub remedy: String,
}

/// A kind of finding: its name, what happened at the place, what the other place did, and the remedy.
type Explained = (&'static str, &'static str, &'static str, &'static str);

const INVALIDATE_AFTER: &str = "after the device has finished and before this load, invalidate the line ({invalidate}; \
    Linux: dma_sync_single_for_cpu or dma_unmap_single; cachemaint: acquire)";
const CLEAN_BEFORE: &str = "between the store and the doorbell, write the line back ({clean}; Linux: dma_map_single or \
    dma_sync_single_for_device; cachemaint: release)";
const CLEAN_TO_WRITER: &str = "between the store and the doorbell, write back and invalidate the line ({both}; Linux: \
    dma_map_single; cachemaint: release_to_writer); nothing else may be stored to a line that a device writes";

/// What remedies name, and the instructions of the architectures by the plugin's names.
const NAMED: [&str; 4] = ["{invalidate}", "{clean}", "{both}", "{fence}"];
const INSTRUCTIONS: [(&str, [&str; 4]); 3] = [
    (
        "aarch64",
        [
            "dc ivac or dc civac, then dsb sy",
            "dc cvac, then dsb sy",
            "dc civac, then dsb sy",
            "dsb sy (not dmb, dsb ish or dsb osh)",
        ],
    ),
    (
        "arm",
        [
            "DCIMVAC or DCCIMVAC, then dsb",
            "DCCMVAC, then dsb",
            "DCCIMVAC, then dsb",
            "dsb (not dmb or dsb ish)",
        ],
    ),
    (
        "riscv64",
        [
            "cbo.inval or cbo.flush",
            "cbo.clean, then fence w, o",
            "cbo.flush, then fence w, o",
            "fence w, o",
        ],
    ),
];

const KINDS: [Explained; 8] = [
    (
        "unfenced-at-doorbell",
        "hands a device a line, or finds it written by one, before its write-back was completed",
        "the line was stored to by",
        "between the write-back and the doorbell, on the CPU that wrote back, execute {fence}",
    ),
    (
        "dirty-at-doorbell",
        "hands a device bytes that are only in the cache",
        "the bytes were stored by",
        CLEAN_BEFORE,
    ),
    (
        "dirty-under-device",
        "finds a line dirty under a device's write; an eviction overwrites the device's bytes",
        "the line was stored to by",
        CLEAN_TO_WRITER,
    ),
    (
        "bytes-lost",
        "loads bytes, or hands a device bytes, whose last stores were dropped by an invalidation",
        "the line was invalidated by",
        "invalidate only whole lines that hold nothing else, or write the lines at both ends back as well ({both})",
    ),
    (
        "written-over",
        "finds a dirty line over bytes that a device wrote, which its write-back overwrites",
        "the line was stored to by",
        CLEAN_TO_WRITER,
    ),
    (
        "old-bytes-merged",
        "loads bytes that a device had written, from a line in which a store had merged with older ones",
        "the line was stored to by",
        "after the device has finished and before the store, invalidate the line ({invalidate}); if the store is to other \
         data than the device's, give them a line of their own",
    ),
    (
        "stale-read",
        "loads bytes that a device had written, from a line that was cached before",
        "the line was fetched by",
        INVALIDATE_AFTER,
    ),
    (
        "speculative-read",
        "loads bytes that a device wrote after the line was invalidated; speculation may have fetched it in between",
        "the line was invalidated, too early, by",
        INVALIDATE_AFTER,
    ),
];

const NO_HOOKS: &str = "writes of bytes that were there before, and reads by devices other than virtio; bytes that an \
                        invalidation dropped, except near buffers of virtio (--hooks shows them)";
const TRANSLATED: &str = "what virtio devices behind an IOMMU read, since the addresses in their queues are translated \
                          (--hooks shows their buffers)";
const STREAMED: &str = "stores by SVE or MOPS, which look like a device's; run the guest without them, as with -cpu \
                        cortex-a57";
const NO_SYMBOLS: &str = "functions: the image has no symbols (give an ELF file with --symbols)";
const OTHER_SYMBOLS: &str = "functions outside of the files with symbols; where an image has moved, give FILE@0xADDRESS \
                             with the new place of its first byte (U-Boot: relocaddr of bdinfo)";

/// A loop that polls; it is no finding.
const POLL_RACE: &str = "poll-race";

/// The results of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// The number of findings that the suppressions cover.
    pub suppressed: usize,
    /// The number of loads at which a loop that polls met a device's write.
    pub poll_races: u64,
    pub counts: BTreeMap<String, u64>,
    #[serde(skip)]
    devices: Vec<String>,
    /// What this run could not show.
    pub unseen: Vec<&'static str>,
    #[serde(skip)]
    instructions: [&'static str; 4],
}

impl Report {
    /// Reads what the plugin wrote.
    ///
    /// # Errors
    /// If a line is unknown.
    pub fn read(text: &str, symbols: &Symbols, suppressions: &Suppressions) -> Result<Self> {
        let mut report = Self::default();
        for line in text.lines() {
            let parsed = report.take(line, symbols, suppressions);
            parsed.with_context(|| format!("the plugin wrote {line:?}"))?;
        }
        // Causes come before their consequences.
        report.findings.sort_by_key(|finding| {
            let kind = KINDS.iter().position(|(name, ..)| *name == finding.kind);
            (kind, core::cmp::Reverse(finding.count))
        });
        Ok(report)
    }

    fn take(&mut self, line: &str, symbols: &Symbols, suppressions: &Suppressions) -> Option<()> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        if kind == "cpu" {
            let name = words.next()?;
            self.instructions = INSTRUCTIONS.iter().find(|(known, _)| *known == name)?.1;
            return Some(());
        }
        if kind == "device" {
            self.devices.push(line.strip_prefix("device ")?.to_owned());
            return Some(());
        }
        let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        if kind == "counts" {
            for (name, value) in fields {
                self.counts.insert(name.to_owned(), value.parse().ok()?);
            }
            return Some(());
        }
        let kind = *fields.get("kind")?;
        let count = fields.get("count")?.parse().ok()?;
        if kind == POLL_RACE {
            self.poll_races += count;
            return Some(());
        }
        let (name, .., remedy) = KINDS.iter().find(|(name, ..)| *name == kind)?;
        let at = Instruction::parse(fields.get("at")?)?.named(symbols);
        let by = Instruction::parse(fields.get("by")?)?.named(symbols);
        let field = |name| number(fields.get(name)?);
        let device = fields.get("device")?.parse::<usize>().ok()?.checked_sub(1);
        let called = |of: &Instruction, caller: u64| {
            let caller = (caller != 0).then(|| caller_of(of, caller))?;
            // A function that has called another one returned into itself last.
            let function = symbols.function(caller.physical);
            let is_itself = function.is_some() && function == symbols.function(of.physical);
            (!is_itself).then(|| caller.named(symbols))
        };
        let finding = Finding {
            kind: (*name).to_owned(),
            count,
            caller: called(&at, field("caller")?),
            by_caller: called(&by, field("by_caller")?),
            at,
            by: (by.address != 0).then_some(by),
            address: field("address")?,
            cached: field("cached")?,
            memory: field("memory")?,
            device: device.and_then(|place| self.devices.get(place)).cloned(),
            remedy: NAMED
                .iter()
                .zip(self.instructions)
                .fold((*remedy).to_owned(), |remedy, (what, name)| remedy.replace(what, name)),
        };
        if suppressions.cover(&finding) {
            self.suppressed += 1;
        } else {
            self.findings.push(finding);
        }
        Some(())
    }

    /// Returns true if a device had to do with cacheable memory.
    pub fn has_tested(&self) -> bool {
        self.count("handed") + self.count("refreshed") > 0
            || !self.findings.is_empty()
            || self.suppressed > 0
    }

    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Adds what this run could not show.
    pub(super) fn add_unseen(&mut self, has_hooks: bool, symbols: &Symbols) {
        let mut places =
            self.findings.iter().flat_map(|finding| [Some(&finding.at), finding.by.as_ref()]);
        let has_unnamed = places.any(|place| place.is_some_and(|place| place.function.is_none()));
        let all = [
            (!has_hooks, NO_HOOKS),
            (self.count("unfollowed") > 0, TRANSLATED),
            (self.count("streamed") > 0, STREAMED),
            (has_unnamed && symbols.is_empty(), NO_SYMBOLS),
            (has_unnamed && !symbols.is_empty(), OTHER_SYMBOLS),
        ];
        self.unseen
            .extend(all.into_iter().filter(|(is_unseen, _)| *is_unseen).map(|(_, text)| text));
    }
}

/// Returns the instruction before an address to return to, if the function is mapped like its caller.
fn caller_of(at: &Instruction, caller: u64) -> Instruction {
    let physical = match at.physical {
        0 => 0,
        physical => physical.wrapping_add(caller.wrapping_sub(at.address)).wrapping_sub(4),
    };
    Instruction { physical, address: caller.wrapping_sub(4), function: None }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let Finding { kind, at, by, address, cached, memory, remedy, .. } = finding;
            let unknown = ("", "", "", "");
            let (_, what, other, _) =
                KINDS.iter().find(|(name, ..)| name == kind).unwrap_or(&unknown);
            writeln!(f, "{kind}, {}:", counted(finding.count, "time"))?;
            writeln!(f, "  {at}")?;
            writeln!(f, "    {what}")?;
            if let Some(caller) = &finding.caller {
                writeln!(f, "    called from {caller}")?;
            }
            if let Some(by) = by {
                writeln!(f, "  {other} {by}")?;
            }
            if let Some(caller) = &finding.by_caller {
                writeln!(f, "    called from {caller}")?;
            }
            if cached == memory {
                writeln!(f, "  first at {address:#x}")?;
            } else {
                writeln!(f, "  first at {address:#x}: cache {cached:#018x}, RAM {memory:#018x}")?;
            }
            if let Some(device) = &finding.device {
                writeln!(f, "  device: {device}")?;
            }
            writeln!(f, "  missing: {remedy}")?;
        }
        writeln!(
            f,
            "{}, {} suppressed; {} cacheable lines were handed to devices, and {} were invalidated after a \
             device had written them; {} maintenance operations, {} fences",
            counted(self.findings.len() as u64, "finding"),
            self.suppressed,
            self.count("handed"),
            self.count("refreshed"),
            self.count("maintained"),
            self.count("fences"),
        )?;
        self.unseen.iter().try_for_each(|unseen| writeln!(f, "not seen: {unseen}"))
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// Findings to leave out: one a line, a kind or `*`, and a function or an address. `#` begins a comment.
#[derive(Clone, Debug, Default)]
pub struct Suppressions(Vec<(String, String)>);

impl core::str::FromStr for Suppressions {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let pairs = lines.filter(|line| !line.is_empty()).map(|line| {
            let (kind, place) = line.split_once(' ').with_context(|| {
                format!("{line:?} is no suppression: give a kind or *, and a function")
            })?;
            let is_known = kind == "*" || KINDS.iter().any(|(name, ..)| *name == kind);
            anyhow::ensure!(is_known, "{kind} is no kind of finding");
            Ok((kind.to_owned(), place.trim().to_owned()))
        });
        Ok(Self(pairs.collect::<Result<_>>()?))
    }
}

impl Suppressions {
    fn cover(&self, finding: &Finding) -> bool {
        let Finding { at, by, caller, by_caller, .. } = finding;
        let places = [Some(at), by.as_ref(), caller.as_ref(), by_caller.as_ref()];
        self.0.iter().any(|(kind, place)| {
            (kind == "*" || *kind == finding.kind)
                && places.into_iter().flatten().any(|instruction| instruction.is_in(place))
        })
    }
}

impl Instruction {
    /// Returns true if the instruction is at an address or in a function.
    fn is_in(&self, place: &str) -> bool {
        if let Some(address) = number(place) {
            return self.address == address || self.physical == address;
        }
        let is_of_name = |c: char| c.is_alphanumeric() || "_:<>$.".contains(c);
        self.function
            .iter()
            .any(|function| function.split(|c| !is_of_name(c)).any(|word| word == place))
    }
}

#[cfg(test)]
mod tests {
    use super::{Instruction, KINDS, NO_SYMBOLS, Report, Suppressions, TRANSLATED};
    use crate::symbols::Symbols;

    const TEXT: &str = "\
cpu riscv64
device virtio-mmio 7, queue 0
found kind=stale-read count=3 at=0x40201000:0xffff800008001000 by=0x40202000:0xffff800008002000 address=0x41000040 \
cached=0x0 memory=0x7 caller=0xffff800008003004 by_caller=0x0 device=1
found kind=poll-race count=2 at=0x40201000:0x1000 by=0x0:0x0 address=0x41000040 cached=0x0 memory=0x7 caller=0x0 by_caller=0x0 device=0
counts loads=10 handed=4 refreshed=0 unfollowed=2
";

    fn read(suppressions: &str) -> Report {
        Report::read(TEXT, &Symbols::default(), &suppressions.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_report_names_places_causes_and_remedies() {
        let report = read("");
        let text = report.to_string();
        for part in [
            "stale-read, 3 times:\n  0xffff800008001000\n",
            "called from 0xffff800008003000\n",
            "the line was fetched by 0xffff800008002000\n",
            "  device: virtio-mmio 7, queue 0\n",
            "first at 0x41000040: cache 0x0000000000000000, RAM 0x0000000000000007\n",
            "(cbo.inval or cbo.flush; Linux: dma_sync_single_for_cpu",
            "1 finding, 0 suppressed; 4 cacheable lines",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert_eq!((report.poll_races, report.findings[0].at.physical), (2, 0x4020_1000));
        assert_eq!(report.findings[0].caller.as_ref().unwrap().physical, 0x4020_3000);
        assert!(report.has_tested());
        let mut report = report;
        report.add_unseen(true, &Symbols::default());
        assert_eq!(report.unseen, [TRANSLATED, NO_SYMBOLS]);
    }

    #[test]
    fn suppressions_name_a_kind_and_a_place() {
        for (text, left) in [
            ("* 0x40201000", 0),
            ("stale-read 0xffff800008002000 # the cause", 0),
            ("written-over 0x40201000", 1),
            ("# nothing", 1),
        ] {
            let report = read(text);
            assert_eq!((report.findings.len(), report.suppressed), (left, 1 - left), "{text}");
        }
        assert!("stale 0x1".parse::<Suppressions>().is_err());
        assert!("stale-read".parse::<Suppressions>().is_err());
        let function = Some(String::from("main.rs:7 (driver::receive)"));
        let instruction = Instruction { function, ..Instruction::default() };
        assert!(instruction.is_in("driver::receive") && !instruction.is_in("receive"));
    }

    #[test]
    fn unknown_lines_are_refused() {
        for text in ["found kind=new count=1", "count 3", "found kind=stale-read count=x"] {
            Report::read(text, &Symbols::default(), &Suppressions::default()).unwrap_err();
        }
        assert_eq!(KINDS.len(), 8);
    }
}
