//! The machine around this program by the kernel's files: a hypervisor that the CPU does not show,
//! a confidential guest, a container.
//!
//! Systemd asks most of these files too (`src/basic/virt.c`). All answers are hints: firmware and
//! hypervisors put any text into DMI and device trees, and missing files prove nothing.

use super::tree::{Attribute, Evidence, Tree, printable};
use crate::cpu::{HypervisorKind, Isolation};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::path::Path;

/// The machine around this program, by the kernel's files.
///
/// `None` and `false` mean "not known", never "no".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Surroundings {
    /// The hypervisor of this guest.
    pub hypervisor: Option<HypervisorKind>,
    /// True if this is Xen's dom0, which owns the hardware (`XENFEAT_dom0`).
    pub is_dom0: bool,
    /// True if the cloud says that this is a whole machine (Amazon EC2's `.metal`).
    pub is_metal: bool,
    /// The technology that isolates this guest, if it is a confidential one: a kernel driver is at work that only such
    /// guests have (Linux `drivers/virt/coco`: `sev-guest`, `tdx-guest`, `arm-cca-guest`).
    pub confidential: Option<Isolation>,
    /// The container that this program runs in: `docker`, `podman`, `wsl`, `gvisor`, or the
    /// manager's own name.
    ///
    /// A container changes nothing about operations on lines; it can hide `/sys`, so that regions and
    /// devices that are there are missing from the report.
    pub container: Option<String>,
}

/// Asks, and keeps the answers.
pub(crate) fn ask(tree: &Tree) -> (Surroundings, Vec<Evidence>) {
    let mut asking = Asking { tree, evidence: Vec::new() };
    let hypervisor = asking.hypervisor();
    let dmi = asking.dmi();
    let surroundings = Surroundings {
        hypervisor: hypervisor.or(dmi.hypervisor),
        is_dom0: asking.is_dom0(),
        is_metal: dmi.is_metal && hypervisor.is_none(),
        confidential: asking.confidential(),
        container: asking.container(),
    };
    (surroundings, asking.evidence)
}

struct Asking<'a> {
    tree: &'a Tree,
    evidence: Vec<Evidence>,
}

/// The facts from DMI.
#[derive(Default)]
struct Dmi {
    hypervisor: Option<HypervisorKind>,
    is_metal: bool,
}

/// The beginnings of DMI's texts (systemd, `dmi_vendor_table`). Not `Oracle Corporation`: its real
/// machines have it too.
const DMI_VENDORS: [(&str, HypervisorKind); 16] = [
    ("KVM", HypervisorKind::Kvm),
    ("OpenStack", HypervisorKind::Kvm),
    ("KubeVirt", HypervisorKind::Kvm),
    ("Google Compute Engine", HypervisorKind::Kvm),
    ("Amazon EC2", HypervisorKind::Ec2),
    ("QEMU", HypervisorKind::Qemu),
    ("VMware", HypervisorKind::Vmware),
    ("VMW", HypervisorKind::Vmware),
    ("innotek GmbH", HypervisorKind::VirtualBox),
    ("VirtualBox", HypervisorKind::VirtualBox),
    ("Xen", HypervisorKind::Xen),
    ("Bochs", HypervisorKind::Unlisted),
    ("Parallels", HypervisorKind::Parallels),
    ("BHYVE", HypervisorKind::Bhyve),
    ("Hyper-V", HypervisorKind::HyperV),
    ("Apple Virtualization", HypervisorKind::AppleVz),
];

const DMI: &str = "/sys/class/dmi/id";
/// In systemd's order, which finds KVM under QEMU.
const DMI_TEXTS: [&str; 5] =
    ["product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"];
/// The BIOS characteristics, for root alone. Byte 19, bit 4 says "virtual machine" (SMBIOS 3.4,
/// 7.1.2.2); a 0 proves nothing.
const SMBIOS: &str = "/sys/firmware/dmi/entries/0-0/raw";

