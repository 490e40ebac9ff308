//! The decision about a file: its granularity, or a refusal. A pure function of facts.
//!
//! `MAP_SYNC` means that stores reach the medium without the file system's help. It says nothing about the medium: the
//! kernel grants it on emulated persistent memory too. It was also seen granted on file systems of a host (9p,
//! virtiofs), where a written-back line ends in the host's page cache. The inode's DAX attribute must therefore agree,
//! and the file system must support `MAP_SYNC` itself (`FOP_MMAP_SYNC`: ext4, xfs) or lie on a region of persistent
//! memory.

use super::Guarantee;
use super::guarantee::point_of;
use super::reach::{Reach, advice_to_reach, cannot_reach};
use super::system::{DeviceDax, FileFacts, files};
use crate::arch::native::ARCHITECTURE;
use crate::medium::{Domain, Granularity};
use crate::system::calls::System;
use crate::system::region::Memory;
use alloc::format;
use alloc::string::{String, ToString};
use std::io;

/// Decides about a file with these facts. `refusal` is the kernel's refusal of `MAP_SYNC`, by its error number. `memory`
/// returns the memory under the file system, and is called only if that decides.
///
/// # Errors
/// The reason why the file cannot be made persistent, and the remedy.
pub fn decide(
    facts: &FileFacts,
    refusal: Option<i32>,
    reach: Reach,
    memory: impl FnOnce() -> Option<Memory>,
) -> Result<Guarantee, String> {
    let page = Granularity::Page(files::page_size());
    let of = |granularity, domain, reason, advice| Guarantee {
        granularity,
        domain,
        reason,
        advice,
        is_device_dax: facts.device_dax.is_some(),
        alignment: facts.alignment,
        file_system: facts.file_system,
        deep_flush: facts.device_dax.as_ref().and_then(|device| device.deep_flush.clone()),
    };
    if let Some(device) = &facts.device_dax {
        let (domain, claim) = claim(device.memory.as_ref());
        let line = persistable(device, domain, refusal, reach)?;
        let (granularity, reason, advice) = by_lines("a device", domain, &claim, line);
        return Ok(of(granularity, Some(domain), reason, advice));
    }
    if facts.file_system == "famfs" {
        return Err(IS_FAMFS.to_string());
    }
    let believed = match (refusal, facts.dax_attribute) {
        (Some(_), _) | (None, Some(false)) => None,
        (None, set) => {
            let memory = memory();
            let is_dax = memory.is_some() || set.is_some() && has_map_sync(facts.file_system);
            is_dax.then_some(memory)
        }
    };
    let Some(memory) = believed else {
        let (reason, advice) = why_by_pages(facts, refusal);
        return Ok(of(page, None, reason, Some(advice)));
    };
    let (domain, claim) = claim(memory.as_ref());
    let point = point_of(Some(domain));
    let (granularity, reason, advice) = match (domain, reach.line(domain)) {
        (Domain::HostFlush, _) => (
            page,
            "write-backs reach the host's memory; only a flush request makes them persistent"
                .to_string(),
            Some(ADVICE_VIRTIO),
        ),
        (_, Some(line)) => by_lines("mapped directly", domain, &claim, line),
        (_, None) => (
            page,
            format!("mapped directly, but {}", cannot_reach(point)),
            Some(advice_to_reach(point)),
        ),
    };
    Ok(of(granularity, Some(domain), reason, advice))
}

fn by_lines(
    what: &str,
    domain: Domain,
    claim: &str,
    line: usize,
) -> (Granularity, String, Option<&'static str>) {
    match domain {
        Domain::CpuCaches => {
            (Granularity::Byte, format!("{what}, and {claim}: a fence suffices"), None)
        }
        _ => (Granularity::Line(line), format!("{what}, and {claim}"), advice_for(domain)),
    }
}

/// Hosts with incoherent caches share this memory: bytes are handed over, and no system call does that.
pub const IS_FAMFS: &str = "is on famfs, whose msync writes no line back: its memory is shared by hosts; map the file without \
                            this crate, and write lines back to the point of coherency (cachemaint::coherence)";

/// Returns true for file systems whose files the kernel maps synchronously (`FOP_MMAP_SYNC`: `fs/ext4/file.c`,
/// `fs/xfs/xfs_file.c`).
fn has_map_sync(file_system: &str) -> bool {
    matches!(file_system, "ext4" | "xfs")
}

/// The providers of RAM that was reserved as persistent memory, and that the kernel treats as such.
const SET_ASIDE: [&str; 2] = ["e820", "ramdax"];

/// Returns the domain of memory, and the claim about power loss with its source.
fn claim(memory: Option<&Memory>) -> (Domain, String) {
    let Some(Memory { name, domain, provider, unarmed }) = memory else {
        let none = "no region of persistent memory was found for its device";
        return (Domain::Unknown, none.to_string());
    };
    let claim = match (domain, unarmed) {
        (Domain::None, _) if SET_ASIDE.contains(&provider.as_str()) => {
            format!("{name} is RAM that was reserved as persistent memory")
        }
        (Domain::None, _) => format!("{name} is volatile memory, according to the kernel"),
        (Domain::Unknown, Some(device)) => {
            format!("no claim for {name} holds, since its {device} is not armed")
        }
        (Domain::Unknown, None) => format!("no persistence domain is known for {name}"),
        (claimed, _) => format!("firmware claims this domain for {name}: {}", claimed.name()),
    };
    (*domain, claim)
}

