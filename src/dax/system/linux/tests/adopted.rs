//! Mappings that the caller has made, over texts of `/proc/self/smaps` as the kernel shows it.

use super::super::adopted::Addresses;
use super::{Asked, DIRECT, EXT4_DAX, REFUSED, concluded, host_with_region};
use crate::dax::{ErrorKind, Guarantee, Options};
use crate::medium::Granularity;
use crate::survival::{Event, Stage, Survival};
use alloc::format;
use alloc::string::String;

const SMAPS: &str = "proc/self/smaps";
const ADDRESSES: Addresses = Addresses { start: 0x7f10_0000_0000, end: 0x7f10_0000_3000 };
const SYNCHRONOUS: &str = "rd wr sh mr mw me ms sf";
const SHARED: &str = "rd wr sh mr mw me ms";

/// Returns a part of the process's mappings, as `fs/proc/task_mmu.c` prints it.
fn part(start: u64, end: u64, flags: &str) -> String {
    format!(
        "{start:x}-{end:x} rw-s 00000000 103:00 12                         /mnt/pmem/file\n\
         Size:                  8 kB\nRss:                   0 kB\nVmFlags: {flags} \n"
    )
}

/// Returns the guarantee of a mapping of a file on eADR, where the file would be persisted by bytes.
fn adopted(asked: &Asked, smaps: Option<&str>) -> Guarantee {
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("cpu_cache\n"));
    let host = match smaps {
        Some(smaps) => host.file(SMAPS, smaps),
        None => host,
    };
    concluded(&host, &Asked { adopted: Some(ADDRESSES), ..*asked })
}

fn answer(guarantee: &Guarantee) -> Option<&str> {
    let mut evidence = guarantee.evidence.iter();
    evidence.find(|evidence| evidence.asked.contains(SMAPS)).map(|evidence| &*evidence.answer)
}

#[test]
fn a_mapping_with_map_sync_gets_what_its_file_gets() {
    let (start, end) = (ADDRESSES.start, ADDRESSES.end);
    let whole = part(start - 0x1000, end, SYNCHRONOUS);
    let parts = [
        part(0x40_0000, 0x40_1000, "rd ex mr mw me"),
        part(start, start + 0x1000, SYNCHRONOUS),
        part(start + 0x1000, end + 0x1000, SYNCHRONOUS),
        part(end + 0x1000, end + 0x2000, SHARED),
    ];
    for smaps in [whole, parts.concat()] {
        let guarantee = adopted(&DIRECT, Some(&smaps));
        assert_eq!(guarantee.granularity, Granularity::Byte, "{smaps}");
        assert_eq!(answer(&guarantee), Some("sf"));
    }
}

/// Nothing weaker is accepted: the pages of each part, whatever mappings other processes have.
#[test]
fn a_mapping_of_which_map_sync_is_not_shown_is_page_granular() {
    let (start, end) = (ADDRESSES.start, ADDRESSES.end);
    let middle = start + 0x1000;
    for smaps in [
        part(start, end, SHARED),
        part(start, middle, SYNCHRONOUS) + &part(middle, end, SHARED),
        part(start, middle, SHARED) + &part(middle, end, SYNCHRONOUS),
        part(start, middle, SYNCHRONOUS),
        part(middle, end, SYNCHRONOUS),
        part(start - 0x1000, start, SYNCHRONOUS) + &part(start, end, SHARED),
        part(start, middle, SYNCHRONOUS) + &part(middle + 0x1000, end, SYNCHRONOUS),
        String::new(),
    ] {
        let guarantee = adopted(&DIRECT, Some(&smaps));
        assert_eq!(guarantee.granularity, Granularity::Page(4096), "{smaps}");
        assert_eq!(answer(&guarantee), Some("no sf"));
        assert!(guarantee.reason.contains("without MAP_SYNC"), "{}", guarantee.reason);
        assert!(guarantee.advice.is_some_and(|advice| advice.contains("MAP_SHARED_VALIDATE")));
        assert!(!guarantee.is_eadr());
        assert_ne!(guarantee.survives(Stage::Stored, Event::PowerLoss).is, Survival::Yes);
        let refusal = Options::new().refusal(&guarantee);
        assert!(matches!(refusal, Some(ErrorKind::PageGranular(_))), "{refusal:?}");
        assert!(Options::new().allow_page_granularity().refusal(&guarantee).is_none());
    }
}

#[test]
fn without_proc_a_mapping_is_page_granular() {
    let guarantee = adopted(&DIRECT, None);
    assert_eq!(guarantee.granularity, Granularity::Page(4096));
    assert_eq!(answer(&guarantee), Some("absent"));
    assert!(guarantee.reason.contains("/proc/self/smaps"), "{}", guarantee.reason);
}

/// Reading the flags takes long, and they would change nothing.
#[test]
fn a_file_that_is_not_mapped_directly_is_not_asked_for_flags() {
    let smaps = part(ADDRESSES.start, ADDRESSES.end, SYNCHRONOUS);
    let guarantee = adopted(&REFUSED, Some(&smaps));
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("cpu_cache\n"));
    assert_eq!(guarantee.reason, concluded(&host, &REFUSED).reason);
    assert_eq!(answer(&guarantee), None);
}