impl Asking<'_> {
    fn read(&mut self, path: &str) -> Option<String> {
        let Attribute::Value(text) = self.tree.read(Path::new(path)) else { return None };
        let text = text.trim_end_matches('\0').to_string();
        if text.is_empty() {
            return None;
        }
        self.evidence.push(Evidence::new(path, &text));
        Some(text)
    }

    fn exists(&mut self, path: &str) -> bool {
        let is_there = self.tree.exists(Path::new(path));
        if is_there {
            self.evidence.push(Evidence::new(path, "is there"));
        }
        is_there
    }

    /// Reads the files with the hypervisor's own word: the device tree, Xen's files, s390's.
    fn hypervisor(&mut self) -> Option<HypervisorKind> {
        if let Some(compatible) = self.read("/proc/device-tree/hypervisor/compatible") {
            // A list of texts, each ended by NUL.
            return Some(match compatible.as_str() {
                text if text.split('\0').any(|name| name == "linux,kvm") => HypervisorKind::Kvm,
                text if text.contains("xen") => HypervisorKind::Xen,
                text if text.contains("vmware") => HypervisorKind::Vmware,
                _ => HypervisorKind::Unlisted,
            });
        }
        if let Some(kind) = self.read("/sys/hypervisor/type") {
            return Some(match kind.as_str() {
                "xen" => HypervisorKind::Xen,
                _ => HypervisorKind::Unlisted,
            });
        }
        self.device_tree().or_else(|| self.sysinfo())
    }

    /// Returns true in Dom0. The file has a number in base 16 without a prefix (Xen
    /// `xen/include/public/features.h`).
    fn is_dom0(&mut self) -> bool {
        const DOM0: u32 = 1 << 11;
        let features = self.read("/sys/hypervisor/properties/features");
        let features = features.and_then(|text| u32::from_str_radix(&text, 16).ok());
        features.is_some_and(|features| features & DOM0 != 0)
    }

    fn device_tree(&mut self) -> Option<HypervisorKind> {
        let root = "/proc/device-tree";
        let here = |name: &str| self.tree.exists(&Path::new(root).join(name));
        let is_partition = here("ibm,partition-name")
            && here("hmc-managed?")
            && !here("chosen/qemu,graphic-width");
        if is_partition {
            self.exists("/proc/device-tree/ibm,partition-name");
            return Some(HypervisorKind::PowerVm);
        }
        let names = self.tree.list(Path::new(root));
        if let Some(name) = names.iter().find(|name| name.contains("fw-cfg")) {
            self.exists(&format!("{root}/{name}"));
            return Some(HypervisorKind::Qemu);
        }
        let compatible = self.tree.read(&Path::new(root).join("compatible"));
        (compatible.value().map(|text| text.trim_end_matches('\0')) == Some("qemu,pseries")).then(
            || {
                self.evidence.push(Evidence::new(format!("{root}/compatible"), "qemu,pseries"));
                HypervisorKind::Qemu
            },
        )
    }

    /// Returns the hypervisor of s390x: the innermost one is number 00.
    fn sysinfo(&mut self) -> Option<HypervisorKind> {
        let text = self.tree.read(Path::new("/proc/sysinfo"));
        let program = field(text.value()?, "VM00 Control Program")?;
        self.evidence.push(Evidence::new("/proc/sysinfo: VM00 Control Program", program));
        Some(if program.starts_with("z/VM") { HypervisorKind::ZVm } else { HypervisorKind::Kvm })
    }

    fn dmi(&mut self) -> Dmi {
        let mut found = None;
        let mut product = None;
        for name in DMI_TEXTS {
            let path = format!("{DMI}/{name}");
            let text = self.tree.read(Path::new(&path));
            let Some(text) = text.value() else { continue };
            if name == "product_name" {
                product = Some(text.to_string());
            }
            let kind = DMI_VENDORS.iter().find(|(start, _)| text.starts_with(start));
            // Vendor and product are shown in any case: a reader may know more than this table.
            if kind.is_some() || matches!(name, "product_name" | "sys_vendor") && !text.is_empty() {
                self.evidence.push(Evidence::new(&path, text));
            }
            found = found.or(kind.map(|(_, kind)| *kind));
        }
        let says_virtual = self.says_virtual();
        let is_metal = found == Some(HypervisorKind::Ec2)
            && says_virtual != Some(true)
            && product.as_deref().is_some_and(is_metal);
        let hypervisor = if is_metal { None } else { found };
        let unnamed = (says_virtual == Some(true)).then_some(HypervisorKind::Unlisted);
        Dmi { hypervisor: hypervisor.or(unnamed), is_metal }
    }

    /// Reads the firmware's own bit, if it may be read.
    fn says_virtual(&mut self) -> Option<bool> {
        let bytes = self.tree.read_bytes(Path::new(SMBIOS)).ok()?;
        let byte = bytes.get(19).filter(|_| bytes.get(1).is_some_and(|length| *length >= 20))?;
        let says = byte & 1 << 4 != 0;
        let answer = if says { "byte 19 says: virtual machine" } else { "byte 19 says nothing" };
        self.evidence.push(Evidence::new(SMBIOS, answer));
        Some(says)
    }

    /// Returns the confidential guest. The provider of reports that others have begun in configfs
    /// is read; no report is begun here, since that is a change.
    fn confidential(&mut self) -> Option<Isolation> {
        const REPORTS: &str = "/sys/kernel/config/tsm/report";
        if self.exists("/dev/sev-guest") {
            return Some(Isolation::SevSnp);
        }
        if self.exists("/dev/tdx_guest") {
            return Some(Isolation::Tdx);
        }
        for name in self.tree.list(Path::new(REPORTS)) {
            match self.read(&format!("{REPORTS}/{name}/provider")).as_deref() {
                Some("sev_guest") => return Some(Isolation::SevSnp),
                Some("tdx_guest") => return Some(Isolation::Tdx),
                Some("arm_cca_guest") => return Some(Isolation::ArmCca),
                _ => {}
            }
        }
        // Made in realms alone (Linux arch/arm64/kernel/rsi.c).
        self.exists("/sys/devices/platform/arm-cca-dev").then_some(Isolation::ArmCca)
    }

    fn container(&mut self) -> Option<String> {
        let release = self.tree.read(Path::new("/proc/sys/kernel/osrelease"));
        let release = release.value().unwrap_or_default();
        if ["Microsoft", "microsoft", "WSL"].iter().any(|word| release.contains(word)) {
            self.evidence.push(Evidence::new("/proc/sys/kernel/osrelease", release));
            return Some("wsl".to_string());
        }
        // gVisor's kernel has one version for all (`pkg/sentry/syscalls/linux/linux64.go`).
        let version = self.tree.read(Path::new("/proc/version"));
        let version = version.value().unwrap_or_default();
        if version.contains("gvisor") || version.contains("#1 SMP Sun Jan 10 15:06:54 PST 2016") {
            self.evidence.push(Evidence::new("/proc/version", version));
            return Some("gvisor".to_string());
        }
        for path in ["/run/host/container-manager", "/run/systemd/container"] {
            if let Some(name) = self.read(path) {
                return Some(printable(&name));
            }
        }
        // Podman's first: it makes both for programs that look for Docker's.
        for (path, name) in [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")] {
            if self.exists(path) {
                return Some(name.to_string());
            }
        }
        self.control_group()
    }

    /// Returns the container of the control group. With a cgroup namespace of its own a container
    /// sees `/` here, so a missing name proves nothing.
    fn control_group(&mut self) -> Option<String> {
        const PATH: &str = "/proc/1/cgroup";
        let text = self.tree.read(Path::new(PATH));
        let text = text.value()?;
        let managers = [
            ("/kubepods", "kubernetes"),
            ("/docker", "docker"),
            ("/libpod", "podman"),
            ("/lxc", "lxc"),
        ];
        let (word, name) = managers.into_iter().find(|(word, _)| text.contains(word))?;
        self.evidence.push(Evidence::new(PATH, format!("names {word}")));
        Some(name.to_string())
    }
}

/// Returns true if an EC2 product is a whole machine: `m6g.metal`, `c7g.metal-48xl`.
fn is_metal(product: &str) -> bool {
    let rest = product.split_once(".metal").map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Returns the value behind a name and a colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}
