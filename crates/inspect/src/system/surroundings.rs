//! The machine around this program, from the kernel's files: a hypervisor that the CPU does not report, a confidential
//! guest, a container.
//!
//! Systemd reads most of these files too (`src/basic/virt.c`). All answers are hints: firmware and hypervisors put any
//! text into DMI and device trees, and missing files prove nothing.

use crate::Evidence;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cachemaint::family::tree::{Attribute, Tree, printable};
use cachemaint::report::{HypervisorKind, Isolation};
use std::path::Path;

/// The machine around this program, from the kernel's files.
///
/// `None` and `false` mean "unknown", never "no".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Surroundings {
    /// The technology that isolates this guest, if it is confidential, from a kernel driver that only such guests have
    /// (Linux `drivers/virt/coco`: `sev-guest`, `tdx-guest`, `arm-cca-guest`).
    pub confidential: Option<Isolation>,
    /// The container that this program runs in: `docker`, `podman`, `wsl`, or the manager's own name.
    ///
    /// A container changes nothing about operations on lines; it can hide `/sys`, so the report may lack regions and
    /// devices that exist.
    pub container: Option<String>,
}

/// Reads the files: the hypervisor that they show, the rest, and the answers.
pub(crate) fn ask(tree: &Tree) -> (Option<HypervisorKind>, Surroundings, Vec<Evidence>) {
    let mut asking = Asking { tree, evidence: Vec::new() };
    let hypervisor = asking.hypervisor().or_else(|| asking.dmi());
    let (confidential, container) = (asking.confidential(), asking.container());
    (hypervisor, Surroundings { confidential, container }, asking.evidence)
}

struct Asking<'a> {
    tree: &'a Tree,
    evidence: Vec<Evidence>,
}

/// The beginnings of DMI texts (systemd, `dmi_vendor_table`). Not `Oracle Corporation`, which is also on real machines.
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

    /// Reads the files that the hypervisor itself provides: the device tree and Xen's.
    fn hypervisor(&mut self) -> Option<HypervisorKind> {
        if let Some(compatible) = self.read("/proc/device-tree/hypervisor/compatible") {
            // A list of texts, each terminated by NUL.
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
        let root = "/proc/device-tree";
        let names = self.tree.list(Path::new(root));
        let name = names.iter().find(|name| name.contains("fw-cfg"))?;
        self.exists(&format!("{root}/{name}")).then_some(HypervisorKind::Qemu)
    }

    /// Returns the hypervisor from firmware's names for the machine. A bare-metal instance of Amazon EC2 has none.
    fn dmi(&mut self) -> Option<HypervisorKind> {
        let mut found = None;
        let mut product = String::new();
        for name in DMI_TEXTS {
            let path = format!("{DMI}/{name}");
            let text = self.tree.read(Path::new(&path));
            let Some(text) = text.value() else { continue };
            if name == "product_name" {
                product = text.to_string();
            }
            let kind = DMI_VENDORS.iter().find(|(start, _)| text.starts_with(start));
            // Vendor and product are always shown: a reader may know more than this table.
            if kind.is_some() || matches!(name, "product_name" | "sys_vendor") && !text.is_empty() {
                self.evidence.push(Evidence::new(&path, text));
            }
            found = found.or(kind.map(|(_, kind)| *kind));
        }
        found.filter(|kind| *kind != HypervisorKind::Ec2 || !is_metal(&product))
    }

    /// Returns the confidential guest. Reads the provider of attestation reports that others have created in configfs.
    /// Creates none, since that would be a change.
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
        // Created only in realms (Linux arch/arm64/kernel/rsi.c).
        self.exists("/sys/devices/platform/arm-cca-dev").then_some(Isolation::ArmCca)
    }

    fn container(&mut self) -> Option<String> {
        let release = self.tree.read(Path::new("/proc/sys/kernel/osrelease"));
        let release = release.value().unwrap_or_default();
        if ["Microsoft", "microsoft", "WSL"].iter().any(|word| release.contains(word)) {
            self.evidence.push(Evidence::new("/proc/sys/kernel/osrelease", release));
            return Some("wsl".to_string());
        }
        for path in ["/run/host/container-manager", "/run/systemd/container"] {
            if let Some(name) = self.read(path) {
                return Some(printable(&name));
            }
        }
        // Podman's first: Podman creates both, for programs that look for Docker's.
        let marks = [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")];
        let (_, name) = marks.into_iter().find(|(path, _)| self.exists(path))?;
        Some(name.to_string())
    }
}

/// Returns true if an EC2 product is a bare-metal instance: `m6g.metal`, `c7g.metal-48xl`.
fn is_metal(product: &str) -> bool {
    let rest = product.split_once(".metal").map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
