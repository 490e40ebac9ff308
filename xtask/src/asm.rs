//! Assembly goldens: the compiler's output for the functions `golden_*` in `tests/asm/codegen.rs`.
//!
//! The instructions of each are compared with `tests/asm/<target>/<function>.s`. Code generation
//! changes with the compiler, so the comparison is made only with the release named in
//! `tests/asm/rustc-version`.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt::Write as _;
use core::iter;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::Cmd;
use crate::host::Host;
use crate::output::Output;
use crate::report::{Finding, Report, Tests};
use crate::toolchain;

const PREFIX: &str = "golden_";
const GOLDENS: &str = "tests/asm";
const VERSION_FILE: &str = "tests/asm/rustc-version";

struct Target {
    triple: &'static str,
    /// The beginning of a comment in the compiler's output.
    comment: &'static str,
    flags: &'static [&'static str],
}

const TARGETS: [Target; 2] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        comment: "#",
        flags: &["-C", "llvm-args=--x86-asm-syntax=intel"],
    },
    Target { triple: "aarch64-unknown-linux-gnu", comment: "//", flags: &[] },
];

/// Targets that `full` alone compares: the library is compiled anew for each, and their code comes from the same paths.
const ELSEWHERE: [Target; 2] = [
    Target { triple: "riscv64gc-unknown-linux-gnu", comment: "#", flags: &[] },
    Target { triple: "powerpc64le-unknown-linux-gnu", comment: "#", flags: &[] },
];

/// Compares the goldens.
pub(crate) fn check(host: &Host, report: &mut Report) -> Result<()> {
    check_usual(host, report)?;
    check_elsewhere(host, report)
}

/// Compares the goldens of the targets in CI.
pub(crate) fn check_usual(host: &Host, report: &mut Report) -> Result<()> {
    compare_on(&TARGETS, host, report)
}

/// Compares the goldens of the other targets.
pub(crate) fn check_elsewhere(host: &Host, report: &mut Report) -> Result<()> {
    compare_on(&ELSEWHERE, host, report)
}

fn compare_on(targets: &[Target], host: &Host, report: &mut Report) -> Result<()> {
    let version = compiler_version()?;
    let named = fs::read_to_string(VERSION_FILE)
        .with_context(|| format!("{VERSION_FILE}: make it with `cargo xtask asm --bless`"))?;
    if named.trim() != version {
        return report
            .skip("goldens", format!("they are of rustc {}, this is {version}", named.trim()));
    }
    let proves = "the compiler emits the instructions that were reviewed";
    each_of(targets, host, report, proves, compare)
}

/// Rewrites the goldens from the output of this compiler.
pub(crate) fn bless(host: &Host, report: &mut Report) -> Result<()> {
    fs::create_dir_all(GOLDENS).with_context(|| format!("cannot make {GOLDENS}"))?;
    let version = compiler_version()?;
    fs::write(VERSION_FILE, format!("{version}\n"))
        .with_context(|| format!("cannot write {VERSION_FILE}"))?;
    [&TARGETS, &ELSEWHERE]
        .into_iter()
        .try_for_each(|targets| each_of(targets, host, report, "rewrites the goldens", rewrite))
}

/// The instructions and labels of each function, one per line.
type Functions = BTreeMap<String, Vec<String>>;

fn each_of(
    targets: &[Target],
    host: &Host,
    report: &mut Report,
    proves: &str,
    work: fn(&Path, &Functions) -> Result<()>,
) -> Result<()> {
    targets.iter().try_for_each(|target| {
        if let Err(reason) = toolchain::in_use(host, target.triple) {
            return report.skip(target.triple, format!("{reason:#}"));
        }
        report.check(target.triple, proves, || {
            let functions = functions(&compile(host, target)?, target.comment);
            ensure!(
                !functions.is_empty(),
                "tests/asm/codegen.rs holds no function whose name begins with {PREFIX}"
            );
            work(&Path::new(GOLDENS).join(target.triple), &functions)?;
            for (name, lines) in &functions {
                let instructions = lines.iter().filter(|line| !line.ends_with(':')).count();
                writeln!(Output, "{instructions:5} instructions  {name}")?;
            }
            Ok(Finding::passed(Tests::default()))
        })
    })
}

