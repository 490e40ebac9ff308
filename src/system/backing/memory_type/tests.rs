//! Trees written after the kernel's formats (`memtype_seq_show`, `mtrr_seq_show`). The combination
//! of types is the table of the Intel SDM (vol. 3A, "Effective Page-Level Memory Types").

use super::mtrr::Set;
use super::pat::Reserved;
use super::{Caching, Mapped, MemoryType, caching, effective};
use crate::system::fixture::Fixture;
use alloc::string::ToString;

const NAMESPACE: &str = "sys/devices/platform/ndbus0/region0/namespace0.0";
const LIST: &str = "sys/kernel/debug/x86/pat_memtype_list";

/// Returns a machine with 256 MiB of persistent memory from 1 GiB on: 0x40000000 to 0x50000000.
fn machine() -> Fixture {
    let disk = &[NAMESPACE, "/block/pmem0"].concat();
    Fixture::new()
        .file("proc/sys/kernel/osrelease", "6.1.0-56-cloud-amd64\n")
        .file(&[disk, "/size"].concat(), "524288\n")
        .link("sys/class/block/pmem0", disk)
        .file(&[NAMESPACE, "/resource"].concat(), "0x40000000\n")
        .file(&[NAMESPACE, "/size"].concat(), "268435456\n")
}

fn with_list(list: &str) -> Fixture {
    machine().file(LIST, ["PAT memtype list:\n", list].concat())
}

fn asked(fixture: &Fixture) -> Caching {
    caching(&fixture.tree(), Mapped::Device("pmem0"), true, false)
}

fn why(caching: &Caching) -> (&str, &str) {
    let unknown = caching.read.as_ref().unwrap_err();
    (&unknown.reason, unknown.advice)
}

const WRITE_BACK: &str = "PAT: [mem 0x0000000040000000-0x0000000050000000] write-back\n";

#[test]
fn the_type_is_that_of_the_namespaces_own_range() {
    let other = "PAT: [mem 0x00000000fed00000-0x00000000fed01000] uncached-minus\n";
    let before = "PAT: [mem 0x000000003f000000-0x0000000040000000] write-combining\n";
    let behind = "PAT: [mem 0x0000000050000000-0x0000000051000000] write-combining\n";
    let list = [before, WRITE_BACK, behind, other].concat();
    let elsewhere = "reg00: base=0x080000000 ( 2048MB), size= 2048MB, count=1: uncachable\n";
    let found = asked(&with_list(&list).file("proc/mtrr", elsewhere));
    assert_eq!(found.read, Ok(MemoryType::WriteBack));
    let evidence: alloc::vec::Vec<_> =
        found.evidence.iter().map(|row| (row.asked.as_str(), row.answer.as_str())).collect();
    assert_eq!(
        evidence,
        [
            ("/sys/devices/platform/ndbus0/region0/namespace0.0/resource", "0x40000000"),
            ("/sys/devices/platform/ndbus0/region0/namespace0.0/size", "268435456"),
            (
                "/sys/kernel/debug/x86/pat_memtype_list: 0x40000000-0x50000000",
                "0x40000000-0x50000000 write-back"
            ),
            ("/proc/mtrr: 0x40000000-0x50000000", "no range is about it"),
        ]
    );
}

/// A device of device DAX shows its range itself (`drivers/dax/bus.c`), or the first of several.
#[test]
fn the_type_of_a_device_is_that_of_its_own_range() {
    let device = "sys/devices/platform/ndbus0/region0/dax0.1/dax0.0";
    let host = with_list(WRITE_BACK)
        .file(&[device, "/resource"].concat(), "0x40400000\n")
        .file(&[device, "/size"].concat(), "264241152\n")
        .link("sys/bus/dax/devices/dax0.0", device);
    let asked = |host: &Fixture| caching(&host.tree(), Mapped::Device("dax0.0"), true, false);
    assert_eq!(asked(&host).read, Ok(MemoryType::WriteBack));
    let row = &asked(&host).evidence[0];
    assert_eq!(row.asked, ["/", device, "/resource"].concat());

    let host = host.file(&[device, "/mapping1/start"].concat(), "0x80000000\n");
    let found = asked(&host);
    assert!(why(&found).0.contains("has several ranges"), "{found:?}");
}

