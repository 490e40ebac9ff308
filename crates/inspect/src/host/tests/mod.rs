//! Whole machines: this CPU and a tree written by hand.

#[cfg(feature = "serde")]
mod json;

use super::{HostReport, all_caches_survive};
use crate::survival::backing_of;
use crate::tests::{Fixture, tree_of};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use cachemaint::family::calls::System;
use cachemaint::medium::{Backing, Domain};
use cachemaint::report::CpuReport;

fn report_of(fixture: &Fixture) -> HostReport {
    HostReport::from_tree(CpuReport::host(), &tree_of(fixture))
}

/// The lines that the documentation of the report permits.
const SCREEN_LINES: usize = 38;

fn assert_fits(screen: &str, lines: usize, what: &str) {
    let count = screen.lines().count();
    assert!(count <= lines, "{what}: {count} lines\n{screen}");
    for line in screen.lines() {
        assert!(line.chars().count() <= 80, "{what}: {line}");
    }
    let is_plain = |c: char| c == '\n' || c.is_ascii() && !c.is_control();
    assert!(screen.chars().all(is_plain), "{what}: {screen}");
}

/// Returns one of each kind, as the kernel's drivers describe them (ACPI NFIT with and without
/// eADR, an old kernel's empty attribute, e820, virtio-pmem, CXL, a volatile region).
fn every_region() -> Fixture {
    let size = ("size", "137438953472\n");
    Fixture::new()
        .kernel_and_caches()
        .region(0, Some("ACPI.NFIT\n"), &[size, ("persistence_domain", "cpu_cache\n")])
        .region(1, Some("ACPI.NFIT\n"), &[size, ("persistence_domain", "memory_controller\n")])
        .region(2, Some("ACPI.NFIT\n"), &[size])
        .region(3, Some("e820\n"), &[size])
        .region(4, Some("virtio-pmem\n"), &[size])
        .region(5, Some("CXL\n"), &[size, ("persistence_domain", "memory_controller\n")])
        .region(6, Some("ACPI.NFIT\n"), &[size, ("persistence_domain", "\n")])
        .region(7, None, &[("persistence_domain", "memory_controller\n")])
        .region(8, Some("ACPI.NFIT\n"), &[size, ("devtype", "nd_volatile\n")])
        .region(9, None, &[("size", "many\n"), ("persistence_domain", "memory_contro")])
}

#[test]
fn each_region_gets_the_domain_that_somebody_claims() {
    let report = report_of(&every_region());
    let domains: Vec<_> = report.regions.unwrap().iter().map(|region| region.domain).collect();
    assert_eq!(
        domains,
        [
            Domain::CpuCaches,
            Domain::MemoryController,
            Domain::Unknown,
            Domain::None,
            Domain::HostFlush,
            Domain::Cxl,
            Domain::Unknown,
            Domain::MemoryController,
            Domain::None,
            Domain::Unknown,
        ]
    );
}

#[test]
fn caches_survive_where_each_region_claims_it_and_there_is_one() {
    let claims = |claims: &[&str]| {
        let mut fixture = Fixture::new().kernel_and_caches();
        for (number, claim) in (0..).zip(claims) {
            let attributes = [("persistence_domain", *claim)];
            fixture = fixture.region(number, Some("ACPI.NFIT\n"), &attributes);
        }
        all_caches_survive(&report_of(&fixture).regions.unwrap_or_default())
    };
    assert!(claims(&["cpu_cache\n"]) && claims(&["cpu_cache\n", "cpu_cache\n"]));
    assert!(!claims(&[]));
    assert!(!claims(&["cpu_cache\n", "memory_controller\n"]));
    assert!(!claims(&["\n"]));
}

#[test]
fn a_region_shows_what_its_domain_was_concluded_from() {
    let fixture = Fixture::new().region(0, Some("e820\n"), &[("size", "1073741824\n")]);
    let regions = report_of(&fixture).regions.unwrap();
    let region = &regions[0];
    assert_eq!((region.name.as_str(), region.size), ("region0", Some(1 << 30)));
    let evidence: Vec<_> =
        region.evidence.iter().map(|row| (row.asked.as_str(), row.answer.as_str())).collect();
    assert_eq!(
        evidence,
        [
            ("/sys/devices/platform/ndbus0/provider", "e820"),
            ("/sys/devices/platform/ndbus0/region0/persistence_domain", "absent"),
        ]
    );
}

