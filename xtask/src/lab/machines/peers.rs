//! Comparison with programs that people trust: the output of lscpu, ndctl and libpmem2 in a machine must be that of the
//! library there. Where libpmem2 differs by design, exactly this difference is demanded.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;
use serde_json::Value;

use super::canary::COMMAND;
use super::media::{DEVICES, device_of, regions, with_two_regions, with_virtio_pmem};
use super::{
    Architecture, Contents, DAX, DIRECTORY, Kit, Lab, Lane, Log, Machine, Setup, emulated,
    expect_value, lane_with, make_ext4, make_namespace, nvdimm,
};
use crate::debian::{self, Suite};
use crate::lab::compilers;
use crate::lab::unavailable::Unavailable;

/// A machine, and the expected answers of libpmem2 for the files in it.
struct Pair {
    name: &'static str,
    cpu: &'static str,
    medium: Medium,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// RAM set aside.
    Emulated,
    /// An NVDIMM with this claim, in QEMU's words.
    Nvdimm(Option<&'static str>),
    /// An NVDIMM with the caches in its domain, and RAM set aside.
    Two,
    /// Memory of the host behind a flush request.
    Virtio,
}

const PAIRS: [Pair; 6] = [
    Pair { name: "emulated-pmem", cpu: "max", medium: Medium::Emulated },
    Pair { name: "nvdimm-adr", cpu: "max,-clwb", medium: Medium::Nvdimm(Some("mem-ctrl")) },
    Pair { name: "nvdimm-eadr", cpu: "max", medium: Medium::Nvdimm(Some("cpu")) },
    Pair {
        name: "nvdimm-no-claim",
        cpu: "max,-clwb,-clflushopt,-hypervisor",
        medium: Medium::Nvdimm(None),
    },
    Pair { name: "two-regions", cpu: "max", medium: Medium::Two },
    Pair { name: "virtio-pmem", cpu: "max", medium: Medium::Virtio },
];

/// The packages of the peers; ndctl is in every machine. Ubuntu and later releases of Debian have another name for the
/// last one.
const PACKAGES: [[&str; 2]; 2] = [["util-linux", "libpmem2"], ["util-linux", "libpmem2-1"]];

const PEER: &str = "/lab/peer";
/// The length of a file. libpmem2 does not map a part of a page.
const FILE_LEN: usize = 8192;
/// The unit in which ndctl counts bad blocks (`ndctl-list(1)`).
const SECTOR: u64 = 512;

pub(super) fn lanes() -> Vec<Lane> {
    PAIRS.iter().map(lane_of).collect()
}

fn lane_of(pair: &'static Pair) -> Lane {
    let name = format!("machine/x86_64/side-by-side/{}", pair.name);
    let proves = "lscpu, ndctl and libpmem2 say what the library says, or differ as documented";
    let lane =
        lane_with(Architecture::X86, &name, proves, Peers::prepare, |kit, peers, name, log| {
            pair.compare(kit, peers, name, log)
        });
    // The lanes of the other media demand what the peers say there.
    if pair.medium == Medium::Emulated { lane } else { lane.long() }
}

/// The programs that are put into a machine.
struct Peers {
    root: PathBuf,
    command: PathBuf,
    peer: PathBuf,
}

impl Peers {
    fn prepare(lab: &Lab<'_>) -> Result<Self> {
        let root =
            |packages: &[&str; 2]| debian::root(lab.sources.host, "amd64", packages, Suite::System);
        let [first, second] = &PACKAGES;
        let root = root(first).or_else(|_| root(second)).map_err(Unavailable::because)?;
        Ok(Self { root, command: lab.command()?, peer: lab.peer()? })
    }

