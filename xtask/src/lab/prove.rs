//! Whether the lab can fail: plants breakages in a copy of the workspace, one at a time, and demands
//! that a lane turns red, for the reason that the breakage gives it.
//!
//! A breakage is a replacement in one file. If its text is not there exactly once, the code has moved
//! on and the breakage must follow: that is a failure too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Lab, Lane, lane, lanes};
use crate::host::Host;
use crate::log::Log;
use crate::report::{Effort, Finding, Report, Tests};

/// One mistake, and how it shows.
struct Breakage {
    name: &'static str,
    file: &'static str,
    /// What is replaced, and by what.
    text: &'static str,
    by: &'static str,
    /// The lane that notices.
    lane: &'static str,
    /// What it or its log says: a lane that fails for another reason proves nothing.
    complaint: &'static str,
}

const BREAKAGES: [Breakage; 21] = [
    Breakage {
        name: "DC CVAP is used where the CPU has none",
        file: "src/cpu/aarch64/words.rs",
        text: "(words.hwcap & HWCAP_DCPOP != 0, DC_CVAP)",
        by: "(true, DC_CVAP)",
        lane: "cpu/qemu-aarch64/cortex-a53",
        complaint: "ended by signal 4",
    },
    Breakage {
        name: "MAP_SYNC is dropped",
        file: "src/dax/system/linux/mapping.rs",
        text: "MapFlags::SHARED_VALIDATE.union(MapFlags::SYNC)",
        by: "MapFlags::SHARED",
        lane: "machine/x86_64/emulated-pmem",
        complaint: "the mapping lacks MAP_SYNC",
    },
    Breakage {
        name: "msync is left out where pages are persisted",
        file: "src/dax/system/linux/mapping.rs",
        text: "unsafe { rustix::mm::msync(address, range.end - first_page, MsyncFlags::SYNC) }",
        by: "if self.page != 0 { return Ok(()) }
        unsafe { rustix::mm::msync(address, range.end - first_page, MsyncFlags::SYNC) }",
        lane: "machine/x86_64/power-cut-disk",
        complaint: "are lost or damaged",
    },
    Breakage {
        name: "another region than the file's own is read",
        file: "src/system/backing/regions.rs",
        text: "path_of_region(device).map(|path| region(tree, path))",
        by: "path_of_region(device).and_then(|_own| crate::system::nvdimm::regions(tree).into_iter().next_back())",
        lane: "machine/x86_64/two-regions",
        complaint: "the granularity is",
    },
    Breakage {
        name: "a canary takes every boot for its own",
        file: "cli/src/canary/verdict.rs",
        text: "Some(boot) if boot == header.boot => State::SameBoot",
        by: "Some(boot) if !boot.is_empty() => State::SameBoot",
        lane: "machine/x86_64/canary",
        complaint: "/canary/state is Some(String(\"same_boot\"))",
    },
    Breakage {
        name: "the ways of a cache are taken from its sets",
        file: "src/system/cache_levels.rs",
        text: "ways: number(\"ways_of_associativity\")",
        by: "ways: number(\"number_of_sets\")",
        lane: "machine/x86_64/side-by-side/emulated-pmem",
        complaint: "ways of (",
    },
    Breakage {
        name: "the last line of a range is not written back",
        file: "arch/lines.rs",
        text: "while end_of_line < self.last_byte {",
        by: "while end_of_line.wrapping_add(self.within) < self.last_byte {",
        lane: "flush/x86_64/max",
        complaint: "persist over the end of a page: Verdict",
    },
    Breakage {
        name: "a deep persist leaves the lines to the kernel",
        file: "src/dax/mod.rs",
        text: "self.view.writeback_lines(&range, cache);
            cache.fence();",
        by: "cache.fence();",
        lane: "flush/x86_64/max,-clwb",
        complaint: "deep persist: Verdict",
    },
    Breakage {
        name: "persist has no fence",
        file: "src/medium/mod.rs",
        text: "self.writeback(range)?;
        self.fence();",
        by: "self.writeback(range)?;",
        lane: "flush/x86_64/eadr",
        complaint: "persist within a line: Verdict",
    },
    Breakage {
        name: "a batch that unwinds has no fence",
        file: "src/dax/batch.rs",
        text: "        self.view.fence();",
        by: "        if !std::thread::panicking() { self.view.fence() }",
        lane: "flush/x86_64/max,-clwb",
        complaint: "batch that unwinds: Verdict",
    },
    Breakage {
        name: "an append to a journal has no fence",
        file: "src/journal/append.rs",
        text: "        medium.fence();
        written.map_err(",
        by: "        written.map_err(",
        lane: "flush/x86_64/max",
        complaint: "journal: append of 16 bytes: Verdict",
    },
    Breakage {
        name: "a full sub-buffer is not written back",
        file: "src/recorder/writer.rs",
        text: "Durability::OnCrash => Ok(()),
            Durability::SubBuffer | Durability::EachAppend",
        by: "Durability::OnCrash | Durability::SubBuffer => Ok(()),
            Durability::EachAppend",
        lane: "flush/x86_64/max",
        complaint: "recorder: full sub-buffer: Verdict",
    },
    Breakage {
        name: "a recording takes an earlier lap for the newest",
        file: "src/recorder/format.rs",
        text: "bytes.put(24, sequence.to_le_bytes());",
        // Of a number below 2^40 nothing is left.
        by: "bytes.put(24, (sequence >> 40).to_le_bytes());",
        lane: "machine/x86_64/recorder",
        complaint: "another event stands where",
    },
    Breakage {
        name: "a commit has no last fence",
        file: "src/preserve/store.rs",
        text: "        self.medium.fence();
        self.replace(header, places);",
        by: "        self.replace(header, places);",
        lane: "flush/x86_64/max",
        complaint: "store: put of 300 bytes: Verdict",
    },
    Breakage {
        name: "an opened store takes the space of its blobs for free",
        file: "src/preserve/store.rs",
        text: "if space.take(range) {",
        by: "if Space::new(data(header.unit)..size, header.unit).take(range) {",
        lane: "machine/x86_64/preserve",
        complaint: "the blob from its byte 0 on is damaged",
    },
    Breakage {
        name: "a file system is mounted without DAX",
        file: "tests/lab/guest/src/agent.rs",
        text: "let options = CString::new(options)?;",
        by: "let options = CString::new(options.replace(\"dax=always\", \"dax=never\"))?;",
        lane: "machine/x86_64/tracer-kexec",
        complaint: "--page-cache",
    },
    Breakage {
        name: "a guard's pass has no fence",
        file: "src/dax/guard/mod.rs",
        text: "            cache.fence();",
        by: "            drop(cache.facts());",
        lane: "flush/x86_64/max",
        complaint: "guard: what others have stored: Verdict",
    },
    Breakage {
        name: "a guard leaves new blocks to the file system",
        file: "src/dax/guard/guarded.rs",
        text: "if self.durable.as_ref() != Some(&now) {",
        by: "if self.durable.is_none() {",
        lane: "machine/x86_64/guard-holes",
        complaint: "stores",
    },
    Breakage {
        name: "a guard leaves out the end of a file",
        file: "src/dax/guard/guarded.rs",
        text: "let end = (start + STRETCH as u64).min(part.end);",
        by: "let end = (start + STRETCH as u64).min(part.end & !0xffff);",
        lane: "flush/x86_64/tracer",
        complaint: "after it: ",
    },
    Breakage {
        name: "WBINVD is offered in a guest",
        file: "src/report/whole_cache.rs",
        text: "if hypervisor == Hypervisor::Absent && whole_cache.is == Handling::Executed {",
        by: "if hypervisor != Hypervisor::Unknown && whole_cache.is != Handling::Fatal {",
        lane: "freestanding/x86_64/max",
        complaint: "`whole cache asked` failed",
    },
    Breakage {
        name: "DMB instead of DSB",
        file: "arch/aarch64/ops.rs",
        text: "asm!(\"dsb sy\"",
        by: "asm!(\"dmb sy\"",
        lane: "flush/aarch64/neoverse-n1",
        complaint: "persist within a line: Verdict",
    },
];

/// Runs each breakage, or those for lanes whose names begin like that; a row of the report says whether its lane
/// noticed.
pub(super) fn prove(host: &Host, report: &mut Report, lanes: &[String]) -> Result<()> {
    let is_wanted = |breakage: &&Breakage| {
        lanes.is_empty() || lanes.iter().any(|lane| breakage.lane.starts_with(lane.as_str()))
    };
    let wanted: Vec<&Breakage> = BREAKAGES.iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "no breakage is planted for {lanes:?}");
    let copy = copy_of(host)?;
    for breakage in wanted {
        let (finding, effort) = Effort::of(|| breakage.noticed(host, &copy));
        let finding =
            finding.unwrap_or_else(|why| Finding::failed(Tests::default(), format!("{why:#}")));
        let name = format!("prove/{}", breakage.name);
        report.record(&name, "lab --prove", finding, effort)?;
    }
    Ok(())
}

