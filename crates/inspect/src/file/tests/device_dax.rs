//! Devices over trees of `/sys` written by hand after the kernel's sources (`drivers/dax/bus.c`,
//! `drivers/dax/pmem.c`, `drivers/dax/cxl.c`, `drivers/dax/hmem/hmem.c`). Real ones are in the lab.

use super::super::{Asked, FileReport, conclude::conclude};
use crate::survival::{Event, Stage, Survival};
use crate::tests::{Fixture, tree_of};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use cachemaint::family::file::{DeviceDax, FileFacts, Reach, decide, device as device_dax};
use cachemaint::medium::{Backing, Domain, Granularity};
use rustix::io::Errno;
use std::fs;

/// A namespace in devdax mode: `dax0.1` is libnvdimm's device, `dax0.0` that of device DAX.
const ON_REGION: &str = "sys/devices/platform/ndbus0/region0/dax0.1/dax0.0";
const ON_CXL: &str = "sys/devices/platform/ACPI0017:00/root0/decoder0.0/region0/dax_region0/dax0.0";
const ON_HMEM: &str = "sys/devices/platform/hmem.0/dax0.0";

/// A device of 64 units of 2 MiB, bound to its driver.
fn device(host: Fixture, path: &str) -> Fixture {
    host.file(&format!("{path}/size"), "134217728\n")
        .file(&format!("{path}/align"), "2097152\n")
        .file("sys/bus/dax/uevent", "")
        .file("sys/bus/dax/drivers/device_dax/uevent", "")
        .link(&format!("{path}/subsystem"), "sys/bus/dax")
        .link(&format!("{path}/driver"), "sys/bus/dax/drivers/device_dax")
        .link("sys/dev/char/252:1", path)
}

fn on_region(provider: &str, attributes: &[(&str, &str)]) -> Fixture {
    device(Fixture::new().region(0, Some(provider), attributes), ON_REGION)
}

/// The answers about a device.
#[derive(Clone, Copy)]
struct DeviceAnswers {
    map_sync: Result<(), Errno>,
    reach: Reach,
}

/// A CPU with lines of 64 bytes; the kernel grants `MAP_SYNC`, as it does on every device.
const ASKED: DeviceAnswers = DeviceAnswers {
    map_sync: Ok(()),
    reach: Reach { coherency: Some(64), persistence: Some(64), coherency_accepted: false },
};

/// Returns a device, its size and its alignment.
fn found(host: &Fixture) -> Result<(DeviceDax, u64, u64), String> {
    let tree = tree_of(host);
    let path = device_dax::find(&tree, (252, 1)).unwrap();
    device_dax::read(&tree, path).map_err(|why| why.to_string())
}

fn concluded(host: &Fixture, asked: &DeviceAnswers) -> Result<FileReport, String> {
    let (device, size, alignment) = found(host)?;
    let facts = FileFacts {
        size,
        alignment,
        has_name: true,
        may_be_of_a_lower_layer: false,
        file_system: "",
        device: (0, 6),
        mount_id: None,
        dax_attribute: None,
        device_dax: Some(Box::new(device)),
    };
    let DeviceAnswers { map_sync, reach } = *asked;
    let refusal = map_sync.err().map(Errno::raw_os_error);
    let guarantee = decide(&facts, refusal, reach, || None)?;
    let asked = Asked { facts, refusal, reach, in_guest: false, data_cache_aliases: false };
    Ok(conclude(&tree_of(host), &asked, &guarantee))
}

fn refusal(host: &Fixture, asked: &DeviceAnswers) -> String {
    concluded(host, asked).unwrap_err()
}