    fn put_into(&self, setup: &mut Setup) -> Result<()> {
        setup.files.file(COMMAND, &self.command);
        setup.files.linked(&self.root, PEER, self.peer.clone())?;
        setup.files.library(&self.root, "libpmem2.so.1")?;
        setup.files.program(&self.root, "lscpu")
    }
}

impl Lab<'_> {
    /// Builds the program that asks libpmem2. It is linked as usual: a static one cannot load a library.
    fn peer(&self) -> Result<PathBuf> {
        let compiler = compilers::compiler(self.sources.host, Architecture::X86.triple())?;
        let folder = self.sources.work().join("peer");
        self.sources
            .cargo(&compiler, "build --release -p cachemaint-lab-peer")
            .args(["--target", Architecture::X86.triple()])
            .env("CARGO_TARGET_DIR", folder.display().to_string())
            .read()?;
        Ok(folder.join(Architecture::X86.triple()).join("release/lab-peer"))
    }
}

impl Pair {
    /// Starts the machine and compares. Returns the number of values that agreed.
    fn compare(&self, kit: &Kit, peers: &Peers, name: &str, log: &mut Log) -> Result<usize> {
        let contents = Contents::new(kit, name)?;
        let mut setup = match self.medium {
            Medium::Emulated => emulated(name),
            Medium::Nvdimm(claim) => nvdimm(name, claim, &contents),
            Medium::Two => with_two_regions(name, &contents),
            Medium::Virtio => with_virtio_pmem(name, &contents),
        };
        setup = setup.cpu(self.cpu);
        peers.put_into(&mut setup)?;
        let mut machine = Machine::start(kit, &setup, log)?;
        machine.mount_as("debugfs", "none", "/sys/kernel/debug", "")?;
        let media = self.media(&mut machine)?;
        let mut agreed = Agreed::default();
        for (region, expected) in media {
            file_in(&mut machine, &region, expected, &mut agreed)
                .with_context(|| format!("a file on {region}"))?;
        }
        granularity(&mut machine, "/tmp/file", alike("page"), &mut agreed).context("on tmpfs")?;
        let caps = machine.document(&format!("{COMMAND} caps --json"))?;
        processor(&mut machine, &caps, &mut agreed)?;
        caches(&mut machine, &caps, &mut agreed)?;
        regions_shown(&mut machine, &caps, &mut agreed)?;
        machine.power_off()?;
        Ok(agreed.0)
    }

    /// Returns each region with a device on it, and the expected granularity of a file there.
    fn media(&self, machine: &mut Machine) -> Result<Vec<(String, Expected)>> {
        let first = String::from("region0");
        Ok(match self.medium {
            Medium::Emulated => vec![(first, alike("cache line"))],
            Medium::Virtio => vec![(first, alike("page"))],
            Medium::Nvdimm(claim) => {
                make_namespace(machine, &first, "fsdax")?;
                let granularity = if claim == Some("cpu") { "byte" } else { "cache line" };
                vec![(first, alike(granularity))]
            }
            Medium::Two => {
                let (claimed, volatile) = regions(machine)?;
                make_namespace(machine, &claimed, "fsdax")?;
                // libpmem2 takes a file for one with the caches in its domain only if every region of the machine has
                // them there (PMDK `src/libpmem2/auto_flush_linux.c`). In this library the file's own region decides.
                let differs = Expected { ours: "byte", theirs: "cache line" };
                vec![(claimed, differs), (volatile, alike("cache line"))]
            }
        })
    }
}

/// The expected granularity of a file by the library and by libpmem2.
#[derive(Clone, Copy, Debug)]
struct Expected {
    ours: &'static str,
    theirs: &'static str,
}

const fn alike(granularity: &'static str) -> Expected {
    Expected { ours: granularity, theirs: granularity }
}

/// The number of compared values, all of which agreed.
#[derive(Clone, Copy, Debug, Default)]
struct Agreed(usize);

impl Agreed {
    fn on<T: PartialEq + core::fmt::Debug + ?Sized>(
        &mut self,
        what: &str,
        ours: &T,
        theirs: &T,
    ) -> Result<()> {
        ensure!(ours == theirs, "{what}: here {ours:?}, elsewhere {theirs:?}");
        self.0 += 1;
        Ok(())
    }
}

/// Compares a file in a region: its granularity and its region.
fn file_in(
    machine: &mut Machine,
    region: &str,
    expected: Expected,
    agreed: &mut Agreed,
) -> Result<()> {
    let device = device_of(machine, region)?;
    make_ext4(machine, &device, DAX)?;
    let document = granularity(machine, &format!("{DIRECTORY}/file"), expected, agreed)?;
    expect_value(&document, "/guarantee/region/name", region)?;
    machine.unmount(DIRECTORY)
}