#[test]
fn each_type_of_the_list_is_known_in_both_formats() {
    let rows = [
        ("write-back", MemoryType::WriteBack),
        ("write-combining", MemoryType::WriteCombining),
        ("write-through", MemoryType::WriteThrough),
        ("write-protected", MemoryType::WriteProtected),
        ("uncached", MemoryType::Uncached),
        ("uncached-minus", MemoryType::Uncached),
    ];
    // A range of write-back: no type changes under it but UC-.
    let ram = "reg01: base=0x000000000 (    0MB), size= 4096MB, count=1: write-back\n";
    for (name, expected) in rows {
        let new = ["PAT: [mem 0x0000000040000000-0x0000000050000000] ", name, "\n"].concat();
        let old = [name, " @ 0x40000000-0x50000000\n"].concat();
        for list in [new, old] {
            let found = asked(&with_list(&list).file("proc/mtrr", ram));
            assert_eq!(found.read, Ok(expected), "{list}");
        }
    }
}

#[test]
fn entries_that_cover_the_range_together_count_as_one() {
    let halves = "PAT: [mem 0x0000000048000000-0x0000000050000000] write-through\n\
                  PAT: [mem 0x0000000040000000-0x0000000048000000] write-through\n";
    let ram = "reg01: base=0x000000000 (    0MB), size= 4096MB, count=1: write-back\n";
    let found = asked(&with_list(halves).file("proc/mtrr", ram));
    assert_eq!(found.read, Ok(MemoryType::WriteThrough));
}

#[test]
fn a_partial_or_mixed_memory_type_is_unknown() {
    let hole = "PAT: [mem 0x0000000040000000-0x0000000048000000] write-back\n\
                PAT: [mem 0x0000000048001000-0x0000000050000000] write-back\n";
    let part = "PAT: [mem 0x0000000040001000-0x0000000050000000] write-back\n";
    let short = "PAT: [mem 0x0000000040000000-0x000000004ffff000] write-back\n";
    let mixed = "PAT: [mem 0x0000000040000000-0x0000000048000000] write-back\n\
                 PAT: [mem 0x0000000048000000-0x0000000050000000] write-combining\n";
    for list in [hole, part, short, mixed] {
        let found = asked(&with_list(list));
        assert!(why(&found).0.contains("not one type for all of it"), "{list}: {found:?}");
    }
    assert!(why(&asked(&with_list(""))).0.ends_with("0x40000000-0x50000000: no entry"));
    let unknown =
        [WRITE_BACK, "PAT: [mem 0x0000000000000000-0x0000000000001000] broken\n"].concat();
    assert!(why(&asked(&with_list(&unknown))).0.contains("a line not known here: PAT: [mem 0x0"));
}

/// A directory in the place of a file stands for one that only root may read: root reads any file.
#[test]
fn hidden_facts_have_reason_and_advice() {
    let (reason, advice) = why_of(&machine());
    assert_eq!(reason, "/sys/kernel/debug/x86/pat_memtype_list: absent");
    assert!(advice.contains("mount -t debugfs"), "{advice}");

    let hidden = machine();
    std::fs::create_dir_all(hidden.inside(LIST)).unwrap();
    assert!(why_of(&hidden).1.contains("as root"));

    let hidden = Fixture::new()
        .file(&[NAMESPACE, "/block/pmem0/size"].concat(), "8\n")
        .link("sys/class/block/pmem0", &[NAMESPACE, "/block/pmem0"].concat());
    std::fs::create_dir_all(hidden.inside(&[NAMESPACE, "/resource"].concat())).unwrap();
    let (reason, advice) = why_of(&hidden);
    assert!(reason.contains("namespace0.0/resource: unreadable"), "{reason}");
    assert!(advice.contains("as root"), "{advice}");
}