fn compiler_version() -> Result<String> {
    let text = Cmd::new("rustc").arg("--version").read()?;
    text.split_whitespace().nth(1).map(str::to_owned).context("rustc does not say its version")
}

/// Compiles the package of the functions, a library so that nothing is linked, and returns its assembly.
fn compile(host: &Host, target: &Target) -> Result<String> {
    let folder = host.target_dir("asm");
    let file = folder.join(format!("{}.s", target.triple));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut built = Cmd::cargo("rustc -p cachemaint-codegen --release");
    // Without `--target` the dependencies of the native build are shared with the other steps.
    if toolchain::native()? != target.triple {
        built = built.args(["--target", target.triple]);
    }
    built = built
        .words("-- -C codegen-units=1 -C debuginfo=0")
        .args(target.flags.iter().copied())
        .arg(format!("--emit=asm={}", file.display()));
    built.read()?;
    fs::read_to_string(&file).with_context(|| {
        format!(
            "`{built}` left no {}: `cargo clean --release -p cachemaint-codegen`, then try again",
            file.display()
        )
    })
}

fn compare(folder: &Path, functions: &Functions) -> Result<()> {
    let mut differences = String::new();
    let names: BTreeSet<String> =
        goldens_in(folder)?.into_iter().chain(functions.keys().cloned()).collect();
    for name in names {
        let golden = fs::read_to_string(golden(folder, &name)).unwrap_or_default();
        let now = functions.get(&name).map(|lines| text(lines)).unwrap_or_default();
        if golden != now {
            write!(differences, "\n{name} was:\n{golden}and is now:\n{now}")?;
        }
    }
    if !differences.is_empty() {
        bail!("review, then `cargo xtask asm --bless`:{differences}");
    }
    Ok(())
}

fn rewrite(folder: &Path, functions: &Functions) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for stale in goldens_in(folder)?.iter().filter(|name| !functions.contains_key(*name)) {
        fs::remove_file(golden(folder, stale))
            .with_context(|| format!("cannot remove the golden of {stale}"))?;
    }
    functions.iter().try_for_each(|(name, lines)| {
        fs::write(golden(folder, name), text(lines))
            .with_context(|| format!("cannot write the golden of {name}"))
    })
}

fn golden(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.s"))
}

/// Returns the functions that have a golden in `folder`.
fn goldens_in(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.strip_suffix(".s")?.to_owned()))
        .collect())
}

fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// Extracts the golden functions from assembly: no directives, no comments, no label that nothing
/// jumps to, the others numbered in order, no hashes in symbols.
fn functions(assembly: &str, comment: &str) -> Functions {
    let mut functions = Functions::new();
    let mut current: Option<(&str, Vec<&str>)> = None;
    for line in assembly.lines().map(|line| line.split(comment).next().unwrap_or_default().trim()) {
        if let Some(name) = line.strip_suffix(':').filter(|name| name.starts_with(PREFIX)) {
            current = Some((name, Vec::new()));
        } else if line.starts_with(".Lfunc_end") {
            functions
                .extend(current.take().map(|(name, body)| (name.to_owned(), normalised(&body))));
        } else if let Some((_, body)) = &mut current {
            let is_directive = line.starts_with('.') && !line.ends_with(':');
            if !line.is_empty() && (!is_directive || is_encoding(line)) {
                body.push(line);
            }
        }
    }
    functions
}

/// Returns true if a directive stands for an instruction whose name the assembler does not know. Words of 0 are tables
/// behind a function.
fn is_encoding(line: &str) -> bool {
    let word = line.strip_prefix(".long").map(str::trim);
    line.starts_with(".insn") || word.is_some_and(|word| word != "0" && word.parse::<u32>().is_ok())
}