/// `badblocks` has a first sector and a number of them in each line, of 512 bytes: 1 + 8 are 4608.
#[test]
fn a_region_shows_what_the_kernel_says_of_its_state() {
    let fixture = Fixture::new()
        .region(
            0,
            Some("ACPI.NFIT\n"),
            &[
                ("available_size", "4096\n"),
                ("read_only", "1\n"),
                ("deep_flush", "0\n"),
                ("numa_node", "1\n"),
                ("badblocks", "7 1\n1000 8\n"),
            ],
        )
        .region(
            1,
            Some("ACPI.NFIT\n"),
            &[("numa_node", "-1\n"), ("badblocks", "\n"), ("read_only", "0\n")],
        )
        .region(2, None, &[("badblocks", "7 18446744073709551615\n"), ("read_only", "2\n")]);
    let report = report_of(&fixture);
    let regions = report.regions.as_ref().unwrap();
    let state = |place: usize| {
        let region = &regions[place];
        (region.available_size, region.read_only, region.deep_flush, region.numa_node)
    };
    assert_eq!(state(0), (Some(4096), Some(true), Some(false), Some(1)));
    assert_eq!(state(1), (None, Some(false), None, None));
    assert_eq!(state(2), (None, None, None, None));
    let bad: Vec<_> = regions.iter().map(|region| region.bad_bytes).collect();
    assert_eq!(bad, [Some(4608), Some(0), None]);
    let may_be_more: Vec<_> = regions.iter().map(|region| region.bad_bytes_may_be_more).collect();
    assert_eq!(may_be_more, [false, false, true]);
    let screen = report.to_string();
    assert!(screen.contains("read-only; 4608 bytes damaged\n"), "{screen}");
    assert_eq!(screen.matches("read-only").count(), 1, "{screen}");
    assert_eq!(screen.matches("damaged").count(), 1, "{screen}");
    let invalid = Fixture::new().region(0, Some("CXL\n"), &[("badblocks", "seven\n")]);
    let screen = report_of(&invalid).to_string().replace("\n              ", " ");
    assert!(screen.contains("; damage not known\n"), "{screen}");
}

/// An attribute that cannot be read is not a claim. (A directory in its place, since root may read any file.) Each CXL
/// region claims its memory controller (`drivers/cxl/pmem.c`, `cxl_pmem_region_probe`), so that a claim alone is not
/// evidence of ADR.
#[test]
fn a_claim_that_cannot_be_read_or_whose_provider_cannot_is_not_believed() {
    let region = "sys/devices/platform/ndbus0";
    let unread = Fixture::new()
        .region(0, Some("ACPI.NFIT\n"), &[])
        .file(&[region, "/region0/persistence_domain/file"].concat(), "");
    let unknown = Fixture::new()
        .region(0, None, &[("persistence_domain", "memory_controller\n")])
        .file(&[region, "/provider/file"].concat(), "");
    for (fixture, unreadable) in [(unread, 1), (unknown, 0)] {
        let region = report_of(&fixture).regions.unwrap().remove(0);
        assert!(region.evidence[unreadable].answer.starts_with("unreadable: "), "{region:?}");
        assert_eq!(region.domain, Domain::Unknown);
    }
}

#[test]
fn namespaces_and_other_bus_devices_are_not_regions() {
    let fixture = Fixture::new()
        .region(0, Some("e820\n"), &[])
        .file("sys/bus/nd/devices/namespace0.0/size", "1\n")
        .file("sys/bus/nd/devices/regionx/size", "1\n")
        .file("sys/bus/nd/devices/ndbus0/provider", "e820\n");
    assert_eq!(report_of(&fixture).regions.unwrap().len(), 1);
}

#[test]
fn kernel_and_pages_come_from_the_tree() {
    let report = report_of(&Fixture::new().kernel_and_caches());
    let kernel = report.kernel.as_ref().unwrap();
    assert_eq!(
        (kernel.name.as_str(), kernel.release.as_str()),
        ("Linux", "6.12.48+deb13-cloud-amd64")
    );
    assert_eq!(report.page_size, Ok(4096));
    assert_eq!(report.shmlba, Ok(4096));
    let screen = report.to_string();
    assert!(screen.contains("data do not alias\n"), "{screen}");
    assert!(screen.contains("Linux 6.12.48+deb13-cloud-amd64; pages of 4 KiB\n"), "{screen}");
}