/// Returns the line size that the CPU makes persistent on a device, or the reason why it cannot.
fn persistable(
    device: &DeviceDax,
    domain: Domain,
    refusal: Option<i32>,
    reach: Reach,
) -> Result<usize, String> {
    let refused =
        |reason: &str, advice| Err(format!("cannot be made persistent: {reason}; {advice}"));
    let point = point_of(Some(domain));
    match (refusal, domain, reach.line(domain)) {
        (Some(errno), ..) => refused(
            &format!("the kernel refuses MAP_SYNC on it: {}", io::Error::from_raw_os_error(errno)),
            NEWER,
        ),
        (_, Domain::HostFlush, _) => refused(
            "virtio-pmem reaches the host only by flush requests, and device DAX sends none",
            "use a file on the memory instead (a namespace in fsdax mode), whose msync sends them",
        ),
        _ if device.needs_host_call => refused(
            "only a hypervisor call makes written-back lines persistent, and device DAX makes none",
            "use a file on the memory instead (a namespace in fsdax mode), whose msync makes it",
        ),
        (.., None) => refused(
            &format!("{}, and device DAX has no msync", cannot_reach(point)),
            advice_to_reach(point),
        ),
        (.., Some(line)) => Ok(line),
    }
}

/// The advice for a kernel that is too old: the oldest tested version.
pub const NEWER: &str = "use Linux 5.10 or newer";

/// The advice for a guest's virtio-pmem.
pub const ADVICE_VIRTIO: &str =
    "give the guest an emulated NVDIMM instead, if the host has real persistent memory";

/// The way to make Linux treat RAM as persistent memory: true for a parameter (its
/// `Documentation/admin-guide/kernel-parameters.txt`), false for a node of the device tree
/// (`Documentation/devicetree/bindings/pmem/pmem-region.txt`).
const RESERVED_BY_PARAMETER: Option<bool> = match ARCHITECTURE.name.as_bytes() {
    b"x86" | b"x86_64" => Some(true),
    b"aarch64" | b"riscv32" | b"riscv64" | b"powerpc" | b"powerpc64" => Some(false),
    _ => None,
};

/// The advice for a file that is not on persistent memory.
pub const USE_MEMORY: &str = match RESERVED_BY_PARAMETER {
    Some(true) => {
        "use a file on persistent memory, or on RAM reserved as pmem (memmap=SIZE!START), which a power loss erases"
    }
    Some(false) => {
        "use a file on persistent memory, or on RAM reserved as pmem (a node pmem-region in the device tree), which a power loss erases"
    }
    None => "use a file on persistent memory",
};

/// The advice for a file in RAM.
pub const LEAVE_RAM: &str = match RESERVED_BY_PARAMETER {
    Some(true) => {
        "use a file on an ordinary drive or persistent memory, or against kexec on RAM reserved as pmem (memmap=SIZE!START)"
    }
    Some(false) => {
        "use a file on an ordinary drive or persistent memory, or against kexec on RAM reserved as pmem (a node pmem-region)"
    }
    None => "use a file on an ordinary drive or persistent memory",
};

const fn advice_for(domain: Domain) -> Option<&'static str> {
    match domain {
        Domain::None => Some(
            "use real persistent memory against power loss; this is RAM, which a power loss erases",
        ),
        Domain::Cxl => Some(
            "ask the device's vendor for Global Persistent Flush; Linux 6.15 and newer shows whether the device has it",
        ),
        Domain::Unknown => Some(
            "ask the vendor of the firmware or memory for the persistence domain; no claim is known to hold",
        ),
        _ => None,
    }
}

/// Returns the reason why a file is persisted in whole pages, and the advice.
fn why_by_pages(facts: &FileFacts, refusal: Option<i32>) -> (String, &'static str) {
    let System { name, persists_by, .. } = System::host();
    if cfg!(not(target_os = "linux")) {
        let reason = format!(
            "{name} documents that {persists_by} persist them, so they survive if the file system honours fsync; \
             this crate maps files directly only on Linux"
        );
        return (reason, "if pages are too coarse, use a file on persistent memory under Linux");
    }
    let file_system =
        if facts.file_system.is_empty() { "its file system" } else { facts.file_system };
    match facts.file_system {
        "tmpfs" | "ramfs" | "hugetlbfs" => (format!("{file_system} keeps files in RAM"), LEAVE_RAM),
        _ if refusal.is_none() => (
            format!("{file_system} granted MAP_SYNC, but no persistent memory is known under it"),
            "use ext4 or xfs on persistent memory",
        ),
        _ => (
            format!("{file_system} does not map this file directly (MAP_SYNC)"),
            "use ext4 or xfs on persistent memory, mounted with -o dax=always",
        ),
    }
}