#[test]
fn a_device_gets_what_its_own_region_claims() {
    let rows = [
        ("ACPI.NFIT", Some("memory_controller\n"), Backing::PmemAdr, Granularity::Line(64)),
        ("ACPI.NFIT", Some("cpu_cache\n"), Backing::PmemEadr, Granularity::Byte),
        ("ACPI.NFIT", None, Backing::PmemUnknown, Granularity::Line(64)),
        ("CXL", Some("memory_controller\n"), Backing::Cxl, Granularity::Line(64)),
        ("e820", None, Backing::EmulatedPmem, Granularity::Line(64)),
    ];
    for (provider, domain, backing, granularity) in rows {
        let claim: alloc::vec::Vec<_> =
            domain.map(|domain| ("persistence_domain", domain)).into_iter().collect();
        let host = on_region(provider, &claim);
        let guarantee = concluded(&host, &ASKED).unwrap();
        assert_eq!(guarantee.backing, backing, "{provider} {domain:?}");
        assert_eq!(guarantee.granularity, granularity, "{provider} {domain:?}");
        assert_eq!(guarantee.region.as_ref().unwrap().name, "region0");
        assert_eq!(guarantee.device, "dax0.0");
        assert_eq!(guarantee.alignment, 2 << 20);
        assert!(guarantee.is_device_dax);
        let asked = |name: &str| {
            let row = guarantee.evidence.iter().find(|row| row.asked.ends_with(name));
            row.unwrap_or_else(|| panic!("{name}")).answer.clone()
        };
        assert_eq!(asked("dax0.0/size"), "134217728");
        assert_eq!(asked("dax0.0/align"), "2097152");
        assert_eq!(asked("ndbus0/provider"), provider);
    }
}

/// CXL memory in mode `ram` and special-purpose RAM: lines can be written back, and nothing is kept.
#[test]
fn a_device_of_ram_says_that_it_is_volatile() {
    let cxl = Fixture::new()
        .file("sys/devices/platform/ACPI0017:00/root0/decoder0.0/region0/mode", "ram\n");
    let hosts = [
        (device(cxl, ON_CXL), "region0", "CXL"),
        (device(Fixture::new(), ON_HMEM), "hmem.0", "hmem"),
    ];
    for (host, name, provider) in hosts {
        let guarantee = concluded(&host, &ASKED).unwrap();
        assert_eq!(guarantee.granularity, Granularity::Line(64), "{name}");
        assert_eq!(guarantee.backing, Backing::EmulatedPmem, "{name}");
        let region = guarantee.region.as_ref().unwrap();
        assert_eq!((region.name.as_str(), region.domain), (name, Domain::None));
        assert_eq!(region.provider, provider);
        assert!(guarantee.reason.contains("volatile memory"), "{}", guarantee.reason);
        let lost = guarantee.survives(Stage::Persisted, Event::PowerLoss).answer;
        assert_eq!(lost, Survival::No, "{name}");
    }
}

/// With `CONFIG_DEV_DAX_PMEM_COMPAT`, until Linux 5.17, it is of a class, and its driver is not shown at it.
#[test]
fn a_device_of_the_class_is_one_too() {
    let path = "sys/devices/platform/ndbus0/region0/dax0.1/dax/dax0.0";
    let host = Fixture::new()
        .region(0, Some("ACPI.NFIT"), &[("persistence_domain", "memory_controller\n")])
        .file(&format!("{path}/size"), "134217728\n")
        .file(&format!("{path}/align"), "4096\n")
        .file("sys/class/dax/uevent", "")
        .link(&format!("{path}/subsystem"), "sys/class/dax")
        .link("sys/dev/char/252:1", path);
    let guarantee = concluded(&host, &ASKED).unwrap();
    assert_eq!(guarantee.backing, Backing::PmemAdr);
    assert_eq!(guarantee.alignment, 4096);
}

#[test]
fn an_attribute_of_no_use_is_named() {
    let claimed = || on_region("ACPI.NFIT", &[]);
    let rows = [
        ("align", Some("3145728\n"), "align is unusable: 3145728"),
        ("align", Some("0\n"), "align is unusable: 0"),
        ("align", Some("-4096\n"), "align is unusable: -4096"),
        ("align", Some("2M\n"), "align is unusable: 2M"),
        ("align", Some("18446744073709551616\n"), "align is unusable: 18446744073709551616"),
        ("align", None, "align is unusable: absent"),
        ("size", Some("0\n"), "size is unusable: 0"),
        ("size", Some("\n"), "size is unusable: "),
        ("size", Some("0x8000000\n"), "size is unusable: 0x8000000"),
        ("size", None, "size is unusable: absent"),
    ];
    for (name, text, words) in rows {
        let path = format!("{ON_REGION}/{name}");
        let host = match text {
            Some(text) => claimed().file(&path, text),
            None => claimed(),
        };
        if text.is_none() {
            fs::remove_file(host.inside(&path)).unwrap();
        }
        let refusal = refusal(&host, &ASKED);
        assert!(refusal.contains(&format!("/{ON_REGION}/{words}")), "{refusal}");
    }
}