/// Half a word, no entry, a page size of 0: none is a page size.
#[test]
fn a_damaged_auxiliary_vector_gives_no_page_size() {
    for words in [&[][..], &[6_usize, 0], &[6, 4097], &[3, 4096]] {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.push(1);
        let why = report_of(&Fixture::new().file("proc/self/auxv", bytes)).page_size.unwrap_err();
        assert!(why.reason.contains("/proc/self/auxv"), "{why}");
    }
}

/// A container without `/proc` and `/sys`, or another system: every answer names the question.
#[test]
fn an_empty_tree_is_unknown_with_reasons() {
    let report = report_of(&Fixture::new());
    for why in [
        report.kernel.as_ref().unwrap_err(),
        report.page_size.as_ref().unwrap_err(),
        report.regions.as_ref().unwrap_err(),
    ] {
        assert!(why.reason.starts_with('/'), "{why}");
        assert!(!why.advice.is_empty());
    }
    assert_eq!(report.backings(), [Backing::Storage, Backing::Ram, Backing::FileSystem]);
    assert_fits(&report.to_string(), SCREEN_LINES, "nothing is known");
}

/// No region on the bus is a "no"; no bus is an "unknown", since no driver may have been loaded.
#[test]
fn a_bus_without_regions_is_not_a_bus_that_is_missing() {
    let fixture = Fixture::new();
    let report = report_of(&fixture);
    assert!(report.to_string().contains("Pmem          unknown: "));
    assert_eq!(report.no_region(), None);

    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.inside("sys/bus/nd/devices")).unwrap();
    let report = report_of(&fixture);
    assert_eq!(report.regions.as_deref(), Ok(&[][..]));
    assert!(report.no_region().unwrap().advice.contains("fsync"));
    assert!(report.to_string().contains("Pmem          none: "), "{report}");
    assert!(report.to_string().contains("so nothing in memory is known to"), "{report}");
}

/// An unreadable directory may have any regions. Here it is a file, which root cannot list either.
#[test]
fn an_unreadable_bus_is_not_a_bus_without_regions() {
    let report = report_of(&Fixture::new().file("sys/bus/nd/devices", ""));
    let why = report.regions.as_ref().unwrap_err();
    assert!(why.reason.starts_with("/sys/bus/nd/devices: unreadable: "), "{why}");
    assert!(report.to_string().contains("Pmem          unknown: "), "{report}");

    let hidden = Fixture::new().link("sys/bus/nd/devices/region0", "sys/devices/hidden");
    let regions = report_of(&hidden).regions.unwrap();
    assert_eq!((regions[0].name.as_str(), regions[0].domain), ("region0", Domain::Unknown));
}

#[test]
fn sysfs_cannot_command_the_terminal() {
    let fixture = Fixture::new()
        .kernel_and_caches()
        .file("proc/sys/kernel/osrelease", "6.1\x1b]0;pwned\x07\u{fc}\n")
        .region(0, Some("e820\x1b[31m\u{202e}\n"), &[]);
    let report = report_of(&fixture);
    let screen = report.to_string();
    assert_fits(&screen, SCREEN_LINES, "escapes");
    assert!(screen.contains("6.1?]0;pwned??"), "{screen}");
    assert!(screen.contains("e820?[31m?"), "{screen}");
}

