//! Guests, confidential guests, containers, and the changes that a migration can bring.

use super::Entry;
use cachemaint::report::{Confidential, HostReport, Hypervisor, HypervisorKind, Text};
use cachemaint::survival::Certainty;

pub(super) fn hypervisor(report: &HostReport) -> Vec<Entry> {
    let here = match report.cpu.hypervisor {
        Hypervisor::Absent => "the CPU reports no hypervisor (CPUID.1:ECX[31] is 0)".to_string(),
        Hypervisor::Unknown => {
            format!("{} does not report it to user mode", report.cpu.architecture)
        }
        present => format!("{present}"),
    };
    let mut entries = Vec::from([Entry::here("By the CPU", here)]);
    entries.extend(signatures(report.cpu.hypervisor));
    if let Some(kind) = report.surroundings.hypervisor {
        entries.push(Entry::here("By its files", kind.to_string()));
    }
    entries.extend(asked(report));
    let effects = report.effects;
    entries.extend([
        Entry::stated("Lines", &effects.lines),
        Entry::stated("Whole cache", &effects.whole_cache),
        Entry::stated("Migration", &effects.migration),
        Entry::said(
            "Certainty",
            "a signature proves little: VirtualBox can show KVM's, a hypervisor can clear the bit that \
             announces it, and firmware's names are chosen by its maker. A machine without any sign is not \
             proven to be bare metal",
            "recorded machines in tests/cpus; systemd src/basic/virt.c",
        )
        .sure(Certainty::ReadInSource),
    ]);
    entries
}

/// The owner of each signature, and the source of the claim.
fn signatures(hypervisor: Hypervisor) -> Vec<Entry> {
    let Hypervisor::Present { signatures, .. } = hypervisor else { return Vec::new() };
    let known = |signature: &Text<12>| match HypervisorKind::of_signature(signature) {
        Some((kind, source)) => {
            Entry::said("Signature", format!("\"{signature}\" is {kind}'s"), source)
        }
        None => Entry::here("Signature", format!("\"{signature}\" is not known here")),
    };
    signatures.iter().map(known).collect()
}

/// The questions to the kernel's files, and their answers.
fn asked(report: &HostReport) -> impl Iterator<Item = Entry> {
    report
        .guest_hints
        .iter()
        .map(|hint| Entry::here("Asked", format!("{}: {}", hint.asked, hint.answer)))
}

pub(super) fn confidential(report: &HostReport) -> Vec<Entry> {
    let here = match report.cpu.confidential {
        Confidential::Tdx => "Intel TDX: CPUID leaf 21H shows it".to_string(),
        Confidential::HyperV { isolation, paravisor, .. } => format!(
            "Hyper-V isolates this partition by {}, {} a paravisor (CPUID leaf 4000_000CH)",
            isolation,
            if paravisor { "with" } else { "without" }
        ),
        Confidential::SevOffered { es, snp, coherent, .. } => format!(
            "AMD SEV is offered (SEV-ES {}, SEV-SNP {}, coherent caches {}); whether it is on is in an \
             MSR that user mode cannot read (dmesg has it)",
            yes(es),
            yes(snp),
            yes(coherent)
        ),
        _ => "nothing says so".to_string(),
    };
    let mut entries = Vec::from([Entry::here("By the CPU", here)]);
    if let Some(guest) = report.surroundings.confidential {
        entries.push(Entry::here("By a driver", guest.to_string()));
    }
    entries.extend([
        Entry::said(
            "What it is",
            "a guest whose memory and registers are protected against its host, by encryption or isolation",
            "Linux Documentation/security/snp-tdx-threat-model.rst",
        ),
        Entry::stated("Lines", &report.effects.lines),
        Entry::stated("Whole cache", &report.effects.whole_cache),
        Entry::said(
            "CPUID",
            "leaf 8000_001FH shows the features of SEV that the CPU offers. Hosts show the leaf, and some hypervisors show it to every \
             guest, so it does not prove a guest. The flags sev, sev_es and sev_snp in /proc/cpuinfo are \
             the same words, while tdx_guest says that this is one",
            "AMD APM vol. 3, CPUID Fn8000_001F; Linux arch/x86/include/asm/cpufeatures.h",
        ),
        Entry::said(
            "Drivers",
            "/dev/sev-guest and /dev/tdx_guest exist in such guests alone. The kernel also offers them signed \
             reports below /sys/kernel/config/tsm/report. This command asks for none, since a request makes a directory there",
            "Linux drivers/virt/coco; Documentation/ABI/testing/configfs-tsm-report",
        ),
    ]);
    entries
}

const fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

pub(super) fn container(report: &HostReport) -> Vec<Entry> {
    let here = match &report.surroundings.container {
        Some(name) => format!("in a container: {name}"),
        None => "no sign of one, which proves nothing".to_string(),
    };
    Vec::from([
        Entry::here("Here", here),
        Entry::said(
            "Lines",
            "a container is a set of processes of the same kernel: operations on lines are what they \
             are outside",
            "none of the instructions asks the kernel",
        )
        .sure(Certainty::Assumed),
        Entry::said(
            "Files",
            "it can hide /sys and /proc, or show those of the host: regions, file systems and devices \
             that are there can be missing from the report, which then says \"unknown\". Without /sys/dev/block \
             and /sys/class/block no device is known, without /sys/fs/btrfs not all devices of a btrfs, and without \
             /proc/fs neither the journal nor the default mount options of ext4",
            "systemd, \"The Container Interface\"",
        ),
    ])
}

pub(super) fn live_migration(report: &HostReport) -> Vec<Entry> {
    Vec::from([
        Entry::stated("Here", &report.effects.migration),
        Entry::said(
            "What changes",
            "the instruction, the line size and what persistent memory is backed by were found out \
             once; a handle keeps what it was made with. An instruction that the next host lacks may \
             raise SIGILL",
            "Intel SDM vol. 2A, CLWB and CLFLUSHOPT: #UD without the feature",
        ),
        Entry::here(
            "What to do",
            "run guests on one CPU model that all hosts have, or choose an instruction that all hosts \
             have (Builder::writeback_with, CACHEMAINT_WRITEBACK), or restart programs after a move",
        ),
        Entry::here(
            "What stays",
            "bytes that were persisted in a medium that moves along; a claim of persistence is the \
             hypervisor's on either host",
        ),
    ])
}
