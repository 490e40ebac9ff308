//! Persistence domains, granularity, and the survival of data.

use super::Entry;
use cachemaint::Point;
use cachemaint::report::{HostReport, PmemRegion};
use cachemaint::survival::{Backing, Certainty, Domain, Event, Stage};

pub(super) fn domains(report: &HostReport) -> Vec<Entry> {
    let mut entries = regions(report, |_| true);
    entries.push(
        Entry::said(
            "Claimed by",
            "the kernel passes on the claim of firmware, which is not checked; a hypervisor can claim any \
             domain for any file. Without a claim the attribute persistence_domain is \
             hidden",
            "Linux drivers/nvdimm/region_devs.c, drivers/acpi/nfit/core.c; QEMU docs/nvdimm.txt",
        )
        .sure(Certainty::ReadInSource),
    );
    entries
}

/// Returns the wanted regions of this machine, with the worth of their domains.
fn regions(report: &HostReport, wanted: impl Fn(Domain) -> bool) -> Vec<Entry> {
    let regions = match (&report.regions, report.no_region()) {
        (Err(why), _) => return Vec::from([Entry::here("Here", format!("unknown: {why}"))]),
        (Ok(_), Some(why)) => return Vec::from([Entry::here("Here", why.to_string())]),
        (Ok(regions), None) => regions,
    };
    let found: Vec<Entry> =
        regions.iter().filter(|region| wanted(region.domain)).flat_map(region).collect();
    if found.is_empty() { Vec::from([Entry::here("Here", "no region has it")]) } else { found }
}

fn region(region: &PmemRegion) -> Vec<Entry> {
    let domain = region.domain;
    let mut entries =
        Vec::from([Entry::here(region.name.clone(), format!("{domain}: {}", domain.meaning()))]);
    let evidence = region.evidence.iter();
    entries
        .extend(evidence.map(|row| Entry::here("Asked", format!("{}: {}", row.asked, row.answer))));
    entries
}