#[test]
fn the_legend_of_the_table_has_the_signs_that_are_used() {
    let flowing = |fixture: &Fixture| {
        let screen = report_of(fixture).to_string();
        screen.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let screen = flowing(&Fixture::new().kernel_and_caches());
    assert!(
        screen.ends_with(
            "[1] if the file systems are synced first; \
             [2] if the drive receives and honours flushes; [3] if the file system honours fsync"
        ),
        "{screen}"
    );
    assert!(flowing(&every_region()).contains(" ?: not promised; [1] if "));
}

#[test]
fn a_machine_with_its_regions_fits_on_one_screen() {
    let size = ("size", "137438953472\n");
    let fixtures = [
        Fixture::new()
            .kernel_and_caches()
            .region(0, Some("ACPI.NFIT\n"), &[size, ("persistence_domain", "cpu_cache\n")])
            .region(1, Some("ACPI.NFIT\n"), &[size, ("persistence_domain", "memory_controller\n")])
            .region(2, Some("e820\n"), &[size]),
        Fixture::new()
            .kernel_and_caches()
            .region(0, Some("virtio-pmem\n"), &[size])
            .region(1, Some("CXL\n"), &[size])
            .region(2, Some("e820\n"), &[size]),
        every_region(),
        Fixture::new(),
    ];
    for fixture in &fixtures {
        let report = report_of(fixture);
        let of_cpu = report.cpu.to_string().lines().count();
        // The CPU's own lines are at most 23 on every recorded machine, as `cachemaint` tests, and 22 in a guest.
        assert_fits(&report.to_string(), of_cpu + 16, "its regions");
    }
}

#[test]
fn the_survival_table_has_a_row_for_each_kind_of_region() {
    let report = report_of(&every_region());
    assert_eq!(
        report.backings(),
        [
            Backing::Storage,
            Backing::Ram,
            Backing::PmemEadr,
            Backing::PmemAdr,
            Backing::PmemUnknown,
            Backing::EmulatedPmem,
            Backing::VirtioPmem,
            Backing::Cxl,
            Backing::FileSystem,
        ]
    );
    let screen = report.to_string();
    assert!(screen.contains("\n  2 of 10     region1, "), "{screen}");
    let flowing = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flowing.contains("shown: pmem, no domain; emulated pmem; virtio-pmem"), "{screen}");
    assert!(
        screen.contains(
            "  pmem, ADR: stored        yes            yes           ?            no\n\
             \x20   persisted              yes            yes           yes          yes\n"
        ),
        "{screen}"
    );
}

/// Returns a CXL region of two devices as Linux shows it (`drivers/cxl/pmem.c`,
/// `drivers/nvdimm/region_devs.c`): the bus's provider is `CXL`, and a device that has GPF and
/// could be armed has `cxl/dirty_shutdown`.
fn cxl(counts: [Option<&str>; 2]) -> Domain {
    let attributes = [
        ("persistence_domain", "memory_controller\n"),
        ("mappings", "2\n"),
        ("mapping0", "nmem0,0,68719476736,0\n"),
        ("mapping1", "nmem1,0,68719476736,1\n"),
    ];
    let mut fixture = Fixture::new().region(0, Some("CXL\n"), &attributes);
    for (number, count) in counts.into_iter().enumerate() {
        if let Some(count) = count {
            let path = format!("sys/bus/nd/devices/nmem{number}/cxl/dirty_shutdown");
            fixture = fixture.file(&path, count);
        }
    }
    let regions = report_of(&fixture).regions.unwrap();
    let asked: Vec<_> = regions[0].evidence.iter().map(|row| row.asked.as_str()).collect();
    assert!(asked.contains(&"/sys/bus/nd/devices/nmem1/cxl/dirty_shutdown"), "{asked:?}");
    regions[0].domain
}

#[test]
fn a_cxl_region_has_gpf_if_each_of_its_devices_counts_dirty_shutdowns() {
    assert_eq!(cxl([Some("0\n"), Some("3\n")]), Domain::CxlGpf);
    assert_eq!(cxl([Some("0\n"), None]), Domain::Cxl);
    assert_eq!(cxl([None, None]), Domain::Cxl);
    assert_eq!(cxl([Some("0\n"), Some("many\n")]), Domain::Cxl);
    assert_eq!(backing_of(Domain::CxlGpf), Backing::CxlGpf);
}

/// No tree is taken for another system's.
#[test]
fn another_system_is_named_with_its_calls() {
    for (os, words) in [
        ("windows", ["Windows: not asked on this system", "FlushViewOfFile and FlushFileBuffers"]),
        ("macos", ["macOS: not asked on this system", "msync and fcntl(F_FULLFSYNC)"]),
        ("freebsd", ["freebsd: not asked on this system", "the system's own sync calls"]),
    ] {
        let report = report_of(&every_region()).on(&System::named(os));
        let text = report.to_string();
        let unwrapped = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(unwrapped.contains(word), "{os}: {text}");
        }
        assert!(!text.contains("Linux 6"), "{text}");
        assert!(report.regions.is_err() && report.page_size.is_err());
        assert_eq!(report.backings(), [Backing::FileSystem]);
        let promises = unwrapped.split_once("Survives").unwrap().1;
        assert!(promises.ends_with("if the file system honours fsync"), "{os}: {text}");
        assert_fits(&text, SCREEN_LINES, os);
    }
}