fn why_of(fixture: &Fixture) -> (alloc::string::String, &'static str) {
    let unknown = asked(fixture).read.unwrap_err();
    (unknown.reason, unknown.advice)
}

#[test]
fn a_device_made_of_others_has_no_range_of_its_own() {
    let mapper = Fixture::new()
        .file("sys/devices/virtual/block/dm-0/dm/name", "both\n")
        .link("sys/class/block/dm-0", "sys/devices/virtual/block/dm-0");
    let found = caching(&mapper.tree(), Mapped::Device("dm-0"), true, false);
    assert!(why(&found).0.contains("not a namespace of persistent memory itself"), "{found:?}");
    let none = caching(&mapper.tree(), Mapped::Device(""), true, false);
    assert!(why(&none).0.contains("no device is known"), "{none:?}");
}

#[test]
fn a_range_at_the_end_of_the_address_space_does_not_wrap() {
    let namespace = machine().file(&[NAMESPACE, "/resource"].concat(), "0xfffffffffffff000\n");
    assert!(why_of(&namespace).0.contains("has no range"));
    let empty = machine().file(&[NAMESPACE, "/size"].concat(), "0\n");
    assert!(why_of(&empty).0.contains("has no range"));
}

#[test]
fn the_registers_of_firmware_are_combined_with_the_list() {
    let whole = |kind: &str| {
        ["reg00: base=0x040000000 ( 1024MB), size=  256MB, count=1: ", kind, "\n"].concat()
    };
    let part = |kind: &str| {
        ["reg01: base=0x040000000 ( 1024MB), size=  512KB, count=1: ", kind, "\n"].concat()
    };
    let rows = [
        (whole("write-through"), Ok(MemoryType::WriteThrough)),
        (whole("uncachable"), Ok(MemoryType::Uncached)),
        (whole("write-back"), Ok(MemoryType::WriteBack)),
        // Uncached wins, and write-through over write-back.
        ([whole("write-back"), whole("uncachable")].concat(), Ok(MemoryType::Uncached)),
        ([whole("write-through"), whole("write-back")].concat(), Ok(MemoryType::WriteThrough)),
        // The kernel asked itself before it reserved write-back for all of it.
        (part("write-back"), Ok(MemoryType::WriteBack)),
        ("garbage\n".into(), Ok(MemoryType::WriteBack)),
        ([whole("write-through"), part("write-back")].concat(), Ok(MemoryType::WriteThrough)),
    ];
    for (registers, expected) in rows {
        let found = asked(&with_list(WRITE_BACK).file("proc/mtrr", &registers));
        assert_eq!(found.read, expected, "{registers}");
    }

    // A range of which a part was changed since then does not have one type.
    let two = [whole("write-combining"), whole("write-through")].concat();
    for registers in [part("uncachable"), whole("?"), two] {
        let found = asked(&with_list(WRITE_BACK).file("proc/mtrr", &registers));
        assert!(found.read.is_err(), "{registers}: {found:?}");
    }

    // For another type it did not.
    let through = WRITE_BACK.replace("write-back", "write-through");
    let part = "reg00: base=0x040000000 ( 1024MB), size= 1024KB, count=1: write-back\n";
    for (registers, words) in [
        (part, "a part of it"),
        ("", "the default type of the MTRRs decides"),
        ("x\n", "not known"),
    ] {
        let found = asked(&with_list(&through).file("proc/mtrr", registers));
        assert!(why(&found).0.contains(words), "{registers}: {found:?}");
    }
    let none = asked(&with_list(&through));
    assert!(why(&none).0.contains("/proc/mtrr: absent"), "{none:?}");
}