/// Compares the library's report on a new file with libpmem2's. Returns the whole report.
fn granularity(
    machine: &mut Machine,
    path: &str,
    expected: Expected,
    agreed: &mut Agreed,
) -> Result<Value> {
    machine.doing(&Request::Write { path: path.to_owned(), text: " ".repeat(FILE_LEN) })?;
    let (code, theirs, errors) = machine.output(&format!("{PEER} {path}"))?;
    ensure!(code == Some(0), "libpmem2 ended with exit code {code:?}: {errors}");
    agreed.on("libpmem2's granularity", theirs.trim(), expected.theirs)?;

    let document = machine.document(&format!("{COMMAND} inspect {path} --json"))?;
    let granularity = document.pointer("/guarantee/granularity").context("no granularity")?;
    let ours = match (granularity.as_str(), granularity.get("line")) {
        (Some(word), _) => word,
        (None, Some(_)) => "cache line",
        (None, None) => "page",
    };
    agreed.on("granularity", ours, expected.ours)?;
    Ok(document)
}

/// Compares lscpu's identity, flags and hypervisor.
fn processor(machine: &mut Machine, caps: &Value, agreed: &mut Agreed) -> Result<()> {
    let lscpu = machine.document("/bin/lscpu --json")?;
    let theirs = |field: &str| {
        let found = lscpu.get("lscpu").and_then(|list| field_of(list, field));
        found.with_context(|| format!("lscpu has no {field}"))
    };
    let ours = |pointer: &str| {
        caps.pointer(pointer).map(text).with_context(|| format!("no {pointer} in caps"))
    };
    let identity = [
        ("Vendor ID:", "vendor"),
        ("Model name:", "brand"),
        ("CPU family:", "family"),
        ("Model:", "model"),
        ("Stepping:", "stepping"),
    ];
    for (field, name) in identity {
        agreed.on(name, &ours(&format!("/cpu/identity/{name}"))?, &theirs(field)?)?;
    }
    let flags = theirs("Flags:")?;
    let has = |flag: &str| flags.split(' ').any(|there| there == flag);
    let instructions = caps.pointer("/cpu/instructions").and_then(Value::as_array);
    for instruction in instructions.context("no instructions in caps")? {
        let name = instruction.get("name").map(text).unwrap_or_default();
        let is_present = instruction.get("status").is_some_and(|status| status == "present");
        agreed.on(&name, &is_present, &has(&name))?;
    }
    let in_guest = caps.pointer("/cpu/hypervisor/present") == Some(&Value::Bool(true));
    agreed.on("hypervisor", &in_guest, &has("hypervisor"))?;
    // TCG's signature is not among those that lscpu of util-linux 2.38 knows.
    let vendor = lscpu.get("lscpu").and_then(|list| field_of(list, "Hypervisor vendor:"));
    let named = ours("/cpu/hypervisor/name").unwrap_or_default();
    ensure!(
        vendor.as_ref().is_none_or(|vendor| named.contains(vendor.as_str())),
        "the hypervisor is {named} here, and {vendor:?} by lscpu"
    );
    Ok(())
}

/// Returns the data of a field at any depth: later versions of lscpu nest them.
fn field_of(list: &Value, field: &str) -> Option<String> {
    list.as_array()?.iter().find_map(|entry| {
        if entry.get("field")? == field {
            return entry.get("data").map(text);
        }
        field_of(entry.get("children")?, field)
    })
}

