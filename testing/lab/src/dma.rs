//! The lanes of `lose-lines dma`: machines whose devices do not see the CPUs' cache.
//!
//! The image `dma` of `testing/lab/freestanding` has a driver that leaves out the operation that its disk names. The
//! emulator shows every store to every device, so its data are right in each case. Linux is Debian's, unmodified.

use alloc::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines_machine::architecture::Architecture;
use lose_lines_machine::command::Cmd;
use lose_lines_machine::debian::{Package, Suite};
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::kit::Kit;
use lose_lines_machine::transcript::Transcript;
use serde_json::Value;

use crate::board::{self, Board};
use crate::kernel_module;
use crate::lab::Lab;
use crate::lane::Lane;

/// Seconds for one machine; Linux takes ten.
const LIMIT: u32 = 300;

/// What the driver leaves out, the number of CPUs, and the kinds of findings. One with `?` depends on which writes first, the
/// device or the CPU.
type Case = (&'static str, u32, &'static [&'static str]);

const CASES: [Case; 11] = [
    ("nothing", 1, &[]),
    ("nothing", 2, &[]),
    ("acquire", 1, &["speculative-read"]),
    ("all-of-reads", 1, &["dirty-under-device", "stale-read"]),
    ("acquire-in-time", 1, &["speculative-read"]),
    ("release", 1, &["dirty-at-doorbell"]),
    ("release-to-writer", 1, &["dirty-under-device"]),
    ("fences", 1, &["unfenced-at-doorbell"]),
    ("uncached-rings", 1, &["dirty-at-doorbell", "speculative-read", "stale-read"]),
    ("padding", 1, &["bytes-lost", "?dirty-under-device", "?old-bytes-merged"]),
    ("fence-of-one-cpu", 2, &["unfenced-at-doorbell"]),
];

/// The reports of `crates/device/tests/catalogue` that the image has, and the kinds of their findings.
const REPORTS: [(&str, &[&str]); 10] = [
    ("nuttx_19506", &["speculative-read"]),
    ("zephyr_42206", &["dirty-under-device"]),
    ("nuttx_2985", &["speculative-read"]),
    ("zephyr_90632", &["dirty-at-doorbell"]),
    ("bao_hypervisor_392", &["unfenced-at-doorbell"]),
    ("hvisor_312", &["bytes-lost"]),
    ("zephyr_98723", &["dirty-at-doorbell"]),
    // The variable is stored to after the device has written to its line, so its old copy may be evicted, too.
    ("stm32cubef7_95", &["bytes-lost", "old-bytes-merged"]),
    ("circle_135", &["dirty-under-device"]),
    ("atmel_software_package_121", &["bytes-lost"]),
];

/// A machine for the driver.
struct Guest {
    name: &'static str,
    board: Board,
    /// The emulator's options, behind those that the tool gives it.
    options: &'static str,
    /// The CPUs that the image can use.
    cpus: u32,
    /// True if the fence of virtio-drivers before it makes a buffer available, FENCE RW,RW, completes write-backs.
    is_fenced: bool,
}

const GUESTS: [Guest; 3] = [
    Guest { name: "aarch64", board: board::AARCH64, options: "", cpus: 2, is_fenced: false },
    Guest {
        name: "riscv64",
        board: board::RISCV64,
        options: "-bios none",
        cpus: 1,
        is_fenced: true,
    },
    Guest { name: "armv7", board: board::ARMV7, options: "", cpus: 1, is_fenced: false },
];

/// A machine for Linux, whose devices are not coherent.
struct Linux {
    name: &'static str,
    architecture: Architecture,
    options: &'static str,
    console: &'static str,
    disk: &'static str,
}

const ARM64: Linux = Linux {
    name: "aarch64/linux-virtio",
    architecture: Architecture::Arm64,
    options: "qemu-system-aarch64 -M virt -cpu cortex-a57 -smp 2",
    console: "ttyAMA0",
    disk: VIRTIO,
};

/// RISC-V needs Svpbmt for memory that is not cached, which `max` has.
const LINUX: [Linux; 3] = [
    ARM64,
    Linux { name: "aarch64/linux-nvme", disk: "-device nvme,drive=disk,serial=1", ..ARM64 },
    Linux {
        name: "riscv64/linux-virtio",
        architecture: Architecture::Riscv64,
        options: "qemu-system-riscv64 -M virt -cpu max -smp 2",
        console: "ttyS0",
        ..ARM64
    },
];

const NVME: &Linux = &LINUX[1];

/// The suite that keeps older kernels.
const BACKPORTS: Suite = Suite::Release("trixie-backports");

/// A kernel whose `nvme` driver passes two arguments in the wrong order, so that it unmaps scatter lists by addresses that are
/// not theirs (mended by Linux a54afbc8a213).
const WRONG_NVME: &[Package] = &[Package {
    name: "linux-image-6.18.15+deb13-cloud-arm64",
    version: "6.18.15-1~bpo13+1",
    sha256: "d8769e7a5cd50d504354c1bb13d92becb004178ed1195e575d5680e33cb84c30",
}];

/// One with that mended.
const RIGHT_NVME: &[Package] = &[
    Package {
        name: "linux-binary-7.3.4+deb13-cloud-arm64",
        version: "7.3.4-1~bpo13+1",
        sha256: "34dc0e1a6320440cc3f6e34d12ae099041a2e10555061d50ff4e5af602121788",
    },
    Package {
        name: "linux-modules-7.3.4+deb13-cloud-arm64",
        version: "7.3.4-1~bpo13+1",
        sha256: "90a6ce3e126d739938996a7493335403de7678abcdbae916c7f4c61ff8de3f32",
    },
];

/// A virtio device goes through the kernel's mappings for DMA only with `iommu_platform`.
const VIRTIO: &str = "-device virtio-blk-pci,drive=disk,iommu_platform=on,disable-legacy=on";

pub(super) fn lanes() -> Vec<Lane> {
    let linux = LINUX.iter().map(linux);
    let module = Lane::new("dma/aarch64/linux-module", linux_module);
    let reports = GUESTS.iter().map(reports);
    let lists = Lane::new("dma/aarch64/linux-nvme-lists", linux_nvme_lists);
    GUESTS.iter().map(left_out).chain(reports).chain(linux).chain([module, lists]).collect()
}

/// Leaves out each operation in turn.
fn left_out(guest: &'static Guest) -> Lane {
    Lane::new(format!("dma/{}/left-out", guest.name), move |lab| {
        let disk = lab.work().join(format!("dma-{}.disk", guest.name));
        let machine = image(lab, guest, &disk)?;
        Ok(Box::new(move |log| {
            for (name, cpus, kinds) in CASES.iter().filter(|(_, cpus, _)| *cpus <= guest.cpus) {
                let machine = machine.clone().args(["-smp", &cpus.to_string()]);
                let found = run(guest, &machine, &disk, name, kinds, log);
                found.with_context(|| format!("without {name}, {cpus} CPUs"))?;
            }
            Ok(())
        }))
    })
}

/// Runs each report as reported, which must be found in the function of its name, and as fixed.
fn reports(guest: &'static Guest) -> Lane {
    Lane::new(format!("dma/{}/reports", guest.name), move |lab| {
        let disk = lab.work().join(format!("dma-{}-reports.disk", guest.name));
        let machine = image(lab, guest, &disk)?;
        Ok(Box::new(move |log| {
            for (name, kinds) in REPORTS {
                for (state, kinds) in [("reported", kinds), ("fixed", &[])] {
                    let words = format!("report {name} {state}");
                    let report = run(guest, &machine, &disk, &words, kinds, log);
                    let report = report.context(words.clone())?;
                    ensure!(log.text()?.contains(&words), "{words}: the driver failed");
                    let function = format!("dma::reports::{name}");
                    ensure!(are_in(&function, &report), "{words}: found elsewhere: {report}");
                }
            }
            Ok(())
        }))
    })
}

/// Returns the machine with the image and this disk.
fn image(lab: &Lab, guest: &Guest, disk: &Path) -> Result<Cmd> {
    lab.plugin(guest.board.architecture)?;
    let image = guest.board.build(lab, "dma")?;
    let tool = Cmd::new(lab.tool()?.display().to_string()).limit(LIMIT);
    let tool = tool.args(["dma", "--json", "--image", &image, "--"]).words(guest.options);
    let machine = with_disk(&tool, disk, "-device virtio-blk-device,drive=disk");
    Ok(machine.words("-global virtio-mmio.force-legacy=false"))
}

/// Runs the image with these words on its disk. Returns the report, whose findings must be of these kinds.
fn run(
    guest: &Guest,
    machine: &Cmd,
    disk: &Path,
    words: &str,
    kinds: &[&str],
    log: &mut Transcript,
) -> Result<Value> {
    fs::write(disk, format!("{words}\n")).context("cannot write the disk")?;
    sized(disk)?;
    let report = report(machine, log)?;
    let kinds = kinds.iter().filter(|kind| !guest.is_fenced || **kind != "unfenced-at-doorbell");
    let (maybe, kinds): (Vec<&&str>, Vec<_>) = kinds.partition(|kind| kind.starts_with('?'));
    let mut found = found(&report)?;
    found.retain(|kind| !maybe.iter().any(|maybe| maybe[1..] == *kind));
    let expected: BTreeSet<_> = kinds.into_iter().map(|kind| (*kind).to_owned()).collect();
    ensure!(found == expected, "{found:?}, not {expected:?}");
    Ok(report)
}

/// Boots Linux, which reads and writes a disk and leaves nothing out.
fn linux(of: &'static Linux) -> Lane {
    Lane::new(format!("dma/{}", of.name), move |lab| {
        let kit = lab.kit(of.architecture)?;
        let (machine, disk) = booting(lab, of, &kit, &of.name.replace('/', "-"), "")?;
        Ok(Box::new(move |log| {
            let found = found_with_disk(&machine, &disk, log)?;
            ensure!(found.is_empty(), "a kernel that is right was reported: {found:?}");
            Ok(())
        }))
    })
}

/// Boots a kernel whose `nvme` driver is wrong, with scatter lists and without, and one whose driver is right.
///
/// The driver takes lists for requests whose segments have this many bytes on average (`nvme_pci_use_sgls`).
fn linux_nvme_lists(lab: &Lab) -> Result<crate::lane::Run> {
    let mut machines = Vec::new();
    for (name, packages, threshold, kinds) in [
        ("wrong-nvme", WRONG_NVME, 1, &["stale-read"][..]),
        ("wrong-nvme-without-lists", WRONG_NVME, 0, &[]),
        ("right-nvme", RIGHT_NVME, 1, &[]),
    ] {
        let kit = lab.kit_of(NVME.architecture, BACKPORTS, packages)?;
        let option = format!("nvme.sgl_threshold={threshold}");
        machines.push((name, booting(lab, NVME, &kit, name, &option)?, kinds));
    }
    Ok(Box::new(move |log| {
        for (name, (machine, disk), expected) in machines {
            let found = found_with_disk(&machine, &disk, log).context(name)?;
            ensure!(found.iter().eq(expected), "{name}: {found:?}, not {expected:?}");
        }
        Ok(())
    }))
}

/// Returns the machine that boots Linux with this option, to use its disk, and the disk.
fn booting(lab: &Lab, of: &Linux, kit: &Kit, name: &str, option: &str) -> Result<(Cmd, PathBuf)> {
    lab.plugin(of.architecture.qemu())?;
    let initrd = kit.initrd(&Initramfs::default(), &format!("dma-{name}"))?;
    let disk = lab.work().join(format!("dma-{name}.disk"));
    let tool = Cmd::new(lab.tool()?.display().to_string()).limit(LIMIT);
    let machine = tool
        .words("dma --json --dtb-noncoherent --")
        .words(of.options)
        .words("-m 512M -nodefaults -display none -serial stdio")
        .args(["-kernel", &kit.kernel.display().to_string()])
        .args(["-initrd", &initrd.display().to_string()])
        .args(["-append", &format!("console={} panic=-1 {option} -- use-disk", of.console)]);
    Ok((with_disk(&machine, &disk, of.disk), disk))
}

/// Runs Linux, which uses its disk. Returns the kinds of findings.
fn found_with_disk(machine: &Cmd, disk: &Path, log: &mut Transcript) -> Result<BTreeSet<String>> {
    fs::write(disk, "").context("cannot write the disk")?;
    sized(disk)?;
    let before = log.text()?.len();
    let report = report(machine, log)?;
    ensure!(log.text()?[before..].contains("disk is right"), "Linux did not use its disk");
    let findings = report["findings"].as_array().context("no findings")?;
    let kind = |finding: &Value| Some(finding["kind"].as_str()?.to_owned());
    findings.iter().map(|finding| kind(finding).context("no kind")).collect()
}

fn sized(disk: &Path) -> Result<()> {
    File::options().write(true).open(disk)?.set_len(16 << 20).context("cannot size the disk")
}

fn with_disk(machine: &Cmd, disk: &Path, device: &str) -> Cmd {
    let drive = format!("file={},format=raw,if=none,id=disk,cache=unsafe", disk.display());
    machine.clone().args(["-drive", &drive]).words(device)
}

/// Runs the tool. Returns its report, which must agree with its exit code.
fn report(tool: &Cmd, log: &mut Transcript) -> Result<Value> {
    let mut report = String::new();
    let ending = tool.watch_in(log, |line| report.push_str(line))?;
    let report: Value = serde_json::from_str(&report)
        .with_context(|| format!("the tool {}, and wrote no report", ending.told))?;
    let is_empty = report["findings"].as_array().is_some_and(Vec::is_empty);
    let code = i32::from(!is_empty);
    ensure!(ending.code == Some(code), "the tool {}, with this report: {report}", ending.told);
    Ok(report)
}

/// Returns true if each finding names the function.
fn are_in(function: &str, report: &Value) -> bool {
    let is_there =
        |place: &Value| place["function"].as_str().is_some_and(|found| found.starts_with(function));
    let mut findings = report["findings"].as_array().into_iter().flatten();
    findings.all(|finding| is_there(&finding["at"]) || is_there(&finding["by"]))
}

/// Returns the kinds of findings, each of which must name its place.
fn found(report: &Value) -> Result<BTreeSet<String>> {
    let findings = report["findings"].as_array().context("no findings")?;
    let kind = |finding: &Value| {
        let function = finding["at"]["function"].as_str();
        ensure!(function.is_some_and(|name| !name.starts_with('.')), "{finding}");
        Ok(finding["kind"].as_str().context("no kind")?.to_owned())
    };
    findings.iter().map(kind).collect()
}

/// Boots Linux with a module that is right, and again with one that forgets `dma_sync_single_for_cpu`.
///
/// Linux writes back a buffer that a device will write, and keeps its lines (`arch/arm64/mm/dma-mapping.c`), so the loads are
/// stale, and not only by speculation.
fn linux_module(lab: &Lab) -> Result<crate::lane::Run> {
    lab.plugin("aarch64")?;
    let kit = lab.kit(Architecture::Arm64)?;
    let module = kernel_module::build(lab, &kit, "edu")?;
    let mut files = Initramfs::default();
    files.file("/lab/edu.ko", module).text("/lab/modules", "/lab/edu.ko\n");
    let initrd = kit.initrd(&files, "dma-module")?.display().to_string();
    let tool = Cmd::new(lab.tool()?.display().to_string()).limit(LIMIT);
    let machine = tool
        .words("dma --json --dtb-noncoherent -- qemu-system-aarch64 -M virt -cpu cortex-a57")
        .words("-m 512M -nodefaults -display none -serial stdio -device edu,dma_mask=0xffffffff")
        .args(["-kernel", &kit.kernel.display().to_string(), "-initrd", &initrd]);
    Ok(Box::new(move |log| {
        for (forgets, expected) in [(0, &[][..]), (1, &["stale-read in wrong_bytes"])] {
            let words = format!("console=ttyAMA0 panic=-1 edu.forgets={forgets} -- symbols edu");
            let before = log.text()?.len();
            let report = report(&machine.clone().args(["-append", &words]), log)?;
            let console = &log.text()?[before..];
            ensure!(console.contains("0 of 768 bytes are wrong"), "the module did not run");
            let found = found_in_module(&report, console)?;
            ensure!(found == expected, "forgets={forgets}: {found:?}, not {expected:?}");
        }
        Ok(())
    }))
}

/// Returns the kind and the function of each finding, which must be in the module.
fn found_in_module(report: &Value, symbols: &str) -> Result<Vec<String>> {
    let findings = report["findings"].as_array().context("no findings")?;
    let named = |finding: &Value| {
        let at = finding["at"]["address"].as_u64().context("no address")?;
        let function = function_at(symbols, at).with_context(|| format!("{at:#x}: {symbols}"))?;
        Ok(format!("{} in {function}", finding["kind"].as_str().context("no kind")?))
    };
    findings.iter().map(named).collect()
}

/// Returns the function with an instruction, from lines of `/proc/kallsyms`: address, `t` or `T` for code, name, module.
fn function_at(symbols: &str, at: u64) -> Option<&str> {
    let functions = symbols.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let is_code = words.next()?.eq_ignore_ascii_case("t");
        // The code of the module has less than a page.
        let is_before = is_code && at.checked_sub(address).is_some_and(|offset| offset < 4096);
        is_before.then_some((address, words.next()?))
    });
    functions.max().map(|(_, name)| name)
}
