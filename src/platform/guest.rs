//! Whether this is a virtual machine, and a confidential one, as far as it shows.
//!
//! Nothing here is trusted with more than words: a hypervisor can hide or forge all of it. What an
//! operation may rely on is never concluded from it.

use super::Text;

/// What is known of a hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hypervisor {
    /// The CPU says that it runs under one.
    #[non_exhaustive]
    Present {
        /// The signature, empty if there is none (x86: leaf `4000_0000H`).
        signature: Text<12>,
        /// A known signature behind the first, at leaf `4000_0100H`: that of the hypervisor itself
        /// where the first is that of an interface which it offers as well.
        second: Option<Text<12>>,
    },
    /// The CPU says that it does not (x86: CPUID.1:ECX\[31\] is 0).
    Absent,
    /// The architecture does not tell user mode.
    Unknown,
}

/// Signatures and names: systemd `src/basic/virt.c`; Linux `arch/x86/kernel/jailhouse.c`,
/// `arch/x86/kernel/cpu/acrn.c`, `arch/x86/kernel/cpu/vmware.c`.
const SIGNATURES: [(&str, &str); 12] = [
    ("KVMKVMKVM", "KVM"),
    ("Linux KVM Hv", "KVM with Hyper-V's interface"),
    ("TCGTCGTCGTCG", "QEMU's emulation (TCG)"),
    ("Microsoft Hv", "Hyper-V"),
    ("VMwareVMware", "VMware"),
    ("XenVMMXenVMM", "Xen"),
    ("bhyve bhyve", "bhyve"),
    ("ACRNACRNACRN", "ACRN"),
    ("Jailhouse", "Jailhouse"),
    ("QNXQVMBSQG", "QNX"),
    ("SRESRESRESRE", "LMHS"),
    ("Apple VZ", "Apple's Virtualization framework"),
];

pub(crate) fn known_name(signature: &str) -> Option<&'static str> {
    SIGNATURES.iter().find(|(known, _)| *known == signature).map(|(_, name)| *name)
}

impl Hypervisor {
    /// Its name, if its signature is known here.
    ///
    /// `Hyper-V` is also what Windows on bare metal shows when it protects itself by virtualization.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Present { second: Some(second), .. } => known_name(second.as_str()),
            Self::Present { signature, second: None } => known_name(signature.as_str()),
            Self::Absent | Self::Unknown => None,
        }
    }
}

/// A confidential guest, as the CPU tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Confidential {
    /// Intel TDX: CPUID leaf 21H says so.
    Tdx,
    /// AMD SEV in some form is offered (leaf `8000_001FH`, EAX\[1\]); whether it is active is in an
    /// MSR that user mode cannot read.
    SevOffered,
    /// Nothing says so.
    Unknown,
}

/// What else tells of a guest: files that the kernel has in one.
#[cfg(feature = "std")]
pub(crate) fn hints(tree: &super::tree::Tree) -> alloc::vec::Vec<super::tree::Evidence> {
    use super::tree::{Attribute, Evidence};
    use std::path::Path;

    // systemd `src/basic/virt.c` reads the same.
    const ATTRIBUTES: [&str; 4] = [
        "/proc/device-tree/hypervisor/compatible",
        "/sys/hypervisor/type",
        "/sys/class/dmi/id/sys_vendor",
        "/sys/class/dmi/id/product_name",
    ];
    // Linux `drivers/virt/coco/`: made by the drivers of such guests only.
    const DEVICES: [&str; 2] = ["/dev/sev-guest", "/dev/tdx_guest"];

    let attributes = ATTRIBUTES.iter().filter_map(|path| match tree.read(Path::new(path)) {
        Attribute::Value(text) if !text.is_empty() => Some(Evidence::new(*path, text)),
        _ => None,
    });
    let devices = DEVICES.iter().filter(|path| tree.exists(Path::new(path)));
    attributes.chain(devices.map(|path| Evidence::new(*path, "is there"))).collect()
}