fn normalised(body: &[&str]) -> Vec<String> {
    let mut labels: Vec<&str> = Vec::new();
    for label in body.iter().filter(|line| !line.ends_with(':')).flat_map(|line| local_labels(line))
    {
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    let mut lines = Vec::new();
    for line in body {
        let is_label = line.ends_with(':');
        if is_label && !labels.iter().any(|label| line.strip_suffix(':') == Some(label)) {
            continue;
        }
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let renamed = rename(&words, &labels);
        lines.push(if is_label { renamed } else { format!("    {}", without_hash(&renamed)) });
    }
    lines
}

fn is_symbol(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._$".contains(c)
}

/// Returns the local labels (`.LBB0_3`, `.Lanon.….0`) that occur in `line`.
fn local_labels(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_symbol(c)).filter(|word| word.starts_with(".L"))
}

/// Returns `line` with each label replaced by its number in `labels`.
fn rename(line: &str, labels: &[&str]) -> String {
    pieces(line)
        .map(|piece| match labels.iter().position(|label| *label == piece) {
            Some(number) => format!(".L{number}"),
            None => piece.to_owned(),
        })
        .collect()
}

/// Splits `line` into symbols and the text between them.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.find(|c| is_symbol(c) != is_symbol(first)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// Returns `line` without the hashes of mangled names: `17h` and 16 digits of the legacy scheme, and the crate's
/// disambiguator `Cs…_` of version 0. Both change with the path of the workspace and the compiler.
fn without_hash(line: &str) -> String {
    pieces(line)
        .map(|piece| match piece.split_once("17h") {
            Some((name, hash)) if piece.starts_with("_ZN") && hash.len() >= 16 => {
                format!("{name}E")
            }
            _ if piece.starts_with("_R") => without_disambiguators(piece),
            _ => piece.to_owned(),
        })
        .collect()
}

fn without_disambiguators(symbol: &str) -> String {
    let mut parts = symbol.split("Cs");
    let head = parts.next().unwrap_or_default().to_owned();
    parts.fold(head, |name, part| match part.split_once('_') {
        Some((hash, rest)) if hash.chars().all(|c| c.is_ascii_alphanumeric()) => name + "C" + rest,
        _ => name + "Cs" + part,
    })
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn only_instructions_and_labels_that_are_jumped_to_remain() {
        let assembly = "\
other:
\tret
.Lfunc_end0:
golden_lines:
.Lfunc_begin1:
\t.cfi_startproc
\tcmp\trdi, rsi
\tjae\t.LBB1_7
.Ltmp3:
\t.p2align\t4
.LBB1_2:
\t#APP
\tclwb\tbyte ptr [rdi]
\t#NO_APP
\tadd\trdi, 64   # a comment
\tjb\t.LBB1_2
.LBB1_7:
\tjmp\tqword ptr [rip + _ZN4core3fmt5write17h0123456789abcdefE@GOTPCREL]
.Lfunc_end1:
\t.size\tgolden_lines, .Lfunc_end1-golden_lines
";
        let found = functions(assembly, "#");
        let expected = [
            "    cmp rdi, rsi",
            "    jae .L0",
            ".L1:",
            "    clwb byte ptr [rdi]",
            "    add rdi, 64",
            "    jb .L1",
            ".L0:",
            "    jmp qword ptr [rip + _ZN4core3fmt5writeE@GOTPCREL]",
        ];
        assert_eq!(found.keys().collect::<Vec<_>>(), ["golden_lines"]);
        assert_eq!(found["golden_lines"], expected);
    }

    #[test]
    fn instructions_written_by_their_encoding_remain_and_tables_go() {
        let assembly = "golden_fence:\n\t.insn\ti 15, 2, zero, a1, 1\n\t.long\t2092964012\n\tblr\n\
                        \t.long\t0\n\t.quad\t0\n.Lfunc_end0:\n";
        let found = functions(assembly, "#");
        let expected = ["    .insn i 15, 2, zero, a1, 1", "    .long 2092964012", "    blr"];
        assert_eq!(found["golden_fence"], expected);
    }

    #[test]
    fn immediates_of_arm_are_not_comments_and_disambiguators_go() {
        let assembly =
            "golden_fence:\n\tadd x0, x0, #64 // =64\n\tb _RNvCs1x2Yz_4core5fence\n.Lfunc_end0:\n";
        let found = functions(assembly, "//");
        assert_eq!(found["golden_fence"], ["    add x0, x0, #64", "    b _RNvC4core5fence"]);
    }
}
