//! The emulator plugin that finds forgotten write-backs (`tests/lab/plugin`): how lanes build it, hand
//! it to an emulator and read what it wrote; and the lanes that prove that it sees what it must.
//!
//! These lanes boot a program without an operating system (`tests/lab/selftest`) that makes mistakes
//! on purpose. A verdict that differs from the table below, in either direction, is a failure.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Lab, Lane, Run, Unavailable};
use crate::command::Cmd;
use crate::debian;
use crate::host::Host;
use crate::log::Log;
use crate::report::{Finding, Tests};
use crate::toolchain::{self, Compiler};

/// Seconds for one boot of the program, which takes less than one.
const LIMIT: u32 = 60;

/// The releases of QEMU, in their major version 10, whose plugin interface is the plugin's: 10.0 has
/// version 4, and 10.1 and 10.2 have 5, which only adds to it (`include/qemu/qemu-plugin.h`).
const MINOR_VERSIONS: core::ops::RangeInclusive<u32> = 0..=2;

/// What the plugin takes a streaming store for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Streaming {
    /// It leaves the line dirty.
    Ordinary,
    /// It leaves the line written back, and not fenced.
    Evicting,
}

impl Streaming {
    const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Evicting => "evicting",
        }
    }
}

/// The plugin, built.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    library: PathBuf,
}

impl Plugin {
    /// Builds it, for this machine.
    pub(super) fn build(lab: &Lab<'_>) -> Result<Self> {
        let target = lab.work().join("target");
        Cmd::cargo("build --quiet --release -p cachemaint-lab-plugin")
            .folder(lab.tree())
            .env("CARGO_TARGET_DIR", target.display().to_string())
            .read()?;
        let library = target.join("release/libcachemaint_lab_plugin.so");
        ensure!(library.is_file(), "the plugin was built, but not as {}", library.display());
        Ok(Self { library })
    }

    /// What is added to an emulator's command line; verdicts are written to `out`. The guest has one
    /// CPU and lines of 64 bytes.
    ///
    /// The library relies on SFENCE and MFENCE alone, so the locked accesses of x86 are no fences here:
    /// any lock that a program takes would hide a fence that the library forgot.
    pub(super) fn arguments(&self, streaming: Streaming, out: &Path) -> [String; 2] {
        // A comma ends an argument unless it is doubled.
        let path = |path: &Path| path.display().to_string().replace(',', ",,");
        let (library, out, streaming) = (path(&self.library), path(out), streaming.name());
        let arguments = format!("{library},streaming={streaming},locked=ordinary,out={out}");
        [String::from("-plugin"), arguments]
    }

    /// Whether this emulator can load it.
    pub(super) fn fits(emulator: &Cmd) -> Result<(), Unavailable> {
        let fits = || {
            let text = emulator.clone().arg("--version").read()?;
            let (major, minor) =
                version(&text).with_context(|| format!("no version in {text:?}"))?;
            ensure!(
                major == 10 && MINOR_VERSIONS.contains(&minor),
                "QEMU {major}.{minor} has another interface for plugins than QEMU 10.0"
            );
            Ok(())
        };
        fits().map_err(Unavailable::because)
    }
}

/// The 10 and the 0 of `QEMU emulator version 10.0.2 (Debian …)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("version ")?;
    let mut numbers = rest.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What the plugin saw between two marks: one line of its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The number that the program gave.
    pub(super) id: u64,
    pub(super) stores: u64,
    pub(super) streaming: u64,
    pub(super) writebacks: u64,
    pub(super) fences: u64,
    /// Lines that were stored to and not written back.
    pub(super) dirty_lines: u64,
    /// Lines that were written back, and no fence followed.
    pub(super) unfenced_lines: u64,
}

impl Verdict {
    /// Reads one line.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("verdict ")?.split(' ');
        let mut number = |name: &str| {
            let (is, value) = words.next()?.split_once('=')?;
            if is == name { value.parse().ok() } else { None }
        };
        let verdict = Self {
            id: number("id")?,
            stores: number("stores")?,
            streaming: number("streaming")?,
            writebacks: number("writebacks")?,
            fences: number("fences")?,
            dirty_lines: number("dirty_lines")?,
            unfenced_lines: number("unfenced_lines")?,
        };
        words.next().is_none().then_some(verdict)
    }

    /// Every verdict in the file that the plugin wrote.
    pub(super) fn read(out: &Path) -> Result<Vec<Self>> {
        let text = fs::read_to_string(out)
            .with_context(|| format!("the plugin wrote no {}", out.display()))?;
        text.lines()
            .map(|line| Self::parse(line).with_context(|| format!("no verdict: {line:?}")))
            .collect()
    }

    fn left(&self) -> Left {
        (self.dirty_lines, self.unfenced_lines)
    }
}

/// Dirty and unfenced lines.
type Left = (u64, u64);

/// A way to run the plugin: what it takes a streaming store and a locked access for.
type Mode = (Streaming, Locked);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locked {
    Ordinary,
    Fence,
}