/// As system RAM the node is there and cannot be opened (`drivers/dax/kmem.c`); for a file system it has no mmap
/// (`drivers/dax/fsdev.c`). The next driver need have none either.
#[test]
fn a_device_with_another_driver_or_none_is_not_for_programs() {
    let host = on_region("ACPI.NFIT", &[]);
    fs::remove_file(host.inside(&format!("{ON_REGION}/driver"))).unwrap();
    assert!(refusal(&host, &ASKED).contains("has no driver; enable it"));
    for (driver, words) in [
        ("kmem", "is bound to kmem, which makes it system RAM; "),
        ("fsdev_dax", "is bound to fsdev_dax, which has no mmap"),
        ("new_dax", "is bound to new_dax, which is not known to map it; "),
    ] {
        let driver = format!("sys/bus/dax/drivers/{driver}");
        let host = on_region("ACPI.NFIT", &[]);
        fs::remove_file(host.inside(&format!("{ON_REGION}/driver"))).unwrap();
        let host = host
            .file(&format!("{driver}/uevent"), "")
            .link(&format!("{ON_REGION}/driver"), &driver);
        let refusal = refusal(&host, &ASKED);
        assert!(
            refusal.contains(words) && refusal.contains("daxctl reconfigure-device"),
            "{refusal}"
        );
    }
}

/// A device has no msync to fall back to, so none of these has page granularity.
#[test]
fn a_device_that_lines_cannot_persist_is_refused() {
    let claim = ("persistence_domain", "memory_controller\n");
    let nvdimm = on_region("ACPI.NFIT", &[claim]);
    let without = DeviceAnswers { reach: Reach::default(), ..ASKED };
    assert!(refusal(&nvdimm, &without).contains("this CPU cannot write back"));
    let eadr = on_region("ACPI.NFIT", &[("persistence_domain", "cpu_cache\n")]);
    assert!(refusal(&eadr, &without).contains("this CPU cannot write back"));
    let fenced = DeviceAnswers { reach: Reach { persistence: None, ..ASKED.reach }, ..ASKED };
    assert_eq!(concluded(&eadr, &fenced).unwrap().granularity, Granularity::Byte);
    assert!(refusal(&nvdimm, &fenced).contains("this CPU cannot write back"));
    let of_ram = refusal(&device(Fixture::new(), ON_HMEM), &without);
    assert!(of_ram.contains("to the point of coherency"), "{of_ram}");
    // A file there would be no help: msync writes nothing back to volatile memory.
    assert!(!of_ram.contains("msync writes back"), "{of_ram}");
    let old = refusal(&nvdimm, &DeviceAnswers { map_sync: Err(Errno::INVAL), ..ASKED });
    assert!(old.contains("refuses MAP_SYNC") && old.contains("Linux 5.10"), "{old}");

    let virtio = on_region("virtio-pmem", &[]);
    assert!(
        refusal(&virtio, &ASKED).contains("virtio-pmem reaches the host only by flush requests")
    );
    // A region of POWER whose hypervisor must be called: the claim is the same.
    let node = "sys/firmware/devicetree/base/ibm,persistent-memory/ibm,pmemory@44104001";
    let papr = on_region("ibm,persistent-memory:ibm,pmemory@44104001", &[claim])
        .file(&format!("{node}/ibm,hcall-flush-required"), "")
        .link("sys/devices/platform/ndbus0/region0/of_node", node);
    assert!(refusal(&papr, &ASKED).contains("only a hypervisor call"));
}

proptest::proptest! {
    // Each makes a tree of files.
    #![proptest_config(proptest::test_runner::Config::with_cases(32))]
    /// The kernel's files are not trusted to be whole.
    #[test]
    fn no_attribute_makes_it_panic(size in "[0-9]{0,21}|\\PC{0,8}", align in "[0-9]{0,21}|\\PC{0,8}") {
        let host = on_region("ACPI.NFIT", &[])
            .file(&format!("{ON_REGION}/size"), size)
            .file(&format!("{ON_REGION}/align"), align);
        if let Ok((_, size, alignment)) = found(&host) {
            assert!(size > 0 && alignment.is_power_of_two());
        }
    }
}
