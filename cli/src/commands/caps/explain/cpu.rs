//! The effects of the CPU and its instructions.

use super::{Entry, name_of};
use cachemaint::instruction::Instruction;
use cachemaint::report::{Aliasing, Choice, HostReport, Hypervisor, Status};
use cachemaint::survival::Certainty;
use cachemaint::{Point, Unsupported};

/// Returns the explanation of one instruction, by the name of its topic.
pub(super) fn instruction(report: &HostReport, name: &str) -> Option<Vec<Entry>> {
    let cpu = &report.cpu;
    let found = cpu.instructions().find(|row| name_of(row.instruction.name) == name)?;
    let instruction = found.instruction;
    let here = match found.status {
        Status::Absent(why) => format!("absent: {} is not shown: {why}", instruction.requires),
        Status::Refused(why) => format!("shown, but must not be used: {why}"),
        _ => format!("present: {} is shown", instruction.requires),
    };
    let does = match found.invalidate {
        None => "copies a dirty line and may keep it in the cache",
        Some(_) => "copies a dirty line and drops it from the cache",
    };
    let mut entries = Vec::from([
        Entry::here("Here", here),
        Entry::here("Chosen for", chosen_for(report, instruction)),
        Entry::said(
            "Does",
            format!("{does}; the farthest point it reaches is {}", instruction.point),
            instruction.source,
        ),
    ]);
    entries.push(Entry::said("To write back", found.writeback.to_string(), instruction.source));
    if let Some(invalidate) = found.invalidate {
        entries.push(Entry::said("To invalidate", invalidate.to_string(), instruction.source));
    }
    if matches!(cpu.hypervisor, Hypervisor::Present { .. }) {
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

pub(super) fn fences(report: &HostReport) -> Vec<Entry> {
    let mut entries = choices(report);
    entries.push(Entry::said(
        "Why",
        "a write-back instruction starts the transfer of a line and returns; a fence of the same thread has it \
         complete before any store that follows",
        "Intel SDM vol. 2A, CLWB; Arm ARM (DDI 0487), \"Ordering and completion of data and instruction \
         cache instructions\"",
    ));
    entries.push(Entry::said(
        "On x86",
        "sfence orders stores and write-backs, which is enough to persist; mfence orders loads too. An \
         invalidation needs mfence: a later load must not return the old bytes",
        "Intel SDM vol. 2B, SFENCE and MFENCE",
    ));
    entries.push(Entry::said(
        "Other threads",
        "a fence completes no other thread's operations on x86 and arm64; data seen through another \
         location need a fence before the operation too (Cache::order_observed)",
        "Intel SDM vol. 2B, SFENCE; Arm ARM (DDI 0487), DSB",
    ));
    entries
}

fn choices(report: &HostReport) -> Vec<Entry> {
    let answer = |about: String, choice: Result<Choice, Unsupported>| match choice {
        Ok(choice) => Entry::said(about, choice.to_string(), choice.instruction.source),
        Err(why) => Entry::here(about, format!("no: {why}")),
    };
    let writebacks = Point::ALL
        .iter()
        .copied()
        .map(|point| answer(format!("To {}", short(point)), report.cpu.writeback(point)));
    writebacks.chain([answer("Invalidate".to_string(), report.cpu.invalidate())]).collect()
}

/// Returns the point's name, short enough for a label.
const fn short(point: Point) -> &'static str {
    match point {
        Point::Coherency => "coherency",
        Point::Persistence => "persist.",
        Point::DeepPersistence => "deep pers.",
    }
}

pub(super) fn points(report: &HostReport) -> Vec<Entry> {
    let mut entries = choices(report);
    let arm = "Arm ARM (DDI 0487), points of coherency, persistence and deep persistence";
    for (about, text, source) in [
        (
            "Coherency",
            "where all observers of memory agree: devices, other hosts, the second kernel of a kdump",
            arm,
        ),
        ("Persistence", "what power loss keeps, if the platform has such a point", arm),
        (
            "Deep pers.",
            "what power loss keeps even if the platform's stored energy (capacitors, batteries) fails",
            arm,
        ),
        (
            "On x86",
            "there is one instruction for the first two: what is written back reaches memory, and \
             whether that persists is the domain of the region; the kernel gets farther by flush hints",
            "Intel SDM vol. 2A, CLWB; Linux drivers/nvdimm/region_devs.c, generic_nvdimm_flush",
        ),
    ] {
        entries.push(Entry::said(about, text, source));
    }
    entries
}

pub(super) fn line(report: &HostReport) -> Vec<Entry> {
    let here = match report.cpu.line {
        Ok(line) => format!(
            "{} bytes, from {}; align and pad separate data to {}",
            line.size, line.source, line.granule
        ),
        Err(why) => format!("unknown: {why}"),
    };
    Vec::from([
        Entry::here("Here", here),
        Entry::said(
            "What it is",
            "one maintenance instruction works on one line; the ends of a range are widened to whole \
             lines, so that neighbours in those are written back too",
            "Intel SDM vol. 2A, CPUID leaf 1; Arm ARM (DDI 0487), CTR_EL0.DminLine",
        ),
        Entry::said(
            "Padding",
            "to the granule: the largest unit that any cache of the machine writes back, which can be larger than a \
             line. Where the CPU does not state it, the architecture's largest is taken (2048 bytes on arm64)",
            "Arm ARM (DDI 0487), CTR_EL0.CWG",
        ),
    ])
}

pub(super) fn streaming_stores(report: &HostReport) -> Vec<Entry> {
    let Some(statement) = report.cpu.streaming_stores_evict() else {
        return Vec::from([Entry::here(
            "Here",
            "nothing is known of streaming stores on this architecture: write back after them",
        )]);
    };
    Vec::from([
        Entry::stated("Here", &statement),
        Entry::said(
            "Ordering",
            "they are weakly ordered: a fence must come before the store that announces the data to \
             others",
            "Intel SDM vol. 1, 10.4.6.2; AMD APM vol. 3, MOVNTI",
        ),
    ])
}

pub(super) fn whole_cache(report: &HostReport) -> Vec<Entry> {
    let here = match report.cpu.can_invalidate_memory() {
        Ok(operation) => format!("yes: {} on every CPU", operation.writeback_invalidate),
        Err(refused) => format!("no: {refused}"),
    };
    Vec::from([
        Entry::here("Here", here),
        Entry::stated("In a kernel", &report.effects.whole_cache),
        Entry::said(
            "On Linux",
            "a driver asks cpu_cache_has_invalidate_memregion first, which is false on x86 under any \
             hypervisor, and then lets cpu_cache_invalidate_memregion do it on all CPUs; that may or \
             may not write back what is dirty",
            "Linux arch/x86/mm/pat/set_memory.c; include/linux/memregion.h",
        )
        .sure(Certainty::ReadInSource),
        Entry::said(
            "Each CPU",
            "WBINVD reaches the caches of the CPU that executes it and those it shares. The set/way operations of \
             arm64 name a line by its place in a cache. They reach the caches of one CPU alone, so that they are \
             wrong with other CPUs running",
            "Intel SDM vol. 2, WBINVD; Arm ARM (DDI 0487), DC CISW",
        ),
    ])
}

pub(super) fn aliasing(report: &HostReport) -> Vec<Entry> {
    let here = match report.aliasing {
        Aliasing::No { source, .. } => Entry::said("Here", "data do not alias", source),
        Aliasing::Yes { source, .. } => Entry::said("Here", "data alias", source),
        Aliasing::Unknown { reason, advice, .. } => {
            Entry::here("Here", format!("unknown: {reason}; {advice}"))
        }
        _ => Entry::here("Here", "unknown"),
    };
    let shmlba = match &report.shmlba {
        Ok(bytes) => format!("{bytes} bytes"),
        Err(why) => format!("unknown: {why}"),
    };
    Vec::from([
        here,
        Entry::here("SHMLBA", shmlba),
        Entry::said(
            "What it is",
            "in a cache that is indexed by virtual addresses one page can be twice, under two of them, \
             and the two can disagree: a user's mapping and the kernel's own, for example. Linux has no \
             DAX on such machines, but device DAX",
            "Linux Documentation/core-api/cachetlb.rst; drivers/dax/super.c, alloc_dax (since 6.9; before, \
             fs/Kconfig, FS_DAX)",
        ),
        Entry::said(
            "Calls beside",
            "read(2) and write(2) go through the kernel's mapping, which need not agree with yours: access a \
             mapped file through the mapping alone",
            "Linux Documentation/core-api/cachetlb.rst, flush_dcache_folio",
        ),
        Entry::said(
            "What to do",
            "nothing where data do not alias. Elsewhere let the kernel choose the addresses of shared mappings, \
             or choose them so that address minus file offset is equal modulo SHMLBA \
             (cachemaint::aliasing::mappings_agree checks it)",
            "shmat(2); Linux arch/arm/mm/mmap.c, arch_get_unmapped_area, for one",
        )
        .sure(Certainty::ReadInSource),
    ])
}