/// Where the copy is, and where it is built: what comes of it must not be taken for the workspace's.
fn work(host: &Host) -> PathBuf {
    host.target_dir("lab-prove")
}

/// A copy of the workspace as it is, without what was built.
fn copy_of(host: &Host) -> Result<PathBuf> {
    let copy = work(host).join("tree");
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    host.copy_sources(&copy)?;
    Ok(copy)
}

impl Breakage {
    /// Whether the lane noticed.
    fn noticed(&self, host: &Host, copy: &Path) -> Result<Finding> {
        let file = copy.join(self.file);
        let original =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let found = original.matches(self.text).count();
        ensure!(found == 1, "{} has the text to be replaced {found} times", self.file);
        let write = |text: &str| {
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
        };
        write(&original.replace(self.text, self.by))?;
        let finding = self.run(host, copy);
        write(&original)?;
        finding
    }

    fn run(&self, host: &Host, copy: &Path) -> Result<Finding> {
        let is_it = |lane: &Lane| lane.name == self.lane;
        let selected: Vec<Lane> = lanes().into_iter().filter(is_it).collect();
        ensure!(!selected.is_empty(), "there is no lane {}", self.lane);
        let mut finding = None;
        let lab = Lab::of(host, copy, work(host));
        lane::run_all(&lab, selected, |_name, found, _effort| {
            finding = Some(found);
            Ok(())
        })?;
        let finding = finding.context("the lane came to nothing")?;
        let log = Log::read(lab.work(), self.lane);
        match finding.failure() {
            Some(why) if why.contains(self.complaint) || log.contains(self.complaint) => {
                Ok(Finding::passed(Tests::default()))
            }
            Some(why) => bail!("{} failed for another reason: {why}", self.lane),
            None if finding.is_skipped() => Ok(finding),
            None => bail!("{} does not notice it", self.lane),
        }
    }
}