const MODES: [Mode; 3] = [
    (Streaming::Ordinary, Locked::Ordinary),
    (Streaming::Evicting, Locked::Ordinary),
    (Streaming::Ordinary, Locked::Fence),
];

/// A sequence of the program: its number, what it does, and what it must leave in each of [`MODES`].
type Planted = (u64, &'static str, [Left; MODES.len()]);

/// The same for every architecture. The watched range has 8 lines.
const PLANTED: [Planted; 16] = [
    (1, "all is written back and fenced", [(0, 0); 3]),
    (2, "one line is not written back", [(1, 0); 3]),
    (3, "one write-back is not fenced", [(0, 1); 3]),
    (4, "two lines are stored to between write-back and fence", [(2, 0); 3]),
    (5, "the write-back comes before the store", [(8, 0); 3]),
    (6, "the fence is one that completes nothing", [(0, 8); 3]),
    (7, "nothing is written back, but fenced", [(8, 0); 3]),
    (12, "two streaming stores are written back and fenced", [(0, 0); 3]),
    (20, "all is written back by every form of address", [(0, 0); 3]),
    (21, "six lines are stored to by every kind of store", [(6, 0); 3]),
    (30, "the library's writeback", [(0, 0); 3]),
    (31, "the library's batch", [(0, 0); 3]),
    (32, "the library's unfenced writeback", [(0, 8); 3]),
    (33, "the library's fence after it", [(0, 0); 3]),
    (34, "the library's writeback_invalidate", [(0, 0); 3]),
    (35, "the library's writeback of all but one line", [(1, 0); 3]),
];

/// One machine and the program for it.
#[derive(Debug)]
struct Machine {
    architecture: &'static str,
    triple: &'static str,
    /// What links for it if the compiler brings no linker, and the package that has it.
    linker: [&'static str; 2],
    /// Arguments of its emulator.
    line: &'static str,
    /// What differs from other architectures.
    planted: [Planted; 3],
}

/// The CPU `max` has CLWB.
const X86_64: Machine = Machine {
    architecture: "x86_64",
    triple: "x86_64-unknown-none",
    linker: ["x86_64-linux-gnu-ld", "binutils-x86-64-linux-gnu"],
    line: "-machine q35,accel=tcg -cpu max -no-reboot",
    planted: [
        (10, "two streaming stores are fenced", [(2, 0), (0, 0), (2, 0)]),
        (11, "two streaming stores are not fenced", [(2, 0), (0, 2), (2, 0)]),
        (22, "a locked access follows the write-backs", [(0, 8), (0, 8), (0, 0)]),
    ],
};

/// Pairs stored with a non-temporal hint are ordinary stores, and atomic accesses complete nothing.
/// Neoverse V1 has DC CVADP and lines of 64 bytes.
const AARCH64: Machine = Machine {
    architecture: "aarch64",
    triple: "aarch64-unknown-none",
    linker: ["aarch64-linux-gnu-ld", "binutils-aarch64-linux-gnu"],
    line: "-machine virt,accel=tcg -cpu neoverse-v1 -no-reboot",
    planted: [
        (10, "two hinted stores are fenced", [(2, 0); 3]),
        (11, "two hinted stores are not fenced", [(2, 0); 3]),
        (22, "an atomic access follows the write-backs", [(0, 8); 3]),
    ],
};

pub(super) fn lanes() -> Vec<Lane> {
    let lane = |machine: &'static Machine| {
        let name = format!("flush/selftest/{}", machine.architecture);
        let proves = "the emulator plugin finds planted mistakes and nothing else";
        Lane::new(name, proves, move |lab| prepare(lab, machine))
    };
    [&X86_64, &AARCH64].into_iter().map(lane).collect()
}

fn prepare(lab: &Lab<'_>, machine: &'static Machine) -> Result<Run> {
    let emulator = lab.emulators()?.system(machine.architecture);
    Plugin::fits(&emulator)?;
    let (compiler, flags) = compiler(lab.host, machine).map_err(Unavailable::because)?;
    let plugin = Plugin::build(lab)?;
    let program = build_program(lab, &compiler, flags, machine)?;
    let emulator = emulator.words(machine.line).args(["-kernel", &program]).limit(LIMIT);
    let outs = out_folder(lab)?;
    Ok(Box::new(move |log| {
        for mode in 0..MODES.len() {
            let finding = boot(&emulator, &plugin, machine, mode, &outs, log)?;
            if finding.failure().is_some() {
                return Ok(finding);
            }
        }
        Ok(Finding::passed(Tests::default()))
    }))
}

/// What compiles for the machine, and the flags by which it links.
fn compiler(host: &Host, machine: &Machine) -> Result<(Compiler, Vec<String>)> {
    if let Ok(compiler) = toolchain::in_use(host, machine.triple) {
        return Ok((compiler, Vec::new()));
    }
    let compiler = toolchain::with_core(host, machine.triple)?;
    let [linker, package] = machine.linker;
    debian::install(&[package]).context("no linker")?;
    Ok((compiler, vec![format!("-Clinker={linker}"), String::from("-Clinker-flavor=ld")]))
}

fn build_program(
    lab: &Lab<'_>,
    compiler: &Compiler,
    mut flags: Vec<String>,
    machine: &Machine,
) -> Result<String> {
    let Machine { architecture, triple, .. } = machine;
    let script = lab.tree().join(format!("tests/lab/selftest/{architecture}.ld"));
    flags.push(format!("-Clink-arg=-T{}", script.display()));
    flags.push(String::from("-Crelocation-model=static"));
    let target = lab.work().join("target");
    lab.cargo(compiler, "build --quiet --release -p cachemaint-lab-selftest")
        .args(["--target", triple, "--config"])
        .arg(format!("target.{triple}.rustflags={flags:?}"))
        .env("CARGO_TARGET_DIR", target.display().to_string())
        .read()?;
    let program = target.join(format!("{triple}/release/cachemaint-lab-selftest"));
    ensure!(program.is_file(), "the program was built, but not as {}", program.display());
    Ok(program.display().to_string())
}

/// Where verdicts are written.
fn out_folder(lab: &Lab<'_>) -> Result<PathBuf> {
    let folder = lab.work().join("verdicts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Boots the program once and compares the verdicts.
fn boot(
    emulator: &Cmd,
    plugin: &Plugin,
    machine: &Machine,
    mode: usize,
    outs: &Path,
    log: &mut Log,
) -> Result<Finding> {
    let (streaming, locked) = MODES[mode];
    let out = outs.join(format!("selftest-{}-{mode}", machine.architecture));
    // What an earlier run wrote must not be read as this one's.
    if out.exists() {
        fs::remove_file(&out).with_context(|| format!("cannot remove {}", out.display()))?;
    }
    let [option, mut value] = plugin.arguments(streaming, &out);
    if locked == Locked::Fence {
        // The last of an argument counts.
        value.push_str(",locked=fence");
    }
    let finding = emulator.clone().args([option, value]).check_in(log)?;
    if finding.failure().is_some() {
        return Ok(finding);
    }
    compare(&Verdict::read(&out)?, machine, mode)?;
    Ok(finding)
}

/// An error names every verdict that is not what the program earns.
fn compare(verdicts: &[Verdict], machine: &Machine, mode: usize) -> Result<()> {
    let expected = || PLANTED.iter().chain(&machine.planted);
    let wrong = |(id, what, left): &Planted| {
        let verdict = verdicts.iter().find(|verdict| verdict.id == *id);
        let (found, left) = (verdict.map(Verdict::left), left[mode]);
        (found != Some(left)).then(|| {
            format!("{id}, {what}: {left:?} dirty and unfenced lines were expected, not {found:?}")
        })
    };
    let wrong: Vec<String> = expected().filter_map(wrong).collect();
    if !wrong.is_empty() {
        bail!("in mode {:?}: {}", MODES[mode], wrong.join("; "));
    }
    let count = expected().count();
    ensure!(verdicts.len() == count, "{} verdicts, not {count}", verdicts.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Path, PathBuf, Plugin, Streaming, Verdict, X86_64, compare, version};

    const LINE: &str =
        "verdict id=7 stores=64 streaming=2 writebacks=63 fences=1 dirty_lines=1 unfenced_lines=3";

    #[test]
    fn a_verdict_is_read_word_by_word() {
        let verdict = Verdict {
            id: 7,
            stores: 64,
            streaming: 2,
            writebacks: 63,
            fences: 1,
            dirty_lines: 1,
            unfenced_lines: 3,
        };
        assert_eq!(Verdict::parse(LINE), Some(verdict));
    }

    #[test]
    fn what_is_no_verdict_is_not_taken_for_one() {
        for line in [
            "",
            "verdict id=7 but nothing is watched",
            "verdict id=7 stores=64",
            &LINE.replace("id=", "number="),
            &LINE.replace("=63", "=many"),
            &format!("{LINE} and=1"),
            &LINE[1..],
        ] {
            assert_eq!(Verdict::parse(line), None, "{line}");
        }
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        let plugin = Plugin { library: PathBuf::from("/a,b/plugin.so") };
        assert_eq!(
            plugin.arguments(Streaming::Evicting, Path::new("/c,d")),
            ["-plugin", "/a,,b/plugin.so,streaming=evicting,locked=ordinary,out=/c,,d"]
        );
    }

    #[test]
    fn the_version_is_found() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(version(text), Some((10, 0)));
        assert_eq!(version("QEMU emulator"), None);
    }

    #[test]
    fn a_verdict_that_is_missing_is_an_error() {
        let error = compare(&[], &X86_64, 0).unwrap_err().to_string();
        assert!(error.contains("2, one line is not written back: (1, 0)"), "{error}");
        assert!(error.contains("not None"), "{error}");
    }
}