/// Returns a value without quotation marks: versions differ in the values that they write as numbers.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Compares lscpu's caches, in its order, which is that of their names.
fn caches(machine: &mut Machine, caps: &Value, agreed: &mut Agreed) -> Result<()> {
    let lscpu = machine.document("/bin/lscpu --caches --bytes --json")?;
    let theirs = lscpu.get("caches").and_then(Value::as_array).context("lscpu has no caches")?;
    let ours = caps.pointer("/caches/levels").and_then(Value::as_array).context("no caches")?;
    agreed.on("number of caches", &ours.len(), &theirs.len())?;
    let key = |cache: &Value, level: &str, kind: &str| {
        let of = |name| cache.get(name).map(text).unwrap_or_default();
        (of(level), of(kind).to_lowercase())
    };
    for cache in theirs {
        let wanted = key(cache, "level", "type");
        let same = ours.iter().find(|ours| key(ours, "level", "kind") == wanted);
        let same = same.with_context(|| format!("caps has no cache {wanted:?}"))?;
        let fields =
            [("one-size", "size"), ("ways", "ways"), ("sets", "sets"), ("coherency-size", "line")];
        for (their_name, name) in fields {
            let what = format!("{name} of {wanted:?}");
            let (found, expected) = (same.get(name).map(text), cache.get(their_name).map(text));
            agreed.on(&what, &found, &expected)?;
        }
        // The line size that CPUID reports for CLFLUSH is that of all caches.
        let line = caps.pointer("/cpu/line/bytes").map(text);
        agreed.on("line", &line, &cache.get("coherency-size").map(text))?;
    }
    Ok(())
}

/// Compares all of ndctl's regions, under the same names.
fn regions_shown(machine: &mut Machine, caps: &Value, agreed: &mut Agreed) -> Result<()> {
    let listed = machine.document("/bin/ndctl list --regions --media-errors --verbose")?;
    let theirs = listed.get("regions").and_then(Value::as_array).context("ndctl lists nothing")?;
    let ours = caps.pointer("/regions/list").and_then(Value::as_array).context("no regions")?;
    agreed.on("number of regions", &ours.len(), &theirs.len())?;
    for region in theirs {
        let name = region.get("dev").context("a region of ndctl's has no name")?;
        let same = ours.iter().find(|ours| ours.get("name") == Some(name));
        let same = same.with_context(|| format!("caps has no {name}"))?;
        agreed.on("size", &same.get("size"), &region.get("size"))?;
        // ndctl prints 0 if the kernel shows no value.
        let path = format!("{DEVICES}/{}/available_size", text(name));
        let available = machine.read(&path)?.map_or(Value::Null, |_shown| {
            region.get("available_size").cloned().unwrap_or_default()
        });
        agreed.on("available size", &same.get("available_size"), &Some(&available))?;
        let domain = same.get("domain").map(text).unwrap_or_default();
        let provider = same.get("provider").map(text).unwrap_or_default();
        let expected = match (domain.as_str(), provider.as_str()) {
            ("cpu_caches", _) => "cpu_cache",
            // ndctl does not look at the provider of the region, and has no word for these.
            ("none", "e820") | ("host_flush", "virtio-pmem") => "unknown",
            (other, _) => other,
        };
        let claimed = region.get("persistence_domain").map(text).unwrap_or_default();
        agreed.on("persistence domain", expected, &claimed)?;
        let node = region.get("numa_node").cloned().unwrap_or_default();
        agreed.on("NUMA node", &same.get("numa_node"), &Some(&node))?;
        let bad = region.get("badblock_count").and_then(Value::as_u64).unwrap_or(0);
        agreed.on("bytes damaged", &same.get("bad_bytes"), &Some(&Value::from(bad * SECTOR)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{field_of, text};
    use serde_json::json;

    /// util-linux 2.38 writes one list if standard output is not a terminal; other versions nest it.
    #[test]
    fn a_field_is_found_at_any_depth() {
        let list = json!([
            {"field": "CPU(s):", "data": "1"},
            {"field": "Vendor ID:", "data": "AuthenticAMD", "children": [
                {"field": "Model name:", "data": "QEMU", "children": [
                    {"field": "Stepping:", "data": 3}
                ]}
            ]},
            {"field": "Virtualization features:", "data": null, "children": []},
        ]);
        assert_eq!(field_of(&list, "Vendor ID:").as_deref(), Some("AuthenticAMD"));
        assert_eq!(field_of(&list, "Stepping:").as_deref(), Some("3"));
        assert_eq!(field_of(&list, "Hypervisor vendor:"), None);
        assert_eq!(text(&json!("two words")), "two words");
    }
}