/// Linux 6.15 maps DAX pages as those of RAM: only write-back is the same for both.
#[test]
fn a_later_kernels_list_is_not_taken_for_a_files_mapping() {
    let through = WRITE_BACK.replace("write-back", "write-through");
    let ram = "reg01: base=0x000000000 (    0MB), size= 4096MB, count=1: write-back\n";
    let rows = [
        ("6.14.11\n", Ok(MemoryType::WriteThrough)),
        ("5.10\n", Ok(MemoryType::WriteThrough)),
        ("6.15.0-rc1\n", Err(())),
        ("10.0\n", Err(())),
        ("six\n", Err(())),
    ];
    for (release, expected) in rows {
        let list = |list: &str| {
            let fixture = with_list(list).file("proc/mtrr", ram);
            asked(&fixture.file("proc/sys/kernel/osrelease", release))
        };
        let found = list(&through);
        assert_eq!(found.read.as_ref().ok(), expected.as_ref().ok(), "{release}");
        if expected.is_err() {
            assert!(why(&found).0.contains("since Linux 6.15"), "{found:?}");
        }
        assert_eq!(list(WRITE_BACK).read, Ok(MemoryType::WriteBack), "{release}");
    }
}

/// The rows of the table that are not left to the implementation.
#[test]
fn types_combine_as_the_manual_says() {
    use MemoryType::{
        Uncached as Uc, WriteBack as Wb, WriteCombining as Wc, WriteProtected as Wp,
        WriteThrough as Wt,
    };
    let minus = Reserved::UncachedMinus;
    // MTRR; for page tables of UC, UC-, WC, WT, WB, WP.
    let table = [
        (Uc, [Some(Uc), Some(Uc), Some(Wc), Some(Uc), Some(Uc), Some(Uc)]),
        (Wc, [Some(Uc), Some(Wc), Some(Wc), None, Some(Wc), None]),
        (Wt, [Some(Uc), Some(Uc), Some(Wc), Some(Wt), Some(Wt), None]),
        (Wb, [Some(Uc), Some(Uc), Some(Wc), Some(Wt), Some(Wb), Some(Wp)]),
    ];
    let columns = [
        Reserved::Is(Uc),
        minus,
        Reserved::Is(Wc),
        Reserved::Is(Wt),
        Reserved::Is(Wb),
        Reserved::Is(Wp),
    ];
    for (mtrr, cells) in table {
        for (reserved, expected) in columns.into_iter().zip(cells) {
            let found = effective(reserved, Set::Is(mtrr)).ok();
            assert_eq!(found, expected, "MTRR {mtrr:?}, page table {reserved:?}");
        }
    }
}

#[test]
fn an_unread_type_follows_the_kernels_rule_with_a_reason() {
    let fixture = with_list(WRITE_BACK);
    let elsewhere = caching(&fixture.tree(), Mapped::Device("pmem0"), false, false);
    assert!(why(&elsewhere).0.contains("on x86 alone"), "{elsewhere:?}");
    assert_eq!(elsewhere.by_rule, MemoryType::WriteBack);
    assert!(elsewhere.rule.contains("drivers/nvdimm/pmem.c"));

    let cached = caching(&fixture.tree(), Mapped::PageCache, true, true);
    assert!(why(&cached).0.contains("page cache"), "{cached:?}");
    assert!(cached.rule.contains("RAM"));
    assert_eq!(cached.caveat, None);
}

#[test]
fn in_a_guest_nothing_read_is_the_last_word() {
    let guest = caching(&with_list(WRITE_BACK).tree(), Mapped::Device("pmem0"), true, true);
    assert_eq!(guest.read, Ok(MemoryType::WriteBack));
    assert!(guest.caveat.unwrap().to_string().contains("hypervisor"));
}

#[cfg(feature = "serde")]
#[test]
fn json_has_the_type_or_the_reason() {
    let read = serde_json::to_value(asked(&with_list(WRITE_BACK))).unwrap();
    assert_eq!(read["read"], "write_back");
    assert_eq!(read["by_rule"], "write_back");
    assert!(read["meaning"].as_str().unwrap().contains("until they are written back"));
    assert_eq!(read["evidence"].as_array().unwrap().len(), 4);
    let hidden = serde_json::to_value(asked(&machine())).unwrap();
    assert!(hidden["read"].is_null());
    assert!(hidden["reason"].as_str().unwrap().ends_with("absent"));
    assert!(hidden["advice"].is_string());
}