/// Returns the statements on a backing at these events. Statements that are equal for several
/// progresses are printed once.
fn cells(backing: Backing, events: &[Event]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for event in events {
        let statement = |stage: &Stage| backing.survives(*stage, *event);
        let same = |a: &Stage, b: &Stage| statement(a) == statement(b);
        for progresses in Stage::ALL.chunk_by(same) {
            let Some(first) = progresses.first().map(statement) else { continue };
            let names: Vec<_> = progresses.iter().map(ToString::to_string).collect();
            let text = format!(
                "{}; {}; {}: {}: {}",
                backing,
                event,
                names.join(" or "),
                first.answer,
                first.text
            );
            entries.push(Entry::stated(label(*event), &first).saying(text));
        }
    }
    entries
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

pub(super) fn adr(report: &HostReport) -> Vec<Entry> {
    let mut entries = regions(report, |domain| domain == Domain::MemoryController);
    entries.push(Entry::said(
        "What it is",
        "Asynchronous DRAM Refresh: at power loss stored energy empties the memory controller's write \
         queues into the modules; CPU caches are lost. So a line counts once it was written back and \
         fenced",
        "ACPI, NFIT platform capabilities, bit 1",
    ));
    entries.extend(cells(Backing::PmemAdr, &[Event::WarmReboot, Event::PowerLoss]));
    entries
}

pub(super) fn eadr(report: &HostReport) -> Vec<Entry> {
    let mut entries = regions(report, |domain| domain == Domain::CpuCaches);
    entries.push(Entry::said(
        "What it is",
        "extended ADR: at power loss stored energy writes the CPU caches back too, so that a store \
         counts once it is visible and a fence suffices. It speaks of power, not of a reset",
        "ACPI, NFIT platform capabilities, bit 0; Intel, \"eADR: New Opportunities for Persistent Memory \
         Applications\"",
    ));
    entries.extend(cells(Backing::PmemEadr, &[Event::WarmReboot, Event::PowerLoss]));
    entries
}

pub(super) fn gpf(report: &HostReport) -> Vec<Entry> {
    let mut entries = regions(report, |domain| matches!(domain, Domain::CxlGpf | Domain::Cxl));
    entries.push(Entry::said(
        "What it is",
        "Global Persistent Flush: at power loss, and at other events that the platform chooses, such as a reset, \
         the host has its CXL devices flush: first caches, then the devices' own buffers. The ports wait for that \
         within timeouts that software sets. A platform can leave the caches out",
        "CXL specification 3.x, section 9.8; US patent 12393515, claim 2, for a reset; Linux drivers/cxl/cxlpci.h, \
         DVSEC 4 (port) and 5 (device)",
    ));
    entries.push(
        Entry::said(
            "Evidence",
            "Linux from 6.15 on marks each device dirty when it takes it up. A flush that \
             completes clears the mark. Linux shows the count of failures as cxl/dirty_shutdown of the device \
             (/sys/bus/nd/devices/nmemN) if it has GPF. A count that has grown means that bytes were lost",
            "Linux drivers/cxl/pmem.c, cxl_nvdimm_arm_dirty_shutdown_tracking",
        )
        .sure(Certainty::ReadInSource),
    );
    entries.extend(cells(Backing::CxlGpf, &[Event::WarmReboot, Event::PowerLoss]));
    entries.extend(cells(Backing::Cxl, &[Event::PowerLoss]));
    entries
}

pub(super) fn granularity(report: &HostReport) -> Vec<Entry> {
    let line = match report.cpu.writeback(Point::Persistence) {
        Ok(choice) => match report.cpu.line {
            Ok(line) => format!("{} bytes, by {choice}", line.size),
            Err(why) => format!("no: {why}"),
        },
        Err(why) => format!("no: {why}"),
    };
    let page = match &report.page_size {
        Ok(bytes) => format!("{bytes} bytes, by msync"),
        Err(why) => format!("unknown: {why}"),
    };
    let has_eadr = report.regions.iter().flatten().any(|region| region.domain == Domain::CpuCaches);
    let byte = if has_eadr {
        "on the regions with eADR: a fence suffices"
    } else {
        "no region claims eADR"
    };
    Vec::from([
        Entry::here("Byte", byte),
        Entry::here("Line", format!("{line}; for files that are mapped directly (MAP_SYNC)")),
        Entry::said(
            "Line in RAM",
            "RAM that was set aside, and memory that the kernel calls volatile, are behind the point of coherency: \
             there the instruction that reaches it is enough, also on a CPU without one for persistence",
            "Arm ARM, \"Memory hierarchy\"; Linux arch/arm64/mm/cache.S, dcache_clean_pop",
        ),
        Entry::here("Page", format!("{page}; for all other files")),
        Entry::said(
            "Tearing",
            "whatever the granularity, a crash can tear what is not persisted yet at aligned words of 8 \
             bytes, and a line can reach the medium at any time before it is asked for",
            "SNIA, \"NVM Programming Model\", power-fail atomicity",
        ),
        Entry::here(
            "Of a file",
            "cachemaint inspect PATH, or dax::probe, report it with the evidence",
        ),
    ])
}

pub(super) fn map_sync(_report: &HostReport) -> Vec<Entry> {
    Vec::from([
        Entry::said(
            "Promises",
            "when a write fault returns, the blocks under the page are the file's on the medium, so \
             that afterwards writing back and fencing persists without the file system's help",
            "mmap(2), MAP_SYNC; Linux fs/dax.c, dax_finish_sync_fault",
        ),
        Entry::said(
            "Does not",
            "it says nothing of the medium: the kernel grants it on RAM that was set aside too, and \
             refuses it on virtio-pmem, whose flush is a request",
            "Linux include/linux/dax.h, daxdev_mapping_supported; drivers/nvdimm/region_devs.c",
        )
        .sure(Certainty::ReadInSource),
        Entry::said(
            "Who has it",
            "ext4 and xfs on DAX, and device DAX; it must be asked for with MAP_SHARED_VALIDATE, since \
             plain MAP_SHARED drops it silently",
            "Linux, FOP_MMAP_SYNC; mmap(2)",
        )
        .sure(Certainty::ReadInSource),
    ])
}

pub(super) fn deep_persist(report: &HostReport) -> Vec<Entry> {
    let deep = match report.cpu.writeback(Point::DeepPersistence) {
        Ok(choice) => choice.to_string(),
        Err(why) => format!("no instruction: {why}"),
    };
    let mut entries = Vec::from([
        Entry::here("Here", deep),
        Entry::said(
            "What it is",
            "persist, and flush the medium's own buffers too, so that no stored energy (capacitors, batteries) is \
             needed at power loss. Linux does it on fsync and msync of a DAX file, and when 1 is written to \
             deep_flush, a file of the region in /sys/bus/nd/devices. If deep_flush reads 0, the region has no flush \
             hints, and the kernel has nothing to flush",
            "Linux drivers/nvdimm/region_devs.c, deep_flush_store and generic_nvdimm_flush; drivers/nvdimm/pmem.c, \
             pmem_submit_bio",
        )
        .sure(Certainty::ReadInSource),
    ]);
    for backing in report.backings() {
        let statement = backing.survives(Stage::DeepPersisted, Event::PowerLoss);
        let text = format!("{backing}: {}: {}", statement.answer, statement.text);
        entries.push(Entry::stated("Power", &statement).saying(text));
    }
    entries
}

/// Returns the whole table. The backings of this machine come first.
pub(super) fn survival(report: &HostReport) -> Vec<Entry> {
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
        entries.extend(backings.into_iter().flat_map(|backing| cells(backing, Event::ALL)));
    }
    entries
}
