//! Guests and containers by the kernel's files.

use super::report_of;
use crate::tests::Fixture;
use alloc::format;
use alloc::string::ToString;
use cachemaint::report::{HypervisorKind, Isolation};

/// A guest of QEMU's `virt` machine under KVM with ACPI shows DMI alone, one with a device tree
/// `/hypervisor` if its VMM puts it there (crosvm, Xen); EC2's names are those of its instances.
#[test]
fn guests_are_known_by_files() {
    let dmi = |name: &str, text: &str| {
        Fixture::new().file(&format!("sys/class/dmi/id/{name}"), format!("{text}\n"))
    };
    let compatible = "proc/device-tree/hypervisor/compatible";
    for (fixture, expected) in [
        (Fixture::new().file(compatible, "linux,kvm\0"), Some(HypervisorKind::Kvm)),
        (Fixture::new().file(compatible, "vendor,vmm\0linux,kvm\0"), Some(HypervisorKind::Kvm)),
        (Fixture::new().file(compatible, "xen,xen-4.17\0xen,xen\0"), Some(HypervisorKind::Xen)),
        (Fixture::new().file(compatible, "vmware\0"), Some(HypervisorKind::Vmware)),
        (
            Fixture::new().file("proc/device-tree/fw-cfg@9020000/reg", ""),
            Some(HypervisorKind::Qemu),
        ),
        (Fixture::new().file("sys/hypervisor/type", "xen\n"), Some(HypervisorKind::Xen)),
        (dmi("product_name", "KVM Virtual Machine"), Some(HypervisorKind::Kvm)),
        (dmi("sys_vendor", "QEMU"), Some(HypervisorKind::Qemu)),
        (dmi("sys_vendor", "Apple Virtualization"), Some(HypervisorKind::AppleVz)),
        (dmi("product_version", "Hyper-V UEFI Release v4.1"), Some(HypervisorKind::HyperV)),
        (
            dmi("sys_vendor", "Amazon EC2").file("sys/class/dmi/id/product_name", "c7g.large\n"),
            Some(HypervisorKind::Ec2),
        ),
        // A whole machine, by EC2's word.
        (
            dmi("sys_vendor", "Amazon EC2").file("sys/class/dmi/id/product_name", "c7g.metal\n"),
            None,
        ),
        (
            dmi("sys_vendor", "Amazon EC2").file("sys/class/dmi/id/product_name", "x.metallic\n"),
            Some(HypervisorKind::Ec2),
        ),
        (dmi("sys_vendor", "Ampere(R)"), None),
        // Real machines of Oracle's have it too.
        (dmi("sys_vendor", "Oracle Corporation"), None),
        (Fixture::new(), None),
    ] {
        let report = report_of(&fixture);
        assert_eq!(report.hypervisor_by_files(), expected, "{report}");
    }
}

#[test]
fn confidential_guests_are_known_by_their_drivers() {
    let provider = "sys/kernel/config/tsm/report/somebodys/provider";
    for (fixture, expected) in [
        (Fixture::new().file("dev/sev-guest", ""), Some(Isolation::SevSnp)),
        (Fixture::new().file("dev/tdx_guest", ""), Some(Isolation::Tdx)),
        (Fixture::new().file(provider, "tdx_guest\n"), Some(Isolation::Tdx)),
        (Fixture::new().file(provider, "arm_cca_guest\n"), Some(Isolation::ArmCca)),
        (Fixture::new().file(provider, "another\n"), None),
        (
            Fixture::new().file("sys/devices/platform/arm-cca-dev/uevent", ""),
            Some(Isolation::ArmCca),
        ),
        (Fixture::new(), None),
    ] {
        assert_eq!(report_of(&fixture).surroundings.confidential, expected);
    }
}

#[test]
fn containers_are_known_by_what_their_managers_leave() {
    for (fixture, expected) in [
        (Fixture::new().file(".dockerenv", ""), Some("docker")),
        // Podman leaves both.
        (Fixture::new().file(".dockerenv", "").file("run/.containerenv", ""), Some("podman")),
        (Fixture::new().file("run/systemd/container", "lxc\n"), Some("lxc")),
        (Fixture::new().file("run/host/container-manager", "x\x1b[2J\n"), Some("x?[2J")),
        (
            Fixture::new().file("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n"),
            Some("wsl"),
        ),
        (Fixture::new(), None),
    ] {
        let report = report_of(&fixture);
        assert_eq!(report.surroundings.container.as_deref(), expected);
        let says = report.to_string().replace("\n              ", " ").contains("can hide /sys");
        assert_eq!(says, expected.is_some());
    }
}
